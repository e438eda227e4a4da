"""Worker processes for a fleet: one interpreter's lock does not hold back all the logins.

The rules (caps, ramp, breakers) stay with the parent's
:class:`~mtughost.fleet.threads.RampRunner`; each of its threads hands its device to a worker and
waits. A worker that dies costs the visits that it was on, each with a typed error, and is replaced.
"""

from __future__ import annotations

import itertools
import os
import pickle
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import mtughost
from mtughost.fleet.threads import login_proven
from mtughost.fleet.worker import Start, Told
from mtughost.model.errors import WorkerLostError
from mtughost.model.inventory import Device

#: How many workers that died are replaced, for each that was asked for.
REPLACEMENTS = 2
END_S = 2.0


@dataclass(slots=True)
class _Worker:
    """One process and the visits that it is on."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    connection: Connection
    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: dict[int, queue.SimpleQueue[Told]] = field(default_factory=dict)
    lost: bool = False
    listener: threading.Thread = field(default_factory=threading.Thread)

    def hang_up(self) -> None:
        """Break the line: both sides read its end. Closing it would wake nobody here."""
        with suppress(OSError):
            self.line.shutdown(socket.SHUT_RDWR)

    def bury(self) -> None:
        """End the process, which nobody can talk to any more, and give back what it held."""
        self.hang_up()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with self.lock:
            self.connection.close()
        self.line.close()


class WorkerPool:
    """Visits devices in other processes. Close it.

    Args:
        start: What each worker is told first.
        processes: How many.
        note: Is told what a worker has to say, from threads of the pool.
    """

    def __init__(
        self, start: Start, *, processes: int, note: Callable[[str], None] | None = None
    ) -> None:
        self._start = start
        self._note = note or (lambda _words: None)
        self._told: set[str] = set()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._closed = False
        self._spare = REPLACEMENTS * processes
        self._workers = [self._begin() for _ in range(processes)]

    def visit(self, device: Device) -> Any:
        """Visit a device in some worker; called from many threads at once.

        Raises:
            WorkerLostError: the worker ended before the visit.
            BaseException: what the visit raised.
        """
        number = next(self._numbers)
        inbox: queue.SimpleQueue[Told] = queue.SimpleQueue()
        worker = self._take(number, inbox, device)
        try:
            with worker.lock:
                worker.connection.send((number, device))
        except OSError:
            raise _lost(device) from None
        while True:
            told = inbox.get()
            if told.kind == "proven":
                login_proven()
            elif told.kind == "value":
                return told.what
            elif told.kind == "lost":
                raise _lost(device)
            elif isinstance(told.what, BaseException):
                raise told.what

    def close(self) -> None:
        """End all workers; visits that still run are given up."""
        with self._lock:
            self._closed = True
            workers, self._workers = self._workers, []
        for worker in workers:
            worker.hang_up()
        for worker in workers:
            worker.listener.join()

    def _take(self, number: int, inbox: queue.SimpleQueue[Told], device: Device) -> _Worker:
        """Choose the least busy worker and note the visit there."""
        with self._lock:
            for lost in [worker for worker in self._workers if worker.lost]:
                self._workers.remove(lost)
                if self._spare and not self._closed:
                    self._spare -= 1
                    self._workers.append(self._begin())
            if not self._workers:
                raise _lost(device)
            worker = min(self._workers, key=lambda worker: len(worker.waiting))
            worker.waiting[number] = inbox
            return worker

    def _begin(self) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            argv = [sys.executable, "-P", "-c", _PROGRAM, _home(), str(theirs.fileno())]
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C on the terminal is the parent's business
            )
        worker = _Worker(process, ours, Connection(os.dup(ours.fileno())))
        worker.connection.send(self._start)
        worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        worker.listener.start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        try:
            while True:
                # Only our own worker writes here.
                told: Told = pickle.loads(worker.connection.recv_bytes())  # noqa: S301
                self._deliver(worker, told)
        except (EOFError, OSError):
            pass
        with self._lock:
            worker.lost = True
            left = list(worker.waiting.values())
            worker.waiting.clear()
        for inbox in left:
            inbox.put(Told(0, "lost"))
        worker.bury()

    def _deliver(self, worker: _Worker, told: Told) -> None:
        if told.kind == "note":
            words = str(told.what)
            if words not in self._told:  # every worker finds the same thing to say
                self._told.add(words)
                self._note(words)
            return
        if told.kind == "proven":
            inbox = worker.waiting.get(told.number)
        else:
            with self._lock:
                inbox = worker.waiting.pop(told.number, None)
        if inbox is not None:
            inbox.put(told)


def _lost(device: Device) -> WorkerLostError:
    return WorkerLostError(
        device.name,
        "the process that visited it ended",
        todo="Resume the run: mtughost audit --run ID",
    )


def _home() -> str:
    """Return the folder that this very package is imported from."""
    return str(Path(mtughost.__file__).parents[1])


#: ``-P`` keeps the current directory out; the package's own folder is named last.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from mtughost.fleet.worker import main; main(int(sys.argv[2]))"
)
