"""Several devices at once, each in a thread; none is started once somebody says stop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from mtughost.change.journal import Journal

T = TypeVar("T")
R = TypeVar("R")
_POLL_S = 0.2


def run_parallel(
    items: Iterable[T], work: Callable[[T], R], *, at_once: int, journal: Journal
) -> list[R]:
    """Return what ``work`` gave for each item, in order.

    One at a time runs in the calling thread. Otherwise an interrupt, or an error of one item,
    closes the journal for the others: none of them sends anything more that has to be recorded,
    and armed devices undo themselves.

    Args:
        items: What to work on.
        work: Handles one item and raises only what must end the whole.
        at_once: Items that are worked on at the same time.
        journal: Of the run.

    Raises:
        BaseException: the first one that ``work`` raised, or an interrupt.
    """
    numbered = list(enumerate(items))
    if at_once <= 1 or len(numbered) <= 1:
        return [work(item) for _, item in numbered]
    crew = _Crew(numbered, work, journal)
    crew.serve(at_once)
    return [crew.done[number] for number, _ in numbered]


class _Crew(Generic[T, R]):
    """Threads that share a queue."""

    def __init__(
        self, numbered: list[tuple[int, T]], work: Callable[[T], R], journal: Journal
    ) -> None:
        self._waiting: queue.SimpleQueue[tuple[int, T]] = queue.SimpleQueue()
        for pair in numbered:
            self._waiting.put(pair)
        self._work = work
        self._journal = journal
        self._errors: list[BaseException] = []
        self.done: dict[int, R] = {}

    def serve(self, at_once: int) -> None:
        # Daemons: after a second interrupt the process ends, and devices end by their own timers.
        threads = [threading.Thread(target=self._one, daemon=True) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(_POLL_S)
        except BaseException:
            self._journal.refuse_more("interrupted")
            raise
        if self._errors:
            raise self._errors[0]

    def _one(self) -> None:
        try:
            while not self._errors:
                number, item = self._waiting.get_nowait()
                self.done[number] = self._work(item)
        except queue.Empty:
            return
        except BaseException as error:  # noqa: BLE001 - handed to the calling thread
            self._errors.append(error)
            self._journal.refuse_more(f"another device ended the run: {error}")
