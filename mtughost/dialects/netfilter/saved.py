"""What the packet filter will be after a reboot: the files that the boot loads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mtughost.dialects.netfilter.read import RunningReader
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Ruleset
from mtughost.model.session import Answer

#: Inputs of :func:`read_saved`, by the names that a task book uses under ``inputs:``.
SAVED_INPUTS: Final = ("nft-text", "iptables-save", "ip6tables-save")
_MISSING = re.compile(r"\s*\S+: \S+: No such file or directory\s*")
#: nft puts other text in place of these before it reads a rule; nobody here does.
_VARIABLES = re.compile(r"^\s*(?:define|redefine|include)\b|^[^#\n\"]*\$\w", re.MULTILINE)


def read_saved(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Read saved rules: ``nftables.conf`` and what ``iptables-save`` wrote into files.

    A file that is not there holds no rules. Whether the boot really loads a file is not known
    from the file: a rule of diagnosis must not rely on it alone.

    Args:
        answers: By input name (:data:`SAVED_INPUTS`): the files' contents.

    Returns:
        The rules, or ``Unknown`` where no such file exists or one could not be read.
    """
    given: dict[str, Answer] = {}
    found = False
    for name in SAVED_INPUTS:
        answer = answers.get(name)
        if answer is None:
            continue
        if answer.status != "complete":
            return Unknown(f"'{answer.line}' gave no complete answer ({answer.status})")
        is_missing = _MISSING.fullmatch(answer.text) is not None
        if not is_missing and answer.exit_code:
            return Unknown(f"'{answer.line}' could not show the file: {answer.text[:80]!a}")
        found = found or not is_missing
        if name == "nft-text":
            if _VARIABLES.search(answer.text):
                return Unknown(f"the file of '{answer.line}' uses variables or other files")
            # No file means no rules of nft, and not that they are hidden.
            given[name] = replace(answer, text="" if is_missing else answer.text)
        elif not is_missing:
            given[name] = answer
    if not found:
        return Unknown("no file with saved rules is where we look for it")
    return _SavedReader(given).ruleset()


class _SavedReader(RunningReader):
    """Files hide nothing behind an old kernel interface."""

    def _check_legacy(self, saved: object) -> None:
        del saved
