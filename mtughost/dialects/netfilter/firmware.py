"""Firmware of vendors whose packet filter is iptables: there nft's absence is a fact.

On a machine that somebody administers, a missing ``nft`` proves nothing: any program may have made
rules with it once. A vendor's firmware holds what the vendor put there, and where it has iptables
of the old kernel interface and no ``nft``, nothing on it speaks the other interface.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mtughost.dialects.netfilter.iptables import SavedRules
from mtughost.dialects.netfilter.read import RunningReader
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Ruleset
from mtughost.model.session import Answer

_NOT_INSTALLED = 127
_NOT_FOUND = re.compile(r"\bnft: (?:command )?not found")


def read_firmware(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Read the rules of such a firmware; the inputs are those of :func:`..read.read`."""
    return _FirmwareReader(answers).ruleset()


class _FirmwareReader(RunningReader):
    def _nft_notes(self, saved: Mapping[str, SavedRules]) -> list[str]:
        answer = self._answers.get("nft-text")
        is_absent = answer is not None and (
            answer.exit_code == _NOT_INSTALLED
            or _NOT_FOUND.search(f"{answer.error}\n{answer.text}") is not None
        )
        is_old = bool(saved) and all(rules.variant == "legacy" for rules in saved.values())
        return [] if is_absent and is_old else super()._nft_notes(saved)
