"""Planned lines to a device, and its state back; every answer that is not whole is an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mtughost.model.errors import (
    CommandRejectedError,
    DeviceError,
    DeviceTimeoutError,
    DeviceUnreachableError,
    OutputLimitError,
    SessionDesyncError,
)
from mtughost.model.plans import Backend, PlanItem, PlannedLine, StateDigest, StateLines
from mtughost.model.session import Answer, Session
from mtughost.remedy.config_state import config_reading
from mtughost.remedy.state import DeviceReading, reading, state_digest

_SHOWN_CHARS: Final = 400
_UPTIME_SLACK_S: Final = 90
_UNITS_S: Final = {
    "years": 365 * 86400,
    "weeks": 7 * 86400,
    "days": 86400,
    "hours": 3600,
    "minutes": 60,
    "seconds": 1,
}

_ERRORS: Final[dict[str, type[DeviceError]]] = {
    "timeout": DeviceTimeoutError,
    "eof": DeviceUnreachableError,
    "output-limit": OutputLimitError,
    "desync": SessionDesyncError,
}


def ask(session: Session, line: PlannedLine, token: str = "") -> Answer:
    """Send one line and return its whole answer, whatever its exit code.

    Raises:
        DeviceError: the answer is cut off, late, or cannot be tied to the line.
    """
    answer = session.ask([line.command(token)])[0]
    if answer.status == "complete":
        return answer
    reason = f"{line.id}: {answer.status}" + (f": {answer.error}" if answer.error else "")
    raise _ERRORS.get(answer.status, CommandRejectedError)(session.host, reason)


def must(session: Session, line: PlannedLine, token: str = "") -> Answer:
    """Send one line that has to succeed.

    Raises:
        CommandRejectedError: it ended with an exit code other than 0.
        DeviceError: as :func:`ask`.
    """
    answer = ask(session, line, token)
    if answer.exit_code not in (0, None):
        words = (answer.stderr or answer.text).strip()[:_SHOWN_CHARS]
        raise CommandRejectedError(
            session.host,
            f"{line.id} ended with exit code {answer.exit_code}: {words or 'no message'}",
            command=answer.line,
            answer=words,
        )
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """What one login read.

    Attributes:
        texts: The raw answers by line id, for the backup.
        identity: Host name, version and serial number, in this order.
        boot_id: Changes at every boot; ``""`` where the device only tells its uptime.
        uptime_s: Seconds since boot, ``None`` where only the boot is known.
    """

    read: DeviceReading
    digest: StateDigest
    texts: dict[str, str]
    identity: tuple[str, str, str]
    boot_id: str
    uptime_s: int | None


def text_key(line_id: str) -> str:
    """Return what a state line's answer is called: ``state-relevant-nft`` gives ``relevant``."""
    return line_id.removeprefix("state-").removesuffix("-nft").removesuffix("-link")


def read_state(
    session: Session, lines: StateLines, *, backend: Backend, target: str, taken_utc: str
) -> DeviceState:
    """Read a device's state by the planned lines.

    Raises:
        DeviceError: any answer is missing or cut off: a partial view is no state.
    """
    if lines.form:
        return _read_config(session, lines, taken_utc)
    texts: dict[str, str] = {}
    for line in (*lines.relevant, *lines.whole, *lines.saved):
        texts[line.id] = must(session, line).text
    boot = must(session, lines.boot).text.split()
    told = "".join(must(session, line).text for line in lines.identity)
    identity = [word.strip() for word in told.splitlines()]
    read = reading(backend, target, {text_key(name): text for name, text in texts.items()})
    if len(boot) < 2 or len(identity) < 3:  # noqa: PLR2004 - boot id and uptime; three lines
        raise SessionDesyncError(session.host, "boot id, uptime or identity cannot be read")
    items = tuple(PlanItem(path=f"handle {handle}", value=text) for text, handle in read.handles)
    return DeviceState(
        read=read,
        digest=state_digest(read, taken_utc=taken_utc, items=items),
        texts=texts,
        identity=(identity[0], identity[1], identity[2]),
        boot_id=boot[0],
        uptime_s=int(float(boot[1])),
    )


def _read_config(session: Session, lines: StateLines, taken_utc: str) -> DeviceState:
    """Read a command line's whole configuration, who it is and since when."""
    running = must(session, lines.whole[0]).text
    saved = must(session, lines.saved[0]).text if lines.saved else None
    complete = re.compile(lines.pattern("complete"))
    if not all(complete.search(text) for text in (running, saved) if text is not None):
        raise SessionDesyncError(session.host, "the configuration was not shown as a whole")
    read = config_reading(lines, running, saved)
    told = "".join(must(session, line).text for line in lines.identity)
    identity = tuple(_group(lines.pattern(n), told) for n in ("hostname", "version", "serial"))
    booted = told if lines.boot in lines.identity else must(session, lines.boot).text
    mark = _group(lines.pattern("boot"), booted) if lines.pattern("boot") else ""
    uptime_s = _uptime_s(lines.pattern("uptime"), booted) if lines.pattern("uptime") else None
    if not all(identity) or (not mark and uptime_s is None):
        raise SessionDesyncError(session.host, "identity or time of the last boot cannot be read")
    texts = {lines.whole[0].id: running}
    if saved is not None:
        texts[lines.saved[0].id] = saved
    return DeviceState(
        read=read,
        digest=state_digest(read, taken_utc=taken_utc),
        texts=texts,
        identity=(identity[0], identity[1], identity[2]),
        boot_id=mark,
        uptime_s=uptime_s,
    )


def _group(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1].strip() if found else ""


def _uptime_s(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text)
    if found is None:
        return None
    return sum(int(value) * _UNITS_S[name] for name, value in found.groupdict().items() if value)


def has_rebooted(before: DeviceState, now: DeviceState, elapsed_s: float) -> bool:
    """Say whether a device has booted between two readings.

    Uptimes are told in minutes, so a minute and a half of difference is no proof.
    """
    if before.boot_id or now.boot_id:
        return before.boot_id != now.boot_id
    if before.uptime_s is None or now.uptime_s is None:
        return True
    return now.uptime_s + _UPTIME_SLACK_S < before.uptime_s + elapsed_s


def missing_items(planned: Sequence[PlanItem], read: DeviceReading) -> tuple[str, ...]:
    """Return the planned rules whose handles are no longer theirs."""
    now = {(f"handle {handle}", text) for text, handle in read.handles}
    return tuple(
        f"{item.path}: {item.value}"
        for item in planned
        if " handle " in item.path
        and ("handle " + item.path.rpartition(" ")[2], item.value) not in now
    )
