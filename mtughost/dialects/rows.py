"""The shape in which a dialect hands rows on: the same as a parser's."""

from __future__ import annotations

from dataclasses import dataclass

from mtughost.model.basis import Unknown
from mtughost.model.session import Answer

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


def incomplete(answer: Answer | None, name: str, todo: str = "") -> Unknown:
    """Say why an answer is no fact: the device gave no whole one, or was not asked."""
    why = answer.error or answer.status if answer is not None else "it was not asked"
    return Unknown(f"'{answer.line if answer else name}' gave no complete answer: {why}", todo)
