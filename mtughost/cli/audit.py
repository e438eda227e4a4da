"""``audit``, ``diagnose``, ``report`` and ``diff``: look, never touch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtughost.cli.context import SHARED, Globals, globals_of, write_pieces, write_text
from mtughost.cli.exits import exit_code_of
from mtughost.disk import PRIVATE
from mtughost.model.errors import UsageError

if TYPE_CHECKING:
    from mtughost.app.project import Project
    from mtughost.app.reports import AuditResult

JsonOption = Annotated[str, typer.Option("--json", help="Write JSON to FILE, or - for stdout.")]
HtmlOption = Annotated[str, typer.Option("--html", help="Write the HTML report to FILE.")]
SiteOption = Annotated[list[str] | None, typer.Option("--site", help="Site name or pattern.")]
FilterOption = Annotated[
    str, typer.Option("--filter", help='Such as "role=ap,platform=linux,site=s0*".')
]


class Probe(StrEnum):
    """What an audit may send beyond reading."""

    none = "none"
    path = "path"
    service = "service"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(audit)
    app.command()(diagnose)
    app.command()(report)
    app.command()(diff)


def audit(  # noqa: PLR0913  # one argument per option is how typer works
    context: typer.Context,
    *,
    site: SiteOption = None,
    filter_: FilterOption = "",
    probe: Annotated[
        Probe,
        typer.Option(
            help="none: only look. path: sized pings. service: at most 3 connections per service."
        ),
    ] = Probe.none,
    capture: Annotated[
        float, typer.Option(help="Capture SYNs and the failing flow for SECONDS at each device.")
    ] = 0.0,
    run: Annotated[str, typer.Option("--run", help="Resume this interrupted run.")] = "",
    scheduler: Annotated[
        str, typer.Option(help="Let the workers of the Dask cluster at tls://HOST:PORT log in.")
    ] = "",
    json_file: JsonOption = "",
    html: HtmlOption = "",
) -> int:
    """Audit many sites. Reads only, unless a probe or a capture is asked for."""
    from mtughost.wire.process import tune_process  # noqa: PLC0415

    tune_process()  # before the imports below, most of which it makes cheaper
    from mtughost.app.early import early_seed  # noqa: PLC0415

    shared = globals_of(context)
    project = shared.open_project()
    whole_fleet = not (site or filter_ or scheduler or run)
    with early_seed(project, whole_fleet=whole_fleet) as seed:
        # While the seed loads on another core.
        from mtughost.app.audit import AuditOptions, audit_fleet  # noqa: PLC0415
        from mtughost.app.watch import Watch  # noqa: PLC0415
        from mtughost.cli.progress import progress_on  # noqa: PLC0415
        from mtughost.cli.show import show_audit, show_fleet  # noqa: PLC0415

        options = AuditOptions(
            sites=tuple(site or ()),
            where=filter_,
            watch=Watch(probe=probe is Probe.service, path=probe is Probe.path, capture_s=capture),
            resume_run=run,
            scheduler=scheduler,
        )
        with progress_on(shared) as progress:
            result = audit_fleet(project, options, progress=progress, seed=seed)
    show_audit(shared, result.report, quiet=json_file == "-")
    show_fleet(shared, result.fleet, quiet=json_file == "-")
    _write_outputs(result, json_file, html)
    return exit_code_of(result.report)


def diagnose(
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="One site; none with --bundle.")] = "",
    *,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Diagnose the evidence of this bundle again; no device is asked."),
    ] = None,
    capture: Annotated[float, typer.Option(help="Seconds to capture at two points.")] = 10.0,
    bisect: Annotated[
        bool,
        typer.Option("--bisect", help="Find the exact size that is lost (up to 15 connections)."),
    ] = False,
    json_file: JsonOption = "",
    html: HtmlOption = "",
) -> int:
    """Look at one site in depth: probes, and captures at two points at once."""
    from mtughost.app.audit import AuditOptions, audit_fleet  # noqa: PLC0415
    from mtughost.app.watch import Watch  # noqa: PLC0415
    from mtughost.cli.progress import progress_on  # noqa: PLC0415
    from mtughost.cli.show import show_site  # noqa: PLC0415

    shared = globals_of(context)
    project = shared.open_project()
    if bundle is not None:
        return _diagnose_bundle(shared, project, bundle, json_file, html)
    if not site:
        raise UsageError("name a site or a bundle", todo="mtughost diagnose SITE")
    options = AuditOptions(
        sites=(site,),
        watch=Watch(probe=True, bisect=bisect, capture_s=capture),
        kind="diagnose",
    )
    with progress_on(shared) as progress:
        result = audit_fleet(project, options, progress=progress)
    show_site(shared, result.report, quiet=json_file == "-")
    _write_outputs(result, json_file, html)
    return exit_code_of(result.report)


def _diagnose_bundle(
    shared: Globals, project: Project, bundle: Path, json_file: str, html: str
) -> int:
    from mtughost.app.evidence import diagnose_bundle  # noqa: PLC0415
    from mtughost.cli.show import show_site  # noqa: PLC0415

    result = diagnose_bundle(project.content, bundle)
    show_site(shared, result.report, quiet=json_file == "-")
    _write_outputs(result, json_file, html)
    return exit_code_of(result.report)


def report(  # noqa: PLR0913  # one argument per option is how typer works
    context: typer.Context,
    *,
    run: Annotated[str, typer.Option("--run", help="Run id; otherwise the newest.")] = "",
    list_: Annotated[
        bool, typer.Option("--list", help="List the stored runs, newest first, and stop.")
    ] = False,
    json_file: JsonOption = "",
    html: HtmlOption = "",
    fleet: Annotated[
        str, typer.Option(help="Write the fleet page (who must act, trend, all sites) to FILE.")
    ] = "",
    csv: Annotated[str, typer.Option(help="Write one line per site to FILE.")] = "",
    junit: Annotated[str, typer.Option(help="Write JUnit XML to FILE, for CI.")] = "",
    metrics: Annotated[
        str, typer.Option(help="Write metrics to FILE, for Prometheus' textfile collector.")
    ] = "",
    prune: Annotated[
        bool, typer.Option("--prune", help="Say which old runs may go, and stop; see --yes.")
    ] = False,
    keep_days: Annotated[
        int, typer.Option(min=0, help="--prune keeps the runs of the last DAYS.")
    ] = 0,
    keep_last: Annotated[int, typer.Option(min=0, help="--prune keeps the newest NUMBER.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="--prune deletes them.")] = False,
) -> int:
    """Show a stored run again, write it for other programs, or delete old ones."""
    from mtughost.app.fleet_report import fleet_page, fleet_result, stored_runs  # noqa: PLC0415
    from mtughost.app.reports import stored_result  # noqa: PLC0415
    from mtughost.cli.show import show_audit, show_fleet, show_runs  # noqa: PLC0415
    from mtughost.report.exports import (  # noqa: PLC0415
        audit_to_csv,
        audit_to_junit,
        audit_to_metrics,
    )

    shared = globals_of(context)
    project = shared.open_project()
    if list_:
        show_runs(shared, stored_runs(project))
        return 0
    if prune:
        return _prune(shared, project, (keep_days, keep_last), delete=yes)
    result = fleet_result(project, run) if fleet else stored_result(project, run)
    show_audit(shared, result.report, quiet=json_file == "-")
    show_fleet(shared, result.fleet, quiet=json_file == "-")
    _write_outputs(result, json_file, html)
    if fleet:
        write_text(Path(fleet), fleet_page(project, result.report))
    writers = ((csv, audit_to_csv), (junit, audit_to_junit), (metrics, audit_to_metrics))
    for target, write in writers:
        if target:
            # The collector and CI run as other users, and what is in these is no secret.
            mode = SHARED if target in {metrics, junit} else PRIVATE
            write_text(Path(target), write(result.report), mode=mode)
    return exit_code_of(result.report)


def _prune(shared: Globals, project: Project, keep: tuple[int, int], *, delete: bool) -> int:
    from mtughost.app.retention import KeepRule, prune_runs  # noqa: PLC0415
    from mtughost.cli.show import show_pruning  # noqa: PLC0415

    days, last = (
        keep if any(keep) else (project.settings.store.keep_days, project.settings.store.keep_last)
    )
    rule = KeepRule(days=days, last=last)
    show_pruning(shared, prune_runs(project, rule, delete=delete), deleted=delete)
    return 0


def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(help="Run id.")],
    after: Annotated[str, typer.Argument(help="Run id.")],
) -> int:
    """Say what changed between two runs: verdicts, new findings, findings that are gone."""
    from mtughost.app.reports import stored_result  # noqa: PLC0415
    from mtughost.cli.show import show_diff  # noqa: PLC0415

    shared = globals_of(context)
    project = shared.open_project()
    show_diff(shared, stored_result(project, before).report, stored_result(project, after).report)
    return 0


def _write_outputs(result: AuditResult, json_file: str, html: str) -> None:
    if json_file:
        from mtughost.report.json_report import audit_pieces  # noqa: PLC0415  # only to write

        write_pieces(json_file, audit_pieces(result.report))
    if html:
        write_text(Path(html), result.html())
