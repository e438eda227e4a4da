"""One secret, written in all the ways in which it may turn up elsewhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

from mtughost.evidence.secret_words import words

#: Words that people do use as secrets but that also stand in ordinary text: where they are found
#: beside a word that announces a secret they go, elsewhere they stay.
_COMMON: Final = words(
    """
    public private cisco admin administrator radsec default secret password testing testing123
    changeme letmein unknown internal monitor network manager guest operator support
    """
)
_SHORTEST: Final = 6
#: A shorter one would match inside ordinary base64 by chance.
_SHORTEST_ENCODED: Final = 8
_BASE64_CUT: Final = {0: (0, 0), 1: (2, 3), 2: (3, 2)}


def worth_following(secret: str) -> bool:
    """Return whether a value is long and odd enough to be looked for everywhere."""
    return (
        len(secret) >= _SHORTEST
        and secret.lower() not in _COMMON
        and not (secret.isalpha() and secret.islower())
        and not (secret.isdigit() and len(secret) < _SHORTEST_ENCODED)
    )


def variants(secret: str) -> frozenset[str]:
    """Return a secret plain, quoted, in base64 (at any alignment), hex, and URL encoding."""
    raw = secret.encode("utf-8", "surrogateescape")
    found = {secret, quote(secret, safe=""), quote_plus(secret), _escaped(secret)}
    found |= {secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    if len(raw) >= _SHORTEST:
        for separator in ("", ":", " ", "-"):
            plain = raw.hex(separator) if separator else raw.hex()
            found |= {plain, plain.upper()}
        found |= {"".join(f"\\x{byte:02x}" for byte in raw), "".join(f"%{b:02X}" for b in raw)}
        found |= {"".join(f"%{byte:02x}" for byte in raw)}
    if len(raw) >= _SHORTEST:
        found |= set(_base64_forms(raw))
    return frozenset(text for text in found if len(text) >= _SHORTEST)


def _escaped(secret: str) -> str:
    return secret.replace("\\", "\\\\").replace('"', '\\"')


def _base64_forms(raw: bytes) -> Iterable[str]:
    """Yield what is the same for every neighbour, for the three ways to lie across four letters."""
    for shift in range(3):
        padded = base64.b64encode(b"\0" * shift + raw).decode()
        start = _BASE64_CUT[shift][0]
        # The last letters depend on what follows, so only whole groups of three bytes count.
        whole = (shift + len(raw)) // 3 * 4
        core = padded[start:whole]
        if len(core) >= _SHORTEST_ENCODED - 2:
            yield core
            yield core.translate(str.maketrans("+/", "-_"))
    full = base64.b64encode(raw).decode()
    yield full
    yield full.translate(str.maketrans("+/", "-_"))


def pattern_of(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """Compile one pattern that finds every variant of every secret, longest first."""
    every = {variant for secret in secrets for variant in variants(secret)}
    if not every:
        return None
    ordered = sorted(every, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, ordered)))
