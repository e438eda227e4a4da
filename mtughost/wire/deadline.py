"""Deadlines that are enforced from outside: one thread closes what is late.

paramiko waits without a limit in several places, and a peer that drips one byte at a time resets
every limit that counts per read. So the thread that waits is not the one that keeps the time.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

#: The keeper's thread ends after this long without work, so that a closed connector leaves none.
IDLE_S = 1.0


@dataclass(order=True)
class Alarm:
    """One armed deadline.

    Attributes:
        at_s: Monotonic time at which ``action`` is called.
        order: Tie-breaker.
        action: Closes the late thing. It must not wait.
        fired: Whether the deadline passed before the work was done.
        done: Whether the work was finished in time.
    """

    at_s: float
    order: int
    action: Callable[[], None] = field(compare=False)
    fired: bool = field(default=False, compare=False)
    done: bool = field(default=False, compare=False)


class Watchdog:
    """Keeps the deadlines of all sessions of a process in one thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._alarms: list[Alarm] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def limit(self, seconds: float, action: Callable[[], None]) -> Iterator[Alarm]:
        """Call ``action`` unless the block is left within ``seconds``.

        Yields:
            The alarm; ``fired`` says afterwards whether time ran out.
        """
        alarm = Alarm(time.monotonic() + seconds, next(self._order), action)
        with self._changed:
            heapq.heappush(self._alarms, alarm)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="mtughost-deadlines", daemon=True
                )
                self._thread.start()
            elif self._alarms[0] is alarm:
                self._changed.notify()
        try:
            yield alarm
        finally:
            with self._changed:
                alarm.done = True
                alarm.action = _nothing  # or a finished login would live on until its deadline

    def extend(self, alarm: Alarm, seconds: float) -> None:
        """Give an alarm that has not fired more time: a person was asked, not a device."""
        with self._changed:
            alarm.at_s += seconds
            heapq.heapify(self._alarms)

    def _run(self) -> None:
        while True:
            with self._changed:
                late = self._next_late()
                if late is None:
                    return
            with contextlib.suppress(Exception):  # closing a broken thing may fail; time goes on
                late.action()

    def _next_late(self) -> Alarm | None:
        """Wait for the next passed deadline; ``None`` after a while without any (lock is held)."""
        while True:
            if all(alarm.done for alarm in self._alarms):
                self._alarms.clear()
            while self._alarms and self._alarms[0].done:
                heapq.heappop(self._alarms)
            if not self._alarms:
                self._changed.wait(IDLE_S)
                if not self._alarms:
                    self._thread = None
                    return None
                continue
            wait_s = self._alarms[0].at_s - time.monotonic()
            if wait_s <= 0:
                alarm = heapq.heappop(self._alarms)
                alarm.fired = True
                return alarm
            # Not longer: finishing work wakes nobody, and this thread should end soon after it.
            self._changed.wait(min(wait_s, IDLE_S))


def _nothing() -> None:
    """Stand in for the action of a finished alarm."""


#: The one watchdog of this process.
WATCHDOG = Watchdog()
