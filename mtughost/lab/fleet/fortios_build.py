"""A store's FortiGate, configured by typing."""

from __future__ import annotations

from mtughost.lab.fleet.plans import GatewayPlan, masked

NAMES = {"ap": "vlan20", "pos": "vlan30", "wan": "wan1"}


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what is typed to make a FortiGate that routes both VLANs to the WAN."""
    lines = ["config system interface"]
    lines += ["edit wan1", "set vdom root", f"set ip {masked(plan.wan_address)}"]
    lines += ["set allowaccess ping ssh", "set type physical", "set role wan"]
    if plan.wan_mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
        lines += ["set mtu-override enable", f"set mtu {plan.wan_mtu_bytes}"]
    lines += [*_mss(plan, "wan"), "next"]
    lines += ["edit internal", "set vdom root", "set type physical", "next"]
    for where, tag, address in (("ap", 20, plan.ap_address), ("pos", 30, plan.pos_address)):
        lines += [f"edit vlan{tag}", "set vdom root", f"set ip {masked(address)}"]
        lines += ["set allowaccess ping", "set role lan", 'set interface "internal"']
        lines += [f"set vlanid {tag}", *_mss(plan, where)]
        if where == "ap" and plan.ap_mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
            lines += ["set mtu-override enable", f"set mtu {plan.ap_mtu_bytes}"]
        lines.append("next")
    lines += ["end", "config router static", "edit 1", f"set gateway {plan.wan_next_hop}"]
    lines += ["set device wan1", "next", "end", "config firewall policy"]
    for number, source in ((1, "vlan20"), (2, "vlan30")):
        lines += [f"edit {number}", f'set name "{source}-out"', f'set srcintf "{source}"']
        lines += ['set dstintf "wan1"', "set action accept", 'set srcaddr "all"']
        lines += ['set dstaddr "all"', 'set schedule "always"', 'set service "ALL"']
        lines += ["set nat enable", "next"]
    return [*lines, "end"]


def _mss(plan: GatewayPlan, where: str) -> list[str]:
    return [f"set tcp-mss {mss}" for mss in plan.mss(where)]
