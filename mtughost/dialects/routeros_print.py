"""RouterOS's ``print detail``: numbered items with flags, a comment, and ``key=value`` pairs.

The same in versions 6 and 7. Values with blanks are quoted, but for counters and a few texts; a
value therefore ends where the next key begins. The console writes critical log lines in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_ITEM = re.compile(
    r" {0,5}(?P<number>\d{1,5})(?: (?P<flags>[A-Za-z+* ]{0,12}?))? *"
    r"(?P<rest>(?:;;;|[a-z0-9][a-z0-9.-]*=).*)?"
)
_KEY = re.compile(r'(?:^| )([a-z0-9][a-z0-9.-]{0,40})=("(?:[^"\\]|\\.)*")?')
_STARTS_WITH_KEY = re.compile(r"\s+[a-z0-9][a-z0-9.-]{0,40}=")
_LEGEND = re.compile(r"(?:Flags|Columns): .*")
_LEGEND_PART = re.compile(r"[A-Za-z*+] - [\w -]{1,40}")
#: A critical log line that the console shows whatever is being printed (recorded output).
_LOGGED = re.compile(
    r"(?:\w{3}/\d{2}/\d{4} |\d{4}-\d{2}-\d{2} |\w{3}/\d{2} )?\d{2}:\d{2}:\d{2} echo: .*"
)
_ESCAPED = re.compile(r"\\(.)")


@dataclass(slots=True)
class Item:
    """One item.

    Attributes:
        number: What stands before it.
        flags: Its letters, such as ``DR``.
        comment: The text behind ``;;;``.
        values: Everything else, by key.
        line: Where it begins, from 1.
        text: As printed, in one line.
    """

    number: int
    flags: str
    line: int
    comment: str = ""
    values: dict[str, str] = field(default_factory=dict)
    text: str = ""

    def get(self, key: str) -> str:
        """Return a value, ``""`` where it was not printed."""
        return self.values.get(key, "")

    @property
    def is_off(self) -> bool:
        """Whether it is disabled or invalid."""
        return "X" in self.flags or "I" in self.flags


@dataclass(frozen=True, slots=True)
class Items:
    """All items of one answer, and what could not be read, as (line, text)."""

    items: tuple[Item, ...]
    unplaced: tuple[tuple[int, str], ...]


def read_items(text: str) -> Items:
    """Read ``print detail`` of any menu."""
    items: list[Item] = []
    unplaced: list[tuple[int, str]] = []
    in_comment = False
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or _LOGGED.fullmatch(line):
            continue
        found = _ITEM.fullmatch(line.rstrip()) if not _STARTS_WITH_KEY.match(line) else None
        if found is not None and _follows(items, int(found["number"])):
            flags = (found["flags"] or "").replace(" ", "")
            items.append(Item(number=int(found["number"]), flags=flags, line=number))
            in_comment = _add(items[-1], found["rest"] or "")
        elif items and (_STARTS_WITH_KEY.match(line) or (line[0] == " " and not in_comment)):
            items[-1].text += " " + line.strip()
            in_comment = False
        elif items and in_comment:
            items[-1].comment += " " + line.strip()
        elif items or not _is_legend(line.strip()):
            unplaced.append((number, line))
    for item in items:
        rest = _values(item)
        if rest:
            unplaced.append((item.line, rest))
    return Items(tuple(items), tuple(unplaced))


def _is_legend(line: str) -> bool:
    """Say whether a line explains flags; a long explanation goes on in the next line."""
    parts = [part.strip() for part in re.split("[,;]", line)]
    return _LEGEND.fullmatch(line) is not None or all(
        _LEGEND_PART.fullmatch(part) for part in parts if part
    )


def _follows(items: list[Item], number: int) -> bool:
    """Say whether an item may have this number: they count up, without those left out."""
    return number > items[-1].number if items else True


def _add(item: Item, rest: str) -> bool:
    """Take what stands behind the flags; whether it is a comment that may go on."""
    if rest.startswith(";;;"):
        item.comment = rest[3:].strip()
        return True
    item.text = rest
    return False


def _values(item: Item) -> str:
    """Split the text into values; return what belongs to no key."""
    found = list(_KEY.finditer(item.text))
    if not found:
        return item.text
    ends = [match.start() for match in found[1:]] + [len(item.text)]
    rest = item.text[: found[0].start()]
    for match, end in zip(found, ends, strict=True):
        value = item.text[match.end() : end].strip()
        if match[2] is not None:
            rest += value
            value = _ESCAPED.sub(r"\1", match[2][1:-1])
        elif value.startswith('"'):
            rest += value
        item.values[match[1]] = value
    return rest.strip()


def read_settings(text: str) -> tuple[dict[str, str], tuple[tuple[int, str], ...]]:
    """Read ``print`` of a menu with one set of settings: ``name: value``, aligned at the colon."""
    found: dict[str, str] = {}
    unplaced: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or _LOGGED.fullmatch(line):
            continue
        name, colon, value = line.strip().partition(":")
        if colon and re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
            found[name] = value.strip()
        else:
            unplaced.append((number, line))
    return found, tuple(unplaced)


def counters(text: str) -> Iterator[tuple[int, str, str, int]]:
    """Read ``print stats`` of a firewall menu: number, chain, action, packets.

    Thousands are parted by one blank, columns by at least two.
    """
    number = -1
    for line in text.split("\n"):
        lead = re.match(r" {0,5}(\d{1,5}) ", line)
        if lead is not None:
            number = int(lead[1])
        cells = re.split(r"\s{2,}", line.strip())
        if lead is not None:
            # What stands before the chain is the number, flags, and in version 7 one blank only.
            cells = [*cells[0].split(" ")[1:], *cells[1:]] if len(cells[0]) > 1 else cells[1:]
        cells = [cell for cell in cells if cell]
        if number < 0 or len(cells) < 4 or ";;;" in line:  # noqa: PLR2004 - the four columns
            continue
        chain, action, size, packets = cells[-4:]
        if _is_count(size) and _is_count(packets):
            yield number, chain.split(" ")[-1], action, int(packets.replace(" ", ""))


def _is_count(text: str) -> bool:
    return re.fullmatch(r"\d{1,3}(?: \d{3}){0,6}|\d{1,20}", text) is not None
