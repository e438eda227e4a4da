"""OpenWrt's saved packet filter: what ``fw4 print`` makes of ``/etc/config/firewall``.

``fw4 print`` names the files of ``/etc/nftables.d`` that it puts into its table without showing
them. Where these hold comments only, the default, the printed rules are all there is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from mtughost.dialects.netfilter import read_saved
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Ruleset
from mtughost.model.session import Answer

#: What :func:`read_fw4` may be given, by the names that a task book uses under ``inputs:``.
INPUTS = ("print", "includes")
_INCLUDE = re.compile(r'^[ \t]*include "/etc/nftables\.d/\*\.nft"[ \t]*$', re.MULTILINE)
#: For the use of such files; the printed rules themselves hold names, not variables.
_DEFINE = re.compile(r"^[ \t]*define \w+ = \{[^{}\n]*\}[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*(?:#.*)?$")
_MISSING = re.compile(r"cat: .*: No such file or directory\s*")


def read_fw4(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Read the rules that a reload or a reboot would load."""
    printed, included = answers.get("print"), answers.get("includes")
    if printed is None or printed.status != "complete":
        why = printed.error or printed.status if printed is not None else "it was not asked"
        return Unknown(f"'fw4 print' gave no complete answer: {why}")
    text = printed.text
    if included is not None and included.status == "complete" and _is_empty(included.text):
        text = _DEFINE.sub("", _INCLUDE.sub("", text))
    return read_saved({"nft-text": replace(printed, text=text)})


def _is_empty(text: str) -> bool:
    """Say whether files hold comments only; one that is not there holds nothing."""
    return bool(_MISSING.fullmatch(text)) or all(
        _COMMENT.fullmatch(line) for line in text.split("\n")
    )
