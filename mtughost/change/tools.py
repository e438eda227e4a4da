"""What ``apply`` and ``resume`` are given: sessions, the service check, clocks, a voice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from mtughost.model.plans import Plan
from mtughost.model.session import Clock, Session
from mtughost.remedy.transitions import DeviceState


class OpenSession(Protocol):
    """Makes a new login each time; never gives one back that was used before."""

    def __call__(self, device_name: str) -> Session:
        """Log in.

        Raises:
            DeviceError: host key, refusal, timeout; nothing was sent.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRequest:
    """What must be proven.

    Attributes:
        device: The device that was changed.
        services: Names of the services in the plan's proof.
        access_points: Devices whose flows they are.
        changed_utc: When the last line of the change was acknowledged, by the tool's clock.
        changed_boottime_s: The same by the clock that goes on while the machine sleeps.
        timeout_s: The answer must be here by then; a longer wait would pass the cut-off.
    """

    site: str
    device: str
    services: tuple[str, ...]
    access_points: tuple[str, ...]
    changed_utc: str
    changed_boottime_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCheck:
    """What was seen of the service after the change. ``None`` means that nobody could see.

    Attributes:
        full_handshake: A full handshake, not a resumed one: only that sends the certificate.
        round_trip_after_change: An application round trip that began after the change.
        full_size_reply: A probe that fills a packet was answered.
        summary: One sentence.
        evidence: What it rests on, line by line.
    """

    full_handshake: bool | None
    round_trip_after_change: bool | None
    full_size_reply: bool | None
    summary: str
    evidence: tuple[str, ...] = ()

    @property
    def proven(self) -> bool:
        """Whether all three hold. Unknown is never enough."""
        return (
            self.full_handshake is True
            and self.round_trip_after_change is True
            and self.full_size_reply is True
        )


class VerifyService(Protocol):
    """Proves the service by new logins to the access points. Reads only, waits by itself."""

    def __call__(self, request: ServiceRequest) -> ServiceCheck:
        """Return what was seen before ``request.timeout_s`` has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step, for the console.

    Attributes:
        device: Inventory name, ``""`` for the run.
        step: The journal's word for it; ``run`` where a run begins, ``waiting`` where it rests.
        text: One sentence.
        devices: How many devices the run has, where it begins.
    """

    device: str
    step: str
    text: str
    devices: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Everything effectful, as arguments.

    Attributes:
        host_keys: Fingerprints that are accepted for a device now.
        backups: ``state/backups``.
        stop_requested: Whether the operator has asked to stop (first Ctrl-C).
    """

    open_session: OpenSession
    verify_service: VerifyService
    host_keys: Callable[[str], tuple[str, ...]]
    clock: Clock
    backups: Path
    progress: Callable[[Progress], None] = lambda _: None
    stop_requested: Callable[[], bool] = lambda: False


Outcome = Literal["confirmed", "reverted", "needs-human", "refused", "skipped", "not-started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceResult:
    """How one device ended.

    Attributes:
        outcome: ``confirmed`` is after, ``reverted`` and ``refused`` are before, both proven;
            ``skipped`` was not reached and not touched.
        touched: Whether a line of the change may have been sent.
        reason: One sentence.
        detail: Drift, answers, evidence.
    """

    device: str
    outcome: Outcome
    touched: bool
    reason: str
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended.

    Attributes:
        head: The journal's head at the end, for the ticket.
    """

    run_id: str
    plan: Plan
    devices: tuple[DeviceResult, ...]
    head: str

    @property
    def exit_code(self) -> int:
        """Exit code of DESIGN section 9, the worst of all devices."""
        outcomes = {result.outcome for result in self.devices}
        if "needs-human" in outcomes:
            return 7
        if "reverted" in outcomes:
            return 6
        if "refused" in outcomes:
            return 5
        return 4 if outcomes & {"skipped", "not-started"} else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """What the journal knows of one device in one run.

    Attributes:
        touched: Whether a line of the change may have been sent.
        in_flight: Whether the answer to the last of them never came.
    """

    run_id: str
    device: str
    state: DeviceState
    last_event: str
    last_utc: str
    token: str
    reason: str
    touched: bool
    in_flight: bool
