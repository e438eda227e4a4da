"""The first topology, one store at a time: AP, gateway, till, and the ISP's access router."""

from __future__ import annotations

from mtughost.lab import bound
from mtughost.lab.addressing import Numbering, SiteAddresses
from mtughost.lab.cloud import (
    NODES_DIR,
    PUSH_PORT,
    RADSEC_PORT,
    TILL_PORT,
    far_end_address,
)
from mtughost.lab.devices import Access, Stanza, base_files, data
from mtughost.lab.gateway_rules import RuleStyle, gateway_files, zone_of
from mtughost.lab.pki import Issued
from mtughost.lab.plan import Daemon, File, Link, Node
from mtughost.lab.scenarios import Scenario
from mtughost.lab.spec import SiteSpec

#: Shared between the AP's agent and its own proxy, on loopback only.
LOCAL_SECRET = "lab-local"  # noqa: S105 - a lab's loopback

#: Packet filter of a host that does not want to know about path MTUs.
IGNORE_ICMP = """#!/usr/sbin/nft -f
flush ruleset

table inet filter {
\tchain input {
\t\ttype filter hook input priority filter; policy accept;
\t\ticmp type destination-unreachable icmp code frag-needed counter drop
\t\ticmpv6 type packet-too-big counter drop
\t}
}
"""


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
    port = numbers.names.ap_port
    six = _six(scenario, port, str(site.ap6), f"default via {site.ap_gateway6}")
    stanzas = [
        Stanza(
            name=port,
            address=f"{site.ap}/24",
            gateway=str(site.ap_gateway),
            mtu_bytes=scenario.ap_mtu_bytes,
            up=six,
        )
    ]
    if not spec.behind_gateway:
        stanzas.append(_management(numbers, str(site.ap_management)))
    files = base_files(name, access, tuple(stanzas))
    server = far_end_address(numbers.cloud, scenario.far_end, scenario.family)
    files |= agent_files(
        spec, "cloud-agent", client, {"SERVICE": "radsec", "SERVER": server, "CLIENT": name}
    )
    files |= _radsecproxy_files(spec, server)
    if scenario.family == "dual":
        lines = "".join(f"{address} {server}\n" for address in addresses_of(numbers, scenario))
        own = files["/etc/hosts"].content
        files["/etc/hosts"] = File(content=own + lines.encode())
    if scenario.host_ignores_icmp:
        files["/etc/nftables.conf"] = File(content=IGNORE_ICMP.encode(), mode=0o755)
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
    literal = f"[{server}]" if ":" in server else server
    port = RADSEC_PORT if agent == "cloud-agent" else PUSH_PORT
    settings = {
        **values,
        "PORT": str(port),
        "PUSH_URL": f"https://{literal}:{PUSH_PORT}/push",
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
    large = {"/etc/radsec/openssl.cnf": File(content=_LARGE_KEY_SHARE)}
    return (large if spec.plan.large_hello else {}) | {
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
            content=f"#!/bin/sh\n{_exports(spec)}exec /usr/local/bin/{agent}\n".encode(),
            mode=0o755,
        ),
    }


#: OpenSSL 3 sends a key share of the first group alone. This one has 512 bytes; larger groups, as
#: large as post-quantum shares, take both ends seconds to check.
_LARGE_KEY_SHARE = b"""\
openssl_conf = settings
[settings]
ssl_conf = ssl
[ssl]
system_default = large_key_share
[large_key_share]
Groups = ffdhe4096:x25519
"""


def clock_environment(scenario: Scenario) -> tuple[str, ...]:
    """Return the environment that shifts a program's clock (libfaketime), as NAME=VALUE."""
    if not scenario.clock_offset_days:
        return ()
    return (
        # The loader puts the machine's library directory for $LIB.
        "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1",
        f"FAKETIME={scenario.clock_offset_days:+d}d",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "DONT_FAKE_MONOTONIC=1",
    )


def _exports(spec: SiteSpec) -> str:
    pairs = (each.split("=", 1) for each in clock_environment(spec.plan))
    return "".join(f"export {name}='{value}'\n" for name, value in pairs)


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
    host {f"[{server}]" if ":" in server else server}
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


def addresses_of(numbers: Numbering, scenario: Scenario) -> tuple[str, ...]:
    """Return the addresses of a site's service, none where it is a name without any."""
    if scenario.far_end == "nameless":
        return ()
    families = ("ipv6", "ipv4") if scenario.family == "dual" else (scenario.family,)
    return tuple(far_end_address(numbers.cloud, scenario.far_end, each) for each in families)


def _six(scenario: Scenario, port: str, address: str, *routes: str) -> tuple[str, ...]:
    """Return the ``ip`` commands of a port's IPv6 side, where the service needs one."""
    if not scenario.speaks6:
        return ()
    lines = (f"ip address add {address}/64 dev {port} nodad",)
    return lines + tuple(f"ip route add {route} dev {port}" for route in routes)


def _management(numbers: Numbering, address: str) -> Stanza:
    return Stanza(name=numbers.names.management, address=f"{address}/16")


def gateway_node(numbers: Numbering, index: int, spec: SiteSpec, access: Access) -> Node:
    """Return the store's gateway."""
    names, site, scenario = numbers.names, numbers.site(index), spec.plan
    if spec.gateway:
        scenario = bound.plain_links(scenario)
    lan_mtu = max(1500, scenario.vlan_mtu_bytes)
    stanzas = [
        Stanza(name="port20", mtu_bytes=lan_mtu if lan_mtu > 1500 else 0),  # noqa: PLR2004
        _vlan(
            index,
            names.ap_vlan,
            "port20",
            f"{site.ap_gateway}/24",
            scenario.vlan_mtu_bytes,
            _six(scenario, names.ap_vlan, str(site.ap_gateway6)),
        ),
        Stanza(name="port30"),
        _vlan(index, names.pos_vlan, "port30", f"{site.pos_gateway}/24", 1500),
        Stanza(
            name=names.wan,
            address=f"{site.wan_gateway}/30",
            gateway=str(site.wan_isp),
            mtu_bytes=scenario.wan_mtu_bytes,
            up=_six(scenario, names.wan, str(site.wan_gateway6), f"default via {site.wan_isp6}"),
        ),
        _management(numbers, str(site.gateway_management)),
    ]
    if scenario.standby_mtu_bytes:
        stanzas.append(_standby(numbers, site, scenario.standby_mtu_bytes))
    files = base_files(gateway_name(numbers, index), access, tuple(stanzas))
    sysctls = "net.ipv4.ip_forward = 1\n"
    if scenario.speaks6:
        sysctls += "net.ipv6.conf.all.forwarding = 1\n"
    # A macvlan's parent would also answer ARP for the VLAN's address; packets would then arrive
    # by the port at random and miss every rule that names the VLAN.
    sysctls += "".join(f"net.ipv4.conf.{port}.arp_ignore = 8\n" for port in ("port20", "port30"))
    files["/etc/sysctl.conf"] = File(content=sysctls.encode())
    if spec.gateway:
        files |= bound.gateway_files(numbers)
    else:
        style = RuleStyle(name=spec.style, noise=spec.noise)
        files |= gateway_files(scenario, style, zone_of(names, scenario))
    if scenario.dhcp_mtu_bytes:
        files |= _dhcp_files(numbers, site, scenario.dhcp_mtu_bytes)
    ports = ["port20", "port30", names.wan, names.management]
    return Node(
        name=gateway_name(numbers, index),
        kind="device",
        ports=(*ports, *([names.standby] if scenario.standby_mtu_bytes else [])),
        files=files,
        ssh=str(site.gateway_management),
    )


def _standby(numbers: Numbering, site: SiteAddresses, mtu_bytes: int) -> Stanza:
    name = numbers.names.standby
    return Stanza(
        name=name,
        address=f"{site.standby_gateway}/30",
        mtu_bytes=mtu_bytes,
        up=(f"ip route add default via {site.standby_isp} dev {name} metric 500",),
    )


def _vlan(
    index: int, name: str, port: str, address: str, mtu_bytes: int, up: tuple[str, ...] = ()
) -> Stanza:
    # A macvlan does not check the MTU on receive, like a real VLAN interface; a veth would. Its
    # hardware address must outlive a reboot, or the neighbours would send to the old one.
    mac = f"02:6c:61:62:{index:02x}:{port.removeprefix('port')}"
    return Stanza(
        name=name,
        address=address,
        mtu_bytes=mtu_bytes,
        pre_up=(f"ip link add link {port} name {name} address {mac} type macvlan mode bridge",),
        up=up,
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
    scenario = spec.plan
    links = [
        Link(node_a=f"till{index}", port_a="eth0", node_b=gateway, port_b="port30"),
        Link(node_a=gateway, port_a=names.wan, node_b=f"isp{index}", port_b="dsl0"),
        Link(node_a=f"isp{index}", port_a="core0", node_b="core", port_b=f"p{index}"),
        Link(node_a=gateway, port_a=names.management),
    ]
    if scenario.l2_ceiling_bytes:
        switch = f"sw{index}"
        links += [
            Link(node_a=ap, port_a=names.ap_port, node_b=switch, port_b="ap0"),
            Link(node_a=switch, port_a="gw0", node_b=gateway, port_b="port20"),
        ]
    else:
        links.append(Link(node_a=ap, port_a=names.ap_port, node_b=gateway, port_b="port20"))
    if scenario.standby_mtu_bytes:
        links.append(
            Link(node_a=gateway, port_a=names.standby, node_b=f"isp{index}", port_b="lte0")
        )
    if not spec.behind_gateway:
        links.append(
            Link(
                node_a=ap,
                port_a=names.management,
                ceiling_bytes=scenario.management_ceiling_bytes,
            )
        )
    return tuple(links)
