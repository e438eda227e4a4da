"""A CSV file: comma, semicolon or tab (what spreadsheets export), one device a row."""

from __future__ import annotations

import csv
import io
from collections import Counter

from mtughost.fleet.importing.hosts import FIELDS
from mtughost.fleet.importing.rows import Row, Rows
from mtughost.fleet.text import show
from mtughost.model.errors import InventoryError

DELIMITERS = (",", ";", "\t")


def read_csv(text: str, path: str) -> Rows:
    """Read a CSV file with a header line. Columns that bear the name of a field are that field.

    Args:
        text: The whole file.
        path: Its name, for messages.

    Raises:
        InventoryError: there is no header, or a column stands in it twice.
    """
    lines = io.StringIO(text.removeprefix("\ufeff"), newline="")
    header_line = lines.readline()
    delimiter = max(DELIMITERS, key=header_line.count)
    lines.seek(0)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns = _header(reader, path)
    rows: list[Row] = []
    problems: list[InventoryError] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            # Where one quote is missing, everything behind it would be misread: stop here.
            problems.append(InventoryError(f"is not CSV: {error}", path=path, line=line))
            break
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            reason = f"expected {len(columns)} cells as in the header, got {len(cells)}"
            problems.append(InventoryError(reason, path=path, line=line))
            continue
        named = zip(columns, (cell.strip() for cell in cells), strict=True)
        rows.append(Row(line=line, cells=dict(named)))
    return Rows(
        path=path,
        rows=tuple(rows),
        columns=columns,
        usual={name: name for name in columns if name in FIELDS},
        problems=tuple(problems),
    )


def _header(reader: object, path: str) -> tuple[str, ...]:
    try:
        cells = next(reader, None)  # type: ignore[call-overload]  # csv's reader has no public type
    except csv.Error as error:
        raise InventoryError(f"is not CSV: {error}", path=path, line=1) from None
    columns = tuple(cell.strip() for cell in cells or ())
    if not any(columns):
        raise InventoryError(
            "has no header", path=path, line=1, todo="The first line names the columns"
        )
    twice = [name for name, times in Counter(columns).items() if times > 1]
    if twice:
        raise InventoryError(
            f"the column {show(twice[0])} stands in the header twice", path=path, line=1
        )
    return columns
