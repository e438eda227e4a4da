"""``nft -j list ruleset`` (libnftables-json(5)) to a listing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from mtughost.dialects.netfilter.listing import ListedRule, ListedTable, Listing, Verdicts
from mtughost.dialects.netfilter.nft_render import expression_text, statement_text
from mtughost.dialects.netfilter.steps import (
    Clamp,
    Cond,
    Count,
    Decide,
    Go,
    Note,
    Op,
    Opaque,
    Step,
    VerdictMap,
)
from mtughost.model.clamps import Verdict

_MAX_NOTE_CHARS = 200
_OPS: dict[str, Op] = {
    "==": "==",
    "!=": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "in": "any",
    "!": "none",
}
_MSS_KEY = {"tcp option": {"name": "maxseg", "field": "size"}}
#: Statements that neither choose packets nor touch the MSS nor end the packet's way.
_HARMLESS = frozenset(
    {"log", "notrack", "set", "map", "ct helper", "ct timeout", "ct expectation", "flow", "dup"}
    | {"last", "secmark", "comment"}
)
#: They let a packet through only now and then, or depend on what happened before.
_SOMETIMES = frozenset({"limit", "quota", "ct count", "connlimit", "meter", "numgen"})


def read_json(text: str) -> Listing | None:
    """Return the listing, or ``None`` where the text is not nft's JSON."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not isinstance(document.get("nftables"), list):
        return None
    listing = Listing()
    for item in document["nftables"]:
        if not isinstance(item, dict) or len(item) != 1:
            listing.notes.append(f"nft: {_short(item)}")
            continue
        ((kind, body),) = item.items()
        _object(listing, kind, body)
    # Rules may name sets that stand behind them.
    for table in listing.tables.values():
        for chain in table.chains.values():
            for rule in chain.rules:
                rule.steps = tuple(_resolved(step, table) for step in rule.steps)
    return listing


def _object(listing: Listing, kind: str, body: object) -> None:
    reader = _OBJECTS.get(kind)
    if reader is None or not isinstance(body, dict):
        listing.notes.append(f"nft: {kind} {_short(body)}")
        return
    try:
        reader(listing, body)
    except (KeyError, TypeError, ValueError, AttributeError):
        listing.notes.append(f"nft: {kind} {_short(body)}")


def _read_table(listing: Listing, body: dict[str, object]) -> None:
    flags = body.get("flags") or []
    table = listing.table(str(body["family"]), str(body["name"]))
    words = set(flags if isinstance(flags, list) else [flags])
    table.dormant = "dormant" in words
    # nft 1.0.6 prints the table's name where "dormant" should stand.
    table.has_unknown_flags = bool(words - {"dormant", "owner", "persist"})


def _read_chain(listing: Listing, body: dict[str, object]) -> None:
    chain = listing.chain(str(body["family"]), str(body["table"]), str(body["name"]))
    if "hook" not in body:
        return
    chain.hook = str(body["hook"])
    priority = body.get("prio")
    chain.priority = priority if isinstance(priority, int) else None
    chain.policy = str(body.get("policy", "accept"))
    devices = body.get("dev", [])
    chain.devices = tuple(str(d) for d in (devices if isinstance(devices, list) else [devices]))


def _read_rule(listing: Listing, body: dict[str, object]) -> None:
    chain = listing.chain(str(body["family"]), str(body["table"]), str(body["chain"]))
    expressions = body.get("expr", [])
    if not isinstance(expressions, list):
        raise TypeError
    handle = body.get("handle")
    chain.rules.append(
        ListedRule(
            handle=handle if isinstance(handle, int) else None,
            steps=tuple(step for item in expressions for step in _statement(item)),
            text=" ".join(statement_text(item) for item in expressions),
        )
    )


def _read_set(listing: Listing, body: dict[str, object]) -> None:
    table = listing.table(str(body["family"]), str(body["table"]))
    flags = body.get("flags") or []
    elements = body.get("elem") or []
    # Its elements come and go by themselves, so what is in it now says little.
    moving = bool({"dynamic", "timeout"} & set(flags if isinstance(flags, list) else [flags]))
    values = None if moving or not isinstance(elements, list) else _elements(elements)
    table.sets[str(body["name"])] = values


def _read_map(listing: Listing, body: dict[str, object]) -> None:
    table = listing.table(str(body["family"]), str(body["table"]))
    table.maps[str(body["name"])] = (
        _entries(body.get("elem") or []) if body.get("map") == "verdict" else None
    )


def _ignored(_listing: Listing, _body: dict[str, object]) -> None:
    """Objects that hold no rules."""


_OBJECTS: Mapping[str, Callable[[Listing, dict[str, object]], None]] = {
    "metainfo": _ignored,
    "table": _read_table,
    "chain": _read_chain,
    "rule": _read_rule,
    "set": _read_set,
    "map": _read_map,
    "meter": _ignored,
    "flowtable": _ignored,
    "counter": _ignored,
    "quota": _ignored,
    "limit": _ignored,
    "secmark": _ignored,
    "synproxy": _ignored,
    "ct helper": _ignored,
    "ct timeout": _ignored,
    "ct expectation": _ignored,
}


# -- statements ---------------------------------------------------------------------------------
def _statement(item: object) -> list[Step]:
    if not isinstance(item, dict) or len(item) != 1:
        return [Note(_short(item))]
    ((kind, body),) = item.items()
    text = statement_text(item)
    if kind in _VERDICTS:
        return [Decide(_VERDICTS[kind])]
    if kind in _HARMLESS:
        return []
    if kind in _SOMETIMES:
        return [Opaque(text)]
    special = _SPECIAL.get(kind)
    # What is not known may rewrite or redirect: the ruleset is then not fully known.
    return special(body, text) if special else [Opaque(text), Note(text)]


def _match(body: object, text: str) -> list[Step]:
    if not isinstance(body, dict):
        return [Opaque(text)]
    op = _OPS.get(str(body.get("op")))
    key, mask = _key(body.get("left"))
    if op is None or key is None:
        return [Opaque(text)]
    right = body.get("right")
    values: tuple[str, ...] | None
    if isinstance(right, list) and key == "tcp flags":
        joined = _value({"|": right})
        values = None if joined is None else (joined,)
    elif isinstance(right, str) and right.startswith("@"):
        values = (right,)
    else:
        values = _right(right)
    return [Cond(key=key, op=op, values=values, mask=mask, text=text)]


def _count(body: object, _text: str) -> list[Step]:
    packets = body.get("packets") if isinstance(body, dict) else None
    return [Count(packets if isinstance(packets, int) else None)]


def _mangle(body: object, text: str) -> list[Step]:
    if not isinstance(body, dict) or body.get("key") != _MSS_KEY:
        return []
    value = body.get("value")
    if isinstance(value, int) and not isinstance(value, bool):
        return [Clamp(value)]
    if value == {"rt": {"key": "mtu"}}:
        return [Clamp(None)]
    return [Opaque(text), Note(text)]


def _vmap(body: object, text: str) -> list[Step]:
    if not isinstance(body, dict):
        return [Opaque(text), Note(text)]
    key, mask = _key(body.get("key"))
    data = body.get("data")
    entries: tuple[tuple[str, Verdicts], ...] | None = None
    if isinstance(data, str) and data.startswith("@"):
        entries = ((data, ()),)
    elif isinstance(data, dict):
        entries = _entries(data.get("set"))
    # A key that nobody reads ("numgen random mod 2") still leads to each verdict, perhaps.
    name = key if key is not None and mask is None else expression_text(body.get("key"))
    return [VerdictMap(key=name, entries=entries, text=text)]


def _reset(body: object, text: str) -> list[Step]:
    # Resetting the option turns it into padding: the far end then assumes 536 bytes.
    is_mss = isinstance(body, dict) and "maxseg" in json.dumps(body)
    return [Opaque(text), Note(text)] if is_mss else []


def _queue(_body: object, text: str) -> list[Step]:
    return [Opaque(f"{text} (a program decides)"), Decide("accept")]


def _takes_over(_body: object, text: str) -> list[Step]:
    return [Opaque(text), Note(text), Decide("accept")]


def _forward(_body: object, text: str) -> list[Step]:
    return [Opaque(text), Decide("accept")]


def _jump(body: object, text: str) -> list[Step]:
    target = body.get("target") if isinstance(body, dict) else None
    if not isinstance(target, str):
        return [Opaque(text), Note(text)]
    return [Go(target, goto=text.startswith("goto "))]


_VERDICTS: Mapping[str, Verdict] = {
    "accept": "accept",
    "drop": "drop",
    "reject": "drop",
    "return": "return",
    "continue": "pass",
    # nat ends its chain; the packet goes on.
    "snat": "accept",
    "dnat": "accept",
    "masquerade": "accept",
    "redirect": "accept",
}
_SPECIAL: Mapping[str, Callable[[object, str], list[Step]]] = {
    "match": _match,
    "counter": _count,
    "mangle": _mangle,
    "vmap": _vmap,
    "reset": _reset,
    "queue": _queue,
    "jump": _jump,
    "goto": _jump,
    "fwd": _forward,
    "tproxy": _takes_over,
    "synproxy": _takes_over,
}


# -- expressions --------------------------------------------------------------------------------
def _key(left: object) -> tuple[str | None, str | None]:
    """Return what is compared and the mask over it; ``None`` for what has no name."""
    if not isinstance(left, dict) or len(left) != 1:
        return None, None
    ((kind, body),) = left.items()
    if kind == "&" and isinstance(body, list) and len(body) == 2:  # noqa: PLR2004 - two operands
        key, inner = _key(body[0])
        mask = _value({"|": body[1]} if isinstance(body[1], list) else body[1])
        return (key, mask) if inner is None and mask is not None else (None, None)
    if not isinstance(body, dict):
        return None, None
    names = {"meta": {"key"}, "ct": {"key"}, "payload": {"protocol", "field"}}
    if kind == "tcp option" or set(body) == names.get(kind):
        return expression_text(left), None
    return None, None


def _right(right: object) -> tuple[str, ...] | None:
    if isinstance(right, dict) and isinstance(right.get("set"), list):
        return _elements(right["set"])
    if isinstance(right, list):
        return _elements(right)
    value = _value(right)
    return None if value is None else (value,)


def _elements(items: list[object]) -> tuple[str, ...] | None:
    values = [_value(item) for item in items]
    return None if None in values else tuple(value for value in values if value is not None)


def _value(item: object) -> str | None:
    """Return one value in the spelling that :class:`.steps.Cond` wants, or ``None``."""
    if isinstance(item, str | int) and not isinstance(item, bool):
        return str(item)
    if not isinstance(item, dict) or len(item) != 1:
        return None
    ((kind, body),) = item.items()
    if kind == "elem" and isinstance(body, dict):
        return _value(body.get("val"))
    if kind == "prefix" and isinstance(body, dict):
        return f"{body.get('addr')}/{body.get('len')}"
    if kind in {"range", "|"} and isinstance(body, list):
        # nft 1.0.6 prints interface wildcards in sets as a range of nothing.
        parts = [_value(part) or None for part in body]
        joiner = "-" if kind == "range" else "|"
        return None if None in parts else joiner.join(part for part in parts if part is not None)
    return None


def _entries(items: object) -> tuple[tuple[str, Verdicts], ...] | None:
    if not isinstance(items, list):
        return None
    found: list[tuple[str, Verdicts]] = []
    for item in items:
        if not isinstance(item, list) or len(item) != 2:  # noqa: PLR2004 - key and verdict
            return None
        steps = _statement(item[1])
        verdicts = tuple(step for step in steps if isinstance(step, Decide | Go))
        if not verdicts or len(verdicts) != len(steps):
            return None
        key = item[0]["elem"]["val"] if isinstance(item[0], dict) and "elem" in item[0] else item[0]
        value = _value(key)
        found.append((expression_text(key) if value is None else value, verdicts))
    return tuple(found)


def _resolved(step: Step, table: ListedTable) -> Step:
    """Put the elements of named sets and maps in place of their names."""
    if isinstance(step, Cond) and step.values and step.values[0].startswith("@"):
        return replace(step, values=table.sets.get(step.values[0][1:]))
    if isinstance(step, VerdictMap) and step.entries and step.entries[0][0].startswith("@"):
        return replace(step, entries=table.maps.get(step.entries[0][0][1:]))
    return step


def _short(item: object) -> str:
    text = json.dumps(item)
    return text if len(text) <= _MAX_NOTE_CHARS else text[: _MAX_NOTE_CHARS - 3] + "..."
