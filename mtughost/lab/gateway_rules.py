"""The saved packet filter of a lab gateway, in the words of several kinds of gateway.

All styles say the same: NAT on the way out, a forward filter, and the scenario's clamp. ``nft`` and
``iptables`` are what a person writes; ``iptables-legacy`` is the same through the old kernel
interface; ``fw4`` is what OpenWrt generates, ``vyos`` what VyOS does (both without counters).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from mtughost.lab import rules_iptables, rules_nft
from mtughost.lab.addressing import Names
from mtughost.lab.plan import File
from mtughost.lab.rules import RulePlan, Zone
from mtughost.lab.scenarios import Scenario

NFT_FILE = "/etc/nftables.conf"
_PROGRAMS = ("iptables", "iptables-save", "iptables-restore")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleStyle:
    """How a gateway's rules are written.

    Attributes:
        name: One of :data:`mtughost.lab.spec.ClampStyle`.
        noise: Seed of rules that have nothing to do with the clamp, and of the order of all; 0
            leaves them out.
    """

    name: str
    noise: int = 0


def zone_of(names: Names, scenario: Scenario) -> Zone:
    """Return the interfaces of a retail gateway."""
    standby = names.standby if scenario.standby_mtu_bytes else ""
    return Zone(names.ap_vlan, names.pos_vlan, names.wan, standby)


def gateway_files(
    scenario: Scenario, style: RuleStyle, zone: Zone, *, nat: bool = True
) -> dict[str, File]:
    """Return the saved rule files of one gateway."""
    saved = scenario if scenario.clamp_saved else replace(scenario, clamp="none")
    plan = _plan(saved, style, zone, nat=nat)
    if not style.name.startswith("iptables"):
        return {NFT_FILE: File(content=_nft(plan, style).encode(), mode=0o755)}
    files = {
        "/etc/iptables/rules.v4": File(content=rules_iptables.v4(plan).encode()),
        "/etc/iptables/rules.v6": File(content=rules_iptables.v6(plan).encode()),
    }
    return files | (_legacy_programs() if style.name == "iptables-legacy" else {})


def running_script(scenario: Scenario, style: RuleStyle, zone: Zone, *, nat: bool = True) -> str:
    """Return the shell lines that bring a gateway to what runs but was never saved, or ``""``."""
    if scenario.clamp_saved:
        return ""
    plan = _plan(scenario, style, zone, nat=nat)
    if not style.name.startswith("iptables"):
        return f"nft -f - <<'END'\n{_nft(plan, style)}END\n"
    return (
        f"iptables-restore <<'END' || exit 1\n{rules_iptables.v4(plan)}END\n"
        f"ip6tables-restore <<'END'\n{rules_iptables.v6(plan)}END\n"
    )


def _plan(scenario: Scenario, style: RuleStyle, zone: Zone, *, nat: bool) -> RulePlan:
    dice = random.Random(style.noise) if style.noise else None  # noqa: S311 - variety
    return RulePlan(scenario=scenario, zone=zone, nat=nat, dice=dice)


def _nft(plan: RulePlan, style: RuleStyle) -> str:
    write = {"nft": rules_nft.native, "fw4": rules_nft.fw4, "vyos": rules_nft.vyos}[style.name]
    return write(plan)


def _legacy_programs() -> dict[str, File]:
    """Return wrappers, so that ``iptables`` on this device means the old kernel interface."""
    files = {}
    for program in _PROGRAMS:
        for name in (program, program.replace("ip", "ip6", 1)):
            old = name.replace("tables", "tables-legacy", 1)
            text = f'#!/bin/sh\nexec /usr/sbin/{old} "$@"\n'
            files[f"/usr/local/bin/{name}"] = File(content=text.encode(), mode=0o755)
    return files
