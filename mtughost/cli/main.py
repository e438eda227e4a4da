"""The ``mtughost`` command: global options, the commands, the exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from mtughost import __version__
from mtughost.cli import audit, change, doctor, evidence, ingest, lab, offline, reference, setup
from mtughost.cli.context import Globals
from mtughost.cli.exits import USAGE, run_guarded


class _ForExitsError(Exception):
    """Carries what :mod:`mtughost.cli.exits` is to judge past Typer, which would swallow it."""


class _Commands(TyperGroup):
    """The commands, with Ctrl-C and a reader that went away left to :mod:`mtughost.cli.exits`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BrokenPipeError) as stop:
            raise _ForExitsError from stop


app = typer.Typer(
    name="mtughost",
    cls=_Commands,
    help="Find, prove and fix MTU and MSS black holes across a fleet of sites.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


_GLOBAL_WITH_VALUE = frozenset({"--project", "--inventory"})
_GLOBAL_FLAGS = frozenset({"--quiet", "-q"})


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it with the flag's value
    if wanted:
        typer.echo(f"mtughost {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    project: Annotated[
        Path | None, typer.Option(help="Project directory; otherwise $MTUGHOST_PROJECT.")
    ] = None,
    inventory: Annotated[
        Path | None, typer.Option(help="Folder with hosts.yaml, groups.yaml and defaults.yaml.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress lines.")] = False,
    version: Annotated[  # noqa: ARG001  # the callback does the work
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Find, prove and fix MTU and MSS black holes across a fleet of sites."""
    context.obj = Globals(project=project, inventory=inventory, quiet=quiet)


for module in (audit, change, doctor, ingest, offline, setup, reference):
    module.register(app)
app.add_typer(evidence.app, name="evidence")
app.add_typer(lab.app, name="lab")
app.command()(lab.demo)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. Never raises."""
    return run_guarded(lambda: _dispatch(arguments))


def hoisted(arguments: list[str]) -> list[str]:
    """Move global options to the front, so that they may stand behind the command as well.

    What follows ``--`` belongs to somebody else and stays where it is.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments[:end])
    for word in words:
        name = word.partition("=")[0]
        if name in _GLOBAL_WITH_VALUE:
            front += [word] if "=" in word else [word, next(words, "")]
        else:
            (front if word in _GLOBAL_FLAGS else rest).append(word)
    return [*front, *rest, *arguments[end:]]


def _dispatch(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        result = command.main(
            hoisted(arguments) or ["--help"], prog_name="mtughost", standalone_mode=False
        )
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _ForExitsError as carried:
        raise (carried.__cause__ or carried) from None
    except TyperException as error:
        typer.echo(f"mtughost: {error.format_message()}", err=True)
        return USAGE
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the ``mtughost`` command."""
    sys.exit(run(sys.argv[1:]))
