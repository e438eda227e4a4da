# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""How far a TLS handshake came, from the records in the in-order payload of both directions.

Only what is in clear is read: record headers, the hellos and early alerts. Nothing is decrypted.
A capture cut by its snaplen may hide a record header: then the stage is ``unknown``.
"""

from __future__ import annotations

from mtughost.model.evidence import TlsStage
from mtughost.model.tls_names import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    MAX_RECORD_BYTES,
    VERSION_NAMES,
    alert_name,
)

_HEADER_BYTES = 5
_CLEAR_ALERT_BYTES = 2
_CLOSE_NOTIFY = 0
_CLIENT_HELLO, _SERVER_HELLO, _CERTIFICATE = 1, 2, 11
_EXT_PRE_SHARED_KEY, _EXT_SUPPORTED_VERSIONS = 41, 43
_TLS12, _TLS13 = 0x0303, 0x0304
#: A ServerHello is shorter than this unless a post-quantum key share is in it (about 1,200 bytes).
_KEEP_BYTES = 4096
_MAX_PENDING = 64
#: SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3).
_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


class RecordStream:
    """Finds the TLS records of one direction, whatever order its segments come in.

    Attributes:
        position: Next byte in order, unwrapped.
        broken: Not TLS: nothing more can be read.
        lost: A record header was cut off by the snaplen; reading goes on at the next segment
            that begins with one.
        ahead: Bytes were seen behind a gap.
    """

    __slots__ = (
        "_body",
        "_have",
        "_head",
        "_length",
        "_pending",
        "_skip",
        "ahead",
        "broken",
        "lost",
        "position",
    )

    def __init__(self, position: int) -> None:
        self.position = position
        self.broken = False
        self.lost = False
        self.ahead = False
        self._head = b""  # header bytes of the record that begins
        self._body = b""  # kept bytes of the record that goes on
        self._have = 0  # type of the record that goes on
        self._length = 0
        self._skip = 0  # bytes of it still to come
        self._pending: dict[int, tuple[int, bytes]] = {}

    def take(self, start: int, length: int, captured: bytes) -> list[tuple[int, int, bytes]]:
        """Take one segment; return the records that are complete now.

        Args:
            start: Position of its first byte.
            length: Payload on the wire.
            captured: Payload in the capture, shorter when the snaplen cut it.

        Returns:
            (content type, body length, first bytes of the body) for each record.
        """
        records: list[tuple[int, int, bytes]] = []
        if start > self.position:
            self.ahead = True
            if len(self._pending) < _MAX_PENDING:
                self._pending[start] = (length, captured)
            return records
        self._feed(start, length, captured, records)
        while self._pending and not self.broken:
            ready = min(self._pending)
            if ready > self.position:
                break
            self._feed(ready, *self._pending.pop(ready), records)
        return records

    def _feed(
        self, start: int, length: int, captured: bytes, records: list[tuple[int, int, bytes]]
    ) -> None:
        known = self.position - start
        if known >= length:
            return
        missing = length - max(known, len(captured))
        data = captured[known:]
        self.position = start + length
        if self.lost:
            if known or not _looks_like_record(data):
                return
            self.lost, self._skip, self._head = False, 0, b""
        at = 0
        while at < len(data) and not self.broken:
            if self._skip:
                at = self._body_bytes(data, at, records)
            else:
                at = self._header_bytes(data, at, records)
        while missing and not self.broken:
            if not self._skip:
                self.lost = True
                break
            step = min(missing, self._skip)
            self._skip -= step
            missing -= step
            self._finish(records)

    def _header_bytes(self, data: bytes, at: int, records: list[tuple[int, int, bytes]]) -> int:
        need = _HEADER_BYTES - len(self._head)
        self._head += data[at : at + need]
        if len(self._head) == _HEADER_BYTES:
            kind, major, _, high, low = self._head
            length = high << 8 | low
            if kind & 0x80 and self._head[2] == _CLIENT_HELLO and major + 2 > _HEADER_BYTES:
                # The SSL 2.0 form of a ClientHello (RFC 5246 appendix E.2), two bytes of header.
                self._head = b""
                self._have, self._length = HANDSHAKE, ((kind & 0x7F) << 8 | major) - 3
                self._skip, self._body = self._length, bytes([_CLIENT_HELLO])
                return at + need
            is_record = major == 3 and CHANGE_CIPHER_SPEC <= kind <= APPLICATION_DATA + 1
            if not is_record or length > MAX_RECORD_BYTES:
                self.broken = True
            self._have, self._length, self._skip = kind, length, length
            self._body, self._head = b"", b""
            self._finish(records)
        return at + need

    def _body_bytes(self, data: bytes, at: int, records: list[tuple[int, int, bytes]]) -> int:
        step = min(self._skip, len(data) - at)
        if len(self._body) < _KEEP_BYTES:
            self._body += data[at : at + step]
        self._skip -= step
        self._finish(records)
        return at + step

    def _finish(self, records: list[tuple[int, int, bytes]]) -> None:
        if not self._skip and self._have and not self.broken:
            records.append((self._have, self._length, self._body))
            self._have = 0

    @property
    def indifferent_bytes(self) -> int:
        """How many further bytes in order cannot change anything: they are inside a record."""
        inside = self._have == APPLICATION_DATA and not self.lost and not self._pending
        return max(self._skip - 1, 0) if inside else 0

    def catch_up(self, position: int) -> None:
        """Take note of bytes in order that were not fed because they were indifferent."""
        step = position - self.position
        if step > 0:
            self.position = position
            self._skip -= step

    @property
    def record_open(self) -> bool:
        """Whether a record has begun and is not complete."""
        return bool(self._skip or self._head) and not self.lost


def _looks_like_record(data: bytes) -> bool:
    """Say whether a segment begins with a record header: one in a million does by chance."""
    if len(data) < _HEADER_BYTES:
        return False
    kind, major, minor, high, low = data[:_HEADER_BYTES]
    version_fits = major == 3 and minor <= 4
    return (
        version_fits
        and CHANGE_CIPHER_SPEC <= kind <= APPLICATION_DATA
        and 0 < (high << 8 | low) <= MAX_RECORD_BYTES
    )


class TlsProgress:
    """Follows the handshake of one connection.

    Attributes:
        version: Negotiated version by name, or ``""``.
        alert: Name of an alert that ended it, or ``""``.
        hello_bytes: Length of the ClientHello's record body, 0 while it was not seen whole.
        resumed: Whether the handshake was abbreviated; ``None`` before the ServerHello.
        application_up: Application data (or what TLS 1.3 makes look like it) from the client
            after its last handshake flight began.
        application_down: The same from the server, after it acknowledged that flight.
    """

    __slots__ = (
        "_certificate",
        "_client_ccs",
        "_client_flight_at",
        "_hello",
        "_server_ccs",
        "_server_hello",
        "alert",
        "application_down",
        "application_up",
        "client",
        "hello_bytes",
        "resumed",
        "server",
        "version",
    )

    def __init__(self, client_start: int, server_start: int) -> None:
        self.client = RecordStream(client_start)
        self.server = RecordStream(server_start)
        self.version = ""
        self.alert = ""
        self.resumed: bool | None = None
        self.application_up = False
        self.application_down = False
        self.hello_bytes = 0
        self._hello = False
        self._server_hello = False
        self._certificate = False
        self._client_flight_at: int | None = None
        self._client_ccs = False
        self._server_ccs = False

    @property
    def saw_hello(self) -> bool:
        """Whether the handshake's first message is in the capture."""
        return self._hello

    @property
    def done(self) -> bool:
        """Whether nothing further can be learned, so that segments need not be fed any more."""
        return (self.application_up and self.application_down) or (
            self.client.broken and self.server.broken
        )

    def from_client(self, start: int, length: int, captured: bytes, acked: int) -> None:
        """Take a segment of the client; ``acked`` is what the server acknowledged before it."""
        stream = self.client
        if stream.broken:
            return
        before = stream.position
        for kind, size, body in stream.take(start, length, captured):
            if kind == HANDSHAKE and not self._hello and body[:1] == bytes([_CLIENT_HELLO]):
                self._hello = True
                self.hello_bytes = size
            elif kind == ALERT:
                self._take_alert(size, body)
            elif self._server_hello or not self._hello:
                # Without any hello the capture began later: what comes is read all the same.
                self._client_record(kind, before, acked)
        # A flight that is larger than the segments seen so far has begun all the same.
        if self._server_hello and stream.record_open and self._client_flight_at is None:
            self._client_flight_at = before

    def _client_record(self, kind: int, before: int, acked: int) -> None:
        encrypts_all = self._may_be_13
        if kind == CHANGE_CIPHER_SPEC:
            self._client_ccs = True
            if encrypts_all:
                return  # a compatibility record, often sent early: it proves nothing
        if self._client_flight_at is None:
            self._client_flight_at = before
        elif kind == APPLICATION_DATA and (not encrypts_all or acked > self._client_flight_at):
            # TLS 1.3 sends its Certificate as application data too: only what follows the first
            # acknowledgement of that flight is something else.
            self.application_up = True

    def from_server(self, start: int, length: int, captured: bytes, acked: int) -> None:
        """Take a segment of the server; ``acked`` is what it acknowledges of the client."""
        stream = self.server
        if stream.broken:
            return
        heard = self._client_flight_at is not None and acked > self._client_flight_at
        for kind, size, body in stream.take(start, length, captured):
            if kind == HANDSHAKE and not self._server_ccs:
                self._server_handshake(body)
            elif kind == CHANGE_CIPHER_SPEC:
                self._server_ccs = True
                if not self._may_be_13 and not self._certificate:
                    self.resumed = True
            elif kind == ALERT:
                self._take_alert(size, body)
            elif kind == APPLICATION_DATA and heard:
                self.application_down = True
                if not self._hello:
                    self.application_up = True  # mid-stream: a record went up and was answered

    def _server_handshake(self, body: bytes) -> None:
        at = 0
        while at + 4 <= len(body):
            length = int.from_bytes(body[at + 1 : at + 4], "big")
            if body[at] == _SERVER_HELLO and body[at + 6 : at + 38] != _RETRY_RANDOM:
                hello = body[at + 4 : at + 4 + length]
                self._take_server_hello(hello, whole=len(hello) == length)
            elif body[at] == _CERTIFICATE:
                self._certificate = True
                self.resumed = False
            at += 4 + length

    def _take_server_hello(self, hello: bytes, *, whole: bool) -> None:
        self._server_hello = True
        if len(hello) < 35:
            return
        version = hello[0] << 8 | hello[1]
        extensions = _extensions(hello, 35 + hello[34] + 3)
        chosen = extensions.get(_EXT_SUPPORTED_VERSIONS, b"")
        if not chosen and not whole:
            return  # cut by the snaplen before it could say TLS 1.3
        if len(chosen) == 2:
            version = chosen[0] << 8 | chosen[1]
        self.version = VERSION_NAMES.get(version, f"0x{version:04x}")
        if version == _TLS13:
            self.resumed = _EXT_PRE_SHARED_KEY in extensions

    def _take_alert(self, size: int, body: bytes) -> None:
        if size != _CLEAR_ALERT_BYTES or len(body) < _CLEAR_ALERT_BYTES:
            if not (self.application_up or self.application_down or self._finished):
                self.alert = self.alert or "encrypted alert"
        elif body[1] != _CLOSE_NOTIFY:
            self.alert = self.alert or alert_name(body[1])

    @property
    def _finished(self) -> bool:
        """TLS 1.2 and older: both sides have switched to the new keys."""
        return not self._may_be_13 and self._client_ccs and self._server_ccs

    @property
    def _may_be_13(self) -> bool:
        """An unknown version (ServerHello cut by the snaplen) is taken for the secretive one."""
        return self.version in ("TLS 1.3", "")

    def stage(self) -> TlsStage:
        """Name the flight that was under way last; see :data:`TlsStage`.

        ``server-flight`` and ``client-flight`` also when only the tail of that flight was seen,
        behind a gap.
        ``established`` for TLS 1.3 needs a record of the server after the client's flight.
        """
        if self.alert:
            return "alert"
        if self.application_down or self._finished:
            return "established"
        return self._unfinished_stage() if self._hello else self._stage_without_hello()

    def _stage_without_hello(self) -> TlsStage:
        # A hello that is not whole is still a hello when it began as a TLS record.
        if self.client.record_open and not self.client.broken:
            return "client-hello"
        return "unknown" if self.client.ahead or self._client_flight_at is not None else "none"

    def _unfinished_stage(self) -> TlsStage:
        behind_gap = self._server_hello and self.client.ahead
        if self._client_flight_at is not None or behind_gap:
            return "client-flight"
        server = self.server
        if self._server_hello or server.ahead or server.record_open:
            return "server-flight"
        return "unknown" if server.broken or server.lost else "client-hello"


def _extensions(hello: bytes, at: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at += 2
    while at + 4 <= len(hello):
        code, length = hello[at] << 8 | hello[at + 1], hello[at + 2] << 8 | hello[at + 3]
        found[code] = hello[at + 4 : at + 4 + length]
        at += 4 + length
    return found
