"""Servers of the recorder: one per recording, each with one planted behaviour.

A far end notes how far a client came (its stage): that is the second witness beside the packets.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from world import ADDRESS, FOLDER

Behaviour = Callable[["FarEnd", socket.socket], None]
_HELD = threading.Event()  # never set: a silent server holds its connection until the end


@dataclass
class FarEnd:
    """One listener and what it noted."""

    port: int
    family: str
    behaviour: Behaviour
    tls: str = ""
    stages: list[str] = field(default_factory=list)
    error: str = ""

    def start(self) -> None:
        """Listen."""
        kind = socket.AF_INET6 if self.family == "ipv6" else socket.AF_INET
        listener = socket.create_server((ADDRESS[self.family], self.port), family=kind, backlog=64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def note(self, stage: str) -> None:
        """Remember how far a client came."""
        if stage not in self.stages:
            self.stages.append(stage)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            self.note("accepted")
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            try:
                self.behaviour(self, connection)
            except ssl.SSLError as error:
                self.error = error.reason or "EOF"

    def context(self, certificate: str, *, mutual: bool = False) -> ssl.SSLContext:
        """Return a server's context in this recording's TLS version."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(FOLDER / f"{certificate}.pem", FOLDER / f"{certificate}.key")
        if self.tls:
            version = ssl.TLSVersion.TLSv1_2 if self.tls == "1.2" else ssl.TLSVersion.TLSv1_3
            made.minimum_version = made.maximum_version = version
        if mutual:
            made.load_verify_locations(FOLDER / "ca.pem")
            made.verify_mode = ssl.CERT_REQUIRED
        return made


def reset(connection: socket.socket) -> None:
    """Close with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang_up(connection: socket.socket) -> None:
    """Close with FIN; what the client sends is read, so that no RST overtakes it."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(2)
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def silence(_connection: socket.socket) -> None:
    """Say nothing more."""
    _HELD.wait(60)


ENDS: dict[str, Callable[[socket.socket], None]] = {
    "reset": reset,
    "hang-up": hang_up,
    "silence": silence,
}


def raw(end: str, *, answer: bytes = b"", read_first: bool = True) -> Behaviour:
    """Read a ClientHello, perhaps answer with bytes of ours, then end."""

    def run(far: FarEnd, connection: socket.socket) -> None:
        if read_first:
            connection.recv(65536)
            far.note("hello")
        if answer:
            connection.sendall(answer)
        ENDS[end](connection)

    return run


def alert(description: int) -> Behaviour:
    """Answer a ClientHello with a fatal alert."""
    return raw("hang-up", answer=bytes((21, 3, 3, 0, 2, 2, description)))


def part_of_flight(share: float, end: str, certificate: str = "good") -> Behaviour:
    """Send only the first part of a real server flight, then end."""

    def run(far: FarEnd, connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        engine = far.context(certificate).wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(connection.recv(65536))
        far.note("hello")
        with contextlib.suppress(ssl.SSLWantReadError):
            engine.do_handshake()
        flight = outgoing.read()
        connection.sendall(flight[: max(6, int(len(flight) * share))])
        ENDS[end](connection)

    return run


def https(
    certificate: str = "good",
    *,
    mutual: bool = False,
    status: str = "200 OK",
    end: str = "",
    body: str = "ok",
) -> Behaviour:
    """Complete the handshake, read a request, then answer with a status or end without one."""

    def run(far: FarEnd, connection: socket.socket) -> None:
        with far.context(certificate, mutual=mutual).wrap_socket(
            connection, server_side=True
        ) as secure:
            far.note("handshake")
            if end.startswith("early-"):
                ENDS[end.removeprefix("early-")](secure)
                return
            if not secure.recv(65536):
                return
            far.note("request")
            if end in ENDS:
                ENDS[end](secure)
                return
            declared = len(body) + (900 if end else 0)
            head = f"HTTP/1.1 {status}\r\nContent-Length: {declared}\r\nConnection: close\r\n"
            if status.startswith("401"):
                head += 'WWW-Authenticate: Basic realm="push"\r\n'
            secure.sendall(f"{head}\r\n{body}".encode())
            far.note("answered")
            if end:
                ENDS[end.removeprefix("late-")](secure)
                return
            with contextlib.suppress(OSError):
                secure.unwrap()

    return run


def plain(words: bytes) -> Behaviour:
    """Speak something that is not TLS."""

    def run(far: FarEnd, connection: socket.socket) -> None:
        connection.recv(65536)
        far.note("hello")
        connection.sendall(words)
        hang_up(connection)

    return run
