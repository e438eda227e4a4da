"""A real TLS client whose segment size can be chosen, for measuring what a lab's path carries.

``python -I tls_client.py JSON`` with ``{"server", "port", "ca", "chain", "key",
"tls", "max_segment", "ask": "radius"|"http", "timeout_s"}``. Does a full mutual handshake and one
round trip, and prints ``{"ok", "error"}`` as JSON. It runs in a device's network namespace, so that
the device's kernel settings (DF, path MTU cache) apply to its socket.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import ssl
import struct
import sys
from typing import Any

#: Shared secret of RADIUS over TLS (RFC 6614 2.3).
SECRET = b"radsec"
ACCESS_REQUEST, ACCESS_ACCEPT = 1, 2


def access_request() -> bytes:
    """Return an Access-Request with User-Name, hidden User-Password, Message-Authenticator."""
    authenticator = os.urandom(16)
    digest = hashlib.md5(SECRET + authenticator, usedforsecurity=False).digest()
    password = bytes(a ^ b for a, b in zip(b"measure".ljust(16, b"\0"), digest, strict=True))
    attributes = b"\x01\x09measure" + b"\x02\x12" + password
    length = 20 + len(attributes) + 18
    head = struct.pack("!BBH", ACCESS_REQUEST, 7, length) + authenticator
    unsigned = head + attributes + b"\x50\x12" + bytes(16)
    return unsigned[:-16] + hmac.new(SECRET, unsigned, "md5").digest()


def run(wish: dict[str, Any]) -> dict[str, Any]:
    """Connect, shake hands, ask once; never raises for what a network can do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(wish["ca"])
    context.load_cert_chain(wish["chain"], wish["key"])
    version = ssl.TLSVersion.TLSv1_3 if wish["tls"] == "1.3" else ssl.TLSVersion.TLSv1_2
    context.minimum_version = context.maximum_version = version
    family = socket.AF_INET6 if ":" in wish["server"] else socket.AF_INET
    channel = socket.socket(family, socket.SOCK_STREAM)
    channel.settimeout(wish["timeout_s"])
    # A reset at the end: an orphan would go on retransmitting into the next capture.
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if wish["max_segment"]:
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, wish["max_segment"])
    try:
        channel.connect((wish["server"], wish["port"]))
        with context.wrap_socket(channel, server_hostname=wish["server"]) as secure:
            return {"ok": ask(secure, wish["ask"]), "error": ""}
    except OSError as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}
    finally:
        channel.close()


def ask(secure: ssl.SSLSocket, how: str) -> bool:
    """Return whether the application answered as it should."""
    if how == "radius":
        secure.sendall(access_request())
        return secure.recv(4096)[:1] == bytes([ACCESS_ACCEPT])
    secure.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
    return secure.recv(4096).startswith(b"HTTP/1.1 200")


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))  # noqa: T201 - its result
