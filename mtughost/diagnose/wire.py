"""What the wire showed about one service of one AP: captures, live sessions, probes, pings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mtughost.diagnose.evidence import SiteEvidence, seen
from mtughost.diagnose.flows import Flow
from mtughost.diagnose.net import same_address
from mtughost.model.basis import Known, Source
from mtughost.model.device import MSS_OVERHEAD_BYTES, Family, TcpSession
from mtughost.model.evidence import (
    CaptureEvidence,
    Direction,
    FlowSeen,
    IcmpTooBigSeen,
    PingEvidence,
    Point,
    ProbeEvidence,
    SynSeen,
)
from mtughost.model.findings import Evidence, MssSeen

#: TCP timestamps take this from every segment; ``ss`` prints MSS values without it (RFC 7323).
TIMESTAMP_BYTES = 12
#: MSS of a far end that does nothing special: Ethernet's 1500 bytes minus headers.
USUAL_MSS: dict[Family, int] = {
    family: 1500 - overhead for family, overhead in MSS_OVERHEAD_BYTES.items()
}
#: Smallest MTU that a believable ICMP may name (RFC 791 section 3.2, RFC 8200 section 5).
LEAST_MTU: dict[Family, int] = {"ipv4": 576, "ipv6": 1280}
#: A socket whose timer doubled this often is stuck, not slow.
STUCK_BACKOFF = 2
#: No MSS seen at any point.
NO_MSS = MssSeen()
#: A segment that is certainly small: IPv6's minimum MTU crosses every path.
SMALL_PACKET_BYTES = 1280


@dataclass(frozen=True, slots=True)
class Seen:
    """One connection at one point."""

    capture: CaptureEvidence
    flow: FlowSeen

    def cite(self, kind: str, value: str, lost: Direction | None = None) -> Evidence:
        """Quote this connection: the packet of a direction that was lost, else its beginning."""
        frames = {"up": self.flow.lost_up_frame, "down": self.flow.lost_down_frame, None: None}
        frame = frames[lost]
        if frame is None and self.flow.frames:
            frame = self.flow.frames[0]
        return seen(kind, self.capture, value, frame)


@dataclass(frozen=True, slots=True)
class TooBig:
    """One ICMP "too big" at one point."""

    capture: CaptureEvidence
    message: IcmpTooBigSeen

    def cite(self) -> Evidence:
        """Quote this message."""
        text = (
            f"ICMP too big from {self.message.reporter} to {self.message.to}: next hop MTU "
            f"{self.message.next_hop_mtu_bytes}, seen at {self.capture.point}"
        )
        return seen("icmp", self.capture, text, self.message.frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """All wire evidence about one AP, service and family. Sizes are IP packets in bytes.

    Attributes:
        captures: Captures at points that this flow passes.
        flows: Its connections.
        syn: MSS in the SYN per point.
        syn_ack: MSS in the SYN-ACK per point.
        mss_cites: Where those were seen.
        syn_cites: Where SYNs were seen.
        syns_sent: How many SYNs were seen at the busiest point.
        syn_acks: How many SYN-ACKs were seen.
        syn_ack_points: Where SYN-ACKs were seen.
        sessions: The AP's own live connections to the service, with their source.
        session_syn_ack: Smallest MSS that the AP's live session proves for its SYN-ACK.
        too_big: Believable ICMP about packets of the AP.
        too_big_down: The same about packets of the service.
        probes: Service probes of this flow.
        pings: Sized pings from the AP, and with DF from its gateway: the way beyond that.
    """

    captures: tuple[CaptureEvidence, ...] = ()
    flows: tuple[Seen, ...] = ()
    syn: MssSeen = NO_MSS
    syn_ack: MssSeen = NO_MSS
    mss_cites: tuple[Evidence, ...] = ()
    syn_cites: tuple[Evidence, ...] = ()
    syns_sent: int = 0
    syn_acks: int = 0
    syn_ack_points: frozenset[Point] = frozenset()
    sessions: tuple[TcpSession, ...] = ()
    session_source: Source | None = None
    session_syn_ack: int | None = None
    too_big: tuple[TooBig, ...] = ()
    too_big_down: tuple[TooBig, ...] = ()
    probes: tuple[ProbeEvidence, ...] = ()
    pings: tuple[PingEvidence, ...] = ()

    def at(self, *points: Point) -> tuple[CaptureEvidence, ...]:
        """Return the captures at some points."""
        return tuple(c for c in self.captures if c.point in points)

    def watched(self, *points: Point) -> tuple[CaptureEvidence, ...]:
        """Return the captures at some points that show every packet: what they lack was not there.

        :meth:`at` is for what was seen.
        """
        return tuple(c for c in self.at(*points) if not c.misses)

    @property
    def fragments_up(self) -> int:
        """Fragments towards the service that left the WAN interface."""
        return sum(c.fragments_up for c in self.at("gateway-wan"))

    @property
    def fragments_down(self) -> int:
        """Fragments from the service that arrived at the WAN interface."""
        return sum(c.fragments_down for c in self.at("gateway-wan"))

    @property
    def stalled_up(self) -> tuple[Seen, ...]:
        """Connections whose large client packets never got through, while smaller ones did."""
        return tuple(
            s
            for s in self.flows
            if s.flow.smallest_lost_up_bytes is not None and not went_on(s.flow)
        )

    @property
    def stalled_down(self) -> tuple[Seen, ...]:
        """Connections with a gap in the server's flight that stayed."""
        return tuple(
            s
            for s in self.flows
            if s.flow.smallest_lost_down_bytes is not None
            and s.capture.point != "gateway-wan"
            and not went_on(s.flow)
        )

    @property
    def lost_up_bytes(self) -> int | None:
        """Smallest client packet that never got through."""
        sizes = [s.flow.smallest_lost_up_bytes for s in self.stalled_up]
        return min((size for size in sizes if size is not None), default=None)

    @property
    def acked_up_bytes(self) -> int | None:
        """Largest client packet that the service acknowledged."""
        sizes = [s.flow.largest_acked_up_bytes for s in self.flows]
        return max((size for size in sizes if size is not None), default=None)

    @property
    def lost_down_bytes(self) -> int | None:
        """Upper bound of the service's packets that never arrived inside the gateway."""
        sizes = [s.flow.smallest_lost_down_bytes for s in self.stalled_down]
        return min((size for size in sizes if size is not None), default=None)

    @property
    def acked_down_bytes(self) -> int | None:
        """Largest packet of the service that arrived inside the gateway."""
        flows = [s.flow for s in self.flows if s.capture.point != "gateway-wan"]
        sizes = [flow.largest_acked_down_bytes for flow in flows]
        return max((size for size in sizes if size is not None), default=None)

    @property
    def size_selective_up(self) -> bool:
        """Whether captures show that size decides what gets through upwards."""
        lost, acked = self.lost_up_bytes, self.acked_up_bytes
        return lost is not None and (acked is None or acked < lost)

    @property
    def stuck_sessions(self) -> tuple[TcpSession, ...]:
        """Live connections with several stuck segments, after something smaller got through."""
        return tuple(
            s
            for s in self.sessions
            if _stuck(s) and s.unacked_segments > 1 and _began(s) is not False
        )

    @property
    def stuck_small_sessions(self) -> tuple[TcpSession, ...]:
        """Live connections that retransmit one lone segment."""
        return tuple(
            s
            for s in self.sessions
            if _stuck(s)
            and s.unacked_segments == 1
            and s.state not in _OPENING
            and _began(s) is not True
        )

    @property
    def answered(self) -> bool:
        """Whether a SYN-ACK was seen, or a connection of the AP is past its handshake."""
        return self.syn_acks > 0 or any(s.state not in _OPENING for s in self.sessions)

    @property
    def probe_bracket(self) -> tuple[int, int] | None:
        """Largest delivered and smallest lost packet of the service probe."""
        good = max((p.largest_delivered_bytes or 0 for p in self.probes), default=0)
        lost = [p.smallest_lost_bytes for p in self.probes if p.smallest_lost_bytes is not None]
        if not good or not lost or min(lost) <= good:
            return None
        return good, min(lost)


_OPENING = frozenset({"SYN-SENT", "SYN-RECV"})


def _stuck(session: TcpSession) -> bool:
    tries = max(session.backoff, session.retransmits_now)
    return session.unacked_segments > 0 and tries >= STUCK_BACKOFF


def _began(session: TcpSession) -> bool | None:
    """Say whether any data was acknowledged; the SYN itself counts as one byte."""
    return None if session.acked_bytes is None else session.acked_bytes > 1


def went_on(flow: FlowSeen) -> bool:
    """Say whether a connection got over its loss: application data came back."""
    return flow.tls_stage == "established" and flow.application_down


def gather(evidence: SiteEvidence, flow: Flow) -> Wire:
    """Collect the wire evidence of one flow's AP, service and family."""
    captures = tuple(c for c in evidence.captures if c.host in {flow.ap, flow.gateway})
    near = [Seen(c, f) for c in captures if c.point != "gateway-wan" for f in _mine(c, flow)]
    ports = {s.flow.client_port for s in near} | _syn_ports(captures, flow)
    far = [
        Seen(c, f)
        for c in captures
        if c.point == "gateway-wan"
        for f in _mine(c, flow)
        if not ports or f.client_port in ports
    ]
    syns = [(c, s) for c in captures for s in c.syns if _is_mine(c, s, flow, ports)]
    facts = evidence.facts_of(flow.ap)
    fact = facts.sessions if facts is not None else None
    sessions = (
        tuple(s for s in fact.value if _same_peer(s, flow)) if isinstance(fact, Known) else ()
    )
    syn_ack, offered = _mss(syns, "syn-ack"), _from_sessions(sessions, flow)
    at_ap = max((m for m in (syn_ack.ap, syn_ack.lan, offered) if m is not None), default=None)
    return Wire(
        captures=captures,
        flows=(*near, *far),
        syn=_mss(syns, "syn"),
        syn_ack=syn_ack,
        mss_cites=_mss_cites(syns),
        syn_cites=_syn_cites(syns),
        syns_sent=_busiest(syns),
        syn_acks=sum(1 for _, s in syns if s.kind == "syn-ack"),
        syn_ack_points=frozenset(c.point for c, s in syns if s.kind == "syn-ack"),
        sessions=sessions,
        session_source=fact.source if isinstance(fact, Known) else None,
        session_syn_ack=offered,
        too_big=tuple(t for t in _too_big(captures, flow) if _about_up(t, flow)),
        too_big_down=tuple(t for t in _too_big(captures, flow) if _about_down(t, flow)),
        probes=tuple(_as_sent(p, at_ap) for p in evidence.probes if _same_probe(p, flow)),
        pings=tuple(p for p in evidence.pings if p.host == flow.ap or _is_beyond(p, flow)),
    )


def _is_beyond(ping: PingEvidence, flow: Flow) -> bool:
    """Say whether the gateway's own ping took the way of the flow, and could not be cut up."""
    goes_there = flow.active and not flow.by_policy
    return ping.host == flow.gateway and goes_there and ping.df is True


def _same_probe(probe: ProbeEvidence, flow: Flow) -> bool:
    return (probe.host, probe.service, probe.family) == (flow.ap, flow.service.name, flow.family)


def _as_sent(probe: ProbeEvidence, offered_bytes: int | None) -> ProbeEvidence:
    """Correct steps that were taken for one packet, where the SYN-ACK allowed no such packet.

    A shell that cannot look at its socket does not know that its hello was cut in two.
    """
    if offered_bytes is None:
        return probe
    most = offered_bytes + MSS_OVERHEAD_BYTES[probe.family]
    payload = max(1, offered_bytes - TIMESTAMP_BYTES)
    steps = tuple(
        replace(step, segments=-(-step.hello_bytes // payload))
        if step.segments == 1 and step.packet_bytes > most
        else step
        for step in probe.steps
    )
    return replace(probe, steps=steps)


def _mine(capture: CaptureEvidence, flow: Flow) -> tuple[FlowSeen, ...]:
    return tuple(
        f
        for f in capture.flows
        if f.family == flow.family
        and f.server_port == flow.service.port
        and _same(f.server, flow.server)
        and (capture.point == "gateway-wan" or _same(f.client, flow.sender.address))
    )


def _same(address: str, wanted: str | None) -> bool:
    return wanted is None or same_address(address, wanted)


def _is_mine(capture: CaptureEvidence, syn: SynSeen, flow: Flow, ports: set[int]) -> bool:
    client, client_port, server, port = (
        (syn.source, syn.source_port, syn.destination, syn.destination_port)
        if syn.kind == "syn"
        else (syn.destination, syn.destination_port, syn.source, syn.source_port)
    )
    if syn.family != flow.family or port != flow.service.port or not _same(server, flow.server):
        return False
    if capture.point == "gateway-wan":
        # NAT keeps the client's port where it can; other VLANs share the WAN's address.
        return not ports or client_port in ports
    return _same(client, flow.sender.address)


def _syn_ports(captures: Iterable[CaptureEvidence], flow: Flow) -> set[int]:
    return {
        syn.source_port if syn.kind == "syn" else syn.destination_port
        for capture in captures
        if capture.point != "gateway-wan"
        for syn in capture.syns
        if _is_mine(capture, syn, flow, set())
    }


def _mss(syns: list[tuple[CaptureEvidence, SynSeen]], kind: str) -> MssSeen:
    """Take the largest value per point: servers lower theirs from a cache that will expire."""

    def largest(point: Point) -> int | None:
        values = [s.mss_bytes for c, s in syns if c.point == point and s.kind == kind]
        return max((value for value in values if value is not None), default=None)

    return MssSeen(ap=largest("ap"), lan=largest("gateway-lan"), wan=largest("gateway-wan"))


def _mss_cites(syns: list[tuple[CaptureEvidence, SynSeen]]) -> tuple[Evidence, ...]:
    cites: dict[tuple[str, str, int | None], Evidence] = {}
    for capture, syn in syns:
        key = (capture.point, syn.kind, syn.mss_bytes)
        if syn.mss_bytes is not None and key not in cites:
            text = f"{syn.kind.upper()} with MSS {syn.mss_bytes} at {capture.point}"
            cites[key] = seen("syn-mss", capture, text, syn.frame)
    return tuple(cites.values())


def _syn_cites(syns: list[tuple[CaptureEvidence, SynSeen]]) -> tuple[Evidence, ...]:
    cites: dict[Point, Evidence] = {}
    for capture, syn in syns:
        if syn.kind == "syn" and capture.point not in cites:
            text = f"SYN without an answer at {capture.point}"
            cites[capture.point] = seen("syn", capture, text, syn.frame)
    return tuple(cites.values())


def _busiest(syns: list[tuple[CaptureEvidence, SynSeen]]) -> int:
    counts: dict[Point, int] = {}
    for capture, syn in syns:
        if syn.kind == "syn":
            counts[capture.point] = counts.get(capture.point, 0) + 1
    return max(counts.values(), default=0)


def _same_peer(session: TcpSession, flow: Flow) -> bool:
    return session.peer_port == flow.service.port and _same(session.peer, flow.server)


def _from_sessions(sessions: tuple[TcpSession, ...], flow: Flow) -> int | None:
    """Read the SYN-ACK's MSS from what the AP's kernel sends, where that is unambiguous."""
    overhead = MSS_OVERHEAD_BYTES[flow.family]
    found: list[int] = []
    for session in sessions:
        if session.send_mss_bytes is None or session.state in _OPENING:
            continue
        limit = flow.sender.limit_bytes
        advertised = session.advertised_mss_bytes
        if limit is None or advertised is None:
            continue
        options = (flow.sender.advmss_bytes or limit - overhead) - advertised
        if options not in {0, TIMESTAMP_BYTES}:
            continue
        value = session.send_mss_bytes + options
        believed = session.path_mtu_bytes if session.path_mtu_bytes is not None else limit
        # At the kernel's own limit the option may have been larger still.
        if value < believed - overhead or value >= USUAL_MSS[flow.family]:
            found.append(value)
    return max(found, default=None)


def _too_big(captures: Iterable[CaptureEvidence], flow: Flow) -> list[TooBig]:
    least = LEAST_MTU[flow.family]
    return [
        TooBig(c, m)
        for c in captures
        for m in c.too_big
        if m.family == flow.family and least <= m.next_hop_mtu_bytes < m.quoted_bytes
    ]


def _about_up(item: TooBig, flow: Flow) -> bool:
    message = item.message
    if flow.server is not None:
        return same_address(message.quoted_destination, flow.server)
    return flow.sender.address is not None and same_address(
        message.quoted_source, flow.sender.address
    )


def _about_down(item: TooBig, flow: Flow) -> bool:
    return flow.server is not None and same_address(item.message.quoted_source, flow.server)
