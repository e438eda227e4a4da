"""``doctor`` and ``new``: what works here, and a start for what does not exist yet."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtughost.cli.context import globals_of, write_json

if TYPE_CHECKING:
    from mtughost.app.scaffold import Made
    from mtughost.cli.context import Globals

_new = typer.Typer(
    help="Start a task book or a parser, with a test that fails until it is right.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@_new.callback()
def _options() -> None:
    """Start a task book or a parser, with a test that fails until it is right."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(doctor)
    _new.command("platform")(new_platform)
    _new.command("parser")(new_parser)
    app.add_typer(_new, name="new")


def doctor(
    context: typer.Context,
    *,
    platform: Annotated[
        str, typer.Option(help="Say what this platform can and cannot do, and on what basis.")
    ] = "",
    json_file: Annotated[str, typer.Option("--json", help="Write JSON to FILE, or -.")] = "",
) -> int:
    """Check this machine and project: namespaces, packages, content, keys, known hosts."""
    from mtughost.app.doctor import examine  # noqa: PLC0415  # keeps --help fast
    from mtughost.app.platforms import sheet, sheet_lines  # noqa: PLC0415
    from mtughost.content.load import load_book  # noqa: PLC0415
    from mtughost.model.errors import ContentError  # noqa: PLC0415

    shared = globals_of(context)
    project = shared.open_project()
    if platform:
        book = load_book(project.content, platform)
        _print(shared, json_file, sheet(book), sheet_lines(book))
        return 0
    checks = examine(project)
    lines = [
        f"{check.state:<5} {check.name:<13} {check.said}{'. ' + check.todo if check.todo else ''}"
        for check in checks
    ]
    document = {"schema": "mtughost/doctor/v1", "checks": [asdict(check) for check in checks]}
    _print(shared, json_file, document, lines)
    return ContentError.exit_code if any(check.state == "bad" for check in checks) else 0


def _print(shared: Globals, json_file: str, document: object, lines: list[str]) -> None:
    if json_file:
        write_json(json_file, document)
    if json_file != "-":
        for line in lines:
            shared.out.print(line, markup=False, soft_wrap=True)


_Into = Annotated[
    Path | None,
    typer.Option(help="Checkout or project to write to; otherwise the one whose content is used."),
]


def new_platform(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the platform: a word for the inventory.")],
    *,
    driver: Annotated[
        str, typer.Option(help="exec for a shell, else netmiko's device type.")
    ] = "generic",
    into: _Into = None,
) -> int:
    """Start a platform: task book, first parser, and a case that fails until it is right."""
    from mtughost.app.scaffold import make_platform  # noqa: PLC0415  # keeps --help fast

    shared = globals_of(context)
    _tell(shared, make_platform(shared.open_project().content, name, driver=driver, into=into))
    return 0


def new_parser(
    context: typer.Context,
    platform: Annotated[str, typer.Argument(help="Name of the task book.")],
    name: Annotated[str, typer.Argument(help="Name of the parser, such as ip-interface.")],
    *,
    command: Annotated[str, typer.Option(help="The line that gives the output.")],
    kind: Annotated[
        str, typer.Option(help="Kind of fact, such as interfaces: gives the columns.")
    ] = "identity",
    sample: Annotated[
        Path | None, typer.Option(help="Recorded output to begin with; names and keys removed.")
    ] = None,
    into: _Into = None,
) -> int:
    """Start a parser: template, and a case that fails until its rows are written by hand."""
    from mtughost.app.scaffold import NewParser, make_parser  # noqa: PLC0415

    shared = globals_of(context)
    wish = NewParser(platform=platform, name=name, command=command, kind=kind, sample=sample)
    _tell(shared, make_parser(shared.open_project().content, wish, into=into))
    return 0


def _tell(shared: Globals, made: Made) -> None:
    for path in made.files:
        shared.out.print(f"made {path}", markup=False, soft_wrap=True)
    for line in made.next:
        shared.out.print(line, markup=False, soft_wrap=True)
