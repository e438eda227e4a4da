# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""IPv4 and IPv6 headers, extension headers and fragments."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from mtughost.packets.segment import Packet

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58

_V4 = struct.Struct("!BBHHHBB2x4s4s").unpack_from
_V6 = struct.Struct("!IHBB16s16s").unpack_from
_V4_BYTES, _V6_BYTES = 20, 40
_DF, _MORE, _OFFSET = 0x4000, 0x2000, 0x1FFF

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTH, _DESTINATION, _MOBILITY = 0, 43, 44, 51, 60, 135
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _AUTH, _DESTINATION, _MOBILITY})
_MAX_EXTENSIONS = 8

_new = tuple.__new__  # the generated __new__ costs as much as reading the header

_MAX_PENDING = 1024
_MAX_HELD_BYTES = 16 * 1024 * 1024
_MAX_PARTS = 1024
_MAX_LISTED = 10_000
_MAX_DATAGRAM_BYTES = 65_535
#: Reassembly time-out of Linux (``ipfrag_time``).
_PATIENCE_NS = 30_000_000_000


@dataclass(slots=True)
class Fragment:
    """One IP fragment, before reassembly."""

    packet: Packet
    offset: int
    more: bool
    ident: int
    header_bytes: int


def parse_ipv4(
    data: bytes, at: int, wire_bytes: int, when_ns: int, frame: int
) -> Packet | Fragment | None:
    """Read an IPv4 header at ``at``; ``wire_bytes`` is the frame's length on the wire."""
    if len(data) < at + _V4_BYTES:
        return None
    first, _, total, ident, flags, ttl, protocol, source, destination = _V4(data, at)
    header = (first & 0x0F) * 4
    if first >> 4 != 4 or header < _V4_BYTES:
        return None
    if not total:
        total = wire_bytes - at  # segmentation offload or BIG TCP leave the field empty
    if total < header:
        return None
    end = at + total
    captured = len(data)
    packet = _new(
        Packet,
        (
            when_ns,
            frame,
            4,
            source,
            destination,
            protocol,
            total,
            ident,
            flags & _DF != 0,
            data,
            at + header,
            end if end < captured else captured,  # noqa: FURB136 - min() costs a call, per packet
            total - header,
            ttl,
        ),
    )
    if flags & (_MORE | _OFFSET):
        return Fragment(packet, (flags & _OFFSET) * 8, bool(flags & _MORE), ident, header)
    return packet


def parse_ipv6(
    data: bytes, at: int, wire_bytes: int, when_ns: int, frame: int
) -> Packet | Fragment | None:
    """Read an IPv6 header and its extension headers at ``at``."""
    if len(data) < at + _V6_BYTES:
        return None
    first, payload, protocol, hops, source, destination = _V6(data, at)
    if first >> 28 != 6:
        return None
    total = _V6_BYTES + payload if payload else wire_bytes - at  # 0: jumbogram or BIG TCP
    end = min(len(data), at + total)
    here = at + _V6_BYTES
    cut: tuple[int, bool, int] | None = None
    for _ in range(_MAX_EXTENSIONS):
        if protocol == _FRAGMENT and cut is None and here + 8 <= end:
            field_, ident = struct.unpack_from("!HI", data, here + 2)
            protocol, here = data[here], here + 8
            if field_ & 0xFFF9:
                cut = (field_ & 0xFFF8, bool(field_ & 1), ident)
                break
        elif protocol in _EXTENSIONS and here + 8 <= end:
            length = (data[here + 1] + 2) * 4 if protocol == _AUTH else (data[here + 1] + 1) * 8
            protocol, here = data[here], here + length
        else:
            break
    left = at + total - here
    if left < 0:
        return None
    packet = Packet(
        when_ns,
        frame,
        6,
        source,
        destination,
        protocol,
        total,
        0,
        True,  # noqa: FBT003 - IPv6 routers never fragment
        data,
        min(here, end),
        end,
        left,
        hops,
    )
    if cut is not None:
        # The reassembled packet has no fragment header.
        return Fragment(packet, cut[0], cut[1], cut[2], here - at - 8)
    return packet


@dataclass(slots=True)
class _Datagram:
    first_frame: int
    last_frame: int
    last_ns: int
    total: int | None = None
    header_bytes: int = _V4_BYTES
    parts: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    overlaps: bool = False


@dataclass(slots=True)
class Reassembly:
    """Puts fragments together again, in bounded memory.

    Attributes:
        incomplete: Frame of the first fragment seen of each datagram that stayed incomplete.
        completed: How many datagrams became whole.
        overlapping: Frame of the first fragment of each datagram whose fragments overlap. They are
            not put together: Linux drops them, others take the first bytes or the last.
        unlisted: Incomplete datagrams beyond the list's limit.
    """

    incomplete: list[int] = field(default_factory=list)
    overlapping: list[int] = field(default_factory=list)
    completed: int = 0
    unlisted: int = 0
    _held_bytes: int = 0
    _open: dict[tuple[bytes, bytes, int, int], _Datagram] = field(default_factory=dict)
    _done: dict[tuple[bytes, bytes, int, int], int] = field(default_factory=dict)

    def take(self, fragment: Fragment) -> Packet | None:
        """Take one fragment; return the datagram once the last part is there."""
        packet = fragment.packet
        key = (packet.source, packet.destination, packet.protocol, fragment.ident)
        if packet.when_ns - self._done.get(key, -_PATIENCE_NS) < _PATIENCE_NS:
            return None  # a second copy of a fragment whose datagram is complete
        datagram = self._open.get(key)
        if datagram is not None and packet.when_ns - datagram.last_ns > _PATIENCE_NS:
            self._give_up(key)
            datagram = None
        if datagram is None:
            if len(self._open) >= _MAX_PENDING or self._held_bytes > _MAX_HELD_BYTES:
                self._give_up(next(iter(self._open)))
            datagram = self._open[key] = _Datagram(packet.frame, packet.frame, packet.when_ns)
        datagram.last_frame, datagram.last_ns = packet.frame, packet.when_ns
        length = packet.payload_bytes
        if fragment.offset + length > _MAX_DATAGRAM_BYTES:
            return None
        # Only TCP is read further; of other protocols the ranges are enough.
        body = packet.data[packet.start : packet.end] if packet.protocol == TCP else b""
        self._place(datagram, fragment.offset, length, body)
        if not fragment.offset:
            datagram.header_bytes = fragment.header_bytes
        if not fragment.more:
            datagram.total = fragment.offset + length
        return self._complete(key, datagram, packet)

    def _place(self, datagram: _Datagram, offset: int, length: int, body: bytes) -> None:
        parts = datagram.parts
        old = parts.get(offset)
        if old is not None:
            datagram.overlaps |= old[0] != length
            return
        if len(parts) >= _MAX_PARTS:
            return
        datagram.overlaps |= any(
            at < offset + length and offset < at + size for at, (size, _) in parts.items()
        )
        parts[offset] = (length, body)
        self._held_bytes += len(body)

    def _complete(
        self, key: tuple[bytes, bytes, int, int], datagram: _Datagram, packet: Packet
    ) -> Packet | None:
        if datagram.total is None:
            return None
        reached = 0
        for offset, (length, _) in sorted(datagram.parts.items()):
            if offset > reached:
                return None
            reached = max(reached, offset + length)
        if reached < datagram.total:
            return None
        self._close(key)
        if len(self._done) >= _MAX_PENDING:
            del self._done[next(iter(self._done))]
        self._done[key] = packet.when_ns
        if datagram.overlaps:
            if len(self.overlapping) < _MAX_LISTED:
                self.overlapping.append(datagram.first_frame)
            return None
        self.completed += 1
        body = _join(datagram.parts)
        return packet._replace(
            ip_bytes=datagram.header_bytes + datagram.total,
            frame=datagram.last_frame,
            data=body,
            start=0,
            end=len(body),
            payload_bytes=datagram.total,
        )

    def _close(self, key: tuple[bytes, bytes, int, int]) -> _Datagram:
        datagram = self._open.pop(key)
        self._held_bytes -= sum(len(body) for _, body in datagram.parts.values())
        return datagram

    def _give_up(self, key: tuple[bytes, bytes, int, int]) -> None:
        datagram = self._close(key)
        if len(self.incomplete) < _MAX_LISTED:
            self.incomplete.append(datagram.first_frame)
        else:
            self.unlisted += 1

    def finish(self) -> None:
        """Count what is still open as incomplete; call it after the last packet."""
        for key in list(self._open):
            self._give_up(key)
        self.incomplete.sort()


def _join(parts: dict[int, tuple[int, bytes]]) -> bytes:
    """Join the captured bytes in order, up to the first one that the snaplen cut."""
    body = b""
    for offset, (length, data) in sorted(parts.items()):
        if offset > len(body):
            break
        body += data[len(body) - offset :]
        if len(data) < length:
            break
    return body
