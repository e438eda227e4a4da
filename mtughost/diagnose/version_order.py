"""Order of version numbers, as vendors write them."""

from __future__ import annotations

import re

_PART = re.compile(r"\d+|[a-z]+")


def at_least(version: str, bound: str) -> bool:
    """Say whether ``version`` is ``bound`` or newer.

    Numbers compare as numbers (7.0.10 follows 7.0.2), a missing part counts as zero, and what
    stands before the first digit ("v", "FortiOS ") does not count. Letters behind a number sort
    after it ("15.2(4)M3"). What holds no number at all is never newer than anything.
    """
    return bool(_key(version)) and _padded(version, bound) >= _padded(bound, version)


def _key(version: str) -> list[tuple[int, str]]:
    first = re.search(r"\d", version)
    found = _PART.findall(version[first.start() :].lower()) if first else []
    return [(int(part), "") if part.isdigit() else (-1, part) for part in found]


def _padded(version: str, other: str) -> list[tuple[int, str]]:
    key = _key(version)
    return key + [(0, "")] * max(0, len(_key(other)) - len(key))
