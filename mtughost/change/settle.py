"""From any point of a change to a proven end: as before, as planned, or a person is needed.

Used when something went wrong in a run, and by ``resume`` after the tool was killed. It never
guesses: the guard's token and the device's own state decide, read over new logins.
"""

from __future__ import annotations

from typing import Final

from mtughost.change.asking import DeviceState, must
from mtughost.change.course import Course, Judged
from mtughost.change.guard import (
    TOKENLESS,
    GuardReading,
    clean,
    revert_now,
    take,
    take_back,
)
from mtughost.change.tools import DeviceResult, Outcome
from mtughost.model.errors import (
    AuthenticationRefusedError,
    DeviceError,
    HostKeyError,
    PolicyUnreachableError,
)
from mtughost.model.session import Session
from mtughost.remedy.transitions import DeviceEvent

#: Beyond the window the device must have settled by itself.
GRACE_S: Final = 60
#: A line whose answer never came may still be under way, in a jump host or the network. Where it
#: does not ask first whether its undo is still armed, and no timer of the device goes on to catch
#: it, the state before counts only after so long.
LATE_S: Final = 30
_REBOOTS: Final = frozenset({"reboot", "ha-pair-reboot"})
_PAUSE_S: Final = 1.0
_MAX_PAUSE_S: Final = 10.0
#: Trying these again would only do harm (locked accounts) or nothing.
_FINAL: Final = (HostKeyError, AuthenticationRefusedError, PolicyUnreachableError)


def settle(course: Course, why: str, *, persist_again: bool = True) -> DeviceResult:
    """Bring a device to a proven end.

    Args:
        course: Where it stands.
        why: What went wrong, for the result.
        persist_again: Whether a confirmed change that is not saved yet may be saved now;
            otherwise it is taken back.

    Returns:
        ``reverted`` or ``confirmed`` with proof, ``skipped`` where nothing was sent, or
        ``needs-human``.

    Raises:
        StoreError: the journal failed; the device settles by its own timer.
    """
    clock = course.tools.clock
    end_s = clock.monotonic_s() + course.planned.autorevert.window_s + GRACE_S
    if course.in_flight:
        course.still_until_s = clock.monotonic_s() + LATE_S
    if course.touched and course.state != "confirming":
        # It can only go back now, and that may take its whole window.
        course.stop_others()
    pause_s, last = _PAUSE_S, ""
    while True:
        try:
            with course.login() as session:
                result = _look(course, session, why, persist_again=persist_again)
            if result is not None:
                return result
        except _FINAL as error:
            return _unreachable(course, why, str(error), final=True)
        except DeviceError as error:
            if course.touched:
                course.stop_others()
            if str(error) != last:
                last = str(error)
                course.note("unknown", last)
        if clock.monotonic_s() >= end_s:
            return _unreachable(course, why, last or "the guard did not settle in time")
        clock.sleep(pause_s)
        pause_s = min(_MAX_PAUSE_S, pause_s * 1.5)


def _unreachable(course: Course, why: str, last: str, *, final: bool = False) -> DeviceResult:
    if not course.touched:
        # The guard, if it runs, restores what is there: nothing of the change was ever sent.
        return course.result("skipped", f"{why}; nothing of the change was sent", last)
    reason = f"{why}; its end could not be read: {last}"
    window_s = course.planned.autorevert.window_s
    undone = f"unless the change was confirmed, the device has undone it {window_s} s after arming"
    if final:
        course.note("needs-human", reason)
        return course.result("needs-human", reason, f"{undone}; log in and look")
    # It stays open: it may run the change unsaved, or hold what arming left. Resume will see.
    again = "run mtughost resume once it can be reached"
    return course.result("needs-human", reason, f"{undone}; {again}")


def _look(  # noqa: PLR0911 - one per state of the guard
    course: Course, session: Session, why: str, *, persist_again: bool
) -> DeviceResult | None:
    """Read token and state and act on them; ``None`` means: look again."""
    guard = _take_back(course, session, course.guard(session))
    if guard.token == "reverting" or (guard.token == "armed" and not _is_foreign(course)):  # noqa: S105
        return None
    found = course.read(session)
    judged = course.judge(found)
    if guard.token in TOKENLESS:
        return _look_at_state(
            course, session, guard, found, judged, why, persist_again=persist_again
        )
    if guard.token == "confirmed":  # noqa: S105 - the name of a state
        return _confirmed(course, session, found, judged, why, persist_again=persist_again)
    if guard.token == "revert-failed":  # noqa: S105 - the name of a state
        return _person(course, f"{why}; the device's own restore failed", judged)
    if judged.is_before:
        return _before(course, session, guard, judged, why)
    if guard.token in ("missing", "none") and judged.is_after and course.state == "confirming":
        return finish_after(course, session, found, why)
    return _person(course, f"{why}; the device is neither as before nor as planned", judged)


def _is_foreign(course: Course) -> bool:
    """A confirmed commit that is pending although we never sent one is somebody else's."""
    return course.planned.autorevert.method == "confirmed-commit" and not course.touched


def _look_at_state(
    course: Course,
    session: Session,
    guard: GuardReading,
    found: DeviceState,
    judged: Judged,
    why: str,
    *,
    persist_again: bool,
) -> DeviceResult | None:
    """Decide by the configuration alone: the device's timer tells no story of its own."""
    if course.state == "confirming" and judged.running == "after":
        return _confirmed(course, session, found, judged, why, persist_again=persist_again)
    if judged.is_before:
        if course.tools.clock.monotonic_s() < course.still_until_s:
            return None
        return _before(course, session, guard, judged, why)
    if guard.token == "unguarded" and course.touched:  # noqa: S105 - the name of a state
        return _undo_confirmed(course, session, why)
    if judged.running == "other":
        # The device may be in the middle of going back: look again.
        return None
    or_late = " (a line of ours may have come after its undo)" if course.in_flight else ""
    return _person(
        course,
        f"{why}; the device is as planned although nobody here confirmed it{or_late}",
        judged,
    )


def _take_back(course: Course, session: Session, guard: GuardReading) -> GuardReading:
    if guard.token != "armed" or _is_foreign(course):  # noqa: S105 - the name of a state
        return guard
    lines, undo = course.planned.guard, course.planned.autorevert
    if not course.touched:
        course.note("cancel-intent", "nothing was changed: cancel the guard")
        take(session, lines, course.token, "cancel")
    elif course.in_flight and undo.method == "device-timer" and undo.cost not in _REBOOTS:
        # Only the device's own undo catches a line that is still under way; it ends for nothing.
        if not course.waits:
            course.waits = True
            course.note("unknown", "a line may be under way: wait for the device's own undo")
        return guard
    elif course.sent_back and course.judge(course.read(session)).is_before:
        if course.in_flight:
            return guard
        # The lines of the undo did not end the timer, and letting it fire may cost a reboot.
        course.note("cancel-intent", "as before, read back: the device's timer is not needed")
        take(session, lines, course.token, "cancel")
    else:
        course.note("restore-intent", "restore now instead of waiting for the timer")
        revert_now(session, lines, course.token)
        course.sent_back = undo.method == "device-timer"
    return course.guard(session)


def _before(
    course: Course, session: Session, guard: GuardReading, judged: Judged, why: str
) -> DeviceResult:
    # Before the end is recorded: killed in between, resume finds no papers and the state before.
    _tidy(course, session)
    untouched = not course.touched and course.state in ("planned", "armed")
    event: DeviceEvent = "cancelled" if untouched else "reverted"
    course.note(
        event,
        f"as before, read back (guard: {guard.token})",
        token=guard.token,
        elsewhere=judged.elsewhere,
    )
    outcome: Outcome = "reverted" if course.touched else "refused"
    return course.result(outcome, f"{why}; the device is as before", judged.elsewhere)


def _confirmed(
    course: Course,
    session: Session,
    found: DeviceState,
    judged: Judged,
    why: str,
    *,
    persist_again: bool,
) -> DeviceResult | None:
    if judged.is_after:
        return finish_after(course, session, found, why)
    if judged.running == "after" and not judged.elsewhere and persist_again:
        course.note("confirmed", "read back: the undo is off and the state is the planned one")
        try:
            persist(course, session)
        except DeviceError as error:
            return settle(course, f"{why}; saving failed: {error}", persist_again=False)
        return _look(course, session, why, persist_again=False)
    return _undo_confirmed(course, session, why)


def persist(course: Course, session: Session) -> None:
    """Save the running state.

    Raises:
        DeviceError: a line failed; the saved file is then as it was, or as planned.
    """
    course.note("persist-intent", "save the running state")
    for line in course.planned.persist:
        must(session, line, course.token)


def _undo_confirmed(course: Course, session: Session, why: str) -> DeviceResult | None:
    """Take a change back that no timer undoes: confirmed and not saved, or never guarded."""
    course.note("restore-intent", "take the change back: no timer of the device does")
    if course.planned.autorevert.method != "detached-restore":
        return _undo_by_lines(course, session, why)
    if course.judge(course.read(session)).saved != "before":
        for line in course.planned.unsave:
            must(session, line, course.token)
    revert_now(session, course.planned.guard, course.token)
    guard = course.guard(session)
    judged = course.judge(course.read(session))
    if guard.token == "reverted" and judged.is_before:  # noqa: S105 - the name of a state
        return _before(course, session, guard, judged, why)
    if guard.token == "confirmed":  # noqa: S105 - the name of a state
        return None
    return _person(course, f"{why}; taking it back failed", judged)


def _undo_by_lines(course: Course, session: Session, why: str) -> DeviceResult:
    take_back(session, course.planned.guard, course.token)
    if course.judge(course.read(session)).saved != "before":
        for line in course.planned.unsave:
            must(session, line, course.token)
    judged = course.judge(course.read(session))
    if judged.is_before:
        return _before(course, session, course.guard(session), judged, why)
    return _person(course, f"{why}; taking it back failed", judged)


def finish_after(course: Course, session: Session, found: DeviceState, why: str) -> DeviceResult:
    """Tidy up and record that the device is as planned, running and saved."""
    _tidy(course, session)
    course.note(
        "persisted",
        "as planned, running and saved, read back",
        relevant=found.digest.relevant,
        saved=found.digest.saved,
    )
    return course.result(
        "confirmed", "as planned, running and saved", f"on the way: {why}" if why else ""
    )


def _person(course: Course, reason: str, judged: Judged) -> DeviceResult:
    course.note("needs-human", reason, running=judged.running, saved=judged.saved)
    return course.result("needs-human", reason, judged.why)


def _tidy(course: Course, session: Session) -> None:
    try:
        clean(session, course.planned.guard, course.token)
    except DeviceError as error:
        # Only a directory below /run stays, until the next boot; the end itself is proven.
        course.pen.write("left-behind", course.name, text=str(error))
