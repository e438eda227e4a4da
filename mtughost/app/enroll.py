"""Record host keys: the only way in for a device. Nobody is logged in to here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtughost.app.inventory import open_inventory
from mtughost.app.project import Project
from mtughost.app.sessions import SessionFactory
from mtughost.model.errors import DeviceError, UsageError
from mtughost.model.inventory import Device
from mtughost.model.session import Clock
from mtughost.wire.clock import SystemClock
from mtughost.wire.known_hosts import HostKeyInfo, KnownHosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The key that answers for one device.

    Attributes:
        state: ``known`` is recorded already, ``vouched`` stands in the trusted list, ``new`` needs
            a decision, ``changed`` differs from what is recorded or vouched for.
    """

    host: str
    address: str
    key: HostKeyInfo
    state: Literal["known", "vouched", "new", "changed"]

    def __str__(self) -> str:
        return f"{self.host} ({self.address}): {self.key} {self.state}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """How many keys were recorded, and what was not."""

    recorded: int
    known: int
    refused: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every host that was asked for has its key recorded now."""
        return not self.refused

    def __str__(self) -> str:
        head = f"{self.recorded} recorded, {self.known} known already, {len(self.refused)} not"
        return "\n".join((head, *self.refused))


def enroll_hosts(
    project: Project,
    hosts: Sequence[str],
    *,
    decide: Callable[[Offer], bool],
    trusted: Path | None = None,
    clock: Clock | None = None,
) -> Enrolled:
    """Fetch host keys and record those that the trusted list or a person vouches for.

    Args:
        project: Where ``known_hosts`` is.
        hosts: Inventory names; all when empty.
        decide: Is shown every offer, and asked about new ones.
        trusted: File in ``known_hosts`` format, keyed by inventory name. A key that differs from
            it is never recorded.
        clock: Time.

    Raises:
        UsageError: a name is not in the inventory.
    """
    inventory = open_inventory(project)
    if unknown := [name for name in hosts if name not in inventory.known]:
        raise UsageError(
            f"not in the inventory: {', '.join(unknown)}",
            todo="mtughost inventory check reads it",
        )
    chosen = [inventory.known[name] for name in hosts] or list(inventory.devices)
    known = KnownHosts(project.known_hosts)
    vouched = KnownHosts(trusted) if trusted else None
    recorded = already = 0
    refused: list[str] = []
    with closing(SessionFactory(project, inventory.known, clock=clock or SystemClock())) as factory:
        for device in chosen:
            try:
                offer = _offer(factory, device, known, vouched)
            except DeviceError as error:
                refused.append(str(error))
                continue
            wanted = decide(offer)
            if offer.state == "known":
                already += 1
            elif offer.state == "vouched" or (offer.state == "new" and wanted):
                known.add(device.name, offer.key)
                recorded += 1
            else:
                refused.append(f"{device.name}: {offer.key} is {offer.state}, not recorded")
    return Enrolled(recorded=recorded, known=already, refused=tuple(refused))


def _offer(
    factory: SessionFactory, device: Device, known: KnownHosts, vouched: KnownHosts | None
) -> Offer:
    key = factory.scan_host_key(device)
    recorded = known.keys_for(device.name)
    promised = vouched.keys_for(device.name) if vouched else ()
    state: Literal["known", "vouched", "new", "changed"]
    if key in recorded:
        state = "known"
    elif recorded:
        state = "changed"
    elif promised:
        state = "vouched" if key in promised else "changed"
    else:
        state = "new"
    return Offer(host=device.name, address=device.address, key=key, state=state)
