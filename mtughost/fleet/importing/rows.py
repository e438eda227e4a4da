"""What every source of an import gives: rows of named columns, each with its place.

Pure. A source knows nothing of our fields but which of its columns usually holds which
(:attr:`Rows.usual`); :mod:`mtughost.fleet.importing.hosts` turns rows into hosts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mtughost.model.errors import InventoryError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a source.

    Attributes:
        line: Its first line in the file, from 1; ``None`` where the source has no lines.
        cells: Text by column. An empty cell says nothing.
    """

    line: int | None
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A whole source, read.

    Attributes:
        path: The file as the user named it.
        rows: In the order of the source.
        columns: All columns, in the order of the source.
        usual: Our field -> the column that holds it when the user says nothing else.
        translations: Our field -> a source's word -> ours, for words that are fixed there.
        problems: What could not be read, each with file and line.
        notes: What was left out on purpose, one readable line each.
    """

    path: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    usual: Mapping[str, str] = field(default_factory=dict)
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problems: tuple[InventoryError, ...] = ()
    notes: tuple[str, ...] = ()
