"""A capture file for somebody else's eyes: same packets, same sizes and times, other identities."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from mtughost.evidence.frames import FrameRewriter, Keeps, Segment
from mtughost.evidence.pseudonyms import Pseudonyms
from mtughost.evidence.tls_scrub import StreamPlan, looks_like_record, plan_stream
from mtughost.model.errors import EvidenceError
from mtughost.packets.source import Readable
from mtughost.store.bodies import CHUNK_BYTES, Body, Packing, unpack

_MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\x4d\x3c\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xa1\xb2\x3c\x4d": ">",
}
_FILE_HEADER: Final = 24
_RECORD_HEADER: Final = 16
_ETHERNET, _RAW, _RAW_OLD, _SLL, _SLL2 = 1, 101, 12, 113, 276
#: Handshakes fit easily; what follows is application data, which becomes zeros anyway.
_STREAM_BYTES: Final = 64 * 1024
_STREAMS_AT_MOST: Final = 20_000
#: What libpcap itself accepts as one packet; more is damage.
_LONGEST_FRAME: Final = 262_144
_NO_LIMIT: Final = 1 << 62
_SEQUENCES: Final = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedCapture:
    """A rewritten capture.

    Attributes:
        body: The file, packed: what is left of a capture is mostly zeros.
        packets: How many packets it holds; none is ever dropped.
        truncated: The original ended in the middle of a packet; so does the count here.
    """

    body: Body
    packets: int
    truncated: bool

    @property
    def data(self) -> bytes:
        """The whole file at once."""
        return unpack(self.body, "a redacted capture")


def redact_capture(
    data: bytes, stand_ins: Pseudonyms, *, keeps: Keeps | None = None, name: str = "capture"
) -> RedactedCapture:
    """Rewrite a pcap file that is in memory; see :func:`redact_stream`."""
    return redact_stream(lambda: io.BytesIO(data), stand_ins, keeps=keeps, name=name)


def redact_stream(
    opened: Callable[[], Readable],
    stand_ins: Pseudonyms,
    *,
    keeps: Keeps | None = None,
    name: str = "capture",
) -> RedactedCapture:
    """Rewrite a pcap file. It is read twice, in chunks: names are planned before they are written.

    Args:
        opened: Opens the file from its beginning.
        stand_ins: Makes the stand-ins.
        keeps: What stays real; nothing by default.
        name: For errors.

    Raises:
        EvidenceError: it is no pcap file, or of a link type that cannot be redacted.
    """
    keeps = keeps or Keeps()
    streams = _Streams()
    looking = FrameRewriter(stand_ins, streams.note, keeps)
    file = _File(opened(), name)
    for _, frame in file.frames():
        _rewrite(frame, file.link, looking)
    plans = streams.plans(stand_ins)
    streams.found.clear()
    writing = FrameRewriter(stand_ins, plans.scrub, keeps)
    out, packets, file = Packing(), 0, _File(opened(), name)
    out.add(file.header)
    for head, frame in file.frames():
        _rewrite(frame, file.link, writing)
        out.add(head)
        out.add(frame)
        packets += 1
    # A cut last packet keeps its place, so that the file is still cut, and loses its words.
    out.add(file.rest[:_RECORD_HEADER])
    out.add(bytes(len(file.rest[_RECORD_HEADER:])))
    return RedactedCapture(body=out.body(), packets=packets, truncated=bool(file.rest))


class _File:
    """A pcap file, read in chunks.

    Attributes:
        header: Of the file.
        link: Link type.
        rest: What comes after the last whole packet, once all frames were read.
    """

    def __init__(self, source: Readable, name: str) -> None:
        self._source = source
        self._buffer = b""
        self._have(0, _FILE_HEADER)
        self.header, self.rest = self._buffer[:_FILE_HEADER], b""
        order = _MAGICS.get(self.header[:4])
        if order is None or len(self.header) < _FILE_HEADER:
            raise EvidenceError(
                f"{name} is no pcap file", todo="Leave it out, or convert it with editcap -F pcap"
            )
        self._length_at = struct.Struct(order + "8xI").unpack_from
        self.link = struct.unpack_from(order + "I", self.header, 20)[0] & 0x0FFFFFFF
        if self.link not in {_ETHERNET, _RAW, _RAW_OLD, _SLL, _SLL2}:
            raise EvidenceError(
                f"{name} has link type {self.link}, which cannot be redacted",
                todo="Hand it over yourself, after a look, or leave it out",
            )

    def _have(self, at: int, needed: int) -> tuple[int, bool]:
        """Have ``needed`` bytes from ``at`` on; return where they begin now, and whether so."""
        have = len(self._buffer) - at
        if have >= needed:
            return at, True
        parts = [self._buffer[at:]]
        while have < needed and (block := self._source.read(CHUNK_BYTES)):
            parts.append(block)
            have += len(block)
        self._buffer = b"".join(parts)
        return 0, have >= needed

    def frames(self) -> Iterator[tuple[bytes, bytearray]]:
        """Yield record header and frame of each whole packet."""
        at = _FILE_HEADER
        while True:
            at, whole = self._have(at, _RECORD_HEADER)
            if not whole:
                break
            (captured,) = self._length_at(self._buffer, at)
            if captured > _LONGEST_FRAME:
                break
            at, whole = self._have(at, _RECORD_HEADER + captured)
            if not whole:
                break
            body = at + _RECORD_HEADER
            yield self._buffer[at:body], bytearray(self._buffer[body : body + captured])
            at = body + captured
        at, _ = self._have(at, _NO_LIMIT)
        self.rest = self._buffer[at:]


def _rewrite(frame: bytearray, link: int, rewriter: FrameRewriter) -> None:
    if link == _ETHERNET:
        rewriter.ethernet(frame)
    elif link in {_SLL, _SLL2}:
        rewriter.cooked(frame, version=1 if link == _SLL else 2)
    else:
        rewriter.raw(frame)


@dataclass(slots=True)
class _Stream:
    """One direction of one connection, as far as its beginning was seen."""

    base: int
    pieces: dict[int, bytes] = field(default_factory=dict)
    size: int = 0


@dataclass(slots=True)
class _Streams:
    """First pass: remember the beginning of every stream."""

    found: dict[bytes, _Stream] = field(default_factory=dict)

    def note(self, segment: Segment) -> bytes:
        stream = self.found.get(segment.key)
        if stream is None:
            if len(self.found) >= _STREAMS_AT_MOST:
                return segment.payload
            # Half the number space before the first packet leaves room for what comes late.
            stream = self.found[segment.key] = _Stream(base=segment.sequence - (1 << 20))
        offset = (segment.sequence - stream.base) % _SEQUENCES
        known = stream.pieces.get(offset, b"")
        if stream.size < _STREAM_BYTES and len(segment.payload) > len(known):
            stream.pieces[offset] = segment.payload
            stream.size += len(segment.payload) - len(known)
        return segment.payload

    def plans(self, stand_ins: Pseudonyms) -> _Plans:
        def name(value: bytes) -> bytes:
            return stand_ins.same_length("server-name", value)

        return _Plans(
            {
                key: (stream.base, plan_stream(_runs(stream.pieces), name))
                for key, stream in self.found.items()
            }
        )


def _runs(pieces: dict[int, bytes]) -> list[tuple[int, bytes]]:
    """Join pieces that touch; a piece after a gap begins a new run."""
    runs: list[tuple[int, bytearray]] = []
    for offset in sorted(pieces):
        piece = pieces[offset]
        if runs:
            start, data = runs[-1]
            overlap = start + len(data) - offset
            if overlap >= 0:
                if len(piece) > overlap:
                    data += piece[overlap:]
                continue
        runs.append((offset, bytearray(piece)))
    return [(start, bytes(data)) for start, data in runs]


@dataclass(frozen=True, slots=True)
class _Plans:
    """Second pass: what each stream may keep."""

    by_key: dict[bytes, tuple[int, StreamPlan]]

    def scrub(self, segment: Segment) -> bytes:
        found = self.by_key.get(segment.key)
        if found is None:
            return bytes(len(segment.payload))
        base, plan = found
        offset = (segment.sequence - base) % _SEQUENCES
        out = plan.scrub(offset, len(segment.payload))
        if not any(out) and looks_like_record(segment.payload):
            # Far into the stream: the header alone says that data went by.
            return segment.payload[:5] + bytes(len(segment.payload) - 5)
        return out
