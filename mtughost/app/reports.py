"""A finished audit with its documents, fresh or from the run store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtughost.app.project import Project
from mtughost.content.root import ContentRoot
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.model.errors import StoreError, UsageError
from mtughost.model.findings import AuditReport
from mtughost.model.inventory import Site
from mtughost.model.packed import Packed
from mtughost.report.fleet_view import fleet_text
from mtughost.report.json_report import audit_from_dict, audit_to_dict
from mtughost.store import RunStore
from mtughost.wire.clock import SystemClock


class StoredEvidence:
    """The evidence of a stored run, read site by site when it is asked for."""

    def __init__(self, project: Project, run_id: str, sites: Iterable[Site]) -> None:
        self._project = project
        self._run_id = run_id
        self._sites = {site.name: site for site in sites}

    def of(self, site: str) -> SiteEvidence:
        """Return the evidence of one site.

        Raises:
            KeyError: the run did not ask for it.
            StoreError: the store cannot be read.
        """
        # Only where evidence is looked at again: an audit that reads needs none of this.
        from mtughost.app.stored import evidence_of_stored, load_site  # noqa: PLC0415

        with closing(RunStore.open(self._project.store_path, clock=SystemClock())) as store:
            stored = load_site(store, self._run_id, self._sites[site])
        if stored is None:
            raise KeyError(site)
        return evidence_of_stored(stored, self._project.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """An audit and what it rests on.

    Attributes:
        content: Where the page's templates are.
        stored: What each site's verdict was computed from; ``None`` where that is not at hand.
        trouble: What went wrong beside the devices' own status, one line each.
    """

    report: AuditReport
    content: ContentRoot
    stored: StoredEvidence | None = None
    trouble: tuple[str, ...] = ()

    @property
    def document(self) -> Mapping[str, Any]:
        """The report after schema mtughost/audit/v1."""
        return audit_to_dict(self.report)

    @property
    def fleet(self) -> str:
        """What the sites say together, as plain lines; empty where the numbers say nothing."""
        return fleet_text(self.report)

    def html(self) -> str:
        """Return the self-contained page."""
        from mtughost.report.html import render_audit  # noqa: PLC0415  # only where it is wanted

        return render_audit(self.report, page_templates(self.content))

    def evidence_of(self, site: str) -> SiteEvidence:
        """Return the evidence of one site, from the run store.

        Raises:
            KeyError: the site is not part of this audit.
            StoreError: the store cannot be read.
        """
        if self.stored is None:
            raise KeyError(site)
        return self.stored.of(site)


def page_templates(content: ContentRoot) -> dict[str, str]:
    """Read the page's templates."""
    from mtughost.report.html import TEMPLATE_NAMES  # noqa: PLC0415  # only where it is wanted

    return {
        name: content.text(content.file("templates", "report", name)) for name in TEMPLATE_NAMES
    }


def stored_result(project: Project, run_id: str) -> AuditResult:
    """Read a stored run; the newest that was finished when ``run_id`` is empty.

    Raises:
        StoreError: there is no such run, or it never finished.
    """
    with closing(RunStore.open(project.store_path, clock=SystemClock())) as store:
        chosen = store.find_run(run_id) if run_id else _newest(store, project.store_path)
        document = store.load_run(chosen, bodies=False).report
    if document is None:
        raise StoreError(
            f"run {chosen} was interrupted and has no report",
            todo=f"Finish it with: mtughost audit --run {chosen}",
        )
    return AuditResult(report=audit_from_dict(document, path=chosen), content=project.content)


def judged_again(project: Project, run_id: str, sites: Sequence[Site]) -> AuditResult:
    """Judge the sites of a stored run again from its raw answers, without any device.

    Args:
        project: Whose run store and content.
        run_id: ``latest``, a run's id or the beginning of one.
        sites: Sites of the inventory; those that the run did not ask for are left out.

    Raises:
        StoreError: there is no such run.
        UsageError: it asked for none of the sites.
    """
    from mtughost.diagnose.site import diagnose_site  # noqa: PLC0415 - only where judged

    with closing(RunStore.open(project.store_path, clock=SystemClock())) as store:
        run = store.load_run(store.find_run(run_id), bodies=False)
    known = {host.status.host for host in run.hosts}
    asked = [site for site in sites if any(device.name in known for device in site.devices)]
    stored = StoredEvidence(project, run.info.run_id, asked)
    if not asked:
        raise UsageError(f"the run {run.info.run_id} asked for none of these sites")
    report = AuditReport(
        run_id=run.info.run_id,
        started_utc=run.info.meta.started_utc,
        tool=run.info.meta.tool,
        content_digest=run.info.meta.content_digest,
        hosts=tuple(host.status for host in run.hosts),
        sites=Packed.of(diagnose_site(stored.of(site.name)) for site in asked),
    )
    return AuditResult(report=report, content=project.content, stored=stored)


def _newest(store: RunStore, path: Path) -> str:
    for run in store.runs():
        if run.state == "complete":
            return run.run_id
    raise StoreError(f"{path} holds no finished run", todo="Run: mtughost audit")
