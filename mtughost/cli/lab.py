"""``lab``: stores in network namespaces, to practise on and to test with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtughost.cli.context import globals_of, write_json

app = typer.Typer(
    help="Labs of real kernels and servers in network namespaces.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NameArgument = Annotated[str, typer.Argument(help="The lab's name.")]


@app.command()
def up(
    context: typer.Context,
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="One site per scenario; a chain of eleven when none.")
    ] = None,
    *,
    name: Annotated[str, typer.Option(help="The lab's name.")] = "lab",
    tls: Annotated[str, typer.Option(help="TLS version of the sites named: 1.2 or 1.3.")] = "1.2",
    style: Annotated[
        str,
        typer.Option(help="Dialect of the gateways: nft, iptables, iptables-legacy, fw4, vyos."),
    ] = "nft",
    renumber: Annotated[
        int | None, typer.Option(help="Other addresses and names, by this seed.")
    ] = None,
    gateway: Annotated[
        str,
        typer.Option(
            metavar="PLATFORM[:VERSION]",
            help="Gateways with this vendor's virtual command line, which the kernel obeys.",
        ),
    ] = "",
) -> int:
    """Bring a lab up and leave it running."""
    from mtughost.app.labs import bring_up  # noqa: PLC0415  # keeps --help fast

    shared = globals_of(context)
    lab = bring_up(
        scenarios or (),
        name=name,
        tls=tls,
        style=style,
        renumber=renumber,
        gateway=gateway,
        say=shared.say,
    )
    shared.out.print(f"lab {lab.name} is up: {len(lab.hosts)} devices", markup=False)
    shared.out.print(f"project: {lab.project}", markup=False, soft_wrap=True)
    shared.out.print(f"next:    mtughost lab exec {lab.name} -- mtughost audit", markup=False)
    return 0


@app.command()
def down(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The lab's name.")] = "lab",
    *,
    every: Annotated[bool, typer.Option("--all", help="All recorded labs.")] = False,
) -> int:
    """Take a lab down: processes, namespaces and files, by what was recorded."""
    from mtughost import lab  # noqa: PLC0415

    shared = globals_of(context)
    gone = lab.down_all(progress=shared.say) if every else ()
    if not every and lab.down(name, progress=shared.say):
        gone = (name,)
    shared.out.print(f"down: {', '.join(gone) or 'nothing was up'}", markup=False)
    return 0


@app.command("fleet")
def fleet_(
    context: typer.Context,
    *,
    sites: Annotated[int, typer.Option(help="How many stores.", min=1, max=10_000)] = 20,
    seed: Annotated[int, typer.Option(help="Chooses vendors, versions and faults.")] = 1,
    vendor: Annotated[
        list[str] | None, typer.Option(help="Platforms of the gateways; all when none.")
    ] = None,
    ap: Annotated[
        list[str] | None, typer.Option(help="Platforms of the access points; linux when none.")
    ] = None,
    name: Annotated[str, typer.Option(help="The fleet's name.")] = "fleet",
) -> int:
    """Run virtual vendors' command lines on loopback until Ctrl-C; needs no privileges."""
    from mtughost.app.fleets import virtual_fleet, wait_for_the_end  # noqa: PLC0415
    from mtughost.lab.fleet import FleetSpec  # noqa: PLC0415

    shared = globals_of(context)
    spec = FleetSpec(
        sites=sites, seed=seed, vendors=tuple(vendor or ()), aps=tuple(ap or ["linux"])
    )
    with virtual_fleet(spec, name=name, say=shared.say) as running:
        project = running.project
        shared.out.print(f"fleet {name} is up: {sites} stores", markup=False)
        shared.out.print(f"project: {project}", markup=False, soft_wrap=True)
        shared.out.print(
            f"next:    mtughost --project {project} audit", markup=False, soft_wrap=True
        )
        wait_for_the_end()
    return 0


@app.command("list")
def list_(context: typer.Context) -> int:
    """List labs and scenarios."""
    from mtughost import lab  # noqa: PLC0415

    shared = globals_of(context)
    for status in lab.list_labs():
        state = "running" if status.running else "dead, take it down"
        shared.out.print(
            f"lab {status.name}: {state}, {status.hosts} devices, {status.project}",
            markup=False,
            soft_wrap=True,
        )
    for scenario in lab.CATALOGUE.values():
        shared.out.print(f"scenario {scenario.name}: {scenario.summary}", markup=False)
    return 0


@app.command()
def path(context: typer.Context, name: NameArgument = "lab") -> int:
    """Print a lab's project directory: inventory, known_hosts, keys."""
    from mtughost import lab  # noqa: PLC0415

    globals_of(context).out.print(str(lab.find(name).project), markup=False, soft_wrap=True)
    return 0


@app.command("exec", context_settings={"ignore_unknown_options": True})
def exec_(
    context: typer.Context,
    name: NameArgument,
    command: Annotated[list[str], typer.Argument(help="Command and arguments, after --.")],
) -> int:
    """Run a command inside a lab, where its devices can be reached, with its project."""
    from mtughost.app.labs import run_inside  # noqa: PLC0415

    del context
    return run_inside(name, command)


@app.command()
def run(  # noqa: PLR0913 - one argument per option is how typer works
    context: typer.Context,
    scenarios: Annotated[list[str] | None, typer.Argument(help="All when none.")] = None,
    *,
    tls: Annotated[str, typer.Option(help="1.2, 1.3 or both.")] = "both",
    style: Annotated[
        str,
        typer.Option(help="Dialect of the gateways: nft, iptables, iptables-legacy, fw4, vyos."),
    ] = "nft",
    renumber: Annotated[
        int | None, typer.Option(help="Other addresses and names, by this seed.")
    ] = None,
    access: Annotated[
        str, typer.Option(help="all, or ap-only: the audit may not log in to any gateway.")
    ] = "all",
    seed: Annotated[
        int | None, typer.Option(help="Generate labs from this seed instead of the catalogue.")
    ] = None,
    count: Annotated[int, typer.Option("--n", help="How many labs to generate.")] = 12,
    only: Annotated[
        list[int] | None, typer.Option(help="Only this number of the generated labs.")
    ] = None,
    json_file: Annotated[str, typer.Option("--json", help="Write JSON to FILE, or -.")] = "",
) -> int:
    """Measure what each scenario really does, diagnose it, and compare: the confusion matrix."""
    from mtughost.app.lab_access import checked_access  # noqa: PLC0415
    from mtughost.app.lab_generated import Wish, run_generated  # noqa: PLC0415
    from mtughost.app.lab_run import run_scenarios  # noqa: PLC0415

    shared = globals_of(context)
    if seed is not None:
        wish = Wish(
            seed=seed, count=count, only=tuple(only or ()), accesses=(checked_access(access),)
        )
        (matrix,) = run_generated(wish, shared.say)
        if json_file:
            write_json(json_file, matrix.document)
        shared.out.print(matrix.table, markup=False, soft_wrap=True)
        return 0 if matrix.counted and not matrix.disagreements else 1
    result = run_scenarios(
        scenarios or (),
        tls=tls,
        style=style,
        renumber=renumber,
        access=checked_access(access),
        say=shared.say,
    )
    if json_file:
        write_json(json_file, result.document)
    shared.out.print(result.table, markup=False, soft_wrap=True)
    return 0 if result.all_agree or (access == "ap-only" and result.none_wrong) else 1


def demo(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option(help="Where the report and the documents go.")] = Path(
        "demo-report"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the lab running.")] = False,
    on: Annotated[
        str,
        typer.Option(
            help="lab, fleet (virtual devices, no privileges), or auto: the lab where it can run."
        ),
    ] = "auto",
) -> int:
    """Do the main job on an embedded lab: audit, plan, approve, apply, audit again."""
    from mtughost.app.demo import run_demo  # noqa: PLC0415

    shared = globals_of(context)
    return run_demo(
        out, keep=keep, on=on, say=lambda text: shared.out.print(text, markup=False, soft_wrap=True)
    )
