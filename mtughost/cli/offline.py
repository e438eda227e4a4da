"""``pcap``, ``parse`` and ``explain``: work on files and knowledge, no device involved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mtughost.cli.context import globals_of, write_json


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(pcap)
    app.command()(parse)
    app.command()(explain)


def pcap(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="pcap or pcapng files, plain or gzip.")],
    *,
    port: Annotated[
        list[int] | None, typer.Option(help="Only connections to this server port.")
    ] = None,
    json_file: Annotated[str, typer.Option("--json", help="Write JSON to FILE, or -.")] = "",
) -> int:
    """Read captures: MSS both ways, what was delivered, what was lost, where TLS stopped."""
    from mtughost.app.offline import read_captures  # noqa: PLC0415  # keeps --help fast
    from mtughost.report.captures import capture_to_dict, render_capture  # noqa: PLC0415

    shared = globals_of(context)
    captures = read_captures(files, ports=tuple(port or ()))
    if json_file:
        write_json(json_file, [capture_to_dict(item) for item in captures])
    if json_file != "-":
        for item in captures:
            shared.out.print(render_capture(item))
    return 0


def parse(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The pasted output, or - for standard input.")],
    *,
    platform: Annotated[str, typer.Option(help="Name of the task book.")],
    command: Annotated[str, typer.Option(help="The command that gave the output.")],
    json_file: Annotated[str, typer.Option("--json", help="Write JSON to FILE, or -.")] = "-",
) -> int:
    """Parse pasted output with a platform's parser: rows, facts, lines nobody could place."""
    from mtughost.app.offline import parse_output  # noqa: PLC0415

    shared = globals_of(context)
    text = sys.stdin.read() if str(file) == "-" else _text_of(file)
    write_json(json_file, parse_output(shared.open_project(), platform, command, text))
    return 0


def _text_of(path: Path) -> str:
    from mtughost.model.errors import UsageError  # noqa: PLC0415

    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def explain(
    context: typer.Context,
    finding: Annotated[str, typer.Argument(help="Finding id, such as clamp-scope.")],
    *,
    site: Annotated[str, typer.Option(help="Fill in this site's values from the newest run.")] = "",
) -> int:
    """Print the runbook of a finding, filled in with a site's values when --site is given."""
    from mtughost.app.offline import explain_finding  # noqa: PLC0415

    shared = globals_of(context)
    shared.out.print(
        explain_finding(shared.open_project(), finding, site), markup=False, soft_wrap=True
    )
    return 0
