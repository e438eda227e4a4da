"""Worker processes for a fleet: one interpreter's lock does not hold back all the logins.

The rules (caps, ramp, breakers) stay with the parent's
:class:`~mtughost.fleet.threads.RampRunner`; each of its threads hands its device to a worker and
waits. A worker that dies is replaced; the devices that it was on get another turn.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from mtughost.fleet.seed import Seed
from mtughost.fleet.visits import Inbox, Remarks, Visits, numbers, outcome_of, worker_lost
from mtughost.fleet.worker import Start, Told, unpacked
from mtughost.model.inventory import Device

#: How many workers that died are replaced, for each that was asked for.
REPLACEMENTS = 2


@dataclass(slots=True)
class _Worker:
    """One process and the visits that it is on."""

    number: int
    seed: Seed
    line: socket.socket
    connection: Connection
    lock: threading.Lock = field(default_factory=threading.Lock)
    visits: Visits = field(default_factory=Visits)
    listener: threading.Thread = field(default_factory=threading.Thread)

    def hang_up(self) -> None:
        """Break the line: both sides read its end. Closing it would wake nobody here."""
        with suppress(OSError):
            self.line.shutdown(socket.SHUT_RDWR)

    def bury(self) -> None:
        """End the process, which nobody can talk to any more, and give back what it held."""
        self.hang_up()
        self.seed.bury(self.number)
        with self.lock:
            self.connection.close()
        self.line.close()


class WorkerPool:
    """Visits devices in other processes. Close it.

    Args:
        start: What each worker is told first.
        processes: How many.
        note: Is told what a worker has to say, from threads of the pool.
        seed: What the workers are forked from, if it was begun already. It is closed here.
    """

    def __init__(
        self,
        start: Start,
        *,
        processes: int,
        note: Callable[[str], None] | None = None,
        seed: Seed | None = None,
    ) -> None:
        self._start = start
        self._remarks = Remarks(note or (lambda _words: None))
        self._number = numbers()
        self._worker_number = numbers()
        self._lock = threading.Lock()
        self._closed = False
        self._spare = REPLACEMENTS * processes
        self._seed = seed or Seed()
        self._seed.plant(start)
        self._workers = [self._begin() for _ in range(processes)]

    def visit(self, device: Device) -> Any:
        """Visit a device in some worker; called from many threads at once.

        Raises:
            WorkerLostError: the worker ended before the visit.
            BaseException: what the visit raised.
        """
        number = self._number()
        worker, inbox = self._take(number, device)
        try:
            with worker.lock:
                worker.connection.send((number, device))
        except OSError:
            raise worker_lost(device) from None
        return outcome_of(inbox, device)

    def close(self) -> None:
        """End all workers; visits that still run are given up."""
        with self._lock:
            self._closed = True
            workers, self._workers = self._workers, []
        for worker in workers:
            worker.hang_up()
        for worker in workers:
            worker.listener.join()
        self._seed.close()

    def _take(self, number: int, device: Device) -> tuple[_Worker, Inbox]:
        """Choose the least busy worker and note the visit there."""
        with self._lock:
            for lost in [worker for worker in self._workers if worker.visits.lost]:
                self._workers.remove(lost)
                if self._spare and not self._closed:
                    self._spare -= 1
                    self._workers.append(self._replacement())
            if not self._workers:
                raise worker_lost(device)
            worker = min(self._workers, key=lambda worker: len(worker.visits))
            return worker, worker.visits.add(number)

    def _replacement(self) -> _Worker:
        """Begin a worker where another was lost, perhaps with what it was forked from."""
        if not self._seed.answers():
            self._seed.close()
            self._seed = Seed()
            self._seed.plant(self._start)
        return self._begin()

    def _begin(self) -> _Worker:
        number = self._worker_number()
        line = self._seed.fork(number)
        worker = _Worker(number, self._seed, line, Connection(os.dup(line.fileno())))
        worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        worker.listener.start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        try:
            while True:
                self._deliver(worker, unpacked(worker.connection.recv_bytes()))
        except (EOFError, OSError):
            pass
        worker.visits.end()
        worker.bury()

    def _deliver(self, worker: _Worker, told: Told) -> None:
        if told.kind == "note":
            self._remarks.say(str(told.what))
        else:
            worker.visits.deliver(told)
