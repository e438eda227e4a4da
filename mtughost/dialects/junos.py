"""Junos on SRX: routes, what the login class sees, and the places that hold an MSS.

Sources: Juniper's pages on ``tcp-mss`` (security flow, interfaces, internet-options) and
``initial-tcp-mss``. What they leave open (IPv6 of ``all-tcp``, interfaces other than lt- and gr-,
policies) is a condition that cannot be evaluated, never a clamp that counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mtughost.dialects.rows import DialectRows, Row, RowTable
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Chain, ClampTo, Match, NameSet, Rule, Ruleset, Verdict
from mtughost.model.session import Answer

#: What :func:`read_clamps` may be given, by the names that a task book uses under ``inputs:``.
INPUTS = ("authorization", "interfaces", "flow", "policies", "options")
ALL_TCP = "security flow tcp-mss all-tcp"
VPN = "security flow tcp-mss ipsec-vpn"
_V4, _V6 = frozenset({"ipv4"}), frozenset({"ipv6"})
_TCP = frozenset({"tcp"})
_PERMISSION = re.compile(r"^ {2,}(all|view-configuration)\b", re.MULTILINE)
_DENIES = re.compile(r"^ *Deny (?:configuration )?regular expression: (.+?)\s*$", re.MULTILINE)
_CLUSTER = re.compile(r"\{[\w:.-]+\}")
_TABLE = re.compile(r"(?P<name>[\w.-]+): \d+ destinations, \d+ routes .*")
_ENTRY = re.compile(r"(?P<dest>[0-9a-fA-F.:]+/\d+)(?:\s+(?P<rest>[*+-]?\s*\[.*))?")
_PATH = re.compile(r"\s*[*+-]?\s*\[\w[\w -]*/\d+(?:/\d+)?\](?P<tail>.*)")
_HOP = re.compile(
    r"\s*>?\s*(?:to (?P<via>[0-9a-fA-F.:]+) )?(?:Local )?via (?P<out>[\w./:-]+)(?:,.*)?"
)
#: Of a route by BGP: nothing of it is a way out.
_AS_PATH = re.compile(r"\s*AS path: \S.*")
_NO_HOP = re.compile(r"\s*(?:Discard|Reject|Receive|MultiRecv|to table [\w.-]+)\s*")


# -- what the account sees -------------------------------------------------------------------------


def read_privilege(text: str) -> DialectRows:
    """``show cli authorization``: the class may view all configuration, and nothing is denied."""
    row: Row = {
        "SEES_FIREWALL": "yes" if _sees_all(text) else "no",
        "SEES_INTERFACES": "yes" if "Permissions:" in text else "no",
        "DETAIL": (text.split("\n") or [""])[0].strip(),
    }
    return DialectRows(rows=(row,), lines=(1,))


def _sees_all(text: str) -> bool:
    denied = [said for said in _DENIES.findall(text) if said != "none"]
    return _PERMISSION.search(text) is not None and not denied


# -- routes ----------------------------------------------------------------------------------------


def read_routes(text: str) -> DialectRows:
    """``show route``: DESTINATION, FAMILY, VIA, INTERFACE, TABLE of the next hops in use."""
    made = RowTable()
    table, dest, several = "", "", False
    for number, line in enumerate(text.split("\n"), start=1):
        head, entry = _TABLE.fullmatch(line.strip()), _ENTRY.fullmatch(line.rstrip())
        path, hop = _PATH.fullmatch(line.rstrip()), _HOP.fullmatch(line.rstrip())
        if head is not None:
            table, dest = head["name"], ""
        elif entry is not None:
            dest, several = entry["dest"], False
        elif path is not None and dest:
            # A second path of one destination is not in use.
            several = True
        elif hop is not None and dest:
            if not several:
                made.add(number, _route(table, dest, hop))
        elif line.strip() and not _NO_HOP.fullmatch(line) and not _is_frame(line):
            made.leave(number, line)
    return made.done()


def _is_frame(line: str) -> bool:
    if _AS_PATH.fullmatch(line) is not None:
        return True
    return line.startswith("+ = Active Route") or _CLUSTER.fullmatch(line.strip()) is not None


def _route(table: str, dest: str, hop: re.Match[str]) -> Row:
    row: Row = {
        "DESTINATION": dest,
        "FAMILY": "ipv6" if ":" in dest else "ipv4",
        "INTERFACE": hop["out"],
        "VIA": hop["via"] or "",
    }
    if table not in {"inet.0", "inet6.0", ""}:
        row["TABLE"] = table
    return row


# -- clamps ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Set:
    """One ``set`` line of ``| display set``."""

    words: tuple[str, ...]
    line: int
    text: str
    command: str


def read_clamps(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Turn configuration in ``set`` form into one ruleset.

    A login class that may not view a hierarchy gets an empty answer, so that emptiness proves
    nothing: without ``show cli authorization`` the clamps are unknown.
    """
    for name in INPUTS:
        answer = answers.get(name)
        if answer is None or answer.status != "complete":
            why = answer.error or answer.status if answer is not None else "it was not asked"
            return Unknown(f"'{answer.line if answer else name}' gave no complete answer: {why}")
    remedy = "log in with a class that has the permission view-configuration"
    if not _sees_all(answers["authorization"].text):
        return Unknown("the login class may not view all configuration", remedy)
    if any("ACCESS-DENIED" in answer.text for answer in answers.values()):
        return Unknown("a part of the configuration is marked ACCESS-DENIED", remedy)
    notes: list[str] = []
    lines = [item for name in INPUTS[1:] for item in _sets(answers[name], notes)]
    if not any(item.words[:1] == ("interfaces",) for item in lines):
        return Unknown("the configuration shows no interface", remedy)
    rules = [*_vpn(lines), *_global(lines), *_doubtful(lines)]
    chain = Chain(table="security flow", name="tcp-mss", hook="forward", rules=tuple(rules))
    return Ruleset(chains=(chain,), command=answers["flow"].line, notes=tuple(notes))


def _sets(answer: Answer, notes: list[str]) -> list[_Set]:
    found: list[_Set] = []
    inactive: list[tuple[str, ...]] = []
    for number, line in enumerate(answer.text.split("\n"), start=1):
        verb, *words = line.split() or [""]
        if verb == "set":
            found.append(_Set(tuple(words), number, line.strip(), answer.line))
        elif verb == "deactivate":
            inactive.append(tuple(words))
        elif line.strip() and not line.startswith("#") and not _CLUSTER.fullmatch(line.strip()):
            notes.append(f"{answer.line}, line {number}: {line.strip()}")
    return [s for s in found if not any(s.words[: len(path)] == path for path in inactive)]


def _value(lines: list[_Set], *path: str) -> tuple[_Set, int] | None:
    for item in lines:
        if item.words[:-1] == path and item.words[-1].isdecimal():
            return item, int(item.words[-1])
    return None


def _vpn(lines: list[_Set]) -> Iterable[Rule]:
    """``ipsec-vpn`` beats ``all-tcp`` for packets that enter a tunnel."""
    found = _value(lines, "security", "flow", "tcp-mss", "ipsec-vpn", "mss")
    if found is not None:
        tunnels = NameSet(names=("st0*",))
        match = Match(families=_V4, protocols=_TCP, out_interfaces=tunnels)
        yield _rule(found, VPN, match, VPN, then="accept")


def _global(lines: list[_Set]) -> Iterable[Rule]:
    found = _value(lines, "security", "flow", "tcp-mss", "all-tcp", "mss")
    if found is not None:
        yield _rule(found, ALL_TCP, Match(families=_V4, protocols=_TCP), ALL_TCP)
        doubt = ("whether all-tcp reaches IPv6 is not documented",)
        match = Match(families=_V6, protocols=_TCP, opaque=doubt)
        yield _rule(found, f"{ALL_TCP} (IPv6)", match, ALL_TCP)


def _doubtful(lines: list[_Set]) -> Iterable[Rule]:
    """What may or may not rewrite: neither relied on nor ruled out."""
    for item in lines:
        words = item.words
        if not words[-1].isdecimal():
            continue
        value, path = (item, int(words[-1])), " ".join(words[:-1])
        if words[:1] == ("interfaces",) and words[-2] == "tcp-mss" and "unit" in words:
            name = f"{words[1]}.{words[words.index('unit') + 1]}"
            doubt = "tcp-mss of an interface is documented for lt-, gr- and service interfaces only"
            family = _V6 if "inet6" in words else _V4
            match = Match(families=family, in_interfaces=NameSet(names=(name,)), opaque=(doubt,))
            yield _rule(value, path, match, "interfaces unit family tcp-mss")
        elif words[-2] in {"initial-tcp-mss", "reverse-tcp-mss"}:
            packet = "syn" if words[-2] == "initial-tcp-mss" else "syn-ack"
            doubt = f"the policy {' '.join(words[2:8])} may not be the one that matches"
            match = Match(handshake=frozenset({packet}), protocols=_TCP, opaque=(doubt,))  # type: ignore[arg-type]
            yield _rule(value, path, match, "security policies then permit tcp-options")
        elif words[:4] == ("security", "flow", "tcp-mss", "gre-in"):
            yield _rule(value, path, _gre("in"), "security flow tcp-mss gre-in")
        elif words[:4] == ("security", "flow", "tcp-mss", "gre-out"):
            yield _rule(value, path, _gre("out"), "security flow tcp-mss gre-out")
        elif words[:3] == ("system", "internet-options", "tcp-mss"):
            doubt = "internet-options tcp-mss is documented for packet mode"
            yield _rule(value, path, Match(opaque=(doubt,)), "system internet-options tcp-mss")


def _gre(side: str) -> Match:
    names = NameSet(names=("gr-*",))
    doubt = (f"gre-{side} is for packets of GRE tunnels",)
    if side == "in":
        return Match(in_interfaces=names, protocols=_TCP, opaque=doubt)
    return Match(out_interfaces=names, protocols=_TCP, opaque=doubt)


def _rule(
    found: tuple[_Set, int], name: str, match: Match, kind: str, then: Verdict = "pass"
) -> Rule:
    item, value = found
    return Rule(
        name=name,
        text=item.text,
        match=match,
        action=ClampTo(value_bytes=value, kind=kind),
        then=then,
        line=item.line,
        command=item.command,
    )
