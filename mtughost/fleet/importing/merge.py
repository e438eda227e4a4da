"""Hosts into the text of a hosts.yaml: new ones are added, known ones take the new values.

What the import does not know stays as it is, comments too (ruamel.yaml's round trip, the library
that Nornir reads inventories with). Texts that YAML 1.1 and 1.2 read differently are quoted.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, MutableMapping
from functools import lru_cache

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from mtughost.model.errors import InventoryError
from mtughost.model.yaml_lines import read_yaml

_WIDE = 4096


def merge_hosts(
    text: str, hosts: Mapping[str, Mapping[str, object]], *, path: str, prune: bool = False
) -> str:
    """Return hosts.yaml with the hosts in it.

    Args:
        text: What the file holds now; empty for a new one.
        hosts: Inventory name -> keys.
        path: The file, for messages.
        prune: Drop the hosts that ``hosts`` does not name.

    Raises:
        InventoryError: the present text cannot be read.
    """
    head, body = _split_head(text)
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = _WIDE
    try:
        document = yaml.load(body)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = head.count("\n") + mark.line + 1 if mark is not None else None
        raise InventoryError("is not YAML", path=path, line=line) from None
    if document is None:
        document = CommentedMap()
    if not isinstance(document, CommentedMap):
        raise InventoryError("expected a mapping of names and their values", path=path)
    for name in [name for name in document if prune and name not in hosts]:
        del document[name]
    for name, entry in hosts.items():
        if document.get(name) is None:
            document[name] = CommentedMap()
        _update(document[name], entry)
    out = io.StringIO()
    yaml.dump(document, out)
    return head + out.getvalue()


def _split_head(text: str) -> tuple[str, str]:
    """Cut off the comments before ``---``, which a round trip would lose."""
    head, marker, body = text.partition("---\n")
    if marker and all(not line.strip() or line.startswith("#") for line in head.splitlines()):
        return head + marker, body
    return "", text


def _update(target: MutableMapping[str, object], entry: Mapping[str, object]) -> None:
    for key, value in entry.items():
        if isinstance(value, Mapping):
            inner = target.get(key)
            if not isinstance(inner, CommentedMap):
                inner = target[key] = CommentedMap()
            _update(inner, value)
        elif target.get(key) != value:
            target[key] = (
                [_scalar(item) for item in value] if isinstance(value, list) else (_scalar(value))
            )


def _scalar(value: object) -> object:
    if isinstance(value, str) and not _is_plain(value):
        return DoubleQuotedScalarString(value)
    return value


@lru_cache(maxsize=4096)
def _is_plain(text: str) -> bool:
    """Say whether our own strict reader takes the unquoted text as this very text."""
    document = read_yaml(f"key: {text}\n")
    return not document.problems and document.value == {"key": text}
