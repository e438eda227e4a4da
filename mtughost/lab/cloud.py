"""The world behind the ISP: the core router and the cloud with its real servers.

One FreeRADIUS with one RADsec listener per service address, one HTTPS server. The addresses
differ in what a far end can do to a site: a valid certificate, an expired one, a small MSS.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from mtughost.lab.addressing import CloudAddresses, Numbering
from mtughost.lab.pki import Pki
from mtughost.lab.plan import Daemon, File, Node
from mtughost.lab.scenarios import FarEnd, Scenario

RADSEC_PORT = 2083
PUSH_PORT = 8443
TILL_PORT = 443
#: MTU of the small far end's own link: it advertises 1400, whatever the path is.
SMALL_FAR_END_MTU_BYTES = 1440

#: Where plain nodes keep their files, inside the lab's private ``/run``.
NODES_DIR = "/run/mtughost/nodes"

ROUTER_SYSCTLS = {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.disable_ipv6": "1"}


def far_end_address(cloud: CloudAddresses, far_end: FarEnd) -> str:
    """Return the service address behind a far end's label."""
    table = {"normal": cloud.normal, "expired": cloud.expired, "small-mss": cloud.small_mss}
    return str(table[far_end])


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One store as the core router sees it."""

    index: int
    label: str
    scenario: Scenario

    @property
    def port(self) -> str:
        """The core's interface towards this store's ISP."""
        return f"p{self.index}"


def core_node(numbers: Numbering, stores: tuple[Attachment, ...]) -> Node:
    """Return the core router; it drops what each store's upstream drops."""
    cloud = numbers.cloud
    batch = ["link set lo up", f"address add {cloud.router}/24 dev cloud", "link set cloud up"]
    chains = []
    for store in stores:
        site = numbers.site(store.index)
        batch += [
            f"address add {site.core}/30 dev {store.port}",
            f"link set {store.port} up",
            f"route add {site.wan_isp - 1}/30 via {site.isp}",
        ]
        rules = []
        if store.scenario.fragments_upstream == "drop":
            # MF or a non-zero offset. At ingress, before conntrack could reassemble.
            rules.append("ip frag-off & 0x3fff != 0 counter drop")
        if store.scenario.service_blocked:
            rules.append(f"tcp dport {RADSEC_PORT} counter drop")
        body = "".join(f"\t\t{rule}\n" for rule in rules)
        chains.append(
            f"\tchain store{store.index} {{\n"
            f'\t\ttype filter hook ingress device "{store.port}" priority 0; policy accept;\n'
            f"{body}\t}}\n"
        )
    return Node(
        name="core",
        kind="plain",
        ports=("cloud", *(store.port for store in stores)),
        batch=tuple(batch),
        sysctls=ROUTER_SYSCTLS,
        ruleset="table netdev edge {\n" + "".join(chains) + "}\n",
    )


def cloud_node(numbers: Numbering, pki: Pki) -> Node:
    """Return the cloud: FreeRADIUS for RADsec and an HTTPS server."""
    cloud = numbers.cloud
    home = f"{NODES_DIR}/cloud"
    good = pki.server("cloud.lab.example", (cloud.normal, cloud.small_mss), expired=False)
    late = pki.server("cloud.lab.example", (cloud.expired,), expired=True)
    files = {
        "ca.pem": File(content=pki.root_pem),
        "good.pem": File(content=good.chain),
        "good.key": File(content=good.key, mode=0o600),
        "late.pem": File(content=late.chain),
        "late.key": File(content=late.key, mode=0o600),
        "radiusd.conf": File(content=_radiusd(cloud, home).encode()),
        "https.json": File(content=_https(cloud, home).encode()),
    }
    addresses = (cloud.normal, cloud.expired, cloud.small_mss)
    batch = ["link set lo up", "link set eth0 up"]
    batch += [f"address add {address}/24 dev eth0" for address in addresses]
    batch += [
        # A Linux server lowers the MSS it advertises once it has learned a path MTU. That would
        # hide a fault on the second attempt, so it is pinned here.
        f"route add default via {cloud.router} advmss 1460",
        f"rule add from {cloud.small_mss} lookup 100",
        (
            f"route add default via {cloud.router} mtu lock {SMALL_FAR_END_MTU_BYTES}"
            f" advmss {SMALL_FAR_END_MTU_BYTES - 40} table 100"
        ),
    ]
    return Node(
        name="cloud",
        kind="plain",
        ports=("eth0",),
        files=files,
        batch=tuple(batch),
        sysctls={"net.ipv6.conf.all.disable_ipv6": "1"},
        daemons=(
            Daemon(
                argv=("freeradius", "-f", "-n", "radiusd", "-d", home),
                log="radius.log",
                ready_text="Ready to process requests",
            ),
            https_daemon(),
        ),
    )


def https_daemon() -> Daemon:
    """Return the HTTPS server of a node whose ``https.json`` says what to serve."""
    return Daemon(
        argv=("{python}", "-I", "{data}/https_server.py", "{dir}/https.json"),
        log="https.log",
        ready_text="serving",
    )


def https_entry(
    home: str, address: str, port: int, server: str, *, mutual: bool
) -> dict[str, object]:
    """Return one listener of ``https.json``."""
    return {
        "address": address,
        "port": port,
        "certificate": f"{home}/{server}.pem",
        "key": f"{home}/{server}.key",
        "client_ca": f"{home}/ca.pem" if mutual else "",
    }


def _https(cloud: CloudAddresses, home: str) -> str:
    entries = [
        https_entry(home, str(cloud.normal), PUSH_PORT, "good", mutual=True),
        https_entry(home, str(cloud.small_mss), PUSH_PORT, "good", mutual=True),
        https_entry(home, str(cloud.expired), PUSH_PORT, "late", mutual=True),
        https_entry(home, str(cloud.normal), TILL_PORT, "good", mutual=False),
    ]
    return json.dumps(entries)


def _radiusd(cloud: CloudAddresses, home: str) -> str:
    listeners = (
        (str(cloud.normal), "good"),
        (str(cloud.small_mss), "good"),
        (str(cloud.expired), "late"),
    )
    text = f"""name = radiusd
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {home}
logdir = {home}
run_dir = {home}
pidfile = {home}/radiusd.pid
max_request_time = 30
max_requests = 4096
hostname_lookups = no
log {{
    destination = files
    file = {home}/radius.log
}}
security {{
    allow_core_dumps = no
    max_attributes = 200
    reject_delay = 0
    status_server = yes
}}
thread pool {{
    start_servers = 4
    max_servers = 16
    min_spare_servers = 2
    max_spare_servers = 8
    max_requests_per_server = 0
}}
modules {{
}}
server lab {{
    authorize {{
        update control {{
            Auth-Type := Accept
        }}
        update reply {{
            Reply-Message := "key found"
        }}
    }}
}}
clients radsec {{
    client sites {{
        ipaddr = 0.0.0.0/0
        proto = tls
        secret = radsec
        limit {{
            max_connections = 0
            lifetime = 0
            idle_timeout = 0
        }}
    }}
}}
"""
    for address, server in listeners:
        text += f"""listen {{
    ipaddr = {address}
    port = {RADSEC_PORT}
    type = auth+acct
    proto = tcp
    virtual_server = lab
    clients = radsec
    limit {{
        max_connections = 0
        lifetime = 0
        idle_timeout = 60
    }}
    tls {{
        private_key_file = {home}/{server}.key
        certificate_file = {home}/{server}.pem
        ca_file = {home}/ca.pem
        fragment_size = 8192
        cipher_list = "DEFAULT"
        ecdh_curve = ""
        tls_min_version = "1.2"
        tls_max_version = "1.3"
        require_client_cert = yes
    }}
}}
"""
    return text
