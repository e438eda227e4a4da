"""A store's FortiGate, configured by typing."""

from __future__ import annotations

import ipaddress

from mtughost.lab.fleet.clock import FleetClock
from mtughost.lab.fleet.device import Account, Identity, Manners
from mtughost.lab.fleet.fortios import FortiGate
from mtughost.lab.fleet.plans import GatewayPlan
from mtughost.model.errors import LabError

NAMES = {"ap": "vlan20", "pos": "vlan30", "wan": "wan1"}


def build(
    identity: Identity,
    plan: GatewayPlan,
    clock: FleetClock,
    accounts: tuple[Account, ...],
    manners: Manners,
) -> FortiGate:
    """Return a FortiGate that routes both VLANs to the WAN."""
    device = FortiGate(identity, clock=clock, accounts=accounts, manners=manners)
    cli = device.command_line(Account(username="factory"))
    for line in _lines(plan):
        if answer := cli.run(line):
            raise LabError(f"the virtual FortiGate refused {line!r}: {answer.strip()}")
    return device


def _lines(plan: GatewayPlan) -> list[str]:
    lines = ["config system interface"]
    lines += ["edit wan1", "set vdom root", f"set ip {_masked(plan.wan_address)}"]
    lines += ["set allowaccess ping ssh", "set type physical", "set role wan"]
    if plan.wan_mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
        lines += ["set mtu-override enable", f"set mtu {plan.wan_mtu_bytes}"]
    lines += [*_mss(plan, "wan"), "next"]
    lines += ["edit internal", "set vdom root", "set type physical", "next"]
    for where, tag, address in (("ap", 20, plan.ap_address), ("pos", 30, plan.pos_address)):
        lines += [f"edit vlan{tag}", "set vdom root", f"set ip {_masked(address)}"]
        lines += ["set allowaccess ping", "set role lan", 'set interface "internal"']
        lines += [f"set vlanid {tag}", *_mss(plan, where), "next"]
    lines += ["end", "config router static", "edit 1", f"set gateway {plan.wan_next_hop}"]
    lines += ["set device wan1", "next", "end", "config firewall policy"]
    for number, source in ((1, "vlan20"), (2, "vlan30")):
        lines += [f"edit {number}", f'set name "{source}-out"', f'set srcintf "{source}"']
        lines += ['set dstintf "wan1"', "set action accept", 'set srcaddr "all"']
        lines += ['set dstaddr "all"', 'set schedule "always"', 'set service "ALL"']
        lines += ["set nat enable", "next"]
    return [*lines, "end"]


def _mss(plan: GatewayPlan, where: str) -> list[str]:
    return [f"set tcp-mss {clamp.mss}" for clamp in plan.clamps if clamp.where == where]


def _masked(address: str) -> str:
    interface = ipaddress.IPv4Interface(address)
    return f"{interface.ip} {interface.netmask}"
