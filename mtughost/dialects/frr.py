"""FRRouting: routes from ``show ip route ... json``, recorded from FRRouting 8.4.

With several VRFs some releases print one object per VRF, one behind the other, and some one object
with the VRFs inside: both are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mtughost.dialects.rows import DialectRows, Row, RowTable

_MAX_NOTE_CHARS = 200
_MAIN_VRF = "default"


def read_routes(text: str) -> DialectRows:
    """Routes that are selected and installed: DESTINATION, VIA, INTERFACE, TABLE, METRIC."""
    made = RowTable()
    places = _places(text)
    try:
        found = [pair for table in _objects(text) for pair in _prefixes(table)]
    except (ValueError, RecursionError):
        made.leave(1, text[:_MAX_NOTE_CHARS])
        return made.done()
    for prefix, entries in found:
        line = places.get(prefix, 1)
        try:
            rows = [row for entry in entries for row in _rows(prefix, entry)]
        except (KeyError, TypeError, AttributeError):
            made.leave(line, prefix)
        else:
            made.add(line, *rows)
    return made.done()


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    at = 0
    while rest := text[at:].lstrip():
        at = len(text) - len(rest)
        item, at = decoder.raw_decode(text, at)
        if not isinstance(item, dict):
            raise ValueError("not an object")  # noqa: TRY004 - what the caller reads as unreadable
        yield item


def _prefixes(table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _prefixes(value)
        else:
            yield key, value


def _places(text: str) -> dict[str, int]:
    """Return the first line that names each prefix."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        head, colon, _ = line.strip().partition(":[")
        if colon and head.startswith('"'):
            found.setdefault(head.strip('"'), number)
    return found


def _rows(prefix: str, entry: dict[str, Any]) -> Iterator[Row]:
    if not (entry.get("selected") and entry.get("installed")):
        return
    common: Row = {"DESTINATION": prefix}
    if (vrf := str(entry.get("vrfName") or _MAIN_VRF)) != _MAIN_VRF:
        common["TABLE"] = vrf
    if entry.get("metric"):
        common["METRIC"] = str(entry["metric"])
    for hop in entry["nexthops"]:
        out = hop.get("interfaceName")
        if out and hop.get("fib", hop.get("active")):
            row = {**common, "INTERFACE": str(out)}
            if via := hop.get("ip"):
                row["VIA"] = str(via)
            yield row
