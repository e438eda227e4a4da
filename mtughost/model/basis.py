"""Where a value comes from, and how far it may be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

#: What a *task book* says of a command (DESIGN section 4).
CommandBasis = Literal["device", "sample", "document", "unconfirmed"]

#: What a *result* rests on (DESIGN section 10): a real device, a real program in the lab,
#: recorded output read again, an emulated command line, or a person's word.
Basis = Literal["real device", "real program", "recorded output", "emulation", "told", "document"]

Risk = Literal["passive", "active", "disruptive", "change"]

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place that a value was read from.

    Attributes:
        host: Inventory name of the device.
        basis: What kind of thing answered.
        command: The line that was sent, or ``None`` for captures and told facts.
        line: Line of the answer, from 1.
        frame: Frame number in a capture, from 1.
        taken_utc: ISO 8601 in UTC, or ``None`` where the caller keeps no time.
        note: Who handed it in, when and how, where it did not come over a login of ours.
    """

    host: str
    basis: Basis
    command: str | None = None
    line: int | None = None
    frame: int | None = None
    taken_utc: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Known(Generic[T_co]):
    """A value together with its source."""

    value: T_co
    source: Source


@dataclass(frozen=True, slots=True)
class Unknown:
    """The absence of a value, with the reason. It never counts as ``ok`` or as "not there".

    Attributes:
        reason: Why the value is not known, one sentence.
        cheapest_test: The one observation that would settle it, or ``""``.
    """

    reason: str
    cheapest_test: str = ""


#: Either a value with its source or the reason why there is none.
Fact = Known[T_co] | Unknown

NOT_COLLECTED = Unknown("not collected")


def value_or_none(fact: Known[T_co] | Unknown) -> T_co | None:
    """Return the value, or ``None`` where it is unknown."""
    return fact.value if isinstance(fact, Known) else None
