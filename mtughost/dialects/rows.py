"""The shape in which a dialect hands rows on: the same as a parser's."""

from __future__ import annotations

from dataclasses import dataclass

#: Column name to value; missing values are left out.
Row = dict[str, "str | list[str]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectRows:
    """Rows of one answer.

    Attributes:
        rows: One dict per record.
        lines: For each row the line, from 1, where it begins.
        unplaced: What could not be read, as (line, text).
    """

    rows: tuple[Row, ...]
    lines: tuple[int, ...]
    unplaced: tuple[tuple[int, str], ...] = ()
