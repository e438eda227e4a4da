"""The cloud's HTTPS side: takes configuration pushes over mutual TLS and receipts over plain TLS.

Runs on the standard library alone: ``python -I https_server.py CONFIG.json`` with a list of
``{"address", "port", "certificate", "key", "client_ca"}``; an empty ``client_ca`` asks for no
client certificate. One thread per connection, so that a stuck client holds up nobody else.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, AF_INET6, socket
from socketserver import TCPServer
from typing import Any

#: Seconds after which a connection that says nothing is given up.
IDLE_S = 30.0


class Handler(BaseHTTPRequestHandler):
    """Answers every POST and GET with one line."""

    protocol_version = "HTTP/1.1"
    server_version = "lab-cloud"
    sys_version = ""
    timeout = IDLE_S

    def setup(self) -> None:
        """Do the TLS handshake in this connection's own thread."""
        self.request.settimeout(IDLE_S)
        self.request.do_handshake()
        super().setup()

    def do_POST(self) -> None:
        """Take a body and say how long it was."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(f"accepted {len(body)} bytes\n".encode())

    def do_GET(self) -> None:
        """Say that the service lives."""
        self._answer(b"ok\n")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


class Server(ThreadingHTTPServer):
    """One listener whose handshakes do not block its accept loop."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        super().__init__(address, Handler)
        self._context = context

    def server_bind(self) -> None:
        """Bind, without http.server's name lookup: there is no name server here to wait for."""
        TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket, Any]:
        """Accept and wrap, without handshake."""
        connection, peer = super().get_request()
        wrapped = self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, peer

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log one line; a client that gives up is what this lab is about."""
        print(f"{client_address}: {sys.exc_info()[1]!r}", flush=True)  # noqa: T201


def serve(config: list[dict[str, Any]]) -> None:
    """Serve every listener of ``config`` until killed."""
    threads = []
    for entry in config:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(entry["certificate"], entry["key"])
        if entry["client_ca"]:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(entry["client_ca"])
        server = Server((entry["address"], entry["port"]), context)
        threads.append(threading.Thread(target=server.serve_forever, daemon=True))
    for thread in threads:
        thread.start()
    print("serving", flush=True)  # noqa: T201
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    serve(json.loads(Path(sys.argv[1]).read_text()))
