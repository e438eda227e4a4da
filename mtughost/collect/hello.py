"""A TLS ClientHello of an exact length, and what a TLS server's first bytes say.

The hello offers TLS 1.3 and 1.2 with the cipher suites, groups and signature algorithms of a common
client, so that a real server answers it. It is padded by extension 21 (RFC 7685) to the wanted
length: exactly one, because a second one is an ``illegal_parameter`` to OpenSSL. Nothing is ever
completed with it: no key is kept, no certificate is needed, the connection is closed afterwards.
"""

from __future__ import annotations

import ipaddress
import os
import struct
from dataclasses import dataclass
from typing import Literal

from mtughost.model.tls_names import ALERT, HANDSHAKE, MAX_RECORD_BYTES, alert_name

_RANDOM_BYTES = 32
_SUITES = (
    0x1301,  # TLS_AES_128_GCM_SHA256
    0x1302,  # TLS_AES_256_GCM_SHA384
    0x1303,  # TLS_CHACHA20_POLY1305_SHA256
    0xC02B,  # ECDHE-ECDSA-AES128-GCM-SHA256
    0xC02F,  # ECDHE-RSA-AES128-GCM-SHA256
    0xC02C,  # ECDHE-ECDSA-AES256-GCM-SHA384
    0xC030,  # ECDHE-RSA-AES256-GCM-SHA384
    0xC013,  # ECDHE-RSA-AES128-SHA
    0x009C,  # AES128-GCM-SHA256, for RADIUS servers without ECDHE
    0x002F,  # AES128-SHA
)
_GROUPS = (0x001D, 0x0017, 0x0018)  # x25519, secp256r1, secp384r1
_SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201)
_VERSIONS = (0x0304, 0x0303)
_X25519 = 0x001D

_EXT_NAME, _EXT_GROUPS, _EXT_POINTS, _EXT_SIGNATURES = 0, 10, 11, 13
_EXT_PADDING, _EXT_MASTER_SECRET, _EXT_VERSIONS = 21, 23, 43
_EXT_PSK_MODES, _EXT_KEY_SHARE, _EXT_RENEGOTIATION = 45, 51, 0xFF01

_RECORD_HEADER_BYTES = 5
_HANDSHAKE_HEADER_BYTES = 4
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
#: A record body holds at most 2^14 bytes in clear (RFC 8446 section 5.1).
MAX_HELLO_BYTES = _RECORD_HEADER_BYTES + (1 << 14)


def _vector(data: bytes, length_bytes: int) -> bytes:
    return len(data).to_bytes(length_bytes, "big") + data


def _numbers(values: tuple[int, ...]) -> bytes:
    return b"".join(struct.pack("!H", value) for value in values)


def _extension(code: int, body: bytes) -> bytes:
    return struct.pack("!H", code) + _vector(body, 2)


def server_name(host: str) -> str:
    """Return the name for SNI, or ``""`` for an address (RFC 6066 section 3 forbids those)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.rstrip(".")
    return ""


def _extensions(name: str, key_share: bytes) -> bytes:
    parts = []
    if name:
        entry = b"\x00" + _vector(name.encode("ascii"), 2)
        parts.append(_extension(_EXT_NAME, _vector(entry, 2)))
    parts += [
        _extension(_EXT_MASTER_SECRET, b""),
        _extension(_EXT_RENEGOTIATION, b"\x00"),
        _extension(_EXT_GROUPS, _vector(_numbers(_GROUPS), 2)),
        _extension(_EXT_POINTS, b"\x01\x00"),
        _extension(_EXT_SIGNATURES, _vector(_numbers(_SIGNATURES), 2)),
        _extension(_EXT_VERSIONS, _vector(_numbers(_VERSIONS), 1)),
        _extension(_EXT_PSK_MODES, b"\x01\x01"),
        _extension(_EXT_KEY_SHARE, _vector(struct.pack("!H", _X25519) + _vector(key_share, 2), 2)),
    ]
    return b"".join(parts)


def client_hello(total_bytes: int, *, host: str = "", entropy: bytes | None = None) -> bytes:
    """Build a ClientHello whose whole TLS record is ``total_bytes`` long.

    Args:
        total_bytes: Wanted length, record header included; from :func:`smallest_hello` up to
            :data:`MAX_HELLO_BYTES`.
        host: The server; a name goes into SNI, an address does not.
        entropy: 96 bytes for the random, the session id and the key share; fresh by default.

    Raises:
        ValueError: the length cannot be reached.
    """
    entropy = os.urandom(3 * _RANDOM_BYTES) if entropy is None else entropy
    if len(entropy) != 3 * _RANDOM_BYTES:
        raise ValueError("entropy must be 96 bytes")
    random, session, key_share = (
        entropy[at : at + _RANDOM_BYTES] for at in range(0, len(entropy), _RANDOM_BYTES)
    )
    extensions = _extensions(server_name(host), key_share)
    bare = _hello(random, session, extensions + _extension(_EXT_PADDING, b""))
    padding = total_bytes - len(bare)
    if padding < 0 or total_bytes > MAX_HELLO_BYTES:
        raise ValueError(
            f"a ClientHello has {len(bare)} to {MAX_HELLO_BYTES} bytes, not {total_bytes}"
        )
    # Last, so that everything after the fixed part is zero bytes: a shell can add those itself.
    return _hello(random, session, extensions + _extension(_EXT_PADDING, bytes(padding)))


def _hello(random: bytes, session: bytes, extensions: bytes) -> bytes:
    body = b"".join(
        (
            b"\x03\x03",
            random,
            _vector(session, 1),
            _vector(_numbers(_SUITES), 2),
            b"\x01\x00",
            _vector(extensions, 2),
        )
    )
    return b"\x16\x03\x01" + _vector(bytes([_CLIENT_HELLO]) + _vector(body, 3), 2)


def smallest_hello(host: str = "") -> int:
    """Return the length of the shortest ClientHello for ``host``."""
    extensions = _extensions(server_name(host), bytes(_RANDOM_BYTES))
    zeros = bytes(_RANDOM_BYTES)
    return len(_hello(zeros, zeros, extensions + _extension(_EXT_PADDING, b"")))


@dataclass(frozen=True, slots=True)
class Reply:
    """What the first bytes of a server are.

    Attributes:
        kind: ``server-hello``, ``alert``, ``incomplete`` (too few bytes to tell) or ``not-tls``.
        detail: The alert's name, or what came instead of TLS.
    """

    kind: Literal["server-hello", "alert", "incomplete", "not-tls"]
    detail: str = ""


#: Enough to tell a ServerHello from an alert: record header, then type or level and description.
REPLY_BYTES = _RECORD_HEADER_BYTES + 2


def parse_reply(data: bytes) -> Reply:
    """Say whether ``data`` begins as a TLS ServerHello or an alert. Only these count as a reply."""
    head = data[:_RECORD_HEADER_BYTES]
    if _cannot_be_tls(head):
        return Reply("not-tls", f"the far end answered without TLS: {data[:24]!r}")
    if len(data) < REPLY_BYTES:
        return Reply("incomplete")
    if head[0] == ALERT:
        return Reply("alert", alert_name(data[_RECORD_HEADER_BYTES + 1]))
    if data[_RECORD_HEADER_BYTES] != _SERVER_HELLO:
        return Reply("not-tls", f"the far end answered with another message: {data[:24]!r}")
    return Reply("server-hello")


def _cannot_be_tls(head: bytes) -> bool:
    """Judge as much of a record header as there is."""
    if head and head[0] not in (HANDSHAKE, ALERT):
        return True
    if len(head) > 1 and head[1] != 3:  # noqa: PLR2004 - SSL 3.0 and all TLS versions
        return True
    if len(head) < _RECORD_HEADER_BYTES:
        return False
    return not 2 <= int.from_bytes(head[3:5], "big") <= MAX_RECORD_BYTES  # noqa: PLR2004 - an alert's length
