"""A virtual pfSense: interfaces, scrub rules of pf, programs of FreeBSD behind a csh login.

After FreeBSD's manual pages: what enters and what leaves an interface is looked up separately, the
first scrub rule that matches decides, and a smaller MSS is left alone. The web interface's field
"MSS" is an MTU: 40 or 60 are taken off when the rules are written.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mtughost.lab.fleet.device import Account
from mtughost.lab.fleet.effects import Family, Handshake
from mtughost.lab.fleet.plans import GatewayPlan
from mtughost.lab.fleet.shell import ShellRouter, prelude

NAMES = {"ap": "em1.20", "pos": "em1.30", "wan": "em0"}
_SET = re.compile(r"set (\w+\.\w+) (\S+)")
_RULE = re.compile(
    r"scrub(?: (?P<way>in|out))?(?: on (?P<name>\S+))?(?: (?P<family>inet6?))?(?: all)?"
    r"(?: max-mss (?P<mss>\d+))? fragment reassemble"
)
_FAMILIES: dict[str, Family] = {"inet": "ipv4", "inet6": "ipv6"}
_SYSCTLS = (
    "sysctl net.inet.tcp.path_mtu_discovery net.inet.icmp.icmplim "
    "net.inet.tcp.pmtud_blackhole_detection"
)


@dataclass(frozen=True, slots=True)
class Scrub:
    """One scrub rule; ``""`` and 0 mean that it does not ask or limit."""

    way: str
    name: str
    family: str
    mss: int
    text: str

    def takes(self, way: str, name: str, family: Family) -> bool:
        """Say whether a packet is this rule's."""
        asks = (self.way in {"", way}, self.name in {"", name})
        return all(asks) and (not self.family or _FAMILIES[self.family] == family)


class PfSense(ShellRouter):
    """One firewall.

    Attributes:
        saved: What ``config.xml`` holds; the web interface's own rules are made of it.
        extra: Rules that somebody loaded by hand, before the others: until the next filter reload.
        ppp_fix: Whether mpd5's ``tcpmssfix`` is on for its only link.
    """

    platform = "pfsense"
    has_csh = True

    def furnish(self) -> None:
        """Set the state that it leaves the factory with."""
        self.saved: dict[str, str] = {}
        self.extra: list[Scrub] = []
        self.is_on = True
        self.ppp_fix = True
        self.hits: dict[str, int] = {}

    def load_saved(self) -> None:
        """Boot: the filter is written anew."""
        self.extra = []

    def state(self) -> object:
        """Return what is saved, and what was loaded by hand."""
        return {"saved": dict(self.saved), "extra": list(self.extra)}

    def obey(self, line: str) -> str:
        """Take a value of the web interface (``set KEY VALUE``), or a rule by hand."""
        if found := _SET.fullmatch(line):
            self.saved[found[1]] = found[2]
            self.extra = []
        elif _RULE.fullmatch(line):
            self.extra.append(_scrub(line))
        else:
            return f"{line.split(maxsplit=1)[0]}: Command not found.\n"
        return ""

    # -- what it does ----------------------------------------------------------------------------
    def name_of(self, part: str) -> str:
        """Return an interface's name: a WAN with PPPoE has one of its own."""
        is_ppp = part == "wan" and self.saved.get("wan.type") == "pppoe"
        return "pppoe0" if is_ppp else NAMES[part]

    def mtu_of(self, name: str) -> int:
        """Return the MTU of an interface."""
        parts = {self.name_of(part): part for part in NAMES}
        return int(self.saved.get(f"{parts.get(name, '')}.mtu", "1500"))

    def scrubs(self) -> Iterator[Scrub]:
        """Yield the rules in order."""
        yield from self.extra
        for part in NAMES:
            typed = int(self.saved.get(f"{part}.mss", "0"))
            for family, headers in (("inet", 40), ("inet6", 60)):
                limit = f" max-mss {typed - headers}" if typed else ""
                yield _scrub(
                    f"scrub on {self.name_of(part)} {family} all{limit} fragment reassemble"
                )

    def forward(self, packet: Handshake) -> int:
        """Normalise on the way in, then on the way out; mpd5's links by themselves."""
        mss = packet.mss
        for way, name in (("in", packet.enters), ("out", packet.leaves)):
            rules = self.scrubs() if self.is_on else iter(())
            rule = next((r for r in rules if r.takes(way, name, packet.family)), None)
            if rule is not None:
                self.hits[rule.text] = self.hits.get(rule.text, 0) + 1
                mss = min(mss, rule.mss or mss)
            if name.startswith("pppoe") and self.ppp_fix and packet.family == "ipv4":
                mss = min(mss, self.mtu_of(name) - 40)
        return mss

    # -- what it prints --------------------------------------------------------------------------
    def prelude(self, account: Account) -> str:
        """Return the functions that answer one account."""
        is_root = account.level != "partial"
        denied = "pfctl: /dev/pf: Permission denied"
        who = self.identity
        status = "Enabled" if self.is_on else "Disabled"
        mss_fix = "/var/etc/mpd_wan.conf:\tset iface enable tcpmssfix\n"
        has_fix = self.ppp_fix and self.saved.get("wan.type") == "pppoe"
        answers = {
            "uname -n": f"{who.hostname}\n",
            "id -u": "0\n" if is_root else "1001\n",
            "sysctl -n hw.model": f"{who.model}\n",
            "ifconfig -a": "".join(self._links()),
            "netstat -rnW": "".join(self._routes()),
            "pfctl -vvsr": "".join(self._rules()),
            "pfctl -si": f"Status: {status} for 3 days 01:02:03           Debug: Urgent\n\n",
            _SYSCTLS: "".join(f"{key}: 1\n" for key in _SYSCTLS.split()[1:]),
            "netstat -s -p ip": "ip:\n\t4711 total packets received\n",
            "date -u +%Y-%m-%dT%H:%M:%SZ": "2026-11-21T12:00:00Z\n",
        }
        files = {"/etc/version": f"{who.version}\n"}
        programs = ("ifconfig", "netstat", "pfctl", "opnsense-version")
        refused = {} if is_root else {"pfctl": denied}
        shown = prelude(files, answers, programs, refused=refused, is_root=is_root)
        # Of no other file is anything looked for.
        found = f"printf %s '{mss_fix}'" if has_fix else "return 1"
        return f"{shown}\ngrep() {{ {found}; }}\n"

    def _links(self) -> Iterator[str]:
        yield "em1: flags=8963<UP,BROADCAST,RUNNING,PROMISC,SIMPLEX,MULTICAST> metric 0 mtu 1500\n"
        yield f"\tether {self.mac_of('em1')}\n\tmedia: Ethernet autoselect (1000baseT)\n"
        yield "\tstatus: active\n"
        for part, tag in (("wan", 0), ("ap", 20), ("pos", 30)):
            name = self.name_of(part)
            mine = ipaddress.IPv4Interface(self.saved[f"{part}.address"])
            yield f"{name}: flags=8943<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 "
            yield f"mtu {self.mtu_of(name)}\n\tether {self.mac_of(name)}\n"
            yield f"\tinet {mine.ip} netmask 0x{int(mine.netmask):08x} "
            yield f"broadcast {mine.network.broadcast_address}\n"
            if tag:
                yield f"\tgroups: vlan stores\n\tvlan: {tag} vlanproto: 802.1q vlanpcp: 0 "
                yield "parent interface: em1\n"
            yield "\tstatus: active\n"
        yield "lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> metric 0 mtu 16384\n"
        yield "\tinet 127.0.0.1 netmask 0xff000000\n\tgroups: lo\n"

    def _routes(self) -> Iterator[str]:
        yield "Routing tables\n\nInternet:\n"
        yield f"{'Destination':<18} {'Gateway':<18} Flags   Nhop#    Mtu      Netif Expire\n"
        wan = self.name_of("wan")
        hop = self.saved["wan.gateway"]
        yield f"{'default':<18} {hop:<18} UGS         7 {self.mtu_of(wan):>6} {wan:>10}\n"
        for number, part in enumerate(NAMES, start=1):
            name = self.name_of(part)
            mine = ipaddress.IPv4Interface(self.saved[f"{part}.address"])
            link = f"link#{number}"
            mtu = self.mtu_of(name)
            yield f"{mine.network!s:<18} {link:<18} U           3 {mtu:>6} {name:>10}\n"
            yield f"{mine.ip!s:<18} {link:<18} UHS         4  16384        lo0\n"
        yield "\nInternet6:\n"
        yield f"{'Destination':<33} {'Gateway':<33} Flags   Nhop#    Mtu      Netif Expire\n"
        yield f"{'fe80::%em1/64':<33} {'link#2':<33} U           5   1500        em1\n"

    def _rules(self) -> Iterator[str]:
        for number, rule in enumerate(self.scrubs()):
            count = self.hits.get(rule.text, 0)
            yield f"@{number} {rule.text}\n"
            yield f"  [ Evaluations: {9 * count:<9} Packets: {count:<9} "
            yield f"Bytes: {60 * count:<11} States: 0     ]\n"
            yield "  [ Inserted: uid 0 pid 0 State Creations: 0     ]\n"
        yield '@0 block drop in log inet all label "Default deny rule" ridentifier 1000000103\n'
        yield "  [ Evaluations: 900       Packets: 12        Bytes: 720         States: 0     ]\n"
        yield "@1 pass in quick on em1.20 inet from 10.0.0.0/8 to any flags S/SA keep state\n"


def _scrub(text: str) -> Scrub:
    found = _RULE.fullmatch(text)
    assert found is not None, text  # noqa: S101 - our own line
    parts = found["way"] or "", found["name"] or "", found["family"] or ""
    return Scrub(*parts, int(found["mss"] or 0), text)


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what makes a firewall between both VLANs and the WAN."""
    lines = [
        f"set wan.address {plan.wan_address}",
        f"set ap.address {plan.ap_address}",
        f"set pos.address {plan.pos_address}",
        f"set wan.gateway {plan.wan_next_hop}",
        f"set wan.mtu {plan.wan_mtu_bytes}",
        f"set ap.mtu {plan.ap_mtu_bytes}",
    ]
    # The web interface wants an MTU.
    return lines + [f"set {clamp.where}.mss {clamp.mss + 40}" for clamp in plan.clamps]
