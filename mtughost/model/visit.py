"""What one visit to a device brings home. A parent of workers unpacks it, and loads no parser."""

from __future__ import annotations

from dataclasses import dataclass

from mtughost.model.device import DeviceFacts
from mtughost.model.session import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """A line that no parser could place. It is kept and counted.

    Attributes:
        kind: The fact that was being read.
        strict: Whether it made that fact unknown.
    """

    host: str
    kind: str
    command: str
    line: int
    text: str
    strict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What one visit brought home.

    Attributes:
        answers: Raw, in the order in which they were asked: facts can be derived from them again.
        facts: Derived from the answers.
        unplaced: Lines that no parser could place.
        duration_s: Monotonic, without the login.
    """

    answers: tuple[Answer, ...]
    facts: DeviceFacts
    unplaced: tuple[Unplaced, ...]
    duration_s: float = 0.0
