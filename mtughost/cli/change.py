"""``plan``, ``approve``, ``apply``, ``resume``, ``rollback``, ``status``: guarded repair."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtughost.cli.context import Globals, globals_of

if TYPE_CHECKING:
    from mtughost.change.tools import RunResult
    from mtughost.model.plans import Plan

REFUSED, NEEDS_NOTHING = 5, 0


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(plan)
    app.command()(review)
    app.command()(approve)
    app.command()(apply)
    app.command()(resume)
    app.command()(rollback)
    app.command()(status)


def plan(  # noqa: PLR0913 - each option is an argument to typer
    context: typer.Context,
    *,
    site: Annotated[list[str], typer.Option("--site", help="Site name or pattern; repeatable.")],
    reason: Annotated[str, typer.Option(help="Why: shown to the approver.")],
    ticket: Annotated[str, typer.Option(help="Ticket number.")] = "",
    change: Annotated[
        str, typer.Option(help="Ask for this change by name instead of the smallest sufficient.")
    ] = "",
    hours: Annotated[
        str, typer.Option(help="Change only then, in each site's time zone: 01:00-05:00.")
    ] = "",
    from_run: Annotated[
        str, typer.Option(help="Plan from this stored run; 'latest' for the newest.")
    ] = "",
    canary: Annotated[str, typer.Option(help="Site that goes first, alone.")] = "",
    parallel: Annotated[
        int, typer.Option(min=1, max=20, help="Devices of a wave changed at the same time.")
    ] = 4,
    soak: Annotated[
        int, typer.Option(min=0, max=86400, help="Seconds to wait after each wave.")
    ] = 0,
    guard: Annotated[
        str, typer.Option(help="Undo by this guard of the task book, such as cfg-save-revert.")
    ] = "",
    accept_no_autorevert: Annotated[
        bool,
        typer.Option(
            "--accept-no-autorevert",
            help="Plan also where no timer of the device would undo the change.",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Where to write the plan.")] = None,
) -> int:
    """Diagnose afresh, choose the smallest sufficient fix, show the dry-run diff, sign the plan."""
    from mtughost.app.planning import PlanRequest, make_plan  # noqa: PLC0415  # keeps --help fast
    from mtughost.cli.progress import progress_on  # noqa: PLC0415
    from mtughost.remedy.waves import WavePolicy  # noqa: PLC0415

    shared = globals_of(context)
    request = PlanRequest(
        sites=tuple(site),
        reason=reason,
        ticket=ticket,
        change=change,
        hours=hours,
        from_run=from_run,
        policy=WavePolicy(canary=canary, max_parallel=parallel, soak_s=soak),
        guard=guard,
        accept_no_autorevert=accept_no_autorevert,
        out=out,
    )
    with progress_on(shared) as progress:
        planned = make_plan(shared.open_project(), request, progress=progress)
    for name, refused in planned.refused:
        shared.out.print(f"{name}: no change planned: {refused.reason}", markup=False)
        for text in (refused.todo, refused.change_request):
            if text:
                shared.out.print(text, markup=False, soft_wrap=True)
    if planned.plan is None:
        return REFUSED
    _show_plan(shared, planned.plan, planned.path)
    return 0


def review(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The plan.")],
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On the loopback; 0: any.")] = 0,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only say whether it may be applied now (5: no). For CI."),
    ] = False,
) -> int:
    """Show a plan in the browser of this machine: diffs, proofs, waves, the command to sign."""
    from mtughost.app.review import page_of, serve_page  # noqa: PLC0415
    from mtughost.model.errors import UsageError  # noqa: PLC0415

    shared = globals_of(context)
    if check:
        return _check(shared, file)
    page = page_of(shared.open_project(), file)
    try:
        with serve_page(page, port=port) as address:
            shared.out.print(address, markup=False, soft_wrap=True)
            shared.say("Ctrl-C ends it")
            threading.Event().wait()
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}") from error
    return 0  # pragma: no cover - only an interrupt ends the wait


def _check(shared: Globals, file: Path) -> int:
    from mtughost.app.approving import check_papers  # noqa: PLC0415

    authority = check_papers(shared.open_project(), file)
    plan, approval = authority.plan, authority.approval
    shared.out.print(
        f"{file}: {len(plan.devices)} devices, written by {plan.author.principal}, approved by "
        f"{approval.approver} until {approval.not_after_utc}: may be applied",
        markup=False,
        soft_wrap=True,
    )
    return 0


def approve(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The plan.")],
    *,
    key: Annotated[Path, typer.Option(help="Your SSH key: private, or public with ssh-agent.")],
    accept_reboot: Annotated[
        bool, typer.Option("--accept-reboot", help="Accept that a revert costs a reboot.")
    ] = False,
    accept_no_autorevert: Annotated[
        bool,
        typer.Option("--accept-no-autorevert", help="Accept a change that no timer undoes."),
    ] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Sign a rejection instead.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without being asked.")] = False,
) -> int:
    """Show a plan and sign your decision about exactly what was shown."""
    from mtughost.app.approving import decide, open_plan  # noqa: PLC0415
    from mtughost.model.approvals import Accepted  # noqa: PLC0415
    from mtughost.report.console_plan import render_plan  # noqa: PLC0415

    shared = globals_of(context)
    project = shared.open_project()
    shared.out.print(render_plan(open_plan(project, file)))
    word = "reject" if reject else "approve"
    if not yes and not typer.confirm(f"Sign: {word} this plan?", default=False):
        shared.out.print("nothing was signed")
        return REFUSED
    decision = decide(
        project,
        file,
        key=key,
        decision="reject" if reject else "approve",
        accept=Accepted(reboot=accept_reboot, no_autorevert=accept_no_autorevert),
    )
    shared.out.print(
        f"{decision.approver} signed: {word}; {decision.path}", markup=False, soft_wrap=True
    )
    return 0


def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The approved plan.")],
    *,
    push: Annotated[
        bool,
        typer.Option(
            "--push",
            help="Disruptive: where an access point is connected already, force a cloud push "
            "to see a new handshake. Clients may be dropped.",
        ),
    ] = False,
) -> int:
    """Apply an approved plan: arm the undo, change, prove the service, confirm, save."""
    from mtughost.app.applying import apply_file  # noqa: PLC0415
    from mtughost.cli.progress import steps_on  # noqa: PLC0415

    shared = globals_of(context)
    with steps_on(shared) as say:
        result = apply_file(shared.open_project(), file, may_push=push, say=say)
    return _show(shared, result)


def resume(context: typer.Context) -> int:
    """After a crash: bring every device that was left open to a proven end."""
    from mtughost.app.applying import resume_runs  # noqa: PLC0415
    from mtughost.cli.progress import steps_on  # noqa: PLC0415

    shared = globals_of(context)
    with steps_on(shared) as say:
        results = resume_runs(shared.open_project(), say=say)
    if not results:
        shared.out.print("no device was left open")
    return max((_show(shared, result) for result in results), default=NEEDS_NOTHING)


def rollback(
    context: typer.Context,
    *,
    reason: Annotated[str, typer.Option(help="Why: shown to the approver.")],
    of: Annotated[
        str, typer.Option("--of", help="Run to take back; the last that confirmed anything.")
    ] = "",
    device: Annotated[
        list[str] | None, typer.Option("--device", help="Only this device; repeatable.")
    ] = None,
    ticket: Annotated[str, typer.Option(help="Ticket number.")] = "",
    out: Annotated[Path | None, typer.Option(help="Where to write the plan.")] = None,
) -> int:
    """Plan to take a confirmed change back: guarded, and approved like any other plan."""
    from mtughost.app.rollback import RollbackRequest, plan_rollback  # noqa: PLC0415

    shared = globals_of(context)
    request = RollbackRequest(
        run_id=of, devices=tuple(device or ()), reason=reason, ticket=ticket, out=out
    )
    _show_plan(shared, *plan_rollback(shared.open_project(), request))
    return 0


def _show_plan(shared: Globals, made: Plan, path: Path | None) -> None:
    from mtughost.report.console_plan import render_plan  # noqa: PLC0415

    shared.out.print(render_plan(made))
    shared.out.print(f"plan: {path}", markup=False, soft_wrap=True)
    shared.out.print(
        f"next: a second person runs: mtughost approve {path} --key THEIR_KEY",
        markup=False,
        soft_wrap=True,
    )


def status(context: typer.Context) -> int:
    """Say where every device of every run stands, from the journal alone."""
    from mtughost.app.applying import device_statuses  # noqa: PLC0415
    from mtughost.report.console_run import status_lines  # noqa: PLC0415

    shared = globals_of(context)
    found = device_statuses(shared.open_project())
    if not found:
        shared.out.print("nothing was ever applied from here")
    for line in status_lines(found):
        shared.out.print(line, markup=False, soft_wrap=True)
    return 7 if any(item.state == "needs-human" for item in found) else 0


def _show(shared: Globals, result: RunResult) -> int:
    from mtughost.report.console_run import run_lines  # noqa: PLC0415

    for line in run_lines(result.devices):
        shared.out.print(line, markup=False, soft_wrap=True)
    shared.out.print(f"journal head: {result.head}", markup=False)
    return result.exit_code
