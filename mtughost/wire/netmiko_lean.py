"""The one netmiko subclass: blocking reads, no fixed sleeps, no byte written by itself.

Netmiko brings the vendors' line ends, ANSI codes and return keys. What it would do on its own is
replaced: it logs in with ``AutoAddPolicy`` unless told otherwise, sleeps in fixed steps, times its
loops with the wall clock, and writes to the device while it connects. The members below are
overridden; a contract test pins their signatures to the netmiko version in ``pyproject.toml``.
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

import paramiko
from netmiko.base_connection import BaseConnection
from netmiko.channel import SSHChannel
from netmiko.exceptions import ReadException, ReadTimeout

from mtughost.wire.cli_framing import at_rest
from mtughost.wire.reading import ChannelReader
from mtughost.wire.text import to_text, unpainted

#: Members of netmiko's BaseConnection that LeanConnection replaces, for the contract test.
OVERRIDDEN = (
    "establish_connection",
    "session_preparation",
    "_try_session_preparation",
    "read_channel",
    "read_until_pattern",
    "write_channel",
    "clear_buffer",
    "find_prompt",
    "set_base_prompt",
    "disconnect",
)
_TAIL_BYTES = 4096
#: Colours, cursor moves, erasures (ECMA-48 control sequences), and the short ones.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]{0,16}[ -/]{0,4}[@-~]|[()][0-9A-B]|[=>78EMZ])")
#: How a pager takes its stop back: the line is overwritten with blanks, or backspaced over.
_ERASED = re.compile(rb"(?<![^\r\n])[^\r\n]*\r {2,}\r(?!\n)|\x08{2,} {2,}\x08{2,}")

#: Readline brackets what is pasted (bash 5.1 and later, whatever the terminal); behind the off
#: switch stands a carriage return that ends no line.
_PASTE_SWITCH = re.compile(rb"\x1b\[\?2004(?:l\r?|h)")


class LeanConnection(BaseConnection):
    """A netmiko connection on a channel that was authenticated elsewhere.

    Attributes:
        raw: Bytes that came since the last :meth:`type_in`.
    """

    def __init__(self, *, host: str, netmiko_type: str, return_key: str, ansi: bool) -> None:
        super().__init__(
            host=host,
            device_type=netmiko_type,
            default_enter=return_key,
            ssh_strict=True,
            system_host_keys=False,
            use_keys=False,
            allow_agent=False,
            session_log=None,
            auto_connect=False,
        )
        self.ansi_escape_codes = ansi
        self.remote_conn_pre = None
        self.raw = bytearray()
        self._reader: ChannelReader | None = None
        self._has_pages = False

    def attach(self, channel: paramiko.Channel) -> None:
        """Use ``channel``, in which a shell was just started on a terminal."""
        self.remote_conn = channel
        self.channel = SSHChannel(conn=channel, encoding=self.encoding)
        self._reader = ChannelReader(channel)
        self.raw.clear()
        self.base_prompt = ""

    def type_in(self, text: str) -> None:
        """Forget what came before and write ``text``."""
        self.raw.clear()
        self._has_pages = False
        self.write_channel(text)

    def turn_page(self, key: str) -> None:
        """Take the pager's stop, which is the last line, out of what came, and press ``key``."""
        del self.raw[max(self.raw.rfind(b"\n"), self.raw.rfind(b"\r")) + 1 :]
        self._has_pages = True
        self.write_channel(key)

    def press(self, key: str) -> None:
        """Press one key and keep what came."""
        self.write_channel(key)

    def wait_more(self, deadline_s: float) -> int:
        """Wait until a monotonic time for more; how many bytes came.

        Raises:
            ReadException: the channel has ended and everything was read.
        """
        if self._reader is None:
            raise ReadException("not connected")
        out, err = self._reader.read(deadline_s)
        self.raw += out + err
        if not out and not err and self._reader.at_end:
            raise ReadException("the device closed the session")
        return len(out) + len(err)

    def text(self) -> str:
        """Return what came since the last :meth:`type_in`, as plain text.

        A terminal that draws its line anew also draws the prompt that stood there before.
        """
        text = self._plain(bytes(self.raw))
        return text.removeprefix(self.base_prompt) if self.ansi_escape_codes else text

    def tail(self) -> str:
        """Return the end of :meth:`text`, cheaply."""
        return self._plain(bytes(self.raw[-_TAIL_BYTES:]))

    def rests(self) -> bool:
        """Whether the last line is the learned prompt."""
        return bool(self.base_prompt) and at_rest(self.tail(), self.base_prompt)

    def _plain(self, raw: bytes) -> str:
        if b"\x1b[?2004" in raw:
            raw = _PASTE_SWITCH.sub(b"", raw)
        raw = _ERASED.sub(b"", raw) if self._has_pages else raw
        if not self.ansi_escape_codes:
            return to_text(raw)
        return unpainted(_ESCAPES.sub("", raw.decode("utf-8", "replace")))

    # -- netmiko's own members, so that its other methods neither sleep nor write ------------

    def establish_connection(self, width: int = 511, height: int = 1000) -> None:
        """Do nothing: :meth:`attach` was given a channel whose host key was checked."""

    def _try_session_preparation(self, force_data: bool = True) -> None:  # noqa: FBT001, FBT002  # netmiko's signature
        """Write nothing; the task book says what may be written."""

    def session_preparation(self) -> None:
        """Write nothing; the task book says what may be written."""

    def write_channel(self, out_data: str) -> None:
        """Write without netmiko's log, which would hold what is typed."""
        self.channel.write_channel(out_data)

    def read_channel(self) -> str:
        """Return what is there now, without waiting."""
        with contextlib.suppress(ReadException):
            self.wait_more(time.monotonic())
        text = self.text()
        self.raw.clear()
        return text

    def read_until_pattern(
        self,
        pattern: str = "",
        read_timeout: float = 10.0,
        re_flags: int = 0,
        max_loops: int | None = None,  # noqa: ARG002  # netmiko's signature
    ) -> str:
        """Block until ``pattern`` is found, on the monotonic clock.

        Raises:
            ReadTimeout: not found in time.
        """
        wanted = re.compile(pattern, re_flags)
        deadline_s = time.monotonic() + read_timeout
        while True:
            text = self.text()
            if wanted.search(text):
                self.raw.clear()
                return text
            if not self.wait_more(deadline_s):
                raise ReadTimeout(f"pattern not seen within {read_timeout:g} s")

    def clear_buffer(
        self,
        backoff: bool = True,  # noqa: ARG002, FBT001, FBT002  # netmiko's signature
        backoff_max: float = 3.0,  # noqa: ARG002
        delay_factor: float | None = None,  # noqa: ARG002
    ) -> str:
        """Return what is there now, without netmiko's sleeps."""
        return self.read_channel()

    def find_prompt(self, *_args: Any, **_kwargs: Any) -> str:
        """Return the prompt that was learned at the login, without typing anything."""
        return str(self.base_prompt)

    def set_base_prompt(self, *_args: Any, **_kwargs: Any) -> str:
        """Return the prompt that was learned at the login, without typing anything."""
        return str(self.base_prompt)

    def disconnect(self) -> None:
        """Close the channel; the login belongs to somebody else."""
        channel, self.remote_conn = self.remote_conn, None
        self._reader = None
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            if channel is not None:
                channel.close()
        super().disconnect()
