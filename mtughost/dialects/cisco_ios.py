"""Cisco IOS and IOS-XE: routes whose way out must be resolved, what an account sees, clamps.

``ip tcp adjust-mss`` stands among the input *and* the output features of its interface (recorded
``show ip interface``), so it rewrites both packets of a handshake; IPv6 has a command of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from mtughost.dialects.rows import DialectRows, Row
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Chain, ClampTo, Match, NameSet, Rule, Ruleset
from mtughost.model.session import Answer

#: What :func:`read_clamps` may be given, by the names that a task book uses under ``inputs:``.
INPUTS = ("config", "interfaces", "version")
KINDS = {"ipv4": "ip tcp adjust-mss", "ipv6": "ipv6 tcp adjust-mss"}
_FULL_PRIVILEGE = "15"
_PRIVILEGE = re.compile(r"^Current privilege level is (\d+)\s*$", re.MULTILINE)
_ADJUST = re.compile(r"^ (ip|ipv6) tcp adjust-mss (\d{1,5})\s*$")
_HEAD = re.compile(
    # A deleted subinterface goes on being listed until the next reload.
    r"^(?P<name>[A-Za-z][\w./:-]*) is (?!deleted).+, line protocol is \w+.*$",
    re.MULTILINE,
)
#: Interfaces that exist without a section of their own in the configuration.
_MADE_BY_ITSELF = re.compile(r"(Virtual-Access|NVI|Null|EOBC|Async|VoIP|Embedded-Service|nve|LISP)")

_ENTRY = re.compile(
    r"(?P<code>[A-Za-z][A-Za-z0-9*+%& ]{0,6}?) +(?P<dest>\d+\.\d+\.\d+\.\d+)(?P<len>/\d+)?"
    r"(?P<rest>(?: .*)?)"
)
_SUBNETTED = re.compile(r" *\d+\.\d+\.\d+\.\d+/(\d+) is subnetted, \d+ subnets?")
_VARIABLY = re.compile(r" *\d+\.\d+\.\d+\.\d+/\d+ is variably subnetted, .*")
_VIA = re.compile(r"\s*\[\d+/\d+\] via (?P<via>[0-9.]+)(?: \([^)]*\))?(?P<tail>(?:, .*)?)")
_DIRECT = re.compile(
    r"\s*(?:\[\d+/\d+\], [\w:]+, |is directly connected, |is a summary, [\w:]+, )(?P<out>\S+)"
)
_AGE = re.compile(r"\d[\dwdhmsy:.]*|never")
_IGNORED = re.compile(
    r"(?:Codes: .*| {6,}\S{1,3} - .*|Gateway of last resort is .*|Routing Table: \S+|"
    r"[\w*+%& ]{1,4} - .*)"
)
_DEPTH = 4
_BITS, _OCTET = 32, 255


def read_privilege(text: str) -> DialectRows:
    """``show privilege``: only level 15 sees the whole configuration."""
    found = _PRIVILEGE.search(text)
    is_full = found is not None and found[1] == _FULL_PRIVILEGE
    word = "yes" if is_full else "no"
    row: Row = {
        "SEES_FIREWALL": word,
        "SEES_INTERFACES": "yes" if found is not None else "no",
        "DETAIL": found[0].strip() if found is not None else "no privilege level was shown",
    }
    return DialectRows(rows=(row,), lines=(1,))


# -- routes --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Routes:
    rows: list[Row]
    lines: list[int]
    unplaced: list[tuple[int, str]]
    dest: str = ""
    length: str = ""


def read_routes(text: str) -> DialectRows:
    """``show ip route``: DESTINATION, VIA, INTERFACE; a next hop alone is looked up.

    Static routes name a next hop and no interface. The interface is that of the longest other
    route that holds the next hop, as the device resolves it.
    """
    state = _Routes([], [], [])
    for number, line in enumerate(text.split("\n"), start=1):
        _route_line(state, number, line.rstrip())
    behind = [row for row in state.rows if "INTERFACE" not in row]
    if behind:
        table = _Table(state.rows)
        for row in behind:
            row["INTERFACE"] = table.interface(str(row.get("VIA", "")))
    return DialectRows(
        rows=tuple(state.rows), lines=tuple(state.lines), unplaced=tuple(state.unplaced)
    )


def _route_line(state: _Routes, number: int, line: str) -> None:
    entry = _ENTRY.fullmatch(line)
    if entry is not None:
        _code, dest, length, rest = entry.groups()
        state.dest = dest + (length or state.length or _classful(dest))
        if rest.strip():
            _hop(state, number, rest, line)
    elif not line or _IGNORED.fullmatch(line):
        return
    elif (subnetted := _SUBNETTED.fullmatch(line)) is not None:
        state.length = f"/{subnetted[1]}"
    elif _VARIABLY.fullmatch(line):
        state.length = ""
    elif state.dest:
        _hop(state, number, line, line)
    else:
        state.unplaced.append((number, line))


def _hop(state: _Routes, number: int, rest: str, line: str) -> None:
    row: Row = {"DESTINATION": state.dest}
    if (via := _VIA.fullmatch(rest)) is not None:
        row["VIA"], tail = via.groups()
        names = [n for n in tail.split(", ") if n and not _AGE.fullmatch(n)]
        if names:
            row["INTERFACE"] = names[-1]
    elif (direct := _DIRECT.fullmatch(rest)) is not None:
        row["INTERFACE"] = direct[1]
    else:
        state.unplaced.append((number, line))
        return
    state.rows.append(row)
    state.lines.append(number)


def _classful(address: str) -> str:
    first = int(address.split(".", maxsplit=1)[0])
    return "/8" if first < 128 else "/16" if first < 192 else "/24"  # noqa: PLR2004 - classes


class _Table:
    """The routes by length and network, each destination's first: made once for all next hops."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._by_length: dict[int, dict[int, Row]] = {}
        for row in rows:
            address, _, length = str(row["DESTINATION"]).partition("/")
            network = _number(address)
            if network is not None and length.isdecimal() and 0 < int(length) <= _BITS:
                key = network >> (_BITS - int(length))
                self._by_length.setdefault(int(length), {}).setdefault(key, row)
        self._lengths = sorted(self._by_length, reverse=True)

    def interface(self, hop: str, depth: int = _DEPTH) -> str:
        """Return the interface that leads to a next hop, ``""`` where no route holds it."""
        address = _number(hop)
        if address is None or not depth:
            return ""
        for length in self._lengths:
            row = self._by_length[length].get(address >> (_BITS - length))
            if row is not None:
                found = str(row.get("INTERFACE") or "")
                return found or self.interface(str(row.get("VIA", "")), depth - 1)
        return ""


@lru_cache(maxsize=4096)  # next hops of a table are few, and a fleet's tables alike
def _number(address: str) -> int | None:
    """Return an IPv4 address as a number, ``None`` where it is none."""
    try:
        first, second, third, last = map(int, address.split("."))
    except ValueError:
        return None
    if not 0 <= first | second | third | last <= _OCTET:
        return None
    return first << 24 | second << 16 | third << 8 | last


# -- clamps --------------------------------------------------------------------------------------


def read_clamps(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Turn interface sections into one ruleset.

    An interface that the device has and the configuration shown does not have proves that a part
    is hidden.
    """
    for name in ("config", "interfaces"):
        answer = answers.get(name)
        if answer is None or answer.status != "complete":
            why = answer.error or answer.status if answer is not None else "it was not asked"
            return Unknown(
                f"'{answer.line if answer else name}' gave no complete answer: {why}",
                "log in with an account of privilege level 15",
            )
    config = answers["config"]
    sections, notes = _sections(config.text)
    has = {found["name"] for found in _HEAD.finditer(answers["interfaces"].text)}
    hidden = sorted(n for n in has - set(sections) if not _MADE_BY_ITSELF.match(n))
    if not sections or hidden:
        missing = f"interface {hidden[0]}" if hidden else "every interface"
        return Unknown(
            f"the configuration shown lacks {missing}, so a part of it is hidden",
            "log in with an account of privilege level 15 and without a parser view",
        )
    notes += _mode_notes(answers.get("version"))
    rules = [r for name, lines in sections.items() for r in _rules(name, lines, config.line)]
    chain = Chain(table="interfaces", name="tcp adjust-mss", hook="forward", rules=tuple(rules))
    return Ruleset(chains=(chain,), command=config.line, notes=tuple(notes))


def _sections(text: str) -> tuple[dict[str, list[tuple[int, str]]], list[str]]:
    sections: dict[str, list[tuple[int, str]]] = {}
    notes: list[str] = []
    current: list[tuple[int, str]] | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("interface ") and len(line.split()) > 1:
            current = sections.setdefault(line.split()[1], [])
        elif line.startswith(" ") and current is not None:
            current.append((number, line))
        elif line.strip() not in {"", "!", "end"}:
            notes.append(f"line {number}: {line.strip()}")
    return sections, notes


def _mode_notes(version: Answer | None) -> list[str]:
    if version is None or version.status != "complete":
        return ["whether the router is managed by SD-WAN, which clamps by itself, is not known"]
    if re.search(r"^Router operating mode: Controller-Managed", version.text, re.MULTILINE):
        return ["the router is managed by SD-WAN, which clamps by itself (tcp-mss-adjust)"]
    return []


def _rules(name: str, lines: list[tuple[int, str]], command: str) -> Iterable[Rule]:
    for number, line in lines:
        found = _ADJUST.match(line)
        if found is None:
            continue
        family, size = "ipv4" if found[1] == "ip" else "ipv6", int(found[2])
        for side in ("in", "out"):
            yield Rule(
                name=f"interface {name} {KINDS[family]} ({side})",
                text=f"interface {name}:{line}",
                match=_condition(name, family, side),
                action=_action(size, family),
                line=number,
                command=command,
            )


# Routers of one fleet have the same interfaces and values: one of each is enough.
@lru_cache(maxsize=4096)
def _condition(name: str, family: str, side: str) -> Match:
    names = NameSet(names=(name,))
    return Match(
        families=frozenset({family}),
        protocols=frozenset({"tcp"}),
        in_interfaces=names if side == "in" else None,
        out_interfaces=names if side == "out" else None,
    )


@lru_cache(maxsize=256)
def _action(size_bytes: int, family: str) -> ClampTo:
    return ClampTo(value_bytes=size_bytes, kind=KINDS[family])
