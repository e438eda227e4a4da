"""What every command shares: the global options and the two consoles."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from mtughost.disk import PRIVATE, replace_file
from mtughost.model.errors import UsageError
from mtughost.report.safe_text import inert

if TYPE_CHECKING:
    from mtughost.app.project import Project


#: Permissions of a document that a program of another user reads.
SHARED = 0o644


class _Console(Console):
    """Rich's console; when the reader has gone, it says so instead of ending the program.

    Rich lets terminal controls in plain text pass. Texts here quote devices, so they become inert.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; what is plain text cannot act on the terminal."""
        shown = (
            inert(one, lines=True, max_chars=None) if isinstance(one, str) else one
            for one in objects
        )
        super().print(*shown, **options)

    def on_broken_pipe(self) -> None:
        """Leave it to :mod:`mtughost.cli.exits`."""
        raise BrokenPipeError


@dataclass(slots=True)
class Globals:
    """The global options of one invocation.

    Attributes:
        out: Results, on standard output.
        log: Progress and remarks, on standard error, silent with ``--quiet``.
    """

    project: Path | None = None
    inventory: Path | None = None
    quiet: bool = False
    out: Console = field(default_factory=lambda: _Console(highlight=False))
    log: Console = field(default_factory=lambda: _Console(stderr=True, highlight=False))

    def open_project(self) -> Project:
        """Find the project that the options name."""
        from mtughost.app.project import open_project  # noqa: PLC0415  # keeps --help fast

        return open_project(self.project, self.inventory)

    def say(self, text: str) -> None:
        """Print one plain line of progress on standard error."""
        if not self.quiet:
            self.log.print(text, markup=False, soft_wrap=True)


def globals_of(context: typer.Context) -> Globals:
    """Return the global options."""
    found = context.find_object(Globals)
    return found if found is not None else Globals()


def write_json(target: str, document: object) -> None:
    """Write a JSON document to a file, or to standard output for ``-``.

    A file is replaced as a whole: a crash leaves the old one or the new one.
    """
    write_pieces(target, [json.dumps(document, indent=2, ensure_ascii=False), "\n"])


def write_pieces(target: str, text: Iterable[str]) -> None:
    """Do the same with text that comes piece by piece."""
    if target == "-":
        sys.stdout.writelines(text)
        sys.stdout.flush()
        return
    write_text(Path(target), text)


def write_text(path: Path, text: str | Iterable[str], *, mode: int = PRIVATE) -> None:
    """Write a text file as a whole; what is no regular file (a pipe, a device) is written into.

    Args:
        path: Where to; the directory is made, a symbolic link is followed.
        text: Its content, whole or piece by piece.
        mode: Permissions, whatever the umask: documents name devices and addresses, so that only
            their owner reads them unless another program must.

    Raises:
        UsageError: it cannot be written there.
    """
    data = (piece.encode("utf-8") for piece in ([text] if isinstance(text, str) else text))
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                stream.writelines(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path.resolve(), data, mode=mode)
    except BrokenPipeError:
        raise
    except OSError as error:
        in_file = isinstance(error, FileExistsError)
        raise UsageError(
            f"{path} cannot be written: {'its folder is a file' if in_file else error.strerror}",
            todo="Name another file; what was found is kept: see mtughost report --list",
        ) from error
