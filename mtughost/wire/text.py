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
    return _LINE_END.sub("\n", text) if "\r" in text else text


def excerpt(text: str, limit: int = 160) -> str:
    """Return the end of a device's words as one inert line for an error message."""
    line = _UNPRINTABLE.sub(" ", text).strip()
    return line if len(line) <= limit else "…" + line[-limit:]
