# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""One TCP segment as the capture shows it."""

from __future__ import annotations

import struct
from typing import NamedTuple

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

_TCP = struct.Struct("!HHIIBBHHH").unpack_from
_TCP_BYTES = 20
#: NOP NOP Timestamps(10): what Linux, Windows and the BSDs send on every data segment.
ONLY_TIMESTAMPS = b"\x01\x01\x08\x0a"
_END, _NOP, _MSS, _SACK = 0, 1, 2, 5
_SACK_BLOCK = struct.Struct("!II")

_new = tuple.__new__
_NO_BLOCKS: tuple[tuple[int, int], ...] = ()


class Segment(NamedTuple):
    """A TCP segment.

    Attributes:
        when_ns: Capture time in nanoseconds.
        frame: Frame number from 1 (the last fragment's, for a reassembled datagram).
        ip_bytes: IP packet size; for a reassembled datagram the size it had before.
        ip_id: IPv4 identification; ``0`` for IPv6.
        df: Don't Fragment; always true for IPv6.
        options_bytes: Length of the TCP options.
        payload_bytes: Payload on the wire.
        data: Buffer that holds the captured payload from ``start`` to ``end``; shorter than
            ``payload_bytes`` when the snaplen cut it.
        mss: MSS option; ``None`` when absent or cut off.
        sack: SACK blocks as (left, right) sequence numbers.
        ttl: Time to live or hop limit.
    """

    when_ns: int
    frame: int
    ip_bytes: int
    ip_id: int
    df: bool
    seq: int
    ack: int
    flags: int
    window: int
    options_bytes: int
    payload_bytes: int
    data: bytes
    start: int
    end: int
    mss: int | None
    sack: tuple[tuple[int, int], ...]
    ttl: int


class Packet(NamedTuple):
    """The IP packet around a transport header.

    Attributes:
        family: 4 or 6.
        ip_bytes: Whole packet, from the IP header's own length field.
        data: Captured frame or reassembled datagram.
        start: Where the transport header begins in ``data``.
        end: Where the packet ends in ``data`` (captured part, link padding excluded).
        payload_bytes: Transport header and payload on the wire.
    """

    when_ns: int
    frame: int
    family: int
    source: bytes
    destination: bytes
    protocol: int
    ip_bytes: int
    ip_id: int
    df: bool
    data: bytes
    start: int
    end: int
    payload_bytes: int
    ttl: int


def parse_segment(packet: Packet) -> Segment | None:
    """Read the TCP header of a packet; ``None`` when the capture was cut inside it."""
    data, start, end = packet.data, packet.start, packet.end
    if end - start < _TCP_BYTES:
        return None
    _, _, seq, ack, offset, flags, window, _, _ = _TCP(data, start)
    header = (offset >> 4) * 4
    payload = packet.payload_bytes - header
    if header < _TCP_BYTES or payload < 0:
        return None
    mss: int | None = None
    sack = _NO_BLOCKS
    if header > _TCP_BYTES and not (
        header == 32 and data[start + 20 : start + 24] == ONLY_TIMESTAMPS
    ):
        mss, sack = _options(data, start + _TCP_BYTES, min(start + header, end))
    body = start + header
    # Without the generated __new__, whose call costs as much as the header does.
    return _new(
        Segment,
        (
            packet.when_ns,
            packet.frame,
            packet.ip_bytes,
            packet.ip_id,
            packet.df,
            seq,
            ack,
            flags,
            window,
            header - _TCP_BYTES,
            payload,
            data,
            body if body < end else end,  # noqa: FURB136 - min() costs a call, per packet
            end,
            mss,
            sack,
            packet.ttl,
        ),
    )


def _options(data: bytes, at: int, end: int) -> tuple[int | None, tuple[tuple[int, int], ...]]:
    mss: int | None = None
    sack = _NO_BLOCKS
    while at < end:
        kind = data[at]
        if kind == _END:
            break
        if kind == _NOP:
            at += 1
            continue
        length = data[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            break  # cut by the snaplen, or malformed: what is not readable stays unknown
        if kind == _MSS and length == 4:
            mss = data[at + 2] << 8 | data[at + 3]
        elif kind == _SACK:
            sack = tuple(
                _SACK_BLOCK.unpack_from(data, block)
                for block in range(at + 2, at + length - 7, _SACK_BLOCK.size)
            )
        at += length
    return mss, sack
