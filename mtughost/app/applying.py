"""Apply an approved plan, resume after a crash, say how every device stands."""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from mtughost.app.inventory import open_inventory
from mtughost.app.papers import (
    backups_path,
    journal_path,
    load_papers,
    signers_of,
    writer_of,
)
from mtughost.app.project import Project
from mtughost.app.service_check import ServiceProver
from mtughost.app.sessions import SessionFactory
from mtughost.change.apply import ApplyInput, apply_plan
from mtughost.change.journal import Journal, load_journal
from mtughost.change.resume import kept_plan, not_started, resume, statuses
from mtughost.change.tools import DeviceStatus, Progress, RunResult, Tools
from mtughost.model.errors import PlanRefusedError
from mtughost.model.plans import Plan
from mtughost.model.session import Clock
from mtughost.wire.clock import SystemClock

Voice = Callable[[Progress], None]
_STOPPING: Final = (
    "no other device is started, those under way are confirmed or undone; Ctrl-C again leaves "
    "them to their own undo"
)


def _mute(_: Progress) -> None:
    """Say nothing."""


def apply_file(
    project: Project,
    path: Path,
    *,
    may_push: bool = False,
    say: Voice = _mute,
    clock: Clock | None = None,
) -> RunResult:
    """Apply the plan in ``path`` with the approvals that lie beside it.

    The first Ctrl-C finishes the device at hand and starts no other; the second abandons, and
    armed devices undo themselves.

    Args:
        project: Inventory, host keys, signers, journal.
        path: The plan.
        may_push: Force a cloud push (disruptive) where an access point was connected already and
            would make no new connection by itself.
        say: Is told every step.
        clock: Time.

    Raises:
        PlanRefusedError: not approved, stale, or changed. Nothing was sent.
    """
    papers = load_papers(path)
    given = ApplyInput(
        data=papers.data,
        signature=papers.signature,
        approvals=papers.approvals,
        signers=signers_of(project, plan=path),
    )
    with _tools(project, say, clock, may_push=may_push) as (tools, journal):
        return apply_plan(
            given,
            journal=journal,
            writer=writer_of(project.settings.change.author),
            run_id=f"{tools.clock.utc_now().replace(':', '')}-{secrets.token_hex(3)}",
            tools=tools,
        )


def resume_runs(
    project: Project, *, say: Voice = _mute, clock: Clock | None = None
) -> tuple[RunResult, ...]:
    """Bring every device that an interrupted run left open to a proven end.

    As many at once as the project allows logins: every one of them may wait for its own undo.
    """
    policy = project.settings.policy
    with _tools(project, say, clock) as (tools, journal):
        writer = writer_of(project.settings.change.author)
        at_once = min(policy.overall, policy.per_realm)
        return resume(journal=journal, writer=writer, tools=tools, at_once=at_once)


def device_statuses(project: Project) -> tuple[DeviceStatus, ...]:
    """Return where every device of every run stands; nothing is sent.

    Devices that a run never came to are ``planned``; a plan that is gone tells of none.
    """
    path = journal_path(project)
    records = load_journal(path).records

    @cache
    def plan(digest: str) -> tuple[Plan, ...]:
        try:
            return (kept_plan(path.parent, digest),)
        except PlanRefusedError:
            return ()

    found = [*statuses(records), *not_started(records, plan)]
    order = {record.run_id: record.seq for record in reversed(records)}
    return tuple(sorted(found, key=lambda status: order[status.run_id]))


@contextmanager
def _tools(
    project: Project, say: Voice, clock: Clock | None, *, may_push: bool = False
) -> Iterator[tuple[Tools, Journal]]:
    time = clock or SystemClock()
    inventory = open_inventory(project)
    backups = backups_path(project)
    backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        closing(
            SessionFactory(project, inventory.known, clock=time, is_for_change=True)
        ) as factory,
        Journal.open(journal_path(project), time) as journal,
        _stop_on_interrupt(say) as stopped,
    ):
        yield (
            Tools(
                open_session=factory.open_to_change,
                verify_service=ServiceProver(factory, inventory, may_push=may_push),
                host_keys=factory.fingerprints,
                clock=time,
                backups=backups,
                progress=say,
                stop_requested=stopped.is_set,
            ),
            journal,
        )


@contextmanager
def _stop_on_interrupt(say: Voice) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a request; the second one interrupts as usual."""
    stopped, over = threading.Event(), threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def answer() -> None:
        # Not from the handler: it may have come in the middle of another line.
        stopped.wait()
        if not over.is_set():
            say(Progress(device="", step="stopping", text=_STOPPING))

    def ask(_number: int, _frame: object) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    threading.Thread(target=answer, daemon=True).start()
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
        over.set()
        stopped.set()
