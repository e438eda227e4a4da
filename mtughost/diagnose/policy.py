"""Which way a gateway sends a packet: rules of policy routing, then routes (Linux ``ip rule``).

A condition that cannot be evaluated from what was read (a firewall mark, a port) makes every way
that it could open a possible one; none is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mtughost.diagnose.match import Tri, tri_and
from mtughost.diagnose.net import MAIN_TABLES, holds, in_main, lookup, lookup_in, prefix_length
from mtughost.model.basis import Fact, Known
from mtughost.model.device import Family, PolicyRule, Route

_LOCAL = frozenset({"local", "255"})
_SUPPRESS = "suppress_prefixlength"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What decides where a packet goes. ``None`` is unknown.

    Attributes:
        in_interface: Interface by which it came.
    """

    family: Family
    source: str | None
    destination: str | None
    in_interface: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where a packet goes.

    Attributes:
        route: The route that is taken, or the likeliest one; ``None`` where none is known.
        others: Routes that may be taken instead, because of ``doubt``.
        doubt: Why that is not certain, ``""`` when it is.
        by: The rule that chose, ``None`` for the main table or where rules were not read.
    """

    route: Route | None
    others: tuple[Route, ...] = ()
    doubt: str = ""
    by: PolicyRule | None = None


def choose(
    routes: tuple[Route, ...], policy: Fact[tuple[PolicyRule, ...]], asked: Packet
) -> Choice:
    """Choose the route of a packet.

    Args:
        routes: Routes of all tables.
        policy: Rules of policy routing. Where they are unknown, every other table that holds a
            route for the packet may be the one.
        asked: The packet.
    """
    if isinstance(policy, Known):
        return _by_rules(routes, policy.value, asked)
    main = lookup(routes, asked.family, asked.destination)
    tables = dict.fromkeys(r.table for r in routes if not in_main(r) and r.table not in _LOCAL)
    found = [lookup_in(routes, table, asked.family, asked.destination) for table in tables]
    others = _elsewhere(main, found)
    doubt = f"the rules of policy routing are unknown ({policy.reason})" if others else ""
    return Choice(route=main, others=others, doubt=doubt)


def _by_rules(routes: tuple[Route, ...], rules: tuple[PolicyRule, ...], asked: Packet) -> Choice:
    possible: list[Route] = []
    doubts: list[str] = []
    for rule in rules:
        if rule.family != asked.family or rule.table in _LOCAL:
            continue
        matched = _matches(rule, asked)
        if matched == "no":
            continue
        route = _route_of(rule, routes, asked)
        if route is None and rule.table:
            continue
        if matched == "maybe":
            if route is not None:
                possible.append(route)
            doubts.append(rule.text)
            continue
        others = _elsewhere(route, possible)
        doubt = f"the rule '{doubts[0]}' cannot be evaluated" if others else ""
        by = rule if rule.table not in MAIN_TABLES else None
        return Choice(route=route, others=others, doubt=doubt, by=by)
    others = _elsewhere(None, possible)
    return Choice(route=None, others=others, doubt="no rule certainly applies" if others else "")


def _elsewhere(chosen: Route | None, found: Iterable[Route | None]) -> tuple[Route, ...]:
    """Return the routes that lead out by another interface than the chosen one."""
    name = chosen.interface if chosen is not None else None
    return tuple(r for r in found if r is not None and r.interface != name)


def _matches(rule: PolicyRule, asked: Packet) -> Tri:
    opaque = [words for words in rule.opaque if not words.startswith(_SUPPRESS)]
    verdict = tri_and(
        (
            _inside(rule.source, asked.source),
            _inside(rule.destination, asked.destination),
            _came_by(rule.in_interface, asked.in_interface),
        )
    )
    if "not" in opaque:
        # "not" turns the conditions round; with others that nobody can evaluate it may be either.
        opaque.remove("not")
        verdict = {"yes": "no", "no": "yes", "maybe": "maybe"}[verdict]  # type: ignore[assignment]
        return "maybe" if opaque else verdict
    return "maybe" if opaque and verdict != "no" else verdict


def _inside(prefix: str, address: str | None) -> Tri:
    if not prefix:
        return "yes"
    if address is None:
        return "maybe"
    return "yes" if holds(prefix, address) else "no"


def _came_by(wanted: str, name: str | None) -> Tri:
    if not wanted:
        return "yes"
    if wanted == "lo":
        return "no"  # packets of the device itself, and this one is forwarded
    if name is None:
        return "maybe"
    return "yes" if wanted == name else "no"


def _route_of(rule: PolicyRule, routes: tuple[Route, ...], asked: Packet) -> Route | None:
    if not rule.table:
        return None
    route = lookup_in(routes, rule.table, asked.family, asked.destination)
    limits = [words.split()[-1] for words in rule.opaque if words.startswith(_SUPPRESS)]
    if route is None or not limits:
        return route
    length = prefix_length(route)
    return None if length is not None and length <= int(limits[0]) else route
