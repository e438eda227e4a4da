"""Nornir runner plugin ``mtughost_threads``: threads under the rules of :mod:`mtughost.fleet.ramp`.

Usable with any Nornir task: hosts are told apart by their data ``site``, ``jump`` and ``realm``
(else their user name). The tasks themselves are never run twice.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

from nornir.core.exceptions import NornirSubTaskError
from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Result, Task

from mtughost.fleet.ramp import Ending, Ramp, RampPolicy, Seat
from mtughost.model.errors import (
    AuthenticationRefusedError,
    DeviceSkippedError,
    DeviceUnreachableError,
)

#: How long the coordinator sleeps at most before it looks at Ctrl-C again.
POLL_S = 0.1

_LOGIN_PROVEN: ContextVar[Callable[[], None] | None] = ContextVar("login_proven", default=None)


def login_proven() -> None:
    """Tell the runner, from inside a visit, that the device accepted the login.

    The canary's credential then counts as good at once, and the others need not wait until the
    canary's whole visit is over. Outside a visit it does nothing.
    """
    note = _LOGIN_PROVEN.get()
    if note is not None:
        note()


@contextmanager
def login_told_to(told: Callable[[], None]) -> Iterator[None]:
    """Let :func:`login_proven` call ``told``, in this thread: for visits far from their runner."""
    token = _LOGIN_PROVEN.set(told)
    try:
        yield
    finally:
        _LOGIN_PROVEN.reset(token)


class Timer(Protocol):
    """The part of :class:`mtughost.model.session.Clock` that a runner needs."""

    def monotonic_s(self) -> float:
        """Return a monotonic reading in seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemTimer:
    """The machine's own monotonic clock."""

    def monotonic_s(self) -> float:
        """Return a monotonic reading in seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class RampRunner:
    """Runs a Nornir task over hosts, at most 100 at once, canary first.

    The first Ctrl-C starts nothing more and gives running hosts ``grace_s``; the second one gives
    up at once with ``KeyboardInterrupt``. Every host is in the result: those that were not run
    carry a :class:`~mtughost.model.errors.DeviceSkippedError`.

    Args:
        policy: Limits; ``None`` takes ``limits``.
        timer: Monotonic time; only tests give another.
        stop: An event that, once set, acts like the first Ctrl-C (for runs outside the main
            thread, which signals do not reach).
        limits: Fields of :class:`RampPolicy`, for Nornir's ``runner.options``.

    Attributes:
        interrupted: Whether the last run was ended early.
        stopped_realms: Credentials that the last run stopped using.
    """

    def __init__(
        self,
        policy: RampPolicy | None = None,
        timer: Timer | None = None,
        stop: threading.Event | None = None,
        **limits: Any,
    ) -> None:
        self._policy = policy if policy is not None else RampPolicy(**limits)
        self._timer = timer if timer is not None else SystemTimer()
        self._stops = (stop if stop is not None else threading.Event(), threading.Event())
        self._fleet: _FleetRun | None = None
        self.interrupted = False
        self.stopped_realms: tuple[str, ...] = ()

    def run(self, task: Task, hosts: list[Host]) -> AggregatedResult:
        """Run the task over the hosts; called by ``Nornir.run``.

        Raises:
            KeyboardInterrupt: at the second Ctrl-C.
        """
        self._stops[1].clear()
        fleet = _FleetRun(task, hosts, self._policy, self._timer, self._stops)
        self._fleet = fleet
        try:
            fleet.coordinate()
        finally:
            self.interrupted = fleet.stopping
            self.stopped_realms = fleet.ramp.stopped_realms
            self._fleet = None
        result = AggregatedResult(task.name)
        for host in hosts:
            result[host.name] = fleet.results[host.name]
        return result

    def try_again(self, host: str) -> bool:
        """Note that a try of ``host`` found no connection; say whether another may follow."""
        fleet = self._fleet
        return fleet is not None and fleet.try_again(host)

    def put_back(self, host: str) -> None:
        """Give ``host`` another turn once its task has returned. From the thread of its task."""
        if self._fleet is not None:
            self._fleet.again.add(host)

    def request_stop(self, why: str = "the run was interrupted") -> None:
        """Start nothing more in this run, like the first Ctrl-C. From any thread."""
        if self._fleet is not None:
            self._fleet.why_stopped = why
        self._stops[1].set()


@dataclass(slots=True)
class _FleetRun:
    """One call of ``RampRunner.run``."""

    task: Task
    hosts: list[Host]
    policy: RampPolicy
    timer: Timer
    stops: tuple[threading.Event, ...]
    ramp: Ramp = field(init=False)
    results: dict[str, MultiResult] = field(default_factory=dict)
    stopping: bool = False
    again: set[str] = field(default_factory=set)
    why_stopped: str = "the run was interrupted"
    _by_name: dict[str, Host] = field(init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _interrupts: int = 0
    _give_up_at_s: float = 0.0

    def __post_init__(self) -> None:
        self._by_name = {host.name: host for host in self.hosts}
        self.ramp = Ramp([seat_of(host) for host in self.hosts], self.policy)

    def coordinate(self) -> None:
        """Start visits as the rules allow until every host is accounted for."""
        with self._catch_interrupts():
            while True:
                with self._changed:
                    self._look_at_stop()
                    self._start_all()
                    self._account_skipped()
                    if not self.ramp.running and not self.ramp.pending:
                        return
                    if self.ramp.running:
                        self._changed.wait(POLL_S)
                        continue
                    wake_at_s = self.ramp.wake_at_s()
                # Only paused sites are left. Not under the lock, and in slices for Ctrl-C.
                now_s = self.timer.monotonic_s()
                self.timer.sleep(min(max((wake_at_s or now_s) - now_s, 0.001), POLL_S))

    def try_again(self, host: str) -> bool:
        with self._changed:
            return self.ramp.retry(host)

    def _start_all(self) -> None:
        while (seat := self.ramp.start(self.timer.monotonic_s())) is not None:
            host = self._by_name[seat.name]
            # Daemon threads: a device that hangs for ever must not keep the process alive.
            thread = threading.Thread(
                target=self._visit, args=(host,), name=f"visit {seat.name}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # the machine gives no more threads
                self._finish(host, _failed(self.task.name, host, error))

    def _visit(self, host: Host) -> None:
        _LOGIN_PROVEN.set(lambda: self._proven(host.name))
        try:
            result = self.task.copy().start(host)
        except BaseException as error:  # noqa: BLE001 - SystemExit in a task must not lose a host
            result = _failed(self.task.name, host, error)
        with self._changed:
            if host.name in self.again:
                self.again.discard(host.name)
                self.ramp.put_back(host.name)
            else:
                self._finish(host, result)
            self._changed.notify()

    def _proven(self, host: str) -> None:
        with self._changed:
            self.ramp.proven(host)
            self._changed.notify()

    def _finish(self, host: Host, result: MultiResult) -> None:
        self.results.setdefault(host.name, result)
        self.ramp.finished(host.name, ending_of(result), self.timer.monotonic_s())

    def _account_skipped(self) -> None:
        for name, reason in self.ramp.take_skipped().items():
            error = DeviceSkippedError(name, reason)
            self.results.setdefault(name, _failed(self.task.name, self._by_name[name], error))

    def _look_at_stop(self) -> None:
        if not self._interrupts and not any(stop.is_set() for stop in self.stops):
            return
        now_s = self.timer.monotonic_s()
        if not self.stopping:
            self.stopping = True
            self._give_up_at_s = now_s + self.policy.grace_s
            self.ramp.stop(f"{self.why_stopped} before its turn came")
        if self._interrupts > 1 or now_s >= self._give_up_at_s:
            self.ramp.abandon(f"{self.why_stopped} before it had finished")
            self._account_skipped()
        if self._interrupts > 1:
            raise KeyboardInterrupt

    @contextmanager
    def _catch_interrupts(self) -> Iterator[None]:
        previous = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if not main or not callable(previous):  # ignored on purpose, or not set from Python
            yield
            return

        def count(number: int, frame: FrameType | None) -> None:
            self._interrupts += 1
            if self._interrupts > 2:  # noqa: PLR2004 - whoever presses three times means it
                previous(number, frame)

        signal.signal(signal.SIGINT, count)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)


def seat_of(host: Host) -> Seat:
    """Return how the rules see a Nornir host."""
    user = host.username or ""
    return Seat(
        name=host.name,
        realm=str(host.get("realm") or user),
        site=str(host.get("site") or host.name),
        jump=str(host.get("jump") or ""),
    )


def ending_of(result: MultiResult) -> Ending:
    """Return how a task ended, looking into the sub-task that failed."""
    error = result[0].exception
    while isinstance(error, NornirSubTaskError):
        failed = [step.exception for step in error.result if step.exception is not None]
        error = failed[-1] if failed else None
    if isinstance(error, AuthenticationRefusedError):
        return "refused"
    if isinstance(error, DeviceUnreachableError):
        return "unreachable"
    return "other" if error is not None or result.failed else "ok"


def _failed(task_name: str, host: Host, error: BaseException) -> MultiResult:
    result = MultiResult(task_name)
    result.append(Result(host, result=str(error), failed=True, exception=error))
    return result
