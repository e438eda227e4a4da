"""The values of a walk: the MSS as an interval, the hooks on the way, what became of each clamp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from mtughost.diagnose.match import Mismatch, Packet, Tri
from mtughost.model.clamps import Chain, Hook, Rule

MAX_MSS = 65_535


class Span(NamedTuple):
    """An MSS between ``low`` and ``high``, both inclusive."""

    low: int
    high: int


ANYTHING = Span(0, MAX_MSS)

#: ``None`` means that no packet can be here.
State = Span | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One hook on the packet's way.

    Attributes:
        packet: Gives the packet as chains of this priority see it (before or after NAT).
        device: The device of an ``ingress`` or ``egress`` hook.
    """

    hook: Hook
    packet: Callable[[int], Packet]
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClampVisit:
    """What became of one clamp rule.

    Attributes:
        applies: ``yes`` only when the packet certainly reaches and matches the rule.
        value_bytes: MSS it writes; ``None`` when not known.
        misses: Why it certainly does not apply.
        doubts: Why it may not apply.
        changed: Whether it certainly changed the value.
    """

    rule: Rule
    chain: Chain
    applies: Tri
    value_bytes: int | None
    misses: tuple[Mismatch, ...] = ()
    doubts: tuple[Mismatch, ...] = ()
    changed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The outcome.

    Attributes:
        start_bytes: MSS that the packet came with.
        low_bytes: Smallest MSS it can leave with.
        high_bytes: Largest MSS it can leave with.
        dropped: Whether the device drops it.
        dropped_by: The rule or policy that drops it, or may.
        visits: Every clamp rule of the ruleset with what became of it.
        unreadable: What could not be understood, which makes every absence unprovable.
    """

    start_bytes: int
    low_bytes: int
    high_bytes: int
    dropped: Tri = "no"
    dropped_by: str = ""
    visits: tuple[ClampVisit, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def mss_bytes(self) -> int | None:
        """Return the MSS it leaves with, ``None`` when not certain."""
        if self.unreadable or self.low_bytes != self.high_bytes or self.dropped == "yes":
            return None
        return self.low_bytes

    @property
    def span(self) -> Span:
        """Return the bounds that a proof may rest on."""
        if self.unreadable or self.dropped == "yes":
            return ANYTHING
        return Span(self.low_bytes, self.high_bytes)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return why the MSS is not certain."""
        found = [
            f"rule {visit.rule.name} {doubt.text}"
            for visit in self.visits
            if visit.applies == "maybe"
            for doubt in visit.doubts
        ]
        found += [f"'{note}' could not be placed" for note in self.unreadable]
        return tuple(dict.fromkeys(found))


def hull(one: State, other: State) -> State:
    """Return the smallest span that holds both."""
    if one is None or other is None:
        return one if other is None else other
    return Span(min(one.low, other.low), max(one.high, other.high))
