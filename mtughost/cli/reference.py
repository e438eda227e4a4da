"""``reference``: every command with its options, made from what ``--help`` itself is made from."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from mtughost import __version__
from mtughost.cli.exits import MEANINGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One command.

    Attributes:
        words: Its name, such as ``("lab", "up")``.
        usage: What stands behind the name.
        help: Its first paragraph on one line, then the others.
        rows: Arguments and options with their explanation.
    """

    words: tuple[str, ...]
    usage: str
    help: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(reference)


def reference(
    context: typer.Context,
    *,
    man: Annotated[
        bool, typer.Option("--man", help="Write a man page (roff) instead of Markdown.")
    ] = False,
) -> int:
    """Print the reference of all commands, as Markdown or as a man page."""
    root = context.find_root()
    found = list(entries(root.command, root, ()))
    sys.stdout.write(as_man(found) if man else as_markdown(found))
    return 0


def entries(command: Any, context: Any, words: tuple[str, ...]) -> Iterator[Entry]:
    """Yield every command below ``command`` that does something, and the root for its options."""
    children = getattr(command, "commands", None)
    if not words or children is None or command.invoke_without_command:
        yield _entry(command, context, words)
    for name, child in (children or {}).items():
        inner = type(context)(child, info_name=name, parent=context)
        yield from entries(child, inner, (*words, name))


def _entry(command: Any, context: Any, words: tuple[str, ...]) -> Entry:
    paragraphs = re.split(r"\n\s*\n", (command.help or "").strip())
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    rows = [
        (str(name).strip(), " ".join(str(text).split())) for name, text in filter(None, records)
    ]
    return Entry(
        words=("mtughost", *words),
        usage=" ".join(command.collect_usage_pieces(context)),
        help=tuple(" ".join(paragraph.split()) for paragraph in paragraphs),
        rows=tuple(rows),
    )


def as_markdown(found: list[Entry]) -> str:
    """Return the reference as Markdown."""
    lines = [f"# mtughost {__version__}: commands", ""]
    for entry in found:
        lines += [f"## {' '.join(entry.words)}", ""]
        lines += [f"`{' '.join(entry.words)} {entry.usage}`", ""]
        for paragraph in entry.help:
            lines += [paragraph, ""]
        lines += [f"- `{name}`: {text}" if text else f"- `{name}`" for name, text in entry.rows]
        lines.append("")
    lines += ["## Exit codes", "", *(f"- {code}: {text}" for code, text in MEANINGS.items()), ""]
    return "\n".join(lines)


def as_man(found: list[Entry]) -> str:
    """Return the reference as a man page (man(7) macros), for ``man -l``."""
    lines = [
        f'.TH MTUGHOST 1 "" "mtughost {__version__}" "mtughost"',
        ".SH NAME",
        f"mtughost \\- {_roff(found[0].help[0][0].lower() + found[0].help[0][1:].rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B mtughost\n{_roff(found[0].usage)}",
        ".SH OPTIONS",
        *_man_rows(found[0]),
        ".SH COMMANDS",
    ]
    for entry in found[1:]:
        lines += [f".SS {_roff(' '.join((*entry.words[1:], entry.usage)))}"]
        lines += [_roff(paragraph) + "\n.PP" for paragraph in entry.help]
        lines += _man_rows(entry)
    lines += [".SH EXIT STATUS"]
    for code, text in MEANINGS.items():
        lines += [".TP", f".B {code}", _roff(text)]
    return "\n".join(lines) + "\n"


def _man_rows(entry: Entry) -> list[str]:
    return [f".TP\n.B {_roff(name)}\n{_roff(text) or '.'}" for name, text in entry.rows]


def _roff(text: str) -> str:
    """Escape what roff would act on: backslashes, dashes, a dot or quote that begins a line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped[:1] in {".", "'"} else escaped
