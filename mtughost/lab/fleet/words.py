"""Words of a command line: split with quotes, and abbreviated as people type them."""

from __future__ import annotations

from collections.abc import Iterable


def split(line: str) -> list[str]:
    """Split at blanks; double quotes hold a word together."""
    words: list[str] = []
    word, quoted, seen = "", False, False
    for char in line:
        if char == '"':
            quoted, seen = not quoted, True
        elif char.isspace() and not quoted:
            if word or seen:
                words.append(word)
            word, seen = "", False
        else:
            word += char
    if word or seen:
        words.append(word)
    return words


def candidates(word: str, known: Iterable[str]) -> list[str]:
    """Return the known words that ``word`` may stand for: itself, or those it begins."""
    names = list(dict.fromkeys(known))
    return [word] if word in names else [name for name in names if name.startswith(word)]
