"""Clamps that might repair a site behind VyOS: on the VLAN, on the egress, on both.

Each VyOS clamp is for what leaves one interface, so that one alone covers one packet of the
handshake. 1.3 keeps it under ``firewall options``, later versions at the interface itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mtughost.dialects.vyatta_tree import read_settings
from mtughost.model.config import ConfigEdit, ConfigFix, ConfigValue, Setting, Wanted

_Words = tuple[str, ...]
#: The command whose answer planned settings are added to: what the clamps are read from.
_COMMAND: Final = "nft-text"
_VERSION: Final = re.compile(r"^Version:\s+(?:VyOS\s+)?(\d+)\.(\d+)", re.MULTILINE)
_NAME: Final = re.compile(r"[a-z][a-z0-9]{1,14}(?:\.\d{1,4})?")
_MOVED: Final = (1, 4)
#: VyOS's own limits, by family: adjust-mss at the interface, and the options of 1.3.
_NEW_RANGE: Final = {"ipv4": (500, 65535), "ipv6": (1220, 65535)}
_OLD_RANGE: Final = {"ipv4": (500, 1460), "ipv6": (1280, 1492)}
_NODES: Final = {"ipv4": "ip", "ipv6": "ipv6"}


def vyos(texts: Mapping[str, str], wanted: Sequence[Wanted]) -> Iterator[ConfigFix]:
    """List them, the VLAN of the access points first."""
    version = _VERSION.search(texts.get("version", ""))
    config = [setting.words for setting in read_settings(texts.get("saved-config", "")).found]
    lans, wans = sorted({w.lan for w in wanted}), sorted({w.wan for w in wanted})
    if version is None or not config:
        return
    is_old = (int(version[1]), int(version[2])) < _MOVED
    for names in (lans, wans, [*lans, *wans]):
        edits = tuple(_edits(list(config), names, wanted, is_old=is_old))
        if not edits:
            continue
        values = " and ".join(sorted({str(edit.values["mss"]) for edit in edits}, reverse=True))
        yield ConfigFix(
            change="clamp-missing",
            edits=edits,
            summary=f"clamp the MSS of what leaves by {' and '.join(names)} to {values}",
            reach=f"every host whose connections are answered or leave by {' or '.join(names)}",
        )


def _edits(
    config: list[_Words], names: Sequence[str], wanted: Sequence[Wanted], *, is_old: bool
) -> Iterator[ConfigEdit]:
    """Yield one edit per interface and family; each sees the ones before it."""
    limits = _OLD_RANGE if is_old else _NEW_RANGE
    for name in names:
        for family in ("ipv4", "ipv6"):
            values = [w.mss_bytes for w in wanted if w.family == family and w.mss_bytes]
            low, high = limits[family]
            place = _place(config, name)
            if not values or not low <= min(values) <= high or place is None:
                continue
            edit = _old if is_old else _new
            yield edit(config, place, name, family, min(values))


def _place(config: Sequence[_Words], name: str) -> _Words | None:
    """Return kind, port and VLAN of an interface, ``None`` where the configuration has none."""
    port, _, vif = name.partition(".")
    if not _NAME.fullmatch(name):
        return None
    for words in config:
        if words[0] != "interfaces" or words[2:3] != (port,):
            continue
        if not vif or words[3:5] == ("vif", vif):
            return (words[1], port, vif)
    return None


def _new(config: list[_Words], place: _Words, _: str, family: str, mss: int) -> ConfigEdit:
    kind, port, vif = place
    section: _Words = ("interfaces", kind, port, *(("vif", vif) if vif else ()), _NODES[family])
    before = _value(config, (*section, "adjust-mss"))
    values: dict[str, ConfigValue] = {
        "kind": kind,
        "port": port,
        "has_vif": int(bool(vif)),
        "vif": int(vif or 0),
        "had_node": int(_exists(config, section)),
    }
    entry = "clamp-interface" if family == "ipv4" else "clamp-interface6"
    return _edit(config, entry, section, "adjust-mss", before, mss, values)


def _old(config: list[_Words], _: _Words, name: str, family: str, mss: int) -> ConfigEdit:
    section: _Words = ("firewall", "options", "interface", name)
    key = "adjust-mss" if family == "ipv4" else "adjust-mss6"
    levels = sum(_exists(config, section[:length]) for length in (1, 2, 4))
    values: dict[str, ConfigValue] = {"interface": name, "had_levels": levels}
    entry = "clamp-option" if family == "ipv4" else "clamp-option6"
    return _edit(config, entry, section, key, _value(config, (*section, key)), mss, values)


def _edit(
    config: list[_Words],
    entry: str,
    section: _Words,
    key: str,
    before: str | None,
    mss: int,
    values: Mapping[str, ConfigValue],
) -> ConfigEdit:
    config.append((*section, key, str(mss)))
    return ConfigEdit(
        entry=entry,
        command=_COMMAND,
        values={"mss": mss, "had": int(before is not None), "mss_before": before or "0", **values},
        settings=(
            Setting(
                section=" ".join(section),
                key=key,
                # As "show configuration commands" prints a value.
                before=None if before is None else f"'{before}'",
                after=f"'{mss}'",
            ),
        ),
    )


def _exists(config: Sequence[_Words], path: _Words) -> bool:
    return any(words[: len(path)] == path for words in config)


def _value(config: Sequence[_Words], path: _Words) -> str | None:
    found = [words[-1] for words in config if words[:-1] == path]
    return found[-1] if found else None
