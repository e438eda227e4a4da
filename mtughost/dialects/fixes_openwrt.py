"""Clamps that might repair a site behind OpenWrt: ``mtu_fix`` of a zone.

It works for what enters and for what leaves by the zone's devices, for both families, and takes
its value from the path MTU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mtughost.dialects.openwrt import Zone, read_zones
from mtughost.model.config import ConfigEdit, ConfigFix, Setting, Wanted
from mtughost.model.plans import TOKEN_MARK

#: The command whose answer planned settings are added to: what the clamps are read from.
_COMMAND: Final = "nft-text"


def openwrt(texts: Mapping[str, str], wanted: Sequence[Wanted]) -> Iterator[ConfigFix]:
    """List them, the zone of the access points first."""
    zones = read_zones(texts.get("firewall-config", ""), texts.get("fw4-print", ""))
    lans, wans = sorted({w.lan for w in wanted}), sorted({w.wan for w in wanted})
    for names in (lans, wans, [*lans, *wans]):
        holding = [zone for zone in zones if set(zone.devices) & set(names)]
        missed = set(names) - {device for zone in holding for device in zone.devices}
        off = [zone for zone in holding if not zone.is_clamped]
        if missed or not off:
            continue
        called = " and ".join(zone.name for zone in off)
        yield ConfigFix(
            change="clamp-missing",
            target="uci firewall",
            edits=tuple(_edit(zone) for zone in off),
            summary=f"switch on mtu_fix of the firewall zone {called}",
            reach=f"every host whose connections enter or leave by the zone {called}",
        )


def _edit(zone: Zone) -> ConfigEdit:
    before = zone.options.get("mtu_fix")
    return ConfigEdit(
        entry="clamp-zone",
        command=_COMMAND,
        values={
            "token": TOKEN_MARK,
            "zone": zone.number,
            "had": int(before is not None),
            "before": 0,
        },
        settings=(
            Setting(
                section=zone.section,
                key="mtu_fix",
                before=None if before is None else f"'{before}'",
                after="'1'",
            ),
        ),
    )
