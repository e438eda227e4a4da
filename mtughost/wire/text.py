"""Device bytes to text: decoded without loss of position, line ends normalised."""

from __future__ import annotations

import re

_LINE_END = re.compile(r"\r+\n|\n\r|\r")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")


def to_text(raw: bytes) -> str:
    r"""Decode as UTF-8 with U+FFFD for what is not, and make every line end ``\n``.

    A lone carriage return becomes a line end too: a device that overwrites a line must not hide
    what stood there first.
    """
    text = raw.decode("utf-8", "replace")
    if "\r" not in text:
        return text
    usual = text.replace("\r\n", "\n")  # most devices have no other: an eighth of the regex's cost
    return _LINE_END.sub("\n", text) if "\r" in usual else usual


def unpainted(text: str) -> str:
    r"""Undo how a terminal draws a line anew: ``\r`` and the same again, possibly longer.

    Only what stands whole in what was drawn over it is left out, so that nothing can be hidden;
    every other lone carriage return becomes a line end.

    Args:
        text: Decoded, without escape codes, carriage returns still in place.
    """
    rows = re.sub(r"\r+\n|\n\r(?!\n)", "\n", text).split("\n")
    return "\n".join(_last_drawn(row) if "\r" in row else row for row in rows)


def _last_drawn(row: str) -> str:
    kept: list[str] = []
    for part in row.split("\r"):
        while kept and kept[-1].strip() in part:
            kept.pop()
        kept.append(part)
    return "\n".join(kept)


def excerpt(text: str, limit: int = 160) -> str:
    """Return the end of a device's words as one inert line for an error message."""
    line = _UNPRINTABLE.sub(" ", text).strip()
    return line if len(line) <= limit else "…" + line[-limit:]
