"""A session with a Linux shell: exec channels with framed scripts, never a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import paramiko

from mtughost.model.errors import CommandRejectedError, DeviceError
from mtughost.model.session import Answer, AnswerStatus, Clock, RenderedCommand, TcpStream
from mtughost.wire.channels import (
    ChannelRefusedError,
    ForwardedTcp,
    open_direct_tcp,
    open_session_channel,
    start,
)
from mtughost.wire.exec_batch import ExecBatch, Fault
from mtughost.wire.login import Login
from mtughost.wire.profile import DriverProfile, WirePolicy
from mtughost.wire.streaming import stream_bytes

#: What framing adds to a line in the worst case, for the size of a script.
_FRAME_BYTES = 64
#: Commands in a row without an answer in time; then a device costs no further deadline.
STUCK_AFTER = 3
STUCK = f"not asked: {STUCK_AFTER} commands before it did not answer in time"


class ExecSession:
    """Implements :class:`mtughost.model.session.Session` for shells."""

    def __init__(
        self, login: Login, *, profile: DriverProfile, policy: WirePolicy, clock: Clock
    ) -> None:
        self._login = login
        self._profile = profile
        self._policy = policy
        self._clock = clock
        self._exec_refused = False
        self._lost = ""  # why nothing can be asked any more
        self._no_shell: Fault | None = None  # likewise: what runs there answers nothing
        self._is_closed = False

    @property
    def host(self) -> str:
        """Inventory name of the device."""
        return self._login.host

    @property
    def small_mss_login(self) -> bool:
        """Whether the login only succeeded with a small MSS on our own socket."""
        return self._login.small_mss

    def ask(self, commands: Sequence[RenderedCommand]) -> tuple[Answer, ...]:
        """Send commands and return one answer for each, in order.

        Passive commands travel together in one script. When one of them spoils it, those behind it
        never began and are asked again one at a time. Every other command has a script of its
        own, is sent at most once, and after a change that did not complete nothing follows.
        """
        answers: list[Answer] = []
        for group in _groups(commands, self._policy.max_script_bytes):
            if stopped := stop_reason(answers, commands):
                answers += [unsent(c, stopped, self._clock) for c in group]
                continue
            begun = [answer for answer in self._run(group) if answer is not None]
            answers += begun
            for command in group[len(begun) :]:
                if is_stuck(answers):
                    answers += self._all([command], "timeout", STUCK)
                else:
                    answers += [answer for answer in self._run([command]) if answer is not None]
        return tuple(answers)

    def _run(self, commands: Sequence[RenderedCommand]) -> tuple[Answer | None, ...]:
        if self._lost:
            return self._all(commands, "eof", self._lost)
        if self._no_shell:
            return self._all(commands, self._no_shell.status, self._no_shell.error)
        batch = ExecBatch(commands, profile=self._profile, policy=self._policy, clock=self._clock)
        try:
            channel = self._start(batch.script)
        except ChannelRefusedError as error:
            reason = f"the device starts neither an exec nor a shell channel: {error}"
            return self._all(commands, "rejected", reason)
        except DeviceError as error:
            self._lost = error.reason
            is_late = isinstance(error, TimeoutError)
            return self._all(commands, "timeout" if is_late else "eof", error.reason)
        answers = batch.run(channel)
        self._no_shell = batch.no_shell
        if batch.abandoned_pid is not None and commands[0].risk != "change":
            self._end_group(batch.abandoned_pid)
        return answers

    def _end_group(self, pid: int) -> None:
        """End what a script of ours left running, so that an audit leaves the device as it was.

        sshd makes the shell the leader of a new process group. Where a server does not, there is
        no such group and nothing happens. (The ``signal`` request of RFC 4254 would be the plain
        way, but OpenSSH refuses it for root.) A change is never ended half-way.
        """
        timeout_s = self._policy.channel_timeout_s
        line = f"kill -TERM -{pid}"
        try:
            channel = open_session_channel(self._login, timeout_s)
            with contextlib.closing(channel):
                start(self._login, channel, lambda: channel.exec_command(line.encode()), timeout_s)
                channel.status_event.wait(timeout_s)
        except ChannelRefusedError:
            return
        except DeviceError as error:
            self._lost = error.reason

    def _all(
        self, commands: Sequence[RenderedCommand], status: AnswerStatus, error: str
    ) -> tuple[Answer, ...]:
        return tuple(unsent(c, error, self._clock, status) for c in commands)

    def _start(self, script: str) -> paramiko.Channel:
        """Start a script by exec, or in a shell without a terminal where exec is refused."""
        timeout_s = self._policy.channel_timeout_s
        if not self._exec_refused:
            channel = open_session_channel(self._login, timeout_s)

            def run() -> None:
                if self._profile.script_on_stdin:
                    channel.exec_command(b"/bin/sh")
                    channel.sendall(script.encode())
                else:
                    channel.exec_command(script.encode())

            try:
                start(self._login, channel, run, timeout_s)
            except ChannelRefusedError:
                self._exec_refused = True
            else:
                channel.shutdown_write()
                return channel
        channel = open_session_channel(self._login, timeout_s)

        def type_into_shell() -> None:
            channel.invoke_shell()
            channel.sendall(script.encode() + b"exit\n")
            channel.shutdown_write()

        start(self._login, channel, type_into_shell, timeout_s)
        return channel

    def stream(
        self, command: RenderedCommand, *, seconds: float, stdin_close_ends: bool = True
    ) -> bytes:
        """Run a command that writes binary output, end it after ``seconds``, return its bytes.

        Args:
            command: One simple command (no pipe, no list): its process is the one that is ended.
            seconds: How long it may write.
            stdin_close_ends: Wrap it so that it ends when its input does: when we close it, and
                also when the connection dies. ``False`` for a command that sees to that itself,
                which a shell that reads its script from its input needs.

        Raises:
            CommandRejectedError: it ended by itself with an exit code that is none of the good.
            OutputLimitError: it wrote more than ``command.max_bytes``.
            DeviceUnreachableError: the connection broke, so the bytes are not whole.
            DeviceTimeoutError: it did not end when told to.
        """
        try:
            channel = open_session_channel(self._login, self._policy.channel_timeout_s)
            return stream_bytes(
                self._login,
                channel,
                command,
                seconds=seconds,
                stdin_close_ends=stdin_close_ends,
                policy=self._policy,
                script_on_stdin=self._profile.script_on_stdin,
            )
        except ChannelRefusedError as error:
            raise CommandRejectedError(
                self.host,
                f"the device starts no exec channel: {error}",
                command=command.line,
                answer=str(error),
            ) from error

    def open_tcp(self, host: str, port: int, *, timeout_s: float) -> TcpStream:
        """Let the device open a TCP connection.

        Raises:
            ForwardingRefusedError: forwarding is switched off on the device.
            TcpRefusedError: the far end refused or was unreachable, in the device's words.
            DeviceUnreachableError: the login is gone.
        """
        return ForwardedTcp(open_direct_tcp(self._login, host, port, timeout_s))

    def close(self) -> None:
        """End the login."""
        if not self._is_closed:
            self._is_closed = True
            self._login.close()


def unsent(
    command: RenderedCommand, error: str, clock: Clock, status: AnswerStatus = "not-sent"
) -> Answer:
    """Return the answer of a command to which there is none."""
    return Answer(
        command_id=command.command_id,
        line=command.line,
        text="",
        status=status,
        error=error,
        started_utc=clock.utc_now(),
    )


def stop_reason(answers: Sequence[Answer], commands: Sequence[RenderedCommand]) -> str:
    """Why nothing more may be sent: a change did not complete. ``""`` otherwise."""
    for answer, command in zip(answers, commands, strict=False):
        if command.risk == "change" and answer.status != "complete":
            return f"not sent, because this change before it did not complete: {command.line}"
    return ""


def is_stuck(answers: Sequence[Answer]) -> bool:
    """Say whether the device let the last few commands time out, one after the other."""
    last = [answer.status for answer in answers[-STUCK_AFTER:]]
    return last == ["timeout"] * STUCK_AFTER


def _groups(commands: Sequence[RenderedCommand], max_bytes: int) -> Iterator[list[RenderedCommand]]:
    """Cut a batch: passive commands together up to the size of a script, all others alone."""
    group: list[RenderedCommand] = []
    size = 0
    for command in commands:
        cost = len(command.line) + 3 * command.line.count("'") + _FRAME_BYTES
        fits = group and command.risk == group[0].risk == "passive" and size + cost <= max_bytes
        if group and not fits:
            yield group
            group, size = [], 0
        group.append(command)
        size += cost
    if group:
        yield group
