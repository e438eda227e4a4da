"""A session with a vendor's command line: every answer is tied to the command that it echoes."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace

import paramiko

from mtughost.model.errors import (
    CommandRejectedError,
    DeviceError,
    DeviceTimeoutError,
    DeviceUnreachableError,
    SessionDesyncError,
)
from mtughost.model.session import Answer, AnswerStatus, Clock, RenderedCommand, TcpStream
from mtughost.wire.channels import (
    ChannelRefusedError,
    ForwardedTcp,
    close_channel,
    open_direct_tcp,
    open_session_channel,
    start,
)
from mtughost.wire.cli_framing import (
    has_prompt,
    learn_prompt,
    pipelined_answers,
    prompt_stem,
    refusals_of,
    single_answer,
)
from mtughost.wire.cli_stream import refuse_endless, run_until_interrupted, streamed
from mtughost.wire.cli_talk import Talk, TalkError
from mtughost.wire.exec_session import stop_reason, unsent
from mtughost.wire.login import Login
from mtughost.wire.netmiko_lean import LeanConnection
from mtughost.wire.profile import DriverProfile, WirePolicy
from mtughost.wire.second_login import OpeningStep
from mtughost.wire.text import excerpt

_WIDTH, _HEIGHT = 511, 1000
_IN_DOUBT = "output came where none should, so the end of the answer is in doubt"


class CliSession:
    """Implements :class:`mtughost.model.session.Session` for command lines.

    Three ways of asking, from fast to careful. *Pipelined*: all lines in one write, accepted only
    if every prompt and echo is in place. *One at a time*: accepted if each next echo follows the
    prompt directly and the session is proven at rest in the end. *Fenced*: with silence waited for
    and rest proven after each command, for passive commands whose answer was in doubt.
    """

    def __init__(
        self,
        login: Login,
        *,
        profile: DriverProfile,
        policy: WirePolicy,
        clock: Clock,
        steps: Sequence[OpeningStep] = (),
    ) -> None:
        """Start a shell on a terminal and prepare it, or raise a ``DeviceError``."""
        self._login = login
        self._profile = profile
        self._policy = policy
        self._clock = clock
        self._is_closed = False
        self._is_broken = False
        self._modes = profile.modes
        self._prompts: dict[str, re.Pattern[str]] = {}
        first = {"exec": profile.above} if profile.above else {}
        self._above = {name: re.compile(above) for name, above in first.items()}
        self._mode = "exec"
        self._refusals = refusals_of(profile.error_patterns)
        self._connection = LeanConnection(
            host=login.host,
            netmiko_type=profile.netmiko_type,
            return_key=profile.return_key,
            ansi=profile.ansi,
        )
        self._talk = Talk(self._connection, profile=profile, policy=policy)
        self._steps = tuple(steps)
        try:
            self._prepare(self._shell_channel())
            self._learn_modes()
        except BaseException:
            self._connection.disconnect()
            raise

    @property
    def host(self) -> str:
        """Inventory name of the device."""
        return self._login.host

    @property
    def small_mss_login(self) -> bool:
        """Whether the login only succeeded with a small MSS on our own socket."""
        return self._login.small_mss

    @property
    def prompt(self) -> str:
        """The exact prompt of this session."""
        return str(self._connection.base_prompt)

    def ask(self, commands: Sequence[RenderedCommand]) -> tuple[Answer, ...]:
        """Send commands and return one answer for each, in order.

        Raises:
            CommandRejectedError: a line of a change on a login that was not opened for one, or
                for a mode that the task book does not declare. Nothing was sent.
        """
        for command in commands:
            self._refuse_change(command)
        are_passive = all(command.risk == "passive" for command in commands)
        if self._profile.pipeline_proven and are_passive and len(commands) > 1:
            answers = self._ask_pipelined(commands)
            if answers is not None:
                return answers
        answers = self._ask_one_by_one(commands)
        return tuple(
            self._ask_again(command, answer)
            for command, answer in zip(commands, answers, strict=True)
        )

    def _ask_again(self, command: RenderedCommand, answer: Answer) -> Answer:
        if command.risk != "passive" or answer.status != "desync" or self._is_broken:
            return answer
        again = self._ask_fenced(command)
        return answer if again.status == "eof" else again

    # -- opening -------------------------------------------------------------------------

    def _shell_channel(self) -> paramiko.Channel:
        timeout_s = self._policy.channel_timeout_s
        try:
            channel = open_session_channel(self._login, timeout_s)

            def begin() -> None:
                channel.get_pty(term="vt100", width=_WIDTH, height=_HEIGHT)
                channel.invoke_shell()

            start(self._login, channel, begin, timeout_s)
        except ChannelRefusedError as error:
            raise DeviceUnreachableError(
                self.host, f"the device starts no command line: {error}"
            ) from error
        return channel

    def _prepare(self, channel: paramiko.Channel) -> None:
        """Find the prompt, switch paging off alone and check its answer, then the other lines."""
        self._connection.attach(channel)
        looks = re.compile(self._profile.prompt)
        try:
            for step in self._steps:
                step(self._talk, self._connection)
            self._talk.until_prompt_like(looks)
            greeting = self._connection.text()
            line = self._profile.paging_off
            self._talk.type_first(line)
            first = self._learn(greeting, line, looks)
            self._check_preparation(line, first)
            for prep in self._profile.prep_lines:
                answer = self._talk.exchange(prep, timeout_s=self._policy.prompt_timeout_s)
                self._check_preparation(prep, single_answer(answer, self.prompt, prep))
        except TalkError as error:
            raise self._preparation_error(error) from error

    def _learn(self, greeting: str, line: str, looks: re.Pattern[str]) -> str | None:
        deadline_s = time.monotonic() + self._policy.prompt_timeout_s
        while True:
            answered = self._connection.text()
            if self._profile.ansi:  # it draws the prompt that stood there already once more
                answered = answered.removeprefix(greeting.rsplit("\n", maxsplit=1)[-1])
            prompt = learn_prompt(greeting + answered, line, looks)
            if prompt:
                self._connection.base_prompt = prompt
                return single_answer(answered, prompt, line)
            self._talk.more(deadline_s)

    def _check_preparation(self, line: str, answer: str | None) -> None:
        if answer is None:
            raise SessionDesyncError(
                self.host, f"the echo of {line!r} did not come back, so nothing can be trusted"
            )
        refusal = self._refusals.first(answer)
        if refusal:
            raise CommandRejectedError(
                self.host,
                f"the device refused to prepare the session with {line!r}: {excerpt(refusal)}",
                command=line,
                answer=excerpt(refusal),
                todo="Check paging and preparation in the task book, and the account's rights",
            )

    def _preparation_error(self, error: TalkError) -> DeviceError:
        if error.status == "eof":
            return DeviceUnreachableError(self.host, f"while preparing the session, {error}")
        return DeviceTimeoutError(
            self.host,
            f"no prompt that can be trusted: {error}",
            todo="Check the prompt pattern of the task book",
        )

    # -- modes ---------------------------------------------------------------------------

    def _learn_modes(self) -> None:
        """Tie the declared modes to this login's own prompt."""
        if not self._modes:
            return
        exec_mode = next(mode for mode in self._modes if mode.name == "exec")
        found = re.fullmatch(exec_mode.prompt, self.prompt)
        if found is None:
            raise CommandRejectedError(
                self.host,
                f"the login begins at {excerpt(self.prompt)!r}, where nothing can be changed",
                todo="Use an account that begins in the privileged mode, or give data.enable_ref",
            )
        stem = prompt_stem(found["stem"])
        for mode in self._modes:
            exact = mode is exec_mode
            pattern = re.escape(self.prompt) if exact else mode.prompt.replace("{stem}", stem)
            self._prompts[mode.name] = re.compile(pattern)
            if mode.above:
                self._above[mode.name] = re.compile(mode.above)

    def _refuse_change(self, command: RenderedCommand) -> None:
        if command.risk != "change" and not command.mode:
            return
        if self._modes and command.risk == "change" and (command.mode or "exec") in self._prompts:
            return
        raise CommandRejectedError(
            self.host,
            "this login was not opened for a change"
            if not self._modes
            else f"the line may not lead to the mode {command.mode!r}",
            command=command.line,
            todo="Nothing was sent",
        )

    # -- asking --------------------------------------------------------------------------

    def _ask_pipelined(self, commands: Sequence[RenderedCommand]) -> tuple[Answer, ...] | None:
        """Ask all at once; ``None`` where they must be asked again one at a time."""
        lines = [command.line for command in commands]
        began_utc, began_s = self._clock.utc_now(), self._clock.monotonic_s()
        try:
            text = self._talk.pipeline(commands)
        except TalkError as error:
            if error.status == "eof":
                return tuple(self._answer(c, "eof", str(error)) for c in commands)
            self._start_anew()
            return None
        texts = pipelined_answers(text, self.prompt, [*lines, ""])
        if texts is None:
            if not self._talk.drain():
                self._start_anew()
            return None
        duration_s = self._clock.monotonic_s() - began_s
        return tuple(
            self._accepted(command, answer, began_utc, duration_s)
            for command, answer in zip(commands, texts, strict=False)
        )

    def _ask_one_by_one(self, commands: Sequence[RenderedCommand]) -> tuple[Answer, ...]:
        answers: list[Answer] = []
        unproven: list[int] = []  # accepted, but rest has not been proven since
        for command in commands:
            reason = stop_reason(answers, commands) or self._broken_reason()
            if reason:
                answers.append(unsent(command, reason, self._clock))
                continue
            is_stray = self._talk.stray()
            answers.append(self._one(command))
            unproven.append(len(answers) - 1)
            if is_stray or answers[-1].status not in ("complete", "rejected"):
                # What came may belong to an earlier answer: none of them is certain.
                self._doubt(answers, unproven)
                self._talk.drain()
            elif command.risk != "passive":
                self._prove(answers, unproven)
        self._prove(answers, unproven)
        return tuple(answers)

    def _prove(self, answers: list[Answer], unproven: list[int]) -> None:
        """Accept the unproven answers for good if the device rests at its prompt."""
        asks = any(mode.asks for mode in self._modes if mode.name == self._mode)
        if unproven and not self._talk.at_rest(self._above.get(self._mode), asks=asks):
            self._doubt(answers, unproven)
        unproven.clear()

    def _ask_fenced(self, command: RenderedCommand) -> Answer:
        self._talk.drain()
        answers = [self._one(command, settle_s=2 * self._policy.settle_s)]
        if answers[0].status in ("complete", "rejected"):
            self._prove(answers, [0])
        return answers[0]

    def _one(self, command: RenderedCommand, *, settle_s: float = 0.0) -> Answer:
        began_utc, began_s = self._clock.utc_now(), self._clock.monotonic_s()
        mode = (command.mode or "exec") if command.risk == "change" else self._mode
        try:
            text = self._talk.exchange(
                command.line,
                timeout_s=command.timeout_s,
                max_bytes=command.max_bytes,
                settle_s=settle_s,
                to=self._prompts[mode] if command.risk == "change" else None,
            )
        except TalkError as error:
            answer = self._answer(command, error.status, str(error), text=error.text)
            if self._modes:
                # Never a fresh shell in the middle of a change: whoever asked starts over.
                self._is_broken = True
            elif error.status != "eof":
                self._start_anew()
            return answer
        return self._judged(command, text, mode, began_utc, began_s, settled=bool(settle_s))

    def _judged(
        self,
        command: RenderedCommand,
        text: str,
        mode: str,
        began_utc: str,
        began_s: float,
        *,
        settled: bool,
    ) -> Answer:
        arrived = not self._modes or self._prompts[mode].fullmatch(self.prompt) is not None
        self._mode = mode if arrived else self._mode
        said = single_answer(text, self.prompt, command.line)
        duration_s = self._clock.monotonic_s() - began_s
        if said is None:
            return self._answer(command, "desync", "the device did not echo the command", text=text)
        said = self._without_drawing(said)
        if not settled and has_prompt(said, self.prompt):
            return self._answer(
                command,
                "desync",
                "the answer contains the prompt, so its end is in doubt",
                text=said,
            )
        answer = self._accepted(command, said, began_utc, duration_s)
        if answer.status == "complete" and not arrived:
            self._is_broken = True
            why = f"the device stays at {excerpt(self.prompt)!r} instead of the mode {mode}"
            return replace(answer, status="desync", error=why)
        return answer

    def _without_drawing(self, said: str) -> str:
        """Take what the mode draws above its prompt off an answer."""
        above = self._above.get(self._mode)
        rows = said.rstrip("\n").split("\n")
        if above is None or not above.fullmatch(rows[-1]):
            return said
        rows = rows[:-1] if len(rows) == 1 or rows[-2] else rows[:-2]
        return "".join(f"{row}\n" for row in rows)

    def _broken_reason(self) -> str:
        return "the session is over after a line that did not complete" if self._is_broken else ""

    def _start_anew(self) -> None:
        """Leave a shell in an unknown state and open another; without one the session is over.

        The new one is opened first: some devices hang up when their only shell ends. Others allow
        one at a time.
        """
        old = self._connection.remote_conn
        try:
            try:
                new = self._shell_channel()
            except DeviceUnreachableError:
                close_channel(old)
                new = self._shell_channel()
            close_channel(old)
            self._prepare(new)
        except DeviceError:
            self._connection.base_prompt = ""

    def _doubt(self, answers: list[Answer], indexes: list[int]) -> None:
        for index in indexes:
            if answers[index].status in ("complete", "rejected"):
                answers[index] = replace(answers[index], status="desync", error=_IN_DOUBT)
        indexes.clear()

    def _accepted(
        self, command: RenderedCommand, text: str, began_utc: str, duration_s: float
    ) -> Answer:
        refusal = self._refusals.first(text)
        return Answer(
            command_id=command.command_id,
            line=command.line,
            text=text,
            status="rejected" if refusal else "complete",
            error=excerpt(refusal),
            started_utc=began_utc,
            duration_s=duration_s,
        )

    def _answer(
        self, command: RenderedCommand, status: AnswerStatus, error: str, *, text: str = ""
    ) -> Answer:
        return Answer(
            command_id=command.command_id,
            line=command.line,
            text=text,
            status=status,
            error=error,
            started_utc=self._clock.utc_now(),
        )

    # -- the rest of the protocol ---------------------------------------------------------

    def stream(
        self,
        command: RenderedCommand,
        *,
        seconds: float,
        stdin_close_ends: bool = True,  # noqa: ARG002  # the protocol's signature
    ) -> bytes:
        """Run a command that prints until it is interrupted; return its text.

        Where it does not end, the shell is closed: that ends it, too.

        Raises:
            DeviceError: it was refused, did not end, printed too much, or the connection broke.
        """
        if not self._profile.interrupt_key or self._modes:
            raise refuse_endless(self.host, command)
        key = self._profile.interrupt_key
        text = run_until_interrupted(self._talk, command, key, seconds, self.host)
        return streamed(self.host, command, text, self.prompt, self._refusals).encode()

    def open_tcp(self, host: str, port: int, *, timeout_s: float) -> TcpStream:
        """Let the device open a TCP connection; see ``ExecSession.open_tcp``."""
        return ForwardedTcp(open_direct_tcp(self._login, host, port, timeout_s))

    def close(self) -> None:
        """End the login."""
        if not self._is_closed:
            self._is_closed = True
            self._connection.disconnect()
            self._login.close()
