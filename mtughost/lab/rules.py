"""What a gateway's packet filter shall do, before it is written in any one's words."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from mtughost.lab.scenarios import ClampScope, Scenario

#: ``(in interface, out interface)`` per rule; an empty name matches any.
Match = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Zone:
    """The interfaces that the rules speak about; ``pos`` and ``standby`` may be empty."""

    ap: str
    pos: str
    out: str
    standby: str = ""

    @property
    def inside(self) -> tuple[str, ...]:
        """Interfaces towards the store."""
        return tuple(name for name in (self.ap, self.pos) if name)

    @property
    def outside(self) -> tuple[str, ...]:
        """Interfaces towards the world."""
        return tuple(name for name in (self.out, self.standby) if name)


def clamp_matches(scope: ClampScope, zone: Zone) -> tuple[Match, ...]:
    """Return the interface pairs that the clamp's rules match, in rule order."""
    table: dict[ClampScope, tuple[Match, ...]] = {
        "none": (),
        "any-both": (("", ""),),
        "ap-both": ((zone.ap, zone.out), (zone.out, zone.ap)),
        "pos-both": ((zone.pos, zone.out), (zone.out, zone.pos)),
        "ap-syn": (("", zone.out),),
        "ap-syn-ack": ((zone.out, ""),),
        "standby-both": (("", zone.standby), (zone.standby, "")),
    }
    return table[scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan:
    """One gateway's filter.

    Attributes:
        dice: Source of unrelated rules, names and order; ``None`` for the plain documented text.
    """

    scenario: Scenario
    zone: Zone
    nat: bool
    dice: random.Random | None

    @property
    def matches(self) -> tuple[Match, ...]:
        """The clamp's interface pairs, in the order in which they are written."""
        found = list(clamp_matches(self.scenario.clamp, self.zone))
        if self.dice is not None:
            self.dice.shuffle(found)
        return tuple(found)

    def sees(self, family: Literal["ipv4", "ipv6"]) -> bool:
        """Whether the clamp sees packets of ``family``."""
        return self.scenario.clamp_families in {"both", family}

    def pick(self, *choices: str) -> str:
        """Return one of several ways to say the same, the first without dice."""
        return choices[0] if self.dice is None else self.dice.choice(choices)

    def some(self, lines: tuple[str, ...]) -> list[str]:
        """Return some of several unrelated lines in some order, none without dice."""
        if self.dice is None:
            return []
        return self.dice.sample(lines, self.dice.randint(1, len(lines)))
