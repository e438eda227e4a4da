# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""One pass over a capture: plain data on a fast lane, everything else looked at closely.

Nearly all packets of a large capture are TCP segments in order and their acknowledgements. For
those :meth:`Analysis.run` reads the headers where they lie in the buffer and moves a few figures;
:mod:`mtughost.packets.half` would come to the same ones, and a property test holds both together.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence

from mtughost.model.evidence import IcmpTooBigSeen, SynSeen
from mtughost.model.inventory import Service
from mtughost.packets.flows import FlowTable
from mtughost.packets.half import MAX_OUTSTANDING
from mtughost.packets.icmp import doubt, parse_too_big, quoted_key
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
from mtughost.packets.judged import JudgedFlows
from mtughost.packets.links import EAPOL, ETHERNET, IPV4, IPV6, LINKS
from mtughost.packets.radius import RADIUS_PORTS, RadiusTable
from mtughost.packets.ranges import Sent
from mtughost.packets.reader import Batch, CaptureReader
from mtughost.packets.segment import ONLY_TIMESTAMPS, Packet, parse_segment
from mtughost.packets.wifi import WIFI_LINKS, WifiTable

_MAX_TOO_BIG = 10_000
_MAX_SYNS = 20_000
_MAX_PAIRS = 20_000
#: Batches, of a megabyte each.
_TRIM_EVERY = 8

#: IP and TCP in one go: version and header length, total length, identification, flags and
#: offset, protocol; addresses with ports; sequence and acknowledgement, data offset, flags,
#: window; options.
_ETHERNET_TCP4 = struct.Struct("!12xHBxHHHxB2x12sIIBBH4xI").unpack_from
_TCP4 = struct.Struct("!BxHHHxB2x12sIIBBH4xI").unpack_from
_TCP6 = struct.Struct("!IHBx36sIIBBH4xI").unpack_from
_ETHERNET_TCP4_BYTES, _TCP4_BYTES, _TCP6_BYTES = 58, 44, 64
_TIMESTAMPS = int.from_bytes(ONLY_TIMESTAMPS, "big")
_UP_OR_PUSH = 0x18  # ACK with or without PSH
_PSH = 0x08
_NOT_DF = 0xBFFF  # reserved bit, more fragments, offset
_RADIUS = frozenset(port.to_bytes(2, "big") for port in RADIUS_PORTS)
_WRAP_MASK = (1 << 32) - 1

_new = tuple.__new__


class Analysis:
    """Runs over a capture once and keeps what the evidence needs, in bounded memory."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.ports = frozenset(service.port for service in services)
        self.judged = JudgedFlows(self.ports, lambda: self.end_ns)
        self.table = FlowTable(self.ports, self.judged.take, self._take_syn)
        self.reassembly = Reassembly()
        self.radius = RadiusTable()
        self.wifi = WifiTable()
        self.syns: list[SynSeen] = []
        self.too_big: list[IcmpTooBigSeen] = []
        self.fragments: Counter[tuple[bytes, bytes]] = Counter()
        self.fragments_of_others = 0
        self.udp_servers: set[bytes] = set()
        self.unread_links: Counter[int] = Counter()
        self.packets = 0
        self.begin_ns = 0
        self.end_ns = 0
        self.cut_headers = 0
        self.unlisted_syns = 0
        self.unlisted_too_big = 0

    def run(self, reader: CaptureReader, progress: Callable[[int], None] | None = None) -> None:
        """Read everything; ``progress`` is told the bytes read, about once per MiB."""
        for number, batch in enumerate(reader.batches()):
            if not self.packets:
                self.begin_ns = batch[1][0][0]
            self._run_batch(batch)
            if not number % _TRIM_EVERY:
                self.table.trim()
            if progress is not None:
                progress(reader.position)
        self.finish()

    def finish(self) -> None:
        """Judge what is still open; call it after the last packet."""
        self.table.finish()
        self.reassembly.finish()

    def _run_batch(self, batch: Batch) -> None:  # noqa: C901, PLR0912, PLR0915
        # One function on purpose: a call costs as much as the work itself, a million times over.
        data, slots = batch
        limit = len(data)
        calm, slow, frame, end_ns = self.table.calm, self._closely, self.packets, self.end_ns
        at = first = total = ident = cut = protocol = seq = ack = offset = flags = window = (
            options
        ) = 0
        key = b""
        for when_ns, linktype, wire_bytes, start, end in slots:
            frame += 1
            if when_ns > end_ns:  # noqa: PLR1730 - max() costs a call, per packet
                end_ns = when_ns
            kind = 0
            if linktype == ETHERNET and start + _ETHERNET_TCP4_BYTES <= limit:
                # The usual case, in one go; what is read beyond the frame's end is not used.
                (
                    kind,
                    first,
                    total,
                    ident,
                    cut,
                    protocol,
                    key,
                    seq,
                    ack,
                    offset,
                    flags,
                    window,
                    options,
                ) = _ETHERNET_TCP4(data, start)
                at = start + 14
            if kind != IPV4:
                strip = LINKS.get(linktype)
                if strip is None:
                    self._other_link(when_ns, linktype, data[start:end], frame)
                    continue
                at, kind = strip(data[start:end])
                at += start
                if kind == IPV4:
                    if at + _TCP4_BYTES > limit:
                        slow(data[start:end], at - start, kind, wire_bytes, when_ns, frame)
                        continue
                    (
                        first,
                        total,
                        ident,
                        cut,
                        protocol,
                        key,
                        seq,
                        ack,
                        offset,
                        flags,
                        window,
                        options,
                    ) = _TCP4(data, at)
            if kind == IPV4:
                if cut & _NOT_DF:
                    protocol = 0
                header = 20 + (offset >> 2)
                plain = first == 0x45
                if protocol == UDP and plain and end - at >= 28:
                    if key[8:10] not in _RADIUS and key[10:] not in _RADIUS:
                        continue
                    protocol = 0
            elif kind == IPV6 and at + _TCP6_BYTES <= limit:
                first, total, protocol, key, seq, ack, offset, flags, window, options = _TCP6(
                    data, at
                )
                ident, header = 0, 40 + (offset >> 2)
                plain = first >> 28 == 6 and total > 0
                total += 40
            elif kind == IPV6:
                slow(data[start:end], at - start, kind, wire_bytes, when_ns, frame)
                continue
            else:
                if kind == EAPOL:
                    self.wifi.take_ethernet(data[start:end], at - start, when_ns, frame)
                continue
            if protocol == TCP and plain and flags | _PSH == _UP_OR_PUSH:
                lane = calm.get(key)
                if lane is not None and (
                    offset == 0x50 or (offset == 0x80 and options == _TIMESTAMPS)
                ):
                    half, peer = lane
                    payload = total - header
                    step = (ack - peer.ack32) & _WRAP_MASK
                    acked = peer.acked + step
                    queue = half.outstanding
                    if acked <= peer.next and at + header <= end:
                        if payload > 0:
                            begun = half.next
                            after = begun + payload
                            if (
                                seq == half.next32
                                and after <= half.indifferent_to
                                and total <= half.largest_seen
                                and header == half.overhead
                                and len(queue) < MAX_OUTSTANDING
                            ):
                                half.next = after
                                half.next32 = after & _WRAP_MASK
                                sent = _new(Sent, (begun, after, total, when_ns, frame, ident, ack))
                                queue.append(sent)
                                half.recent.append(sent)
                            else:
                                lane = None
                        elif payload < 0 or (not step and peer.outstanding):
                            lane = None  # perhaps a duplicate acknowledgement
                        if lane is not None:
                            if step:
                                peer.acked, peer.ack32 = acked, ack
                                waiting = peer.outstanding
                                if peer.fates:
                                    peer.arrived(acked)
                                else:
                                    while waiting and waiting[0][1] <= acked:
                                        gone = waiting.popleft()
                                        if gone[2] > peer.largest:
                                            peer.largest, peer.largest_frame = gone[2], gone[4]
                            peer.last_ack = (acked, ident, when_ns, window)
                            continue
            slow(data[start:end], at - start, kind, wire_bytes, when_ns, frame)
        self.packets, self.end_ns = frame, end_ns

    # -- everything that is not plain -----------------------------------------------------------

    def _closely(
        self, data: bytes, at: int, kind: int, wire_bytes: int, when_ns: int, frame: int
    ) -> None:
        # Connections are judged by this time.
        self.end_ns = max(self.end_ns, when_ns)
        parse = parse_ipv4 if kind == IPV4 else parse_ipv6
        packet = parse(data, at, wire_bytes, when_ns, frame)
        if packet is None:
            return
        fragmented = isinstance(packet, Fragment)
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
                self.table.take(packet, segment, fragmented=fragmented)
        elif packet.protocol in (ICMP, ICMP6):
            self._take_icmp(packet)
        elif packet.protocol == UDP:
            self.radius.take(packet)

    def _take_syn(self, syn: SynSeen) -> None:
        if self.ports:
            port = syn.destination_port if syn.kind == "syn" else syn.source_port
            if port not in self.ports:
                return
        if len(self.syns) < _MAX_SYNS:
            self.syns.append(syn)
        else:
            self.unlisted_syns += 1

    def _take_icmp(self, packet: Packet) -> None:
        message = parse_too_big(packet)
        if message is None:
            return
        if len(self.too_big) < _MAX_TOO_BIG:
            self.too_big.append(message)
        else:
            self.unlisted_too_big += 1
        key = quoted_key(packet)
        found = self.table.of(key)
        if found is None:
            return
        flow, from_client = found
        half = flow.up if from_client else flow.down
        if not doubt(message, max(half.largest_seen, half.offload_bytes)):
            self.table.told(key, message.next_hop_mtu_bytes, packet.when_ns)

    def _take_fragment(self, fragment: Fragment) -> Packet | None:
        packet = fragment.packet
        pair = packet.source, packet.destination
        if pair in self.fragments or len(self.fragments) < _MAX_PAIRS:
            self.fragments[pair] += 1
        else:
            self.fragments_of_others += 1
        if packet.protocol == UDP and not fragment.offset and packet.end - packet.start >= 4:
            ports = packet.data[packet.start : packet.start + 4]
            source, destination = ports[:2], ports[2:]
            if len(self.udp_servers) < _MAX_PAIRS:
                self.udp_servers.add(packet.source if source < destination else packet.destination)
            self.radius.take(packet)  # its header is here, whatever becomes of the rest
            self.reassembly.take(fragment)
            return None
        return self.reassembly.take(fragment)

    def _other_link(self, when_ns: int, linktype: int, data: bytes, frame: int) -> None:
        if linktype not in WIFI_LINKS:
            self.unread_links[linktype] += 1
            return
        found = self.wifi.take(linktype, data, when_ns, frame)
        if found is not None:
            at, kind = found
            self._closely(data, at, kind, len(data), when_ns, frame)
