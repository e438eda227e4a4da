"""The parts of a runbook that other documents quote."""

from __future__ import annotations

import re
from typing import Final, Literal

_HEADING: Final = re.compile(r"^# [a-z0-9-]+: (?P<words>.+)$", re.MULTILINE)
_SECTION: Final = re.compile(
    r"^## (?P<name>\w+)\n(?P<body>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)


def heading_of(runbook: str) -> str:
    """Return what the finding is, in the words of the runbook's first line; ``""`` without one."""
    found = _HEADING.search(runbook)
    return found["words"] if found else ""


def section_of(runbook: str, name: Literal["Ask", "Fix", "Sources"]) -> str:
    """Return the text under one heading, quote marks removed; ``""`` where it is missing."""
    for found in _SECTION.finditer(runbook):
        if found["name"] == name:
            return found["body"].strip().removeprefix("> ").replace("\n> ", "\n")
    return ""
