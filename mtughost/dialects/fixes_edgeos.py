"""The clamp that might repair a site behind EdgeOS: ``mss-clamp`` for interfaces of all types.

A VLAN is in no other type than ``all`` (published node.def: pppoe, pptp, tun, vti, all). One value
serves all types of a family, so that a smaller one that is there already is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mtughost.dialects.vyatta_tree import read_settings
from mtughost.model.config import ConfigEdit, ConfigFix, Setting, Wanted

_Words = tuple[str, ...]
#: By family: node, entry, the answer that planned settings are added to, smallest and largest MSS.
_PLACES: Final = (
    ("ipv4", "mss-clamp", "clamp-device", "iptables-save", (500, 1460)),
    ("ipv6", "mss-clamp6", "clamp-device6", "ip6tables-save", (1220, 1440)),
)
_ALL: Final = ("interface-type", "all")


def edgeos(texts: Mapping[str, str], wanted: Sequence[Wanted]) -> Iterator[ConfigFix]:
    """List the one change: a value for everything, for each family that needs one."""
    found = [setting.words for setting in read_settings(texts.get("saved-config", "")).found]
    if not any(words[0] == "interfaces" for words in found):
        return
    edits = []
    for family, node, entry, command, (low, high) in _PLACES:
        values = [w.mss_bytes for w in wanted if w.family == family and w.mss_bytes]
        if values and low <= min(values) <= high:
            edit = _edit(found, node, entry, command, min(values))
            edits += [edit] if edit is not None else []
    if edits:
        said = " and ".join(str(edit.values["mss"]) for edit in edits)
        yield ConfigFix(
            change="clamp-missing",
            edits=tuple(edits),
            summary=f"clamp the MSS on interfaces of all types to {said}",
            reach="every host whose connections the router forwards",
        )


def _edit(
    config: list[_Words], node: str, entry: str, command: str, needed: int
) -> ConfigEdit | None:
    """Return one family's edit and note it in ``config``; the next one's undo depends on it."""
    section = ("firewall", "options", node)
    before = next((w[-1] for w in config if w[:-1] == (*section, "mss")), None)
    if before is not None and not before.isdecimal():
        return None
    mss = min(needed, int(before)) if before is not None else needed
    has_all = (*section, *_ALL) in config
    if has_all and str(mss) == before:
        return None
    levels = sum(any(w[:length] == section[:length] for w in config) for length in (1, 2, 3))
    config += [(*section, *_ALL), (*section, "mss", str(mss))]
    path = " ".join(section)
    return ConfigEdit(
        entry=entry,
        command=command,
        values={
            "mss": mss,
            "had_mss": int(before is not None),
            "mss_before": int(before or 0),
            "had_all": int(has_all),
            "had_levels": levels,
        },
        settings=(
            Setting(section=path, key=" ".join(_ALL), before="" if has_all else None, after=""),
            Setting(section=path, key="mss", before=before, after=str(mss)),
        ),
    )
