"""PAN-OS configuration, in braces or in ``set`` form, as interfaces with their settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

Path = tuple[str, ...]
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"{};\[\]]+|[{};\[\]]')
_FAMILIES = ("ethernet", "aggregate-ethernet", "vlan", "loopback", "tunnel")
_ON = "yes"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One statement.

    Attributes:
        path: All words, from the top.
        line: Where it stands, from 1.
    """

    path: Path
    line: int


@dataclass(slots=True)
class Port:
    """One interface of layer 3.

    Attributes:
        mtu: As configured, ``None`` where it is not.
        adjusts: ``adjust-tcp-mss enable``, ``None`` where it is not set.
        cuts: What is taken off the MTU, by family.
        line: Where adjusting is switched on.
    """

    name: str
    kind: str
    mtu: int | None = None
    adjusts: bool | None = None
    cuts: dict[str, int] = field(default_factory=dict)
    is_pppoe: bool = False
    has_ipv6: bool = False
    line: int = 0

    def mss(self, family: str, mtu: int) -> int:
        """Return the MSS that it allows at an MTU."""
        return mtu - self.cuts.get(family, 40 if family == "ipv4" else 60)


def leaves(text: str) -> tuple[list[Leaf], list[tuple[int, str]]]:
    """Read a configuration in either form; what is neither is handed back."""
    found: list[Leaf] = []
    odd: list[tuple[int, str]] = []
    stack: list[Path] = []
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip("\u200b \t")
        if not bare or bare[0] in "!#":
            continue
        words = _WORD.findall(bare)
        if words[0] == "set":
            found.append(Leaf(tuple(word.strip('"') for word in words[1:]), number))
        elif words[-1] == "{":
            stack.append(tuple(word.strip('"') for word in words[:-1]))
        elif words[0] == "}" and stack:
            stack.pop()
        elif words[-1] == ";" and stack:
            own = tuple(word.strip('"') for word in words[:-1])
            found.append(Leaf((*(word for part in stack for word in part), *own), number))
        else:
            odd.append((number, line))
    if stack:
        odd.append((text.count("\n"), "the configuration ends in the middle"))
    return found, odd


def network(found: list[Leaf]) -> Iterator[Leaf]:
    """Yield what stands below ``network``, without the words before it."""
    for leaf in found:
        if "network" in leaf.path[:4]:
            yield Leaf(leaf.path[leaf.path.index("network") + 1 :], leaf.line)


def ports(found: list[Leaf]) -> dict[str, Port]:
    """Return the interfaces of layer 3 by name."""
    result: dict[str, Port] = {}
    for leaf in network(found):
        if leaf.path[:1] != ("interface",) or leaf.path[1:2][0] not in _FAMILIES:
            continue
        name, kind, rest = _owner(leaf.path[1:])
        if name:
            _set(result.setdefault(name, Port(name=name, kind=kind)), rest, leaf.line)
    return result


def _owner(path: Path) -> tuple[str, str, Path]:
    """Return whose setting it is, of which kind, and the setting."""
    family, rest = path[0], path[1:]
    name = family
    if family in {"ethernet", "aggregate-ethernet"}:
        if len(rest) < 2 or rest[1] != "layer3":  # noqa: PLR2004 - a name and its mode
            return "", "", ()
        name, rest = rest[0], rest[2:]
    if rest[:1] == ("units",) and len(rest) > 1:
        kind = "vlan" if family in {"ethernet", "aggregate-ethernet"} else family
        return rest[1], kind, rest[2:]
    return name, {"aggregate-ethernet": "bond"}.get(family, family), rest


def _set(port: Port, rest: Path, line: int) -> None:
    if rest[:1] == ("mtu",) and rest[-1].isdecimal():
        port.mtu = int(rest[-1])
    elif rest[:1] == ("adjust-tcp-mss",):
        if rest[1:2] == ("enable",):
            port.adjusts, port.line = rest[2:] == (_ON,), line
        for family in ("ipv4", "ipv6"):
            if rest[1:2] == (f"{family}-mss-adjustment",) and rest[-1].isdecimal():
                port.cuts[family] = int(rest[-1])
        for word, value in zip(rest[3::2], rest[4::2], strict=False):
            if word.endswith("-mss-adjustment") and value.isdecimal():
                port.cuts[word[:4]] = int(value)
    elif rest[:2] == ("pppoe", "enable"):
        port.is_pppoe = rest[2:] == (_ON,)
    elif rest[:2] == ("ipv6", "enabled"):
        port.has_ipv6 = rest[2:] == (_ON,)


def standard_mtu(found: list[Leaf]) -> int:
    """Return the MTU of interfaces that have none of their own: 1500 unless jumbo frames are on."""
    for leaf in found:
        if leaf.path[-3:-1] == ("jumbo-frame", "mtu") and leaf.path[-1].isdecimal():
            return int(leaf.path[-1])
    return 1500


def tunnels(found: list[Leaf]) -> dict[str, int]:
    """Return the interfaces of IPSec tunnels, with the line that says so."""
    return {
        leaf.path[-1]: leaf.line
        for leaf in network(found)
        if leaf.path[:2] == ("tunnel", "ipsec") and leaf.path[-2:-1] == ("tunnel-interface",)
    }
