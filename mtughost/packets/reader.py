"""Streaming reader for pcap and pcapng.

Own code, because reading captures fast and surviving cut ones is part of what the project exists
for, and no maintained library does both. Formats: pcap by draft-ietf-opsawg-pcap (both byte orders,
microseconds and nanoseconds, and the "modified" variant with a longer record header); pcapng by
draft-ietf-opsawg-pcapng (see :mod:`mtughost.packets.pcapng`).

At damage the reader stops, says so, and keeps what came before.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from mtughost.packets.pcapng import SECTION_MAGIC, pcapng_records
from mtughost.packets.source import ByteSource

#: One packet: time in nanoseconds since 1970, link type (LINKTYPE_*), length on the wire in
#: bytes, captured bytes.
Record = tuple[int, int, int, bytes]

#: What libpcap itself accepts as one packet (MAXIMUM_SNAPLEN).
MAX_PACKET_BYTES = 262_144

_FILE_HEADER_BYTES = 24
_LINKTYPE_MASK = 0x03FF_FFFF  # the bits above hold the FCS length

#: Magic as it lies in the file -> byte order, nanoseconds per unit, bytes of a record header.
_PCAP_MAGICS: dict[bytes, tuple[str, int, int]] = {
    b"\xa1\xb2\xc3\xd4": (">", 1000, 16),
    b"\xd4\xc3\xb2\xa1": ("<", 1000, 16),
    b"\xa1\xb2\x3c\x4d": (">", 1, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 16),
    b"\xa1\xb2\xcd\x34": (">", 1000, 24),
    b"\x34\xcd\xb2\xa1": ("<", 1000, 24),
}

_MAGIC_BYTES = 4


class Feed:
    """A buffer over a :class:`ByteSource` that readers refill in whole chunks."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.data = b""
        self.ended = False

    def refill(self, keep_from: int, need: int) -> bytes:
        """Drop bytes before ``keep_from``, read until ``need`` bytes are there or none are left."""
        parts = [self.data[keep_from:]]
        have = len(parts[0])
        while have < need and not self.ended:
            block = self._source.read()
            self.ended = not block
            parts.append(block)
            have += len(block)
        self.data = b"".join(parts)
        return self.data


class CaptureReader:
    """Iterates over the packets of one capture file. It never raises for damaged input.

    Attributes:
        format: ``pcap`` or ``pcapng`` after the first packet was asked for; ``""`` when the file
            is neither.
        warnings: What was wrong, one sentence each.
        truncated: The file ended in the middle of a packet or was damaged.
    """

    def __init__(self, data: bytes | BinaryIO) -> None:
        self._source = ByteSource(data)
        self.format = ""
        self.warnings: list[str] = []
        self.truncated = False
        self._records = self._read()

    def __iter__(self) -> Iterator[Record]:
        return self._records

    def __next__(self) -> Record:
        return next(self._records)

    def sha256(self) -> str:
        """Return the SHA-256 of the file; call it after the last packet."""
        return self._source.sha256()

    def _read(self) -> Iterator[Record]:
        feed = Feed(self._source)
        head = feed.refill(0, _FILE_HEADER_BYTES)
        magic = head[:_MAGIC_BYTES]
        if magic in _PCAP_MAGICS:
            self.format = "pcap"
            yield from self._pcap(feed, *_PCAP_MAGICS[magic])
        elif magic == SECTION_MAGIC:
            self.format = "pcapng"
            yield from pcapng_records(feed, self._damage, self.warnings)
        elif not head:
            self.warnings.append("the capture is empty: not even a file header")
        elif len(head) < _MAGIC_BYTES:
            self._damage("the capture file ends in its header")
        else:
            self.warnings.append(f"not a pcap or pcapng file (it begins with {magic.hex()})")
        if self._source.damage:
            self._damage(self._source.damage)

    def _damage(self, what: str) -> None:
        self.truncated = True
        self.warnings.append(f"{what}; what came before is kept")

    def _pcap(self, feed: Feed, order: str, unit_ns: int, header_bytes: int) -> Iterator[Record]:
        data = feed.data
        if len(data) < _FILE_HEADER_BYTES:
            self._damage("the capture file ends in its header")
            return
        linktype = struct.unpack_from(order + "I", data, 20)[0] & _LINKTYPE_MASK
        unpack = struct.Struct(order + "IIII").unpack_from
        at, end, number = _FILE_HEADER_BYTES, len(data), 0
        while True:
            if at + header_bytes > end:
                data = feed.refill(at, header_bytes)
                at, end = 0, len(data)
                if end < header_bytes:
                    break
            seconds, fraction, captured, wire = unpack(data, at)
            if captured > MAX_PACKET_BYTES:
                self._damage(f"packet {number + 1} claims {captured} bytes: the file is damaged")
                return
            after = at + header_bytes + captured
            if after > end:
                data = feed.refill(at, header_bytes + captured)
                at, end, after = 0, len(data), header_bytes + captured
                if after > end:
                    break
            number += 1
            yield (
                seconds * 1_000_000_000 + fraction * unit_ns,
                linktype,
                wire,
                data[at + header_bytes : after],
            )
            at = after
        if end > at:
            self._damage(f"the file ends in the middle of packet {number + 1}")


def read_capture(data: bytes | BinaryIO) -> CaptureReader:
    """Open a capture: pcap or pcapng, plain or gzip.

    Args:
        data: The file's bytes, or a binary file that is read in chunks of 1 MiB.

    Returns:
        An iterator of :data:`Record`; its ``warnings`` and ``truncated`` are complete after the
        last packet.
    """
    return CaptureReader(data)
