"""The guards: how a device undoes a change by itself when nobody confirms it.

*Detached restore* (shells): armed and read back before anything is touched, one winner by rename.
A sleeper in a session of its own, with hang-up ignored, holds restore files for exactly the
touched part. Whoever renames the token ``armed`` first, wins: the sleeper (``reverting``, then
``reverted``) or the tool (``confirmed``, ``cancelled``).

*Device timer* and *confirmed commit* (command lines): a timer of the vendor's own. It has no
token of ours: ``armed`` while the device shows it, ``idle`` while it shows that none runs. Whether
an idle device was confirmed or went back is told by its configuration, never by the timer.

*Tool inverse*: nothing on the device; the tool takes the change back itself. ``unguarded``.

The lines themselves are templates; a task book names them.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final, Literal, get_args

from mtughost.change.asking import ask, must
from mtughost.model.errors import SessionDesyncError
from mtughost.model.plans import GuardLines, PlannedDevice
from mtughost.model.session import Clock, Session

#: ``none``: the directory is there, but arming never came to its token.
Token = Literal[
    "missing",
    "none",
    "armed",
    "confirmed",
    "cancelled",
    "reverting",
    "reverted",
    "revert-failed",
    "idle",
    "unguarded",
]
_TOKENS: Final[frozenset[str]] = frozenset(get_args(Token))
#: The token is renamed while it is listed at most a few times; then it stands still.
_READ_TRIES: Final = 5
#: The device's timer must agree with the plan within this part of the window (NTP jumps).
_CLOCK_TOLERANCE: Final = 0.2
_MINUTE_S: Final = 60
#: Guards whose timer is the vendor's own.
_TIMERS: Final = frozenset({"device-timer", "confirmed-commit"})
#: Their state is the device's configuration, not a token.
TOKENLESS: Final[frozenset[Token]] = frozenset({"idle", "unguarded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardReading:
    """What the guard says of itself.

    Attributes:
        started_s: Device uptime when the sleeper began, ``None`` before it did.
        window_s: Its window, ``None`` before it began.
        sleeper_alive: Whether the recorded process is still the sleeper.
        sums: Checksums of the restore files.
    """

    token: Token
    uptime_s: int = 0
    started_s: int | None = None
    window_s: int | None = None
    sleeper_alive: bool = False
    boot_id: str = ""
    sums: tuple[str, ...] = ()

    @property
    def left_s(self) -> int:
        """Seconds until the device reverts, by the device's clock."""
        if self.started_s is None or self.window_s is None:
            return 0
        return max(0, self.started_s + self.window_s - self.uptime_s)


def new_token() -> str:
    """Return a random token for one run on one device."""
    return secrets.token_hex(8)


def parse_reading(host: str, text: str) -> GuardReading | None:
    """Read the guard's own words; ``None`` when the token was being renamed just then.

    Raises:
        SessionDesyncError: not the answer of a guard.
    """
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        fields.setdefault(word, []).append(rest.strip())
    tokens = [name for name in fields.get("token", []) if name in _TOKENS]
    if not fields.get("token") and "uptime" not in fields:
        raise SessionDesyncError(host, "the guard did not answer in its own words")
    if len(tokens) != 1:
        return None
    started = fields.get("started", [""])[0].split()
    known = len(started) == 2 and all(part.isdigit() for part in started)  # noqa: PLR2004
    uptime = fields.get("uptime", ["0"])[0]
    sums = [f"{word} {rest[0]}" for word, rest in fields.items() if _is_sum(word)]
    token: Token = next(name for name in get_args(Token) if name == tokens[0])
    return GuardReading(
        token=token,
        uptime_s=int(uptime) if uptime.isdigit() else 0,
        started_s=int(started[0]) if known else None,
        window_s=int(started[1]) if known else None,
        sleeper_alive=fields.get("sleeper") == ["alive"],
        boot_id=fields.get("boot", [""])[0],
        sums=tuple(sums),
    )


def _is_sum(word: str) -> bool:
    return len(word) == 64 and all(char in "0123456789abcdef" for char in word)  # noqa: PLR2004


def parse_timer(host: str, lines: GuardLines, text: str) -> GuardReading:
    """Read the vendor's own words about its timer.

    Raises:
        SessionDesyncError: neither that one runs nor that none does: nothing is assumed.
    """
    found = re.search(lines.pending, text)
    if found is not None:
        said = {name: value for name, value in found.groupdict().items() if value}
        window_s = int(said.get("minutes", 0)) * _MINUTE_S + int(said.get("seconds", 0))
        return GuardReading(token="armed", window_s=window_s or None)  # noqa: S106 - a state
    if re.search(lines.idle, text) is None:
        raise SessionDesyncError(host, "the device does not say whether a rollback is pending")
    return GuardReading(token="idle")  # noqa: S106 - a state's name


def read_guard(session: Session, planned: PlannedDevice, token: str, clock: Clock) -> GuardReading:
    """Read the guard until its token stands still.

    Raises:
        DeviceError: no whole answer, or not a guard's.
    """
    lines, method = planned.guard, planned.autorevert.method
    if method == "tool-inverse":
        return GuardReading(token="unguarded")  # noqa: S106 - a state's name
    if method in _TIMERS:
        texts = [must(session, line, token).text for line in lines.read_back]
        return parse_timer(session.host, lines, "".join(texts))
    for _ in range(_READ_TRIES):
        found = parse_reading(session.host, must(session, lines.read_back[0], token).text)
        if found is not None:
            return found
        clock.sleep(0.2)
    raise SessionDesyncError(session.host, "the guard's token does not stand still")


def arm(session: Session, lines: GuardLines, token: str) -> None:
    """Send the arming lines one by one and stop at the first that fails.

    Raises:
        DeviceError: a line failed; whether the sleeper runs is then read back, never guessed.
    """
    for line in lines.arm:
        must(session, line, token)


def why_not_armed(found: GuardReading, planned: PlannedDevice, *, boot_id: str) -> str:
    """Say why a guard cannot be relied on; ``""`` when it can."""
    window_s, method = planned.autorevert.window_s, planned.autorevert.method
    if method == "tool-inverse":
        return ""
    if method in _TIMERS:
        if found.token != "armed":  # noqa: S105 - a state's name
            return "the device shows no pending rollback"
        if found.window_s not in (None, window_s):
            return f"the device's timer is {found.window_s} s instead of {window_s} s"
        return ""
    return _why_sleeper_not_armed(found, window_s, boot_id)


def _why_sleeper_not_armed(found: GuardReading, window_s: int, boot_id: str) -> str:
    age = found.uptime_s - (found.started_s or 0)
    doubts = {
        f"its token is {found.token}": found.token != "armed",  # noqa: S105 - a state's name
        "its sleeper is not running": not found.sleeper_alive,
        f"its window is {found.window_s} s instead of {window_s} s": found.window_s != window_s,
        f"its timer began {age} s ago by the device's clock": not (
            0 <= age <= window_s * _CLOCK_TOLERANCE
        ),
        "the device has rebooted": found.boot_id != boot_id,
        "it has no restore file": not found.sums,
    }
    return next((doubt for doubt, holds in doubts.items() if holds), "")


def take(
    session: Session, lines: GuardLines, token: str, how: Literal["confirm", "cancel"]
) -> bool:
    """Try to take the token; return whether the device said so. Only a read-back counts.

    Raises:
        DeviceError: no whole answer.
    """
    sent = lines.confirm if how == "confirm" else lines.cancel
    return all(ask(session, line, token).exit_code in (0, None) for line in sent)


def revert_now(session: Session, lines: GuardLines, token: str) -> bool:
    """Take the token as the sleeper would and restore at once.

    Raises:
        DeviceError: no whole answer.
    """
    return all(ask(session, line, token).exit_code in (0, None) for line in lines.revert)


def take_back(session: Session, lines: GuardLines, token: str) -> None:
    """Undo a change that was confirmed already, or that no timer undoes.

    Raises:
        DeviceError: a line failed.
    """
    for line in lines.take_back or lines.revert:
        must(session, line, token)


def clean(session: Session, lines: GuardLines, token: str) -> None:
    """Remove what arming made. Refuses by itself while the token is not settled.

    Raises:
        DeviceError: no whole answer.
    """
    for line in lines.clean:
        must(session, line, token)
