"""The world behind the ISP: the core router and the cloud with its real servers.

One FreeRADIUS with one RADsec listener per service address, one HTTPS server. The addresses
differ in what a far end can do to a site: a valid certificate, an expired one, a small MSS ...
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from mtughost.lab.addressing import CloudAddresses, Numbering
from mtughost.lab.pki import Pki
from mtughost.lab.plan import Daemon, File, Node
from mtughost.lab.radius import Listener, radiusd_conf
from mtughost.lab.scenarios import FarEnd, Scenario

RADSEC_PORT = 2083
PUSH_PORT = 8443
TILL_PORT = 443
#: MTU of the small far end's own link: it advertises 1400, whatever the path is.
SMALL_FAR_END_MTU_BYTES = 1440

#: Where plain nodes keep their files, inside the lab's private ``/run``.
NODES_DIR = "/run/mtughost/nodes"

ROUTER_SYSCTLS = {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.disable_ipv6": "1"}
ROUTER_SYSCTLS_6 = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.disable_ipv6": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.all.forwarding": "1",
}
#: MTU inside the cloud; only the jumbo far end makes use of it.
CLOUD_MTU_BYTES = 9000
#: Where each far end is, counted from the normal one; ``nameless`` is nowhere.
_PLACES: dict[FarEnd, int] = {
    "normal": 0,
    "expired": 1,
    "small-mss": 2,
    "large": 3,
    "jumbo": 4,
    "mute": 5,
    "closed": 6,
    "foreign": 7,
    "rejecting": 8,
}
#: Far ends that every cloud has; the others only where a store uses them.
_ALWAYS: frozenset[FarEnd] = frozenset({"normal", "expired", "small-mss", "large"})
_NO_RADIUS: frozenset[FarEnd] = frozenset({"mute", "closed"})
NAMELESS = "radsec.cloud.lab.example"
#: What a dual service is called; every certificate of the cloud has it.
CLOUD_NAME = "cloud.lab.example"
#: Padding of the large far end's certificate: its flight then fills three packets.
_LARGE_PADDING_BYTES = 2600
#: What TCP timestamps take from each segment, and the header of a TLS record.
_TIMESTAMPS_BYTES, _RECORD_HEADER_BYTES = 12, 5


def far_end_address(cloud: CloudAddresses, far_end: FarEnd, family: str = "ipv4") -> str:
    """Return the service address behind a far end's label, or the name without one."""
    if far_end == "nameless":
        return NAMELESS
    if family == "dual":
        return CLOUD_NAME
    place = _PLACES[far_end]
    return str(cloud.number6(place) if family == "ipv6" else cloud.number(place))


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


def _speaks6(stores: tuple[Attachment, ...]) -> bool:
    return any(store.scenario.speaks6 for store in stores)


def core_node(numbers: Numbering, stores: tuple[Attachment, ...]) -> Node:
    """Return the core router; it drops what each store's upstream drops."""
    cloud = numbers.cloud
    batch = [
        "link set lo up",
        f"link set cloud mtu {CLOUD_MTU_BYTES}",
        f"address add {cloud.router}/24 dev cloud",
        "link set cloud up",
    ]
    if _speaks6(stores):
        batch.append(f"address add {cloud.router6}/64 dev cloud nodad")
    chains = []
    for store in stores:
        batch += _store_routes(numbers, store)
        body = "".join(f"\t\t{rule}\n" for rule in _upstream_rules(store.scenario))
        chains.append(
            f"\tchain store{store.index} {{\n"
            f'\t\ttype filter hook ingress device "{store.port}" priority 0; policy accept;\n'
            f"{body}\t}}\n"
        )
    text = "table netdev edge {\n" + "".join(chains) + "}\n" + _rewrites(stores)
    return Node(
        name="core",
        kind="plain",
        ports=("cloud", *(store.port for store in stores)),
        batch=tuple(batch),
        sysctls=ROUTER_SYSCTLS_6 if _speaks6(stores) else ROUTER_SYSCTLS,
        ruleset=text,
    )


def _store_routes(numbers: Numbering, store: Attachment) -> list[str]:
    site, scenario = numbers.site(store.index), store.scenario
    mtu = scenario.hidden_mtu_bytes or max(1500, scenario.wan_mtu_bytes)
    # A locked MTU also holds for packets that are forwarded: this way alone is narrower.
    back = f" mtu lock {scenario.down_mtu_bytes}" if scenario.down_mtu_bytes else ""
    batch = [
        f"link set {store.port} mtu {mtu}",
        f"address add {site.core}/30 dev {store.port}",
        f"link set {store.port} up",
        f"route add {site.wan_isp - 1}/30 via {site.isp}{back}",
    ]
    if scenario.standby_mtu_bytes:
        batch.append(f"route add {site.standby_isp - 1}/30 via {site.isp}{back}")
    if scenario.speaks6:
        batch += [
            f"address add {site.core6}/64 dev {store.port} nodad",
            f"route add {site.prefix6} via {site.isp6}{back}",
        ]
    return batch


def _upstream_rules(scenario: Scenario) -> list[str]:
    """Return what happens to packets from a store, at ingress: before conntrack reassembles."""
    rules = []
    if scenario.loss_percent:
        rules.append(f"numgen random mod 100 < {scenario.loss_percent} counter drop")
    if scenario.fragments_upstream == "drop":
        # MF or a non-zero offset.
        rules.append("ip frag-off & 0x3fff != 0 counter drop")
    if scenario.service_blocked:
        rules.append(f"tcp dport {RADSEC_PORT} counter drop")
    if scenario.split_hello == "drop":
        # A ClientHello (record type 22, message 1) whose record is longer than one packet holds.
        most = scenario.upstream_mss_bytes - _TIMESTAMPS_BYTES - _RECORD_HEADER_BYTES
        hello = f"@ih,0,8 22 @ih,40,8 1 @ih,24,16 > {most}"
        rules.append(f"tcp dport {RADSEC_PORT} {hello} counter drop")
    if scenario.payload_blocked:
        # A bare acknowledgement has at most 80 bytes, with all its options.
        rules.append(f"tcp dport {RADSEC_PORT} ip length > 100 counter drop")
        rules.append(f"tcp dport {RADSEC_PORT} ip6 length > 80 counter drop")
    return rules


def _rewrites(stores: tuple[Attachment, ...]) -> str:
    rules = [
        f'\t\t{side} "{store.port}" tcp flags & (syn | rst) == syn'
        f" tcp option maxseg size set {store.scenario.upstream_mss_bytes}\n"
        for store in stores
        if store.scenario.upstream_mss_bytes
        for side in ("iifname", "oifname")
    ]
    if not rules:
        return ""
    head = "\t\ttype filter hook forward priority mangle; policy accept;\n"
    return f"table inet rewrite {{\n\tchain forward {{\n{head}{''.join(rules)}\t}}\n}}\n"


def _used(stores: tuple[Attachment, ...]) -> tuple[FarEnd, ...]:
    wanted = _ALWAYS | {store.scenario.far_end for store in stores}
    return tuple(name for name in _PLACES if name in wanted)


def cloud_node(numbers: Numbering, pki: Pki, stores: tuple[Attachment, ...]) -> Node:
    """Return the cloud: FreeRADIUS for RADsec and an HTTPS server."""
    cloud = numbers.cloud
    home = f"{NODES_DIR}/cloud"
    used, six = _used(stores), _speaks6(stores)
    files = {"ca.pem": File(content=pki.root_pem)}
    for name in used:
        place = _PLACES[name]
        # No address more than needed: the flight of a usual service must fit one packet.
        issued = pki.server(
            CLOUD_NAME,
            (cloud.number(place),),
            expired=name == "expired",
            more=(cloud.number6(place),) if six else (),
            padding=_LARGE_PADDING_BYTES if name == "large" else 0,
            foreign=name == "foreign",
        )
        files[f"{name}.pem"] = File(content=issued.chain)
        files[f"{name}.key"] = File(content=issued.key, mode=0o600)
    listeners = _listeners(cloud, used, six=six)
    files["radiusd.conf"] = File(content=radiusd_conf(listeners, RADSEC_PORT, home).encode())
    files["https.json"] = File(content=_https(cloud, listeners, home).encode())
    return Node(
        name="cloud",
        kind="plain",
        ports=("eth0",),
        files=files,
        batch=tuple(_cloud_batch(cloud, used, six=six)),
        sysctls={"net.ipv6.conf.all.disable_ipv6": "0" if six else "1"},
        daemons=(
            Daemon(
                argv=("freeradius", "-f", "-n", "radiusd", "-d", home),
                log="radius.log",
                ready_text="Ready to process requests",
            ),
            https_daemon(),
            *_mute(cloud, used),
        ),
    )


def _listeners(
    cloud: CloudAddresses, used: tuple[FarEnd, ...], *, six: bool
) -> tuple[Listener, ...]:
    families = ("ipv4", "ipv6") if six else ("ipv4",)
    return tuple(
        Listener(
            address=far_end_address(cloud, name, family),
            certificate=name,
            rejects=name == "rejecting",
        )
        for family in families
        for name in used
        if name not in _NO_RADIUS
    )


def _cloud_batch(cloud: CloudAddresses, used: tuple[FarEnd, ...], *, six: bool) -> list[str]:
    batch = ["link set lo up", f"link set eth0 mtu {CLOUD_MTU_BYTES}", "link set eth0 up"]
    batch += [f"address add {far_end_address(cloud, name)}/24 dev eth0" for name in used]
    small, jumbo = far_end_address(cloud, "small-mss"), far_end_address(cloud, "jumbo")
    batch += [
        # A Linux server lowers the MSS it advertises once it has learned a path MTU. That would
        # hide a fault on the second attempt, so it is pinned here.
        f"route add default via {cloud.router} advmss 1460",
        f"rule add from {small} lookup 100",
        (
            f"route add default via {cloud.router} mtu lock {SMALL_FAR_END_MTU_BYTES}"
            f" advmss {SMALL_FAR_END_MTU_BYTES - 40} table 100"
        ),
        f"rule add from {jumbo} lookup 101",
        f"route add default via {cloud.router} advmss {CLOUD_MTU_BYTES - 40} table 101",
    ]
    if six:
        batch += [
            f"address add {far_end_address(cloud, name, 'ipv6')}/64 dev eth0 nodad" for name in used
        ]
        batch.append(f"route add default via {cloud.router6} advmss 1440")
    return batch


def _mute(cloud: CloudAddresses, used: tuple[FarEnd, ...]) -> tuple[Daemon, ...]:
    if "mute" not in used:
        return ()
    address = far_end_address(cloud, "mute")
    argv = ("{python}", "-I", "{data}/mute_server.py", address, str(RADSEC_PORT))
    return (Daemon(argv=argv, log="mute.log", ready_text="silent"),)


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


def _https(cloud: CloudAddresses, listeners: tuple[Listener, ...], home: str) -> str:
    entries = [
        https_entry(home, each.address, PUSH_PORT, each.certificate, mutual=True)
        for each in listeners
    ]
    entries.append(https_entry(home, str(cloud.normal), TILL_PORT, "normal", mutual=False))
    return json.dumps(entries)
