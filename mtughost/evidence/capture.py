"""A capture file for somebody else's eyes: same packets, same sizes and times, other identities."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mtughost.evidence.frames import FrameRewriter, Keeps, Segment
from mtughost.evidence.pseudonyms import Pseudonyms
from mtughost.evidence.tls_scrub import StreamPlan, looks_like_record, plan_stream
from mtughost.model.errors import EvidenceError

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
_STREAM_BYTES: Final = 128 * 1024
_STREAMS_AT_MOST: Final = 20_000
_SEQUENCES: Final = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedCapture:
    """A rewritten capture.

    Attributes:
        data: The file.
        packets: How many packets it holds; none is ever dropped.
        truncated: The original ended in the middle of a packet; so does the count here.
    """

    data: bytes
    packets: int
    truncated: bool


def redact_capture(
    data: bytes, stand_ins: Pseudonyms, *, keeps: Keeps | None = None, name: str = "capture"
) -> RedactedCapture:
    """Rewrite a pcap file.

    Args:
        data: The file's bytes.
        stand_ins: Makes the stand-ins.
        keeps: What stays real; nothing by default.
        name: For errors.

    Raises:
        EvidenceError: it is no pcap file, or of a link type that cannot be redacted.
    """
    keeps = keeps or Keeps()
    order, link = _opened(data, name)
    streams = _Streams()
    _each(data, order, link, FrameRewriter(stand_ins, streams.note, keeps))
    plans = streams.plans(stand_ins)
    out, packets, whole = _each(data, order, link, FrameRewriter(stand_ins, plans.scrub, keeps))
    return RedactedCapture(data=bytes(out), packets=packets, truncated=not whole)


def _opened(data: bytes, name: str) -> tuple[str, int]:
    order = _MAGICS.get(data[:4])
    if order is None or len(data) < _FILE_HEADER:
        raise EvidenceError(
            f"{name} is no pcap file", todo="Leave it out, or convert it with editcap -F pcap"
        )
    link = struct.unpack_from(order + "I", data, 20)[0] & 0x0FFFFFFF
    if link not in {_ETHERNET, _RAW, _RAW_OLD, _SLL, _SLL2}:
        raise EvidenceError(
            f"{name} has link type {link}, which cannot be redacted",
            todo="Hand it over yourself, after a look, or leave it out",
        )
    return order, link


def _records(data: bytes, order: str) -> Iterator[tuple[int, int]]:
    """Yield offset and captured length of each whole packet."""
    at = _FILE_HEADER
    while at + _RECORD_HEADER <= len(data):
        captured = struct.unpack_from(order + "I", data, at + 8)[0]
        if at + _RECORD_HEADER + captured > len(data):
            return
        yield at + _RECORD_HEADER, captured
        at += _RECORD_HEADER + captured


def _each(
    data: bytes, order: str, link: int, rewriter: FrameRewriter
) -> tuple[bytearray, int, bool]:
    out = bytearray(data)
    packets, end = 0, _FILE_HEADER
    for at, length in _records(data, order):
        frame = out[at : at + length]
        if link == _ETHERNET:
            rewriter.ethernet(frame)
        elif link in {_SLL, _SLL2}:
            rewriter.cooked(frame, version=1 if link == _SLL else 2)
        else:
            rewriter.raw(frame)
        out[at : at + length] = frame
        packets, end = packets + 1, at + length
    whole = end == len(data)
    # A cut last packet keeps its place, so that the file is still cut, and loses its words.
    if not whole and end + _RECORD_HEADER <= len(data):
        out[end + _RECORD_HEADER :] = bytes(len(data) - end - _RECORD_HEADER)
    return out, packets, whole


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
