"""Collects everything that is wrong with an inventory, to be told in one go."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mtughost.fleet.text import show
from mtughost.model.errors import InventoryError
from mtughost.model.yaml_lines import SECRET_KEYS, KeyPath, LineMap, YamlDocument, dotted

#: More would hide the first, and one mistake in a group repeats for every host.
MAX_TOLD = 100

#: Place of defaults.yaml among the files; hosts and groups come before it.
DEFAULTS_ORDER = 2

_EXPECTED = {
    "string_type": "expected text",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "list_type": "expected a list",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping (lines of key: value)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands: a file, and a host or group in it.

    Attributes:
        path: The file as the user would name it.
        order: Files are told in this order.
        lines: Line of each key path in it.
        prefix: Key path of the host or group.
        owner: ``s001-ap1``, ``group retail`` or ``""`` for the defaults.
    """

    path: str
    order: int
    lines: LineMap
    prefix: KeyPath = ()
    owner: str = ""

    def line(self, key: Sequence[str | int] = ()) -> int:
        """Return the line of ``key`` below this place."""
        return self.lines.line((*self.prefix, *key))


@dataclass(slots=True)
class Problems:
    """The list. Two problems of one key are told once, the first one wins."""

    _errors: list[tuple[tuple[int, int], InventoryError]] = field(default_factory=list)
    _told: set[tuple[str, KeyPath]] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self._errors)

    def add(self, place: Place, key: KeyPath, reason: str, todo: str = "") -> None:
        """Note that ``key`` at ``place`` is wrong."""
        full = (*place.prefix, *key)
        if (place.path, full) in self._told:
            return
        self._told.add((place.path, full))
        line = place.line(key)
        error = InventoryError(
            reason, path=place.path, line=line, host=place.owner, key=dotted(key), todo=todo
        )
        self._errors.append(((place.order, line), error))

    def add_yaml(self, place: Place, document: YamlDocument) -> None:
        """Note what the YAML reader found; hosts and groups are named where they are known."""
        for problem in document.problems:
            self._told.add((place.path, problem.path))
            owner, key = "", problem.path
            if place.order < DEFAULTS_ORDER and key:
                owner, key = place.owner + dotted(key[:1]), key[1:]
            error = InventoryError(
                problem.reason, path=place.path, line=problem.line, host=owner, key=dotted(key)
            )
            self._errors.append(((place.order, problem.line), error))

    def add_schema(self, place: Place, error: ValidationError, model: type[BaseModel]) -> None:
        """Note what pydantic found, in words of ours."""
        for detail in error.errors(include_url=False):
            self.add(place, detail["loc"], *_explain(detail, detail["loc"], model))

    def raise_all(self) -> None:
        """Raise one error that lists all of them in the order of the files.

        Raises:
            InventoryError: there was at least one problem.
        """
        if not self._errors:
            return
        ordered = [error for _, error in sorted(self._errors, key=lambda item: item[0])]
        first, others = ordered[0], ordered[1:MAX_TOLD]
        if len(ordered) > MAX_TOLD:
            others.append(InventoryError(f"and {len(ordered) - MAX_TOLD} more problems"))
        first.others = tuple(others)
        raise first


def _explain(detail: ErrorDetails, key: KeyPath, model: type[BaseModel]) -> tuple[str, str]:
    kind = detail["type"]
    got = "" if key and key[-1] in SECRET_KEYS else f", got {show(detail['input'])}"
    if kind == "extra_forbidden":
        known = _known_keys(model, tuple(0 if isinstance(k, int) else k for k in key[:-1]))
        return "unknown key", suggest(str(key[-1]), known) + f"Known keys: {', '.join(known)}"
    if kind == "missing":
        return "is missing", ""
    if kind == "value_error":
        return str(detail["ctx"]["error"]), ""
    if kind == "literal_error":
        return f"expected {detail['ctx']['expected']}{got}", ""
    if kind in _EXPECTED:
        quote = kind == "string_type" and isinstance(detail["input"], int | float)
        return _EXPECTED[kind] + got, "Quote it if it is meant as text" if quote else ""
    return detail["msg"], ""


@lru_cache(maxsize=256)
def _known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys that are allowed at ``path``, by walking the model's own schema."""
    schema = model.model_json_schema()
    here: object = schema
    for step in (*path, None):
        here = _object_schema(here, schema)
        if step is None or not isinstance(here, dict):
            break
        properties = here.get("properties", {})
        here = properties.get(step, here.get("additionalProperties", {}))
    return sorted(here.get("properties", {})) if isinstance(here, dict) else []


def _object_schema(node: object, root: dict[str, object]) -> object:
    """Follow references, optional branches and list items down to the object's schema."""
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = str(node["$ref"]).rsplit("/", 1)[-1]
        definitions = root["$defs"]
        return _object_schema(definitions[name], root) if isinstance(definitions, dict) else node
    if "anyOf" in node:
        return _object_schema(next(b for b in node["anyOf"] if b.get("type") != "null"), root)
    if "items" in node:
        return {"properties": {}, "additionalProperties": node["items"]}
    return node


def suggest(word: str, known: Collection[str]) -> str:
    """Return ``Did you mean X? `` or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]}? " if close else ""


def some(names: Iterable[str], limit: int = 12) -> str:
    """List names for a message, cut to ``limit``."""
    ordered = list(names)
    more = len(ordered) - limit
    return ", ".join(ordered[:limit]) + (f" and {more} more" if more > 0 else "") or "none"
