"""A virtual PAN-OS firewall: operational and configuration mode, candidate and commit.

After Palo Alto's guides. They do not say which of a packet's two interfaces adjusts its MSS, so the
device can be any of three: by the interface that it enters, that it leaves, or by both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Literal

from mtughost.lab.fleet.device import Account, Cli, VirtualDevice
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.panos_cli import PanOsCli
from mtughost.lab.fleet.plans import GatewayPlan

NAMES = {"ap": "ethernet1/2.20", "pos": "ethernet1/2.30", "wan": "ethernet1/1"}
_PLACES = {
    "ap": "network interface ethernet ethernet1/2 layer3 units ethernet1/2.20",
    "pos": "network interface ethernet ethernet1/2 layer3 units ethernet1/2.30",
    "wan": "network interface ethernet ethernet1/1 layer3",
}


class PanOs(VirtualDevice):
    """One firewall.

    Attributes:
        running: Configuration in force, in ``set`` form without the word; a commit saves it.
        candidate: What is edited.
        adjusts_by: Which interface of a packet adjusts its MSS.
    """

    platform = "paloalto_panos"
    adjusts_by: Literal["in", "out", "both"] = "both"

    def furnish(self) -> None:
        """Set the state that it leaves the factory with."""
        self.running = [
            "mgt-config users admin permissions role-based superuser yes",
            f"deviceconfig system hostname {self.identity.hostname}",
        ]
        self.candidate = list(self.running)

    def command_line(self, account: Account) -> Cli:
        """Return a PAN-OS command line."""
        return PanOsCli(self, account)

    def load_saved(self) -> None:
        """Boot: what was committed is there, what was not stays a candidate."""

    def state(self) -> object:
        """Return running and candidate configuration."""
        return {"running": list(self.running), "candidate": list(self.candidate)}

    def commit(self) -> None:
        """Make the candidate the running configuration."""
        self.running = list(self.candidate)

    # -- what it does ----------------------------------------------------------------------------
    def value(self, path: str) -> str:
        """Return what a statement says, ``""`` where there is none."""
        found = [line for line in self.running if line.startswith(path + " ")]
        return found[-1].removeprefix(path + " ") if found else ""

    def place_of(self, name: str) -> str:
        """Return where an interface is configured."""
        port = name.partition(".")[0]
        if name.startswith("tunnel"):
            return f"network interface tunnel units {name}"
        base = f"network interface ethernet {port} layer3"
        return base if port == name else f"{base} units {name}"

    def names(self) -> Iterator[str]:
        """Yield interfaces that have an address."""
        seen: dict[str, None] = {}
        for line in self.running:
            words = line.split()
            if words[:2] == ["network", "interface"] and "ip" in words:
                seen[words[words.index("ip") - 1].replace("layer3", words[3])] = None
        yield from seen

    def address_of(self, name: str) -> ipaddress.IPv4Interface:
        """Return the address of an interface."""
        return ipaddress.IPv4Interface(self.value(f"{self.place_of(name)} ip"))

    def mtu_of(self, name: str) -> int:
        """Return the MTU of an interface."""
        return int(self.value(f"{self.place_of(name)} mtu") or 1500)

    def forward(self, packet: Handshake) -> int:
        """Adjust by what the packet enters or leaves; IPSec tunnels always do."""
        sides = {"in": [packet.enters], "out": [packet.leaves]}
        names = sides.get(self.adjusts_by, [packet.enters, packet.leaves])
        values = [self._adjusted(name, packet.family) for name in names]
        tunnels = [n for n in (packet.enters, packet.leaves) if self._is_vpn(n)]
        values += [self.mtu_of(name) - 40 - 22 for name in tunnels if packet.family == "ipv4"]
        return min([packet.mss, *(value for value in values if value)])

    def _is_vpn(self, name: str) -> bool:
        return any(
            line.startswith("network tunnel ipsec ") and line.endswith(f" tunnel-interface {name}")
            for line in self.running
        )

    def _adjusted(self, name: str, family: str) -> int:
        place = self.place_of(name)
        if self.value(f"{place} adjust-tcp-mss enable") != "yes":
            return 0
        if family == "ipv6" and self.value(f"{place} ipv6 enabled") != "yes":
            return 0
        usual = 40 if family == "ipv4" else 60
        cut = self.value(f"{place} adjust-tcp-mss {family}-mss-adjustment")
        return self.mtu_of(name) - int(cut or usual)

    def log_line(self) -> str:
        """Return a line of syslog, as it may come in between."""
        name, number = self.identity.hostname, self.rng.randrange(1000)
        return f"Nov 21 12:00:00 {name} mgmtsrvr[2211]: event {number}"


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what is typed to make a firewall between both VLANs and the WAN."""
    lines = ["configure"]
    addresses = {"wan": plan.wan_address, "ap": plan.ap_address, "pos": plan.pos_address}
    for where, address in addresses.items():
        place = _PLACES[where]
        lines += [f"set {place} ip {address}"]
        if where != "wan":
            lines.append(f"set {place} tag {20 if where == 'ap' else 30}")
    if plan.wan_mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
        lines.append(f"set {_PLACES['wan']} mtu {plan.wan_mtu_bytes}")
    route = "set network virtual-router default routing-table ip static-route out"
    lines += [f"{route} destination 0.0.0.0/0", f"{route} nexthop ip-address {plan.wan_next_hop}"]
    for clamp in plan.clamps:
        mtu = plan.wan_mtu_bytes if clamp.where == "wan" else 1500
        place = f"set {_PLACES[clamp.where]} adjust-tcp-mss"
        lines.append(f"{place} enable yes")
        # A value above what the MTU allows has no counterpart here: the usual 40 are taken off.
        lines.append(f"{place} ipv4-mss-adjustment {max(mtu - clamp.mss, 40)}")
    return [*lines, "commit", "exit"]
