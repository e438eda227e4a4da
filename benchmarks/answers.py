"""What the peers' benchmark compares: an answer without blanks and without what the clock moves."""

from __future__ import annotations

import hashlib
import re

_CLOCK = re.compile(r"uptime is .*")


def digest_of(text: str) -> str:
    """Return the digest of an answer; no contender keeps line ends and blanks like another."""
    return hashlib.sha256("".join(_CLOCK.sub("", text).split()).encode()).hexdigest()[:16]
