"""The second topology: a host behind a tunnel of 1446, and the portal at its far end.

``host 1500 -- gateway == tunnel 1446 == far gateway -- far end 1500``. The far end stands behind
the far tunnel end, not on it: otherwise its own SYN-ACK would already say 1406. The tunnel is a
veth pair, or a real OpenVPN over UDP where ``/dev/net/tun`` can be used.
"""

from __future__ import annotations

import json

from mtughost.lab.addressing import Numbering
from mtughost.lab.cloud import NODES_DIR, PUSH_PORT, ROUTER_SYSCTLS, https_daemon, https_entry
from mtughost.lab.devices import Access, Stanza, base_files
from mtughost.lab.gateway_rules import RuleStyle, gateway_files
from mtughost.lab.pki import Issued, Pki
from mtughost.lab.plan import Daemon, File, Link, Node
from mtughost.lab.retail import IGNORE_ICMP, agent_files
from mtughost.lab.rules import Zone
from mtughost.lab.spec import SiteSpec

VPN_PORT = 1194


def host_name(numbers: Numbering, index: int) -> str:
    """Return the host's (appliance's) inventory name."""
    return numbers.site_labels[index - 1] + numbers.host_suffix


def vpn_gateway_name(numbers: Numbering, index: int) -> str:
    """Return the near gateway's inventory name."""
    return numbers.site_labels[index - 1] + numbers.tunnel_gateway_suffix


def host_node(
    numbers: Numbering, index: int, spec: SiteSpec, access: Access, client: tuple[Issued, bytes]
) -> Node:
    """Return the host: a TLS client whose portal is behind the tunnel."""
    name, site, tunnel = host_name(numbers, index), numbers.site(index), numbers.tunnel
    stanzas = (
        Stanza(
            name=numbers.names.ap_port,
            address=f"{tunnel.host}/24",
            gateway=str(tunnel.host_lan[1]),
            mtu_bytes=spec.plan.ap_mtu_bytes,
        ),
        Stanza(name=numbers.names.management, address=f"{site.ap_management}/16"),
    )
    files = base_files(name, access, stanzas)
    values = {"SERVICE": "portal", "SERVER": str(tunnel.far), "CLIENT": name}
    files |= agent_files(spec, "appliance-agent", client, values)
    if spec.plan.host_ignores_icmp:
        files["/etc/nftables.conf"] = File(content=IGNORE_ICMP.encode(), mode=0o755)
    return Node(
        name=name,
        kind="device",
        ports=tuple(stanza.name for stanza in stanzas),
        files=files,
        waits_for=(f"far{index}",),
        ssh=str(site.ap_management),
    )


def vpn_gateway_node(
    numbers: Numbering, index: int, spec: SiteSpec, access: Access, vpn_key: bytes
) -> Node:
    """Return the near gateway, with the near end of the tunnel."""
    names, site, tunnel = numbers.names, numbers.site(index), numbers.tunnel
    name = vpn_gateway_name(numbers, index)
    route = f"ip route add {tunnel.far_lan} via {tunnel.tunnel[2]}"
    lan = Stanza(
        name=names.host_lan,
        address=f"{tunnel.host_lan[1]}/24",
        mtu_bytes=spec.plan.vlan_mtu_bytes,
    )
    management = Stanza(name=names.management, address=f"{site.gateway_management}/16")
    extra: dict[str, File] = {}
    if spec.tunnel == "openvpn":
        carrier = Stanza(name="wan0", address=f"{tunnel.underlay[1]}/30")
        extra = {
            "/etc/openvpn/site.conf": File(
                content=openvpn_conf(numbers, spec, near=True, key="/etc/openvpn/site.key").encode()
            ),
            "/etc/openvpn/site.key": File(content=vpn_key, mode=0o600),
            "/etc/rc.d/30-openvpn": File(
                content=b"#!/bin/sh\nexec openvpn --config /etc/openvpn/site.conf"
                b" --log-append /var/log/openvpn.log\n",
                mode=0o755,
            ),
        }
    else:
        carrier = Stanza(
            name=names.tunnel,
            address=f"{tunnel.tunnel[1]}/30",
            mtu_bytes=spec.plan.wan_mtu_bytes,
            up=(route,),
        )
    files = base_files(name, access, (lan, carrier, management))
    files["/etc/sysctl.conf"] = File(content=b"net.ipv4.ip_forward = 1\n")
    zone = Zone(names.host_lan, "", names.tunnel)
    style = RuleStyle(name=spec.style, noise=spec.noise)
    files |= gateway_files(spec.plan, style, zone, nat=False) | extra
    return Node(
        name=name,
        kind="device",
        ports=(lan.name, carrier.name, management.name),
        files=files,
        ssh=str(site.gateway_management),
    )


def openvpn_conf(numbers: Numbering, spec: SiteSpec, *, near: bool, key: str) -> str:
    """Return one end's OpenVPN configuration: point to point, static key, no clamp of its own."""
    tunnel = numbers.tunnel
    mine, peer = (1, 2) if near else (2, 1)
    route = tunnel.far_lan if near else tunnel.host_lan
    return (
        f"dev {numbers.names.tunnel if near else 'tun0'}\ndev-type tun\nproto udp\n"
        f"local {tunnel.underlay[mine]}\nremote {tunnel.underlay[peer]}\nport {VPN_PORT}\n"
        f"ifconfig {tunnel.tunnel[mine]} {tunnel.tunnel[peer]}\n"
        f"route {route.network_address} {route.netmask}\n"
        f"secret {key}\ncipher AES-256-CBC\n"
        # OpenVPN 2.7 wants it, 2.6 does not know it.
        "ignore-unknown-option allow-deprecated-insecure-static-crypto\n"
        "allow-deprecated-insecure-static-crypto\n"
        # OpenVPN clamps MSS by default; the lab must not have a clamp that nobody planted.
        f"tun-mtu {spec.plan.wan_mtu_bytes}\nmssfix 0\npersist-key\n"
    )


def far_nodes(
    numbers: Numbering, index: int, spec: SiteSpec, pki: Pki, vpn_key: bytes
) -> tuple[Node, Node]:
    """Return the far gateway and the far end with its portal."""
    tunnel = numbers.tunnel
    batch = ["link set lo up", f"address add {tunnel.far_lan[1]}/24 dev lan0", "link set lan0 up"]
    daemons: tuple[Daemon, ...] = ()
    files: dict[str, File] = {}
    name = f"vgw{index}"
    if spec.tunnel == "openvpn":
        home = f"{NODES_DIR}/{name}"
        batch += [f"address add {tunnel.underlay[2]}/30 dev wan0", "link set wan0 up"]
        conf = openvpn_conf(numbers, spec, near=False, key=f"{home}/site.key")
        files = {
            "site.conf": File(content=conf.encode()),
            "site.key": File(content=vpn_key, mode=0o600),
        }
        daemons = (
            Daemon(
                argv=("openvpn", "--config", f"{home}/site.conf"),
                log="openvpn.log",
                ready_text="Initialization Sequence Completed",
            ),
        )
    else:
        batch += [
            f"link set wan0 mtu {spec.plan.wan_mtu_bytes}",
            f"address add {tunnel.tunnel[2]}/30 dev wan0",
            "link set wan0 up",
            f"route add {tunnel.host_lan} via {tunnel.tunnel[1]}",
        ]
    gateway = Node(
        name=name,
        kind="plain",
        ports=("wan0", "lan0"),
        files=files,
        batch=tuple(batch),
        sysctls=ROUTER_SYSCTLS,
        daemons=daemons,
    )
    return gateway, _far_end(numbers, index, pki)


def _far_end(numbers: Numbering, index: int, pki: Pki) -> Node:
    tunnel, name = numbers.tunnel, f"far{index}"
    home = f"{NODES_DIR}/{name}"
    issued = pki.server("portal.lab.example", (tunnel.far,), expired=False)
    entry = https_entry(home, str(tunnel.far), PUSH_PORT, "good", mutual=True)
    return Node(
        name=name,
        kind="plain",
        ports=("eth0",),
        files={
            "ca.pem": File(content=pki.root_pem),
            "good.pem": File(content=issued.chain),
            "good.key": File(content=issued.key, mode=0o600),
            "https.json": File(content=json.dumps([entry]).encode()),
        },
        batch=(
            "link set lo up",
            f"address add {tunnel.far}/24 dev eth0",
            "link set eth0 up",
            # Pinned: a Linux server would advertise less once it has learned the path's MTU.
            f"route add default via {tunnel.far_lan[1]} advmss 1460",
        ),
        sysctls={"net.ipv6.conf.all.disable_ipv6": "1"},
        daemons=(https_daemon(),),
    )


def tunnel_links(numbers: Numbering, index: int, spec: SiteSpec) -> tuple[Link, ...]:
    """Return the cables of one site of the second topology."""
    host, gateway = host_name(numbers, index), vpn_gateway_name(numbers, index)
    names = numbers.names
    carrier = "wan0" if spec.tunnel == "openvpn" else names.tunnel
    return (
        Link(node_a=host, port_a=names.ap_port, node_b=gateway, port_b=names.host_lan),
        Link(node_a=gateway, port_a=carrier, node_b=f"vgw{index}", port_b="wan0"),
        Link(node_a=f"vgw{index}", port_a="lan0", node_b=f"far{index}", port_b="eth0"),
        Link(node_a=host, port_a=names.management),
        Link(node_a=gateway, port_a=names.management),
    )
