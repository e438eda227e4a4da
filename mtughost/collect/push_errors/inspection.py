"""Names that TLS inspection puts into the certificates that it makes: a hint, never a proof."""

from __future__ import annotations

import re

from mtughost.model.tls_names import INSPECTORS

_ISSUER = re.compile(r"^\*? {0,4}(?:issuer[:=]|i:)|\bissuer='", re.IGNORECASE)


def inspector_of(text: str) -> str:
    """Return the inspector's name if a line names it as a certificate's issuer, or ``""``."""
    found = INSPECTORS.search(text) if _ISSUER.search(text) else None
    return found[0] if found else ""
