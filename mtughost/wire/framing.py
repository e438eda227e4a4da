"""Frames for shell commands: which bytes are the answer to which command. Pure.

The script prints marker lines with a random nonce, on both output streams::

    <nonce> p 4711       process number of the shell, which leads its process group
    <nonce> b 0          begin of command 0
    ...output...
    <nonce> e 0 <exit>   end of command 0, with its exit code

The nonce stands in the script in two halves only, so that a command that prints the process list
does not print a marker. Each marker starts with a line end of its own, which makes the answer exact
even where a command's last line has none.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

_HALF_BYTES = 8
_MARKER = re.compile(rb" ([pbe]) (\d{1,10})(?: (\d{1,3}))?\Z")
_MAX_MARKER_BYTES = 64


@dataclass(frozen=True, slots=True)
class Nonce:
    """A random word that no command can know."""

    first: str
    second: str

    @classmethod
    def fresh(cls) -> Nonce:
        """Return a new one, 128 random bits."""
        return cls(secrets.token_hex(_HALF_BYTES), secrets.token_hex(_HALF_BYTES))

    @property
    def word(self) -> bytes:
        """The whole nonce, as it is printed."""
        return (self.first + self.second).encode("ascii")


def quoted(text: str) -> str:
    """Return ``text`` as one word for a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def build_script(lines: Sequence[str], nonce: Nonce, prep: Sequence[str] = ()) -> str:
    """Return a POSIX script that runs ``lines`` one after the other inside markers.

    Each line runs by ``eval`` in a subshell of its own: a syntax error, an ``exit`` or a changed
    variable stays there. Standard input is empty. Works in dash, bash and busybox ash.
    """
    parts = [
        f"_mg_a={nonce.first} _mg_b={nonce.second}",
        "_mg_n=$_mg_a$_mg_b",
        # One write per stream and boundary: every write becomes a packet and a wake-up here.
        '_mg_m() { echo "$1" >&2; echo "$1"; }',
        *prep,
    ]
    before = "\n$_mg_n p $$\n"
    for index, line in enumerate(lines):
        parts.append(f'_mg_m "{before}\n$_mg_n b {index}"')
        parts.append(f"(eval {quoted(line)}) </dev/null")
        before = f"\n$_mg_n e {index} $?\n"
    parts.append(f'_mg_m "{before.rstrip()}"')
    return "\n".join(parts) + "\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """The output of one command on one stream.

    Attributes:
        index: Number of the command in its script.
        data: Everything between the markers, byte for byte.
        exit_code: What the shell reported.
    """

    index: int
    data: bytes
    exit_code: int


class FrameReader:
    """Cuts one output stream into frames, strictly in order.

    Attributes:
        frames: Complete frames so far.
        noise: What came before the first marker (profile scripts, a forced command).
        begun: How many commands have begun.
        pid: Process number of the shell, or ``None`` while it is not known.
        broken: Whether a marker came that should not have: nothing after it can be trusted.
    """

    def __init__(self, nonce: Nonce, count: int) -> None:
        self._word = b"\n" + nonce.word
        self._count = count
        self._buffer = bytearray()
        self._searched = 0
        self._is_open = False
        self.frames: list[Frame] = []
        self.noise = b""
        self.begun = 0
        self.pid: int | None = None
        self.broken = False

    @property
    def done(self) -> bool:
        """Whether every command has ended."""
        return len(self.frames) == self._count

    @property
    def open_bytes(self) -> int:
        """Bytes that wait for the next marker."""
        return len(self._buffer)

    @property
    def is_open(self) -> bool:
        """Whether a command has begun and not ended."""
        return self._is_open

    def partial(self) -> bytes:
        """Return what came of the command that has not ended."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take what came next."""
        self._buffer += data
        while not self.broken and not self.done:
            at = self._buffer.find(self._word, self._searched)
            if at < 0:
                self._searched = max(0, len(self._buffer) - len(self._word))
                return
            after = at + len(self._word)
            end = self._buffer.find(b"\n", after, after + _MAX_MARKER_BYTES)
            if end < 0:
                self._searched = at
                self.broken = len(self._buffer) - after >= _MAX_MARKER_BYTES
                return
            self._take(bytes(self._buffer[:at]), bytes(self._buffer[after:end]).rstrip(b"\r"))
            del self._buffer[: end + 1]
            self._searched = 0

    def _take(self, before: bytes, marker: bytes) -> None:
        match = _MARKER.match(marker)
        kind, number, code = match.groups() if match is not None else (b"", b"0", None)
        is_next = int(number) == len(self.frames)
        if self.pid is None and kind == b"p":
            self.noise, self.pid = before, int(number)
        elif self.pid is not None and kind == b"b" and is_next and not self._is_open:
            self._is_open = True
            self.begun += 1
        elif kind == b"e" and is_next and self._is_open and code is not None:
            self._is_open = False
            self.frames.append(Frame(len(self.frames), before, int(code)))
        else:
            self.broken = True
