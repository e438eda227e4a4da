"""Lines of a log: cleaned, their time stamp taken off, oldest first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

#: Longer lines are certificates or attacks; what decides stands at the beginning.
MAX_LINE = 1000

#: Escape sequences of terminals, and all control characters but the tab.
_ESCAPES = re.compile(
    "\x1b\\[[0-9;?]{0,20}[A-Za-z]|[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u2028\u2029]"
)
_MORE = re.compile(r"^ ?(?:-- ?|<-{1,9} ?)More(?: ?--| ?-{1,9}>)")

_DAY = r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_SYSLOG = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
_CLOCK = r"\d\d:\d\d:\d\d\.\d{6}"
_EPOCH = r"\d{9,10}\.\d{6}"
#: ctime with a year (radsecproxy, FreeRADIUS, logread), ISO 8601 (HiveOS and others), syslog,
#: curl's ``--trace-time``, seconds since 1970 (hostapd and wpa_supplicant with ``-t``).
_STAMP = re.compile(
    rf"\s{{0,4}}(?:<\d{{1,3}}>)?\[?"
    rf"(?:(?P<ctime>{_DAY}(?: \d{{4}})?)|(?P<iso>{_ISO})|(?P<syslog>{_SYSLOG})"
    rf"|(?P<clock>{_CLOCK})|(?P<epoch>{_EPOCH}))"
    r"\]?(?: ?: | |:|$)"
)
_CLOCK_ONLY, _EPOCH_ONLY = re.compile(_CLOCK), re.compile(_EPOCH)
#: ctime(3) and syslog: read by hand, because strptime costs as much as parsing the whole line.
_BSD_TIME = re.compile(
    r"(?:[A-Z][a-z]{2} )?([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)(?: (\d{4}))?"
)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
        start=1,
    )
}
_YEAR = re.compile(r"\b\d{4}\b")
_LEVELS = "emergency|emerg|alert|critical|crit|err|error|warning|warn|notice|info|debug"
#: What syslog daemons and FreeRADIUS put between the time and the words.
_SYSLOG_HEAD = re.compile(
    r"[\w.-]{1,64} (?:(?:daemon|user|local\d|auth|authpriv|kern|syslog)\.[a-z]{3,7} )?"
    r"[\w./-]{1,32}(?:\[\d{1,10}\])?: |[\w./-]{1,32}\[\d{1,10}\]: "
)
_LOGREAD_HEAD = re.compile(r"[a-z\d]{2,10}\.[a-z]{3,7} [\w./-]{1,32}(?:\[\d{1,10}\])?: ")
_HIVEOS_HEAD = re.compile(
    rf"(?:{_LEVELS}) {{1,8}}(?:(?:[a-z\d_]{{1,32}}): {{1,2}})?", re.IGNORECASE
)
_RADIUSD_HEAD = re.compile(r"(?:Debug|Info|Error|Auth|Proxy|Warning|Acct): ?")
#: ``docker logs`` of several containers.
_CONTAINER = re.compile(r"[\w.-]{1,40} {1,8}\|  ?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a log.

    Attributes:
        text: Its words. Where ``when`` is empty a time stamp may still stand before them.
        when: Time as printed, or ``""``.
        line: Number of the line, from 1.
    """

    text: str
    when: str = ""
    line: int | None = None


def lines_of(text: str) -> Iterator[LogLine]:
    """Number the lines of a text as every editor does: by line feeds alone."""
    for number, raw in enumerate(text.split("\n"), start=1):
        if raw:
            yield LogLine(text=raw, line=number)


def prepared(lines: Iterable[LogLine]) -> Sequence[LogLine]:
    """Return the lines cleaned, with their times taken off, oldest first."""
    cleaned: list[LogLine] = []
    newest_first = _HiveOrder()
    for line in lines:
        text = _clean(line.text)
        when = line.when
        if not when:
            when, text, style = _split(text)
            newest_first.saw(style)
        cleaned.append(LogLine(text=text, when=when, line=line.line))
    times = [seconds(line.when) if line.when else None for line in cleaned]
    return _oldest_first(cleaned, times, default=newest_first.likely)


@dataclass(slots=True)
class _HiveOrder:
    """Whether a log without different times looks like HiveOS, which prints the newest first."""

    hive: int = 0
    other: int = 0

    def saw(self, style: str) -> None:
        if style == "hive":
            self.hive += 1
        elif style:
            self.other += 1

    @property
    def likely(self) -> bool:
        return self.hive > self.other


def _clean(raw: str) -> str:
    # A carriage return inside a line overwrites on a terminal; nobody's words depend on it.
    text = _ESCAPES.sub("", raw[:MAX_LINE])
    more = _MORE.match(text)
    if more:
        text = text[more.end() :]
    container = _CONTAINER.match(text)
    return text[container.end() :] if container else text


def _split(text: str) -> tuple[str, str, str]:
    """Split a line into its time, its words and the style of its head."""
    match = _STAMP.match(text)
    if match is None:
        return "", text, ""
    style = match.lastgroup or ""
    when, rest = match[style], text[match.end() :]
    if style == "epoch":
        again = _STAMP.match(rest)
        rest = rest[again.end() :] if again else rest
        return when, rest, style
    if style == "clock":
        return when, rest, style
    for head, name in _HEADS[style]:
        found = head.match(rest)
        if found:
            return when, rest[found.end() :], name
    return when, rest, style


_HEADS = {
    "ctime": ((_RADIUSD_HEAD, "ctime"), (_LOGREAD_HEAD, "ctime")),
    "iso": ((_HIVEOS_HEAD, "hive"), (_SYSLOG_HEAD, "iso")),
    "syslog": ((_SYSLOG_HEAD, "syslog"),),
}


def _oldest_first(
    lines: Sequence[LogLine], times: Sequence[float | None], *, default: bool
) -> Sequence[LogLine]:
    """Turn a log round that is printed newest first.

    Steps back and forth are counted, because clocks jump when they are first set. Lines without a
    time belong to the one before them and move with it.
    """
    forth = back = 0
    last: float | None = None
    for time in times:
        if time is None:
            continue
        if last is not None:
            forth += time > last
            back += time < last
        last = time
    if back < forth or (back == forth and not (default and back == 0)):
        return lines
    groups: list[list[LogLine]] = []
    for line, time in zip(lines, times, strict=True):
        if time is not None or not groups:
            groups.append([])
        groups[-1].append(line)
    return [line for group in reversed(groups) for line in group]


def seconds(when: str) -> float | None:
    """Read a printed time. Only differences are used: zone and year do not matter."""
    time = _read(when)
    # A leap year that holds every date, because the lines of one log may differ in the year's
    # presence.
    return None if time is None else time.replace(year=2024, tzinfo=UTC).timestamp()


def moment(when: str) -> str:
    """Return a printed time in ISO 8601, ``--MM-DDT...`` where the year is missing, or ``""``."""
    time = _read(when)
    if time is None or _CLOCK_ONLY.fullmatch(when):
        return ""
    text = time.isoformat()
    has_year = _YEAR.search(when) is not None or _EPOCH_ONLY.fullmatch(when) is not None
    return text if has_year else "--" + text[5:]


def _read(when: str) -> datetime | None:
    try:
        return datetime.fromisoformat(when.replace(",", "."))
    except ValueError:
        pass
    if found := _BSD_TIME.fullmatch(when):
        month, day, hour, minute, second, year = found.groups()
        date = int(year or 2024), _MONTHS.get(month, 0), int(day)
        try:
            return datetime(*date, int(hour), int(minute), int(second))  # noqa: DTZ001 - as below
        except ValueError:
            return None
    try:
        return datetime.strptime(f"{when} 2024", "%H:%M:%S.%f %Y")  # noqa: DTZ007 - the zone does not matter
    except ValueError:
        pass
    try:
        return datetime.fromtimestamp(float(when), UTC)
    except (ValueError, OverflowError, OSError):
        return None
