"""The words of the coverage table: which rule, what it matches instead, what it counted."""

from __future__ import annotations

from mtughost.diagnose.match import MismatchKind
from mtughost.diagnose.passage import ClampVisit, Walk
from mtughost.model.evidence import Direction
from mtughost.model.findings import InstalledClamp

#: Which reason to tell first. A scope that misses says more than a direction that misses.
_WEIGHT: dict[MismatchKind, int] = {
    "shadowed": 0,
    "mss": 0,
    "out-interface": 1,
    "in-interface": 1,
    "address": 2,
    "port": 2,
    "handshake": 3,
    "unreached": 3,
    "family": 4,
    "hook": 5,
    "protocol": 6,
    "icmp": 6,
    "opaque": 0,
}


def counter_text(packets: int | None) -> str:
    """Write a counter as a person would."""
    return "no counter" if packets is None else counted(packets, "packet")


def counted(number: int, noun: str) -> str:
    """Write how many there are of something whose plural ends in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def rule_text(visit: ClampVisit) -> str:
    """Name a rule with its counter."""
    return f"rule {visit.rule.name} ({counter_text(visit.rule.packets)})"


def because(visit: ClampVisit) -> str:
    """Say in a few words what became of a rule."""
    if visit.applies == "yes":
        value = "an unknown MSS" if visit.value_bytes is None else f"MSS {visit.value_bytes}"
        return f"applies: writes {value}"
    reasons = visit.misses if visit.applies == "no" else visit.doubts
    texts = dict.fromkeys(m.text for m in sorted(reasons, key=lambda m: _WEIGHT[m.kind]) if m.text)
    return " and ".join(texts) or "does not apply"


def installed_rows(walk: Walk | None) -> tuple[InstalledClamp, ...]:
    """List every clamp rule of the gateway with what became of it."""
    if walk is None:
        return ()
    return tuple(
        InstalledClamp(
            rule=visit.rule.name,
            text=visit.rule.text,
            value=visit.value_bytes,
            packets=visit.rule.packets,
            covers=visit.applies == "yes",
            because=because(visit),
            line=visit.rule.line,
        )
        for visit in walk.visits
    )


def closest(walk: Walk | None) -> ClampVisit | None:
    """Return the rule that comes closest to clamping this packet."""
    missed = [v for v in walk.visits if v.applies == "no"] if walk is not None else []
    return min(
        missed,
        key=lambda v: (len({m.kind for m in v.misses}), min(_WEIGHT[m.kind] for m in v.misses)),
        default=None,
    )


def nearest_miss(walk: Walk | None, direction: Direction) -> str:
    """Say which rule would have clamped, and why it does not."""
    packet = "SYN-ACK" if direction == "up" else "SYN"
    applied = [v for v in walk.visits if v.applies == "yes"] if walk is not None else []
    if applied:
        visit = applied[-1]
        return f"{rule_text(visit)} writes {visit.value_bytes}, which is too high"
    visit_or_none = closest(walk)
    if visit_or_none is None:
        return f"no rule clamps the {packet}"
    return (
        f"rule {visit_or_none.rule.name} would clamp it but {because(visit_or_none)} "
        f"({counter_text(visit_or_none.rule.packets)})"
    )
