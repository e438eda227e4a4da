"""Ranges of bytes of one direction: what was sent, what became of it, what never came by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Sent(NamedTuple):
    """One range of bytes that was sent. ``size`` is the IP packet's, 0 where it proves nothing."""

    start: int
    end: int
    size: int
    when_ns: int
    frame: int
    ip_id: int
    ack: int


@dataclass(slots=True)
class Fate:
    """What became of a range after it was first sent, where anything did."""

    count: int = 1
    first_ns: int = 0
    first_frame: int = 0
    last_frame: int = 0
    sacked: bool = False
    dup_acks: int = 0


@dataclass(slots=True)
class Gap:
    """Bytes that this point never saw although later ones passed."""

    start: int
    end: int
    since_ns: int
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """The size evidence of one direction; IP packet sizes in bytes, ``None`` where unknown.

    Attributes:
        lost_frame: Where the smallest lost packet passed, or the one behind the gap it left.
    """

    largest_delivered: int | None
    smallest_lost: int | None
    stalled: int | None
    frames: tuple[int, ...]
    lost_frame: int | None = None
