"""A virtual ASA: interfaces with names, routes, startup and running, one MSS for the whole box.

After Cisco's command reference and its page on the TCP MSS: 1380 from the factory, for both
endpoints of every connection through the box; 0 switches it off; ``minimum`` may raise.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from mtughost.lab.fleet.asa_cli import AsaCli
from mtughost.lab.fleet.clock import Timer
from mtughost.lab.fleet.device import Account, Cli, VirtualDevice
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.plans import GatewayPlan, masked
from mtughost.lab.fleet.sniffers import Captures

NAMES = {"ap": "ap-vlan", "pos": "pos-vlan", "wan": "outside"}
_PORTS = {
    "ap": "GigabitEthernet0/1.20",
    "pos": "GigabitEthernet0/1.30",
    "wan": "GigabitEthernet0/0",
}
DEFAULT_MSS = 1380


@dataclass(slots=True)
class AsaConfig:
    """What ``show running-config`` shows.

    Attributes:
        ports: Lines of each interface, by their first words.
        mtus: ``mtu NAME N``.
        mss: ``sysopt connection tcpmss``; ``floor`` its minimum.
    """

    hostname: str = "ciscoasa"
    ports: dict[str, dict[str, str]] = field(default_factory=dict)
    mtus: dict[str, int] = field(default_factory=dict)
    routes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    mss: int = DEFAULT_MSS
    floor: int = 0


class Asa(VirtualDevice):
    """One ASA."""

    platform = "cisco_asa"

    def furnish(self) -> None:
        """Set the state that it leaves the factory with."""
        self.running = AsaConfig(hostname=self.identity.hostname)
        self.saved = copy.deepcopy(self.running)
        self.captures = Captures()
        self._reload: Timer | None = None

    def command_line(self, account: Account) -> Cli:
        """Return an ASA command line."""
        return AsaCli(self, account)

    def load_saved(self) -> None:
        """Boot with the startup configuration."""
        self.plan_reload(0)
        self.captures.clear()
        self.running = copy.deepcopy(self.saved)

    def save(self) -> None:
        """``write memory``."""
        self.saved = copy.deepcopy(self.running)

    def state(self) -> object:
        """Return running and startup configuration."""
        return {"running": copy.deepcopy(self.running), "saved": copy.deepcopy(self.saved)}

    def plan_reload(self, minutes: int) -> bool:
        """``reload in N``, or with 0 ``reload cancel``; whether one was planned before."""
        was = self._reload is not None
        if self._reload is not None:
            self._reload.cancel()
            self._reload = None
        if minutes:
            self._reload = self.clock.call_later(minutes * 60, self.reboot)
        return was

    def mtu_of(self, name: str) -> int:
        """Return the MTU of a named interface."""
        return self.running.mtus.get(name, 1500)

    def forward(self, packet: Handshake) -> int:
        """Overwrite what asks for more, in either direction and family."""
        mss = min(packet.mss, self.running.mss) if self.running.mss else packet.mss
        return max(mss, self.running.floor)

    def log_line(self) -> str:
        """Return a line as ``logging monitor`` shows it."""
        number = self.rng.randrange(1000)
        return f"%ASA-6-302013: Built outbound TCP connection {number} event {number}"


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what is typed to make a firewall between both VLANs and the WAN."""
    lines = ["configure terminal"]
    addresses = {"wan": plan.wan_address, "ap": plan.ap_address, "pos": plan.pos_address}
    for where, address in addresses.items():
        lines.append(f"interface {_PORTS[where]}")
        if where != "wan":
            lines.append(f"vlan {20 if where == 'ap' else 30}")
        lines += [f"nameif {NAMES[where]}", f"security-level {0 if where == 'wan' else 100}"]
        lines += [f"ip address {masked(address)}", "no shutdown", "exit"]
    lines += [f"mtu outside {plan.wan_mtu_bytes}"]
    lines.append(f"route outside 0.0.0.0 0.0.0.0 {plan.wan_next_hop} 1")
    # One value for the whole box: a clamp of the tills only has no counterpart, none at all is 0.
    values = [clamp.mss for clamp in plan.clamps if clamp.where != "pos"]
    if values or not plan.clamps:
        lines.append(f"sysopt connection tcpmss {min(values, default=0)}")
    return [*lines, "end", "write memory"]
