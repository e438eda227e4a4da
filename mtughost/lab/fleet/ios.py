"""A virtual IOS-XE router: interfaces, static routes, startup and running, the revert timer.

After Cisco's command references and recorded output; ``ip tcp adjust-mss`` works on what enters and
on what leaves its interface, ``ipv6 tcp adjust-mss`` does the same for IPv6.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from mtughost.lab.fleet.clock import Timer
from mtughost.lab.fleet.device import Account, Cli, VirtualDevice
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.ios_cli import IosCli
from mtughost.lab.fleet.plans import GatewayPlan, masked
from mtughost.lab.fleet.sniffers import Captures

NAMES = {
    "ap": "GigabitEthernet0/0/1.20",
    "pos": "GigabitEthernet0/0/1.30",
    "wan": "GigabitEthernet0/0/0",
}
_MINUTE_S = 60


@dataclass(slots=True)
class IosConfig:
    """What ``show running-config`` shows.

    Attributes:
        interfaces: Lines of each interface, by the words that a ``no`` would name.
        routes: ``ip route`` lines.
        archive: Path of the archive, ``""`` where there is none.
    """

    hostname: str = "Router"
    interfaces: dict[str, dict[str, str]] = field(default_factory=dict)
    routes: list[str] = field(default_factory=list)
    archive: str = ""


class IosRouter(VirtualDevice):
    """One router.

    Attributes:
        backup: What ``configure terminal revert timer`` goes back to, while it waits.
    """

    platform = "cisco_xe"

    def furnish(self) -> None:
        """Set the state that it leaves the factory with."""
        self.running = IosConfig(hostname=self.identity.hostname)
        self.saved = copy.deepcopy(self.running)
        self.captures = Captures()
        self.backup: IosConfig | None = None
        self.revert_by = ""
        self.revert_minutes = 0
        self._timer: Timer | None = None

    def command_line(self, account: Account) -> Cli:
        """Return an IOS command line."""
        return IosCli(self, account)

    def load_saved(self) -> None:
        """Boot with the startup configuration; a pending rollback is forgotten."""
        self.confirm()
        self.captures.clear()
        self.running = copy.deepcopy(self.saved)

    def save(self) -> None:
        """``write memory``."""
        self.saved = copy.deepcopy(self.running)

    def state(self) -> object:
        """Return running and startup configuration."""
        return {"running": copy.deepcopy(self.running), "saved": copy.deepcopy(self.saved)}

    # -- confirmed change ------------------------------------------------------------------------
    def arm(self, minutes: int, username: str) -> None:
        """``configure terminal revert timer N``."""
        self.backup, self.revert_by = copy.deepcopy(self.running), username
        self.revert_minutes, self.undo_was_shown = minutes, False
        self._timer = self.clock.call_later(minutes * _MINUTE_S, self.revert)

    def confirm(self) -> bool:
        """``configure confirm``; whether anything was pending."""
        was = self.backup is not None
        if self._timer is not None:
            self._timer.cancel()
        self.backup, self._timer, self.revert_by = None, None, ""
        return was

    def revert(self) -> None:
        """Go back to the backup: the timer fired, or ``configure revert now``."""
        if self.backup is not None:
            self.running = self.backup
        self.confirm()

    @property
    def undo_is_ready(self) -> bool:
        """Whether the timer runs and was shown."""
        return self.backup is not None and self.undo_was_shown

    # -- what it does ----------------------------------------------------------------------------
    def mtu_of(self, name: str) -> int:
        """Return the IP MTU of an interface; a subinterface follows its port."""
        lines = self.running.interfaces.get(name, {})
        parent = name.partition(".")[0]
        port = self.running.interfaces.get(parent, {})
        return int(lines.get("ip mtu") or lines.get("mtu") or port.get("mtu") or 1500)

    def forward(self, packet: Handshake) -> int:
        """Rewrite the MSS on the way in and on the way out; never to more."""
        key = "ip tcp adjust-mss" if packet.family == "ipv4" else "ipv6 tcp adjust-mss"
        values = (
            self.running.interfaces.get(n, {}).get(key) for n in (packet.enters, packet.leaves)
        )
        return min([packet.mss, *(int(value) for value in values if value)])

    def log_line(self) -> str:
        """Return a line as ``terminal monitor`` would show it."""
        number = self.rng.randrange(60)
        return f"*Nov 21 12:00:{number:02d}.123: %SYS-5-CONFIG_I: event {number}"


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what is typed to make a router that routes both VLANs to the WAN."""
    wan, lan = NAMES["wan"], NAMES["ap"].partition(".")[0]
    lines = ["configure terminal", f"interface {wan}", f"ip address {masked(plan.wan_address)}"]
    if plan.wan_mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
        lines.append(f"ip mtu {plan.wan_mtu_bytes}")
    lines += ["ip nat outside", *_mss(plan, "wan"), *_six(plan.wan_address6)]
    lines += [f"interface {lan}", "no ip address"]
    for where, tag, address in (("ap", 20, plan.ap_address), ("pos", 30, plan.pos_address)):
        lines += [f"interface {NAMES[where]}", f"encapsulation dot1Q {tag}"]
        lines += [f"ip address {masked(address)}", "ip nat inside", *_mss(plan, where)]
        lines += _six(plan.ap_address6) if where == "ap" else []
        if where == "ap" and plan.ap_mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
            lines.append(f"ip mtu {plan.ap_mtu_bytes}")
    lines += ["archive", "path bootflash:archive"]
    lines.append(f"ip route 0.0.0.0 0.0.0.0 {plan.wan_next_hop}")
    return [*lines, "end", "write memory"]


def _six(address: str) -> list[str]:
    return [f"ipv6 address {address}"] if address else []


def _mss(plan: GatewayPlan, where: str) -> list[str]:
    lines = [f"ip tcp adjust-mss {mss}" for mss in plan.mss(where)]
    if plan.ap_address6:
        # Its header is 20 bytes longer.
        lines += [f"ipv6 tcp adjust-mss {mss - 20}" for mss in plan.mss(where)]
    return lines
