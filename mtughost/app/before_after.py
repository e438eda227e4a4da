"""The look at a site before it was repaired, and what this tool changed since."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from mtughost.app.papers import journal_path
from mtughost.app.project import Project
from mtughost.app.stored import StoredSite, load_site
from mtughost.change.journal import load_journal
from mtughost.change.resume import kept_plan, statuses
from mtughost.model.errors import PlanRefusedError
from mtughost.model.inventory import Site
from mtughost.report.comparison import ConfirmedChange
from mtughost.store import RunInfo, RunStore

_FAILED = frozenset({"fault", "latent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The last run that found the site failing, before one that found it well."""

    run: RunInfo
    stored: StoredSite
    changes: tuple[ConfirmedChange, ...]


def earlier_look(project: Project, store: RunStore, run: RunInfo, site: Site) -> Earlier | None:
    """Return the look before a repair, ``None`` where the run does not find the site repaired.

    Raises:
        StoreError: store or journal cannot be read.
    """
    if store.verdicts(run.run_id).get(site.name) != "ok":
        return None
    for info in store.runs():
        if info.run_id >= run.run_id or not info.finished:
            continue
        verdict = store.verdicts(info.run_id).get(site.name)
        if verdict in _FAILED:
            stored = load_site(store, info.run_id, site)
            if stored is None:
                return None
            changes = _changes(project, site, info.meta.started_utc, run.meta.started_utc)
            return Earlier(run=info, stored=stored, changes=tuple(changes))
        if verdict == "ok":
            return None  # it was well all the time
    return None


def _changes(
    project: Project, site: Site, after_utc: str, before_utc: str
) -> Iterable[ConfirmedChange]:
    """Yield what the journal says was changed at a site's devices between two times."""
    path = journal_path(project)
    if not path.exists():
        return
    records = load_journal(path).records
    digests = {record.run_id: record.plan_digest for record in records}
    names = {device.name for device in site.devices}
    for status in statuses(records):
        if status.device not in names or status.state != "confirmed":
            continue
        if not after_utc <= status.last_utc <= before_utc:
            continue
        summary, diff = f"changed in run {status.run_id}; its plan cannot be read any more", ""
        with suppress(PlanRefusedError):
            planned = kept_plan(path.parent, digests[status.run_id]).device(status.device)
            summary, diff = planned.summary, planned.diff_text
        yield ConfirmedChange(
            when_utc=status.last_utc, device=status.device, summary=summary, diff=diff
        )
