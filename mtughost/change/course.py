"""One device on its way through a run: its state, its records, its logins, its backup."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from mtughost.change.asking import DeviceState, read_state
from mtughost.change.guard import GuardReading, read_guard
from mtughost.change.journal import RunJournal
from mtughost.change.tools import DeviceResult, Outcome, Progress, Tools
from mtughost.disk import replace_file
from mtughost.model.documents import canonical_bytes, digest_bytes
from mtughost.model.errors import PlanRefusedError, StoreError
from mtughost.model.plans import Plan, PlannedDevice
from mtughost.model.session import Session
from mtughost.remedy.state import drift
from mtughost.remedy.transitions import TOUCHED, DeviceEvent, step
from mtughost.remedy.transitions import DeviceState as StateName

Side = Literal["before", "after", "other"]
_SHOWN_LINES: Final = 40
_SIDES: Final[dict[Side, str]] = {
    "before": "the state before",
    "after": "the planned state",
    "other": "neither the state before nor the planned one",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Where a device stands, by what it said itself.

    Attributes:
        running: By the touched section.
        saved: By what the next boot would load.
        elsewhere: Drift outside the touched section, ``""`` for none.
        why: How it differs from the nearer side, and what it runs and would boot, for people.
    """

    running: Side
    saved: Side
    elsewhere: str
    why: str

    @property
    def is_before(self) -> bool:
        """Exactly as before the change."""
        return self.running == "before" and self.saved == "before"

    @property
    def is_after(self) -> bool:
        """Exactly as planned, and saved."""
        return self.running == "after" and self.saved == "after" and not self.elsewhere


#: What stopped a run, as the journal names it.
StopEvent = Literal["wave-stop", "operator-stop"]


class Brake:
    """Stops a run: pulled once, by the first failure, and never let go.

    Arming and pulling exclude each other: once the stop stands in the journal, no device is armed.
    """

    def __init__(self, why: str = "") -> None:
        """Prepare.

        Args:
            why: What stopped the run already, ``""`` where it goes on.
        """
        self._lock = threading.RLock()
        self._why = why

    def why(self) -> str:
        """Return what stopped the run, ``""`` while it goes on."""
        return self._why

    def pull(
        self, pen: RunJournal, event: StopEvent, why: str, say: Callable[[Progress], None]
    ) -> None:
        """Stop the run, unless it is stopped already; write it down and say it.

        Raises:
            StoreError: it could not be recorded; it is stopped all the same.
        """
        with self._lock:
            if self._why:
                return
            self._why = why
            pen.write(event, text=why)
        say(Progress(device="", step=event, text=why))

    @contextlib.contextmanager
    def held_off(self, event: str) -> Iterator[None]:
        """Refuse to arm once the run is stopped.

        Raises:
            PlanRefusedError: it is; nothing was sent.
        """
        with self._lock:
            if self._why and event in {"arm-intent", "commit-intent"}:
                raise PlanRefusedError(f"not started: {self._why}")
            yield


#: The first sign that a device that was touched does not do as planned.
_FAILING: Final = frozenset({"verify-failed", "restore-intent", "reverted", "needs-human"})


class Course:
    """The way of one device through one run.

    Attributes:
        brake: Stops the other devices when this one fails.
        state: One of the nine device states.
        touched: Whether a line of the change may have been sent.
        token: The run's token on this device, ``""`` before arming.
    """

    def __init__(
        self,
        plan: Plan,
        planned: PlannedDevice,
        pen: RunJournal,
        tools: Tools,
        brake: Brake | None = None,
    ) -> None:
        self.plan = plan
        self.planned = planned
        self.pen = pen
        self.tools = tools
        self.brake = brake or Brake()
        self.state: StateName = "planned"
        self.touched = False
        self.token = ""
        #: The answer to a changing line never came: nobody knows whether it is still under way.
        self.in_flight = False
        #: Whether the way back was sent, while the device's own timer goes on.
        self.sent_back = False
        #: Whether it was told that the device's own timer is waited for.
        self.waits = False
        #: Until then such a line may arrive, by the tool's monotonic clock.
        self.still_until_s = 0.0

    @property
    def name(self) -> str:
        """Inventory name."""
        return self.planned.name

    def note(self, event: DeviceEvent, text: str, **data: Any) -> None:
        """Write one record, durably, and then tell the console.

        Raises:
            PlanRefusedError: the run was stopped before this device was armed.
            StoreError: it is not on the disk; nothing may be sent that depends on it.
        """
        following = step(self.state, event)
        if self.touched and event in _FAILING:
            self.stop_others()
        with self.brake.held_off(event):
            self.pen.write(event, self.name, text=text, **data)
        self.state = following
        if event in {"apply-intent", "applied"}:
            self.in_flight = event == "apply-intent"
        self.touched = self.touched or following in TOUCHED
        self.tools.progress(Progress(device=self.name, step=event, text=text))

    def stop_others(self) -> None:
        """Stop the run because of this device, unless it is stopped already."""
        budget = self.plan.fail_budget
        self.stop("wave-stop", f"{self.name} failed and the failure budget is {budget}")

    def stop(self, event: StopEvent, why: str) -> None:
        """Stop the run, unless it is stopped already."""
        self.brake.pull(self.pen, event, why, self.tools.progress)

    @contextlib.contextmanager
    def login(self) -> Iterator[Session]:
        """Open a new login and close it again.

        Raises:
            DeviceError: no login.
        """
        session = self.tools.open_session(self.name)
        try:
            yield session
        finally:
            session.close()

    def read(self, session: Session) -> DeviceState:
        """Read the device's whole state."""
        planned = self.planned
        return read_state(
            session,
            planned.state,
            backend=planned.backend,
            target=planned.target,
            taken_utc=self.tools.clock.utc_now(),
        )

    def guard(self, session: Session) -> GuardReading:
        """Read the guard."""
        return read_guard(session, self.planned, self.token, self.tools.clock)

    def judge(self, found: DeviceState) -> Judged:
        """Compare a reading with the plan's two sides."""
        pre, post = self.planned.pre, self.planned.post
        now = found.digest
        running = _side(now.relevant, pre.relevant, post.relevant)
        # Where a change saves itself there is no saved state to tell apart.
        saved = running if pre.saved == post.saved else _side(now.saved, pre.saved, post.saved)
        planned = running == "after" or (running == "other" and self.state in TOUCHED)
        near = post if planned else pre
        # What is saved has words of its own: until confirm it must be the old state.
        differs = _cut(drift(near, replace(now, saved=near.saved)))
        elsewhere = differs if running != "other" and now.whole != near.whole else ""
        stands = f"running: {_SIDES[running]}"
        if pre.saved != post.saved:
            stands += f"; saved: {_SIDES[saved]}"
        return Judged(
            running=running,
            saved=saved,
            elsewhere="" if self.plan.allow_unrelated_drift else elsewhere,
            why="\n".join(part for part in (differs, stands) if part),
        )

    def result(self, outcome: Outcome, reason: str, *detail: str) -> DeviceResult:
        """Return how it ended."""
        return DeviceResult(
            device=self.name,
            outcome=outcome,
            touched=self.touched,
            reason=reason,
            detail=tuple(part for part in detail if part),
        )


def _side(now: str, before: str, after: str) -> Side:
    if now == before:
        return "before"
    return "after" if now == after else "other"


def _cut(text: str) -> str:
    lines = text.splitlines()
    if len(lines) <= _SHOWN_LINES:
        return text
    return "\n".join([*lines[:_SHOWN_LINES], f"... and {len(lines) - _SHOWN_LINES} more lines"])


def save_backup(directory: Path, device: str, state: DeviceState) -> str:
    """Keep a device's raw state under its own digest and read it back.

    Returns:
        The digest, ``sha256:...``, which is also the file's name.

    Raises:
        StoreError: it is not safely on the disk, or the name is not a plain one.
    """
    if not device or "/" in device or device.startswith("."):
        raise StoreError(f"{device!r} cannot name a directory for backups")
    data = canonical_bytes({"schema": "mtughost/backup/v1", "device": device, "texts": state.texts})
    digest = digest_bytes(data)
    place = directory / device
    path = place / digest.removeprefix("sha256:")
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, data)
        kept = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path}: cannot keep the backup: {error.strerror}",
            todo="Nothing was armed. Free space or repair the directory, then apply again",
        ) from error
    if digest_bytes(kept) != digest:
        raise StoreError(f"{path}: the backup reads back differently")
    return digest
