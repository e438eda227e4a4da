r"""Device text made inert, one way for every sink.

Whatever a device, a capture, an inventory or a far end says may hold terminal controls (a clipboard
write by OSC 52, hidden text, a ``\r`` that paints ``mtu 9000`` over ``mtu 1500``), bidirectional
overrides, markup or formulas. :func:`inert` turns every character that could
act, hide or reorder into a visible escape such as ``\x1b`` or ``\u202e``; the functions for the
sinks only add what their syntax needs. Nothing is removed silently.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

#: Longest text that a document shows of one value; the run store keeps the whole.
MAX_SHOWN_CHARS: Final = 4000

_SHORT_NAMES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}

#: Printable by category, yet drawn as nothing: fillers, selectors and joiners (Unicode property
#: Default_Ignorable_Code_Point, DerivedCoreProperties.txt) and the empty Braille pattern.
_INVISIBLE: Final = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
    | set(range(0x180B, 0x1810))
    | set(range(0xFE00, 0xFE10))
    | set(range(0xE0100, 0xE01F0))
)

_TWO_DIGITS: Final = 0x100
_FOUR_DIGITS: Final = 0x10000

#: More stacked marks than any living script needs; beyond it they paint over other lines.
_MAX_STACKED_MARKS: Final = 3


def inert(text: str, *, lines: bool = False, max_chars: int | None = MAX_SHOWN_CHARS) -> str:
    r"""Return ``text`` with every character that acts, hides or reorders written as an escape.

    Args:
        text: Anything, also lone surrogates and NUL.
        lines: Keep ``\n`` and ``\t``. Without it they are shown as ``\n`` and ``\t`` too, so that
            one value stays one line and cannot forge a second one.
        max_chars: Longest input that is shown; the rest is counted, never dropped silently.

    Returns:
        Text of printable characters only (and ``\n``, ``\t`` with ``lines``). It can always be
        encoded as UTF-8.
    """
    rest = 0
    if max_chars is not None and len(text) > max_chars:
        rest = len(text) - max_chars
        text = text[:max_chars]
    shown = text if _plain(text) else _escape(text, keep="\n\t" if lines else "")
    return f"{shown}... ({rest} more characters)" if rest else shown


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _escape(text: str, *, keep: str) -> str:
    out: list[str] = []
    stacked = 0
    for char in text:
        stacked = stacked + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        shown = char.isprintable() and ord(char) not in _INVISIBLE
        if char in keep or (shown and stacked <= _MAX_STACKED_MARKS):
            out.append(char)
        else:
            out.append(_visible(char))
    return "".join(out)


def _visible(char: str) -> str:
    if char in _SHORT_NAMES:
        return _SHORT_NAMES[char]
    code = ord(char)
    if code < _TWO_DIGITS:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _FOUR_DIGITS else f"\\U{code:08x}"


def encodable(text: str) -> str:
    r"""Return ``text`` with lone surrogates written as ``\udcff``, so that UTF-8 can carry it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def ascii_only(text: str) -> str:
    r"""Return inert ``text`` for a terminal without UTF-8: other letters as ``\xe9``."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def for_terminal(text: str, *, lines: bool = False) -> str:
    """Return ``text`` for a terminal. Callers must not parse it as rich markup (use ``Text``)."""
    return inert(text, lines=lines)


_HTML: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "`": "&#96;"}
)


def for_html(text: str, *, lines: bool = True) -> str:
    """Return ``text`` for HTML or SVG content and quoted attribute values (never for URLs)."""
    return inert(text, lines=lines).translate(_HTML)


#: Characters that make a spreadsheet read a cell as a formula (OWASP "CSV injection"), with the
#: full-width forms that some locales accept.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "|", "%")


def for_csv(value: str | float | None) -> str:
    """Return one CSV cell, quoted (RFC 4180), that no spreadsheet evaluates.

    Text that could start a formula gets a leading apostrophe. Numbers are written bare, ``None``
    is an empty cell.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    shown = inert(value)
    if shown.lstrip(" '\"").startswith(_FORMULA_STARTS) or value[:1] in {"\t", "\r", "\n"}:
        shown = "'" + shown
    return '"' + shown.replace('"', '""') + '"'


def csv_line(cells: Iterable[str | float | None]) -> str:
    r"""Return one CSV line with its line end (``\r\n``, RFC 4180)."""
    return ",".join(for_csv(cell) for cell in cells) + "\r\n"


_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>|~#!$^=])|(&)|(://|(?<=\w)@|(?<=www)\.)")
_MARKDOWN_START: Final = re.compile(r"^(\s*)([-+:]|\d{1,9}(?=[.)]))")


def for_markdown(text: str) -> str:
    """Return ``text`` as one line of Markdown that renders as exactly that text.

    Markup, raw HTML, autolinks, mentions, list and heading marks are all made inert.
    """
    shown = inert(text).strip(" ")
    shown = _MARKDOWN.sub(_markdown_escape, shown)
    return _MARKDOWN_START.sub(_markdown_start, shown)


def _markdown_escape(match: re.Match[str]) -> str:
    if match.group(1):
        return "\\" + match.group(1)
    if match.group(2):
        return "&amp;"
    return {"://": "&#58;//", "@": "&#64;", ".": "&#46;"}[match.group(3)]


def _markdown_start(match: re.Match[str]) -> str:
    mark = match.group(2)
    return match.group(1) + (
        f"&#{ord(mark)};" if not mark.isdigit() else f"&#{ord(mark[0])};{mark[1:]}"
    )


def markdown_code(text: str) -> str:
    """Return ``text`` as a Markdown code span; its fence is longer than any run of backticks."""
    shown = inert(text)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or shown.startswith(" ") or not shown else ""
    return f"{fence}{pad}{shown or ' '}{pad}{fence}"
