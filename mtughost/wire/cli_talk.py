"""Typing and listening on a command line, with deadlines, caps and an eye on pagers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from netmiko.exceptions import ReadException

from mtughost.model.session import AnswerStatus, RenderedCommand
from mtughost.wire.deadline import WATCHDOG
from mtughost.wire.netmiko_lean import LeanConnection
from mtughost.wire.profile import DriverProfile, WirePolicy
from mtughost.wire.text import excerpt

_MAX_GREETING_BYTES = 1024 * 1024
_PROMPT_CHANGED_S = 1.0


class TalkError(Exception):
    """The conversation did not come to rest.

    Attributes:
        status: What becomes of the answer.
        text: What came so far.
    """

    def __init__(self, status: AnswerStatus, reason: str, text: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.text = text


class Talk:
    """One conversation on a :class:`LeanConnection`."""

    def __init__(
        self, connection: LeanConnection, *, profile: DriverProfile, policy: WirePolicy
    ) -> None:
        self._connection = connection
        self._return_key = profile.return_key
        self._pager_key = profile.pager_key
        self._policy = policy
        self._looks = re.compile(profile.prompt)
        self._pager = re.compile(profile.pager) if profile.pager else None

    def more(self, deadline_s: float) -> None:
        """Wait for more bytes.

        Raises:
            TalkError: the session ended, or the deadline passed.
        """
        try:
            came = self._connection.wait_more(deadline_s)
        except ReadException:
            raise TalkError(
                "eof", "the device closed the session", self._connection.text()
            ) from None
        if not came and time.monotonic() >= deadline_s:
            last = excerpt(self._connection.tail().split("\n")[-1])
            raise TalkError(
                "timeout",
                "no prompt came back in time" + (f"; the last line is {last!r}" if last else ""),
                self._connection.text(),
            )

    def until_prompt_like(self, looks: re.Pattern[str]) -> None:
        """Wait for the first line that looks like a prompt and stays the last one for a moment."""
        deadline_s = time.monotonic() + self._policy.prompt_timeout_s
        while True:
            last = self._connection.tail().split("\n")[-1]
            if looks.fullmatch(last) and not self._heard(self._policy.settle_s / 3):
                return
            if len(self._connection.raw) > _MAX_GREETING_BYTES:
                raise TalkError("output-limit", "the greeting does not end")
            if not looks.fullmatch(self._connection.tail().split("\n")[-1]):
                self.more(deadline_s)

    def exchange(
        self,
        line: str,
        *,
        timeout_s: float,
        max_bytes: int = 4 * 1024 * 1024,
        settle_s: float = 0.0,
        to: re.Pattern[str] | None = None,
    ) -> str:
        """Type one line and return everything up to the prompt at rest.

        Args:
            line: What is typed.
            timeout_s: For the whole answer.
            max_bytes: Cap on the answer.
            settle_s: Silence that must follow the prompt.
            to: Whole prompt of the mode that the line may lead to. From then on its exact text
                is the session's prompt.

        Raises:
            TalkError: no prompt, too much, a pager, another prompt, or the session ended.
        """
        self._type(line + self._return_key, timeout_s)
        deadline_s = time.monotonic() + timeout_s
        if to is not None:
            return self._until_mode(to, max_bytes, deadline_s)
        while True:
            if self._connection.rests() and not (settle_s and self._heard(settle_s)):
                return self._connection.text()
            self._refuse_oddities(max_bytes, deadline_s)
            if not self._connection.rests():
                self.more(deadline_s)

    def foreground(
        self, line: str, *, seconds: float, key: str, max_bytes: int
    ) -> tuple[str, bool]:
        """Run a command that goes on until it is interrupted.

        Args:
            line: What is typed.
            seconds: How long it may run; one that ends by itself is not interrupted.
            key: What interrupts it.
            max_bytes: Cap on what it prints; it is interrupted there, too.

        Returns:
            Everything up to the prompt at rest, and whether the cap was reached.

        Raises:
            TalkError: it did not end, or the session did.
        """
        end_s = self._policy.prompt_timeout_s
        self._type(line + self._return_key, end_s)
        is_full = self._runs_until(time.monotonic() + seconds, max_bytes)
        if is_full is None:
            return self._connection.text(), False
        self._send(self._connection.press, key, end_s)
        # What is under way may still come, but a device that floods on must not fill the memory.
        if self._runs_until(time.monotonic() + end_s, 2 * max_bytes) is None:
            return self._connection.text(), is_full
        raise TalkError("timeout", f"it did not end within {end_s:g} s of being interrupted")

    def _runs_until(self, deadline_s: float, max_bytes: int) -> bool | None:
        """Collect until a time or a number of bytes (``True``); ``None`` where the prompt came."""
        while True:
            if self._connection.rests() and not self._heard(self._policy.settle_s):
                return None
            if len(self._connection.raw) > max_bytes:
                return True
            if time.monotonic() >= deadline_s:
                return False
            last = self._connection.tail().split("\n")[-1]
            # Rows of packets hold anything, but none of them begins like a pager's stop.
            if self._pager_key and self._pager is not None and self._pager.match(last):
                self._turn_page(time.monotonic() + self._policy.prompt_timeout_s)
            try:
                self._connection.wait_more(deadline_s)
            except ReadException:
                raise TalkError(
                    "eof", "the device closed the session", self._connection.text()
                ) from None

    def _until_mode(self, to: re.Pattern[str], max_bytes: int, deadline_s: float) -> str:
        """Wait for the prompt of a mode, or for the old one: the answer then says why."""

        def arrived() -> bool:
            last = self._connection.tail().split("\n")[-1]
            return self._connection.rests() or to.fullmatch(last) is not None

        while True:
            if arrived():
                if self._heard(self._policy.settle_s):
                    continue
                last = self._connection.tail().split("\n")[-1]
                if to.fullmatch(last):
                    self._connection.base_prompt = last
                return self._connection.text()
            self._refuse_oddities(max_bytes, deadline_s)
            if not arrived():
                self.more(deadline_s)

    def pipeline(self, commands: Sequence[RenderedCommand]) -> str:
        """Type all lines and an empty one at once; everything up to the last prompt.

        Raises:
            TalkError: as for :meth:`exchange`; the deadline is that of the command under way.
        """
        lines = [command.line for command in commands]
        typed = self._return_key.join([*lines, "", ""])
        self._type(typed, commands[0].timeout_s)
        prompt = str(self._connection.base_prompt)
        echoes = [(prompt + line).encode() for line in lines[1:]]
        cap = max(command.max_bytes for command in commands)
        reached, at, began = 0, 0, 0
        deadline_s = time.monotonic() + commands[0].timeout_s
        while True:
            raw = self._connection.raw
            while reached < len(echoes) and (found := raw.find(echoes[reached], at)) >= 0:
                reached += 1
                at = began = found + len(prompt)
                deadline_s = time.monotonic() + commands[reached].timeout_s
            # Only the last answer and the empty line may still follow when we stop.
            if reached == len(echoes) and self._ends_twice(prompt):
                return self._connection.text()
            self._refuse_oddities(cap + began, deadline_s)
            self.more(deadline_s)

    def _ends_twice(self, prompt: str) -> bool:
        rows = self._connection.tail().split("\n")
        return len(rows) > 1 and rows[-1] == prompt and rows[-2].rstrip() == prompt.rstrip()

    def at_rest(self, above: re.Pattern[str] | None = None, *, asks: bool = False) -> bool:
        """Prove that the device waits for input: an empty line brings the prompt, nothing else.

        Args:
            above: What the device draws above the prompt in this mode.
            asks: The prompt is a question, which an empty line would answer: silence has to do.
        """
        if asks:
            return not self._heard(2 * self._policy.settle_s) and self._connection.rests()
        try:
            text = self.exchange(
                "", timeout_s=self._policy.prompt_timeout_s, settle_s=self._policy.settle_s
            )
        except TalkError:
            return False
        first, *between, last = text.split("\n")
        drawn = [row for row in between if row] if above is not None else between
        is_drawn = above is not None and len(drawn) == 1 and above.fullmatch(drawn[0])
        return not first and last == self._connection.base_prompt and (not drawn or bool(is_drawn))

    def hang_up(self) -> None:
        """End the shell and whatever runs in it."""
        self._connection.disconnect()
        self._connection.base_prompt = ""

    def stray(self) -> bool:
        """Whether something came although nothing was typed."""
        return self._heard(0.0)

    def drain(self) -> bool:
        """Wait, for a while, until the device says no more; whether it rests at its prompt."""
        deadline_s = time.monotonic() + self._policy.prompt_timeout_s
        while time.monotonic() < deadline_s:
            if not self._heard(self._policy.settle_s):
                return self._connection.rests()
        return False

    def _heard(self, seconds: float) -> bool:
        try:
            return self._connection.wait_more(time.monotonic() + seconds) > 0
        except ReadException:
            return False

    def type_first(self, line: str) -> None:
        """Type the first line of a session, whose prompt is not known yet.

        Raises:
            TalkError: the device takes no input.
        """
        self._write(line + self._return_key, self._policy.prompt_timeout_s)

    def _type(self, text: str, timeout_s: float) -> None:
        if not self._connection.base_prompt:
            raise TalkError("eof", "the session is over")
        self._write(text, timeout_s)

    def _write(self, text: str, timeout_s: float) -> None:
        self._send(self._connection.type_in, text, timeout_s)

    def _turn_page(self, deadline_s: float) -> None:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TalkError("timeout", "no prompt came back in time", self._connection.text())
        self._send(self._connection.turn_page, self._pager_key, left_s)

    def _send(self, send: Callable[[str], None], text: str, timeout_s: float) -> None:
        channel = self._connection.remote_conn
        if channel is None:
            raise TalkError("eof", "the session is over")
        with WATCHDOG.limit(timeout_s, channel.close) as alarm:
            try:
                send(text)
            except (OSError, EOFError):
                if alarm.fired:
                    raise TalkError("timeout", "the device took no input in time") from None
                raise TalkError("eof", "the device closed the session") from None

    def _refuse_oddities(self, max_bytes: int, deadline_s: float) -> None:
        connection = self._connection
        if len(connection.raw) > max_bytes:
            raise TalkError(
                "output-limit", f"more than {max_bytes} bytes of output", connection.text()
            )
        last = connection.tail().split("\n")[-1]
        if self._pager is not None and self._pager.search(last) and not self._heard(0.05):
            if self._pager_key:
                self._turn_page(deadline_s)
                return
            raise TalkError(
                "desync",
                f"stopped at a pager although paging is off: {excerpt(last)!r}",
                connection.text(),
            )
        is_other_prompt = last != connection.base_prompt and self._looks.fullmatch(last)
        left_s = deadline_s - time.monotonic()
        if is_other_prompt and left_s > 0 and not self._heard(min(_PROMPT_CHANGED_S, left_s)):
            raise TalkError(
                "desync",
                f"the prompt changed from {excerpt(str(connection.base_prompt))!r} "
                f"to {excerpt(last)!r}",
                connection.text(),
            )
