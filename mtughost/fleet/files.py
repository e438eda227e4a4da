"""Reads the three files of a Nornir SimpleInventory into checked entries with their places."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from mtughost.fleet.problems import DEFAULTS_ORDER, Place, Problems
from mtughost.fleet.schema import DefaultsEntry, HostEntry
from mtughost.fleet.text import check_name
from mtughost.model.errors import InventoryError
from mtughost.model.yaml_lines import dotted, read_yaml

MAX_FILE_BYTES = 64 * 1024 * 1024
FILES = ("hosts.yaml", "groups.yaml", "defaults.yaml")

EntryT = TypeVar("EntryT", bound=DefaultsEntry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The entries of all three files. An entry with a schema problem is ``None``.

    Attributes:
        hosts: By name, in the order of the file.
        digest: ``sha256:...`` over names and bytes of the files.
    """

    hosts: Mapping[str, tuple[HostEntry | None, Place]]
    groups: Mapping[str, tuple[HostEntry | None, Place]]
    defaults: tuple[DefaultsEntry | None, Place]
    digest: str


def read_files(directory: Path, problems: Problems) -> Files:
    """Read and check hosts.yaml, groups.yaml and defaults.yaml; only the first must exist.

    Raises:
        InventoryError: a file that cannot be read at all. Everything else goes to ``problems``.
    """
    digest = hashlib.sha256()
    documents: list[tuple[object, Place]] = []
    for order, name in enumerate(FILES):
        path = directory / name
        data = _read_bytes(path, required=order == 0)
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
        documents.append(_read_document(data, path, order, problems))
    hosts = _entries(*documents[0], owner="", problems=problems)
    if not hosts and not problems:
        raise InventoryError(
            "no host is listed",
            path=documents[0][1].path,
            line=1,
            todo="Expected one entry for each device, NAME: {hostname: ..., data: {...}}",
        )
    value, place = documents[2]
    defaults = _check(DefaultsEntry, {} if value is None else value, place, problems)
    return Files(
        hosts=hosts,
        groups=_entries(*documents[1], owner="group ", problems=problems),
        defaults=(defaults, place),
        digest=f"sha256:{digest.hexdigest()}",
    )


def _read_bytes(path: Path, *, required: bool) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InventoryError("is not a regular file", path=str(path))
        if status.st_size > MAX_FILE_BYTES:
            raise InventoryError(f"is larger than {MAX_FILE_BYTES} bytes", path=str(path))
        return path.read_bytes()
    except FileNotFoundError:
        if not required:
            return b""
        raise InventoryError(
            "the file does not exist",
            path=str(path),
            todo="Give the folder that holds hosts.yaml with --inventory",
        ) from None
    except OSError as error:
        raise InventoryError(f"cannot be read: {error.strerror}", path=str(path)) from error


def _read_document(data: bytes, path: Path, order: int, problems: Problems) -> tuple[object, Place]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InventoryError("expected UTF-8 text", path=str(path), line=line) from None
    document = read_yaml(text)
    owner = "group " if order == 1 else ""
    place = Place(path=str(path), order=order, lines=document.lines)
    problems.add_yaml(replace(place, owner=owner), document)
    if document.value is not None and not isinstance(document.value, dict):
        expected = "one value for each key" if order == DEFAULTS_ORDER else "names and their values"
        problems.add(place, (), f"expected a mapping of {expected}")
        return None, place
    return document.value, place


def _entries(
    value: object, place: Place, *, owner: str, problems: Problems
) -> dict[str, tuple[HostEntry | None, Place]]:
    found: dict[str, tuple[HostEntry | None, Place]] = {}
    lower: dict[str, str] = {}
    for name, raw in value.items() if isinstance(value, dict) else ():
        here = replace(place, prefix=(name,), owner=owner + dotted((name,)))
        try:
            check_name(name)
        except ValueError as error:
            problems.add(
                replace(here, owner=owner.strip()), (), str(error)
            )  # quotes the name itself
            continue
        if (twin := lower.setdefault(name.lower(), name)) != name:
            # known_hosts and file names are compared without case.
            problems.add(here, (), f"differs only in case from {twin}")
        found[name] = (_check(HostEntry, {} if raw is None else raw, here, problems), here)
    return found


def _check(model: type[EntryT], value: object, place: Place, problems: Problems) -> EntryT | None:
    try:
        entry = model.model_validate(value)
    except ValidationError as error:
        problems.add_schema(place, error, model)
        return None
    return entry
