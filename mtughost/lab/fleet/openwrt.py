"""A virtual OpenWrt gateway: UCI configuration, zones with ``mtu_fix``, fw4 or fw3 rules.

After firewall4's published templates: ``mtu_fix`` of a zone makes one rule for what enters by its
devices and one for what leaves, for both families; fw4 before its commit 698a533 held both in the
forward chain. Of fw3 the older form is emulated, iptables rules for what leaves only.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from mtughost.lab.fleet.device import Account
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.openwrt_flash import Flash, writes
from mtughost.lab.fleet.plans import GatewayPlan
from mtughost.lab.fleet.router import MssRule, Nic, Views, rewritten, sysctl_text
from mtughost.lab.fleet.shell import Script, ShellRouter, prelude

NAMES = {"ap": "br-lan.20", "pos": "br-lan.30", "wan": "wan"}
#: Zones by their section, as the shipped configuration orders them, with their device.
_ZONES = {"@zone[0]": "ap", "@zone[1]": "pos", "@zone[2]": "wan"}
_NETWORKS = {"ap": "ap", "pos": "pos", "wan": "wan"}
_SET = re.compile(r"uci set ([\w.@\[\]-]+)='([^']*)'")
_DELETE = re.compile(r"uci (?:-q )?delete ([\w.@\[\]-]+)")
_PROGRAMS = ("ubus", "uci", "fw4")
_KEYS = (
    "net.ipv4.ip_no_pmtu_disc net.ipv4.tcp_mtu_probing net.ipv4.tcp_base_mss "
    "net.ipv4.ip_forward net.ipv4.ip_forward_use_pmtu net.ipv4.route.min_pmtu "
    "net.ipv4.tcp_timestamps net.ipv6.conf.all.forwarding"
)
#: How often files are looked at while an undo is armed.
_LOOK_S = 0.5


class OpenWrt(ShellRouter):
    """One gateway.

    Attributes:
        staged: Deltas that nobody committed.
        saved: ``/etc/config``, which a boot and a reload load.
        running: What was loaded.
    """

    platform = "openwrt"

    def furnish(self) -> None:
        """Set the state that it leaves the factory with."""
        self.staged: dict[str, str | None] = {}
        self.saved: dict[str, str] = {"system.hostname": self.identity.hostname}
        self.running = dict(self.saved)
        self._flash: Flash | None = None
        self._is_looking = False

    def load_saved(self) -> None:
        """Boot."""
        self.staged = {}
        if self._flash is not None:
            self._flash.boot(self.boot_id)
            self._read_flash()
        self.running = dict(self.saved)

    # -- a change by script ----------------------------------------------------------------------
    def script(self, account: Account, text: str) -> Script:
        """Run what changes something on files of its own."""
        self._read_flash()
        if not writes(text) or account.level != "full":
            return super().script(account, text)
        if self._flash is None:
            if self.home is None:
                self.home = Path(tempfile.mkdtemp(prefix="mtughost-openwrt-"))
                weakref.finalize(self, shutil.rmtree, self.home, ignore_errors=True)
            self._flash = Flash(self.home / "flash")
            self._write_flash()
        return Script(self._flash.moved(text), self._flash.environment)

    def script_ended(self) -> None:
        """Take over what the script left on flash; an armed undo may change that later."""
        self._read_flash()
        super().script_ended()

    def _read_flash(self) -> None:
        if self._flash is None:
            return
        others = {k: v for k, v in self.saved.items() if not _is_firewall(k)}
        self.saved = {**others, **self._flash.saved()}
        others = {k: v for k, v in self.running.items() if not _is_firewall(k)}
        self.running = {**others, **self._flash.loaded()}
        if self._flash.is_armed and not self._is_looking:
            self._is_looking = True
            self.clock.call_later(_LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self._is_looking = False
        self._read_flash()

    def _write_flash(self) -> None:
        if self._flash is not None:
            self._flash.write(_firewall(self.saved), _firewall(self.running), self.boot_id)

    @property
    def boot_id(self) -> str:
        """A number that every boot chooses anew."""
        return f"00000000-0000-4000-8000-{self.reboots:012x}"

    def state(self) -> object:
        """Return running and saved configuration."""
        return {"running": dict(self.running), "saved": dict(self.saved)}

    def obey(self, line: str) -> str:
        """Obey one line that configures."""
        if ";" in line or "&&" in line:
            _, out, err = self.run_script(Account(username="factory"), line + "\n")
            return out + err
        said = self._obey(line)
        self._write_flash()
        return said

    def _obey(self, line: str) -> str:
        if found := _SET.fullmatch(line):
            self.staged[found[1]] = found[2]
        elif found := _DELETE.fullmatch(line):
            self.staged[found[1]] = None
        elif line == "uci commit":
            for key, value in self.staged.items():
                if value is None:
                    self.saved.pop(key, None)
                else:
                    self.saved[key] = value
            self.staged = {}
        elif line in {"/etc/init.d/firewall reload", "/etc/init.d/network reload"}:
            is_firewall = "firewall" in line
            # Each of the two reads its own file.
            kept = {k: v for k, v in self.running.items() if _is_firewall(k) != is_firewall}
            read = {k: v for k, v in self.saved.items() if _is_firewall(k) == is_firewall}
            self.running = {**kept, **read}
        else:
            return f"-ash: {line.split(maxsplit=1)[0]}: not found\n"
        return ""

    # -- what it does ----------------------------------------------------------------------------
    @property
    def is_old(self) -> bool:
        """Whether it has fw3, which makes iptables rules."""
        return self.identity.version < "22"

    def nics(self) -> tuple[Nic, ...]:
        """Return its interfaces as the configuration makes them."""
        return tuple(self._nics())

    def _nics(self) -> Iterator[Nic]:
        yield Nic(name="br-lan", mtu=1500, mac=self.mac_of("br-lan"), kind="bridge")
        for part, name in NAMES.items():
            yield Nic(
                name=name,
                mtu=int(self.running.get(f"network.{part}_dev.mtu", "1500")),
                mac=self.mac_of(name),
                address=self.running.get(f"network.{part}.ipaddr", ""),
                address6=self.running.get(f"network.{part}.ip6addr", ""),
                parent="br-lan" if "." in name else "",
                kind="vlan" if "." in name else "",
            )

    def mtu_of(self, name: str) -> int:
        """Return the MTU of an interface."""
        return next((nic.mtu for nic in self.nics() if nic.name == name), 1500)

    def rules(self) -> tuple[MssRule, ...]:
        """Return what ``mtu_fix`` made."""
        return tuple(rule for _, rule in self._placed(self.running))

    def _placed(self, config: dict[str, str]) -> Iterator[tuple[str, MssRule]]:
        out = "mangle_forward" if self.identity.version < "22.03.4" else "mangle_postrouting"
        for section, part in _ZONES.items():
            if config.get(f"firewall.{section}.mtu_fix") != "1":
                continue
            name = NAMES[part]
            yield out, MssRule(family="ipv4", leaves=name)
            if not self.is_old:
                yield out, MssRule(family="ipv6", leaves=name)
                yield "mangle_forward", MssRule(family="ipv4", enters=name)
                yield "mangle_forward", MssRule(family="ipv6", enters=name)

    def forward(self, packet: Handshake) -> int:
        """Rewrite the MSS as the kernel's rules do."""
        return rewritten(packet, self.rules(), {nic.name: nic.mtu for nic in self.nics()})

    # -- what it prints --------------------------------------------------------------------------
    def prelude(self, account: Account) -> str:
        """Return the functions that answer one account."""
        is_root = account.level != "partial"
        denied = "Operation not permitted (you must be root)"
        refused = {} if is_root else dict.fromkeys(("nft", "fw4"), denied)
        answers = self._answers()
        answers["id -u"] = "0\n" if is_root else "1000\n"
        files = {
            "/proc/uptime": "86400.10 172000.20\n",
            "/proc/net/snmp": answers["cat /proc/net/snmp"],
            "/proc/sys/kernel/random/boot_id": f"{self.boot_id}\n",
        }
        if self.is_old:
            files |= {f"/proc/net/{name}_tables_names": "mangle\n" for name in ("ip", "ip6")}
        return prelude(files, answers, _PROGRAMS, refused=refused, is_root=is_root)

    def _answers(self) -> dict[str, str]:
        hop = self.running.get("network.wan.gateway", "")
        hop6 = self.running.get("network.wan.ip6gw", "")
        shown = Views(self.nics(), (hop, NAMES["wan"]), hop6).answers()
        # Its "ip" is BusyBox's: no details and no JSON.
        shown = {
            line: text for line, text in shown.items() if " -d " not in line and "-j" not in line
        }
        return {**shown, **self._own_answers(), **(self._old() if self.is_old else self._new())}

    def _own_answers(self) -> dict[str, str]:
        who = self.identity
        board = {
            "kernel": "5.15.150",
            "hostname": self.running["system.hostname"],
            "model": who.model,
            "board_name": "example,ex-4p",
            "release": {"distribution": "OpenWrt", "version": who.version, "revision": "r23809"},
        }
        option = (
            f"dhcp.ap.dhcp_option='26,{self.running['dhcp.ap.mtu']}'\n"
            if "dhcp.ap.mtu" in self.running
            else ""
        )
        return {
            "ubus call system board": json.dumps(board, indent="\t") + "\n",
            f"sysctl {_KEYS}": sysctl_text(_KEYS.split()),
            "uci -q show firewall": "".join(_uci(self.saved, "firewall.")),
            "uci show": "".join(_uci(self.saved, "")),
            "uci changes": "".join(
                f"{key}='{value}'\n" if value is not None else f"-{key}\n"
                for key, value in self.staged.items()
            ),
            "uci -q show dhcp": "dhcp.ap=dhcp\ndhcp.ap.interface='ap'\n" + option,
        }

    def _old(self) -> dict[str, str]:
        rules = "".join(
            f"[17:1020] -A FORWARD -o {rule.leaves} -p tcp -m tcp --tcp-flags SYN,RST SYN "
            '-m comment --comment "!fw3: Zone MTU fixing" -j TCPMSS --clamp-mss-to-pmtu\n'
            for rule in self.rules()
        )
        head = "# Generated by iptables-save v1.8.3 on Sat Nov 21 12:00:00 2026\n*mangle\n"
        chains = "".join(
            f":{name} ACCEPT [0:0]\n" for name in ("PREROUTING", "FORWARD", "POSTROUTING")
        )
        return {
            "iptables-save -c": f"{head}{chains}{rules}COMMIT\n",
            "ip6tables-save -c": f"{head}{chains}COMMIT\n",
        }

    def _new(self) -> dict[str, str]:
        return {
            "nft -a list ruleset": "".join(_listing(self._placed(self.running), handles=True)),
            "fw4 -q print": "table inet fw4\nflush table inet fw4\n\n"
            + "".join(_listing(self._placed(self.saved), handles=False)),
        }


def _uci(config: dict[str, str], head: str) -> Iterator[str]:
    """Yield what ``uci show`` prints of one file, or of all."""
    shown = dict(config)
    for section, part in _ZONES.items():
        shown |= {f"firewall.{section}.{key}": part for key in ("name", "network")}
    lines = {f"{key}='{value}'" for key, value in shown.items()}
    lines |= {f"firewall.{section}=zone" for section in _ZONES}
    for line in sorted(lines):
        if line.startswith(head):
            yield f"{line}\n"


def _firewall(config: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in config.items() if _is_firewall(key)}


def _is_firewall(key: str) -> bool:
    return key.startswith("firewall.")


def _listing(placed: Iterator[tuple[str, MssRule]], *, handles: bool) -> Iterator[str]:
    """Yield the table as nft lists it; the two families of one rule are one rule there."""
    rules = [(chain, rule) for chain, rule in placed if rule.family == "ipv4"]
    number = 100

    def handle(step: int = 1) -> str:
        nonlocal number
        number += step
        return f" # handle {number}" if handles else ""

    yield f"table inet fw4 {{{handle()}\n"
    if not handles:
        for part in _ZONES.values():
            yield f'\tdefine {part}_devices = {{ "{NAMES[part]}" }}\n'
        yield '\tinclude "/etc/nftables.d/*.nft"\n'
    yield f"\tchain forward {{{handle()}\n"
    yield "\t\ttype filter hook forward priority filter; policy drop;\n"
    for state in ("established,related", "new"):
        yield f'\t\tct state {state} accept comment "!fw4: Allow forwarded flows"{handle()}\n'
    yield "\t}\n\n"
    yield f"\tchain srcnat {{{handle()}\n"
    yield "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
    yield f'\t\toifname "wan" meta nfproto ipv4 masquerade{handle()}\n\t}}\n\n'
    for chain, hook in (("mangle_postrouting", "postrouting"), ("mangle_forward", "forward")):
        yield f"\tchain {chain} {{{handle()}\n"
        yield f"\t\ttype filter hook {hook} priority mangle; policy accept;\n"
        for where, rule in rules:
            if where == chain:
                match = f'iifname "{rule.enters}"' if rule.enters else f'oifname "{rule.leaves}"'
                way = "ingress" if rule.enters else "egress"
                yield (
                    f"\t\t{match} tcp flags syn / fin,syn,rst tcp option maxseg size set rt mtu "
                    f'comment "!fw4: Zone IPv4/IPv6 {way} MTU fixing"{handle()}\n'
                )
        yield "\t}\n\n"
    yield "}\n"


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what is typed to make a gateway that routes both VLANs to the WAN."""
    reloads = ("/etc/init.d/network reload", "/etc/init.d/firewall reload")
    return [*(f"uci set {line}" for line in _lines(plan)), "uci commit", *reloads]


def _lines(plan: GatewayPlan) -> Iterator[str]:
    yield f"network.ap.ipaddr='{plan.ap_address}'"
    yield f"network.pos.ipaddr='{plan.pos_address}'"
    yield f"network.wan.ipaddr='{plan.wan_address}'"
    yield f"network.wan.gateway='{plan.wan_next_hop}'"
    if plan.ap_address6:
        yield f"network.ap.ip6addr='{plan.ap_address6}'"
        yield f"network.wan.ip6addr='{plan.wan_address6}'"
        yield f"network.wan.ip6gw='{plan.wan_next_hop6}'"
    for part, mtu in (("ap", plan.ap_mtu_bytes), ("wan", plan.wan_mtu_bytes)):
        if mtu != 1500:  # noqa: PLR2004 - Ethernet's
            yield f"network.{part}_dev.mtu='{mtu}'"
    for clamp in plan.clamps:
        # It takes its value from the path MTU; the plan's number has no counterpart.
        section = next(s for s, part in _ZONES.items() if part == clamp.where)
        yield f"firewall.{section}.mtu_fix='1'"
