r"""Find secrets in device text by what announces them.

Works on *squeezed* text: terminal codes and continuation marks are left out, so that a secret that
is split over an ANSI code or over ``\`` and a line end is one value. Spans refer to the original.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mtughost.evidence import secret_words as words

#: Terminal codes (ECMA-48), and a continuation mark with what indents the next line.
_NOISE: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)|\x1b[@-_]"
    r"|\\\r?\n[ \t]*|[\x08\x00]"
)
#: A value in quotes; one that never closes ends with its line.
_QUOTED: Final = re.compile(
    r'"(?P<a>(?:[^"\\]|\\.){0,8192})"|\'(?P<b>[^\'\n]{0,8192})\'|["\'](?P<c>[^\n"\']{0,8192})',
    re.DOTALL,
)
_AFTER_EQUALS: Final = re.compile(r"[^\s\"'<>]+")
_REST: Final = re.compile(r"[^\r\n]*[^\s]")
_FIRST_WORD: Final = re.compile(r"[ \t]*[\w.-]+")
_IN_TAG: Final = re.compile(r"[^<\n]+")
_BARE: Final = re.compile(r"[^\s<>\"']+")
_CLOSING: Final = re.compile(r"(?:\[\d{1,4}\])?[\"'\])]?")
_SEPARATOR: Final = re.compile(r"[ \t]*(?:=>|:=|==|=|:|>|,)?[ \t]*")
_END_OF_LINE: Final = re.compile(r"[ \t]*\r?\n")
#: A line that is nothing but the rest of a wrapped value.
_LONE: Final = re.compile(r"[ \t]*(?P<value>[A-Za-z0-9+/=_$.!@#%^&*-]{4,})[ \t]*(?=\r?\n|\Z)")
_NOT_LONE: Final = frozenset({"end", "next", "exit", "return", "quit", "commit", "done", "else"})
#: Something else stands on the line: so a number or a word such as ``ascii`` was no value yet.
_MORE: Final = re.compile(r"[ \t]+[^\s]|[ \t]*[=:][ \t]*\S")
_MODIFIERS_AT_MOST: Final = 6
_JSON_KEY_CHARS: Final = 8
_KEY_NUMBER_DIGITS: Final = 4
_WRAP_FROM_COLUMN: Final = 60


@dataclass(frozen=True, slots=True)
class Span:
    """A place in the original text.

    Attributes:
        value: What stood there, without noise and quotes.
    """

    start: int
    end: int
    value: str


@dataclass(frozen=True, slots=True)
class Squeezed:
    """Text without noise, and the way back.

    Attributes:
        origin: Offset in the original of every character, and one more for the end.
    """

    text: str
    origin: tuple[int, ...] | None

    def back(self, start: int, end: int) -> tuple[int, int]:
        """Return the original's offsets."""
        if self.origin is None:
            return start, end
        return self.origin[start], self.origin[end - 1] + 1 if end > start else self.origin[start]


def squeeze(text: str, noise: re.Pattern[str] = _NOISE) -> Squeezed:
    """Leave noise out of ``text``."""
    if not noise.search(text):
        return Squeezed(text, None)
    kept: list[str] = []
    origin: list[int] = []
    last = 0
    for found in noise.finditer(text):
        kept.append(text[last : found.start()])
        origin.extend(range(last, found.start()))
        last = found.end()
    kept.append(text[last:])
    origin.extend(range(last, len(text) + 1))
    return Squeezed("".join(kept), tuple(origin))


def find_secrets(text: str) -> list[Span]:
    """Return where secrets stand, in order, not overlapping."""
    squeezed = squeeze(text)
    found = [
        Span(*squeezed.back(start, end), squeezed.text[start:end])
        for start, end in _merged(_all(squeezed.text))
        if end > start
    ]
    return [span for span in found if span.end > span.start]


def _all(text: str) -> Iterator[tuple[int, int]]:
    for block in words.PEM.finditer(text):
        if "CERTIFICATE" not in block[1] and "PUBLIC KEY" not in block[1]:
            yield block.span()
    for shape in words.SHAPES:
        for found in shape.finditer(text):
            yield found.span("value")
    for found in words.KEYWORD.finditer(text):
        if not words.NOT_A_KEYWORD.search(found["word"]) and not _closes_tag(text, found):
            yield from _values(text, found.end("word"))
    for found in words.BARE_KEY.finditer(text):
        if _announces(text, found):
            yield from _bare_key_values(text, found.end("word"))


def _closes_tag(text: str, found: re.Match[str]) -> bool:
    start = found.start("word")
    return text[max(0, start - 2) : start] == "</"


def _announces(text: str, found: re.Match[str]) -> bool:
    before = (found["before"] or "").strip().lower()
    after = _BARE.match(text, found.end() + 1)
    return not (
        before in words.NOT_BEFORE_KEY
        or (after and after[0].lower().strip(".,:;)") in words.NOT_AFTER_KEY)
        or _closes_tag(text, found)
    )


def _bare_key_values(text: str, position: int) -> Iterator[tuple[int, int]]:
    """Yield what follows ``key``, unless it is a small number or a member of a JSON object."""
    in_json = text[position : position + 1] == '"'
    for start, end in _values(text, position):
        value = text[start:end]
        if in_json and not (len(value) >= _JSON_KEY_CHARS and any(map(str.isdigit, value))):
            continue
        if not (value.isdigit() and len(value) <= _KEY_NUMBER_DIGITS):
            yield start, end


def _values(text: str, position: int) -> Iterator[tuple[int, int]]:
    """Yield what follows a word that announces a secret: at most one value, and where it wraps."""
    closing = _CLOSING.match(text, position)
    position = closing.end() if closing else position
    for _ in range(_MODIFIERS_AT_MOST):
        separator = _SEPARATOR.match(text, position)
        start = separator.end() if separator else position
        mark = text[position:start].strip()
        quoted = _QUOTED.match(text, start)
        if quoted:
            yield _inside(quoted)
            return
        if "=" in mark:
            # Alone on its line (hostapd.conf): passphrases may hold blanks.
            found = (_REST if _begins_line(text, position) else _AFTER_EQUALS).match(text, start)
        elif ">" in mark:
            found = _IN_TAG.match(text, start)
        else:
            found = _BARE.match(text, start)
        if not found:
            return
        value = found[0].rstrip(",;)}]" if "=" not in mark else ",;")
        lowered = value.lower().strip(".:")
        more = _MORE.match(text, found.start() + len(value))
        if more and (
            lowered in words.MODIFIER or value.isdigit() or words.KEYWORD.fullmatch(value)
        ):
            position = found.start() + len(value)
            continue
        if not value or lowered in words.BENIGN or value[0] in "{[<|(" or not value.strip("*.-_:x"):
            return
        end = found.start() + len(value)
        yield found.start(), end
        if value.endswith("=") and (behind := _QUOTED.match(text, end)):
            yield _inside(behind)
            return
        yield from _wrapped(text, found.start(), end)
        return


def _begins_line(text: str, position: int) -> bool:
    line_start = text.rfind("\n", 0, position) + 1
    word = _FIRST_WORD.match(text, line_start)
    return word is not None and word.end() == position


def _inside(quoted: re.Match[str]) -> tuple[int, int]:
    return quoted.span(quoted.lastgroup or 0)


def _wrapped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the rest of a value that a terminal's width cut."""
    line_start = text.rfind("\n", 0, start) + 1
    while True:
        edge = _END_OF_LINE.match(text, end)
        if not edge:
            return
        lone = _LONE.match(text, edge.end())
        if not lone or lone["value"].lower() in _NOT_LONE:
            return
        if end - line_start < _WRAP_FROM_COLUMN and lone["value"].isalpha():
            return
        yield lone.span("value")
        line_start, end = edge.end(), lone.end("value")


def _merged(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out
