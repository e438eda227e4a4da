"""All waves of a run: canary, small, large; windows, the failure budget, the operator's word.

A device that fails after it was touched stops the run: the stop is recorded before anything else,
and from then on no other device is armed. Those under way come to a proven end. A device that was
not reached, or was refused before the first touch, is no failure; but as long as no device of the
run was confirmed, devices go one at a time, because none has been the canary yet.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from mtughost.change.approval import Authority, moment
from mtughost.change.course import Brake, Course, StopEvent
from mtughost.change.device_run import DeviceRun
from mtughost.change.journal import RunJournal
from mtughost.change.tools import DeviceResult, Progress, Tools
from mtughost.change.workers import run_parallel
from mtughost.model.errors import AuthenticationRefusedError
from mtughost.model.plans import PlannedDevice, Wave
from mtughost.model.session import Session

#: So many devices may refuse the login before the run takes the credential for wrong.
MAX_REFUSED_LOGINS: Final = 3
_LOOK_UP_S: Final = 30.0
#: A wave of more devices is told by their number.
_NAMED: Final = 8


class WaveRun:
    """Carries a run through its waves."""

    def __init__(self, authority: Authority, pen: RunJournal, tools: Tools) -> None:
        """Prepare; nothing is sent.

        Args:
            authority: The plan and the approval that lets it loose.
            pen: Writes the run's records.
            tools: Sessions, service check, clock.
        """
        self._plan = authority.plan
        self._until = min(
            moment(authority.plan.not_after_utc, "not_after_utc"),
            moment(authority.approval.not_after_utc, "not_after_utc"),
        )
        self._pen = pen
        self._clock = tools.clock
        self._brake = Brake()
        self._voice = threading.Lock()
        self._refused: set[str] = set()
        self._rests: set[str] = set()
        self._say = tools.progress
        self._open = tools.open_session
        self._tools = replace(tools, progress=self._tell, open_session=self._login)
        self._proven = False

    def run(self) -> list[DeviceResult]:
        """Return how every device of the plan ended, in the order of the waves.

        Raises:
            StoreError: journal or backup failed; armed devices undo themselves.
        """
        results: list[DeviceResult] = []
        many = len(self._plan.devices)
        told = f"{many} device{'' if many == 1 else 's'}, plan {self._plan.plan_id}"
        self._tell(Progress(device="", step="run", text=told, devices=many))
        for wave in self._plan.waves:
            if not self._brake.why():
                self._tell(Progress(device="", step="wave", text=self._said_of(wave)))
            results += self._wave(wave)
            if wave.soak_s and not self._brake.why():
                self._rest(f"{wave.soak_s} s after wave {wave.n}")
                self._wait(wave.soak_s)
        return results

    def _said_of(self, wave: Wave) -> str:
        many = len(wave.devices) > _NAMED
        who = f"{len(wave.devices)} devices" if many else ", ".join(wave.devices)
        told = "; ".join(part for part in (who, wave.pace) if part)
        return f"{wave.n} of {len(self._plan.waves)}: {told}"

    def _wave(self, wave: Wave) -> list[DeviceResult]:
        devices = [self._plan.device(name) for name in wave.devices]
        results: list[DeviceResult] = []
        while devices and not self._proven:
            results.append(self._device(devices.pop(0)))
            self._proven = results[-1].outcome == "confirmed"
        return results + run_parallel(
            devices, self._device, at_once=wave.max_parallel, journal=self._pen.journal
        )

    def _device(self, planned: PlannedDevice) -> DeviceResult:
        why_not = self._wait_for_window(planned)
        self._stop_if_asked()
        if self._brake.why():
            return _untouched(planned, "not-started", self._brake.why())
        if why_not:
            self._tell(Progress(device=planned.name, step="skipped", text=why_not))
            return _untouched(planned, "skipped", why_not)
        course = Course(self._plan, planned, self._pen, self._tools, self._brake)
        result = DeviceRun(course).run()
        if result.touched and result.outcome != "confirmed":
            course.stop_others()
        if self._brake.why() and result.outcome == "refused" and not result.touched:
            return replace(result, outcome="not-started")
        return result

    # -- when ----------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return moment(self._clock.utc_now(), "now")

    def _stop_if_asked(self) -> None:
        if self._tools.stop_requested():
            self._stop("operator-stop", "stopped by the operator")
        elif self._now() >= self._until:
            self._stop("wave-stop", "plan or approval has run out")

    def _stop(self, event: StopEvent, why: str) -> None:
        self._brake.pull(self._pen, event, why, self._tell)

    def _wait_for_window(self, planned: PlannedDevice) -> str:
        """Wait until the device's window opens; say why it is skipped, ``""`` if it is not."""
        window = planned.window
        if not window.start_utc:
            return ""
        start, end = moment(window.start_utc, "start_utc"), moment(window.end_utc, "end_utc")
        if self._now() < start < self._until:
            self._rest(f"the window opens at {window.start_utc}")
        while self._now() < start < self._until and self._goes_on():
            self._clock.sleep(min(_LOOK_UP_S, (start - self._now()).total_seconds()))
        # The undo of a change that begins at the end of the night would come in the morning.
        last = end - timedelta(seconds=planned.autorevert.window_s)
        if start <= self._now() < last:
            return ""
        zone = f" ({window.tz})" if window.tz else ""
        return f"outside its window {window.start_utc} to {window.end_utc}{zone}"

    def _wait(self, seconds: float) -> None:
        end_s = self._clock.monotonic_s() + seconds
        while self._clock.monotonic_s() < end_s and self._goes_on():
            self._clock.sleep(min(_LOOK_UP_S, end_s - self._clock.monotonic_s()))

    def _goes_on(self) -> bool:
        return not self._brake.why() and not self._tools.stop_requested()

    # -- what all devices share ----------------------------------------------------------------

    def _rest(self, why: str) -> None:
        """Say once what a run waits for: it may take hours."""
        with self._voice:
            if why not in self._rests:
                self._rests.add(why)
                self._say(Progress(device="", step="waiting", text=why))

    def _tell(self, progress: Progress) -> None:
        with self._voice:
            self._say(progress)

    def _login(self, device_name: str) -> Session:
        try:
            return self._open(device_name)
        except AuthenticationRefusedError:
            self._refused.add(device_name)
            if len(self._refused) >= MAX_REFUSED_LOGINS:
                why = f"{len(self._refused)} devices refused the login: the credential is wrong"
                self._stop("wave-stop", why)
            raise


def _untouched(planned: PlannedDevice, outcome: str, why: str) -> DeviceResult:
    return DeviceResult(
        device=planned.name,
        outcome="skipped" if outcome == "skipped" else "not-started",
        touched=False,
        reason=why,
    )
