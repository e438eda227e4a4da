r"""What stood on a terminal's screen, from the bytes that came over its line. Pure.

People paste logs of their terminal programs: with what a pager printed and took back, with colours,
with lines that a command line drew anew. Every line of text is replayed as a terminal would have
shown it.
"""

from __future__ import annotations

import re

#: CSI and OSC sequences (ECMA-48), and two-byte escapes.
_ESCAPE = re.compile(
    r"\x1b(?:\[([0-9;?]*)[ -/]*([@-~])|\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)|[ -/]*[0-~])"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
#: A device cannot make a line of ours longer than this by moving its cursor.
_WIDEST = 4096


def lines_shown(text: str) -> list[tuple[str, str]]:
    """Return each line as a terminal showed it, and with nothing but the control codes left out."""
    rows = text.replace("\r\r\n", "\n").replace("\r\n", "\n").split("\n")
    # A lone CR as line end: old Macs and some mail programs. A pager draws blanks between two.
    parts = text.split("\r")
    if len(rows) == 1 and len(parts) > 2 and all(part.strip() for part in parts[:-1]):  # noqa: PLR2004
        rows = parts
    return [(_row(row), _bare(row)) if _CONTROL.search(row) else (row, row) for row in rows]


def _bare(row: str) -> str:
    return _CONTROL.sub("", _ESCAPE.sub("", row))


def _row(row: str) -> str:
    cells: list[str] = []
    column = position = 0
    while position < len(row):
        char = row[position]
        escape = _ESCAPE.match(row, position) if char == "\x1b" else None
        if escape is not None:
            column = _moved(cells, column, escape[1] or "", escape[2] or "")
            position = escape.end()
            continue
        position += 1
        if char == "\r":
            column = 0
        elif char == "\b":
            column = max(0, column - 1)
        elif (char == "\t" or char >= " ") and char != "\x7f":
            column = _put(cells, column, char)
    return "".join(cells).rstrip(" ") if cells else ""


def _put(cells: list[str], column: int, char: str) -> int:
    if column >= len(cells):
        cells.extend(" " * (column - len(cells)))
        cells.append(char)
    else:
        cells[column] = char
    return column + 1


def _moved(cells: list[str], column: int, numbers: str, final: str) -> int:
    """Obey a CSI sequence that stays in the line; others change nothing."""
    number = int(numbers) if numbers.isdigit() and len(numbers) <= 4 else 0  # noqa: PLR2004
    if final == "K":
        if number == 0:
            del cells[column:]
        elif number == 1:
            cells[:column] = " " * min(column, len(cells))
        else:
            cells.clear()
    elif final == "P":
        del cells[column : column + max(1, number)]
    elif final == "D":
        return max(0, column - max(1, number))
    elif final == "C":
        return min(_WIDEST, column + max(1, number))
    elif final == "G":
        return min(_WIDEST, max(0, number - 1))
    elif final == "J" and number == 2:  # noqa: PLR2004 - the whole screen
        cells.clear()
    return column
