"""Visit devices through Nornir, account for every one of them, hand each over as it finishes."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from nornir.core import Nornir
from nornir.core.inventory import Defaults, Groups, Host, Hosts
from nornir.core.inventory import Inventory as NornirInventory
from nornir.core.processor import Processors
from nornir.core.task import AggregatedResult, MultiResult, Result, Task

from mtughost.fleet.outcome import FleetSummary, HostOutcome, Status
from mtughost.fleet.ramp import RampPolicy
from mtughost.fleet.threads import RampRunner, SystemTimer, Timer, login_proven
from mtughost.model.errors import (
    DeviceError,
    DeviceSkippedError,
    DeviceUnreachableError,
    MtughostError,
    SchedulerError,
    UsageError,
    WorkerLostError,
)
from mtughost.model.findings import HostStatus
from mtughost.model.inventory import Device

T = TypeVar("T")

__all__ = [
    "FleetSummary",
    "HostOutcome",
    "RampPolicy",
    "RampRunner",
    "login_proven",
    "run_fleet",
]

#: How often one device may lose the worker that visits it: one that ends its workers is then named.
WORKERS_PER_DEVICE = 3
#: After the second Ctrl-C: how long the hand-over of a finished host may still take.
HAND_OVER_S = 1.0


def run_fleet(
    devices: Sequence[Device],
    visit: Callable[[Device], T],
    *,
    policy: RampPolicy | None = None,
    on_result: Callable[[HostOutcome[T]], None],
    clock: Timer | None = None,
    stop: threading.Event | None = None,
) -> FleetSummary:
    """Visit every device once and account for all of them.

    Args:
        devices: Whom to visit; no name twice.
        visit: Logs in, reads, logs out. It keeps its own deadlines and raises
            :class:`~mtughost.model.errors.DeviceError` for whatever the device does. It may call
            :func:`login_proven` once logged in.
        policy: Caps, retries, breakers.
        on_result: Called once for each device as it finishes, skipped ones included, from one
            thread at a time (not always the same one).
        clock: Monotonic time.
        stop: An event that acts like the first Ctrl-C.

    Returns:
        The account. After one Ctrl-C ``interrupted`` is set and the rest is ``skipped``.

    Raises:
        UsageError: two devices with one name.
        KeyboardInterrupt: second Ctrl-C, after all devices were accounted for.
        Exception: whatever ``on_result`` raised (the run stops), or the first untyped exception
            of a visit (the run goes on; it is raised at the end).
    """
    twins = [name for name, times in Counter(d.name for d in devices).items() if times > 1]
    if twins:
        raise UsageError(f"asked for more than once: {', '.join(twins)}")
    timer = clock if clock is not None else SystemTimer()
    policy = policy if policy is not None else RampPolicy()
    runner = RampRunner(policy, timer, stop)
    books = _Books(devices={d.name: d for d in devices}, on_result=on_result, runner=runner)
    started_s = timer.monotonic_s()
    if devices:
        nornir = Nornir(
            inventory=_inventory(devices), runner=runner, processors=Processors([books])
        )
        tasks = _Visits(visit=visit, books=books, policy=policy, timer=timer, runner=runner)
        try:
            # No arguments: Nornir logs them. Never raise_on_error: the environment could set it.
            nornir.run(tasks.visit_device, raise_on_error=False)
        finally:
            books.close()
    books.raise_first()
    return FleetSummary(
        hosts=tuple(books.statuses[device.name] for device in devices),
        interrupted=runner.interrupted,
        stopped_realms=runner.stopped_realms,
        duration_s=timer.monotonic_s() - started_s,
    )


def _inventory(devices: Sequence[Device]) -> NornirInventory:
    """Build a Nornir inventory without a single secret in it: Nornir logs what it holds."""
    defaults = Defaults()
    hosts = Hosts()
    for device in devices:
        hosts[device.name] = Host(
            name=device.name,
            hostname=device.address,
            port=device.port,
            username=device.credential.username,
            platform=device.platform,
            data={
                "site": device.site,
                "role": device.role,
                "jump": device.jump,
                "realm": device.credential.realm,
            },
            defaults=defaults,
        )
    return NornirInventory(hosts=hosts, groups=Groups(), defaults=defaults)


@dataclass(slots=True)
class _Visits(Generic[T]):
    """The Nornir task: one visit with its tries. Nothing escapes from it into Nornir's log."""

    visit: Callable[[Device], T]
    books: _Books[T]
    policy: RampPolicy
    timer: Timer
    runner: RampRunner

    def visit_device(self, task: Task) -> Result:
        host = task.host
        if host is None:
            raise UsageError("the task was started without a host")
        device = self.books.devices[host.name]
        started_s = self.timer.monotonic_s()
        tries, value, error = self._try(device)
        typed = error if isinstance(error, DeviceError) else None
        outcome = HostOutcome(
            device=device,
            status=_status(error),
            value=value,
            error=typed,
            reason=_reason(error),
            tries=tries,
            duration_s=self.timer.monotonic_s() - started_s,
        )
        return Result(host, result=outcome, failed=error is not None, exception=error)

    def _try(self, device: Device) -> tuple[int, T | None, BaseException | None]:
        tries = 0
        while True:
            tries += 1
            try:
                return tries, self.visit(device), None
            except DeviceUnreachableError as error:
                if not self.runner.try_again(device.name) or tries > self.policy.connect_retries:
                    return tries, None, error
            except SchedulerError as error:
                self.runner.request_stop(error.reason)
                return tries, None, error
            except BaseException as error:  # noqa: BLE001 - SystemExit must not lose the host
                return tries, None, error
            self.timer.sleep(self._delay_s(tries))

    def _delay_s(self, tries: int) -> float:
        jitter = random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, keeps no secret
        return float(self.policy.retry_delay_s * 2 ** (tries - 1) * jitter)


@dataclass(slots=True)
class _Books(Generic[T]):
    """Nornir processor: hands each host over once and keeps the account."""

    devices: dict[str, Device]
    on_result: Callable[[HostOutcome[T]], None]
    runner: RampRunner
    statuses: dict[str, HostStatus] = field(default_factory=dict)
    _workers_lost: Counter[str] = field(default_factory=Counter)
    _bugs: list[tuple[str, BaseException]] = field(default_factory=list)
    _hand_over_error: BaseException | None = None
    _closed: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def task_started(self, task: Task) -> None:
        """Nothing to do."""

    def task_instance_started(self, task: Task, host: Host) -> None:
        """Nothing to do."""

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        """Nothing to do."""

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Nothing to do."""

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:  # noqa: ARG002 - Nornir's signature
        """Hand a visited host over, in the thread of the visit."""
        outcome: HostOutcome[T] = result[0].result
        error = result[0].exception
        with self._lock:
            if isinstance(error, WorkerLostError):
                self._workers_lost[host.name] += 1
                if self._workers_lost[host.name] < WORKERS_PER_DEVICE:
                    self.runner.put_back(host.name)
                    return
            if error is not None and not isinstance(error, DeviceError):
                self._bugs.append((host.name, error))
            self._hand_over(outcome)
        # The runner still needs the type of the error, but not the values of a whole fleet, nor
        # the frames of failed visits with all that was read in them.
        result[0].result = None
        if isinstance(error, DeviceError):
            _drop_frames(error)

    def task_completed(self, task: Task, result: AggregatedResult) -> None:  # noqa: ARG002 - Nornir's signature
        """Account for the hosts that the runner skipped."""
        for name, steps in result.items():
            error = steps[0].exception
            if isinstance(error, DeviceSkippedError):
                self._skip(name, error)
            elif error is not None and name not in self.statuses:
                # The runner itself could not start it.
                outcome: HostOutcome[T] = HostOutcome(
                    device=self.devices[name], status="failed", reason=_reason(error)
                )
                with self._lock:
                    self._bugs.append((name, error))
                    self._hand_over(outcome)

    def _skip(self, name: str, error: DeviceSkippedError) -> None:
        device = self.devices[name]
        outcome: HostOutcome[T] = HostOutcome(
            device=device, status="skipped", error=error, reason=error.reason
        )
        with self._lock:
            self._hand_over(outcome)

    def _hand_over(self, outcome: HostOutcome[Any]) -> None:
        name = outcome.device.name
        if self._closed or name in self.statuses:
            return
        self.statuses[name] = outcome.host_status
        try:
            self.on_result(outcome)
        except BaseException as error:  # noqa: BLE001 - kept and raised when all are accounted for
            self._hand_over_error = self._hand_over_error or error
            self.runner.request_stop()

    def close(self) -> None:
        """Account for whoever is left; a visit that ends later changes nothing any more."""
        reason = "the run was interrupted before it had finished"
        # A hand-over that hangs must not make the second Ctrl-C hang.
        if not self._lock.acquire(timeout=HAND_OVER_S):
            self._closed = True
            return
        try:
            for name in self.devices:
                if name not in self.statuses:
                    self._skip(name, DeviceSkippedError(name, reason))
            self._closed = True
        finally:
            self._lock.release()

    def raise_first(self) -> None:
        """Raise what ``on_result`` raised, else the first bug of a visit."""
        if self._hand_over_error is not None:
            raise self._hand_over_error
        if not self._bugs:
            return
        name, bug = self._bugs[0]
        others = f" and at {len(self._bugs) - 1} more devices" if len(self._bugs) > 1 else ""
        bug.add_note(f"raised by the visit to {name}{others}; all devices were accounted for")
        if isinstance(bug, Exception):
            raise bug
        raise RuntimeError(f"the visit to {name} raised {type(bug).__name__}") from bug


def _drop_frames(error: BaseException | None) -> None:
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _status(error: BaseException | None) -> Status:
    if error is None:
        return "ok"
    # What was never tried, or given up with the whole run, is asked when the run goes on.
    return "skipped" if isinstance(error, DeviceSkippedError | SchedulerError) else "failed"


def _reason(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, SchedulerError):
        return error.reason  # what to do about it is said once, at the end
    if isinstance(error, MtughostError):
        return str(error)
    # The text of an untyped exception can hold anything, secrets too.
    return f"internal error ({type(error).__name__}): a bug of mtughost, raised as the run ends"
