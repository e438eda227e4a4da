"""``pcap``, ``parse`` and ``explain``: work on files and knowledge, no device involved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mtughost.cli.context import globals_of, write_json
from mtughost.cli.exits import exit_code_of_verdict


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(pcap)
    app.command()(parse)
    app.command()(explain)


def pcap(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(help="pcap or pcapng, plain or gzip; - is standard input.")
    ],
    *,
    port: Annotated[
        list[int] | None, typer.Option(help="Only connections to this server port.")
    ] = None,
    passphrase_ref: Annotated[
        str,
        typer.Option(
            help="Wi-Fi passphrase by reference (env:NAME, file:PATH, keyring:SERVICE/USER): does "
            "the handshake's MIC fit?"
        ),
    ] = "",
    ssid: Annotated[
        str, typer.Option(help="Name of the Wi-Fi network, where the capture does not show it.")
    ] = "",
    max_megabytes: Annotated[
        int, typer.Option(min=0, help="Read so much of each file; 0 is all of it, 4000 of a pipe.")
    ] = 0,
    json_file: Annotated[str, typer.Option("--json", help="Write JSON to FILE, or -.")] = "",
) -> int:
    """Give the verdict from captures alone: what is lost by its size, which way, and why."""
    from mtughost.app.captures import CaptureOptions, judge_files  # noqa: PLC0415  # fast --help
    from mtughost.cli.progress import progress_on  # noqa: PLC0415
    from mtughost.report.captures import render_report, report_to_dict  # noqa: PLC0415

    shared = globals_of(context)
    options = CaptureOptions(
        ports=tuple(port or ()),
        passphrase_ref=passphrase_ref,
        ssid=ssid,
        limit_bytes=max_megabytes * 1_000_000,
    )
    with progress_on(shared) as reporter:
        report = judge_files(files, options, reporter)
    if json_file:
        write_json(json_file, report_to_dict(report))
    if json_file != "-":
        shared.out.print(render_report(report), soft_wrap=True)
    return exit_code_of_verdict(report.verdict)


def parse(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The pasted output, or - for standard input.")],
    *,
    platform: Annotated[str, typer.Option(help="Name of the task book.")],
    command: Annotated[
        str, typer.Option(help="The command that gave the output; all of a transcript when none.")
    ] = "",
    json_file: Annotated[str, typer.Option("--json", help="Write JSON to FILE, or -.")] = "-",
) -> int:
    """Parse pasted output with a platform's parser: rows, facts, lines nobody could place."""
    from mtughost.app.offline import parse_output, parse_transcript  # noqa: PLC0415

    shared = globals_of(context)
    text = sys.stdin.read() if str(file) == "-" else _text_of(file)
    project = shared.open_project()
    document = (
        parse_output(project, platform, command, text)
        if command
        else parse_transcript(project, platform, text)
    )
    write_json(json_file, document)
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
