"""Small builders of site evidence. Every name and address can be changed: rules must not care."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from mtughost.diagnose import SiteEvidence
from mtughost.model.basis import NOT_COLLECTED, Known, Source
from mtughost.model.clamps import (
    Chain,
    ClampTo,
    Jump,
    Match,
    NameSet,
    PortSet,
    PrefixSet,
    Rule,
    Ruleset,
)
from mtughost.model.device import (
    Address,
    CloudState,
    DeviceFacts,
    IcmpSettings,
    Interface,
    Route,
    TcpSession,
)
from mtughost.model.evidence import (
    CaptureEvidence,
    FlowSeen,
    IcmpTooBigSeen,
    PingEvidence,
    ProbeEvidence,
    ProbeStep,
    SynSeen,
)
from mtughost.model.inventory import Credential, Device, Service, Site

CREDENTIAL = Credential(realm="fake", username="nobody")
BOTH = frozenset({"ipv4", "ipv6"})


@dataclass(frozen=True)
class Names:
    site: str = "s001"
    ap: str = "s001-ap1"
    gateway: str = "s001-gw1"
    lan: str = "vlan20"
    other: str = "vlan30"
    wan: str = "wan0"
    port: str = "eth0"
    service: str = "radsec"
    ap_address: str = "10.20.0.10"
    lan_address: str = "10.20.0.1"
    wan_address: str = "100.64.1.2"
    isp: str = "100.64.1.1"
    server: str = "203.0.113.10"
    ap6: str = "2001:db8:20::10"
    lan6: str = "2001:db8:20::1"
    wan6: str = "2001:db8:1::2"
    isp6: str = "2001:db8:1::1"
    server6: str = "2001:db8:113::10"


def clamp(name="t forward handle 7", *, iif=None, oif=None, to=None, packets=0, **more):
    return rule(
        name,
        iif=iif,
        oif=oif,
        packets=packets,
        action=ClampTo(value_bytes=to, can_raise=more.pop("can_raise", False)),
        **{"protocols": frozenset({"tcp"}), **more},
    )


def rule(name="t forward handle 3", *, iif=None, oif=None, action="accept", packets=None, **more):
    negated = more.pop("negated", False)
    text = more.pop("text", f"the text of {name}")
    then = more.pop("then", "pass")
    line = more.pop("line", 7)
    for side in ("sources", "destinations"):
        if isinstance(more.get(side), str):
            more[side] = PrefixSet(prefixes=(more[side],))
    for side in ("source_ports", "destination_ports"):
        if isinstance(more.get(side), int):
            more[side] = PortSet(ranges=((more[side], more[side]),))
    match = Match(in_interfaces=_names(iif, negated), out_interfaces=_names(oif, negated), **more)
    return Rule(
        name=name, text=text, match=match, action=action, then=then, packets=packets, line=line
    )


def _names(value, negated):
    if value is None:
        return None
    return NameSet(names=(value,) if isinstance(value, str) else tuple(value), negated=negated)


def chain(*rules, hook="forward", priority=-150, name="forward", table="inet clamp", **more):
    return Chain(table=table, name=name, hook=hook, priority=priority, rules=rules, **more)


def ruleset(*items, notes=()):
    """Chains as they are; loose rules go into one forward chain."""
    rules = [item for item in items if isinstance(item, Rule)]
    chains = [item for item in items if isinstance(item, Chain)]
    if rules:
        chains.insert(0, chain(*rules))
    return Ruleset(chains=tuple(chains), command="nft -j list ruleset", notes=tuple(notes))


@dataclass(frozen=True)
class World:
    """One AP, one gateway, one service. ``evidence()`` tells what the tool would know."""

    names: Names = field(default_factory=Names)
    family: str = "ipv4"
    ap_mtu: int = 1500
    lan_mtu: int = 1500
    wan_mtu: int = 1492
    rules: tuple = ()
    notes: tuple = ()
    ap_rules: tuple = ()
    connected: bool | None = False
    failure: str = "handshake-stall"
    words: str = "SSL connection timeout"
    sends_df: bool | None = True
    mtu_probing: bool | None = None
    sessions: tuple = ()
    captures: tuple = ()
    probes: tuple = ()
    pings: tuple = ()
    learned: int | None = None
    wan_kind: str = "ethernet"
    specific_route: bool = False
    managed_by: str = ""
    role: str = "ap"
    wan_hint: tuple = ()
    vlan_hint: str = ""
    ap_read: bool = True
    gateway_read: bool = True
    unread: tuple = ()
    extra_interfaces: tuple = ()
    extra_routes: tuple = ()
    failed: tuple = ()
    push_log: tuple | None = None
    clock: tuple | None = None
    policy: tuple | None = None
    saved: tuple | None = None
    neighbours: tuple | None = None

    def but(self, **changes):
        return replace(self, **changes)

    @property
    def six(self):
        return self.family == "ipv6"

    @property
    def client(self):
        return self.names.ap6 if self.six else self.names.ap_address

    @property
    def server(self):
        return self.names.server6 if self.six else self.names.server

    @property
    def wan_client(self):
        return self.names.wan6 if self.six else self.names.wan_address

    def evidence(self) -> SiteEvidence:
        facts = []
        if self.ap_read:
            facts.append(self._without(self._ap()))
        if self.gateway_read:
            facts.append(self._without(self._gateway()))
        return SiteEvidence(
            site=self.site(),
            facts=tuple(facts),
            captures=self.captures,
            probes=self.probes,
            pings=self.pings,
            failed=self.failed,
        )

    def _without(self, facts):
        drop = {k: NOT_COLLECTED for host, k in self.unread if host in {facts.host, "*"}}
        return replace(facts, **drop)

    def site(self) -> Site:
        n = self.names
        service = Service(name=n.service, host=self.server, port=2083)
        return Site(
            name=n.site,
            devices=(
                Device(
                    name=n.ap,
                    address="192.0.2.10",
                    site=n.site,
                    role=self.role,
                    credential=CREDENTIAL,
                    services=(service,),
                ),
                Device(
                    name=n.gateway,
                    address="192.0.2.1",
                    site=n.site,
                    role="gateway",
                    credential=CREDENTIAL,
                    wan=self.wan_hint,
                    ap_vlan=self.vlan_hint,
                    managed_by=self.managed_by,
                ),
            ),
        )

    def _known(self, host, command, value):
        source = Source(
            host=host, basis="real program", command=command, taken_utc="2026-11-21T12:00:00Z"
        )
        return Known(value, source)

    def _ap(self) -> DeviceFacts:
        n = self.names
        routes = [
            Route(destination="default", family="ipv4", interface=n.port, via=n.lan_address),
            Route(destination="default", family="ipv6", interface=n.port, via=n.lan6),
        ]
        if self.learned is not None:
            routes.append(
                Route(
                    destination=self.server,
                    family=self.family,
                    interface=n.port,
                    mtu_bytes=self.learned,
                    cached=True,
                    expires_s=500,
                )
            )
        state = CloudState(
            service=n.service,
            server=self.server,
            port=2083,
            connected=self.connected,
            last_failure=self.failure,
            last_error="" if self.connected else self.words,
        )
        clock = NOT_COLLECTED
        if self.clock is not None:
            device, ours = self.clock
            clock = Known(
                device, Source(host=n.ap, basis="real program", command="date", taken_utc=ours)
            )
        return DeviceFacts(
            host=n.ap,
            site=n.site,
            role=self.role,
            platform="linux",
            interfaces=self._known(
                n.ap,
                "ip -j link",
                (
                    Interface(name="lo", mtu_bytes=65536, kind="loopback"),
                    Interface(name=n.port, mtu_bytes=self.ap_mtu, kind="ethernet", line=2),
                ),
            ),
            addresses=self._known(
                n.ap,
                "ip -j addr",
                (
                    Address(interface="lo", address="127.0.0.1", prefix_len=8, family="ipv4"),
                    Address(interface=n.port, address=n.ap_address, prefix_len=24, family="ipv4"),
                    Address(interface=n.port, address=n.ap6, prefix_len=64, family="ipv6"),
                ),
            ),
            routes=self._known(n.ap, "ip -j route", tuple(routes)),
            sessions=self._known(n.ap, "ss -tin", self.sessions),
            clamps=self._known(n.ap, "nft -j list ruleset", ruleset(*self.ap_rules)),
            icmp=self._known(
                n.ap, "sysctl", IcmpSettings(sends_df=self.sends_df, mtu_probing=self.mtu_probing)
            ),
            cloud=self._known(n.ap, "cloud-status", (state,)),
            push_log=NOT_COLLECTED
            if self.push_log is None
            else self._known(n.ap, "cat log", self.push_log),
            clock_utc=clock,
        )

    def _gateway(self) -> DeviceFacts:
        n = self.names
        destination = "default"
        if self.specific_route:
            destination = f"{self.server}/{128 if self.six else 32}"
        return DeviceFacts(
            host=n.gateway,
            site=n.site,
            role="gateway",
            platform="linux",
            interfaces=self._known(
                n.gateway,
                "ip -j link",
                (
                    Interface(name=n.lan, mtu_bytes=self.lan_mtu, kind="vlan", line=3),
                    Interface(name=n.other, mtu_bytes=1500, kind="vlan", line=4),
                    Interface(name=n.wan, mtu_bytes=self.wan_mtu, kind=self.wan_kind, line=5),
                    *self.extra_interfaces,
                ),
            ),
            addresses=self._known(
                n.gateway,
                "ip -j addr",
                (
                    Address(interface=n.lan, address=n.lan_address, prefix_len=24, family="ipv4"),
                    Address(interface=n.lan, address=n.lan6, prefix_len=64, family="ipv6"),
                    Address(interface=n.wan, address=n.wan_address, prefix_len=30, family="ipv4"),
                    Address(interface=n.wan, address=n.wan6, prefix_len=64, family="ipv6"),
                ),
            ),
            routes=self._known(
                n.gateway,
                "ip -j route",
                (
                    Route(
                        destination=destination if not self.six else "default",
                        family="ipv4",
                        interface=n.wan,
                        via=n.isp,
                    ),
                    Route(
                        destination=destination if self.six else "default",
                        family="ipv6",
                        interface=n.wan,
                        via=n.isp6,
                    ),
                    *self.extra_routes,
                ),
            ),
            clamps=self._known(
                n.gateway, "nft -j list ruleset", ruleset(*self.rules, notes=self.notes)
            ),
            policy=self._if_read("ip rule show", self.policy),
            neighbours=self._if_read("ip neigh show", self.neighbours),
            saved_clamps=NOT_COLLECTED
            if self.saved is None
            else self._known(n.gateway, "cat /etc/nftables.conf", ruleset(*self.saved)),
        )

    def _if_read(self, command, value):
        return NOT_COLLECTED if value is None else self._known(self.names.gateway, command, value)

    # --- what the wire would show --------------------------------------------------------

    def flow(self, **seen) -> FlowSeen:
        wan = seen.pop("wan", False)
        base = {
            "client": self.wan_client if wan else self.client,
            "client_port": 40000,
            "server": self.server,
            "server_port": 2083,
            "family": self.family,
            "tls_stage": "client-flight",
            "frames": (9,),
        }
        return FlowSeen(**{**base, **seen})

    def syn(self, mss, *, point="ap", kind="syn", frame=1) -> SynSeen:
        client = (self.wan_client if point == "gateway-wan" else self.client, 40000)
        server = (self.server, 2083)
        source, destination = (client, server) if kind == "syn" else (server, client)
        return SynSeen(
            kind=kind,
            source=source[0],
            source_port=source[1],
            destination=destination[0],
            destination_port=destination[1],
            family=self.family,
            mss_bytes=mss,
            df=True,
            frame=frame,
        )

    def capture(self, point="ap", *, syn=None, syn_ack=None, **more) -> CaptureEvidence:
        n = self.names
        host, interface = {
            "ap": (n.ap, n.port),
            "gateway-lan": (n.gateway, n.lan),
            "gateway-wan": (n.gateway, n.wan),
        }[point]
        syns = []
        if syn is not None:
            syns.append(self.syn(syn, point=point))
        if syn_ack is not None:
            syns.append(self.syn(syn_ack, point=point, kind="syn-ack", frame=2))
        base = {
            "host": host,
            "point": point,
            "interface": interface,
            "basis": "real program",
            "command": f"tcpdump -i {interface}",
            "seconds": 20.0,
            "packets": 40,
            "syns": tuple(syns),
        }
        return CaptureEvidence(**{**base, **more})

    def too_big(self, mtu, *, size=1500, frame=12) -> IcmpTooBigSeen:
        return IcmpTooBigSeen(
            reporter=self.names.lan_address,
            to=self.client,
            next_hop_mtu_bytes=mtu,
            quoted_source=self.client,
            quoted_destination=self.server,
            quoted_bytes=size,
            family=self.family,
            frame=frame,
        )

    @property
    def own_mss(self):
        """MSS that the AP itself puts into its SYN."""
        return self.ap_mtu - (60 if self.six else 40)

    def stalled_up(self, *, syn=1460, syn_ack=1460, fragments=0, too_big=(), df=None) -> World:
        """Captures at the AP and the WAN of a client flight that never arrives."""
        df = self.sends_df if df is None else df
        flow = self.flow(
            syn_mss_bytes=syn,
            syn_ack_mss_bytes=syn_ack,
            largest_acked_up_bytes=294,
            smallest_lost_up_bytes=1500,
            stalled_up_bytes=1500,
            retransmits_up=5,
            df_up=df,
        )
        ap = self.capture(
            "ap", syn=self.own_mss, syn_ack=syn_ack, flows=(flow,), too_big=tuple(too_big)
        )
        wan = self.capture("gateway-wan", syn=syn, syn_ack=1460, fragments_up=fragments)
        return self.but(captures=(*self.captures, ap, wan))

    def stalled_down(self, *, syn=1460, syn_ack=1460) -> World:
        """A gap in the server's flight that stays."""
        flow = self.flow(
            syn_mss_bytes=syn,
            syn_ack_mss_bytes=syn_ack,
            largest_acked_up_bytes=294,
            smallest_lost_down_bytes=1500,
            stalled_down_bytes=1500,
            tls_stage="client-hello",
        )
        ap = self.capture("ap", syn=self.own_mss, syn_ack=syn_ack, flows=(flow,))
        wan = self.capture("gateway-wan", syn=syn, syn_ack=1460)
        return self.but(captures=(*self.captures, ap, wan))

    def session(self, mss=1448, pmtu=1500, adv=1448, **more) -> TcpSession:
        base = {"local": self.client, "peer": self.server, "peer_port": 2083, "state": "ESTAB"}
        return TcpSession(
            send_mss_bytes=mss, advertised_mss_bytes=adv, path_mtu_bytes=pmtu, **{**base, **more}
        )

    def ping(self, size, *, answered, df=True, **more) -> PingEvidence:
        """A ping of so many bytes from the AP to the service."""
        base = {"host": self.names.ap, "target": self.server, "command": f"ping -s {size}"}
        return PingEvidence(
            packet_bytes=size, df=df, answered=answered, basis="real program", **{**base, **more}
        )

    def probe(self, *steps) -> ProbeEvidence:
        return ProbeEvidence(
            host=self.names.ap,
            service=self.names.service,
            family=self.family,
            basis="real program",
            via="direct-tcpip",
            steps=tuple(
                ProbeStep(hello_bytes=size - 52, packet_bytes=size, segments=1, outcome=outcome)
                for size, outcome in steps
            ),
        )


def both_ways(names=None, to=None, **more):
    """The pair of rules that covers one VLAN completely."""
    n = names or Names()
    return (
        clamp("inet clamp forward handle 7", iif=n.lan, oif=n.wan, to=to, packets=12, **more),
        clamp("inet clamp forward handle 8", iif=n.wan, oif=n.lan, to=to, packets=12, **more),
    )


def other_vlan(names=None, to=None, **more):
    """The same pair for another VLAN."""
    n = names or Names()
    return (
        clamp("inet clamp forward handle 7", iif=n.other, oif=n.wan, to=to, packets=0, **more),
        clamp("inet clamp forward handle 8", iif=n.wan, oif=n.other, to=to, packets=0, **more),
    )


@pytest.fixture(scope="session")
def b():
    """Return the builders."""
    return SimpleNamespace(
        World=World,
        Names=Names,
        clamp=clamp,
        rule=rule,
        chain=chain,
        ruleset=ruleset,
        both_ways=both_ways,
        other_vlan=other_vlan,
        Jump=Jump,
        ClampTo=ClampTo,
    )
