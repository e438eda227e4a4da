"""``nft [-a] list ruleset`` to a listing: tables, chains, sets; line numbers and handles.

Used on its own where nft was built without JSON, and beside the JSON for the rules' own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from mtughost.dialects.netfilter.listing import (
    ListedChain,
    ListedRule,
    ListedTable,
    Listing,
    Verdicts,
)
from mtughost.dialects.netfilter.nft_rule import map_entries, read_rule, set_values
from mtughost.dialects.netfilter.nft_tokens import tokens
from mtughost.dialects.netfilter.steps import Cond, Step, VerdictMap
from mtughost.dialects.netfilter.words import priority_number

_HANDLE = re.compile(r"\s*# handle (\d+)\s*$")
#: A listing always names the family; a file need not, and then means IPv4 (nft(8)).
_TABLE = re.compile(r"table (?:(\S+) )?(\S+) \{")
_BLOCK = re.compile(
    r"(chain|set|map|meter|flowtable|counter|quota|limit|secmark|synproxy|ct \S+) (\S+) \{"
)
_BASE = re.compile(
    r"type (?P<type>\w+) hook (?P<hook>\w+)"
    r"(?: devices? ?=? ?(?P<devices>\{[^}]*\}|\"[^\"]*\"|[^\s;]+))? priority (?P<priority>[^;]+);"
    r"(?: policy (?P<policy>\w+);)?"
)
_POLICY = re.compile(r"policy (\w+);")
#: Lines that hold nothing about packets.
_EMPTY = re.compile(
    r"#.*|table \S+ \S+|comment \".*|flush .*|delete .*|destroy .*|define .*|flags offload;?"
)
#: Rules may be there that this text does not show.
_MAX_NOTE_CHARS = 200


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    handle: int | None


def read_text(text: str) -> Listing:
    """Return the listing; what is not nft's language becomes notes."""
    listing = Listing()
    lines = _Lines(text)
    for line in lines:
        if match := _TABLE.fullmatch(line.text):
            _table(listing, lines, listing.table(match[1] or "ip", match[2]))
        elif not _EMPTY.fullmatch(line.text):
            listing.notes.append(f"nft line {line.number}: {line.text[:_MAX_NOTE_CHARS]}")
    for table in listing.tables.values():
        for chain in table.chains.values():
            for rule in chain.rules:
                rule.steps = tuple(_resolved(step, table) for step in rule.steps)
    return listing


class _Lines:
    """The answer's lines that are not empty, without handles, each with its number."""

    def __init__(self, text: str) -> None:
        self._lines = list(_joined(text))
        self._next = 0

    def __iter__(self) -> Iterator[_Line]:
        while self._next < len(self._lines):
            self._next += 1
            yield self._lines[self._next - 1]

    def block(self) -> Iterator[_Line]:
        """Yield lines up to the one that closes the block that was just opened."""
        for line in self:
            if line.text == "}":
                return
            yield line


def _joined(text: str) -> Iterator[_Line]:
    pending: _Line | None = None
    for number, raw in enumerate(text.split("\n"), start=1):
        match = _HANDLE.search(raw)
        handle = int(match[1]) if match else None
        line = (raw[: match.start()] if match else raw).strip()
        if not line and handle is not None and pending is not None:
            # nft 1.0.6 breaks the line after "XT target TCPMSS not found".
            pending = replace(pending, handle=handle)
            continue
        if pending is not None:
            yield pending
        pending = _Line(number, line, handle) if line else None
    if pending is not None:
        yield pending


def _table(listing: Listing, lines: _Lines, table: ListedTable) -> None:
    for line in lines.block():
        if match := _BLOCK.fullmatch(line.text):
            reader = _BLOCKS.get(match[1], _skip)
            reader(listing, lines, table, match[2])
        elif line.text.rstrip(";").startswith("flags "):
            table.dormant = "dormant" in line.text
        elif not _EMPTY.fullmatch(line.text):
            listing.notes.append(f"nft line {line.number}: {line.text[:_MAX_NOTE_CHARS]}")


def _chain(listing: Listing, lines: _Lines, table: ListedTable, name: str) -> None:
    chain = table.chains.setdefault(name, ListedChain(name=name))
    for line in lines.block():
        if match := _BASE.match(line.text):
            _base(chain, match, table.family)
        elif match := _POLICY.fullmatch(line.text):
            chain.policy = match[1]
        elif line.text.startswith("include "):
            listing.notes.append(f"nft line {line.number}: {line.text[:_MAX_NOTE_CHARS]}")
        elif not _EMPTY.fullmatch(line.text):
            chain.rules.append(
                ListedRule(
                    handle=line.handle,
                    steps=read_rule(line.text),
                    text=line.text,
                    line=line.number,
                )
            )


def _base(chain: ListedChain, match: re.Match[str], family: str) -> None:
    chain.hook = match["hook"]
    chain.priority = priority_number(match["priority"], family)
    chain.policy = match["policy"] or "accept"
    found = [token for token in tokens(match["devices"] or "") if token not in {"{", "}", ","}]
    chain.devices = tuple(token.strip('"') for token in found)


def _block_text(lines: _Lines) -> str:
    """Return a whole block's text; elements of sets may run over several lines."""
    collected: list[str] = []
    depth = 1
    for line in lines:
        depth += line.text.count("{") - line.text.count("}")
        if depth <= 0:
            break
        collected.append(line.text)
    return "\n".join(collected)


def _set(_listing: Listing, lines: _Lines, table: ListedTable, name: str) -> None:
    body = _block_text(lines)
    moving = re.search(r"^flags .*\b(?:dynamic|timeout)\b", body, re.MULTILINE) is not None
    table.sets[name] = None if moving else set_values(_elements(body))


def _map(_listing: Listing, lines: _Lines, table: ListedTable, name: str) -> None:
    body = _block_text(lines)
    is_verdict = re.search(r"^type .*: verdict\b", body, re.MULTILINE) is not None
    entries: tuple[tuple[str, Verdicts], ...] | None = map_entries(_elements(body))
    table.maps[name] = entries if is_verdict else None


def _elements(body: str) -> list[str]:
    _, found, after = body.partition("elements = {")
    return tokens(after.rsplit("}", 1)[0]) if found else []


def _skip(_listing: Listing, lines: _Lines, _table: ListedTable, _name: str) -> None:
    _block_text(lines)


_BLOCKS: Mapping[str, Callable[[Listing, _Lines, ListedTable, str], None]] = {
    "chain": _chain,
    "set": _set,
    "map": _map,
}


def _resolved(step: Step, table: ListedTable) -> Step:
    """Put the elements of named sets and maps in place of their names."""
    if isinstance(step, Cond) and step.values and step.values[0].startswith("@"):
        return replace(step, values=table.sets.get(step.values[0][1:]))
    if isinstance(step, VerdictMap) and step.entries and step.entries[0][0].startswith("@"):
        return replace(step, entries=table.maps.get(step.entries[0][0][1:]))
    return step
