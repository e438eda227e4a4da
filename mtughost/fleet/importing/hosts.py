"""Rows to hosts: which column is which field, the same checks as for the inventory itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from mtughost.fleet.importing.rows import Row, Rows
from mtughost.fleet.problems import some, suggest
from mtughost.fleet.schema import DataEntry, HostEntry
from mtughost.fleet.text import check_name, show
from mtughost.model.errors import InventoryError, UsageError

_LISTS = frozenset({"groups", "wan", "contacts"})
_HOST = ("hostname", "port", "username", "platform", "groups")
_DATA = tuple(name for name in DataEntry.model_fields if name not in {"services", "lab"})
#: Everything that a column can be. Services belong into a group: a cell cannot hold one.
FIELDS = ("name", *_HOST, *_DATA)
#: Columns that nobody should put into a table that goes round by mail.
_SECRETS = frozenset(
    {"password", "secret", "enable_secret", "ansible_password", "ansible_ssh_pass"}
)

Value = str | int | bool | list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMap:
    """What the user says about a source.

    Attributes:
        columns: Our field -> column.
        constants: Our field -> a value for every row that has none.
        translations: Our field -> the source's word -> ours.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The hosts of a source.

    Attributes:
        hosts: Inventory name -> keys as they stand in hosts.yaml.
        problems: Rows that gave no host, and why.
        notes: What was left out, one readable line each.
    """

    hosts: Mapping[str, Mapping[str, object]]
    problems: tuple[InventoryError, ...]
    notes: tuple[str, ...]


def make_hosts(source: Rows, wanted: ColumnMap) -> Imported:
    """Turn rows into hosts.

    Raises:
        UsageError: the mapping names a field or a column that there is not, or no column gives
            the name.
    """
    columns = {**source.usual, **wanted.columns}
    _check_mapping(source, wanted, columns)
    translations = {
        name: {**source.translations.get(name, {}), **wanted.translations.get(name, {})}
        for name in {*source.translations, *wanted.translations}
    }
    hosts: dict[str, Mapping[str, object]] = {}
    lines: dict[str, int | None] = {}
    problems = list(source.problems)
    for row in source.rows:
        cells = _cells(row, columns, wanted.constants, translations)
        name = cells.pop("name", "")
        found = _row_problems(name, cells, lines)
        if not found:
            lines[name] = row.line
            hosts[name] = _entry(cells)
        problems += [
            InventoryError(reason, path=source.path, line=row.line, host=name, key=key)
            for key, reason in found
        ]
    return Imported(
        hosts=hosts, problems=tuple(problems), notes=(*source.notes, *_unused(source, columns))
    )


def _check_mapping(source: Rows, wanted: ColumnMap, columns: Mapping[str, str]) -> None:
    for name in (*wanted.columns, *wanted.constants, *wanted.translations):
        if name not in FIELDS:
            raise UsageError(
                f"there is no field {show(name)}",
                todo=suggest(name, FIELDS) + f"Fields: {', '.join(FIELDS)}",
            )
    for name, column in wanted.columns.items():
        if column not in source.columns:
            raise UsageError(
                f"{source.path} has no column {show(column)} for {name}",
                todo=suggest(column, source.columns) + f"Columns: {some(source.columns, 40)}",
            )
    if "name" not in columns:
        raise UsageError(
            f"no column of {source.path} gives the name of the device",
            todo=f"Say which, with --map name=COLUMN. Columns: {some(source.columns, 40)}",
        )


def _cells(
    row: Row,
    columns: Mapping[str, str],
    constants: Mapping[str, str],
    translations: Mapping[str, Mapping[str, str]],
) -> dict[str, str]:
    found = {name: row.cells.get(column, "") for name, column in columns.items()}
    told = {name: value for name, value in found.items() if value}
    for name, words in translations.items():
        if name in told:
            told[name] = words.get(told[name], told[name])
    return {**constants, **told}


def _row_problems(
    name: str, cells: Mapping[str, str], lines: Mapping[str, int | None]
) -> list[tuple[str, str]]:
    try:
        check_name(name)
    except ValueError as error:
        return [("name", str(error) if name else "is empty: expected the name of the device")]
    if name in lines:
        where = f" in line {lines[name]}" if lines[name] is not None else ""
        return [("name", f"{name} stands{where} already")]
    try:
        HostEntry.model_validate(_entry(cells))
    except ValidationError as error:
        return [
            (str(detail["loc"][-1 if len(detail["loc"]) < 3 else 1]), _reason(detail))  # noqa: PLR2004
            for detail in error.errors(include_url=False)
        ]
    return []


def _reason(detail: Mapping[str, object]) -> str:
    context = detail.get("ctx")
    if isinstance(context, dict) and "error" in context:
        return str(context["error"])
    if isinstance(context, dict) and "expected" in context:
        return f"expected {context['expected']}, got {show(detail['input'])}"
    return f"{detail['msg']}, got {show(detail['input'])}"


def _number(text: str) -> Value:
    return int(text) if text.isascii() and text.isdigit() else text


def _truth(text: str) -> Value:
    return {"true": True, "yes": True, "false": False, "no": False}.get(text.lower(), text)


_CONVERT: Mapping[str, Callable[[str], Value]] = {"port": _number, "use_agent": _truth}


def _value(name: str, text: str) -> Value:
    if name in _LISTS:
        return [part.strip() for part in text.replace(",", ";").split(";") if part.strip()]
    return _CONVERT[name](text) if name in _CONVERT else text


def _entry(cells: Mapping[str, str]) -> dict[str, object]:
    """Return the host's keys in the order in which people write them."""
    entry: dict[str, object] = {
        name: _value(name, cells[name]) for name in _HOST if cells.get(name)
    }
    data = {name: _value(name, cells[name]) for name in _DATA if cells.get(name)}
    return {**entry, "data": data} if data else entry


def _unused(source: Rows, columns: Mapping[str, str]) -> list[str]:
    left = [name for name in source.columns if name and name not in columns.values()]
    secret = [name for name in left if name.lower() in _SECRETS]
    notes = [
        f"{source.path}: the column {name} was not read: give a reference "
        "(env:NAME, keyring:SERVICE/USER, file:PATH) as password_ref or enable_ref instead"
        for name in secret
    ]
    others = [name for name in left if name not in secret]
    if others:
        notes.append(f"{source.path}: columns not used: {some(others, 40)}")
    return notes
