"""What a session with a device offers: the seam between ``wire`` and everything above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mtughost.model.basis import CommandBasis, Risk

AnswerStatus = Literal[
    "complete", "timeout", "eof", "output-limit", "desync", "rejected", "not-sent"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedCommand:
    """One line that may be sent. Only ``content`` and tests make these.

    Attributes:
        command_id: Name of the entry in the task book.
        line: The exact line, without a line end.
        risk: Risk class from the task book.
        basis: What the task book's entry rests on.
        timeout_s: Monotonic deadline for the whole answer.
        max_bytes: Cap on the answer.
        ok_exit_codes: Exit codes that count as an answer (shell platforms only).
        mode: Mode of the command line whose prompt must follow the answer; ``""`` for the one
            that the login began in. Only lines of risk ``change`` name one.
    """

    command_id: str
    line: str
    risk: Risk
    basis: CommandBasis = "document"
    timeout_s: float = 20.0
    max_bytes: int = 4 * 1024 * 1024
    ok_exit_codes: tuple[int, ...] = (0,)
    mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    r"""What a device answered to one command.

    Attributes:
        command_id: Entry of the task book.
        line: The line that was sent.
        text: Output with line ends normalised to ``\n`` and the echo and prompt removed.
        exit_code: Exit code on shell platforms, otherwise ``None``.
        status: ``complete`` only when the end of the answer was seen. Anything else is kept
            as evidence and is never turned into a fact. ``not-sent`` follows a change that did
            not complete.
        error: One sentence for a status other than ``complete``.
        started_utc: ISO 8601 in UTC.
        duration_s: Monotonic.
        stderr: What a shell command wrote to its error stream; empty on command lines.
    """

    command_id: str
    line: str
    text: str
    exit_code: int | None = None
    status: AnswerStatus = "complete"
    error: str = ""
    started_utc: str = ""
    duration_s: float = 0.0
    stderr: str = ""


class TcpStream(Protocol):
    """A TCP connection opened *by the device* (SSH ``direct-tcpip``)."""

    def sendall(self, data: bytes) -> None:
        """Send all bytes."""

    def recv(self, max_bytes: int, timeout_s: float) -> bytes:
        """Return up to ``max_bytes``; ``b""`` at end of stream; ``TimeoutError`` on time-out."""

    def close(self) -> None:
        """Close the connection."""


class Session(Protocol):
    """An open login. Closing it is the caller's duty (``with contextlib.closing``)."""

    @property
    def host(self) -> str:
        """Inventory name of the device."""

    @property
    def small_mss_login(self) -> bool:
        """Whether the login only succeeded with a small MSS on our own socket."""

    def ask(self, commands: Sequence[RenderedCommand]) -> tuple[Answer, ...]:
        """Send commands and return one answer for each, in order.

        A command that times out, floods or is refused yields an ``Answer`` that says so. When the
        session itself is lost, the remaining answers have the status ``eof``.
        """

    def stream(
        self, command: RenderedCommand, *, seconds: float, stdin_close_ends: bool = True
    ) -> bytes:
        """Run a command that writes until it is ended, end it after ``seconds``, return its bytes.

        On a command line they are text. Nothing is left running on the device, even when the
        connection dies.
        """

    def open_tcp(self, host: str, port: int, *, timeout_s: float) -> TcpStream:
        """Let the device open a TCP connection.

        Raises:
            ForwardingRefusedError: forwarding is switched off on the device.
            TcpRefusedError: the far end refused or was unreachable, in the device's words.
        """

    def close(self) -> None:
        """End the login."""


class ForwardingRefusedError(Exception):
    """The device's SSH server does not open TCP connections for us (administratively)."""


class TcpRefusedError(Exception):
    """The device tried, and the far end refused or could not be reached."""


class Clock(Protocol):
    """Time as an argument, so that tests own it."""

    def utc_now(self) -> str:
        """Return wall time, ISO 8601 in UTC with seconds."""

    def monotonic_s(self) -> float:
        """Return a monotonic reading in seconds."""

    def boottime_s(self) -> float:
        """Return a monotonic reading that goes on while the machine sleeps."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
