"""A virtual UniFi gateway: a chain of iptables that the network application fills.

After published listings of ``UBIOS_FORWARD_TCPMSS``: rules per WAN and tunnel, one for what leaves
and one for what enters. A clamp on a VLAN is a site's own script: one rule for what leaves. The
next provisioning rebuilds the chain, so that such a rule is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mtughost.lab.fleet.device import Account
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.plans import GatewayPlan
from mtughost.lab.fleet.router import MssRule, Nic, Views, iptables_save, rewritten, sysctl_text
from mtughost.lab.fleet.shell import ShellRouter, prelude

NAMES = {"ap": "br20", "pos": "br30", "wan": "eth4"}
_CHAIN = "UBIOS_FORWARD_TCPMSS"
_SET = re.compile(r"provision (\w+\.\w+) (\S+)")
_SCRIPT = re.compile(
    rf"iptables -t mangle -A {_CHAIN} -o (\S+) -p tcp --tcp-flags SYN,RST SYN "
    r"-j TCPMSS --set-mss (\d+)"
)
_PROGRAMS = ("ubnt-device-info",)
_KEYS = (
    "net.ipv4.ip_no_pmtu_disc net.ipv4.tcp_mtu_probing net.ipv4.tcp_base_mss "
    "net.ipv4.ip_forward net.ipv4.ip_forward_use_pmtu net.ipv4.route.min_pmtu "
    "net.ipv4.tcp_timestamps net.ipv6.conf.all.forwarding"
)


class UnifiGateway(ShellRouter):
    """One gateway.

    Attributes:
        saved: What the network application provisions.
        scripted: Rules that somebody added over SSH: until the next provisioning or reboot.
    """

    platform = "ubiquiti_unifigateway"

    def furnish(self) -> None:
        """Set the state that it leaves the factory with."""
        self.saved: dict[str, str] = {}
        self.scripted: list[MssRule] = []

    def load_saved(self) -> None:
        """Boot: the application's configuration is all there is."""
        self.scripted = []

    def state(self) -> object:
        """Return what is provisioned, and what was added by hand."""
        return {"saved": dict(self.saved), "scripted": list(self.scripted)}

    def obey(self, line: str) -> str:
        """Take what the application provisions (``provision KEY VALUE``), or a rule by hand."""
        if found := _SET.fullmatch(line):
            self.saved[found[1]] = found[2]
            self.scripted = []
        elif found := _SCRIPT.fullmatch(line):
            self.scripted.append(MssRule(family="ipv4", leaves=found[1], mss=int(found[2])))
        else:
            return f"-bash: {line.split(maxsplit=1)[0]}: command not found\n"
        return ""

    # -- what it does ----------------------------------------------------------------------------
    def nics(self) -> tuple[Nic, ...]:
        """Return its interfaces."""
        return tuple(
            Nic(
                name=name,
                mtu=int(self.saved.get(f"{part}.mtu", "1500")),
                mac=self.mac_of(name),
                address=self.saved.get(f"{part}.address", ""),
                kind="bridge" if name.startswith("br") else "",
            )
            for part, name in NAMES.items()
        )

    def mtu_of(self, name: str) -> int:
        """Return the MTU of an interface."""
        return next((nic.mtu for nic in self.nics() if nic.name == name), 1500)

    def rules(self) -> tuple[MssRule, ...]:
        """Return the chain's rules of IPv4."""
        return (*self._provisioned(), *self.scripted)

    def _provisioned(self) -> Iterator[MssRule]:
        if mss := self.saved.get("wan.mss"):
            yield MssRule(family="ipv4", leaves=NAMES["wan"], mss=int(mss))
            yield MssRule(family="ipv4", enters=NAMES["wan"], mss=int(mss))

    def forward(self, packet: Handshake) -> int:
        """Rewrite the MSS as the kernel's rules do."""
        return rewritten(packet, self.rules(), {nic.name: nic.mtu for nic in self.nics()})

    # -- what it prints --------------------------------------------------------------------------
    def prelude(self, account: Account) -> str:
        """Return the functions that answer one account."""
        is_root = account.level != "partial"
        denied = "iptables-save: Permission denied (you must be root)"
        refused = {} if is_root else dict.fromkeys(("iptables-save", "ip6tables-save"), denied)
        who = self.identity
        shown = Views(self.nics(), (self.saved.get("wan.gateway", ""), NAMES["wan"])).answers()
        chains = [(_CHAIN, "FORWARD")]
        answers = {
            **shown,
            "id -u": "0\n" if is_root else "1000\n",
            "uname -n": f"{who.hostname}\n",
            "ubnt-device-info firmware": f"{who.version}\n",
            "ubnt-device-info model": f"{who.model}\n",
            "iptables-save -c": iptables_save(chains, [(_CHAIN, rule) for rule in self.rules()]),
            "ip6tables-save -c": iptables_save(chains, []),
            f"sysctl {_KEYS}": sysctl_text(_KEYS.split()),
        }
        files = {
            "/proc/uptime": "86400.10 172000.20\n",
            "/proc/net/snmp": shown["cat /proc/net/snmp"],
            "/proc/net/ip_tables_names": "mangle\n",
            "/proc/net/ip6_tables_names": "mangle\n",
        }
        return prelude(files, answers, _PROGRAMS, refused=refused, is_root=is_root)


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what makes a gateway that routes both VLANs to the WAN."""
    return list(_lines(plan))


def _lines(plan: GatewayPlan) -> Iterator[str]:
    for part, address in (
        ("ap", plan.ap_address),
        ("pos", plan.pos_address),
        ("wan", plan.wan_address),
    ):
        yield f"provision {part}.address {address}"
    yield f"provision wan.gateway {plan.wan_next_hop}"
    yield f"provision wan.mtu {plan.wan_mtu_bytes}"
    yield f"provision ap.mtu {plan.ap_mtu_bytes}"
    # The application's own clamp is the WAN's; provisioning comes before anything by hand.
    for mss in plan.mss("wan"):
        yield f"provision wan.mss {mss}"
    words = "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss"
    for part in ("ap", "pos"):
        for mss in plan.mss(part):
            yield f"iptables -t mangle -A {_CHAIN} -o {NAMES[part]} {words} {mss}"
