"""After the tool was killed at any byte: every device to a proven end, from the journal alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from mtughost.change.course import Brake, Course
from mtughost.change.journal import Journal, Record, RunJournal, Writer
from mtughost.change.settle import settle
from mtughost.change.tools import DeviceResult, DeviceStatus, Progress, RunResult, Tools
from mtughost.change.workers import run_parallel
from mtughost.model.errors import PlanRefusedError, StoreError
from mtughost.model.plans import Plan, content_digest, parse_plan
from mtughost.remedy.transitions import (
    EVENTS,
    TERMINAL,
    DeviceEvent,
    DeviceState,
    IllegalTransitionError,
    step,
)

#: Devices that are brought to their end at the same time: one may make us wait for its timer.
AT_ONCE: Final = 8
_NAMES: dict[str, DeviceEvent] = {event: event for event in EVENTS}


def statuses(records: Iterable[Record]) -> tuple[DeviceStatus, ...]:
    """Return what the journal knows of every device in every run, in order of first mention.

    Raises:
        StoreError: a record follows that must not follow.
    """
    found: dict[tuple[str, str], DeviceStatus] = {}
    for record in records:
        event = _NAMES.get(record.ev)
        if record.dev is None or event is None:
            continue
        key = (record.run_id, record.dev)
        before = found.get(key)
        state: DeviceState = before.state if before else "planned"
        try:
            state = step(state, event)
        except IllegalTransitionError as error:
            raise StoreError(
                f"journal record {record.seq} of {record.dev}: {error}",
                todo="Look at the device; the journal does not tell a possible story",
            ) from error
        found[key] = DeviceStatus(
            run_id=record.run_id,
            device=record.dev,
            state=state,
            last_event=record.ev,
            last_utc=record.t_wall_utc,
            token=_text(record, "token")
            if event == "arm-intent"
            else before.token
            if before
            else "",
            reason=_text(record, "text"),
            touched=bool(before and before.touched) or event in {"apply-intent", "commit-intent"},
            in_flight=event == "apply-intent"
            or bool(before and before.in_flight and event not in {"applied", "all-applied"}),
        )
    return tuple(found.values())


def _text(record: Record, name: str) -> str:
    value = record.data.get(name, "")
    return value if isinstance(value, str) else ""


def not_started(
    records: Sequence[Record], plans: Callable[[str], Sequence[Plan]]
) -> list[DeviceStatus]:
    """Return the devices of every run's plan that the run never came to.

    Args:
        records: The journal.
        plans: Gives the plan of a run by its content digest, or none.
    """
    known = {(status.run_id, status.device) for status in statuses(records)}
    found: list[DeviceStatus] = []
    for record in records:
        if record.ev != "run-open":
            continue
        found += [
            DeviceStatus(
                run_id=record.run_id,
                device=device.name,
                state="planned",
                last_event="run-open",
                last_utc=record.t_wall_utc,
                token="",
                reason="never started",
                touched=False,
                in_flight=False,
            )
            for plan in plans(record.plan_digest)
            for device in plan.devices
            if (record.run_id, device.name) not in known
        ]
    return found


def open_devices(records: Iterable[Record]) -> tuple[DeviceStatus, ...]:
    """Return the devices whose end is not proven yet.

    ``needs-human`` is an end of the run; a person closes it by planning anew.
    """
    return tuple(
        status
        for status in statuses(records)
        if status.state not in TERMINAL and (status.token or status.touched)
    )


def resume(
    *, journal: Journal, writer: Writer, tools: Tools, at_once: int = AT_ONCE
) -> tuple[RunResult, ...]:
    """Bring every open device of every run to a proven end.

    Args:
        journal: Open, so that no other run writes.
        writer: Who does it.
        tools: Sessions, clock.
        at_once: Devices that are brought to their end at the same time.

    Raises:
        PlanRefusedError: the plan of a run is not kept beside the journal.
        StoreError: the journal cannot be read or written.
    """
    runs: dict[str, list[DeviceStatus]] = {}
    for status in open_devices(journal.records):
        runs.setdefault(status.run_id, []).append(status)
    return tuple(
        _resume_run(
            journal.run(run_id, _digest_of(journal, run_id), writer), tools, devices, at_once
        )
        for run_id, devices in runs.items()
    )


def _digest_of(journal: Journal, run_id: str) -> str:
    return next(r.plan_digest for r in journal.records if r.run_id == run_id)


def _resume_run(
    pen: RunJournal, tools: Tools, devices: list[DeviceStatus], at_once: int
) -> RunResult:
    plan = kept_plan(pen.journal.directory, pen.plan_digest)
    many = len(devices)
    told = f"{pen.run_id} left {many} device{'' if many == 1 else 's'} open"
    tools.progress(Progress(device="", step="run", text=told, devices=many))
    results = run_parallel(
        devices,
        lambda status: _resume_device(plan, pen, tools, status),
        at_once=at_once,
        journal=pen.journal,
    )
    record = pen.write("run-close", outcomes={r.device: r.outcome for r in results})
    return RunResult(run_id=pen.run_id, plan=plan, devices=tuple(results), head=record.hash)


def _resume_device(plan: Plan, pen: RunJournal, tools: Tools, status: DeviceStatus) -> DeviceResult:
    # Nobody is armed any more, so there are no others to stop.
    course = Course(plan, plan.device(status.device), pen, tools, Brake("the run is over"))
    course.state, course.token, course.touched = status.state, status.token, status.touched
    course.in_flight = status.in_flight
    course.note("resumed", f"the run stopped after {status.last_event}")
    why = f"the run stopped after {status.last_event}"
    result = settle(course, why)
    if result.outcome == "skipped":
        return course.result("skipped", f"{why}; not reached, run resume again", *result.detail)
    return result


def kept_plan(directory: Path, digest: str) -> Plan:
    """Read the plan of a run that the journal's directory keeps.

    Raises:
        PlanRefusedError: it is missing, or another plan lies in its place.
    """
    path = directory / "plans" / f"{digest.removeprefix('sha256:')}.json"
    try:
        plan = parse_plan(path.read_bytes())
    except OSError as error:
        raise PlanRefusedError(
            f"{path}: the plan of the interrupted run cannot be read: {error.strerror}",
            todo="Look at its devices by hand; each undid the change unless it was confirmed",
        ) from error
    if content_digest(plan) != digest:
        raise PlanRefusedError(f"{path} is not the plan of the interrupted run")
    return plan
