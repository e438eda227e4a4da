"""What the threads of a run and the workers that visit for them have in common."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mtughost.fleet.threads import login_proven
from mtughost.fleet.worker import Told
from mtughost.model.errors import WorkerLostError
from mtughost.model.inventory import Device

Inbox = queue.SimpleQueue[Told]
_LOST = Told(0, "lost")


@dataclass(slots=True)
class Visits:
    """The visits that one worker is on. Thread-safe.

    Attributes:
        lost: Whether the worker is gone.
    """

    lost: bool = False
    _waiting: dict[int, Inbox] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, number: int) -> Inbox:
        """Note a visit; what the worker tells of it comes to the inbox."""
        inbox: Inbox = queue.SimpleQueue()
        with self._lock:
            if self.lost:
                inbox.put(_LOST)
            else:
                self._waiting[number] = inbox
        return inbox

    def deliver(self, told: Told) -> None:
        """Hand on what the worker told; what nobody waits for any more is dropped."""
        with self._lock:
            over = told.kind != "proven"
            inbox = self._waiting.pop(told.number, None) if over else self._waiting.get(told.number)
        if inbox is not None:
            inbox.put(told)

    def end(self) -> None:
        """Tell everybody who waits that the worker is gone."""
        with self._lock:
            self.lost = True
            left = list(self._waiting.values())
            self._waiting.clear()
        for inbox in left:
            inbox.put(_LOST)


@dataclass(slots=True)
class Remarks:
    """Passes on what workers have to say, each sentence once: every worker finds the same."""

    note: Callable[[str], None]
    _said: set[str] = field(default_factory=set)

    def say(self, words: str) -> None:
        """Say it, unless it was said."""
        if words not in self._said:
            self._said.add(words)
            self.note(words)


def numbers() -> Callable[[], int]:
    """Return a function that gives each visit a number of its own, from 1."""
    counter = itertools.count(1)
    return lambda: next(counter)


def outcome_of(inbox: Inbox, device: Device) -> Any:
    """Wait until the visit is over; return its value.

    Raises:
        WorkerLostError: the worker ended before the visit.
        BaseException: what the visit raised.
    """
    while True:
        told = inbox.get()
        if told.kind == "proven":
            login_proven()
        elif told.kind == "value":
            return told.what
        elif told.kind == "lost":
            raise worker_lost(device)
        elif isinstance(told.what, BaseException):
            raise told.what


def worker_lost(device: Device) -> WorkerLostError:
    """Return the error of a device whose worker is gone."""
    return WorkerLostError(
        device.name,
        "the worker that visited it ended",
        todo=f"Audit it alone, to see whether it is the cause: --filter host={device.name}",
    )
