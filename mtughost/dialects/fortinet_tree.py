"""FortiOS configuration text (``config``, ``edit``, ``set``, ``next``, ``end``) with its lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_WORDS = re.compile(r'"(?:\\.|[^"\\])*"|\S+', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``set`` line."""

    words: tuple[str, ...]
    line: int
    text: str


@dataclass(slots=True)
class Block:
    """A ``config`` section or an ``edit`` entry.

    Attributes:
        name: The section's path, or the entry's key.
        line: Where it begins.
        settings: By attribute; the last one counts, as on the device.
        blocks: Sections or entries inside, in order.
    """

    name: str
    line: int
    settings: dict[str, Setting] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def words(self, name: str) -> tuple[str, ...]:
        """Return an attribute's words, empty where it is not set."""
        found = self.settings.get(name)
        return found.words if found is not None else ()

    def word(self, name: str) -> str:
        """Return an attribute's first word, ``""`` where it is not set."""
        return next(iter(self.words(name)), "")


@dataclass(slots=True)
class Tree:
    """What one answer holds.

    Attributes:
        sections: Top-level ``config`` sections.
        unplaced: Lines that are none of the known ones, as (line, text).
        is_whole: Whether everything that was opened was closed.
    """

    sections: list[Block] = field(default_factory=list)
    unplaced: list[tuple[int, str]] = field(default_factory=list)
    is_whole: bool = True

    def section(self, path: str) -> Block | None:
        """Return the one section of that name; ``None`` where there is none or several."""
        found = [block for block in self.sections if block.name == path]
        return found[0] if len(found) == 1 else None


def read_tree(text: str) -> Tree:
    """Read the output of ``show``."""
    tree = Tree()
    stack: list[Block] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        # A quoted value may go on over several lines (banners, comments, certificates).
        while line.lstrip().startswith("set ") and _is_open(line) and at < len(lines):
            line += "\n" + lines[at]
            at += 1
        if line.strip() and not line.lstrip().startswith("#"):
            _take(tree, stack, line.strip(), number)
    tree.is_whole = not stack
    return tree


def _is_open(line: str) -> bool:
    return len(re.findall(r'(?<!\\)"', line)) % 2 == 1


def _take(tree: Tree, stack: list[Block], line: str, number: int) -> None:
    verb, *words = (_plain(word) for word in _WORDS.findall(line))
    top = stack[-1] if stack else None
    if verb in {"config", "edit"} and words and len(stack) < _MAX_DEPTH:
        block = Block(" ".join(words), number)
        (top.blocks if top is not None else tree.sections).append(block)
        stack.append(block)
    elif line in {"next", "end"} and stack:
        stack.pop()
    elif verb == "set" and len(words) > 1 and top is not None:
        top.settings[words[0]] = Setting(tuple(words[1:]), number, line)
    elif verb == "unset" and words and top is not None:
        top.settings.pop(words[0], None)
    else:
        tree.unplaced.append((number, line))


def _plain(word: str) -> str:
    return _ESCAPED.sub(r"\1", word[1:-1]) if word[:1] == '"' else word
