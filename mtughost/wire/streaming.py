"""A command that writes binary output for a while, such as tcpdump, and leaves nothing behind.

The device must end it even when the connection dies. So a watcher reads the command's real standard
input, which ends with the channel or the connection, and then ends the command (facts of the lab:
killing the SSH client alone leaves tcpdump running).
"""

from __future__ import annotations

import contextlib
import time

import paramiko

from mtughost.model.errors import (
    CommandRejectedError,
    DeviceTimeoutError,
    DeviceUnreachableError,
    OutputLimitError,
)
from mtughost.model.session import RenderedCommand
from mtughost.wire.channels import start
from mtughost.wire.login import Login
from mtughost.wire.profile import WirePolicy
from mtughost.wire.reading import ChannelReader
from mtughost.wire.text import excerpt, to_text
from mtughost.wire.tuning import send_signal

_MAX_STDERR_BYTES = 64 * 1024


def wrapped(line: str) -> str:
    """Return a script that runs one simple command and ends it when standard input ends.

    ``$!`` is the command itself because a simple command in the background needs no further
    shell. The watcher is ended with it, so that it never signals a process number used anew.
    """
    return (
        "exec 3<&0\n"
        f"{line} </dev/null 3<&- &\n"
        "_mg_p=$!\n"
        '{ cat <&3 >/dev/null; kill "$_mg_p"; } >/dev/null 2>&1 &\n'
        "_mg_w=$!\n"
        "exec 3<&-\n"
        'wait "$_mg_p"; _mg_r=$?\n'
        'kill "$_mg_w" 2>/dev/null\n'
        'exit "$_mg_r"\n'
    )


def stream_bytes(
    login: Login,
    channel: paramiko.Channel,
    command: RenderedCommand,
    *,
    seconds: float,
    stdin_close_ends: bool,
    policy: WirePolicy,
    script_on_stdin: bool = False,
) -> bytes:
    """Run ``command`` in a fresh channel; see ``ExecSession.stream``. Closes the channel."""
    script = wrapped(command.line) if stdin_close_ends else f"exec {command.line} </dev/null\n"

    def begin() -> None:
        channel.exec_command(b"/bin/sh" if script_on_stdin else script.encode())
        if script_on_stdin:
            channel.sendall(script.encode())

    run = _Run(login, channel, command, stdin_close_ends=stdin_close_ends)
    try:
        start(login, channel, begin, policy.channel_timeout_s)
        if not run.read_until(time.monotonic() + seconds):
            run.tell_to_end()
            if not run.read_until(time.monotonic() + policy.stream_end_s):
                raise DeviceTimeoutError(
                    login.host,
                    f"the command did not end within {policy.stream_end_s:g} s of being told to: "
                    f"{command.line}",
                )
        return run.result()
    finally:
        if not run.reader.at_end:
            send_signal(channel, "TERM")
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            channel.close()


class _Run:
    def __init__(
        self,
        login: Login,
        channel: paramiko.Channel,
        command: RenderedCommand,
        *,
        stdin_close_ends: bool,
    ) -> None:
        self._login = login
        self._channel = channel
        self._command = command
        self._ends_on_stdin = stdin_close_ends
        self._told = False
        self._out = bytearray()
        self._err = bytearray()
        self.reader = ChannelReader(channel)

    def read_until(self, deadline_s: float) -> bool:
        """Collect until a monotonic time; whether the command ended before it."""
        while time.monotonic() < deadline_s:
            out, err = self.reader.read(deadline_s)
            self._out += out
            self._err += err[: _MAX_STDERR_BYTES - len(self._err)]
            if len(self._out) > self._command.max_bytes:
                raise OutputLimitError(
                    self._login.host,
                    f"more than {self._command.max_bytes} bytes of output: {self._command.line}",
                    todo="Narrow the filter, shorten the time or raise the limit",
                )
            if not out and not err and self.reader.at_end:
                return True
        return False

    def tell_to_end(self) -> None:
        self._told = True
        if self._ends_on_stdin:
            self._channel.shutdown_write()
        else:
            send_signal(self._channel, "TERM")

    def result(self) -> bytes:
        """Return the bytes if the end was a proper one."""
        if not self._login.transport.is_active():
            raise DeviceUnreachableError(
                self._login.host, "the connection broke while output was streaming"
            )
        code = self._exit_code()
        if self._told or code in self._command.ok_exit_codes:
            return bytes(self._out)
        words = excerpt(to_text(bytes(self._err)))
        raise CommandRejectedError(
            self._login.host,
            f"the command ended by itself with exit code {code}: {words}",
            command=self._command.line,
            answer=words,
        )

    def _exit_code(self) -> int:
        # The exit status travels apart from the end of the stream, usually right beside it.
        if not self._channel.status_event.wait(1.0):
            return -1
        return self._channel.exit_status
