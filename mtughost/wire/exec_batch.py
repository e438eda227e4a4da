"""One exec channel for a batch of shell commands: run it, cut it, say how each command ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paramiko

from mtughost.model.session import Answer, AnswerStatus, Clock, RenderedCommand
from mtughost.wire.framing import Frame, FrameReader, Nonce, build_script
from mtughost.wire.profile import DriverProfile, WirePolicy
from mtughost.wire.reading import ChannelReader
from mtughost.wire.text import excerpt, to_text

_STDERR_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a batch ended before its last command did."""

    status: AnswerStatus
    error: str


class ExecBatch:
    """The commands of one script and what came back of them.

    Attributes:
        script: What the device's shell is to run.
        abandoned_pid: Leader of a process group that still runs and that nobody waits for any
            more, or ``None``.
        no_shell: Why not even the first marker came back, or ``None``.
    """

    def __init__(
        self,
        commands: Sequence[RenderedCommand],
        *,
        profile: DriverProfile,
        policy: WirePolicy,
        clock: Clock,
    ) -> None:
        self._commands = tuple(commands)
        self._policy = policy
        self._clock = clock
        nonce = Nonce.fresh()
        self.script = build_script([c.line for c in commands], nonce, profile.prep_lines)
        self._out = FrameReader(nonce, len(self._commands))
        self._err = FrameReader(nonce, len(self._commands))
        self._began: list[tuple[str, float]] = []
        self._ended_s: list[float] = []
        self.abandoned_pid: int | None = None
        self.no_shell: Fault | None = None
        self._is_connected: Callable[[], bool] = lambda: True

    def run(self, channel: paramiko.Channel) -> tuple[Answer | None, ...]:
        """Read the answers of a script that was just started in ``channel``; closes it.

        Returns:
            One entry per command; ``None`` stands for commands that never began.
        """
        reader = ChannelReader(channel)
        self._is_connected = channel.get_transport().is_active
        try:
            fault = self._read(reader)
            if fault is None:
                self._read_rest_of_stderr(reader)
            elif not reader.at_end:
                # Closing alone would leave the command running: there is no terminal to hang up.
                self.abandoned_pid = self._out.pid
            if not self._out.begun:
                self.no_shell = fault
        finally:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.close()
        return self._answers(fault)

    def _read(self, reader: ChannelReader) -> Fault | None:
        deadline_s = time.monotonic() + self._policy.channel_timeout_s
        while True:
            out, err = reader.read(deadline_s)
            seen = len(self._out.frames), self._out.begun
            self._out.feed(out)
            self._err.feed(err)
            if self._out.done:
                self._note_times()
                return None
            if (len(self._out.frames), self._out.begun) != seen:
                self._note_times()
                deadline_s = time.monotonic() + self._patience_s()
            fault = self._fault(reader, deadline_s, nothing_came=not (out or err))
            if fault is not None:
                return fault

    def _patience_s(self) -> float:
        if self._out.is_open:
            return self._commands[len(self._out.frames)].timeout_s
        return self._policy.channel_timeout_s

    def _note_times(self) -> None:
        now = self._clock.monotonic_s()
        while len(self._began) < self._out.begun:
            self._began.append((self._clock.utc_now(), now))
        while len(self._ended_s) < len(self._out.frames):
            self._ended_s.append(now)

    def _fault(
        self, reader: ChannelReader, deadline_s: float, *, nothing_came: bool
    ) -> Fault | None:
        command = self._commands[min(len(self._out.frames), len(self._commands) - 1)]
        if self._out.broken:
            return Fault("desync", "a marker came out of order, so the answer cannot be trusted")
        if self._out.open_bytes + self._err.open_bytes > command.max_bytes:
            return Fault("output-limit", f"more than {command.max_bytes} bytes of output")
        if nothing_came and reader.at_end:
            return self._end_fault()
        if time.monotonic() >= deadline_s:
            if not self._out.begun:
                return Fault("timeout", "the shell did not begin within its deadline")
            return Fault("timeout", f"no end of the answer within {command.timeout_s:g} s")
        return None

    def _end_fault(self) -> Fault:
        if self._out.begun:
            return Fault("eof", "the device closed the channel before the end of the answer")
        if not self._is_connected():
            return Fault("eof", "the device closed the connection before the first answer")
        words = excerpt(to_text(self._out.partial() + b" " + self._err.partial()))
        said = f"; it said {words!r}" if words else ""
        return Fault("desync", f"no marker came back: this does not look like a shell{said}")

    def _read_rest_of_stderr(self, reader: ChannelReader) -> None:
        """The two streams are not ordered against each other: wait for the second one's end."""
        deadline_s = time.monotonic() + _STDERR_GRACE_S
        while not (self._err.done or self._err.broken):
            _out, err = reader.read(deadline_s)
            self._err.feed(err)
            if not err and (reader.at_end or time.monotonic() >= deadline_s):
                return

    def _answers(self, fault: Fault | None) -> tuple[Answer | None, ...]:
        errors = {frame.index: frame.data for frame in self._err.frames}
        answers: list[Answer | None] = [
            self._complete(frame, errors.get(frame.index, b"")) for frame in self._out.frames
        ]
        if fault is not None:
            answers += self._unfinished(fault, len(answers))
        return tuple(answers)

    def _unfinished(self, fault: Fault, index: int) -> list[Answer | None]:
        left = len(self._commands) - index
        if not self._out.begun:
            # Not a shell that answers: asking again would say the same.
            return [self._failed(i, fault) for i in range(index, len(self._commands))]
        return [self._failed(index, fault), *[None] * (left - 1)]

    def _complete(self, frame: Frame, err: bytes) -> Answer:
        command = self._commands[frame.index]
        began_utc, began_s = self._began[frame.index]
        stderr = to_text(err)
        if len(frame.data) + len(err) > command.max_bytes:
            return self._beyond_cap(frame, err)
        is_ok = frame.exit_code in command.ok_exit_codes
        words = excerpt(stderr or to_text(frame.data[-400:]))
        return Answer(
            command_id=command.command_id,
            line=command.line,
            text=to_text(frame.data),
            stderr=stderr,
            exit_code=frame.exit_code,
            status="complete" if is_ok else "rejected",
            error="" if is_ok else f"exit code {frame.exit_code}: {words}".rstrip(": "),
            started_utc=began_utc,
            duration_s=self._ended_s[frame.index] - began_s,
        )

    def _beyond_cap(self, frame: Frame, err: bytes) -> Answer:
        """An answer that ended, but only after the cap: it arrived in one piece."""
        command = self._commands[frame.index]
        began_utc, began_s = self._began[frame.index]
        return Answer(
            command_id=command.command_id,
            line=command.line,
            text=to_text(frame.data[: command.max_bytes]),
            stderr=to_text(err[: command.max_bytes]),
            status="output-limit",
            error=f"more than {command.max_bytes} bytes of output",
            started_utc=began_utc,
            duration_s=self._ended_s[frame.index] - began_s,
        )

    def _failed(self, index: int, fault: Fault) -> Answer:
        command = self._commands[index]
        has_begun = index < len(self._began)
        began_utc, began_s = self._began[index] if has_begun else (self._clock.utc_now(), 0.0)
        limit = command.max_bytes
        return Answer(
            command_id=command.command_id,
            line=command.line,
            text=to_text(self._out.partial()[:limit]) if has_begun else "",
            stderr=to_text(self._err.partial()[:limit]) if has_begun else "",
            status=fault.status,
            error=fault.error,
            started_utc=began_utc,
            duration_s=self._clock.monotonic_s() - began_s if has_begun else 0.0,
        )
