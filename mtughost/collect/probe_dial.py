"""How one connection of the service probe is made: through the device's SSH server, or its shell.

Either way the TCP is the device's own. Its MSS and DF can be neither set nor chosen; where the book
knows how, the device's socket is *read* while it is open, so that a size is known and not assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mtughost.collect.hello import REPLY_BYTES, Reply, client_hello, parse_reply
from mtughost.content.book import Book
from mtughost.content.render import render_command
from mtughost.model.evidence import ProbeOutcome
from mtughost.model.inventory import Service
from mtughost.model.session import Answer, Clock, Session, TcpRefusedError, TcpStream

#: A SYN and two retransmissions (1 s and 3 s after it) of any stack.
CONNECT_S = 4.0

_MISSING_PROGRAM = 127
_CHUNK_BYTES = 16
_MAX_CHUNKS = 16
_HEX_LINE = re.compile(r"\s*[0-9a-f]{2}(?: [0-9a-f]{2})*\s*")
#: What ``ss -tin`` prints: a heading, one line per socket, and its figures behind a tab.
_SOCKET_LINE = re.compile(r"State\s+Recv-Q|(?:[A-Z]+-?[A-Z0-9-]*)\s+\d+\s+\d+\s+\S+:\d+\s|\t")
_REFUSED = re.compile(r"refused", re.IGNORECASE)
_COMPLAINTS: tuple[tuple[re.Pattern[str], ProbeOutcome], ...] = (
    (_REFUSED, "refused"),
    (re.compile(r"reset by peer", re.IGNORECASE), "reset"),
    (
        re.compile(r"unreachable|no route|timed out|not known|resolv", re.IGNORECASE),
        "unreachable",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketState:
    """What the device's kernel says of the probe's own socket.

    Attributes:
        send_mss_bytes: Largest payload it sends in one segment; TCP options are taken off.
        advertised_mss_bytes: MSS that it announced; Linux takes the 12 bytes of TCP timestamps off
            once they are agreed (``tcp_rcv_synsent_state_process``).
        timestamps: Whether TCP timestamps are on; ``None`` where ``ss`` does not print the flag.
        path_mtu_bytes: Path MTU that the kernel believes in.
        retransmits: Segments sent again so far.
    """

    send_mss_bytes: int
    advertised_mss_bytes: int | None
    timestamps: bool | None
    path_mtu_bytes: int | None
    retransmits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One connection and how it ended."""

    outcome: ProbeOutcome
    detail: str = ""
    duration_s: float = 0.0
    socket: SocketState | None = None


class Dialer(Protocol):
    """Makes one connection at a time."""

    @property
    def via(self) -> str:
        """``direct-tcpip`` or the name of the shell command."""

    def attempt(self, hello_bytes: int, wait_s: float) -> Attempt:
        """Send a hello of this length and wait for the first bytes of the answer.

        Raises:
            ForwardingRefusedError: the device's SSH server opens no connections.
            ProgramMissingError: the shell has not the program.
        """


class ProgramMissingError(Exception):
    """The program that a shell command needs is not on the device."""


class ForwardDialer:
    """Through the device's own SSH server (``direct-tcpip``): nothing is installed or run there."""

    via = "direct-tcpip"

    def __init__(self, session: Session, book: Book, service: Service, clock: Clock) -> None:
        self._session = session
        self._book = book
        self._service = service
        self._clock = clock

    def attempt(self, hello_bytes: int, wait_s: float) -> Attempt:
        """See :class:`Dialer`."""
        service, clock = self._service, self._clock
        begun_s = clock.monotonic_s()
        try:
            stream = self._session.open_tcp(service.host, service.port, timeout_s=CONNECT_S)
        except TcpRefusedError as error:
            return self._ended(begun_s, not_connected(str(error)), str(error))
        try:
            # Counted from here: what the connection itself took is not the hello's.
            sent_s = clock.monotonic_s()
            stream.sendall(client_hello(hello_bytes, host=service.host))
            outcome, detail = self._wait(stream, sent_s + wait_s)
            duration_s = clock.monotonic_s() - begun_s
            socket = self._read_socket(hello_bytes)
        except OSError as error:
            return self._ended(begun_s, "reset", str(error) or type(error).__name__)
        finally:
            stream.close()
        return Attempt(outcome=outcome, detail=detail, duration_s=duration_s, socket=socket)

    def _ended(self, begun_s: float, outcome: ProbeOutcome, detail: str) -> Attempt:
        return Attempt(
            outcome=outcome, detail=detail, duration_s=self._clock.monotonic_s() - begun_s
        )

    def _wait(self, stream: TcpStream, deadline_s: float) -> tuple[ProbeOutcome, str]:
        data = b""
        while (left_s := deadline_s - self._clock.monotonic_s()) > 0:
            try:
                block = stream.recv(4096, left_s)
            except TimeoutError:
                break
            data += block
            reply = parse_reply(data)
            if reply.kind != "incomplete" or not block:
                return judged(reply)
        return "timeout", f"{len(data)} bytes came" if data else ""

    def _read_socket(self, hello_bytes: int) -> SocketState | None:
        command_id = self._book.probe.sockets if self._book.probe else None
        if command_id is None:
            return None
        answer = self._session.ask([render_command(self._book, command_id)])[0]
        if answer.status != "complete":
            return None
        return socket_state(answer.text, self._service.port, hello_bytes)


class ShellDialer:
    """By a command of the book in the device's shell, where forwarding is off."""

    def __init__(
        self, session: Session, book: Book, service: Service, clock: Clock, *, command_id: str
    ) -> None:
        self.via = command_id
        self._session = session
        self._book = book
        self._service = service
        self._clock = clock

    def attempt(self, hello_bytes: int, wait_s: float) -> Attempt:
        """See :class:`Dialer`."""
        values = shell_values(self._service, hello_bytes, wait_s)
        command = render_command(self._book, self.via, values)
        begun_s = self._clock.monotonic_s()
        answer = self._session.ask([command])[0]
        duration_s = self._clock.monotonic_s() - begun_s
        if answer.exit_code == _MISSING_PROGRAM:
            raise ProgramMissingError(self.via)
        outcome, detail = shell_outcome(answer)
        socket = socket_state(answer.text, self._service.port, hello_bytes)
        return Attempt(outcome=outcome, detail=detail, duration_s=duration_s, socket=socket)


def judged(reply: Reply) -> tuple[ProbeOutcome, str]:
    """Turn the first bytes of an answer that is over, or long enough, into an outcome."""
    if reply.kind == "server-hello":
        return "reply", ""
    if reply.kind == "alert":
        return "alert", reply.detail
    return "closed", reply.detail or "the connection was closed without an answer"


def not_connected(words: str) -> ProbeOutcome:
    """Say whether a connection was refused or never came about, from the device's words."""
    return "refused" if _REFUSED.search(words) else "unreachable"


def shell_values(service: Service, hello_bytes: int, wait_s: float) -> Mapping[str, object]:
    """Return the values of a shell command: the hello's fixed part in octal, then a count of zeros.

    ``x`` stands for the backslash, which a typed value may not hold.
    """
    fixed = client_hello(hello_bytes, host=service.host).rstrip(b"\0")
    if len(fixed) > _CHUNK_BYTES * _MAX_CHUNKS:
        fixed = client_hello(hello_bytes).rstrip(b"\0")  # a long name would not fit
    words = [
        "".join(f"x{byte:03o}" for byte in fixed[at : at + _CHUNK_BYTES])
        for at in range(0, len(fixed), _CHUNK_BYTES)
    ]
    return {
        "host": service.host,
        "port": service.port,
        "hello": words,
        "zeros": hello_bytes - len(fixed),
        "wait_s": max(1, round(wait_s + 0.5)),
    }


def shell_outcome(answer: Answer) -> tuple[ProbeOutcome, str]:
    """Read the answer of a shell command: hex bytes of the reply, or the program's complaint."""
    if answer.status != "complete":
        return "timeout", answer.error
    lines = [line for line in answer.text.splitlines() if not _SOCKET_LINE.match(line)]
    data = b"".join(bytes.fromhex(line) for line in lines if _HEX_LINE.fullmatch(line))
    if data:
        reply = parse_reply(data)
        if reply.kind == "incomplete" and len(data) < REPLY_BYTES:
            return "closed", "the connection was closed within the first bytes"
        return judged(reply)
    words = " ".join([*lines, *answer.stderr.splitlines()])
    return _complaint(words), words


def _complaint(words: str) -> ProbeOutcome:
    """Read a shell program's own words; none at all means that it waited in vain."""
    for pattern, outcome in _COMPLAINTS:
        if pattern.search(words):
            return outcome
    return "timeout"


def socket_state(text: str, port: int, hello_bytes: int) -> SocketState | None:
    """Find the probe's socket in the output of ``ss -tin`` by how much it has sent.

    Other programs on the device may have connections to the same service; only the probe's socket
    has sent exactly ``hello_bytes`` of payload (retransmissions apart).
    """
    for socket in re.split(r"\n(?=\S)", text):
        if not re.search(rf":{port}\s", socket):
            continue
        sent, again = _number("bytes_sent", socket), _number("bytes_retrans", socket)
        mss = _number("mss", socket)
        if mss is None or sent is None or sent - (again or 0) != hello_bytes:
            continue
        retransmits = re.search(r"\bretrans:\d+/(\d+)", socket)
        return SocketState(
            send_mss_bytes=mss,
            advertised_mss_bytes=_number("advmss", socket),
            timestamps=True if re.search(r"\sts\s", socket) else None,
            path_mtu_bytes=_number("pmtu", socket),
            retransmits=int(retransmits[1]) if retransmits else 0,
        )
    return None


def _number(name: str, text: str) -> int | None:
    match = re.search(rf"(?:^|\s){name}:(\d+)", text)
    return int(match[1]) if match else None
