"""One way in and one way out for every signed document: plans, approvals, journal records.

Documents are canonical JSON in the manner of RFC 8785 (keys sorted, no white space, UTF-8), made
of objects, arrays, strings, integers, booleans and null. Fractions are refused: their text form
differs between writers, and nothing here needs them. A document is read only when its bytes are
exactly what this module would have written, so that one value has one digest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from mtughost.model.errors import MtughostError, PlanRefusedError

T = TypeVar("T")

#: A document larger than this is refused before it is parsed (a plan for 200 devices has 2 MiB).
MAX_DOCUMENT_BYTES = 32 * 1024 * 1024


def _refuse_fraction(text: str) -> NoReturn:
    message = f"the number {text} is not an integer"
    raise ValueError(message)


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            message = f"the key {key!r} appears twice"
            raise ValueError(message)
        result[key] = value
    return result


def _check(value: object, where: str) -> None:
    """Refuse what has no single canonical form."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                message = f"{where}: the key {key!r} is not ASCII text"
                raise ValueError(message)
            _check(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{where}[{index}]")
    elif value is not None and not isinstance(value, str | int):
        message = f"{where}: {type(value).__name__} has no place in a document"
        raise ValueError(message)


def to_plain(value: object) -> Any:
    """Return a dataclass as objects, lists and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value


def canonical_bytes(value: object) -> bytes:
    """Return the one byte form of a value.

    Raises:
        ValueError: the value holds a fraction, a key that is not ASCII, or a lone surrogate.
    """
    plain = to_plain(value)
    _check(plain, "document")
    text = json.dumps(
        plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return text.encode("utf-8")


def digest(value: object) -> str:
    """Return ``sha256:`` and the hex digest of the canonical form."""
    return digest_bytes(canonical_bytes(value))


def digest_bytes(data: bytes) -> str:
    """Return ``sha256:`` and the hex digest of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def parse_plain(data: bytes) -> Any:
    """Read canonical JSON.

    Raises:
        ValueError: not UTF-8, not JSON, a duplicate key, NaN, a fraction, or not canonical.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        message = f"larger than {MAX_DOCUMENT_BYTES} bytes"
        raise ValueError(message)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object_without_duplicates,
            parse_float=_refuse_fraction,
            parse_constant=_refuse_fraction,
        )
    except RecursionError:
        message = "nested too deeply"
        raise ValueError(message) from None
    if canonical_bytes(value) != data:
        message = "the bytes are not in canonical form (key order, white space or escapes differ)"
        raise ValueError(message)
    return value


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def parse_document(
    data: bytes, cls: type[T], *, what: str, error: type[MtughostError] = PlanRefusedError
) -> T:
    """Read a document of one class; unknown and missing fields and wrong types are refused.

    Args:
        data: The bytes as stored.
        cls: A dataclass whose pydantic configuration forbids extra fields.
        what: How a person calls the document, for the message.
        error: What to raise.

    Raises:
        MtughostError: of the class ``error``, naming the field.
    """
    try:
        parse_plain(data)
        value: T = _adapter(cls).validate_json(data, strict=True)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise error(
            f"{what} is not valid: {where}: {first['msg']}", todo="Nothing was sent"
        ) from None
    except ValueError as invalid:
        raise error(f"{what} is not valid: {invalid}", todo="Nothing was sent") from None
    return value
