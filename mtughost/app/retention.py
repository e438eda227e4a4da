"""Which stored runs may go: old ones that nothing rests on any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mtughost.app.applying import device_statuses
from mtughost.app.papers import journal_path
from mtughost.app.project import Project
from mtughost.change.approval import moment
from mtughost.change.journal import load_journal
from mtughost.change.resume import kept_plan
from mtughost.model.errors import PlanRefusedError, UsageError
from mtughost.model.plans import parse_plan
from mtughost.model.session import Clock
from mtughost.store import RunInfo, RunStore
from mtughost.wire.clock import SystemClock

#: A run that says that it is still running is believed for so long: its process may be another's.
BELIEVED_DAYS: Final = 7
#: States of a device with which nobody has to do anything any more.
_DONE: Final = frozenset({"confirmed", "reverted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRule:
    """What is kept anyway. A run goes only where neither keeps it.

    Attributes:
        days: Runs of the last so many days; 0 says nothing.
        last: The newest so many runs; 0 says nothing.
    """

    days: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What goes, or went.

    Attributes:
        gone: Newest first.
        spared: Old runs that stay, each with the reason.
        size_bytes: About what those that go take in the store.
        freed_bytes: By how much the file became smaller; 0 where nothing was deleted.
    """

    gone: tuple[RunInfo, ...]
    spared: tuple[tuple[RunInfo, str], ...]
    size_bytes: int
    freed_bytes: int = 0


def prune_runs(
    project: Project, rule: KeepRule, *, delete: bool, clock: Clock | None = None
) -> Pruning:
    """Find the runs that may go; delete them only where that is asked for.

    Each run goes whole, in a transaction of its own: killed half-way, the rest is still there.

    Args:
        project: Whose run store.
        rule: What is kept.
        delete: ``False`` only looks.
        clock: Time.

    Raises:
        UsageError: the rule says nothing.
        StoreError: the store or the journal cannot be read: then nothing is deleted.
    """
    if rule.days <= 0 and rule.last <= 0:
        raise UsageError(
            "nothing says which runs to keep",
            todo="Give --keep-days or --keep-last, or set them under [store] in mtughost.toml",
        )
    time = clock or SystemClock()
    with closing(RunStore.open(project.store_path, clock=time)) as store:
        reasons = _needed(project, store, time)
        gone, spared = [], []
        for run in _old(store.runs(), rule, time):
            if reason := reasons.get(run.run_id, ""):
                spared.append((run, reason))
            else:
                gone.append(run)
        ids = [run.run_id for run in gone]
        size = store.size_of(ids)
        freed = store.delete_runs(ids) if delete and ids else 0
    return Pruning(gone=tuple(gone), spared=tuple(spared), size_bytes=size, freed_bytes=freed)


def _old(runs: tuple[RunInfo, ...], rule: KeepRule, clock: Clock) -> Iterator[RunInfo]:
    """Yield the runs that no rule keeps."""
    now = moment(clock.utc_now(), "now")
    for number, run in enumerate(runs):
        age = now - moment(run.meta.started_utc, run.run_id)
        young = rule.days > 0 and age <= timedelta(days=rule.days)
        if not young and number >= rule.last:
            yield run


def _needed(project: Project, store: RunStore, clock: Clock) -> dict[str, str]:
    """Return the runs that something still rests on, by id, with the reason."""
    now = moment(clock.utc_now(), "now")
    found: dict[str, str] = {}
    runs = store.runs()
    for run in runs:
        age = now - moment(run.meta.started_utc, run.run_id)
        if run.state == "running" and age <= timedelta(days=BELIEVED_DAYS):
            found[run.run_id] = "may still be running"
    newest = next((run for run in runs if run.finished and run.meta.kind == "audit"), None)
    if newest is not None:
        found[newest.run_id] = "is the newest finished audit"
    for device, when_utc, why in _open_changes(project, clock):
        if rests_on := store.last_read(device, when_utc):
            found[rests_on] = f"{why} for {device} rests on it"
    return found


def _open_changes(project: Project, clock: Clock) -> Iterator[tuple[str, str, str]]:
    """Yield device, time of the plan and its name, for all that may still be applied or settled."""
    now = moment(clock.utc_now(), "now")
    for path in sorted((project.state_dir / "plans").glob("*/plan.json")):
        plan = parse_plan(path.read_bytes())
        if moment(plan.not_after_utc, plan.plan_id) > now:
            yield from ((d.name, plan.created_utc, f"plan {plan.plan_id}") for d in plan.devices)
    journal = journal_path(project)
    if not journal.exists():
        return
    opened = {record.run_id: record for record in reversed(load_journal(journal).records)}
    for status in device_statuses(project):
        if status.state not in _DONE:
            record = opened[status.run_id]
            when_utc = record.t_wall_utc
            with suppress(PlanRefusedError):  # then the last look before it was applied
                when_utc = kept_plan(journal.parent, record.plan_digest).created_utc
            yield status.device, when_utc, f"change run {status.run_id}, {status.state},"
