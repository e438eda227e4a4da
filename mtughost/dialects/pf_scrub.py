"""pf's ``scrub`` rules as ``pfctl`` prints them, as chains for what enters and what leaves."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mtughost.model.clamps import Chain, ClampTo, Match, NameSet, PrefixSet, Rule

KIND = "scrub max-mss"
_NUMBERED = re.compile(r"@(?P<number>\d+)(?:\(\d+\))? (?P<text>.+)")
_COUNTERS = re.compile(r"\s+\[ Evaluations: \d+\s+Packets: (?P<packets>\d+)\s+.*\]\s*")
_OTHER_LINE = re.compile(
    r"\s+\[ .*\]\s*|(?:pass|block|match|anchor|antispoof|nat|rdr|binat|no nat)\b.*|\s*"
)
#: Words of a scrub rule that change no MSS; those with a value take it along.
_OPTIONS = frozenset({"random-id", "no-df", "fragment", "reassemble", "tcp", "all", "log"})
_VALUED = frozenset({"min-ttl", "set-tos", "max-mss"})
#: Filters that rewrite: ``match ... scrub (max-mss 1452)``.
_INLINE = re.compile(r"max-mss (?P<mss>\d{1,5})\b")
#: Before destinations are translated on the way in, after routing on the way out.
_IN_PRIORITY, _OUT_PRIORITY = -200, 0


@dataclass(frozen=True, slots=True)
class Names:
    """Interfaces and their groups."""

    interfaces: Sequence[str]
    groups: Mapping[str, tuple[str, ...]]

    def of(self, word: str) -> tuple[str, ...] | None:
        """Return what a word of a rule stands for; ``None`` where that is not known."""
        return (word,) if word in self.interfaces else self.groups.get(word)


@dataclass(slots=True)
class Scrubs:
    """What was read.

    Attributes:
        notes: Lines that are no rule of pf.
    """

    incoming: list[Rule] = field(default_factory=list)
    outgoing: list[Rule] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @property
    def chains(self) -> tuple[Chain, ...]:
        """The rules as chains."""
        return (
            Chain(
                table="pf",
                name="scrub in",
                hook="prerouting",
                priority=_IN_PRIORITY,
                rules=tuple(self.incoming),
            ),
            Chain(
                table="pf",
                name="scrub out",
                hook="postrouting",
                priority=_OUT_PRIORITY,
                rules=tuple(self.outgoing),
            ),
        )


@dataclass(slots=True)
class _Parsed:
    names: Names
    direction: str = ""
    interfaces: NameSet | None = None
    match: Match = field(default_factory=Match)
    mss: int = 0
    opaque: list[str] = field(default_factory=list)


def read_scrubs(text: str, names: Names, command: str) -> Scrubs:
    """Read all rules; only those that normalise matter here."""
    found = Scrubs()
    notes: list[str] = []
    last: list[tuple[list[Rule], int]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        numbered, counters = _NUMBERED.fullmatch(line.rstrip()), _COUNTERS.fullmatch(line)
        rule = (numbered["text"] if numbered is not None else line).strip()
        label = f"pf @{numbered['number']}" if numbered is not None else f"pf line {number}"
        if counters is not None:
            for rules, at in last:
                rules[at] = replace(rules[at], packets=int(counters["packets"]))
            last = []
        elif rule.startswith(("scrub ", "no scrub ")) or rule in {"scrub", "no scrub"}:
            last = _add(found, _parse(rule, names), (label, rule, number, command))
        elif inline := _inline(rule):
            unread = _Parsed(names, mss=int(inline["mss"]))
            unread.opaque.append("rules of the filter are not evaluated here")
            last = _add(found, unread, (label, rule, number, command))
        elif not _OTHER_LINE.fullmatch(rule if numbered is not None else line):
            notes.append(f"'{command}', line {number}: {line.strip()}")
        elif rule and not line.startswith((" ", "\t")):
            last = []
    found.notes = tuple(notes)
    return found


def _inline(rule: str) -> re.Match[str] | None:
    is_filter = rule.startswith(("match ", "pass ")) and "scrub" in rule
    return _INLINE.search(rule) if is_filter else None


def _add(
    found: Scrubs, parsed: _Parsed, origin: tuple[str, str, int, str]
) -> list[tuple[list[Rule], int]]:
    label, text, line, command = origin
    match = replace(parsed.match, opaque=tuple(parsed.opaque))
    added = []
    for side, rules in (("in", found.incoming), ("out", found.outgoing)):
        if parsed.direction not in {"", side}:
            continue
        where = replace(match, in_interfaces=parsed.interfaces)
        if side == "out":
            where = replace(match, out_interfaces=parsed.interfaces)
        rule = Rule(
            name=f"{label} ({side})",
            text=text,
            match=where,
            # The first rule that matches decides, whether it limits the MSS or not.
            action="accept",
            line=line,
            command=command,
        )
        if parsed.mss:
            rule = replace(rule, action=ClampTo(value_bytes=parsed.mss, kind=KIND), then="accept")
        rules.append(rule)
        added.append((rules, len(rules) - 1))
    return added


def _parse(rule: str, names: Names) -> _Parsed:
    words = rule.removeprefix("no ").split()[1:]
    found = _Parsed(names)
    while words:
        _word(found, words.pop(0), words)
    if rule.startswith("no "):
        found.mss = 0
    return found


def _word(found: _Parsed, word: str, rest: list[str]) -> None:
    if word in {"in", "out"}:
        found.direction = word
    elif word == "on" and rest:
        found.interfaces = _interfaces(found, rest)
    elif word in {"inet", "inet6"}:
        family = "ipv4" if word == "inet" else "ipv6"
        found.match = replace(found.match, families=frozenset({family}))
    elif word == "proto" and rest:
        found.match = replace(found.match, protocols=frozenset({rest.pop(0)}))
    elif word in {"from", "to"} and rest:
        _side(found, word, rest)
    elif word in _VALUED and rest:
        value = rest.pop(0)
        if word == "max-mss" and value.isdecimal():
            found.mss = int(value)
        elif word == "max-mss":
            found.opaque.append(f"max-mss {value}")
    elif word not in _OPTIONS:
        found.opaque.append(word)


def _interfaces(found: _Parsed, rest: list[str]) -> NameSet | None:
    negated = rest[0] == "!"
    if negated:
        rest.pop(0)
    word = rest.pop(0)
    members = found.names.of(word)
    if members is None:
        found.opaque.append(f"on {'! ' if negated else ''}{word}")
        return None
    return NameSet(names=members, negated=negated)


def _side(found: _Parsed, which: str, rest: list[str]) -> None:
    negated = rest[0] == "!"
    if negated:
        rest.pop(0)
    word = rest.pop(0)
    if rest[:1] == ["port"]:
        found.opaque.append(f"{which} port {' '.join(rest[1:])}")
        del rest[:]
    if word == "any" and not negated:
        return
    try:
        network = str(ipaddress.ip_network(word, strict=False))
    except ValueError:
        found.opaque.append(f"{which} {'! ' if negated else ''}{word}")
        return
    prefixes = PrefixSet(prefixes=(network,), negated=negated)
    if which == "from":
        found.match = replace(found.match, sources=prefixes)
    else:
        found.match = replace(found.match, destinations=prefixes)
