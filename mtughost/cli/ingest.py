"""``ingest``: what a person pasted, mailed or told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mtughost.cli.context import globals_of


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(ingest)


def ingest(  # noqa: PLR0913  # one argument per option is how typer works
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Output of a command, a transcript of several, or - for standard input."
        ),
    ] = None,
    *,
    host: Annotated[str, typer.Option(help="Device: its inventory name, or a new one.")],
    by: Annotated[str, typer.Option(help="Who said or sent it.")],
    how: Annotated[str, typer.Option(help="Phone, mail, chat, in your own words.")] = "pasted",
    on: Annotated[str, typer.Option(help="Day, such as 2026-11-20; today otherwise.")] = "",
    command: Annotated[
        str, typer.Option(help="The command that gave the output; auto tries to tell.")
    ] = "auto",
    told: Annotated[
        list[str] | None, typer.Option(help="A told value, such as wan.mtu=1492.")
    ] = None,
    site: Annotated[str, typer.Option(help="Site of a device that is in no inventory.")] = "",
    platform: Annotated[str, typer.Option(help="Task book of such a device.")] = "",
) -> int:
    """Take in pasted output or a told value, keep its provenance, and judge the site again."""
    from mtughost.app.ingest import Handover  # noqa: PLC0415  # keeps --help fast
    from mtughost.app.ingest import ingest as take_in  # noqa: PLC0415
    from mtughost.cli.show import show_site  # noqa: PLC0415

    shared = globals_of(context)
    taken = take_in(
        shared.open_project(),
        Handover(
            host=host,
            by=by,
            how=how,
            on=on,
            command=command,
            told=tuple(told or ()),
            site=site,
            platform=platform,
            text=_text(file),
        ),
    )
    for item in taken.items:
        what = f"{item.told_key}={item.told_value}" if item.told_key else f"'{item.line}'"
        shared.say(f"recorded about {item.host}: {what} ({item.note})")
    for left in taken.left:
        shared.say(f"not taken: '{left.typed}' {left.reason}")
    if taken.facts:
        shared.say(f"it shows: {', '.join(taken.facts)}")
    if taken.report is None:
        shared.say("no run holds this site yet; the next audit will use it")
        return 0
    show_site(shared, taken.report)
    return 0


def _text(file: Path | None) -> str | None:
    from mtughost.model.errors import UsageError  # noqa: PLC0415

    if file is None:
        return None
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
