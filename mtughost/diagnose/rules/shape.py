"""What is wrong with the clamps of one flow: sorts counterexamples into kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mtughost.diagnose.case import Case
from mtughost.diagnose.coverage import Proof, contradicted
from mtughost.diagnose.match import MismatchKind
from mtughost.diagnose.net import default_routes
from mtughost.diagnose.passage import ClampVisit
from mtughost.model.basis import value_or_none
from mtughost.model.clamps import ClampTo
from mtughost.model.evidence import Direction

Shape = Literal[
    "missing", "scope", "one-direction", "one-family", "too-high", "not-effective", "wrong-egress"
]

_Test = Callable[[ClampVisit], bool]

_SCOPE: frozenset[MismatchKind] = frozenset({"in-interface", "out-interface", "address", "port"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """One direction's hole and what kind it is.

    Attributes:
        visit: The rule concerned, ``None`` where there is none.
    """

    proof: Proof
    shape: Shape
    visit: ClampVisit | None = None

    @property
    def direction(self) -> Direction:
        """The direction that is open."""
        return self.proof.direction


def holes(case: Case) -> tuple[Hole, ...]:
    """Sort every counterexample of a case."""
    return tuple(_sort(case, proof) for proof in case.holes)


def _sort(case: Case, proof: Proof) -> Hole:
    if contradicted(proof):
        return Hole(proof=proof, shape="not-effective", visit=_applied(proof))
    if proof.by_config is not False or proof.walk is None:
        # Packets alone cannot tell a missing clamp from a mis-scoped or dead one.
        return Hole(proof=proof, shape="missing")
    applied = _applied(proof)
    if applied is not None:
        return Hole(proof=proof, shape="too-high", visit=applied)
    return _sort_missed(case, proof, proof.walk.visits)


def _sort_missed(case: Case, proof: Proof, visits: tuple[ClampVisit, ...]) -> Hole:
    other = case.down if proof.direction == "up" else case.up
    other_way = _working(other)
    own = [v for v in visits if id(v.rule) not in other_way]
    elsewhere = _for_other_egress(case)
    near = _first([v for v in own if id(v.rule) not in elsewhere], _is_lan_scope(proof.direction))
    if near is not None:
        return Hole(proof=proof, shape="scope", visit=near)
    if len(own) < len(visits):
        twin = next(v for v in visits if id(v.rule) in other_way)
        return Hole(proof=proof, shape="one-direction", visit=twin)
    tests: tuple[tuple[Shape, _Test], ...] = (
        ("not-effective", _is_dead),
        ("wrong-egress", lambda v: id(v.rule) in elsewhere),
        ("scope", lambda v: bool(_kinds(v) & _SCOPE) and "family" not in _kinds(v)),
        ("one-family", lambda v: "family" in _kinds(v)),
    )
    for shape, test in tests:
        visit = _first(own, test)
        if visit is not None:
            return Hole(proof=proof, shape=shape, visit=visit)
    return Hole(proof=proof, shape="missing")


def _applied(proof: Proof) -> ClampVisit | None:
    found = [v for v in proof.walk.visits if v.applies == "yes"] if proof.walk is not None else []
    return found[-1] if found else None


def _working(proof: Proof) -> set[int]:
    """Rules that do act on the other direction's handshake packet."""
    walked = proof.walk
    return {id(v.rule) for v in walked.visits if v.applies == "yes"} if walked else set()


def _kinds(visit: ClampVisit) -> set[MismatchKind]:
    return {m.kind for m in visit.misses}


def _first(visits: list[ClampVisit], wanted: _Test) -> ClampVisit | None:
    found = [v for v in visits if v.applies == "no" and wanted(v)]
    return min(found, key=lambda v: len(v.misses), default=None)


def _is_lan_scope(direction: Direction) -> _Test:
    """A rule that matches everything about this packet but the AP's side of it."""
    side: MismatchKind = "out-interface" if direction == "up" else "in-interface"

    def test(visit: ClampVisit) -> bool:
        kinds = _kinds(visit)
        return kinds in ({side}, {"address"}, {"port"}, {side, "address"})

    return test


def _is_dead(visit: ClampVisit) -> bool:
    return _kinds(visit) <= {"shadowed", "unreached", "hook"}


def _for_other_egress(case: Case) -> set[int]:
    """Return the rules that are about another way out of the same gateway.

    Seen from the SYN they miss at the way out only, seen from the SYN-ACK at the way in only; what
    they name instead is another default route's interface, or one that no longer exists.
    """
    found: set[int] = set()
    sides: tuple[tuple[Proof, MismatchKind], ...] = (
        (case.down, "out-interface"),
        (case.up, "in-interface"),
    )
    for proof, side in sides:
        for visit in proof.walk.visits if proof.walk is not None else ():
            names = {n for m in visit.misses if m.kind == side for n in m.names}
            if _kinds(visit) == {side} and case.flow.lan not in names and _is_exit(case, names):
                found.add(id(visit.rule))
    return found


def _is_exit(case: Case, names: set[str]) -> bool:
    facts = case.gateway
    device = case.evidence.device(case.flow.gateway)
    routes = (value_or_none(facts.routes) or ()) if facts is not None else ()
    exits = {r.interface for r in default_routes(routes, case.family)}
    exits |= set(device.wan) if device is not None else set()
    interfaces = value_or_none(facts.interfaces) if facts is not None else None
    present = {i.name for i in interfaces or ()}
    gone = bool(present) and not any(
        n == p or (n.endswith("*") and p.startswith(n[:-1])) for n in names for p in present
    )
    return bool(names & exits) or gone


def has_clamps(case: Case) -> bool:
    """Say whether the gateway has any clamp rule at all."""
    ruleset = value_or_none(case.gateway.clamps) if case.gateway is not None else None
    if ruleset is None:
        return False
    return any(isinstance(r.action, ClampTo) for c in ruleset.chains for r in c.rules)
