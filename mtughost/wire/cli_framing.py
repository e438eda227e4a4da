r"""Frames for command lines: an answer is accepted only for the command it echoes. Pure.

All texts have line ends ``\n``. ``prompt`` is the exact prompt of this session, such as ``AP-1#``,
with the blank that some devices put behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

#: Netmiko's Cisco driver: IOS abbreviates the name in its prompts so in configuration mode.
_CUT_CHARS = 20
#: Lines of answers whose meaning is remembered for each platform, and how long they may be.
_REMEMBERED, _REMEMBERED_CHARS = 2048, 256
_BACKSPACED = re.compile(r"[^\n\x08]\x08")


def learn_prompt(text: str, line: str, pattern: re.Pattern[str]) -> str:
    """Return the exact prompt from everything since the login, or ``""``.

    The prompt that stood before the echo of ``line`` must equal the last line, and look like a
    prompt: a greeting that ends in ``#`` does not.

    Args:
        text: Greeting, first prompt, echo of ``line``, its answer, second prompt.
        line: The one line that was typed; ``""`` where only the return key was.
        pattern: What a prompt of this platform looks like.
    """
    lines = text.split("\n")
    last = lines[-1]
    if not last or pattern.fullmatch(last) is None:
        return ""
    if not line:
        return last if lines[:-1].count(last) == 1 else ""
    return last if lines[:-1].count(last + line) == 1 else ""


def prompt_stem(stem: str) -> str:
    """Return a pattern of what a login's prompts begin with, a long name also cut short."""
    if len(stem) <= _CUT_CHARS:
        return re.escape(stem)
    return f"(?:{re.escape(stem)}|{re.escape(stem[:_CUT_CHARS])})"


def at_rest(tail: str, prompt: str) -> bool:
    """Whether the last line is the prompt and nothing else."""
    return tail == prompt or tail.endswith("\n" + prompt)


def single_answer(text: str, prompt: str, line: str) -> str | None:
    """Return the answer to one line, or ``None`` where the echo or the prompt is not in place.

    Args:
        text: Everything since ``line`` was typed, up to the prompt at rest.
        prompt: Exact prompt.
        line: What was typed.
    """
    echo, _, rest = plain(text).partition("\n")
    answer, ended, last = rest.rpartition("\n")
    if echo.rstrip() != line.rstrip() or last != prompt:
        return None
    return answer + ended


def has_prompt(answer: str, prompt: str) -> bool:
    """Whether a line of an answer begins like the prompt, so that its end is in doubt."""
    mark = prompt.rstrip()
    return answer.startswith(mark) or f"\n{mark}" in answer


def pipelined_answers(text: str, prompt: str, lines: Sequence[str]) -> tuple[str, ...] | None:
    """Return the answers to lines that were typed at once, or ``None`` where anything is odd.

    Every line that begins like the prompt must be the echo of the next command, in order, and
    the last line must be the prompt alone. The last of ``lines`` should be an empty one: its bare
    echo proves that the answer before it had ended.
    """
    rows = plain(text).split("\n")
    if rows[-1] != prompt or rows[0].rstrip() != lines[0].rstrip():
        return None
    mark = prompt.rstrip()
    bounds = [i for i, row in enumerate(rows) if i and row.startswith(mark)]
    echoes = [(prompt + line).rstrip() for line in lines[1:]] + [prompt.rstrip()]
    if [rows[i].rstrip() for i in bounds] != echoes:
        return None
    starts = [0, *bounds]
    return tuple(_joined(rows[start + 1 : end]) for start, end in zip(starts, bounds, strict=False))


def plain(text: str) -> str:
    r"""Undo what a device overwrote with backspaces (IOS redraws long lines so)."""
    while "\x08" in text:
        shorter = _BACKSPACED.sub("", text)
        text = shorter if shorter != text else text.replace("\x08", "")
    return text


class Refusals:
    """Knows the lines with which a platform refuses a command. Shared by all of its sessions.

    Most lines are the same on every device: what a line means is remembered, within bounds.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [re.compile(pattern) for pattern in patterns]
        self._known: dict[str, bool] = {}
        self._older: dict[str, bool] = {}

    def first(self, answer: str) -> str:
        """Return the first line that says that the device refused the command, or ``""``."""
        known = self._known
        for line in answer.split("\n"):
            is_refusal = known.get(line)
            if is_refusal is None:
                is_refusal = self._older.get(line)
                if is_refusal is None:
                    is_refusal = any(pattern.search(line) for pattern in self._patterns)
                # What every device prints moves along; what only one printed is forgotten.
                if len(known) >= _REMEMBERED // 2:
                    self._older, self._known = known, {}
                    known = self._known
                if len(line) <= _REMEMBERED_CHARS:
                    known[line] = is_refusal
            if is_refusal:
                return line.strip()
        return ""


@lru_cache(maxsize=64)
def refusals_of(patterns: tuple[str, ...]) -> Refusals:
    """Return what knows these patterns; the same for all sessions of a platform."""
    return Refusals(patterns)


def _joined(rows: Sequence[str]) -> str:
    return "\n".join(rows) + "\n" if rows else ""
