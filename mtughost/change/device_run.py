"""The change of one device, in order: check, back up, arm, touch, verify, confirm, save."""

from __future__ import annotations

from typing import Final

from mtughost.change.asking import DeviceState, has_rebooted, missing_items, must
from mtughost.change.course import Course, save_backup
from mtughost.change.guard import TOKENLESS, GuardReading, arm, new_token, take, why_not_armed
from mtughost.change.settle import finish_after, persist, settle
from mtughost.change.tools import DeviceResult, ServiceRequest
from mtughost.model.errors import CommandRejectedError, DeviceError, PlanRefusedError
from mtughost.model.plans import PlannedLine
from mtughost.model.session import Session
from mtughost.remedy.plan import CUT_OFF
from mtughost.remedy.state import drift

#: The two clocks part when the machine sleeps; scheduling alone never parts them this far.
_SLEEP_S: Final = 1.0
_STOPPED: Final = "stopped by the operator"


class _StopError(Exception):
    """Something unexpected after arming: nothing more is sent, the device goes back."""


def _said(session: Session, line: PlannedLine) -> str:
    """Return the device's own words, for people; one that has none for it loses nothing."""
    try:
        return must(session, line).text
    except CommandRejectedError as refused:
        return refused.reason


class DeviceRun:
    """Carries one device through the whole change."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._clock = course.tools.clock
        self._armed_boottime_s = 0.0
        self._armed_monotonic_s = 0.0
        self._first: DeviceState | None = None
        self._first_boottime_s = 0.0
        self._changed_utc = ""
        self._changed_boottime_s = 0.0

    def run(self) -> DeviceResult:
        """Change the device or prove that it is as before.

        Raises:
            StoreError: the journal or the backup failed; nothing depends on it was sent.
        """
        course = self._course
        try:
            self._check_and_arm()
        except PlanRefusedError as refused:
            course.note("refused", refused.reason)
            return course.result("refused", refused.reason, refused.todo)
        except DeviceError as error:
            if not course.token:
                course.note("refused", str(error))
                return course.result("skipped", f"not reached: {error}")
            return settle(course, f"arming failed: {error}")
        try:
            self._change()
            self._verify()
            self._confirm()
        except (_StopError, DeviceError) as error:
            return settle(course, str(error))
        return self._persist()

    # -- before anything is touched ------------------------------------------------------------

    def _check_and_arm(self) -> None:
        course, planned = self._course, self._course.planned
        self._check_host_keys()
        with course.login() as session:
            course.note("connect", "logged in")
            course.note("hostkey-ok", "the host key is one of the plan's")
            found = course.read(session)
            self._refuse_drift(found)
            course.note(
                "pre-digest", "the state is the planned one", relevant=found.digest.relevant
            )
            self._back_up(session, found)
            self._first, self._first_boottime_s = found, self._clock.boottime_s()
            self._refuse_foreign_timer(session)
            if course.tools.stop_requested():
                course.stop("operator-stop", _STOPPED)
                raise PlanRefusedError(f"{_STOPPED} before arming")
            # Both clocks start before the bytes go out: the cut-off must err on the early side.
            self._armed_boottime_s = self._clock.boottime_s()
            self._armed_monotonic_s = self._clock.monotonic_s()
            course.token = new_token()
            course.note(
                "arm-intent",
                f"arm the undo for {planned.autorevert.window_s} s",
                token=course.token,
                window_s=planned.autorevert.window_s,
                boot_id=found.boot_id,
            )
            if planned.autorevert.method == "confirmed-commit":
                self._commit(session)
            else:
                arm(session, planned.guard, course.token)

    def _refuse_foreign_timer(self, session: Session) -> None:
        """A rollback that is pending already belongs to somebody else."""
        if self._course.planned.autorevert.method in {"device-timer", "confirmed-commit"}:
            guard = self._course.guard(session)
            if guard.token == "armed":  # noqa: S105 - a state's name
                raise PlanRefusedError(
                    f"{self._course.name}: somebody else's change waits for its confirmation",
                    todo="Find out whose it is, then apply again",
                )

    def _commit(self, session: Session) -> None:
        """Make a candidate, have it checked, and let one line arm the undo and apply it."""
        course, planned = self._course, self._course.planned
        lines = planned.guard
        for line in (*lines.enter, *planned.commands):
            must(session, line, course.token)
        said = [must(session, line, course.token).text for line in lines.check]
        for number, line in enumerate(lines.commit, start=1):
            if number == 1:
                course.note("commit-intent", line.line, checked=said)
            must(session, line, course.token)
            course.note("applied", line.line, line=number)
        for line in lines.leave:
            must(session, line, course.token)

    def _check_host_keys(self) -> None:
        planned = self._course.planned
        known = set(self._course.tools.host_keys(planned.name))
        if known != set(planned.host_key_fp):
            raise PlanRefusedError(
                f"{planned.name}: the known host keys changed since the plan was made",
                todo="Find out why, then plan again",
            )

    def _refuse_drift(self, found: DeviceState) -> None:
        planned, plan = self._course.planned, self._course.plan
        expected = (planned.hostname, planned.version, planned.serial)
        if found.identity != expected:
            raise PlanRefusedError(
                f"{planned.name} says it is {' '.join(found.identity)}, the plan is for "
                f"{' '.join(expected)}",
                todo="Find out what was exchanged there, then plan again",
            )
        pre, now = planned.pre, found.digest
        related = pre.relevant != now.relevant or pre.saved != now.saved
        gone = missing_items(pre.items, found.read)
        if related or gone or (pre.whole != now.whole and not plan.allow_unrelated_drift):
            shown = "\n".join(part for part in (drift(pre, now), *gone) if part)
            raise PlanRefusedError(
                f"{planned.name} has drifted since the plan was made:\n{shown}", todo="Plan again"
            )

    def _back_up(self, session: Session, found: DeviceState) -> None:
        course = self._course
        again = course.read(session)
        if again.digest.whole != found.digest.whole or again.digest.saved != found.digest.saved:
            raise PlanRefusedError(
                f"{course.name} changes while it is being read", todo="Find out who changes it"
            )
        digest = save_backup(course.tools.backups, course.name, found)
        course.note("backup-saved", "the state was read twice and kept", digest=digest)

    # -- touching ------------------------------------------------------------------------------

    def _change(self) -> None:
        course, planned = self._course, self._course.planned
        # A new login: the sleeper has outlived the session that started it.
        with course.login() as session:
            guard = course.guard(session)
            boot_id = self._first.boot_id if self._first else ""
            doubt = why_not_armed(guard, planned, boot_id=boot_id)
            if doubt:
                raise _StopError(f"the guard cannot be relied on: {doubt}")
            self._note_guard(guard)
            applied_already = planned.autorevert.method == "confirmed-commit"
            for number, line in enumerate(() if applied_already else planned.commands, start=1):
                self._go_on_only_in_time()
                course.note("apply-intent", line.line, line=number)
                must(session, line, course.token)
                course.note("applied", line.line, line=number)
        course.note("all-applied", f"{len(planned.commands)} lines")
        self._changed_utc = self._clock.utc_now()
        self._changed_boottime_s = self._clock.boottime_s()

    def _note_guard(self, guard: GuardReading) -> None:
        if guard.token == "unguarded":  # noqa: S105 - a state's name
            self._course.note("unguarded", "no timer, as accepted: the tool takes the change back")
            return
        window_s = self._course.planned.autorevert.window_s
        left_s = guard.left_s if guard.started_s is not None else window_s
        self._course.note(
            "armed",
            f"read back: reverts in {left_s} s",
            token=self._course.token,
            window_s=guard.window_s,
            left_s=left_s,
            sums=list(guard.sums),
        )

    def _left_s(self) -> float:
        elapsed_s = self._clock.boottime_s() - self._armed_boottime_s
        return self._course.planned.autorevert.window_s * CUT_OFF - elapsed_s

    def _go_on_only_in_time(self) -> None:
        elapsed_s = self._clock.boottime_s() - self._armed_boottime_s
        awake_s = self._clock.monotonic_s() - self._armed_monotonic_s
        if elapsed_s - awake_s > _SLEEP_S:
            raise _StopError("this machine slept after arming")
        if self._left_s() <= 0:
            raise _StopError(f"{CUT_OFF:.0%} of the window have passed: nothing is confirmed now")
        if self._course.tools.stop_requested():
            # Otherwise this device's way back would be taken for a failure.
            self._course.stop("operator-stop", _STOPPED)
            raise _StopError(_STOPPED)

    # -- verify --------------------------------------------------------------------------------

    def _verify(self) -> None:
        course = self._course
        with course.login() as session:
            course.note("connect", "new login to verify")
            self._verify_state(session)
        self._go_on_only_in_time()
        self._verify_service()
        course.note("verified", "everything that the plan asks for is proven")

    def _verify_state(self, session: Session) -> None:
        course = self._course
        guard = course.guard(session)
        holds = guard.token in ("armed", "unguarded")
        doubt = "" if holds else f"the guard's token is {guard.token}"
        found = course.read(session)
        elapsed_s = self._clock.boottime_s() - self._first_boottime_s
        if self._first is None or has_rebooted(self._first, found, elapsed_s):
            doubt = "the device has rebooted"
        judged = course.judge(found)
        if not doubt and self._saves_apart and judged.saved != "before":
            doubt = f"what a boot would load changed before the confirm:\n{judged.why}"
        if not doubt and (judged.running != "after" or judged.elsewhere):
            doubt = f"the state is not the planned one:\n{judged.why}"
        if doubt:
            course.note("verify-failed", doubt, id="state")
            raise _StopError(f"verify: {doubt}")
        native = [_said(session, line) for line in course.planned.state.native]
        course.note("verify", "the state is the planned one", id="state", ok=True, native=native)

    @property
    def _saves_apart(self) -> bool:
        """Whether saved and running state are two things on this device."""
        return self._course.planned.pre.saved != self._course.planned.post.saved

    def _verify_service(self) -> None:
        course, planned = self._course, self._course.planned
        step = next((step for step in planned.verify if step.kind == "service"), None)
        if step is None:
            return
        check = course.tools.verify_service(
            ServiceRequest(
                site=planned.site,
                device=planned.name,
                services=tuple(sorted({row.service for row in planned.coverage_after})),
                access_points=tuple(sorted({row.ap for row in planned.coverage_after})),
                changed_utc=self._changed_utc,
                changed_boottime_s=self._changed_boottime_s,
                timeout_s=max(1.0, min(float(step.timeout_s), self._left_s())),
            )
        )
        data = {
            "id": "service",
            "full_handshake": check.full_handshake,
            "round_trip_after_change": check.round_trip_after_change,
            "full_size_reply": check.full_size_reply,
            "evidence": list(check.evidence),
        }
        if not check.proven:
            course.note("verify-failed", check.summary, **data)
            raise _StopError(f"the change did not help: {check.summary}")
        course.note("verify", check.summary, **data)

    # -- confirm and save ----------------------------------------------------------------------

    def _confirm(self) -> None:
        course = self._course
        with course.login() as session:
            # Judged last, after the login: from here to the rename nothing waits.
            self._go_on_only_in_time()
            course.note("confirm-intent", "stop the undo")
            take(session, course.planned.guard, course.token, "confirm")
            guard = course.guard(session)
            if guard.token != "confirmed" and guard.token not in TOKENLESS:  # noqa: S105
                raise _StopError(f"confirm was too late: the guard's token is {guard.token}")
            judged = course.judge(course.read(session))
            if judged.running == "before":
                raise _StopError("confirm was too late: the device has gone back")
            if judged.running != "after" or judged.elsewhere:
                raise _StopError(f"the state changed before confirm:\n{judged.why}")
            course.note("confirmed", "the undo is off and the state is the planned one")

    def _persist(self) -> DeviceResult:
        course = self._course
        try:
            with course.login() as session:
                persist(course, session)
                found = course.read(session)
                if course.judge(found).is_after:
                    return finish_after(course, session, found, "")
        except CommandRejectedError as error:
            return settle(course, f"saving failed: {error}", persist_again=False)
        except DeviceError as error:
            return settle(course, f"lost while saving: {error}")
        return settle(course, "the saved state is not the planned one", persist_again=False)
