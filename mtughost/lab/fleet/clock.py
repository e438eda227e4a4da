"""Time of the virtual devices: real, on an event loop, or virtual, moved by a test."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that will happen unless it is cancelled."""

    def cancel(self) -> None:
        """Let it not happen."""


class FleetClock(Protocol):
    """What a device needs of time."""

    def now_s(self) -> float:
        """Return a monotonic reading in seconds."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Run ``action`` after ``seconds``."""


class LoopClock:
    """Real time of an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now_s(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Run ``action`` on the loop."""
        return self._loop.call_later(seconds, action)


class _VirtualTimer:
    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class VirtualClock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, _VirtualTimer]] = []

    def now_s(self) -> float:
        """Return seconds since the clock was made."""
        return self._now_s

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Run ``action`` when :meth:`advance` has passed ``seconds``."""
        timer = _VirtualTimer(action)
        heapq.heappush(self._due, (self._now_s + seconds, next(self._numbers), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move time on and run what becomes due, in order."""
        end_s = self._now_s + seconds
        while self._due and self._due[0][0] <= end_s:
            self._now_s, _, timer = heapq.heappop(self._due)
            if timer.action is not None:
                timer.action()
        self._now_s = end_s
