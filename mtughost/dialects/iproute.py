"""JSON of iproute2 (``ip -j link|address|route``) to the fixed columns of each kind of fact."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from mtughost.dialects.rows import DialectRows, Row

_FAMILIES = {"inet": "ipv4", "inet6": "ipv6"}
#: The other end of these is no interface below but a peer.
_PEERED = frozenset({"veth", "netkit"})
_MAX_NOTE_CHARS = 200

_Reader = Callable[[dict[str, Any]], list[Row]]


def read_links(text: str) -> DialectRows:
    """``ip -d -j link show``: NAME, MTU, STATE, FLAGS, KIND, LINK_TYPE, PARENT, MASTER, MAC."""
    return _read(text, _link)


def read_addresses(text: str) -> DialectRows:
    """``ip -j address show``: INTERFACE, ADDRESS, PREFIX_LEN, FAMILY."""
    return _read(text, _addresses)


def read_routes(text: str) -> DialectRows:
    """``ip -j route show``: the route columns. The JSON of 6.1 leaves out "mtu lock"."""
    return _read(text, _routes)


def _read(text: str, reader: _Reader) -> DialectRows:
    """Read a JSON list element by element, so that each row knows its line."""
    rows: list[Row] = []
    lines: list[int] = []
    unplaced: list[tuple[int, str]] = []
    for line, item, raw in _elements(text):
        try:
            found = reader(item) if isinstance(item, dict) else None
        except (KeyError, TypeError, ValueError, AttributeError):
            found = None
        if found is None:
            unplaced.append((line, raw[:_MAX_NOTE_CHARS]))
            continue
        rows += found
        lines += [line] * len(found)
    return DialectRows(rows=tuple(rows), lines=tuple(lines), unplaced=tuple(unplaced))


def _elements(text: str) -> Iterator[tuple[int, object, str]]:
    decoder = json.JSONDecoder()
    start = len(text) - len(text.lstrip())
    if not text.strip():
        # "ip -j" prints nothing at all where there is nothing to show (iproute2 before 5.1).
        return
    if text[start] != "[":
        yield 1, None, text
        return
    at = start + 1
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at >= len(text):
            yield text.count("\n") + 1, None, "the list has no end"
            return
        if text[at] == "]":
            if rest := text[at + 1 :].strip():
                yield text.count("\n", 0, at) + 1, None, rest
            return
        line = text.count("\n", 0, at) + 1
        try:
            item, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            yield line, None, text[at:]
            return
        # iproute2 prints {} for what a filter left out.
        if item != {}:
            yield line, item, text[at:end]
        at = end


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, bool) else str(value)


def _row(**columns: object) -> Row:
    return {name: _text(value) for name, value in columns.items() if _text(value)}


def _link(item: dict[str, Any]) -> list[Row]:
    info = item.get("linkinfo") or {}
    kind = info.get("info_kind")
    parent = "" if kind in _PEERED else item.get("link")
    return [
        _row(
            NAME=item["ifname"],
            MTU=item.get("mtu"),
            STATE=item.get("operstate"),
            FLAGS=",".join(item.get("flags") or []),
            KIND=kind,
            LINK_TYPE=item.get("link_type"),
            PARENT=parent,
            MASTER=item.get("master"),
            MAC=item.get("address"),
        )
    ]


def _addresses(item: dict[str, Any]) -> list[Row]:
    return [
        _row(
            INTERFACE=item["ifname"],
            ADDRESS=address["local"],
            PREFIX_LEN=address["prefixlen"],
            FAMILY=_FAMILIES[address["family"]],
        )
        for address in item.get("addr_info") or []
        if address.get("family") in _FAMILIES and "local" in address
    ]


def _routes(item: dict[str, Any]) -> list[Row]:
    metrics: dict[str, Any] = {}
    for entry in item.get("metrics") or []:
        metrics |= entry
    common = {
        "TYPE": item.get("type"),
        "DESTINATION": item["dst"],
        "TABLE": item.get("table"),
        "METRIC": item.get("metric"),
        "MTU": metrics.get("mtu"),
        "ADVMSS": metrics.get("advmss"),
    }
    hops = item.get("nexthops") or [item]
    return [_row(**common, INTERFACE=hop.get("dev"), VIA=_gateway(hop)) for hop in hops]


def _gateway(hop: dict[str, Any]) -> object:
    via = hop.get("via")
    return via.get("host") if isinstance(via, dict) else hop.get("gateway")
