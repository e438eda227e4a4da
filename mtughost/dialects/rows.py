"""The shape in which a dialect hands rows on: the same as a parser's."""

from __future__ import annotations

from dataclasses import dataclass, field

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


@dataclass(slots=True)
class RowTable:
    """Rows as a dialect comes upon them.

    Attributes:
        rows: The rows so far; the newest may still be filled in.
    """

    rows: list[Row] = field(default_factory=list)
    _lines: list[int] = field(default_factory=list)
    _unplaced: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, *rows: Row) -> None:
        """Take what ``line``, from 1, says."""
        self.rows += rows
        self._lines += [line] * len(rows)

    def leave(self, line: int, text: str) -> None:
        """Note a line that could not be placed."""
        self._unplaced.append((line, text))

    def done(self) -> DialectRows:
        """Return what was found."""
        return DialectRows(
            rows=tuple(self.rows), lines=tuple(self._lines), unplaced=tuple(self._unplaced)
        )


def incomplete(answer: Answer | None, name: str, todo: str = "") -> Unknown:
    """Say why an answer is no fact: the device gave no whole one, or was not asked."""
    why = answer.error or answer.status if answer is not None else "it was not asked"
    return Unknown(f"'{answer.line if answer else name}' gave no complete answer: {why}", todo)
