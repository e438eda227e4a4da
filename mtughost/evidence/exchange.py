"""The failing connection, packet by packet, from a capture: what the sequence table shows."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from mtughost.model.evidence import CaptureEvidence, FlowSeen
from mtughost.packets.icmp import parse_too_big, quoted_key
from mtughost.packets.ip import ICMP, ICMP6, TCP, Fragment, parse_ipv4, parse_ipv6
from mtughost.packets.links import IPV4, IPV6, LINKS
from mtughost.packets.reader import read_capture
from mtughost.packets.segment import ACK, FIN, RST, SYN, Packet, Segment, parse_segment
from mtughost.packets.source import Readable
from mtughost.report.ticket import Exchange, ExchangeStep

_PORTS_BYTES: Final = 4
_PORTS: Final = struct.Struct("!HH")
#: Analysers count the frame; the findings count the IP packet.
_ETHERNET_HEADER: Final = 14
#: A page shows how it began and where it failed; the capture has the rest.
MAX_STEPS: Final = 40
_OPENING, _BEFORE_FAILURE = 10, 8
#: A connection longer than this is looked at no further: what is lost early is lost for good.
_MOST_PACKETS: Final = 50_000
_HALF: Final = 1 << 31

_HANDSHAKE: Final = 22
_RECORDS: Final = {20: "change cipher spec", 21: "alert", 23: "application data"}
_MESSAGES: Final = {
    1: "client hello",
    2: "server hello",
    4: "session ticket",
    11: "certificate",
    12: "server key exchange",
    13: "certificate request",
    14: "server hello done",
    15: "certificate verify",
    16: "client key exchange",
    20: "finished",
}


def failing_flow(capture: CaptureEvidence) -> FlowSeen | None:
    """Return the connection that shows the failure best, ``None`` where none does."""
    lost = [f for f in capture.flows if f.smallest_lost_up_bytes or f.smallest_lost_down_bytes]
    return min(lost, key=lambda flow: flow.mid_stream, default=None)


def exchange_of(pcap: bytes | Readable, capture: CaptureEvidence, member: str) -> Exchange | None:
    """Return the failing connection of a capture, ``None`` where none fails.

    Args:
        pcap: The file as it goes into the bundle, so that frame numbers agree.
        capture: What was seen in it.
        member: Its path in the bundle, ``""`` where it is not handed over.
    """
    flow = failing_flow(capture)
    if flow is None:
        return None
    story = _Story(flow)
    for packet, up, part in islice(_own(pcap, flow), _MOST_PACKETS):
        story.add(packet, up=up, fragment=part)
    steps = story.steps()
    shown = _shown(steps)
    return Exchange(
        member=member,
        host=capture.host,
        point=capture.point,
        client=f"{flow.client} port {flow.client_port}",
        server=f"{flow.server} port {flow.server_port}",
        display_filter=(
            f"{'ipv6' if flow.family == 'ipv6' else 'ip'}.addr == {flow.client} && "
            f"tcp.port == {flow.client_port} && tcp.port == {flow.server_port}"
        ),
        steps=tuple(shown),
        left_out=len(steps) - len(shown),
    )


def _shown(steps: list[ExchangeStep]) -> list[ExchangeStep]:
    """Return how it began and where it failed; what is skipped between is counted."""
    failure = next((n for n, step in enumerate(steps) if step.bad or step.lost), 0)
    begin = failure - _BEFORE_FAILURE
    if len(steps) <= MAX_STEPS or begin <= _OPENING:
        return steps[:MAX_STEPS]
    later = steps[begin : begin + MAX_STEPS - _OPENING]
    return [*steps[:_OPENING], replace(later[0], skipped=begin - _OPENING), *later[1:]]


def _own(pcap: bytes | Readable, flow: FlowSeen) -> Iterator[tuple[Packet, bool, bool]]:
    """Yield the packets of one connection, and the ICMP about it.

    Each with whether it goes up, and whether it is only the first part of a packet. ICMP goes up
    when it is about what the *server* sent.
    """
    client = ipaddress.ip_address(flow.client).packed
    server = ipaddress.ip_address(flow.server).packed
    ports = (flow.client_port, flow.server_port)
    up = client + server + _PORTS.pack(*ports)
    down = server + client + _PORTS.pack(*ports[::-1])
    for packet, part in _packets(pcap):
        if packet.protocol == TCP and packet.end - packet.start >= _PORTS_BYTES:
            at = packet.start
            key = packet.source + packet.destination + packet.data[at : at + _PORTS_BYTES]
            if key in {up, down}:
                yield packet, key == up, part
        elif packet.protocol in {ICMP, ICMP6} and parse_too_big(packet) is not None:
            key = quoted_key(packet)
            if key in {up, down}:
                yield packet, key == down, part


def _packets(pcap: bytes | Readable) -> Iterator[tuple[Packet, bool]]:
    """Yield IP packets and first fragments; later fragments have no ports to know them by."""
    for frame, (when_ns, linktype, wire_bytes, data) in enumerate(read_capture(pcap), start=1):
        strip = LINKS.get(linktype)
        if strip is None:
            continue
        at, kind = strip(data)
        if kind not in {IPV4, IPV6}:
            continue
        parse = parse_ipv4 if kind == IPV4 else parse_ipv6
        found = parse(data, at, wire_bytes, when_ns, frame)
        if isinstance(found, Fragment):
            if not found.offset:
                yield found.packet, True
        elif found is not None:
            yield found, False


@dataclass(slots=True)
class _Way:
    """What one side has sent, and what the other side said about it.

    Attributes:
        next_seq: Where the next new byte is expected, ``None`` before the first packet.
        sent: First sequence numbers seen.
        acked: Highest cumulative acknowledgement by the other side.
        blocks: Selective acknowledgements by the other side.
        last_ack: Acknowledgement and window of the last bare ACK.
    """

    next_seq: int | None = None
    sent: set[int] = field(default_factory=set)
    acked: int | None = None
    blocks: set[tuple[int, int]] = field(default_factory=set)
    last_ack: tuple[int, int] | None = None

    def arrived(self, begin: int, end: int) -> bool:
        """Return whether the other side said that it has these bytes."""
        if self.acked is not None and not _before(self.acked, end):
            return True
        return any(
            not _before(begin, left) and not _before(right, end) for left, right in self.blocks
        )


def _before(one: int, other: int) -> bool:
    """Compare sequence numbers, which wrap (RFC 9293 section 3.4)."""
    return 0 < (other - one) % (2 * _HALF) < _HALF


@dataclass(slots=True)
class _Story:
    """Tells packets apart that were seen before, and those that were never acknowledged."""

    flow: FlowSeen
    _told: list[ExchangeStep] = field(default_factory=list)
    _data: dict[int, tuple[bool, int, int]] = field(default_factory=dict)
    _first_ns: int | None = None
    _ways: dict[bool, _Way] = field(default_factory=lambda: {True: _Way(), False: _Way()})

    def add(self, packet: Packet, *, up: bool, fragment: bool) -> None:
        """Take the next packet."""
        if self._first_ns is None:
            self._first_ns = packet.when_ns
        words, bad = self._packet(packet, up=up)
        if fragment:
            # How long it was is in the fragments behind it, which have no ports to know them by.
            self._ways[up].next_seq = None
            words, bad = f"first IP fragment: {words}", True
        self._told.append(
            ExchangeStep(
                frame=packet.frame,
                at_s=(packet.when_ns - self._first_ns) / 1e9,
                up=up,
                wire_bytes=packet.ip_bytes + _ETHERNET_HEADER,
                words=words,
                bad=bad,
            )
        )

    def steps(self) -> list[ExchangeStep]:
        """Return all of them, the lost ones marked."""
        return [
            replace(step, lost=index in self._data and self._is_lost(*self._data[index]))
            for index, step in enumerate(self._told)
        ]

    def _is_lost(self, up: bool, begin: int, end: int) -> bool:  # noqa: FBT001 - a stored triple
        heard = self._ways[up].acked is not None
        return heard and not self._ways[up].arrived(begin, end)

    def _packet(self, packet: Packet, *, up: bool) -> tuple[str, bool]:
        if packet.protocol != TCP:
            told = parse_too_big(packet)
            mtu = told.next_hop_mtu_bytes if told else 0
            quoted = told.quoted_bytes if told else 0
            return f"ICMP too big: MTU {mtu} (packet of {quoted})", True
        segment = parse_segment(packet)
        if segment is None:
            return "cut short by the capture", False
        words, bad = self._words(segment, up=up)
        self._heard(segment, self._ways[not up])
        return words, bad

    def _heard(self, segment: Segment, other: _Way) -> None:
        if segment.flags & ACK and not segment.flags & RST:
            if other.acked is None or _before(other.acked, segment.ack):
                other.acked = segment.ack
            other.blocks.update(segment.sack)

    def _words(self, segment: Segment, *, up: bool) -> tuple[str, bool]:
        way = self._ways[up]
        if segment.flags & SYN:
            way.next_seq = segment.seq + 1
            name = "SYN-ACK" if segment.flags & ACK else "SYN"
            mss = f", MSS {segment.mss}" if segment.mss is not None else ", without MSS"
            return name + mss, False
        if segment.flags & RST:
            return "RST", True
        if segment.payload_bytes:
            return self._bytes(segment, way, up=up)
        if segment.flags & FIN:
            return "FIN", False
        again = way.last_ack == (segment.ack, segment.window)
        way.last_ack = (segment.ack, segment.window)
        if segment.sack:
            return "ACK that reports a gap (SACK)", True
        return ("duplicate ACK", True) if again else ("ACK", False)

    def _bytes(self, segment: Segment, way: _Way, *, up: bool) -> tuple[str, bool]:
        end = (segment.seq + segment.payload_bytes) % (2 * _HALF)
        self._data[len(self._told)] = (up, segment.seq, end)
        again = segment.seq in way.sent
        way.sent.add(segment.seq)
        words = f"{segment.payload_bytes} bytes{_tls_words(segment)}"
        missing = (segment.seq - way.next_seq) % (2 * _HALF) if way.next_seq is not None else 0
        ahead = 0 < missing < _HALF
        if way.next_seq is None or _before(way.next_seq, end):
            way.next_seq = end
        if again:
            return f"sent again: {words}", True
        if ahead:
            return f"{words}; {missing} bytes before it are missing", True
        return words, False


def _tls_words(segment: Segment) -> str:
    head = segment.data[segment.start : segment.start + 6]
    if len(head) < 6 or head[1] != 3:  # noqa: PLR2004 - record header and message type; TLS is 3
        return ""
    if head[0] == _HANDSHAKE:
        return f", TLS {_MESSAGES.get(head[5], 'handshake')}"
    name = _RECORDS.get(head[0])
    return f", TLS {name}" if name else ""
