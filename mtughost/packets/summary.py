# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""From the bytes of one capture to the evidence it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import BinaryIO

from mtughost.model.basis import Basis
from mtughost.model.evidence import CaptureEvidence, FlowSeen, IcmpTooBigSeen, Point, SynSeen
from mtughost.model.inventory import Service
from mtughost.packets.flows import Flow, FlowTable
from mtughost.packets.icmp import doubt, oddity, parse_too_big
from mtughost.packets.ip import (
    ICMP,
    ICMP6,
    TCP,
    UDP,
    Fragment,
    Reassembly,
    parse_ipv4,
    parse_ipv6,
)
from mtughost.packets.links import IPV4, IPV6, LINKS, link_name
from mtughost.packets.reader import CaptureReader, read_capture
from mtughost.packets.segment import Packet, parse_segment

_MAX_TOO_BIG = 10_000


class _Analysis:
    """Runs over a capture once and keeps what the evidence needs."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.ports = frozenset(service.port for service in services)
        self.table = FlowTable(self.ports)
        self.reassembly = Reassembly()
        self.too_big: list[IcmpTooBigSeen] = []
        self.fragments: Counter[tuple[bytes, bytes]] = Counter()
        self.udp_servers: set[bytes] = set()
        self.unread_links: Counter[int] = Counter()
        self.packets = 0
        self.end_ns = 0
        self.cut_headers = 0

    def run(self, reader: CaptureReader) -> None:
        links = LINKS
        frame = 0
        for when_ns, linktype, wire_bytes, data in reader:
            frame += 1
            strip = links.get(linktype)
            if strip is None:
                self.unread_links[linktype] += 1
                continue
            at, kind = strip(data)
            if kind == IPV4:
                packet = parse_ipv4(data, at, wire_bytes, when_ns, frame)
            elif kind == IPV6:
                packet = parse_ipv6(data, at, wire_bytes, when_ns, frame)
            else:
                continue
            if packet is not None:
                self._take(packet)
            if when_ns > self.end_ns:  # noqa: PLR1730 - max() costs a call, per packet
                self.end_ns = when_ns
        self.packets = frame
        self.reassembly.finish()

    def _take(self, packet: Packet | Fragment) -> None:
        if isinstance(packet, Fragment):
            whole = self._take_fragment(packet)
            if whole is None:
                return
            packet = whole
        if packet.protocol == TCP:
            segment = parse_segment(packet)
            if segment is None:
                self.cut_headers += 1
            else:
                self.table.take(packet, segment)
        elif packet.protocol in (ICMP, ICMP6):
            message = parse_too_big(packet)
            if message is not None and len(self.too_big) < _MAX_TOO_BIG:
                self.too_big.append(message)

    def _take_fragment(self, fragment: Fragment) -> Packet | None:
        packet = fragment.packet
        self.fragments[packet.source, packet.destination] += 1
        if packet.protocol == UDP and not fragment.offset and packet.end - packet.start >= 4:
            ports = packet.data[packet.start : packet.start + 4]
            source, destination = ports[:2], ports[2:]
            self.udp_servers.add(packet.source if source < destination else packet.destination)
        return self.reassembly.take(fragment)

    # -- results -------------------------------------------------------------------------------

    def wanted(self, flow: Flow) -> bool:
        """Say whether a flow belongs to the services; without services all do."""
        return not self.ports or flow.server.port in self.ports

    def flows(self) -> tuple[FlowSeen, ...]:
        seen = [flow.seen(self.end_ns) for flow in self.table.flows if self.wanted(flow)]
        return tuple(_refuted_by_others(seen))

    def syns(self) -> tuple[SynSeen, ...]:
        return tuple(
            syn
            for syn in self.table.syns
            if not self.ports
            or (syn.destination_port if syn.kind == "syn" else syn.source_port) in self.ports
        )

    def fragment_counts(self, services: Sequence[Service]) -> tuple[int, int]:
        """Count fragments towards the servers and back."""
        servers = {flow.server.address for flow in self.table.flows if self.wanted(flow)}
        servers |= {_packed(service.host) for service in services}
        if not services:
            servers |= self.udp_servers
        up = sum(n for (_, to), n in self.fragments.items() if to in servers)
        down = sum(
            n for (by, to), n in self.fragments.items() if by in servers and to not in servers
        )
        return up, down

    def judged_too_big(
        self,
    ) -> tuple[tuple[IcmpTooBigSeen, ...], tuple[IcmpTooBigSeen, ...], list[str]]:
        """Split the ICMP messages into believed and doubted, with a sentence for each doubt."""
        largest: dict[tuple[str, str], int] = {}
        for flow in self.table.flows if self.too_big else ():
            for source, destination, half in (
                (flow.client, flow.server, flow.up),
                (flow.server, flow.client, flow.down),
            ):
                pair = source.text, destination.text
                largest[pair] = max(largest.get(pair, 0), half.largest_seen, half.offload_bytes)
        believed: list[IcmpTooBigSeen] = []
        doubted: list[IcmpTooBigSeen] = []
        notes: list[str] = []
        for message in self.too_big:
            pair = message.quoted_source, message.quoted_destination
            why = doubt(message, largest.get(pair, 0))
            (doubted if why else believed).append(message)
            if why:
                notes.append(f"frame {message.frame}: a too-big message is not believed: {why}")
            elif odd := oddity(message):
                notes.append(f"frame {message.frame}: a too-big message is odd: {odd}")
        return tuple(believed), tuple(doubted), notes

    def warnings(self) -> list[str]:
        notes = [
            f"{count} packets have a link type that is not read: {link_name(linktype)}"
            for linktype, count in sorted(self.unread_links.items())
        ]
        if self.cut_headers:
            notes.append(f"{self.cut_headers} packets were cut inside their TCP header")
        if self.table.overflow:
            notes.append(
                f"more than {len(self.table.flows)} connections: "
                f"{self.table.overflow} packets of later ones were not followed"
            )
        halves = [half for flow in self.table.flows for half in (flow.up, flow.down)]
        copies = sum(half.duplicates for half in halves)
        if copies:
            notes.append(
                f"{copies} segments were captured more than once (two taps or a mirrored port): "
                "not counted as retransmissions"
            )
        offload = max((half.offload_bytes for half in halves), default=0)
        if offload:
            notes.append(
                f"packets of up to {offload} bytes are larger than the MSS allows: offload in the "
                "capturing host, no evidence of a size on the wire"
            )
        return notes


def _packed(host: str) -> bytes:
    try:
        return ip_address(host).packed
    except ValueError:
        return b""


def _refuted_by_others(flows: list[FlowSeen]) -> list[FlowSeen]:
    """Take back a lost size that another connection of the same pair delivered.

    One delivery of the same size on the same path refutes a size-selective loss.
    """
    up: dict[tuple[str, str], int] = {}
    down: dict[tuple[str, str], int] = {}
    for flow in flows:
        pair = flow.client, flow.server
        up[pair] = max(up.get(pair, 0), flow.largest_acked_up_bytes or 0)
        down[pair] = max(down.get(pair, 0), flow.largest_acked_down_bytes or 0)
    judged = []
    for flow in flows:
        pair = flow.client, flow.server
        kept = flow
        if flow.smallest_lost_up_bytes and up[pair] >= flow.smallest_lost_up_bytes:
            kept = replace(kept, smallest_lost_up_bytes=None)
        if flow.smallest_lost_down_bytes and down[pair] >= flow.smallest_lost_down_bytes:
            kept = replace(kept, smallest_lost_down_bytes=None)
        judged.append(kept)
    return judged


def summarise(  # noqa: PLR0913 - a capture is described by all of these
    raw: bytes | BinaryIO,
    *,
    host: str,
    point: Point,
    interface: str,
    basis: Basis,
    command: str,
    seconds: float,
    services: Sequence[Service],
) -> CaptureEvidence:
    """Read one capture and judge every connection in it. Never raises for damaged input.

    Args:
        raw: pcap or pcapng, plain or gzip.
        host: Inventory name of the device that captured, or the file's name.
        point: Where on the path it captured.
        interface: Interface as the device names it.
        basis: What the result rests on.
        command: The line that made the capture, or ``""``.
        seconds: How long it ran.
        services: Only connections to these ports are reported; all when empty.

    Returns:
        The evidence; ``warnings`` says what could not be read or believed.
    """
    reader = read_capture(raw)
    analysis = _Analysis(services)
    analysis.run(reader)
    believed, doubted, doubts = analysis.judged_too_big()
    fragments_up, fragments_down = analysis.fragment_counts(services)
    notes = [*reader.warnings, *analysis.warnings(), *doubts]
    if not analysis.packets and reader.format and not reader.truncated:
        notes.append("the capture holds no packet")
    return CaptureEvidence(
        host=host,
        point=point,
        interface=interface,
        basis=basis,
        command=command,
        seconds=seconds,
        packets=analysis.packets,
        flows=analysis.flows(),
        syns=analysis.syns(),
        too_big=believed,
        fragments_up=fragments_up,
        fragments_down=fragments_down,
        truncated=reader.truncated,
        warnings=tuple(notes),
        sha256=reader.sha256(),
        doubted_too_big=doubted,
        incomplete_datagrams=tuple(analysis.reassembly.incomplete),
    )
