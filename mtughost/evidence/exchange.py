"""The failing connection, packet by packet, from a capture: what the sequence table shows."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mtughost.model.evidence import CaptureEvidence, FlowSeen
from mtughost.packets.ip import Fragment, parse_ipv4, parse_ipv6
from mtughost.packets.links import IPV4, IPV6, LINKS
from mtughost.packets.reader import read_capture
from mtughost.packets.segment import ACK, FIN, RST, SYN, Packet, Segment, parse_segment
from mtughost.report.ticket import Exchange, ExchangeStep

_TCP: Final = 6
_PORTS_BYTES: Final = 4
_PORTS: Final = struct.Struct("!HH").unpack_from
#: Analysers count the frame; the findings count the IP packet.
_ETHERNET_HEADER: Final = 14
#: A page shows the beginning; the capture has the rest.
MAX_STEPS: Final = 40

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


def exchange_of(pcap: bytes, capture: CaptureEvidence, member: str) -> Exchange | None:
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
    steps = [story.step(packet, up=up, fragment=part) for packet, up, part in _own(pcap, flow)]
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
        steps=tuple(steps[:MAX_STEPS]),
        left_out=max(0, len(steps) - MAX_STEPS),
    )


def _own(pcap: bytes, flow: FlowSeen) -> Iterator[tuple[Packet, bool, bool]]:
    """Yield the packets of one connection: the packet, whether it goes up, whether it is a part."""
    client = ipaddress.ip_address(flow.client).packed
    server = ipaddress.ip_address(flow.server).packed
    ports = (flow.client_port, flow.server_port)
    for packet, part in _packets(pcap):
        if packet.protocol != _TCP or packet.end - packet.start < _PORTS_BYTES:
            continue
        if (packet.source, packet.destination) == (client, server):
            up, expected = True, ports
        elif (packet.source, packet.destination) == (server, client):
            up, expected = False, ports[::-1]
        else:
            continue
        if _PORTS(packet.data, packet.start) == expected:
            yield packet, up, part


def _packets(pcap: bytes) -> Iterator[tuple[Packet, bool]]:
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
class _Story:
    """Tells packets apart that were seen before."""

    flow: FlowSeen
    _first_ns: int | None = None
    _sent: dict[bool, set[int]] = field(default_factory=lambda: {True: set(), False: set()})
    _acked: dict[bool, tuple[int, int]] = field(default_factory=dict)

    def step(self, packet: Packet, *, up: bool, fragment: bool) -> ExchangeStep:
        """Return what one packet is."""
        if self._first_ns is None:
            self._first_ns = packet.when_ns
        segment = parse_segment(packet)
        words, bad = ("cut short by the capture", False)
        if segment is not None:
            words, bad = self._words(segment, up=up)
        if fragment:
            words, bad = f"first IP fragment: {words}", True
        return ExchangeStep(
            frame=packet.frame,
            at_s=(packet.when_ns - self._first_ns) / 1e9,
            up=up,
            wire_bytes=packet.ip_bytes + _ETHERNET_HEADER,
            words=words,
            bad=bad,
        )

    def _words(self, segment: Segment, *, up: bool) -> tuple[str, bool]:
        if segment.flags & SYN:
            name = "SYN-ACK" if segment.flags & ACK else "SYN"
            mss = f", MSS {segment.mss}" if segment.mss is not None else ", without MSS"
            return name + mss, False
        if segment.flags & RST:
            return "RST", True
        if segment.payload_bytes:
            return self._data(segment, up=up)
        if segment.flags & FIN:
            return "FIN", False
        again = self._acked.get(up) == (segment.ack, segment.window)
        self._acked[up] = (segment.ack, segment.window)
        if segment.sack:
            return "ACK that reports a gap (SACK)", True
        return ("duplicate ACK", True) if again else ("ACK", False)

    def _data(self, segment: Segment, *, up: bool) -> tuple[str, bool]:
        again = segment.seq in self._sent[up]
        self._sent[up].add(segment.seq)
        words = f"{segment.payload_bytes} bytes{_tls_words(segment)}"
        return (f"sent again: {words}", True) if again else (words, False)


def _tls_words(segment: Segment) -> str:
    head = segment.data[segment.start : segment.start + 6]
    if len(head) < 6 or head[1] != 3:  # noqa: PLR2004 - record header and message type; TLS is 3
        return ""
    if head[0] == _HANDSHAKE:
        return f", TLS {_MESSAGES.get(head[5], 'handshake')}"
    name = _RECORDS.get(head[0])
    return f", TLS {name}" if name else ""
