"""Words and signs of nft's language."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""\s*(
        "(?:[^"\\]|\\.)*"            # quoted
      | ==|!=|<=|>=|<<|>>
      | [{}(),;|&<>=!^]
      | [^\s{}(),;|&<>=!^"]+         # words, numbers, prefixes, ranges, a lone slash or dot
      | .                            # a lone quote
    )""",
    re.VERBOSE,
)


def tokens(text: str) -> list[str]:
    """Return the tokens of one rule or element list."""
    return _TOKEN.findall(text.rstrip())


def bare(token: str) -> str:
    """Return a token without its quotes."""
    is_quoted = len(token) > 1 and token[0] == token[-1] == '"'
    return token[1:-1] if is_quoted else token
