"""Put reports on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtughost.cli.context import Globals
from mtughost.model.findings import AuditReport
from mtughost.report import console

if TYPE_CHECKING:
    from mtughost.app.fleet_report import StoredRunLine
    from mtughost.app.retention import Pruning


def show_audit(shared: Globals, report: AuditReport, *, quiet: bool = False) -> None:
    """Print the audit's table and the devices that were not read."""
    target = shared.log if quiet else shared.out
    if quiet and shared.quiet:
        return
    for part in console.render_audit(report).parts(target.options):
        target.print(part)


def show_fleet(shared: Globals, lines: str, *, quiet: bool = False) -> None:
    """Print what the sites say together, where there is something to say."""
    target = shared.log if quiet else shared.out
    if lines and not (quiet and shared.quiet):
        target.print(lines, markup=False, soft_wrap=True)


def show_runs(shared: Globals, lines: Sequence[StoredRunLine]) -> None:
    """Print the stored runs, newest first."""
    from mtughost.report.run_list import RunLine, render_runs  # noqa: PLC0415  # only here

    shared.out.print(
        render_runs(
            RunLine(
                run_id=line.info.run_id,
                kind=line.info.meta.kind,
                state=line.info.state,
                asked=line.info.asked,
                counts=line.info.counts,
                verdicts=line.verdicts,
            )
            for line in lines
        )
    )


def show_pruning(shared: Globals, found: Pruning, *, deleted: bool) -> None:
    """Print which runs go, which old ones stay and why, and what that frees."""
    word = "deleted" if deleted else "may go"
    lines = [f"{run.run_id} {run.meta.kind}, {run.asked} devices: {word}" for run in found.gone]
    lines += [f"{run.run_id} {run.meta.kind}: stays, {reason}" for run, reason in found.spared]
    number = f"{len(found.gone)} run{'' if len(found.gone) == 1 else 's'}"
    if deleted:
        lines.append(f"{number} deleted, {found.freed_bytes / 1e6:.1f} MB freed")
    else:
        size = f"{number} may go, about {found.size_bytes / 1e6:.1f} MB"
        lines.append(size + ("; nothing was deleted: add --yes" if found.gone else ""))
    for line in lines:
        shared.out.print(line, markup=False, soft_wrap=True)


def show_site(shared: Globals, report: AuditReport, *, quiet: bool = False) -> None:
    """Print everything about each site of a small report."""
    target = shared.log if quiet else shared.out
    if quiet and shared.quiet:
        return
    for site in report.sites:
        target.print(console.render_site(site))
    target.print(console.render_hosts(report))


def show_diff(shared: Globals, before: AuditReport, after: AuditReport) -> None:
    """Print what changed between two audits."""
    from mtughost.report.diff import diff_audits, render_diff  # noqa: PLC0415  # only here

    shared.out.print(render_diff(diff_audits(before, after)))
