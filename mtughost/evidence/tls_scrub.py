"""What of a TCP stream may stay: the skeleton of TLS, and nothing that anybody said.

The stage of a handshake, its version and its alerts can be read from record and handshake headers,
so these stay where they are; certificates, names, tickets, keys and application data become zeros
of the same length. Offsets count bytes of the stream, so that a retransmission is scrubbed exactly
as the first copy was. Formats: RFC 5246 and RFC 8446, section 5 (records) and 4 (handshake).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

_RECORD_HEADER: Final = 5
_MESSAGE_HEADER: Final = 4
_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _APPLICATION = 20, 21, 22, 23
_TYPES: Final = frozenset({_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _APPLICATION})
_LONGEST_RECORD: Final = 16384 + 2048
_CLIENT_HELLO, _SERVER_HELLO, _CERTIFICATE = 1, 2, 11
_SERVER_NAME, _SESSION_TICKET, _PRE_SHARED_KEY = 0, 35, 41
#: Client hello before its extensions: version and random.
_HELLO_FIXED: Final = 34
#: Where a server name's bytes begin inside its extension: list length, type, name length.
_NAME_AT: Final = 5
#: Lengths of the list and of the first certificate.
_CERTIFICATE_LENGTHS: Final = 6

NameStandIn = Callable[[bytes], bytes]


@dataclass(slots=True)
class StreamPlan:
    """What one direction of one connection may keep.

    Attributes:
        pieces: Offset in the stream to bytes that stand there afterwards; all else is zero.
    """

    pieces: list[tuple[int, bytes]] = field(default_factory=list)

    def scrub(self, offset: int, length: int) -> bytes:
        """Return what replaces ``length`` bytes at ``offset``."""
        out = bytearray(length)
        for start, data in self.pieces:
            first, last = max(start, offset), min(start + len(data), offset + length)
            if first < last:
                out[first - offset : last - offset] = data[first - start : last - start]
        return bytes(out)


def plan_stream(runs: list[tuple[int, bytes]], stand_in: NameStandIn) -> StreamPlan:
    """Say what may stay of a stream.

    Args:
        runs: Contiguous runs of stream bytes with their offsets, in order.
        stand_in: Gives a name of the same length for a server name.
    """
    plan = StreamPlan()
    for start, data in runs:
        if looks_like_record(data):
            plan.pieces.extend(_keep(start, data, stand_in))
    return plan


def looks_like_record(data: bytes) -> bool:
    """Return whether ``data`` begins with a plausible record header."""
    return (
        len(data) >= _RECORD_HEADER
        and data[0] in _TYPES
        and data[1] == 3  # noqa: PLR2004 - the major version of every TLS
        and data[2] <= 4  # noqa: PLR2004 - the largest minor version there is
        and int.from_bytes(data[3:5], "big") <= _LONGEST_RECORD
    )


def _keep(start: int, data: bytes, stand_in: NameStandIn) -> Iterator[tuple[int, bytes]]:
    """Walk records; hand handshake bodies to a walker that joins them over records."""
    position = 0
    messages = _Messages(stand_in)
    encrypted = False
    while looks_like_record(data[position : position + _RECORD_HEADER]):
        kind = data[position]
        length = int.from_bytes(data[position + 3 : position + 5], "big")
        yield start + position, data[position : position + _RECORD_HEADER]
        body_at = position + _RECORD_HEADER
        body = data[body_at : body_at + length]
        if kind in {_CHANGE_CIPHER, _ALERT}:
            encrypted = encrypted or kind == _CHANGE_CIPHER
            yield start + body_at, body
        elif kind == _HANDSHAKE and not encrypted:
            messages.add(start + body_at, body)
        elif kind == _APPLICATION:
            encrypted = True
        position = body_at + length
    yield from messages.kept()


@dataclass(slots=True)
class _Messages:
    """Handshake messages, joined over the records that carry them."""

    stand_in: NameStandIn
    _parts: list[tuple[int, bytes]] = field(default_factory=list)

    def add(self, offset: int, body: bytes) -> None:
        self._parts.append((offset, body))

    def kept(self) -> Iterator[tuple[int, bytes]]:
        joined = b"".join(body for _, body in self._parts)
        out = bytearray(len(joined))
        at = 0
        while at + _MESSAGE_HEADER <= len(joined):
            kind, length = joined[at], int.from_bytes(joined[at + 1 : at + 4], "big")
            end = min(at + _MESSAGE_HEADER + length, len(joined))
            body = joined[at + _MESSAGE_HEADER : end]
            out[at : at + _MESSAGE_HEADER] = joined[at : at + _MESSAGE_HEADER]
            kept = self._body(kind, body)
            out[at + _MESSAGE_HEADER : at + _MESSAGE_HEADER + len(kept)] = kept
            at += _MESSAGE_HEADER + length
        yield from self._spread(bytes(out))

    def _body(self, kind: int, body: bytes) -> bytes:
        if kind == _SERVER_HELLO:
            return body
        if kind == _CLIENT_HELLO:
            return _client_hello(body, self.stand_in)
        return body[:_CERTIFICATE_LENGTHS] if kind == _CERTIFICATE else b""

    def _spread(self, joined: bytes) -> Iterator[tuple[int, bytes]]:
        position = 0
        for offset, body in self._parts:
            yield offset, joined[position : position + len(body)]
            position += len(body)


def _client_hello(body: bytes, stand_in: NameStandIn) -> bytes:
    """Return a client hello with another server name and without tickets; lengths stay."""
    out = bytearray(body)
    for kind, start, end in _extensions(body):
        if kind == _SERVER_NAME:
            name_at = start + _NAME_AT
            out[name_at:end] = stand_in(bytes(body[name_at:end]))
        elif kind in {_SESSION_TICKET, _PRE_SHARED_KEY}:
            out[start:end] = bytes(end - start)
    return bytes(out)


def _extensions(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (type, start, end) of each extension of a client hello, as far as it is whole."""
    at = _HELLO_FIXED
    for width in (1, 2, 1):  # session id, cipher suites, compression methods
        if at + width > len(body):
            return
        at += width + int.from_bytes(body[at : at + width], "big")
    at += 2
    while at + 4 <= len(body):
        kind = int.from_bytes(body[at : at + 2], "big")
        length = int.from_bytes(body[at + 2 : at + 4], "big")
        start, end = at + 4, min(at + 4 + length, len(body))
        yield kind, start, end
        at = start + length
