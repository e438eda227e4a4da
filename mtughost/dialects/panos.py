"""PAN-OS: interfaces, routes, what an account sees, and where the MSS is adjusted.

``adjust-tcp-mss`` of an interface takes a number off its MTU. Palo Alto's documents do not say
which of a packet's two interfaces rewrites it: one interface alone is therefore never relied on;
where both of them adjust, the larger of the two values holds whichever it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from mtughost.dialects.panos_config import Leaf, Port, leaves, ports, standard_mtu, tunnels
from mtughost.dialects.rows import DialectRows, Row, RowTable, incomplete
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Chain, ClampTo, Match, NameSet, Rule, Ruleset
from mtughost.model.session import Answer

#: Who sees everything.
_ACCOUNT = "log in with a superuser or superreader account"

#: What :func:`read_clamps` may be given, by the names that a task book uses under ``inputs:``.
INPUTS = ("config", "template", "logical")
ADJUST, TUNNEL = "adjust-tcp-mss", "IPSec tunnel"
_WHICH = "which of a packet's two interfaces rewrites its MSS is not documented"
_LOGICAL = re.compile(
    r"(?P<name>\S+) +(?P<id>\d+) +(?P<vsys>\d+) +(?:(?P<zone>\S+(?: \S+)?) +)?"
    r"(?P<forward>N/A|ha|(?:vr|lr|vlan|vwire):\S+) +(?P<tag>\d+)(?: +(?P<address>\S+))?"
)
_HARDWARE = re.compile(r"(?P<name>\S+) +\d+ +\S+/\S+/(?P<state>\w+)(?: .*)?")
_HEADING = re.compile(
    r"total configured .*|name +id .*|[ -]{10,}|aggregation groups: .*|[-]+|\s*\S+: \d+"
)
_ROUTER = re.compile(r"VIRTUAL ROUTER: (?P<name>.+) \(id \d+\)")
_ROUTE = re.compile(r"(?P<dest>[0-9a-fA-F.:]+/\d+) +(?P<via>\S+) +(?P<metric>\d+) +(?P<rest>.*)")
_OUT = re.compile(r"(?:ethernet|ae|vlan|loopback|tunnel)[\d/.]*")
_ROUTE_FRAME = re.compile(
    r"flags: .*|Oi:.*|[=\s]+|destination +nexthop .*|total routes shown: .*|ROUTE TABLE.*"
)
_CLOCK = re.compile(r"\w{3} (\w{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (?:UTC|GMT) (\d{4})")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
#: Logical interfaces that exist without a section of their own.
_MADE_BY_ITSELF = re.compile(
    r"vlan|loopback|tunnel|dedicated-.*|ha\d.*|sdwan.*|ethernet\d+/\d+|ae\d+"
)
_NO_ADDRESS = frozenset({"", "N/A", "unknown"})


# -- who ---------------------------------------------------------------------------------------


def read_privilege(text: str) -> DialectRows:
    """``show config running``: who administers a part does not get the section of accounts."""
    found, _ = leaves(text)
    tops = {word for leaf in found for word in leaf.path[:4]}
    sees = {"network", "mgt-config"} <= tops
    missing = sorted({"network", "mgt-config"} - tops)
    row: Row = {
        "SEES_FIREWALL": "yes" if sees else "no",
        "SEES_INTERFACES": "yes" if "network" in tops else "no",
        "DETAIL": f"not shown: {', '.join(missing)}" if missing else "the configuration was shown",
    }
    return DialectRows(rows=(row,), lines=(1,))


# -- interfaces --------------------------------------------------------------------------------


def read_links(answers: Mapping[str, Answer]) -> DialectRows | Unknown:
    """``show interface logical``, with the MTU from the configuration.

    An MTU that is not configured is the documented default; with PPPoE it is not known.
    """
    for name in ("logical", "config"):
        answer = answers.get(name)
        if answer is None or answer.status != "complete":
            return incomplete(answer, name, _ACCOUNT)
    found, _ = _leaves(answers)
    known, usual = ports(found), standard_mtu(found)
    states = _states(answers.get("hardware"))
    made = RowTable()
    for number, line in enumerate(answers["logical"].text.split("\n"), start=1):
        bare = line.strip("\u200b \t")
        match = _LOGICAL.fullmatch(bare)
        if match is not None:
            made.add(number, _link(match["name"], known, usual, states))
        elif bare and not _HEADING.fullmatch(bare):
            made.leave(number, line)
    return made.done()


def _link(name: str, known: Mapping[str, Port], usual: int, states: Mapping[str, str]) -> Row:
    below = name.partition(".")[0]
    port = known.get(name)
    row: Row = {
        "NAME": name,
        "STATE": states.get(below, "").upper(),
        "KIND": port.kind if port is not None else "",
        "PARENT": below if port is not None and port.kind == "vlan" and below != name else "",
    }
    if port is not None and port.mtu is not None:
        row["MTU"] = str(port.mtu)
    elif port is not None and not port.is_pppoe:
        row["MTU"] = str(usual)
    return row


def _states(answer: Answer | None) -> dict[str, str]:
    if answer is None or answer.status != "complete":
        return {}
    rows = (_HARDWARE.fullmatch(line.strip("\u200b \t")) for line in answer.text.split("\n"))
    return {row["name"]: row["state"] for row in rows if row is not None}


def read_addresses(text: str) -> DialectRows:
    """``show interface logical``: addresses as they are now."""
    made = RowTable()
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip("\u200b \t")
        match = _LOGICAL.fullmatch(bare)
        if match is None and bare and not _HEADING.fullmatch(bare):
            made.leave(number, line)
        elif match is not None and (match["address"] or "") not in _NO_ADDRESS:
            address, _, length = match["address"].partition("/")
            family = "ipv6" if ":" in address else "ipv4"
            made.add(
                number,
                {
                    "INTERFACE": match["name"],
                    "ADDRESS": address,
                    "PREFIX_LEN": length,
                    "FAMILY": family,
                },
            )
    return made.done()


def read_routes(text: str) -> DialectRows:
    """``show routing route``: active routes; several virtual routers are tables of their own."""
    made = RowTable()
    router = ""
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip("\u200b \t")
        head, match = _ROUTER.fullmatch(bare), _ROUTE.fullmatch(bare)
        if head is not None:
            router = head["name"]
        elif match is not None:
            row = _route(match, router)
            if row is not None:
                made.add(number, row)
        elif bare and not _ROUTE_FRAME.fullmatch(bare):
            made.leave(number, line)
    if len({row["TABLE"] for row in made.rows}) == 1:
        for row in made.rows:
            del row["TABLE"]
    return made.done()


def _route(match: re.Match[str], router: str) -> Row | None:
    words = match["rest"].split()
    out = next((word for word in words if _OUT.fullmatch(word)), "")
    flags = "".join(words[: words.index(out)] if out else words)
    if "A" not in flags or not out:
        return None
    via = "" if "C" in flags or match["via"] in {"0.0.0.0", "::"} else match["via"]  # noqa: S104
    family = "ipv6" if ":" in match["dest"] else "ipv4"
    return {
        "DESTINATION": match["dest"],
        "FAMILY": family,
        "VIA": via,
        "INTERFACE": out,
        "METRIC": match["metric"],
        "TABLE": router,
    }


def read_clock(text: str) -> DialectRows:
    """``show clock``, where the firewall runs on UTC: a zone's name says not how far it is."""
    found = _CLOCK.search(text)
    if found is None or found[1] not in _MONTHS:
        return DialectRows(rows=(), lines=())
    month, day, hour, minute, second, year = found.groups()
    when = datetime(
        int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second) % 60,
        tzinfo=UTC,
    )  # fmt: skip
    return DialectRows(rows=({"CLOCK_UTC": when.strftime("%Y-%m-%dT%H:%M:%SZ")},), lines=(1,))


# -- clamps ------------------------------------------------------------------------------------


def read_clamps(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Turn the configuration in force into one ruleset.

    A subinterface that the firewall has and the configuration shown has not proves that a part is
    hidden.
    """
    for name in ("config", "logical"):
        answer = answers.get(name)
        if answer is None or answer.status != "complete":
            return incomplete(answer, name, _ACCOUNT)
    found, odd = _leaves(answers)
    known, usual = ports(found), standard_mtu(found)
    rows = (_LOGICAL.fullmatch(x.strip("\u200b \t")) for x in answers["logical"].text.split("\n"))
    has = {row["name"] for row in rows if row is not None}
    hidden = sorted(n for n in has - set(known) if not _MADE_BY_ITSELF.fullmatch(n))
    if not known or hidden:
        missing = f"interface {hidden[0]}" if hidden else "every interface"
        return Unknown(
            f"the configuration shown lacks {missing}, so a part of it is hidden",
            "log in with a superuser or superreader account",
        )
    command = answers["config"].line
    rules = [*_tunnels(found, known, usual, command), *_adjusting(known, usual, command)]
    chain = Chain(table="network interface", name=ADJUST, hook="forward", rules=tuple(rules))
    return Ruleset(
        chains=(chain,),
        command=command,
        notes=tuple(f"line {number}: {line.strip()}" for number, line in odd),
    )


def _leaves(answers: Mapping[str, Answer]) -> tuple[list[Leaf], list[tuple[int, str]]]:
    """Return what Panorama pushed, then what the firewall has itself, which is stronger."""
    template = answers.get("template")
    pushed, odd = (
        leaves(template.text)
        if template is not None and template.status == "complete"
        else ([], [])
    )
    own, more = leaves(answers["config"].text)
    return [*pushed, *own], [*odd, *more]


def _adjusting(known: Mapping[str, Port], usual: int, command: str) -> Iterator[Rule]:
    for family in ("ipv4", "ipv6"):
        mine = {
            port.name: (port, port.mss(family, usual if port.mtu is None else port.mtu))
            for port in known.values()
            if port.adjusts and (family == "ipv4" or port.has_ipv6)
        }
        for value in sorted({mss for _, mss in mine.values()}):
            names = NameSet(names=tuple(name for name, (_, mss) in mine.items() if mss <= value))
            match = Match(families=frozenset({family}), in_interfaces=names, out_interfaces=names)
            yield _rule(f"{ADJUST} of both interfaces", match, value, (ADJUST, command, 0))
        for name, (port, mss) in mine.items():
            where = NameSet(names=(name,))
            for side, sides in (
                ("in", Match(in_interfaces=where)),
                ("out", Match(out_interfaces=where)),
            ):
                match = Match(
                    families=frozenset({family}),
                    in_interfaces=sides.in_interfaces,
                    out_interfaces=sides.out_interfaces,
                    opaque=(_WHICH,),
                )
                yield _rule(f"{name} {ADJUST} ({side})", match, mss, (ADJUST, command, port.line))


def _tunnels(
    found: list[Leaf], known: Mapping[str, Port], usual: int, command: str
) -> Iterator[Rule]:
    """An IPSec tunnel always adjusts, at most to its own MTU minus 40."""
    for name, line in tunnels(found).items():
        port = known.get(name)
        mtu = port.mtu if port is not None and port.mtu is not None else usual
        where = NameSet(names=(name,))
        v4 = frozenset({"ipv4"})
        for side, match in (
            ("in", Match(families=v4, in_interfaces=where)),
            ("out", Match(families=v4, out_interfaces=where)),
        ):
            yield _rule(f"{TUNNEL} {name} ({side})", match, mtu - 40, (TUNNEL, command, line))


def _rule(name: str, match: Match, value: int, origin: tuple[str, str, int]) -> Rule:
    kind, command, line = origin
    return Rule(
        name=name,
        text=f"{name}: {value}",
        match=match,
        action=ClampTo(value_bytes=value, kind=kind),
        line=line or None,
        command=command,
    )
