"""nft's JSON expressions as a person would write them; used where no text listing is at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_MAX_CHARS = 300


def expression_text(item: Any) -> str:
    """Return one expression as text, cut to a readable length."""
    text = _expression(item)
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 3] + "..."


def statement_text(item: Any) -> str:
    """Return one statement as text, cut to a readable length."""
    text = _statement(item)
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 3] + "..."


def _statement(item: Any) -> str:
    if not isinstance(item, dict) or len(item) != 1:
        return json.dumps(item)
    ((kind, body),) = item.items()
    if body is None:
        return str(kind)
    writer = _STATEMENTS.get(kind)
    if writer is None or not isinstance(body, dict):
        return f"{kind} {json.dumps(body)}"
    return writer(body)


def _match(body: dict[str, Any]) -> str:
    op = "" if body.get("op") in {"==", "in"} else f"{body.get('op')} "
    return f"{_expression(body.get('left'))} {op}{_expression(body.get('right'))}"


_STATEMENTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "match": _match,
    "mangle": lambda b: f"{_expression(b.get('key'))} set {_expression(b.get('value'))}",
    "counter": lambda b: f"counter packets {b.get('packets')} bytes {b.get('bytes')}",
    "jump": lambda b: f"jump {b.get('target')}",
    "goto": lambda b: f"goto {b.get('target')}",
    "vmap": lambda b: f"{_expression(b.get('key'))} vmap {_expression(b.get('data'))}",
    "limit": lambda b: (
        f"limit rate {'over ' if b.get('inv') else ''}{b.get('rate')}/{b.get('per')}"
    ),
    "quota": lambda b: f"quota {'over ' if b.get('inv') else ''}{b.get('val')} {b.get('val_unit')}",
    "ct count": lambda b: f"ct count {'over ' if b.get('inv') else ''}{b.get('val')}",
    "xt": lambda b: f"xt {b.get('type')} {b.get('name')}",
}


def _expression(item: Any) -> str:
    if isinstance(item, list):
        return ",".join(_expression(part) for part in item)
    if not isinstance(item, dict) or len(item) != 1:
        return item if isinstance(item, str) else json.dumps(item)
    ((kind, body),) = item.items()
    if isinstance(body, dict):
        return _named(kind, body)
    if isinstance(body, list):
        return _joined(kind, body)
    return json.dumps(item)


def _named(kind: str, body: dict[str, Any]) -> str:
    writer = _NAMED.get(kind)
    return writer(kind, body) if writer else json.dumps({kind: body})


def _words(kind: str, body: dict[str, Any], *keys: str) -> str:
    return " ".join(str(part) for part in (kind, *(body.get(key) for key in keys)) if part)


_NAMED: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "meta": lambda kind, body: _words(kind, body, "key"),
    "rt": lambda kind, body: _words(kind, body, "key"),
    "socket": lambda kind, body: _words(kind, body, "key"),
    "osf": lambda kind, body: _words(kind, body, "key"),
    "ct": lambda kind, body: _words(kind, body, "dir", "key"),
    "payload": lambda _, body: _words("", body, "protocol", "field") or json.dumps(body),
    "tcp option": lambda kind, body: _words(kind, body, "name", "field"),
    "ip option": lambda kind, body: _words(kind, body, "name", "field"),
    "exthdr": lambda kind, body: _words(kind, body, "name", "field"),
    "prefix": lambda _, body: f"{body.get('addr')}/{body.get('len')}",
    "elem": lambda _, body: _expression(body.get("val")),
    "fib": lambda _, body: f"fib {' . '.join(body.get('flags', []))} {body.get('result')}",
}


def _joined(kind: str, body: list[Any]) -> str:
    match kind:
        case "set":
            parts = [
                " : ".join((_expression(part[0]), _statement(part[1])))
                if isinstance(part, list) and len(part) == 2  # noqa: PLR2004 - key and verdict
                else _expression(part)
                for part in body
            ]
            return f"{{ {', '.join(parts)} }}"
        case "range":
            return "-".join(_expression(part) for part in body)
        case "concat":
            return " . ".join(_expression(part) for part in body)
        case "|":
            return "|".join(_expression(part) for part in body)
        case "&" | "^" | "<<" | ">>":
            return f" {kind} ".join(_expression(part) for part in body)
        case _:
            return json.dumps({kind: body})
