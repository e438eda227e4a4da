"""Conditions of one rule, merged into the model's match; what does not fit becomes opaque.

A condition is only ever left out of the fields when it is kept as an opaque one: the match then
says "maybe", never a wrong yes or no.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from mtughost.dialects.netfilter.steps import Cond
from mtughost.dialects.netfilter.words import (
    ALL_PROTOCOLS,
    TCP_FLAGS,
    icmp_name,
    protocol_name,
    tcp_flags,
)
from mtughost.model.clamps import Handshake, Match, NameSet, PortSet, PrefixSet

BOTH_FAMILIES = frozenset({"ipv4", "ipv6"})
MAX_PREFIXES = 4096
_ETHER_FAMILIES = {"ip": "ipv4", "ip6": "ipv6", "0x0800": "ipv4", "0x86dd": "ipv6"}
#: The TCP flags that the two handshake packets carry. ECE and CWR depend on the hosts.
_HANDSHAKES: dict[Handshake, frozenset[str]] = {
    "syn": frozenset({"syn"}),
    "syn-ack": frozenset({"syn", "ack"}),
}
#: Conntrack's state of a connection's first and second packet, when it follows connections.
_CT_STATES: dict[str, Handshake] = {"new": "syn", "established": "syn-ack"}
_CT_DIRECTIONS: dict[str, Handshake] = {"original": "syn", "reply": "syn-ack"}
_PORT_RANGE = re.compile(r"(\d{1,5})(?:[-:](\d{1,5}))?")
_NUMBER_RANGE = re.compile(r"(\d{1,5})(?:[-:](\d{1,5}))?")
_MAX_MSS = 65535


@dataclass(slots=True)
class Conditions:
    """All conditions of one rule so far.

    Attributes:
        tracks: Whether connection tracking sees all packets (no ``notrack`` anywhere).
    """

    families: frozenset[str] = BOTH_FAMILIES
    tracks: bool = True
    in_interfaces: NameSet | None = None
    out_interfaces: NameSet | None = None
    sources: PrefixSet | None = None
    destinations: PrefixSet | None = None
    protocols: frozenset[str] | None = None
    source_ports: PortSet | None = None
    destination_ports: PortSet | None = None
    handshake: frozenset[Handshake] = frozenset({"syn", "syn-ack"})
    mss_above_bytes: int | None = None
    mss_at_most_bytes: int | None = None
    icmp_types: frozenset[str] | None = None
    opaque: list[str] = field(default_factory=list)

    def add(self, cond: Cond) -> None:
        """Take one more condition; whatever is not understood is kept as opaque."""
        handler = _HANDLERS.get(cond.key)
        if handler is None or cond.values is None or not handler(self, cond):
            self.opaque.append(cond.text)

    def copy(self) -> Conditions:
        """Return an independent copy."""
        return Conditions(
            **{name: getattr(self, name) for name in self.__slots__ if name != "opaque"},
            opaque=list(self.opaque),
        )

    def match(self) -> Match:
        """Return the model's match."""
        return Match(
            **{name: getattr(self, name) for name in self.__slots__ if name not in _OWN},
            opaque=tuple(self.opaque),
        )


_OWN = {"tracks", "opaque"}
_Handler = Callable[[Conditions, Cond], bool]


# -- interfaces ---------------------------------------------------------------------------------
def _interfaces(side: str) -> _Handler:
    def handle(all_: Conditions, cond: Cond) -> bool:
        names = cond.values or ()
        # nft 1.0.6 prints wildcards in sets as an empty range; "\*" is a literal asterisk.
        if cond.op not in {"==", "!="} or cond.mask or not all(_plain_name(name) for name in names):
            return False
        new = NameSet(names=names, negated=cond.op == "!=")
        merged = _both_names(getattr(all_, side), new)
        if merged is None:
            return False
        setattr(all_, side, merged)
        return True

    return handle


def _plain_name(name: str) -> bool:
    return bool(re.fullmatch(r"[^\s\"\\*]+\*?|\*", name))


def _both_names(old: NameSet | None, new: NameSet) -> NameSet | None:
    if old is None:
        return new
    if old.negated and new.negated:
        return NameSet(names=(*old.names, *new.names), negated=True)
    for one, other in ((old, new), (new, old)):
        if not one.negated and not any(name.endswith("*") for name in one.names):
            return NameSet(names=tuple(name for name in one.names if other.holds(name)))
    return None


# -- addresses ----------------------------------------------------------------------------------
def _addresses(side: str, family: str) -> _Handler:
    def handle(all_: Conditions, cond: Cond) -> bool:
        if cond.op not in {"==", "!="} or cond.mask is not None:
            return False
        prefixes = _prefixes(cond.values or ())
        old: PrefixSet | None = getattr(all_, side)
        negated = cond.op == "!="
        if prefixes is None or (old is not None and not (old.negated and negated)):
            return False
        all_.families &= {family}
        before = old.prefixes if old is not None else ()
        setattr(all_, side, PrefixSet(prefixes=(*before, *prefixes), negated=negated))
        return True

    return handle


def _prefixes(values: tuple[str, ...]) -> tuple[str, ...] | None:
    found: list[str] = []
    for value in values:
        first, dash, last = value.partition("-")
        try:
            if dash:
                low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
                found += [str(net) for net in ipaddress.summarize_address_range(low, high)]
            else:
                found.append(str(ipaddress.ip_network(value, strict=False)))
        except (ValueError, TypeError):
            return None
        if len(found) > MAX_PREFIXES:
            return None
    return tuple(found)


# -- families and protocols ---------------------------------------------------------------------
def _family(names: dict[str, str]) -> _Handler:
    def handle(all_: Conditions, cond: Cond) -> bool:
        values = {value.lower() for value in cond.values or ()}
        # Frames of another type ("vlan") may carry IP inside.
        if cond.op not in {"==", "!="} or cond.mask or not values <= {*names, "arp"}:
            return False
        listed = {names[value] for value in values if value in names}
        if cond.op == "!=":
            all_.families -= listed
        else:
            all_.families &= listed
        return True

    return handle


def _protocols(all_: Conditions, cond: Cond) -> bool:
    if cond.op not in {"==", "!="} or cond.mask:
        return False
    listed = frozenset(protocol_name(value) for value in cond.values or ())
    wanted = ALL_PROTOCOLS - listed if cond.op == "!=" else listed
    all_.protocols = wanted if all_.protocols is None else all_.protocols & wanted
    return True


def _protocols_of(family: str) -> _Handler:
    def handle(all_: Conditions, cond: Cond) -> bool:
        if not _protocols(all_, cond):
            return False
        all_.families &= {family}
        return True

    return handle


def _only_protocol(all_: Conditions, name: str) -> None:
    wanted = frozenset({name})
    all_.protocols = wanted if all_.protocols is None else all_.protocols & wanted


# -- ports --------------------------------------------------------------------------------------
def _ports(side: str, protocol: str) -> _Handler:
    def handle(all_: Conditions, cond: Cond) -> bool:
        ranges = _ranges(cond)
        if ranges is None or cond.mask:
            return False
        new = PortSet(ranges=ranges, negated=cond.op == "!=")
        merged = _both_ports(getattr(all_, side), new)
        if merged is None:
            return False
        setattr(all_, side, merged)
        if protocol:
            _only_protocol(all_, protocol)
        return True

    return handle


def _ranges(cond: Cond) -> tuple[tuple[int, int], ...] | None:
    found: list[tuple[int, int]] = []
    for value in cond.values or ():
        match = _PORT_RANGE.fullmatch(value)
        if match is None:
            return None
        low = int(match[1])
        found.append((low, int(match[2]) if match[2] else low))
    if cond.op in {"==", "!="}:
        return tuple(found)
    if len(found) != 1 or found[0][0] != found[0][1]:
        return None
    return {
        "<": ((0, found[0][0] - 1),),
        "<=": ((0, found[0][0]),),
        ">": ((found[0][0] + 1, 65535),),
        ">=": ((found[0][0], 65535),),
    }.get(cond.op)


def _both_ports(old: PortSet | None, new: PortSet) -> PortSet | None:
    if old is None:
        return new
    if old.negated and new.negated:
        return PortSet(ranges=(*old.ranges, *new.ranges), negated=True)
    if old.negated or new.negated:
        return None
    both = [
        (max(a, c), min(b, d))
        for a, b in old.ranges
        for c, d in new.ranges
        if max(a, c) <= min(b, d)
    ]
    return PortSet(ranges=tuple(both))


# -- handshake ----------------------------------------------------------------------------------
def _tcp_flags(all_: Conditions, cond: Cond) -> bool:
    values = [tcp_flags(value) for value in cond.values or ()]
    mask = None if cond.mask is None else tcp_flags(cond.mask)
    if None in values or (cond.mask is not None and mask is None):
        return False
    known = [value for value in values if value is not None]
    looked_at = (mask or frozenset()).union(*known) if mask is not None else TCP_FLAGS
    passing = {
        name for name, flags in _HANDSHAKES.items() if _flags_pass(flags, cond.op, known, mask)
    }
    all_.handshake &= passing
    _only_protocol(all_, "tcp")
    if mask is not None and looked_at & {"ecn", "cwr"}:
        all_.opaque.append(f"{cond.text} (depends on ECN)")
    return True


def _flags_pass(
    flags: frozenset[str], op: str, values: list[frozenset[str]], mask: frozenset[str] | None
) -> bool:
    seen = flags if mask is None else flags & mask
    everything = frozenset[str]().union(*values)
    if op == "==":
        return seen in values
    if op == "!=":
        return seen not in values
    if op == "any":
        return bool(seen & everything)
    return op == "none" and not seen & everything


def _conntrack(names: dict[str, Handshake]) -> _Handler:
    def handle(all_: Conditions, cond: Cond) -> bool:
        if not all_.tracks or cond.mask or cond.op not in {"==", "!=", "any", "none"}:
            return False
        listed = {names[value.lower()] for value in cond.values or () if value.lower() in names}
        if cond.op in {"!=", "none"}:
            all_.handshake -= listed
        else:
            all_.handshake &= listed
        return True

    return handle


# -- MSS ----------------------------------------------------------------------------------------
def _mss(all_: Conditions, cond: Cond) -> bool:
    if cond.mask or len(cond.values or ()) != 1 or cond.op not in {"==", "<", "<=", ">", ">="}:
        return False
    match = _NUMBER_RANGE.fullmatch((cond.values or ("",))[0])
    if match is None or (match[2] and cond.op != "=="):
        return False
    low = int(match[1])
    high = int(match[2]) if match[2] else low
    above, at_most = {
        "==": (low - 1, high),
        "<": (None, low - 1),
        "<=": (None, low),
        ">": (low, None),
        ">=": (low - 1, None),
    }[cond.op]
    if above is not None:
        all_.mss_above_bytes = max(above, all_.mss_above_bytes or 0)
    if at_most is not None and at_most < _MAX_MSS:
        all_.mss_at_most_bytes = min(at_most, all_.mss_at_most_bytes or _MAX_MSS)
    _only_protocol(all_, "tcp")
    return True


# -- ICMP ---------------------------------------------------------------------------------------
def _icmp_type(family: str, protocol: str) -> _Handler:
    def handle(all_: Conditions, cond: Cond) -> bool:
        if cond.op != "==" or cond.mask or all_.icmp_types is not None:
            return False
        all_.families &= {family}
        _only_protocol(all_, protocol)
        names = frozenset(icmp_name(value, family) for value in cond.values or ())
        all_.icmp_types = None if names & {"any", "255"} else names
        return True

    return handle


def _icmp_code(family: str) -> _Handler:
    def handle(all_: Conditions, cond: Cond) -> bool:
        types = all_.icmp_types
        if cond.op != "==" or cond.mask or not types or any("/" in name for name in types):
            return False
        all_.icmp_types = frozenset(
            icmp_name(f"{kind}/{code}", family) for kind in types for code in cond.values or ()
        )
        return True

    return handle


_NFPROTO = {"ipv4": "ipv4", "ipv6": "ipv6"}
_HANDLERS: dict[str, _Handler] = {
    "meta iifname": _interfaces("in_interfaces"),
    "meta iif": _interfaces("in_interfaces"),
    "meta oifname": _interfaces("out_interfaces"),
    "meta oif": _interfaces("out_interfaces"),
    "meta nfproto": _family(_NFPROTO),
    "meta protocol": _family(_ETHER_FAMILIES),
    "ether type": _family(_ETHER_FAMILIES),
    "meta l4proto": _protocols,
    "ip protocol": _protocols_of("ipv4"),
    "ip6 nexthdr": _protocols_of("ipv6"),
    "ip saddr": _addresses("sources", "ipv4"),
    "ip daddr": _addresses("destinations", "ipv4"),
    "ip6 saddr": _addresses("sources", "ipv6"),
    "ip6 daddr": _addresses("destinations", "ipv6"),
    "tcp sport": _ports("source_ports", "tcp"),
    "tcp dport": _ports("destination_ports", "tcp"),
    "udp sport": _ports("source_ports", "udp"),
    "udp dport": _ports("destination_ports", "udp"),
    "th sport": _ports("source_ports", ""),
    "th dport": _ports("destination_ports", ""),
    "tcp flags": _tcp_flags,
    "ct state": _conntrack(_CT_STATES),
    "ct direction": _conntrack(_CT_DIRECTIONS),
    "tcp option maxseg size": _mss,
    "icmp type": _icmp_type("ipv4", "icmp"),
    "icmpv6 type": _icmp_type("ipv6", "icmpv6"),
    "icmp code": _icmp_code("ipv4"),
    "icmpv6 code": _icmp_code("ipv6"),
}
