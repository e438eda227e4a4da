"""The first topology, one store at a time: AP, gateway, till, and the ISP's access router."""

from __future__ import annotations

from mtughost.lab.addressing import Numbering, SiteAddresses
from mtughost.lab.cloud import (
    NODES_DIR,
    PUSH_PORT,
    RADSEC_PORT,
    ROUTER_SYSCTLS,
    TILL_PORT,
    far_end_address,
)
from mtughost.lab.devices import Access, Stanza, base_files, data
from mtughost.lab.gateway_rules import gateway_files, zone_of
from mtughost.lab.pki import Issued
from mtughost.lab.plan import Daemon, File, Link, Node
from mtughost.lab.spec import SiteSpec

#: Shared between the AP's agent and its own proxy, on loopback only.
LOCAL_SECRET = "lab-local"  # noqa: S105 - a lab's loopback


def ap_name(numbers: Numbering, index: int) -> str:
    """Return the AP's inventory name."""
    return numbers.site_labels[index - 1] + numbers.ap_suffix


def gateway_name(numbers: Numbering, index: int) -> str:
    """Return the gateway's inventory name."""
    return numbers.site_labels[index - 1] + numbers.gateway_suffix


def ap_node(
    numbers: Numbering, index: int, spec: SiteSpec, access: Access, client: tuple[Issued, bytes]
) -> Node:
    """Return the access point.

    Args:
        numbers: The lab's numbering.
        index: Store number from 1.
        spec: What is planted.
        access: Who may log in.
        client: The AP's certificate and the root certificate that it trusts.
    """
    name, site, scenario = ap_name(numbers, index), numbers.site(index), spec.plan
    stanzas = [
        Stanza(
            name=numbers.names.ap_port,
            address=f"{site.ap}/24",
            gateway=str(site.ap_gateway),
            mtu_bytes=scenario.ap_mtu_bytes,
        )
    ]
    if not spec.behind_gateway:
        stanzas.append(_management(numbers, str(site.ap_management)))
    files = base_files(name, access, tuple(stanzas))
    server = far_end_address(numbers.cloud, scenario.far_end)
    files |= agent_files(
        spec, "cloud-agent", client, {"SERVICE": "radsec", "SERVER": server, "CLIENT": name}
    )
    files |= _radsecproxy_files(spec, server)
    return Node(
        name=name,
        kind="device",
        ports=tuple(stanza.name for stanza in stanzas),
        files=files,
        waits_for=("cloud",),
        ssh="" if spec.behind_gateway else str(site.ap_management),
    )


def agent_files(
    spec: SiteSpec, agent: str, client: tuple[Issued, bytes], values: dict[str, str]
) -> dict[str, File]:
    """Return the files of a cloud client: agent, commands, certificates, settings."""
    issued, root = client
    server = values["SERVER"]
    port = RADSEC_PORT if agent == "cloud-agent" else PUSH_PORT
    settings = {
        **values,
        "PORT": str(port),
        "PUSH_URL": f"https://{server}:{PUSH_PORT}/push",
        "TLS_OPTION": "'--tlsv1.3'" if spec.tls == "1.3" else "'--tls-max 1.2'",
        "LOCAL_SECRET": LOCAL_SECRET,
        "INTERVAL": "5",
    }
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    sysctls = "net.ipv4.tcp_orphan_retries = 3\n"
    if not spec.plan.ap_sends_df:
        # TCP then leaves DF clear on every segment, as the access point of the story did.
        sysctls += "net.ipv4.ip_no_pmtu_disc = 1\n"
    name = values.get("CLIENT", "appliance")
    return {
        "/etc/sysctl.conf": File(content=sysctls.encode()),
        "/etc/cloud/agent.conf": File(content=text.encode(), mode=0o600),
        "/etc/cloud/dictionary": File(content=data("dictionary")),
        "/etc/cloud/running-config": File(content=f"hostname {name}\nssid retail\n".encode()),
        "/etc/radsec/ca.pem": File(content=root),
        "/etc/radsec/client.pem": File(content=issued.chain),
        "/etc/radsec/client.key": File(content=issued.key, mode=0o600),
        f"/usr/local/bin/{agent}": File(content=data(agent), mode=0o755),
        "/usr/local/bin/cloud-status": File(content=data("cloud-status"), mode=0o755),
        "/usr/local/bin/cloud-push": File(content=data("cloud-push"), mode=0o755),
        "/etc/rc.d/50-agent": File(
            content=f"#!/bin/sh\nexec /usr/local/bin/{agent}\n".encode(), mode=0o755
        ),
    }


def radsecproxy_conf(*, server: str, tls: str, log: str, port: int) -> str:
    """Return a radsecproxy configuration: RADIUS on loopback to RADsec at ``server``."""
    version = "TLS1_3" if tls == "1.3" else "TLS1_2"
    # An option on the same line as an opening brace is ignored by radsecproxy.
    return f"""ListenUDP 127.0.0.1:{port}
LogDestination file://{log}
LogLevel 3
tls radsec {{
    CACertificateFile /etc/radsec/ca.pem
    CertificateFile /etc/radsec/client.pem
    CertificateKeyFile /etc/radsec/client.key
    TlsVersion {version}
}}
client 127.0.0.1 {{
    type udp
    secret {LOCAL_SECRET}
}}
server cloud {{
    host {server}
    port {RADSEC_PORT}
    type tls
    tls radsec
    secret radsec
    StatusServer off
}}
realm * {{
    server cloud
}}
"""


def _radsecproxy_files(spec: SiteSpec, server: str) -> dict[str, File]:
    text = radsecproxy_conf(server=server, tls=spec.tls, log="/var/log/radsecproxy.log", port=1812)
    return {"/etc/radsecproxy.conf": File(content=text.encode(), mode=0o600)}


def _management(numbers: Numbering, address: str) -> Stanza:
    return Stanza(name=numbers.names.management, address=f"{address}/16")


def gateway_node(numbers: Numbering, index: int, spec: SiteSpec, access: Access) -> Node:
    """Return the store's gateway."""
    names, site, scenario = numbers.names, numbers.site(index), spec.plan
    stanzas = (
        Stanza(name="port20"),
        _vlan(index, names.ap_vlan, "port20", f"{site.ap_gateway}/24", scenario.vlan_mtu_bytes),
        Stanza(name="port30"),
        _vlan(index, names.pos_vlan, "port30", f"{site.pos_gateway}/24", 1500),
        Stanza(
            name=names.wan,
            address=f"{site.wan_gateway}/30",
            gateway=str(site.wan_isp),
            mtu_bytes=scenario.wan_mtu_bytes,
        ),
        _management(numbers, str(site.gateway_management)),
    )
    files = base_files(gateway_name(numbers, index), access, stanzas)
    sysctls = "net.ipv4.ip_forward = 1\n"
    # A macvlan's parent would also answer ARP for the VLAN's address; packets would then arrive
    # by the port at random and miss every rule that names the VLAN.
    sysctls += "".join(f"net.ipv4.conf.{port}.arp_ignore = 8\n" for port in ("port20", "port30"))
    files["/etc/sysctl.conf"] = File(content=sysctls.encode())
    files |= gateway_files(scenario, spec.style, zone_of(names))
    if scenario.dhcp_mtu_bytes:
        files |= _dhcp_files(numbers, site, scenario.dhcp_mtu_bytes)
    return Node(
        name=gateway_name(numbers, index),
        kind="device",
        ports=("port20", "port30", names.wan, names.management),
        files=files,
        ssh=str(site.gateway_management),
    )


def _vlan(index: int, name: str, port: str, address: str, mtu_bytes: int) -> Stanza:
    # A macvlan does not check the MTU on receive, like a real VLAN interface; a veth would. Its
    # hardware address must outlive a reboot, or the neighbours would send to the old one.
    mac = f"02:6c:61:62:{index:02x}:{port.removeprefix('port')}"
    return Stanza(
        name=name,
        address=address,
        mtu_bytes=mtu_bytes,
        pre_up=(f"ip link add link {port} name {name} address {mac} type macvlan mode bridge",),
    )


def _dhcp_files(numbers: Numbering, site: SiteAddresses, mtu_bytes: int) -> dict[str, File]:
    first, last = site.ap_lan[100], site.ap_lan[199]
    text = (
        f"interface={numbers.names.ap_vlan}\nbind-interfaces\nport=0\nuser=root\n"
        f"dhcp-range={first},{last},12h\ndhcp-option=option:router,{site.ap_gateway}\n"
        f"dhcp-option=option:mtu,{mtu_bytes}\ndhcp-leasefile=/var/lib/misc/dnsmasq.leases\n"
    )
    return {
        "/etc/dnsmasq.d/ap-vlan.conf": File(content=text.encode()),
        "/var/lib/misc/.keep": File(content=b""),
        "/etc/rc.d/40-dnsmasq": File(
            content=b"#!/bin/sh\nexec dnsmasq -k -C /dev/null --conf-dir=/etc/dnsmasq.d\n",
            mode=0o755,
        ),
    }


def isp_node(numbers: Numbering, index: int, spec: SiteSpec) -> Node:
    """Return the ISP's access router: the 1492 link on one side, 1500 on the other."""
    site, cloud = numbers.site(index), numbers.cloud
    return Node(
        name=f"isp{index}",
        kind="plain",
        ports=("dsl0", "core0"),
        batch=(
            "link set lo up",
            f"link set dsl0 mtu {spec.plan.wan_mtu_bytes}",
            f"address add {site.wan_isp}/30 dev dsl0",
            "link set dsl0 up",
            f"address add {site.isp}/30 dev core0",
            "link set core0 up",
            f"route add {cloud.network} via {site.core}",
        ),
        sysctls=ROUTER_SYSCTLS,
    )


def till_node(numbers: Numbering, index: int) -> Node:
    """Return the till on the POS VLAN, with its traffic."""
    site = numbers.site(index)
    return Node(
        name=f"till{index}",
        kind="plain",
        ports=("eth0",),
        batch=(
            "link set lo up",
            f"address add {site.pos}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {site.pos_gateway}",
        ),
        daemons=(
            Daemon(
                argv=(
                    "sh",
                    "{data}/till",
                    f"https://{numbers.cloud.normal}:{TILL_PORT}/receipt",
                    f"{NODES_DIR}/cloud/ca.pem",
                ),
                log="till.log",
            ),
        ),
        waits_for=("cloud",),
    )


def store_links(numbers: Numbering, index: int, spec: SiteSpec) -> tuple[Link, ...]:
    """Return the cables of one store."""
    ap, gateway, names = ap_name(numbers, index), gateway_name(numbers, index), numbers.names
    links = [
        Link(node_a=ap, port_a=names.ap_port, node_b=gateway, port_b="port20"),
        Link(node_a=f"till{index}", port_a="eth0", node_b=gateway, port_b="port30"),
        Link(node_a=gateway, port_a=names.wan, node_b=f"isp{index}", port_b="dsl0"),
        Link(node_a=f"isp{index}", port_a="core0", node_b="core", port_b=f"p{index}"),
        Link(node_a=gateway, port_a=names.management),
    ]
    if not spec.behind_gateway:
        links.append(Link(node_a=ap, port_a=names.management))
    return tuple(links)
