"""Check an inventory with everything that it names, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from mtughost.app.project import Project
from mtughost.content.load import load_book
from mtughost.fleet.inventory import Inventory, load_inventory
from mtughost.fleet.problems import some
from mtughost.model.inventory import Device
from mtughost.wire.known_hosts import KnownHosts

#: Of remarks with the same words so many are told: a fleet may earn one for each device.
TOLD_ALIKE = 3


def open_inventory(project: Project) -> Inventory:
    """Read the project's whole inventory against the platforms that have task books.

    Raises:
        InventoryError: everything that is wrong with it.
    """
    return load_inventory(project.inventory_dir, known_platforms=project.content.platforms())


def check_inventory(project: Project) -> list[str]:
    """Read the inventory and its task books; return what is allowed but should be looked at.

    Raises:
        InventoryError: everything that is wrong with the inventory.
        ContentError: a task book is wrong.
    """
    inventory = open_inventory(project)
    platforms = sorted({device.platform for device in inventory.devices})
    unreadable: list[str] = []
    for platform in platforms:
        book = load_book(project.content, platform)
        if not book.has_command_line:
            names = [d.name for d in inventory.devices if d.platform == platform]
            unreadable.append(
                f"{some(names)}: {book.title} has no SSH command line. {book.instead}"
            )
    summary = (
        f"{inventory.directory}: {len(inventory.sites)} sites, {len(inventory.devices)} devices, "
        f"platforms {', '.join(platforms)}: good"
    )
    copies = shared_keys(inventory.devices, KnownHosts(project.known_hosts).keys_for)
    return [*inventory.warnings, *copies, *unreadable, summary]


def briefly(remarks: Iterable[str]) -> Iterator[str]:
    """Tell of remarks with the same words the first few, and how many more there are.

    Args:
        remarks: An inventory's: ``FILE:LINE: OWNER: WORDS``.
    """
    alike: dict[str, list[str]] = {}
    for remark in remarks:
        alike.setdefault(remark.split(": ", 2)[-1], []).append(remark)
    for words, found in alike.items():
        yield from found[:TOLD_ALIKE]
        if len(found) > TOLD_ALIKE:
            more = len(found) - TOLD_ALIKE
            yield f"and {more} more: {words} (all of them: mtughost inventory check)"


def shared_keys(
    devices: Iterable[Device], keys_of: Callable[[str], Iterable[Hashable]]
) -> list[str]:
    """Say which devices answer with one host key: cloned images, or one device under two names.

    The members of an HA pair may share theirs.

    Args:
        devices: The inventory.
        keys_of: Gives the accepted host keys of a device, by its name.
    """
    holders: dict[Hashable, list[Device]] = {}
    for device in devices:
        for key in keys_of(device.name):
            holders.setdefault(key, []).append(device)
    groups = (
        tuple(device.name for device in found)
        for found in holders.values()
        if len(found) > 1 and not _are_pair(found)
    )
    return [
        f"{len(names)} devices have one host key: {some(names)}. They are copies of one image, or "
        "one device under several names: none is changed until each has a key of its own"
        for names in dict.fromkeys(groups)
    ]


def _are_pair(devices: Sequence[Device]) -> bool:
    first, second, *more = devices
    return not more and (first.ha_peer == second.name or second.ha_peer == first.name)
