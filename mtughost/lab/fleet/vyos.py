"""A virtual VyOS router, 1.3 (iptables) and from 1.4 on (nftables).

After vyos-1x: each ``adjust-mss`` is one rule for what leaves the interface, in chain
``VYOS_FW_OPTIONS`` of iptables' mangle table (1.3) or ``VYOS_TCP_MSS`` of nft's raw table.
"""

from __future__ import annotations

from collections.abc import Iterator

from mtughost.lab.fleet.effects import Family
from mtughost.lab.fleet.plans import GatewayPlan
from mtughost.lab.fleet.router import MssRule, iptables_save
from mtughost.lab.fleet.vyatta import VyattaRouter

NAMES = {"ap": "eth1.20", "pos": "eth1.30", "wan": "eth0"}
_PATHS = {"ap": "ethernet eth1 vif 20", "pos": "ethernet eth1 vif 30", "wan": "ethernet eth0"}
_ROOTS = frozenset({"firewall", "interfaces", "policy", "protocols", "service", "system", "nat"})
_FAMILIES: dict[str, Family] = {"adjust-mss": "ipv4", "adjust-mss6": "ipv6"}
_NFT, _SAVE, _SAVE6 = (
    "sudo -n nft -a list ruleset",
    "sudo -n iptables-save -c",
    "sudo -n ip6tables-save -c",
)
_LEGACY = "sudo -n cat /proc/net/ip_tables_names /proc/net/ip6_tables_names"


class VyosRouter(VyattaRouter):
    """One VyOS router."""

    platform = "vyos"
    length_lines = (["set", "terminal", "length", "0"],)
    next_hop_path = "protocols static route 0.0.0.0/0 next-hop"

    def furnish(self) -> None:
        """Debian's newer bash brackets what is pasted."""
        super().furnish()
        if not self.is_old:
            self.brackets_paste = True
            self.question = "Proceed ? [Y/n] "

    @property
    def is_old(self) -> bool:
        """Whether it is 1.3, with iptables and another place for the clamp."""
        return self.identity.version.startswith("1.3")

    def knows(self, words: list[str]) -> bool:
        """Say whether a path exists: 1.4 moved the clamp to the interface."""
        if words[:2] == ["firewall", "options"]:
            return self.is_old
        is_clamp = words[0] == "interfaces" and words[-2] == "adjust-mss"
        return words[0] in _ROOTS and not (is_clamp and self.is_old)

    def rules(self) -> tuple[MssRule, ...]:
        """Return the rules that the running configuration makes."""
        return tuple(self._options() if self.is_old else self._interfaces())

    def _options(self) -> Iterator[MssRule]:
        for line in self.running:
            words = line.split()
            if words[:3] == ["firewall", "options", "interface"] and words[4] in _FAMILIES:
                off = f"firewall options interface {words[3]} disable"
                if off not in self.running:
                    yield MssRule(family=_FAMILIES[words[4]], leaves=words[3], mss=_mss(words[5]))

    def _interfaces(self) -> Iterator[MssRule]:
        for line in self.running:
            words = line.split()
            if words[0] == "interfaces" and words[-2] == "adjust-mss":
                name = f"{words[2]}.{words[4]}" if words[3] == "vif" else words[2]
                family: Family = "ipv6" if words[-3] == "ipv6" else "ipv4"
                yield MssRule(family=family, leaves=name, mss=_mss(words[-1]))

    def filter_views(self) -> dict[str, str]:
        """Return what nft and iptables print."""
        missing = "sudo: {}: command not found\n"
        if not self.is_old:
            return {
                _NFT: "".join(self._nft()),
                _SAVE: missing.format("iptables-save"),
                _SAVE6: missing.format("ip6tables-save"),
                _LEGACY: "".join(_absent(name) for name in ("ip_tables", "ip6_tables")),
            }
        saves: dict[str, str] = {}
        for line, family in ((_SAVE, "ipv4"), (_SAVE6, "ipv6")):
            mine = [rule for rule in self.rules() if rule.family == family]
            chains = [("VYOS_FW_OPTIONS", "FORWARD")] if mine else []
            saves[line] = iptables_save(chains, [("VYOS_FW_OPTIONS", rule) for rule in mine])
        return {_NFT: "", **saves, _LEGACY: "mangle\nmangle\n"}

    def _nft(self) -> Iterator[str]:
        handle = 10
        for table, family in (("ip raw", "ipv4"), ("ip6 raw", "ipv6")):
            yield f"table {table} {{ # handle {handle}\n\tchain VYOS_TCP_MSS {{ # handle 1\n"
            yield "\t\ttype filter hook forward priority raw; policy accept;\n"
            for rule in self.rules():
                if rule.family == family:
                    handle += 1
                    yield f"\t\t{_nft_rule(rule)} # handle {handle}\n"
            yield "\t}\n\n\tchain vyos_global_rpfilter { # handle 2\n\t\treturn # handle 7\n\t}\n\n"
            yield "\tchain vyos_rpfilter { # handle 3\n"
            yield "\t\ttype filter hook prerouting priority raw; policy accept;\n"
            yield "\t\tcounter packets 812 bytes 48720 jump vyos_global_rpfilter # handle 8\n\t}\n"
            yield "}\n"
        yield "table inet mangle { # handle 30\n\tchain FORWARD { # handle 1\n"
        yield "\t\ttype filter hook forward priority mangle; policy accept;\n\t}\n}\n"
        yield "table ip vyos_nat { # handle 31\n\tchain POSTROUTING { # handle 1\n"
        yield "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
        yield '\t\toifname "eth0" counter packets 9 bytes 540 masquerade comment "SRC-NAT-10"'
        yield " # handle 4\n\t}\n}\n"

    def version_text(self) -> str:
        """Return ``show version``."""
        who = self.identity
        train = {"1.3": "equuleus", "1.4": "sagitta"}.get(who.version[:3], "circinus")
        rows = {
            "Version": f"VyOS {who.version}",
            "Release train": train,
            "": "",
            "Built by": "builder@example.net",
            "Built on": "Fri 21 Nov 2025 12:00 UTC",
            "Architecture": "x86_64",
            "Boot via": "installed image",
            "System type": "bare metal",
            "Hardware vendor": "Example",
            "Hardware model": who.model,
            "Hardware S/N": who.serial,
            "Copyright": "VyOS maintainers and contributors",
        }
        text = "".join(f"{f'{key}:':<17} {value}\n" if key else "\n" for key, value in rows.items())
        return "\n" + text


def _mss(value: str) -> int:
    return 0 if value == "clamp-mss-to-pmtu" else int(value)


def _absent(name: str) -> str:
    return f"cat: /proc/net/{name}_names: No such file or directory\n"


def _nft_rule(rule: MssRule) -> str:
    match = f'oifname "{rule.leaves}" tcp flags syn / syn,rst'
    if not rule.mss:
        return f"{match} tcp option maxseg size set rt mtu"
    guard = f"tcp option maxseg size {rule.mss + 1}-65535"
    return f"{match} {guard} tcp option maxseg size set {rule.mss}"


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what is typed to make a router that routes both VLANs to the WAN."""
    lines = []
    for clamp in plan.clamps:
        lines.append(f"interfaces {_PATHS[clamp.where]} ip adjust-mss {clamp.mss}")
        if plan.ap_address6:
            lines.append(f"interfaces {_PATHS[clamp.where]} ipv6 adjust-mss {clamp.mss - 20}")
    return _typed(plan, lines)


def lines_before_1_4(plan: GatewayPlan) -> list[str]:
    """Return the same with the clamps where 1.3 has them."""
    lines = []
    for clamp in plan.clamps:
        head = f"firewall options interface {NAMES[clamp.where]}"
        lines.append(f"{head} adjust-mss {clamp.mss}")
        if plan.ap_address6:
            lines.append(f"{head} adjust-mss6 {clamp.mss - 20}")
    return _typed(plan, lines)


def _typed(plan: GatewayPlan, clamps: list[str]) -> list[str]:
    lines = [f"set {line}" for line in (*_lines(plan), *clamps)]
    return ["configure", *lines, "commit", "save", "exit"]


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
