"""Everything that is known about one site, and how to look it up by role."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mtughost.model.basis import Basis, Fact, Known, Source
from mtughost.model.device import DeviceFacts, Family
from mtughost.model.evidence import CaptureEvidence, PingEvidence, ProbeEvidence
from mtughost.model.findings import Evidence, HostStatus
from mtughost.model.inventory import Device, Role, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class FarEnd:
    """What a far end offered another site: MSS of its SYN-ACK in front of that site's gateway."""

    site: str
    server: str
    port: int
    family: Family
    mss_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldMtu:
    """An MTU that a person named. An upper bound of the path, and never proof by itself.

    Attributes:
        gateway: Whose link it is, ``""`` for the circuit beyond.
        link: ``wan``, ``lan`` or ``path``.
        note: Who, when and how.
    """

    gateway: str
    link: Literal["wan", "lan", "path"]
    mtu_bytes: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteEvidence:
    """The whole input of a diagnosis: the same values give the same report, years later.

    Attributes:
        site: The site and its devices, from the inventory.
        facts: What was read from each device that answered.
        captures: What captures showed, from devices or files.
        probes: Service probes.
        pings: Sized pings.
        failed: Devices that were not read, with the typed reason.
        far_ends: What the same far ends offered other sites of the fleet.
        told: MTUs that somebody named. Whatever rests on them alone is never ``confirmed``.
    """

    site: Site
    facts: tuple[DeviceFacts, ...] = ()
    captures: tuple[CaptureEvidence, ...] = ()
    probes: tuple[ProbeEvidence, ...] = ()
    pings: tuple[PingEvidence, ...] = ()
    failed: tuple[HostStatus, ...] = ()
    far_ends: tuple[FarEnd, ...] = ()
    told: tuple[ToldMtu, ...] = ()

    def facts_of(self, host: str) -> DeviceFacts | None:
        """Return the facts of one device, or ``None`` where it was not read."""
        return next((facts for facts in self.facts if facts.host == host), None)

    def device(self, host: str) -> Device | None:
        """Return the inventory's entry of one device."""
        return next((device for device in self.site.devices if device.name == host), None)

    def with_role(self, *roles: Role) -> tuple[DeviceFacts, ...]:
        """Return the facts of all devices with one of ``roles``, in inventory order."""
        order = {device.name: index for index, device in enumerate(self.site.devices)}
        chosen = [facts for facts in self.facts if facts.role in roles]
        return tuple(sorted(chosen, key=lambda facts: order.get(facts.host, len(order))))

    def failure_of(self, host: str) -> HostStatus | None:
        """Return how the visit failed, or ``None`` where it did not."""
        return next((status for status in self.failed if status.host == host), None)

    def with_facts(self, changed: DeviceFacts) -> SiteEvidence:
        """Return the same evidence with one device's facts replaced."""
        return replace(
            self, facts=tuple(changed if old.host == changed.host else old for old in self.facts)
        )


def cite(
    kind: str, source: Source, value: str, *, line: int | None = None, command: str | None = None
) -> Evidence:
    """Turn a source into a citation.

    Args:
        kind: Short kind (``clamp-rule``, ``interface-mtu``).
        source: Where the fact was read.
        value: The observable in words and figures.
        line: Line of the answer, when it is more exact than the source's.
        command: Command, when it is more exact than the source's.
    """
    return Evidence(
        kind=kind,
        basis=source.basis,
        host=source.host,
        value=f"{value} [{source.note}]" if source.note else value,
        command=command or source.command,
        line=line if line is not None else source.line,
        frame=source.frame,
    )


def seen(kind: str, capture: CaptureEvidence, value: str, frame: int | None = None) -> Evidence:
    """Cite a capture."""
    return Evidence(
        kind=kind,
        basis=capture.basis,
        host=capture.host,
        value=value,
        command=capture.command,
        frame=frame,
    )


def told(kind: str, host: str, basis: Basis, value: str, command: str | None = None) -> Evidence:
    """Cite a probe, a ping or a device's own words."""
    return Evidence(kind=kind, basis=basis, host=host, value=value, command=command)


def source_of(fact: Fact[object], host: str) -> Source:
    """Return a fact's source, or a bare one that names the host."""
    return fact.source if isinstance(fact, Known) else Source(host=host, basis="document")
