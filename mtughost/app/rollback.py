"""Plan to take a confirmed change back: a plan of its own, guarded and approved like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtughost.app.inventory import open_inventory
from mtughost.app.papers import journal_path
from mtughost.app.planning import GuardWish, author_and_key, prepare_devices, write_plan
from mtughost.app.project import Project
from mtughost.change.journal import load_journal
from mtughost.change.resume import kept_plan, open_devices, statuses
from mtughost.change.tools import DeviceStatus
from mtughost.model.errors import PlanRefusedError, UsageError
from mtughost.model.plans import Plan, PlannedDevice
from mtughost.model.session import Clock
from mtughost.remedy.inverse import rollback_choice
from mtughost.remedy.plan import DEFAULT_WINDOW_S, STANDARD
from mtughost.remedy.state import drift
from mtughost.wire.clock import SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRequest:
    """What is to be taken back.

    Attributes:
        run_id: The run that confirmed it; ``""`` for the last one that confirmed anything.
        devices: Inventory names; all confirmed ones of the run when empty.
        reason: Why, for the approver and the journal.
        ticket: Number of the ticket, or ``""``.
        window_s: From arming to the undo.
        out: Where the plan goes; in the state directory when ``None``.
    """

    run_id: str = ""
    devices: tuple[str, ...] = ()
    reason: str
    ticket: str = ""
    window_s: int = DEFAULT_WINDOW_S
    out: Path | None = None


def plan_rollback(
    project: Project, request: RollbackRequest, *, clock: Clock | None = None
) -> tuple[Plan, Path]:
    """Read the devices, turn the confirmed changes round, render, sign. Changes nothing.

    Raises:
        UsageError: no author is configured, or the reason is empty.
        PlanRefusedError: nothing was confirmed, or a device is no longer as the run left it.
        DeviceError: a device did not answer.
    """
    time = clock or SystemClock()
    key, author = author_and_key(project)
    if not request.reason.strip():
        raise UsageError("a rollback needs a reason", todo='Say why: --reason "..."')
    done = confirmed_changes(project, request)
    inventory = open_inventory(project)
    gone = [planned.name for planned in done if planned.name not in inventory.known]
    if gone:
        raise PlanRefusedError(f"{', '.join(gone)}: no longer in the inventory")
    choices = [rollback_choice(planned) for planned in done]
    # Where the change had no timer to undo it, taking it back has none either; the new approval
    # must accept that once more.
    had_none = any(planned.autorevert.method == "tool-inverse" for planned in done)
    found = prepare_devices(
        project,
        inventory,
        choices,
        window_s=request.window_s,
        clock=time,
        wish=GuardWish(accept_no_autorevert=had_none),
    )
    devices: list[PlannedDevice] = []
    for planned, now in zip(done, found, strict=True):
        if not isinstance(now, PlannedDevice):
            raise now
        devices.append(now)
        if now.pre.lines != planned.post.lines or now.post.lines != planned.pre.lines:
            raise PlanRefusedError(
                f"{planned.name} is no longer as {planned.change} left it:\n"
                f"{drift(planned.post, now.pre)}",
                todo="Take it back by hand, or plan anew",
            )
    return write_plan(
        project,
        inventory,
        devices,
        reason=f"rollback: {request.reason.strip()}",
        ticket=request.ticket,
        policy=STANDARD,
        signer=(key, author),
        out=request.out,
        clock=time,
    )


def confirmed_changes(project: Project, request: RollbackRequest) -> tuple[PlannedDevice, ...]:
    """Return the plans of the devices that a run confirmed, in the order of the run.

    Raises:
        PlanRefusedError: there are none, a later run changed one, or a run has not ended.
    """
    journal = journal_path(project)
    records = load_journal(journal).records
    every = statuses(records)
    confirmed = [status for status in every if status.state == "confirmed"]
    run_id = request.run_id or (confirmed[-1].run_id if confirmed else "")
    mine = [
        status
        for status in confirmed
        if status.run_id == run_id and (not request.devices or status.device in request.devices)
    ]
    missing = set(request.devices) - {status.device for status in mine}
    if missing or not mine:
        names = ", ".join(sorted(missing)) or "anything"
        raise PlanRefusedError(
            f"the run {run_id or '(none)'} did not confirm {names}", todo="See: mtughost status"
        )
    unfinished = {one.device for one in open_devices(records)} & {one.device for one in mine}
    if unfinished:
        names = ", ".join(sorted(unfinished))
        raise PlanRefusedError(f"a run has not ended for {names}", todo="Run: mtughost resume")
    _refuse_later(every, mine)
    digest = next(record.plan_digest for record in records if record.run_id == run_id)
    plan = kept_plan(journal.parent, digest)
    return tuple(plan.device(status.device) for status in mine)


def _refuse_later(every: Sequence[DeviceStatus], mine: Sequence[DeviceStatus]) -> None:
    last = {status.device: status.run_id for status in every if status.state == "confirmed"}
    for status in mine:
        if last[status.device] != status.run_id:
            raise PlanRefusedError(
                f"{status.device} was changed again by the run {last[status.device]}",
                todo="Take the later change back first",
            )
