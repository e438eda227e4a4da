"""Pasted output: which commands it holds, and what of it can be taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mtughost.app.handed_in import facts_of_outputs, refused_line
from mtughost.collect.transcript import Piece, split
from mtughost.content.book import Book
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.model.basis import Known
from mtughost.model.clamps import Ruleset
from mtughost.model.device import DeviceFacts
from mtughost.model.errors import UsageError
from mtughost.model.inventory import Device
from mtughost.store import Ingested

_PROMPT = re.compile(r"^\S*[#$>%]\s*$")
_QUOTED = re.compile(r"^> ?", re.MULTILINE)
#: Kinds whose commands print what others print, too: they must be named.
_NEVER_GUESSED = frozenset({"saved-clamps"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One answer.

    Attributes:
        command_id: Entry of the task book.
        line: That entry's line.
        text: The answer alone.
        at_line: Line of the paste on which it begins, from 1.
    """

    command_id: str
    line: str
    text: str
    at_line: int = 1


@dataclass(frozen=True, slots=True)
class Left:
    """A command of a transcript that gave nothing. That the device refused it is kept, too."""

    typed: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """What a paste holds."""

    outputs: tuple[Output, ...]
    left: tuple[Left, ...] = ()


def take_apart(text: str, command: str, device: Device, content: ContentRoot) -> Pasted:
    """Find the commands and their answers in what was pasted.

    Args:
        text: Output of one command, or a transcript with prompts and echoes.
        command: As it was typed, its name in the task book, or ``auto``.
        device: Whose output it is; its platform and role choose the readers.
        content: Task books and parsers.

    Raises:
        UsageError: nothing in it is understood, it fits several commands, or it is of several
            devices; says what to do.
    """
    book = load_book(content, device.platform)
    found = split(text, book)
    if len(found.devices) > 1:
        raise UsageError(
            f"this transcript is of several devices: {', '.join(found.devices)}",
            todo="Hand in what each of them said by itself",
        )
    wanted = set(candidates(book, device, command)) if command != "auto" else None
    pieces = [
        piece
        for piece in found.pieces
        if piece.typed and (wanted is None or wanted & set(piece.command_ids))
    ]
    if not any(piece.command_ids for piece in pieces):
        return Pasted(outputs=(_single(text, command, device, content, book),))
    outputs, left = [], []
    for piece in pieces:
        reason, output = _taken(piece, device, content, book, is_alone=len(pieces) == 1)
        if output is not None:
            outputs.append(output)
        if reason:
            left.append(Left(piece.typed, reason))
    if not outputs:
        raise UsageError(
            "nothing of this transcript can be taken: "
            + "; ".join(f"'{each.typed}' {each.reason}" for each in left),
            todo="Paste from a prompt to the next prompt, with paging switched off",
        )
    return Pasted(outputs=tuple(outputs), left=tuple(left))


def _taken(
    piece: Piece, device: Device, content: ContentRoot, book: Book, *, is_alone: bool
) -> tuple[str, Output | None]:
    """Return why a command gave nothing (else ``""``), and the answer that is kept."""
    asked = _asked(book, device)
    ids = [name for name in piece.command_ids if name in asked]
    if not ids:
        return "is nothing that is read from this device", None
    if piece.cut or not (piece.ended or is_alone):
        where = "ends at a pager" if piece.cut else "has no prompt behind it"
        return f"{where}, so its answer may be cut off", None
    refused = refused_line(book, piece.text)
    if refused and len(ids) > 1:
        return f"was refused: {refused}", None
    found = ids if len(ids) == 1 else _fitting(ids, piece.text, device, content, book)
    if len(found) != 1:
        lines = ", ".join(f"'{book.commands[name].run}'" for name in found or ids)
        return f"may be any of {lines}: name it", None
    (name,) = found
    line = book.commands[name].run
    output = Output(command_id=name, line=line, text=piece.text, at_line=piece.line + 1)
    return f"was refused: {refused}" if refused else "", output


def _single(text: str, command: str, device: Device, content: ContentRoot, book: Book) -> Output:
    text = cleaned(text, command)
    found = _fitting(candidates(book, device, command), text, device, content, book)
    if not found:
        raise UsageError(
            f"no reader of {device.platform} understands this output"
            + ("" if command == "auto" else f" as that of '{command}'"),
            todo="Name the command as it was typed; hand in its output alone and whole",
        )
    if len(found) > 1:
        lines = ", ".join(f"'{book.commands[name].run}'" for name in found)
        raise UsageError("this output fits several commands", todo=f"Name one of: {lines}")
    (name,) = found
    return Output(command_id=name, line=book.commands[name].run, text=text)


def _fitting(
    ids: Sequence[str], text: str, device: Device, content: ContentRoot, book: Book
) -> list[str]:
    """Return the commands whose readers make most of an output: one, unless several do."""
    tried: list[tuple[tuple[int, int], str]] = []
    for name in ids:
        item = _item(device, name, book.commands[name].run, text)
        facts = facts_of_outputs([item], device, content)
        if kinds := read_kinds(facts):
            tried.append(((-len(kinds), _doubts(facts)), name))
    best = min((score for score, _ in tried), default=(0, 0))
    found = [name for score, name in tried if score == best]
    if len(found) > 1:
        family = "ip6tables" if "ip6tables-save" in text[:80] else "iptables"
        runs = {name: book.commands[name].run for name in found}
        found = [name for name in found if runs[name].startswith(f"{family}-")] or found
    return found


def _item(device: Device, command_id: str, line: str, text: str) -> Ingested:
    return Ingested(
        host=device.name,
        site=device.site,
        role=device.role,
        platform=device.platform,
        by="",
        on="",
        how="",
        command_id=command_id,
        line=line,
        text=text,
    )


def cleaned(text: str, command: str = "") -> str:
    """Return output without mail quotes, the typed line and the prompt behind it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    lines = text.split("\n")
    if any(lines) and all(line.startswith(">") for line in lines if line.strip()):
        lines = _QUOTED.sub("", text).split("\n")
    typed = command if command != "auto" else ""
    echo = re.compile(r"^\S*[#$>%] ?\S+|^\S+@\S+:\S*[#$] ")
    is_typed = bool(typed) and lines[0].rstrip().endswith(typed)
    # A comment of iptables-save begins with "# " and is no prompt.
    if (is_typed or echo.match(lines[0])) and not lines[0].startswith("#"):
        lines = lines[1:]
    while lines and (not lines[-1].strip() or _PROMPT.match(lines[-1])):
        lines.pop()
    return "\n".join([*lines, ""])


def _asked(book: Book, device: Device) -> dict[str, str]:
    return {
        command_id: kind
        for kind, entries in book.read.items()
        for entry in entries
        if not entry.roles or device.role in entry.roles
        for command_id in entry.command_ids
    }


def candidates(book: Book, device: Device, command: str) -> list[str]:
    """Return the entries of the book that a command may be: by name, by line, without options.

    Raises:
        UsageError: the book does not read it.
    """
    asked = _asked(book, device)
    if command == "auto":
        return [name for name, kind in asked.items() if kind not in _NEVER_GUESSED]
    wanted = command.split()
    exact = [n for n in asked if n == command or book.commands[n].run.split() == wanted]
    if exact:
        return exact
    plain = _plain(wanted)
    found = [n for n in asked if _plain(book.commands[n].run.split()) == plain]
    if not found:
        lines = ", ".join(f"'{book.commands[n].run}'" for n in asked)
        raise UsageError(
            f"the task book {book.platform} does not read {command!r}", todo=f"It reads: {lines}"
        )
    return found


def _plain(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.startswith("-") and word != "2>&1"]


def read_kinds(facts: DeviceFacts) -> tuple[str, ...]:
    """Return the kinds of fact that an output gave; what the book alone says does not count."""
    told = {"privilege", "clamp_semantics"}
    names = (
        name
        for name in DeviceFacts.__dataclass_fields__
        if name not in told and isinstance(fact := getattr(facts, name), Known) and fact.value != ()
    )
    return tuple(name for name in names if not _is_empty(facts, name))


def _is_empty(facts: DeviceFacts, name: str) -> bool:
    value = getattr(facts, name).value
    if isinstance(value, Ruleset):
        return not value.chains
    if name == "icmp":
        return all(getattr(value, field) is None for field in type(value).__dataclass_fields__)
    return False


def _doubts(facts: DeviceFacts) -> int:
    return len(facts.clamps.value.notes) if isinstance(facts.clamps, Known) else 0
