"""What lies between a store's devices and the core: the ISP's access, and a switch in the store."""

from __future__ import annotations

from mtughost.lab.addressing import Numbering
from mtughost.lab.cloud import ROUTER_SYSCTLS, ROUTER_SYSCTLS_6
from mtughost.lab.plan import Node
from mtughost.lab.scenarios import Scenario
from mtughost.lab.spec import SiteSpec


def isp_node(numbers: Numbering, index: int, spec: SiteSpec) -> Node:
    """Return the ISP's access router: the store's WAN link on one side, the core on the other."""
    site, cloud, scenario = numbers.site(index), numbers.cloud, spec.plan
    inner = scenario.hidden_mtu_bytes or max(1500, scenario.wan_mtu_bytes)
    batch = [
        "link set lo up",
        f"link set dsl0 mtu {scenario.wan_mtu_bytes}",
        f"address add {site.wan_isp}/30 dev dsl0",
        "link set dsl0 up",
        f"link set core0 mtu {inner}",
        f"address add {site.isp}/30 dev core0",
        "link set core0 up",
        f"route add {cloud.network} via {site.core}",
    ]
    ports = ["dsl0", "core0"]
    if scenario.standby_mtu_bytes:
        ports.append("lte0")
        batch += [
            f"link set lte0 mtu {scenario.standby_mtu_bytes}",
            f"address add {site.standby_isp}/30 dev lte0",
            "link set lte0 up",
        ]
    if scenario.speaks6:
        batch += [
            f"address add {site.wan_isp6}/64 dev dsl0 nodad",
            f"address add {site.isp6}/64 dev core0 nodad",
            f"route add {site.prefix6} via {site.wan_gateway6}",
            f"route add {cloud.network6} via {site.core6}",
        ]
    return Node(
        name=f"isp{index}",
        kind="plain",
        ports=tuple(ports),
        batch=tuple(batch),
        sysctls=ROUTER_SYSCTLS_6 if scenario.speaks6 else ROUTER_SYSCTLS,
        ruleset=_access_rules(scenario),
    )


def _access_rules(scenario: Scenario) -> str:
    """Return what the access network does to packets towards the store, and to its own ICMP."""
    rules = []
    if scenario.loss_percent:
        rules.append(f"numgen random mod 100 < {scenario.loss_percent} counter drop")
    if scenario.fragments_downstream == "drop":
        rules.append("ip frag-off & 0x3fff != 0 counter drop")
    text = ""
    ports = ("dsl0", "lte0") if scenario.standby_mtu_bytes else ("dsl0",)
    if rules:
        # At egress: behind the place where this router makes fragments.
        body = "".join(f"\t\t{rule}\n" for rule in rules)
        chains = "".join(
            f'\tchain {port} {{\n\t\ttype filter hook egress device "{port}" priority 0;'
            f" policy accept;\n{body}\t}}\n"
            for port in ports
        )
        text += f"table netdev access {{\n{chains}}}\n"
    if scenario.icmp_upstream == "drop":
        text += (
            "table inet quiet {\n\tchain output {\n"
            "\t\ttype filter hook output priority filter; policy accept;\n"
            "\t\ticmp type destination-unreachable icmp code frag-needed counter drop\n"
            "\t\ticmpv6 type packet-too-big counter drop\n\t}\n}\n"
        )
    return text


def switch_node(index: int, spec: SiteSpec) -> Node:
    """Return a switch between AP and gateway that drops what is too long for it, silently."""
    ceiling = spec.plan.l2_ceiling_bytes
    largest = max(1500, spec.plan.ap_mtu_bytes)
    batch = ["link add br0 type bridge forward_delay 0"]
    for port in ("ap0", "gw0"):
        batch += [f"link set {port} mtu {largest}", f"link set {port} master br0 up"]
    chains = "".join(
        f'\tchain from_{port} {{\n\t\ttype filter hook ingress device "{port}" priority 0;'
        f" policy accept;\n\t\tip length > {ceiling} counter drop\n"
        # The length of IPv6 does not count its own header.
        f"\t\tip6 length > {ceiling - 40} counter drop\n\t}}\n"
        for port in ("ap0", "gw0")
    )
    return Node(
        name=f"sw{index}",
        kind="plain",
        ports=("ap0", "gw0"),
        batch=("link set lo up", *batch, "link set br0 up"),
        sysctls={"net.ipv6.conf.all.disable_ipv6": "1"},
        ruleset=f"table netdev ceiling {{\n{chains}}}\n",
    )
