"""Workers of a Dask cluster for a fleet: regional machines do the logins, this one decides.

The counterpart of :class:`mtughost.fleet.pool.WorkerPool`: caps, canary, ramp and breakers are the
parent's for all workers together, and only it writes the store. Devices behind one jump host, and
those of one site, stay with one worker; whoever may start meanwhile travels in one chunk. When a
worker is lost, those of its devices that had not been reported get another turn elsewhere.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mtughost.fleet.hub import REGION_RESOURCE, Hub, WorkerInfo
from mtughost.fleet.post import begin, close_post, fetch, open_post, program
from mtughost.fleet.visits import Inbox, Remarks, Visits, numbers, outcome_of
from mtughost.fleet.worker import Start, unpacked
from mtughost.model.errors import DeviceSkippedError, MtughostError, SchedulerError, WorkerLostError
from mtughost.model.inventory import Device

#: How long a region may have no worker: one that was restarted is back within it.
WORKER_WAIT_S = 20.0
#: What a worker may need to begin: on a busy machine its imports alone take many seconds.
BEGIN_S = 60.0
#: A scheduler that did not answer for so long is gone.
GONE_S = 15.0
WATCH_S = 1.0
#: How long a worker holds our question for news. Its end is noticed at once, whatever this is.
NEWS_S = 5.0
CHUNK = 100

_Visit = tuple[int, Device]


@dataclass(slots=True, eq=False)
class _Line:
    """What goes to one worker and what comes from it."""

    worker: WorkerInfo
    visits: Visits = field(default_factory=Visits)
    outbox: queue.SimpleQueue[_Visit | None] = field(default_factory=queue.SimpleQueue)
    placed: int = 0
    ready: bool = False

    def chunk(self) -> list[_Visit]:
        """Wait for a visit to begin; return it with all others that wait. None at the end."""
        chunk: list[_Visit] = []
        visit = self.outbox.get()
        while visit is not None and len(chunk) < CHUNK:
            chunk.append(visit)
            if self.outbox.empty():
                break
            visit = self.outbox.get()
        if visit is None and chunk:
            self.outbox.put(None)
        return chunk

    def end(self) -> None:
        """Let everybody know that the worker is gone."""
        self.visits.end()
        self.outbox.put(None)


class Cluster:
    """Visits devices on the workers of a Dask cluster. Close it.

    Args:
        start: What each worker is told first. Nothing secret: it travels.
        hub: The scheduler; closed with this.
        note: Is told what a worker has to say, from threads of the cluster.

    Raises:
        SchedulerError: no worker can be used.
    """

    def __init__(self, start: Start, hub: Hub, *, note: Callable[[str], None]) -> None:
        self._start = start
        self._hub = hub
        self._remarks = Remarks(note)
        self._run = secrets.token_hex(8)
        self._number = numbers()
        self._changed = threading.Condition()
        self._lines: dict[str, _Line] = {}
        self._refused: dict[str, str] = {}
        self._places: dict[tuple[str, str], _Line] = {}
        self._alone_since_s: dict[str, float] = {}
        self._gone: SchedulerError | None = None
        self._closing = threading.Event()
        self._look_again = threading.Event()
        threading.Thread(target=self._watch, name="cluster", daemon=True).start()
        try:
            self._wait_for_any()
        except BaseException:
            self.close()
            raise

    def visit(self, device: Device) -> Any:
        """Visit a device on some worker; called from many threads at once.

        Raises:
            WorkerLostError: the worker ended before the visit.
            DeviceSkippedError: no worker takes the device's region.
            SchedulerError: the scheduler is gone.
            BaseException: what the visit raised.
        """
        number = self._number()
        line, inbox = self._take(number, device)
        line.outbox.put((number, device))
        try:
            return outcome_of(inbox, device)
        except WorkerLostError:
            self._refuse_if_gone()
            raise

    def close(self) -> None:
        """Let the workers forget this run; visits that still run end at their own deadlines."""
        self._closing.set()
        self._look_again.set()
        for line in list(self._lines.values()):
            line.end()
            if self._gone is None and line.ready:
                with suppress(Exception):  # whatever is wrong with it: it forgets by itself
                    self._hub.call(line.worker.address, close_post, self._run)
        self._hub.close()

    def _wait_for_any(self) -> None:
        began_s = time.monotonic()
        with self._changed:
            while not any(line.ready for line in self._lines.values()):
                self._refuse_if_gone()
                left_s = began_s + self._patience_s(self._lines.values()) - time.monotonic()
                if left_s <= 0:
                    why = "; ".join(self._refused.values()) or "none is there"
                    raise SchedulerError(
                        f"no worker of {self._hub.address} can be used: {why}",
                        todo="Start workers with: dask worker; nothing was sent to any device",
                    )
                self._changed.wait(min(left_s, WATCH_S))

    def _refuse_if_gone(self) -> None:
        if self._gone is not None:
            raise SchedulerError(self._gone.reason, todo=self._gone.todo)

    def _take(self, number: int, device: Device) -> tuple[_Line, Inbox]:
        """Choose the worker and note the visit there; wait for one for a while."""
        with self._changed:
            while True:
                self._refuse_if_gone()
                line = self._place(device)
                if line is not None:
                    self._alone_since_s.pop(device.region, None)
                    return line, line.visits.add(number)
                now_s = time.monotonic()
                since_s = self._alone_since_s.setdefault(device.region, now_s)
                able = [line for line in self._lines.values() if line.worker.takes(device.region)]
                if now_s - since_s >= self._patience_s(able):
                    raise _nobody(device)
                self._changed.wait(WATCH_S)

    def _patience_s(self, able: Iterable[_Line]) -> float:
        coming = any(not (line.ready or line.visits.lost) for line in able)
        return BEGIN_S if coming else WORKER_WAIT_S

    def _place(self, device: Device) -> _Line | None:
        """Return where the device's site, or its jump host, is; else the least busy worker."""
        place = (device.region, device.jump or device.site)
        line = self._places.get(place)
        if line is not None and not line.visits.lost:
            return line
        able = [
            line
            for line in self._lines.values()
            if line.ready and not line.visits.lost and line.worker.takes(device.region)
        ]
        if not able:
            return None
        line = min(able, key=lambda line: (len(line.visits), line.placed))
        line.placed += 1
        self._places[place] = line
        return line

    def _watch(self) -> None:
        """Take in new workers and give up those that left, until the scheduler is gone."""
        answered_s = time.monotonic()
        while not self._closing.is_set():
            try:
                self._compare({worker.address: worker for worker in self._hub.workers()})
                answered_s = time.monotonic()
            except SchedulerError as gone:
                if time.monotonic() - answered_s < GONE_S:
                    self._closing.wait(WATCH_S)
                    continue
                with self._changed:
                    self._gone = gone
                    self._changed.notify_all()
                for line in list(self._lines.values()):
                    line.end()
                return
            self._look_again.wait(WATCH_S)
            self._look_again.clear()

    def _compare(self, workers: dict[str, WorkerInfo]) -> None:
        for address, line in list(self._lines.items()):
            if line.visits.lost or address not in workers:
                line.end()
                with self._changed:
                    del self._lines[address]
                if line.ready:
                    self._remarks.say(
                        f"worker {line.worker.name} was lost: the devices that it was on get "
                        "another turn"
                    )
        for address, worker in workers.items():
            if address not in self._lines and address not in self._refused:
                line = _Line(worker)
                with self._changed:
                    self._lines[address] = line
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: _Line) -> None:
        """Open a post at a worker and bring its news, until one of us ends."""
        address = line.worker.address
        try:
            if not self._open(line):
                return
            threading.Thread(target=self._send, args=(line,), daemon=True).start()
            while not (self._closing.is_set() or line.visits.lost):
                for message in self._hub.call(address, fetch, self._run, NEWS_S):
                    told = unpacked(message)
                    if told.kind == "note":
                        self._remarks.say(str(told.what))
                    else:
                        line.visits.deliver(told)
        except Exception:  # noqa: BLE001  # Dask says in many ways that a worker is gone
            self._lose(line)

    def _send(self, line: _Line) -> None:
        try:
            while chunk := line.chunk():
                self._hub.call(line.worker.address, begin, self._run, chunk)
        except Exception:  # noqa: BLE001  # as above
            self._lose(line)

    def _open(self, line: _Line) -> bool:
        worker = line.worker
        refusal = "" if worker.address.startswith("tls://") else "it does not speak TLS"
        try:
            if not refusal and (theirs := self._hub.call(worker.address, program)) != program():
                refusal = f"it runs {theirs}, here is {program()}"
            if not refusal:
                self._hub.call(worker.address, open_post, self._run, self._start)
        except (ImportError, MtughostError) as error:
            refusal = str(error)
        with self._changed:
            line.ready = not refusal
            if refusal:
                line.visits.lost = True
                self._refused[worker.address] = f"worker {worker.name}: {refusal}"
            self._changed.notify_all()
        if refusal:
            self._remarks.say(self._refused[worker.address])
        return not refusal

    def _lose(self, line: _Line) -> None:
        """Give a line up; the watch, which knows whether it was the scheduler, says so."""
        line.end()
        self._look_again.set()


def _nobody(device: Device) -> DeviceSkippedError:
    if device.region:
        todo = f"Start one with --resources {REGION_RESOURCE}{device.region}=1"
        return DeviceSkippedError(
            device.name, f"no worker of the cluster takes region {device.region}", todo=todo
        )
    return DeviceSkippedError(
        device.name,
        "no worker of the cluster takes devices without a region",
        todo=f"Name the device's region, or start a worker without --resources {REGION_RESOURCE}",
    )
