"""Rows of policy routing and of the neighbour table to facts.

=============  ====================================================================================
kind           columns
=============  ====================================================================================
policy         FAMILY PRIORITY TEXT (the conditions and the action, as ``ip rule`` prints them)
neighbours     ADDRESS INTERFACE MAC STATE
=============  ====================================================================================
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from mtughost.collect.rows import FAMILIES, SourcedRow
from mtughost.model.basis import Unknown
from mtughost.model.device import Family, Neighbour, PolicyRule
from mtughost.model.inventory import Device

#: Words that say nothing about which packets a rule takes.
_REMARKS = frozenset({"proto", "protocol", "realms"})
_TABLE_WORDS = frozenset({"lookup", "table"})
_REFUSALS = frozenset({"unreachable", "prohibit", "blackhole"})
_DETACHED = "[detached]"


def policy(rows: Sequence[SourcedRow], _device: Device) -> tuple[PolicyRule, ...] | Unknown:
    """All rules of policy routing, in the order in which the kernel asks them."""
    found: list[PolicyRule] = []
    for row in rows:
        family = FAMILIES.get(row.text("FAMILY"))
        priority = row.number("PRIORITY")
        if family is None or priority is None:
            return Unknown(f"line {row.line} of '{row.command}' shows no rule")
        found.append(_rule(row, family, priority))
    if not found:
        return Unknown("the device shows no rule of policy routing, not even the kernel's own")
    return tuple(sorted(found, key=lambda rule: rule.priority))


def _rule(row: SourcedRow, family: Family, priority: int) -> PolicyRule:
    said: dict[str, str] = {}
    opaque: list[str] = []
    table = ""
    for word, value in _pairs(row.text("TEXT").split()):
        if word in _TABLE_WORDS:
            table = value
        elif word in {"from", "to", "iif"} and word not in said:
            said[word] = value
        elif word not in _REMARKS and word not in _REFUSALS:
            opaque.append(f"{word} {value}".strip())
    prefixes = {word: _prefix(said.get(word, "all")) for word in ("from", "to")}
    opaque += [f"{word} {said[word]}" for word, prefix in prefixes.items() if prefix is None]
    return PolicyRule(
        priority=priority,
        family=family,
        table=table,
        source=prefixes["from"] or "",
        destination=prefixes["to"] or "",
        in_interface=said.get("iif", ""),
        opaque=tuple(opaque),
        text=f"{priority}: {row.text('TEXT')}".replace("\t", " "),
        line=row.line,
    )


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    """Split into word and value; refusals, "not" and "[detached]" have no value."""
    left = iter(words)
    for word in left:
        alone = word in _REFUSALS or word in {"not", _DETACHED}
        yield word, "" if alone else next(left, "")


def _prefix(text: str) -> str | None:
    """Return a CIDR, ``""`` for all, ``None`` for what is neither."""
    if text == "all":
        return ""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return None


def neighbours(rows: Sequence[SourcedRow], _device: Device) -> tuple[Neighbour, ...] | Unknown:
    """The neighbour table; entries without a hardware address are left out."""
    return tuple(
        Neighbour(
            address=row.text("ADDRESS"),
            mac=row.text("MAC").lower(),
            interface=row.text("INTERFACE"),
            state=row.text("STATE"),
            line=row.line,
        )
        for row in rows
        if row.text("MAC")
    )
