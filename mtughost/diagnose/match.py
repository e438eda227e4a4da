"""Does a rule match a packet? What nobody can evaluate is ``maybe``, never a guess."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mtughost.diagnose.net import parse_address, parse_network
from mtughost.model.clamps import Handshake, Hook, Match, NameSet, PortSet, PrefixSet
from mtughost.model.device import Family

Tri = Literal["yes", "maybe", "no"]

#: What can keep a rule from a packet. ``unreached`` and ``shadowed`` come from the walk.
MismatchKind = Literal[
    "in-interface",
    "out-interface",
    "family",
    "protocol",
    "port",
    "address",
    "handshake",
    "mss",
    "icmp",
    "opaque",
    "shadowed",
    "unreached",
    "hook",
]

#: Netfilter translates addresses at these priorities (uapi/linux/netfilter_ipv4.h); nat chains of
#: nftables are evaluated there too, whatever their own priority says.
DNAT_PRIORITY = -100
SNAT_PRIORITY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet on its way through one device.

    Attributes:
        sources: Candidate source addresses; empty is unknown. Several where NAT may have happened.
        destinations: The same for the destination.
        source_ports: Inclusive range of possible source ports; ``None`` where there are none.
        handshake: Which handshake packet it is; ``None`` for ICMP.
        icmp_types: All spellings of the ICMP type, lower case; empty for TCP.
    """

    family: Family
    protocol: str
    in_interface: str | None
    out_interface: str | None
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    source_ports: tuple[int, int] | None = None
    destination_ports: tuple[int, int] | None = None
    handshake: Handshake | None = None
    icmp_types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One reason why a rule does not (or may not) match."""

    kind: MismatchKind
    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Matched:
    """The outcome of matching one rule.

    Attributes:
        verdict: ``yes``, ``no`` or ``maybe``.
        misses: Every condition that certainly fails, in the rule's own order.
        doubts: Every condition that could not be evaluated.
    """

    verdict: Tri
    misses: tuple[Mismatch, ...] = ()
    doubts: tuple[Mismatch, ...] = ()


def tri_and(values: Iterable[Tri]) -> Tri:
    """Combine conditions that must all hold."""
    outcome: Tri = "yes"
    for value in values:
        if value == "no":
            return "no"
        if value == "maybe":
            outcome = "maybe"
    return outcome


def match_rule(match: Match, packet: Packet, hook: Hook) -> Matched:
    """Match everything except the MSS bounds, which depend on the value so far.

    Args:
        match: The rule's conditions.
        packet: The packet, with addresses as they are at this hook and priority.
        hook: The base chain's hook, which decides what interfaces are known.
    """
    checks: tuple[tuple[Tri, Mismatch], ...] = (
        _family(match, packet),
        _interface("in-interface", match.in_interfaces, packet.in_interface, hook),
        _interface("out-interface", match.out_interfaces, packet.out_interface, hook),
        _addresses("from", match.sources, packet.sources),
        _addresses("to", match.destinations, packet.destinations),
        _protocol(match, packet),
        _ports("from", match.source_ports, packet.source_ports),
        _ports("to", match.destination_ports, packet.destination_ports),
        _handshake(match, packet),
        _icmp(match, packet),
        _opaque(match),
    )
    return Matched(
        verdict=tri_and(verdict for verdict, _ in checks),
        misses=tuple(m for verdict, m in checks if verdict == "no"),
        doubts=tuple(m for verdict, m in checks if verdict == "maybe"),
    )


def match_mss(match: Match, low: int, high: int) -> Tri:
    """Match the MSS bounds against a value somewhere in ``low`` to ``high``."""
    above = match.mss_above_bytes
    at_most = match.mss_at_most_bytes
    verdicts: list[Tri] = []
    if above is not None:
        verdicts.append("yes" if low > above else "no" if high <= above else "maybe")
    if at_most is not None:
        verdicts.append("yes" if high <= at_most else "no" if low > at_most else "maybe")
    return tri_and(verdicts)


def names_text(names: NameSet) -> str:
    """Write an interface set as a person would."""
    listed = ", ".join(names.names)
    return f"everything but {listed}" if names.negated else f"{listed} only"


def _family(match: Match, packet: Packet) -> tuple[Tri, Mismatch]:
    other = "IPv4" if packet.family == "ipv6" else "IPv6"
    return (
        "yes" if packet.family in match.families else "no",
        Mismatch("family", f"sees {other} only"),
    )


def _interface(
    kind: Literal["in-interface", "out-interface"],
    wanted: NameSet | None,
    name: str | None,
    hook: Hook,
) -> tuple[Tri, Mismatch]:
    if wanted is None:
        return "yes", Mismatch(kind, "")
    miss = Mismatch(kind, f"matches {names_text(wanted)}", wanted.names)
    seen: Tri = "maybe" if name is None else "yes" if wanted.holds(name) else "no"
    if kind == "out-interface" and hook in {"prerouting", "input", "ingress"}:
        # Not routed yet: no output interface exists. Old kernels break off, new ones compare "".
        return ("maybe" if wanted.negated else "no"), miss
    if kind == "in-interface" and hook in {"output", "egress"}:
        return ("maybe" if wanted.negated else "no"), miss
    if kind == "in-interface" and hook == "postrouting" and seen == "yes":
        # The input interface reaches postrouting only in newer kernels.
        return "maybe", miss
    return seen, miss


def _addresses(
    which: str, wanted: PrefixSet | None, candidates: tuple[str, ...]
) -> tuple[Tri, Mismatch]:
    if wanted is None:
        return "yes", Mismatch("address", "")
    listed = ", ".join(wanted.prefixes)
    text = f"matches {'not ' if wanted.negated else ''}{which} {listed} only"
    miss = Mismatch("address", text, wanted.prefixes)
    networks = [parse_network(prefix) for prefix in wanted.prefixes]
    addresses = [parse_address(candidate) for candidate in candidates]
    if not candidates or None in networks or None in addresses:
        return "maybe", miss
    inside = {
        any(
            network is not None
            and address is not None
            and network.version == address.version
            and address in network
            for network in networks
        )
        for address in addresses
    }
    if len(inside) > 1:
        return "maybe", miss
    return ("yes" if inside.pop() != wanted.negated else "no"), miss


def _protocol(match: Match, packet: Packet) -> tuple[Tri, Mismatch]:
    if match.protocols is None:
        return "yes", Mismatch("protocol", "")
    wanted = {_PROTOCOLS.get(name.lower(), name.lower()) for name in match.protocols}
    return (
        "yes" if packet.protocol in wanted else "no",
        Mismatch("protocol", f"matches {', '.join(sorted(wanted))} only"),
    )


_PROTOCOLS = {
    "6": "tcp",
    "1": "icmp",
    "58": "icmpv6",
    "icmp6": "icmpv6",
    "ipv6-icmp": "icmpv6",
    "17": "udp",
}


def _ports(
    which: str, wanted: PortSet | None, span: tuple[int, int] | None
) -> tuple[Tri, Mismatch]:
    if wanted is None:
        return "yes", Mismatch("port", "")
    if span is None:
        return "no", Mismatch("port", "asks for ports")
    low, high = span
    listed = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in wanted.ranges)
    miss = Mismatch("port", f"matches {'not ' if wanted.negated else ''}{which} port {listed} only")
    # Enough for real rules: a span that two adjacent ranges cover together stays "maybe".
    whole = any(a <= low and high <= b for a, b in wanted.ranges)
    none = all(b < low or high < a for a, b in wanted.ranges)
    inside: Tri = "yes" if whole else "no" if none else "maybe"
    if inside != "maybe" and wanted.negated:
        inside = "no" if inside == "yes" else "yes"
    return inside, miss


_ANY_HANDSHAKE: frozenset[Handshake] = frozenset({"syn", "syn-ack"})


def _handshake(match: Match, packet: Packet) -> tuple[Tri, Mismatch]:
    if packet.handshake is None:
        flags = len(match.handshake) < len(_ANY_HANDSHAKE)
        return ("no" if flags else "yes"), Mismatch("handshake", "asks for TCP flags")
    wanted = " and ".join(sorted(h.upper() for h in match.handshake)) or "other packets"
    return (
        "yes" if packet.handshake in match.handshake else "no",
        Mismatch("handshake", f"matches the {wanted} only"),
    )


def _icmp(match: Match, packet: Packet) -> tuple[Tri, Mismatch]:
    if match.icmp_types is None:
        return "yes", Mismatch("icmp", "")
    wanted = {name.lower() for name in match.icmp_types}
    miss = Mismatch("icmp", f"matches ICMP {', '.join(sorted(wanted))} only")
    return ("yes" if wanted & packet.icmp_types else "no"), miss


def _opaque(match: Match) -> tuple[Tri, Mismatch]:
    return (
        "maybe" if match.opaque else "yes",
        Mismatch("opaque", f"asks for '{'; '.join(match.opaque)}', which cannot be evaluated"),
    )
