"""All rules in the order in which a line meets them, and the lines that decide nothing."""

from __future__ import annotations

import re

from mtughost.collect.push_errors.rules_radius import RADIUS_RULES
from mtughost.collect.push_errors.rules_tls import TLS_RULES
from mtughost.collect.push_errors.verdicts import Rule

#: The first match of a line decides it; within an attempt the higher rank wins, then the earlier.
RULES: tuple[Rule, ...] = (*RADIUS_RULES, *TLS_RULES)

#: Names, dates and contents that the far end chose: they may say anything and prove nothing.
_QUIET = re.compile(
    r"\* {1,4}(?:subject|issuer|start date|expire date|subjectAltName|common name)[:=]"
    r"|\s{0,3}\d{0,2} ?[sia]:|(?:subject|issuer)=|[{}] \[\d|> "
    r"|\s{0,8}[0-9a-f]{4} - [0-9a-f]{2} |(?:Host|User-Agent|Accept): "
)


def quiet(text: str) -> bool:
    """Say whether a line's words are the far end's choice."""
    if text.startswith("< "):
        return not text.startswith("< HTTP/")
    return _QUIET.match(text) is not None
