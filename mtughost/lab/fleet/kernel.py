"""What a virtual gateway's state means for a kernel: interface MTUs and an nftables table.

The semantics are the emulation's own (:meth:`VirtualDevice.forward`, written after the vendors'
documents); this module asks it about every handshake packet that can cross the gateway and writes
the answers down as rules. It shares no code with the tool's readers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mtughost.lab.fleet.effects import Family, Handshake

TABLE = "vendor"
_FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
#: Larger than any MSS, and smaller than any clamp: what comes out says what is done to all others.
_HIGHEST, _LOWEST = 65535, 1
_FLAGS = {True: "syn", False: "syn | ack"}


class Gateway(Protocol):
    """The part of a virtual device that decides about packets."""

    @property
    def is_up(self) -> bool:
        """Whether it runs."""

    def forward(self, packet: Handshake) -> int:
        """Return the MSS with which a handshake packet leaves."""

    def mtu_of(self, name: str) -> int:
        """Return the IP MTU of an interface, by the vendor's name."""


@dataclass(frozen=True, slots=True)
class Cap:
    """Handshake packets of one kind never leave with more than this, or with less.

    Attributes:
        most: What a larger MSS becomes, 0 where none is too large.
        least: What a smaller one becomes, 0 where none is too small.
    """

    is_syn: bool
    family: Family
    enters: str
    leaves: str
    most: int
    least: int


@dataclass(frozen=True, slots=True)
class Effects:
    """All that a gateway's state does to packets, in the kernel's interface names.

    Attributes:
        forwards: Whether anything passes: not while it boots.
        mtus: Interface and MTU in bytes.
    """

    forwards: bool
    mtus: tuple[tuple[str, int], ...]
    caps: tuple[Cap, ...]


def effects_of(device: Gateway, names: Mapping[str, str], ports: Mapping[str, str]) -> Effects:
    """Ask a device what it does.

    Args:
        device: The virtual gateway.
        names: The vendor's interface names by part: ``ap``, ``pos``, ``wan``.
        ports: The kernel's interface names by the same parts.
    """
    caps = []
    for (enters, leaves), family, is_syn in itertools.product(
        itertools.permutations(ports, 2), _FAMILIES, (True, False)
    ):

        def leaving(mss: int, way: tuple[str, str, Family, bool]) -> int:
            packet = Handshake(
                enters=names[way[0]], leaves=names[way[1]], family=way[2], is_syn=way[3], mss=mss
            )
            return device.forward(packet)

        way = (enters, leaves, family, is_syn)
        most, least = leaving(_HIGHEST, way), leaving(_LOWEST, way)
        if (most, least) != (_HIGHEST, _LOWEST):
            most, least = most % _HIGHEST, 0 if least == _LOWEST else least
            caps.append(Cap(is_syn, family, ports[enters], ports[leaves], most, least))
    mtus = tuple((port, device.mtu_of(names[part])) for part, port in ports.items())
    return Effects(device.is_up, mtus, tuple(caps))


def link_lines(effects: Effects) -> list[str]:
    """Return lines for ``ip -batch``."""
    return [f"link set dev {port} mtu {mtu}" for port, mtu in effects.mtus]


def ruleset(effects: Effects) -> str:
    """Return nftables text that replaces the vendor's table in one transaction."""
    policy = "accept" if effects.forwards else "drop"
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    lines.append("\tchain forward {")
    lines.append(f"\t\ttype filter hook forward priority mangle; policy {policy};")
    for cap in effects.caps:
        match = (
            f'\t\tmeta nfproto {cap.family} iifname "{cap.enters}" oifname "{cap.leaves}" '
            f"tcp flags & (syn | ack | rst) == {_FLAGS[cap.is_syn]} tcp option maxseg size "
        )
        bounds = (f"> {cap.most}", cap.most), (f"< {cap.least}", cap.least)
        lines += [f"{match}{what} tcp option maxseg size set {mss}" for what, mss in bounds if mss]
    return "\n".join([*lines, "\t}", "}", ""])
