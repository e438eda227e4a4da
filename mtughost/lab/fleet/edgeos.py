"""A virtual EdgeRouter with EdgeOS: clamps by type of interface, made of iptables rules.

Published listings of its mangle table show a chain for what leaves (from POSTROUTING) and, on newer
firmware, one for what enters (from PREROUTING). Which packets ``mss-clamp`` rewrites is documented
nowhere, so that both are emulated: 1.10 with the first chain alone, 2.0 with both.
"""

from __future__ import annotations

from collections.abc import Iterator

from mtughost.lab.fleet.effects import Family
from mtughost.lab.fleet.plans import GatewayPlan
from mtughost.lab.fleet.router import MssRule, iptables_save
from mtughost.lab.fleet.vyatta import VyattaRouter

NAMES = {"ap": "eth1.20", "pos": "eth1.30", "wan": "eth0"}
_PATHS = {"ap": "ethernet eth1 vif 20", "pos": "ethernet eth1 vif 30", "wan": "ethernet eth0"}
_TYPES = {"all": "", "pppoe": "pppoe+", "pptp": "pptp+", "tun": "tun+", "vti": "vti+"}
_ROOTS = frozenset(
    {"firewall", "interfaces", "policy", "protocols", "service", "system", "port-forward"}
)
_FAMILIES: tuple[tuple[str, Family, str], ...] = (
    ("mss-clamp", "ipv4", "sudo -n iptables-save -c"),
    ("mss-clamp6", "ipv6", "sudo -n ip6tables-save -c"),
)
_OUT, _IN = "UBNT_FW_MSS_CLAMP", "UBNT_FW_MSS_CLAMP_I"


class EdgeRouter(VyattaRouter):
    """One EdgeRouter."""

    platform = "ubiquiti_edgerouter"
    length_lines = (["terminal", "length", "0"],)
    next_hop_path = "protocols static route 0.0.0.0/0 next-hop"

    def knows(self, words: list[str]) -> bool:
        """Say whether a path exists; the types of interface are exactly five."""
        if words[0] == "interfaces" and "adjust-mss" in words:
            return False
        if words[:2] == ["firewall", "options"] and words[-2] == "interface-type":
            return words[-1] in _TYPES
        return words[0] in _ROOTS

    def quoted(self, line: str) -> str:
        """Print values as they are."""
        return line

    def rules(self) -> tuple[MssRule, ...]:
        """Return the rules that the running configuration makes."""
        return tuple(rule for _, rule in self._placed())

    def _placed(self) -> Iterator[tuple[str, MssRule]]:
        for key, family, _ in _FAMILIES:
            path = f"firewall options {key}"
            mss = self.value(f"{path} mss")
            head = f"{path} interface-type "
            types = [x.removeprefix(head) for x in self.running if x.startswith(head)]
            for name in [_TYPES[kind] for kind in types] if mss else ():
                yield _OUT, MssRule(family=family, leaves=name, mss=int(mss))
                if not self.identity.version.startswith("v1."):
                    yield _IN, MssRule(family=family, enters=name, mss=int(mss))

    def filter_views(self) -> dict[str, str]:
        """Return what iptables prints; there is no nft."""
        shown = {"sudo -n nft -a list ruleset": "sudo: nft: command not found\n"}
        for _, family, line in _FAMILIES:
            placed = [(chain, rule) for chain, rule in self._placed() if rule.family == family]
            chains = [(_OUT, "POSTROUTING")]
            if not self.identity.version.startswith("v1."):
                chains.append((_IN, "PREROUTING"))
            shown[line] = iptables_save(chains, placed)
        return shown

    def views(self) -> dict[str, str]:
        """Add what accounts without a shell may ask."""
        return {
            **super().views(),
            "show interfaces": "".join(self._interfaces()),
            "show ip route": "".join(self._routes()),
        }

    def _interfaces(self) -> Iterator[str]:
        yield "Codes: S - State, L - Link, u - Up, D - Down, A - Admin Down\n"
        for words in (
            ("Interface", "IP Address", "S/L", "Description"),
            ("---------", "----------", "---", "-----------"),
        ):
            yield "{:<12} {:<33} {:<4} {}\n".format(*words)
        for nic in self.nics():
            yield f"{nic.name:<12} {nic.address or '-':<33} u/u  \n"

    def _routes(self) -> Iterator[str]:
        yield "Codes: K - kernel, C - connected, S - static, R - RIP, B - BGP\n"
        yield "       > - selected route, * - FIB route, p - stale info\n\n"
        yield 'IP Route Table for VRF "default"\n'
        hop, out = self.way_out()
        yield f"S    *> 0.0.0.0/0 [1/0] via {hop}, {out}\n"
        for nic in self.nics():
            if nic.address:
                yield f"C    *> {nic.network} is directly connected, {nic.name}\n"

    def version_text(self) -> str:
        """Return ``show version``."""
        who = self.identity
        return (
            f"Version:      {who.version}\nBuild ID:     5574651\nBuild on:     02/21/25 10:12\n"
            f"Copyright:    2012-2025 Ubiquiti, Inc.\nHW model:     {who.model}\n"
            f"HW S/N:       {who.serial}\n"
            "Uptime:       12:00:00 up 1 day,  1:00,  1 user,  load average: 0.00, 0.01, 0.05\n"
        )


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what is typed to make a router that routes both VLANs to the WAN."""
    return ["configure", *(f"set {line}" for line in _lines(plan)), "commit", "save", "exit"]


def _lines(plan: GatewayPlan) -> Iterator[str]:
    yield f"interfaces {_PATHS['wan']} address {plan.wan_address}"
    if plan.wan_mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
        yield f"interfaces {_PATHS['wan']} mtu {plan.wan_mtu_bytes}"
    yield f"interfaces {_PATHS['ap']} address {plan.ap_address}"
    if plan.ap_mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
        yield f"interfaces {_PATHS['ap']} mtu {plan.ap_mtu_bytes}"
    yield f"interfaces {_PATHS['pos']} address {plan.pos_address}"
    yield f"protocols static route 0.0.0.0/0 next-hop {plan.wan_next_hop}"
    if plan.ap_address6:
        yield f"interfaces {_PATHS['ap']} address {plan.ap_address6}"
        yield f"interfaces {_PATHS['wan']} address {plan.wan_address6}"
        yield f"protocols static route6 ::/0 next-hop {plan.wan_next_hop6}"
    for clamp in plan.clamps:
        # One value for the whole box; a clamp for the tills only has no counterpart.
        kind = "tun" if clamp.where == "pos" else "all"
        yield f"firewall options mss-clamp interface-type {kind}"
        yield f"firewall options mss-clamp mss {clamp.mss}"
        if plan.ap_address6:
            yield f"firewall options mss-clamp6 interface-type {kind}"
            yield f"firewall options mss-clamp6 mss {clamp.mss - 20}"
