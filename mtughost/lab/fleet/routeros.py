"""A virtual RouterOS router: menus of items that are live and persistent at once, a scheduler.

After MikroTik's help pages and recorded output of versions 6 and 7. Mangle is netfilter: a rule
sees what its chain and its conditions say, in order; a smaller MSS is left alone, as by Linux.
"""

from __future__ import annotations

import copy
import ipaddress
import re
from collections.abc import Callable, Iterator

from mtughost.lab.fleet.clock import Timer
from mtughost.lab.fleet.device import Account, Cli, VirtualDevice
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.plans import GatewayPlan
from mtughost.lab.fleet.routeros_cli import RouterOsCli

NAMES = {"ap": "vlan20", "pos": "vlan30", "wan": "ether1"}
#: One item of a menu; ``disabled`` is one of its values.
Item = dict[str, str]
_EMPTY = (
    "interface vlan", "interface pppoe-client", "interface list member", "interface gre",
    "interface ipip", "interface eoip", "ip address", "ipv6 address", "ip route", "ipv6 route",
    "ip firewall mangle", "ipv6 firewall mangle", "ip dhcp-server option", "system scheduler",
    "ip dhcp-server network", "file",
)  # fmt: skip
#: Menus that change nothing that the router does.
_WAITING = frozenset({"system scheduler", "file"})
_SPAN = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d)")


class RouterOs(VirtualDevice):
    """One router.

    Attributes:
        menus: Items by menu; ``running`` and ``saved`` are the same thing here.
        backups: What ``/system backup save`` kept, by name.
        forbids_jobs: The device mode (7.17 and newer) does not allow the scheduler.
    """

    platform = "mikrotik_routeros"

    def furnish(self) -> None:
        """Set the state that it leaves the factory with."""
        ports: list[Item] = [
            {"name": f"ether{n}", "default-name": f"ether{n}", "type": "ether", "mtu": "1500"}
            for n in (1, 2)
        ]
        self.name: str = self.identity.hostname
        self.menus: dict[str, list[Item]] = {menu: [] for menu in _EMPTY}
        self.menus["interface"] = ports
        self.menus["ppp profile"] = [
            {"name": "default", "change-tcp-mss": "yes"},
            {"name": "default-encryption", "change-tcp-mss": "yes"},
        ]
        self.backups: dict[str, dict[str, list[Item]]] = {}
        self.hits: dict[str, int] = {}
        self._timers: dict[str, Timer] = {}
        self.jobs_shown: set[str] = set()
        self.forbids_jobs = False

    @property
    def major(self) -> int:
        """6 or 7: what is printed differs."""
        return int(self.identity.version.split(".")[0])

    def account_of(self, username: str) -> Account | None:
        """Return the account; what stands behind a ``+`` are terminal parameters."""
        return self.accounts.get(username.partition("+")[0])

    def login(self, username: str) -> Cli:
        """Open a command line with the terminal that the user name asked for."""
        name, _, options = username.partition("+")
        cli = super().login(name)
        if isinstance(cli, RouterOsCli):
            cli.options = options
        return cli

    def command_line(self, account: Account) -> Cli:
        """Return a RouterOS console."""
        return RouterOsCli(self, account)

    def load_saved(self) -> None:
        """Boot: everything was saved when it was typed; the scheduler starts anew."""
        self.plan_jobs()

    def state(self) -> object:
        """Return all menus but files, which configure nothing."""
        menus = {menu: items for menu, items in self.menus.items() if menu != "file"}
        return {"name": self.name, "menus": copy.deepcopy(menus)}

    def effective(self) -> object:
        """Return what it does: a job that waits is not part of that."""
        menus = {m: items for m, items in self.menus.items() if m not in _WAITING}
        return {"name": self.name, "menus": copy.deepcopy(menus)}

    @property
    def undo_is_ready(self) -> bool:
        """Whether a job that loads a backup waits and was shown."""
        return any(
            job["name"] in self._timers
            and job["name"] in self.jobs_shown
            and "backup load" in job.get("on-event", "")
            for job in self.menus["system scheduler"]
        )

    # -- items -----------------------------------------------------------------------------------
    def items(self, menu: str) -> list[Item]:
        """Return what a menu lists; what others make is dynamic (``D``) and cannot be set."""
        own = self.menus[menu]
        if menu == "interface":
            made = [
                self._as_link(item, kind)
                for kind in ("vlan", "pppoe-client")
                for item in (self.menus[f"interface {kind}"])
            ]
            return [*own, *made]
        if menu in {"ip route", "ipv6 route"}:
            return [*own, *self._connected(menu.replace("route", "address"))]
        return [*self._by_profiles(), *own] if menu == "ip firewall mangle" else own

    def _as_link(self, item: Item, kind: str) -> Item:
        mtu = item.get("mtu") or item.get("max-mtu") or ("1500" if kind == "vlan" else "1480")
        kind = {"pppoe-client": "pppoe-out"}.get(kind, kind)
        link = {"name": item["name"], "type": kind, "mtu": mtu}
        return {**link, "disabled": item.get("disabled", "no")}

    def _connected(self, addresses: str) -> Iterator[Item]:
        for item in self.menus[addresses]:
            network = str(ipaddress.ip_interface(item["address"]).network)
            source = item["address"].partition("/")[0]
            yield {
                "dst-address": network, "pref-src": source, "gateway": item["interface"],
                "distance": "0", "scope": "10", "dynamic": "yes",
            }  # fmt: skip

    def _by_profiles(self) -> Iterator[Item]:
        """Rules that PPP links make whose profile changes the MSS."""
        profiles = {item["name"]: item for item in self.menus["ppp profile"]}
        for client in self.menus["interface pppoe-client"]:
            profile = profiles.get(client.get("profile", "default"), {})
            if profile.get("change-tcp-mss") != "yes" or client.get("disabled") == "yes":
                continue
            mss = int(client.get("max-mtu") or 1480) - 40
            for side in ("out", "in"):
                yield {
                    "chain": "forward", "action": "change-mss", "new-mss": str(mss),
                    "passthrough": "yes", "tcp-flags": "syn", "protocol": "tcp",
                    f"{side}-interface": client["name"], "tcp-mss": f"{mss + 1}-65535",
                    "dynamic": "yes",
                }  # fmt: skip

    def mtu_of(self, name: str) -> int:
        """Return the MTU of an interface."""
        found = [item for item in self.items("interface") if item["name"] == name]
        return int(found[0]["mtu"]) if found else 1500

    # -- what it does ----------------------------------------------------------------------------
    def forward(self, packet: Handshake) -> int:
        """Walk the packet through the forward chain of mangle."""
        menu = "ip firewall mangle" if packet.family == "ipv4" else "ipv6 firewall mangle"
        return self._walk(menu, "forward", packet, packet.mss)[0]

    def _walk(self, menu: str, chain: str, packet: Handshake, mss: int) -> tuple[int, bool]:
        for number, item in enumerate(self.items(menu)):
            if item["chain"] != chain or not _holds(item, packet, mss):
                continue
            self.hits[f"{menu} {number}"] = self.hits.get(f"{menu} {number}", 0) + 1
            action = item["action"]
            if action == "jump":
                mss, is_over = self._walk(menu, item["jump-target"], packet, mss)
                if is_over:
                    return mss, True
            elif action == "change-mss":
                mss = min(mss, self._new_mss(item, packet))
            if action == "return":
                return mss, False
            if action == "accept" or item.get("passthrough") == "no":
                return mss, True
        return mss, False

    def _new_mss(self, item: Item, packet: Handshake) -> int:
        if item["new-mss"] != "clamp-to-pmtu":
            return int(item["new-mss"])
        headers = 40 if packet.family == "ipv4" else 60
        return min(self.mtu_of(packet.enters), self.mtu_of(packet.leaves)) - headers

    # -- scheduler -------------------------------------------------------------------------------
    def plan_jobs(self) -> None:
        """Let each job of the scheduler run after its interval, as the running state says."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers = {}
        for job in self.menus["system scheduler"]:
            self.jobs_shown &= {item["name"] for item in self.menus["system scheduler"]}
            if job.get("disabled") != "yes" and (seconds := _seconds(job.get("interval", ""))):
                self._timers[job["name"]] = self.clock.call_later(seconds, self._run(job["name"]))

    def _run(self, name: str) -> Callable[[], None]:
        def action() -> None:
            jobs = [job for job in self.menus["system scheduler"] if job["name"] == name]
            if jobs:
                cli = RouterOsCli(self, Account(username="scheduler"))
                for line in jobs[0].get("on-event", "").split(";"):
                    cli.run(line.strip())
                self.plan_jobs()

        return action

    def save_backup(self, name: str) -> None:
        """``/system backup save``."""
        self.backups[name] = copy.deepcopy(self.menus)
        files = [item for item in self.menus["file"] if item["name"] != f"{name}.backup"]
        self.menus["file"] = [*files, {"name": f"{name}.backup", "type": "backup"}]

    def load_backup(self, name: str) -> bool:
        """``/system backup load``: the state of then, by a reboot. Files stay."""
        if name not in self.backups:
            return False
        files = self.menus["file"]
        self.menus = {**copy.deepcopy(self.backups[name]), "file": files}
        self.reboot()
        return True

    def log_line(self) -> str:
        """Return a critical log line, which the console shows at once."""
        return f"12:00:00 echo: system,error,critical event {self.rng.randrange(100)}"


def _holds(item: Item, packet: Handshake, mss: int) -> bool:
    flags = item.get("tcp-flags", "syn").split(",")
    is_right = ("!ack" not in flags or packet.is_syn) and ("ack" not in flags or not packet.is_syn)
    low, _, high = item.get("tcp-mss", "0-65535").partition("-")
    return (
        item.get("disabled") != "yes"
        and item.get("protocol", "tcp") == "tcp"
        and is_right
        and item.get("in-interface", packet.enters) == packet.enters
        and item.get("out-interface", packet.leaves) == packet.leaves
        and int(low) <= mss <= int(high or low)
    )


def _seconds(text: str) -> int:
    clock, span = _CLOCK.fullmatch(text), _SPAN.fullmatch(text)
    if clock is not None:
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3])
    factors = (604800, 86400, 3600, 60, 1)
    parts = span.groups() if span is not None else ()
    return sum(int(part or 0) * factor for part, factor in zip(parts, factors, strict=False))


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what is typed to make a router that routes both VLANs to the WAN."""
    lines = [f"/interface set [find name=ether1] mtu={plan.wan_mtu_bytes}"]
    for where, tag in (("ap", 20), ("pos", 30)):
        lines.append(f"/interface vlan add name={NAMES[where]} interface=ether2 vlan-id={tag}")
    addresses = {"wan": plan.wan_address, "ap": plan.ap_address, "pos": plan.pos_address}
    for where, address in addresses.items():
        lines.append(f"/ip address add address={address} interface={NAMES[where]}")
    lines.append(f"/ip route add dst-address=0.0.0.0/0 gateway={plan.wan_next_hop}")
    for clamp in plan.clamps:
        lines.append(_clamp("ip", NAMES[clamp.where], clamp.mss))
        if plan.ap_address6:
            lines.append(_clamp("ipv6", NAMES[clamp.where], clamp.mss - 20))
    if plan.ap_address6:
        for where, address in (("wan", plan.wan_address6), ("ap", plan.ap_address6)):
            lines.append(f"/ipv6 address add address={address} interface={NAMES[where]}")
        lines.append(f"/ipv6 route add dst-address=::/0 gateway={plan.wan_next_hop6}")
    return lines


def _clamp(family: str, out: str, mss: int) -> str:
    return (
        f"/{family} firewall mangle add chain=forward action=change-mss protocol=tcp "
        f"tcp-flags=syn out-interface={out} new-mss={mss} tcp-mss={mss + 1}-65535 "
        'passthrough=yes comment="clamp"'
    )
