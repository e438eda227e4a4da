"""The fleet page of a stored audit, with the runs before it; the list of runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final, cast

from mtughost.app.project import Project
from mtughost.app.reports import AuditResult, stored_result
from mtughost.content.load import load_runbook
from mtughost.content.root import ContentRoot
from mtughost.model.errors import ContentError, StoreError
from mtughost.model.findings import AuditReport, SiteVerdict
from mtughost.model.session import Clock
from mtughost.report.explain import explain
from mtughost.report.fleet_page import FLEET_TEMPLATES, Cause, FleetInput, render_fleet
from mtughost.report.runbook_parts import heading_of, section_of
from mtughost.report.trend import TrendPoint
from mtughost.store import RunInfo, RunStore
from mtughost.wire.clock import SystemClock

#: Runs that the trend shows.
_TREND_RUNS: Final = 30
#: An audit of a few sites says nothing about the fleet: it must have judged this share of them.
_LEAST_SHARE: Final = 0.5

Verdicts = Mapping[SiteVerdict, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRunLine:
    """One stored run, for the list.

    Attributes:
        verdicts: Sites by verdict; empty where the run has no report.
    """

    info: RunInfo
    verdicts: Verdicts


def stored_runs(project: Project) -> tuple[StoredRunLine, ...]:
    """Return all stored runs, newest first.

    Raises:
        StoreError: the store cannot be read.
    """
    with closing(RunStore.open(project.store_path, clock=SystemClock())) as store:
        counts = store.verdict_counts()
        return tuple(
            StoredRunLine(info=info, verdicts=cast("Verdicts", counts.get(info.run_id, {})))
            for info in store.runs()
        )


def fleet_result(project: Project, run_id: str) -> AuditResult:
    """Read a stored run; the newest finished audit when ``run_id`` is empty.

    Raises:
        StoreError: there is no such run, or it never finished.
    """
    if run_id:
        return stored_result(project, run_id)
    for line in stored_runs(project):
        if line.info.finished and line.info.meta.kind == "audit":
            return stored_result(project, line.info.run_id)
    raise StoreError(f"{project.store_path} holds no finished audit", todo="Run: mtughost audit")


def fleet_page(project: Project, report: AuditReport, *, clock: Clock | None = None) -> str:
    """Return the fleet page of an audit.

    Raises:
        StoreError: the store cannot be read.
        ContentError: a template is missing or wrong.
    """
    runs = _comparable(stored_runs(project), report)
    before: Mapping[str, SiteVerdict] = {}
    earlier = [line for line in runs if line.info.run_id < report.run_id]
    if earlier:
        with closing(RunStore.open(project.store_path, clock=SystemClock())) as store:
            found = store.verdicts(earlier[-1].info.run_id)
        before = cast("Mapping[str, SiteVerdict]", found)
    content = project.content
    return render_fleet(
        FleetInput(
            report=report,
            trend=tuple(
                TrendPoint(
                    run_id=line.info.run_id,
                    started_utc=line.info.meta.started_utc,
                    verdicts=line.verdicts,
                )
                for line in runs[-_TREND_RUNS:]
            ),
            before=before,
            before_utc=earlier[-1].info.meta.started_utc if earlier else "",
            causes=_causes(content, report),
            created_utc=(clock or SystemClock()).utc_now(),
        ),
        {name: content.text(content.file("templates", "report", name)) for name in FLEET_TEMPLATES},
    )


def _comparable(lines: tuple[StoredRunLine, ...], report: AuditReport) -> tuple[StoredRunLine, ...]:
    """Return finished audits of about as many sites up to this one, oldest first."""
    least = len(report.sites) * _LEAST_SHARE
    return tuple(
        line
        for line in reversed(lines)
        if line.info.finished
        and line.info.meta.kind == "audit"
        and line.info.run_id <= report.run_id
        and sum(line.verdicts.values()) >= least
    )


def _causes(content: ContentRoot, report: AuditReport) -> dict[str, Cause]:
    found = {}
    for name in {finding.id for site in report.sites for finding in site.findings}:
        try:
            runbook = explain(load_runbook(content, name))
        except ContentError:
            continue
        found[name] = Cause(words=heading_of(runbook), ask=section_of(runbook, "Ask"))
    return found
