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

from mtughost.packets.pcapng import SECTION_MAGIC, pcapng_batches
from mtughost.packets.source import ByteSource, Readable

#: One packet: time in nanoseconds since 1970, link type (LINKTYPE_*), length on the wire in
#: bytes, captured bytes.
Record = tuple[int, int, int, bytes]

#: The same with (start, end) of the captured bytes in a buffer instead of a copy of them: most
#: packets of a large capture are looked at by their headers only.
Slot = tuple[int, int, int, int, int]
Batch = tuple[bytes, list[Slot]]

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

    def __init__(self, data: bytes | Readable) -> None:
        self._source = ByteSource(data)
        self.format = ""
        self.warnings: list[str] = []
        self.truncated = False
        self._batches = self._read()

    def __iter__(self) -> Iterator[Record]:
        for data, slots in self._batches:
            for when_ns, linktype, wire_bytes, start, end in slots:
                yield when_ns, linktype, wire_bytes, data[start:end]

    def batches(self) -> Iterator[Batch]:
        """Return the packets many at a time: the fast way to read, once, instead of iterating."""
        return self._batches

    @property
    def position(self) -> int:
        """How many bytes of the file have been read."""
        return self._source.position

    def sha256(self) -> str:
        """Return the SHA-256 of the file; call it after the last packet."""
        return self._source.sha256()

    def _read(self) -> Iterator[Batch]:
        feed = Feed(self._source)
        head = feed.refill(0, _FILE_HEADER_BYTES)
        magic = head[:_MAGIC_BYTES]
        if magic in _PCAP_MAGICS:
            self.format = "pcap"
            yield from self._pcap(feed, *_PCAP_MAGICS[magic])
        elif magic == SECTION_MAGIC:
            self.format = "pcapng"
            yield from pcapng_batches(feed, self._damage, self.warnings)
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

    def _pcap(self, feed: Feed, order: str, unit_ns: int, header_bytes: int) -> Iterator[Batch]:
        data = feed.data
        if len(data) < _FILE_HEADER_BYTES:
            self._damage("the capture file ends in its header")
            return
        linktype = struct.unpack_from(order + "I", data, 20)[0] & _LINKTYPE_MASK
        unpack = struct.Struct(order + "IIII").unpack_from
        at, end, number = _FILE_HEADER_BYTES, len(data), 0
        while True:
            slots: list[Slot] = []
            add = slots.append
            need = header_bytes
            while at + header_bytes <= end:
                seconds, fraction, captured, wire = unpack(data, at)
                body = at + header_bytes
                after = body + captured
                if after > end:
                    need += captured
                    break
                add((seconds * 1_000_000_000 + fraction * unit_ns, linktype, wire, body, after))
                at = after
            number += len(slots)
            if slots:
                yield data, slots
            if need > header_bytes + MAX_PACKET_BYTES:
                claimed = need - header_bytes
                self._damage(f"packet {number + 1} claims {claimed} bytes: the file is damaged")
                return
            data = feed.refill(at, need)
            at, end = 0, len(data)
            if end < need:
                break
        if end:
            self._damage(f"the file ends in the middle of packet {number + 1}")


def read_capture(data: bytes | Readable) -> CaptureReader:
    """Open a capture: pcap or pcapng, plain or gzip.

    Args:
        data: The file's bytes, or a binary file that is read in chunks of 1 MiB.

    Returns:
        An iterator of :data:`Record`; its ``warnings`` and ``truncated`` are complete after the
        last packet.
    """
    return CaptureReader(data)
