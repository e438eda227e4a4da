"""The conditions of a RouterOS firewall rule. What is not known here is kept as it is printed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from mtughost.dialects.routeros import PPP_TYPE
from mtughost.dialects.routeros_print import Item
from mtughost.model.clamps import Handshake, Match, NameSet, PortSet, PrefixSet

T = TypeVar("T")
#: Keys of a rule that say what it does, not when.
_NO_CONDITION = frozenset(
    {
        "chain", "action", "comment", "log", "log-prefix", "passthrough", "jump-target",
        "new-mss", "new-connection-mark", "new-packet-mark", "new-routing-mark", "new-dscp",
        "new-ttl", "new-hop-limit", "new-priority", "new-vlan-priority", "address-list",
        "address-list-timeout", "bytes", "packets", "disabled", "route-dst", "sniff-target",
        "sniff-target-port", "sniff-id",
    }
)  # fmt: skip
_NUMBERS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_BOTH: frozenset[Handshake] = frozenset({"syn", "syn-ack"})
#: Flags that neither handshake packet has.
_NEVER = frozenset({"fin", "rst", "psh", "urg"})


class Names:
    """Interfaces by type and by list, for conditions that name many at once."""

    def __init__(self, links: Iterable[Item], members: Iterable[Item]) -> None:
        self._types = {item.get("name"): item.get("type") for item in links}
        self._lists: dict[str, list[str]] = {}
        for item in members:
            if not item.is_off:
                self._lists.setdefault(item.get("list"), []).append(item.get("interface"))

    def interfaces(self, word: str) -> tuple[str, ...] | None:
        """Return what a name stands for; ``None`` where that is not known."""
        special = {"all-ppp": PPP_TYPE, "all-ethernet": re.compile("ether"), "all-vlan": None}
        if word not in special:
            return (word,) if word in self._types else None
        pattern = special[word] or re.compile("vlan")
        return tuple(name for name, kind in self._types.items() if pattern.fullmatch(kind))

    def listed(self, name: str) -> tuple[str, ...] | None:
        """Return the members of a list; ``None`` for the built-in ones and for empty ones."""
        found = self._lists.get(name)
        return tuple(found) if found else None


@dataclass(slots=True)
class _Conditions:
    names: Names
    opaque: list[str] = field(default_factory=list)

    def interface(self, key: str, value: str) -> NameSet | None:
        negated, word = value.startswith("!"), value.lstrip("!")
        is_list = key.endswith("-list")
        found = self.names.listed(word) if is_list else self.names.interfaces(word)
        if found is None:
            self.opaque.append(f"{key}={value}")
            return None
        return NameSet(names=found, negated=negated)

    def prefixes(self, key: str, value: str) -> PrefixSet | None:
        negated, word = value.startswith("!"), value.lstrip("!")
        try:
            first, dash, last = word.partition("-")
            if dash:
                ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
                networks = ipaddress.summarize_address_range(*ends)
                found = tuple(str(network) for network in networks)
            else:
                found = (str(ipaddress.ip_network(word, strict=False)),)
        except (ValueError, TypeError):
            self.opaque.append(f"{key}={value}")
            return None
        return PrefixSet(prefixes=found, negated=negated)

    def ports(self, key: str, value: str) -> PortSet | None:
        found = [_RANGE.fullmatch(part) for part in value.lstrip("!").split(",")]
        ranges = [(int(m[1]), int(m[2] or m[1])) for m in found if m is not None]
        if len(ranges) < len(found):
            self.opaque.append(f"{key}={value}")
            return None
        return PortSet(ranges=tuple(ranges), negated=value.startswith("!"))

    def handshake(self, value: str) -> frozenset[Handshake]:
        """Return which handshake packets carry these flags, and not those behind a ``!``."""
        found: set[Handshake] = set(_BOTH)
        for flag in value.split(","):
            bare = flag.removeprefix("!")
            if bare == "ack":
                found -= {"syn-ack"} if flag != bare else {"syn"}
            elif (bare == "syn" and flag != bare) or (bare in _NEVER and flag == bare):
                found.clear()
            elif bare not in _NEVER | {"syn"}:
                self.opaque.append(f"tcp-flags={flag}")
        return frozenset(found)

    def bounds(self, value: str) -> tuple[int | None, int | None]:
        found = _RANGE.fullmatch(value)
        if found is None:
            self.opaque.append(f"tcp-mss={value}")
            return None, None
        return int(found[1]) - 1, int(found[2] or found[1])


def match_of(item: Item, names: Names) -> Match:
    """Return the conditions of one rule."""
    seen = _Conditions(names)
    sides: dict[str, NameSet | None] = {"in": None, "out": None}
    for side in ("in", "out"):
        for key in (f"{side}-interface", f"{side}-interface-list"):
            value = item.get(key)
            if value and sides[side] is not None:
                seen.opaque.append(f"{key}={value}")
            elif value:
                sides[side] = seen.interface(key, value)
    above, at_most = seen.bounds(item.get("tcp-mss")) if item.get("tcp-mss") else (None, None)
    return Match(
        in_interfaces=sides["in"],
        out_interfaces=sides["out"],
        sources=_of(item, "src-address", seen.prefixes),
        destinations=_of(item, "dst-address", seen.prefixes),
        protocols=_protocols(item.get("protocol"), seen),
        source_ports=_of(item, "src-port", seen.ports),
        destination_ports=_of(item, "dst-port", seen.ports),
        handshake=seen.handshake(item.get("tcp-flags")) if item.get("tcp-flags") else _BOTH,
        mss_above_bytes=above,
        mss_at_most_bytes=at_most,
        opaque=(*seen.opaque, *_unknown(item)),
    )


def _of(item: Item, key: str, read: Callable[[str, str], T | None]) -> T | None:
    return read(key, item.get(key)) if item.get(key) else None


def _protocols(value: str, seen: _Conditions) -> frozenset[str] | None:
    if value.startswith("!"):
        seen.opaque.append(f"protocol={value}")
        return None
    return frozenset({_NUMBERS.get(value, value)}) if value else None


_KNOWN = frozenset(
    {
        "in-interface", "out-interface", "in-interface-list", "out-interface-list", "src-address",
        "dst-address", "protocol", "src-port", "dst-port", "tcp-flags", "tcp-mss",
    }
)  # fmt: skip


def _unknown(item: Item) -> tuple[str, ...]:
    return tuple(
        f"{key}={value}"
        for key, value in item.values.items()
        if value and key not in _KNOWN and key not in _NO_CONDITION
    )
