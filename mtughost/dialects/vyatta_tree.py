"""Configuration of VyOS and EdgeOS, in both of its forms, as one list of paths.

``show configuration commands`` prints ``set`` lines; ``/config/config.boot`` and ``show
configuration`` print the same tree with braces. The words of a path are the same in both, so that
one reader of clamps serves both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain

_WORD = re.compile(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"|([^\s'\"]+)")
_WORDS = re.compile(r"(?:(?:'[^']*'|\"(?:[^\"\\]|\\.)*\"|[^\s'\"]+)(?:\s+|$))+")
#: Notes of the configuration's own: its version, and a warning to leave that line alone.
_REMARK = re.compile(r"//.*|/\*.*\*/")
_OPEN, _CLOSE = "{", "}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One node without anything below it.

    Attributes:
        words: The way to it from the root, its value last.
        line: Line of the answer, from 1.
        text: That line as it was printed.
    """

    words: tuple[str, ...]
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration, and the lines of it that are none."""

    found: tuple[Setting, ...]
    unplaced: tuple[tuple[int, str], ...] = ()


def read_settings(text: str) -> Settings:
    """Read either form; which of the two it is, the lines themselves say."""
    lines = [line for line in text.split("\n") if line.strip()]
    is_commands = any(line.lstrip().startswith("set ") for line in lines[:3])
    return _read_commands(text) if is_commands else _read_braces(text)


def _read_commands(text: str) -> Settings:
    found: list[Setting] = []
    unplaced: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        words = _words(line.strip())
        if words and words[0] == "set" and len(words) > 1:
            found.append(Setting(words[1:], number, line.strip()))
        elif line.strip() and not _REMARK.fullmatch(line.strip()):
            unplaced.append((number, line))
    return Settings(tuple(found), tuple(unplaced))


def _read_braces(text: str) -> Settings:
    found: list[Setting] = []
    unplaced: list[tuple[int, str]] = []
    path: list[tuple[str, ...]] = []
    #: For each open node whether something stood inside.
    filled: list[bool] = []
    number = 0
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if line == _CLOSE and path:
            if not filled.pop():
                # The node itself is what was set.
                found.append(Setting(tuple(chain(*path)), number, line))
            path.pop()
        elif not line or _REMARK.fullmatch(line):
            continue
        elif words := _words(line[:-1] if line[-1] == _OPEN else line):
            if filled:
                filled[-1] = True
            if line[-1] == _OPEN:
                path.append(words)
                filled.append(False)
            else:
                found.append(Setting((*chain(*path), *words), number, line))
        else:
            unplaced.append((number, raw))
    if path:
        unplaced.append((number, f"{' '.join(path[-1])} has no end"))
    return Settings(tuple(found), tuple(unplaced))


def _words(line: str) -> tuple[str, ...]:
    """Split a line as the command line would; nothing where a quote has no end."""
    if "'" not in line and '"' not in line:
        return tuple(line.split()) if line != _CLOSE else ()
    if _WORDS.fullmatch(line.strip()) is None:
        return ()
    # Of the three alternatives the one that matched is not empty, unless the word itself is.
    return tuple(one or two or plain for one, two, plain in _WORD.findall(line))
