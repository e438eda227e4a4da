"""Several commands in one pasted transcript, told apart by prompt and echo. Pure.

An answer belongs to the command whose echo stands behind a prompt before it, and ends at the next
prompt of the same device. What is not certain is not taken, with the reason: an answer without a
prompt behind it may be cut off, and then nothing that it does not say is a fact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mtughost.collect.screen import lines_shown
from mtughost.content.book import Book

#: Prompts of shells; books of platforms with plain exec channels name none.
_SHELL = (
    r"\[?[\w.-]{1,64}@[\w.-]{1,64}[ :][^\]#$%>\n]{0,128}\]?[#$%] ?",
    r"[\w.-]{1,64}(:[^#$%>\s]{1,128})?[#$%] ",
    r"[#$] ",
)
#: What pagers leave behind in text that was copied from a window or lost its control characters.
_PAGER = re.compile(
    r"(?i)^(?: ?--More-- ?(?:or \(q\)uit)?|-- ?More ?-- ?|---\(more(?: \d{1,3}%)?\)---"
    r"|<--- More --->|lines \d+-\d+(?:/\d+)?(?: \(END\)| \d{1,3}%| --more--)?"
    r"|-- \[Q quit\|[^\]\n]{0,80}\]|Press any key to continue[^\n]{0,40}|:(?= |$))"
)
#: So many blanks Junos takes its pager's text back with; others as many as the text has.
_LONG_ERASE = 40
#: Log lines that a terminal shows in between: of IOS, ASA and IOS-XR; of syslog itself.
_LOG = re.compile(
    r"^(?:(?:\d{1,9}: )?[*.]?(?:[A-Z][a-z]{2} +\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,6})?"
    r"(?: [A-Z]{2,5})?: ?)?%[A-Z][A-Z0-9_]+(?:-[A-Z0-9_]+)?-[0-7](?:-[A-Z0-9_]+)?: "
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d +[\w.-]{1,64} +[\w./-]{1,64}(?:\[\d{1,9}\])?: )"
)
_QUOTE = re.compile(r"^> ?")
#: Printed by clusters above each prompt.
_ABOVE = re.compile(r"^\{[\w:.\[\]-]{1,64}\}$")
#: The device's name in a prompt: behind brackets of any kind, and behind the mark of a pair.
_STEM = re.compile(r"(?:HRP_[MS])?[\[<~*(]{0,4}([\w.@-]+)")
#: Kinds whose answers are logs: there a log line is the answer.
_LOGS = frozenset({"log", "push-log"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One command with its answer.

    Attributes:
        typed: What was typed, without the prompt; ``""`` where no echo stood there.
        command_ids: Entries of the book that it may be, none where the book does not have it.
        text: The answer.
        line: Line of the transcript on which the command was typed, from 1.
        ended: Whether a prompt stands behind it.
        cut: Whether a pager stopped and what came next was no more of it.
        dropped: How many log lines were taken out of it.
    """

    typed: str
    command_ids: tuple[str, ...]
    text: str
    line: int
    ended: bool
    cut: bool = False
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A transcript, taken apart.

    Attributes:
        pieces: In order; one with ``typed`` empty where no prompt was found at all.
        devices: What the prompts call the devices, without duplicates.
    """

    pieces: tuple[Piece, ...]
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the transcript.

    Attributes:
        after_pager: A pager had stopped right before it.
    """

    text: str
    after_pager: bool = False


@dataclass(frozen=True, slots=True)
class _Bound:
    """A prompt: its row, the device's name, and what was typed behind it."""

    at: int
    stem: str
    typed: str


def split(text: str, book: Book) -> Transcript:
    """Take a transcript of one platform apart."""
    rows = list(_clean(lines_shown(text)))
    prompts = _prompts(book)
    stems = tuple(dict.fromkeys(_stems(rows, prompts, book)))
    bounds = [
        _Bound(i, *found)
        for i, row in enumerate(rows)
        if (found := _bound(row.text, prompts, stems, book))
    ]
    if not bounds:
        return Transcript(pieces=(_piece("", rows, 0, book, None),), devices=())
    ends: list[_Bound | None] = [*bounds[1:], None]
    pieces = tuple(
        _piece(bound.typed, rows, bound.at + 1, book, end)
        for bound, end in zip(bounds, ends, strict=True)
        if bound.typed
    )
    stems = tuple(dict.fromkeys(bound.stem for bound in bounds if bound.stem))
    return Transcript(pieces=pieces, devices=stems)


def matching(book: Book, typed: str) -> tuple[str, ...]:
    """Return the entries of the book that a typed line may be, the likeliest first.

    On command lines of vendors a line may be abbreviated word by word. In shells options differ
    between people: there the words beside them count, and ``show`` or ``list`` may be left out.
    ``do``, ``sudo`` and a pipe that only switches the pager off never count.
    """
    words = _bare(typed)
    if not words:
        return ()
    lines = {name: _bare(spec.run) for name, spec in book.commands.items() if not spec.params}
    exact = tuple(name for name, own in lines.items() if own == words)
    if exact:
        return exact
    if book.driver == "exec":
        plain = _plain(words)
        loose = tuple(name for name, own in lines.items() if _plain(own) == plain)
        return loose or tuple(name for name, own in lines.items() if _is_like(own, plain))
    return _abbreviated(lines, words)


def _abbreviated(lines: dict[str, list[str]], words: list[str]) -> tuple[str, ...]:
    """Return what the words abbreviate; a word that is written out beats one that is not."""
    fits = {
        name: own
        for name, own in lines.items()
        if len(own) == len(words)
        and all(len(w) > 1 and o.startswith(w) for o, w in zip(own, words, strict=True))
    }
    for place, word in enumerate(words):
        if any(own[place] == word for own in fits.values()):
            fits = {name: own for name, own in fits.items() if own[place] == word}
    return tuple(fits)


def _plain(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.startswith("-")]


def _is_like(own: Sequence[str], typed: Sequence[str]) -> bool:
    """Say whether a shell's line means one of ours: ``ip a`` is ``ip -j address show``."""
    ours = _plain(own)
    if not typed or not ours or typed[0] != ours[0]:
        return False
    short = [word for word in ours if word not in {"show", "list", "table", "all"}]
    given = [word for word in typed if word not in {"show", "list", "table", "all"}]
    return len(short) == len(given) > 1 and all(
        o.startswith(w) for o, w in zip(short, given, strict=True)
    )


def _bare(line: str) -> list[str]:
    line = re.sub(
        r"\s*\|\s*(?:no-more|nomore|cat)\s*$", "", line.split("\n", maxsplit=1)[0].strip()
    )
    words = line.split()
    if words[:1] == ["do"]:
        words = words[1:]
    if words[:1] == ["sudo"]:
        words = words[2:] if words[1:2] == ["-n"] else words[1:]
    return [word for word in words if word not in {"2>&1", "without-paging"}]


def _clean(lines: Sequence[tuple[str, str]]) -> Iterator[_Row]:
    """Yield rows without mail quotes and what pagers left."""
    filled = [text for text, _ in lines if text.strip()]
    is_quoted = bool(filled) and all(text.startswith(">") for text in filled)
    stopped = False
    for text, bare in lines:
        row = _QUOTE.sub("", text) if is_quoted else text
        left = _PAGER.match(_QUOTE.sub("", bare) if is_quoted else bare)
        if left is not None and text == bare:
            # A window that lost the erasing: the pager's text, then the line that came after it.
            row = row[left.end() :]
            if not row:
                stopped = True
                continue
            row = _erased(row, len(left[0]))
        yield _Row(row, after_pager=stopped or left is not None)
        stopped = False
    if stopped:
        yield _Row("", after_pager=True)


def _erased(rest: str, length: int) -> str:
    """Return what follows a pager's text without the blanks that had erased it."""
    blanks = len(rest) - len(rest.lstrip(" "))
    gone = _LONG_ERASE if blanks >= _LONG_ERASE else min(blanks, length)
    return rest[gone:]


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(f"(?:{pattern})") for pattern in patterns)


def _prompts(book: Book) -> tuple[re.Pattern[str], ...]:
    return _compiled(book.prompt_patterns or _SHELL)


def _echoes(row: str, prompts: Iterable[re.Pattern[str]]) -> Iterator[tuple[str, str]]:
    """Yield a prompt at the beginning of a row, with what stands behind it, per way of reading."""
    for prompt in prompts:
        if found := prompt.match(row):
            yield found[0], row[found.end() :].strip()


def _stems(rows: Iterable[_Row], prompts: tuple[re.Pattern[str], ...], book: Book) -> Iterator[str]:
    """Yield what the prompts in front of known commands begin with: the device's name."""
    for row in rows:
        for prompt, typed in _echoes(row.text, prompts):
            if typed and matching(book, typed) and (stem := _STEM.match(prompt)):
                yield stem[1]


def _bound(
    row: str, prompts: tuple[re.Pattern[str], ...], stems: Sequence[str], book: Book
) -> tuple[str, str] | None:
    """Return the device's name and the typed line, where a row is a prompt."""
    for prompt, typed in _echoes(row, prompts):
        stem = _STEM.match(prompt)
        if stem is not None and stem[1] in stems:
            return stem[1], typed
        # A bare "# " also begins a comment: it counts only in front of what the book knows.
        if stem is None and typed and matching(book, typed):
            return "", typed
    return None


def _piece(typed: str, rows: list[_Row], start: int, book: Book, end: _Bound | None) -> Piece:
    """Return a command with the rows from ``start`` to the prompt ``end``."""
    ids = matching(book, typed)
    mine = rows[start : end.at if end else None]
    after = rows[end.at] if end else (rows[-1] if rows and not rows[-1].text else _Row(""))
    while mine and (not mine[-1].text.strip() or _ABOVE.match(mine[-1].text)):
        mine.pop()
    texts = [row.text for row in mine]
    kept = texts if _are_logs(book, ids) else [text for text in texts if not _LOG.match(text)]
    return Piece(
        typed=typed,
        command_ids=ids,
        text="".join(f"{text}\n" for text in kept),
        line=start,
        ended=end is not None,
        cut=after.after_pager,
        dropped=len(texts) - len(kept),
    )


def _are_logs(book: Book, command_ids: Sequence[str]) -> bool:
    kinds = {
        kind
        for kind, specs in book.read.items()
        for spec in specs
        if set(spec.command_ids) & set(command_ids)
    }
    return bool(kinds & _LOGS)
