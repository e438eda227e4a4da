"""HiveOS logs (IQ Engine): which service a line is about, and where that service is.

A line is ``YYYY-MM-DD HH:MM:SS level  process: module: words``; the newest comes first, and "last
message repeated N times" stands for the line below it. One log holds the words of many daemons:
lines that are about no service of the cloud give no row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mtughost.dialects.radsecproxy import peer_of
from mtughost.dialects.rows import DialectRows, Row

_LINE = re.compile(
    r"(?P<when>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<level>[a-z]{3,12}) {1,8}(?P<rest>.*)"
)
#: The process and, mostly, the module that wrote the line.
_HEAD = re.compile(
    r"(?P<process>[A-Za-z][\w-]{0,31}): {1,2}(?:(?P<module>[a-z0-9_]{1,32}): {1,2})?"
)
_REPEATED = re.compile(r"last message repeated \d+ times")
_UPLOAD = re.compile(r"\bcurl\b|_by_curl\b|\bfailed to https? to server\b")
_RADSEC = re.compile(
    r"\bradsec|\btlsconnect: |\bsslconnect|connecttcphostlist: |\bPPSK\b", re.IGNORECASE
)
#: It says so on every start and on every login where nobody asked for RADsec.
_RADSEC_NOISE = re.compile(
    r"radsec is disabled, not start|isn't a elected Radsec proxy", re.IGNORECASE
)
_CAPWAP = re.compile(r"\bCAPWAP|ah_capwap_")
_URL = re.compile(r"\bhttps?://(?P<host>[A-Za-z0-9.-]{1,253})(?::(?P<port>\d{1,5}))?[/\"]")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of the log that is about a service."""

    line: int
    when: str
    text: str
    service: str


def read_log(text: str) -> DialectRows:
    """``show logging buffered|flash``: WHEN, TEXT, SERVICE (``capwap``, ``https``, ``radsec``)."""
    entries, unplaced = _entries(text)
    rows: list[Row] = [{"WHEN": e.when, "TEXT": e.text, "SERVICE": e.service} for e in entries]
    return DialectRows(
        rows=tuple(rows), lines=tuple(e.line for e in entries), unplaced=tuple(unplaced)
    )


def read_servers(text: str) -> DialectRows:
    """The same logs: SERVICE, SERVER, PORT and SINCE of what was last talked to over TCP."""
    entries, unplaced = _entries(text)
    newest: dict[str, tuple[int, Row]] = {}
    for entry in sorted(entries, key=lambda e: e.when, reverse=True):
        found = _server(entry)
        if found is not None:
            newest.setdefault(entry.service, (entry.line, found))
    return DialectRows(
        rows=tuple(row for _, row in newest.values()),
        lines=tuple(line for line, _ in newest.values()),
        unplaced=tuple(unplaced),
    )


def _server(entry: _Entry) -> Row | None:
    if entry.service == "radsec":
        peer = peer_of(entry.text)
    elif entry.service == "https":
        match = _URL.search(entry.text)
        usual = "443" if match is not None and match[0].startswith("https") else "80"
        peer = (match["host"], match["port"] or usual) if match is not None else None
    else:
        peer = None
    if peer is None:
        return None
    return {
        "SERVICE": entry.service,
        "SERVER": peer[0],
        "PORT": peer[1],
        "SINCE": entry.when.replace(" ", "T"),
    }


@lru_cache(maxsize=4)
def _entries(text: str) -> tuple[list[_Entry], list[tuple[int, str]]]:
    # Two readers ask for each log, one after the other.
    found: list[_Entry] = []
    unplaced: list[tuple[int, str]] = []
    repeated = ""
    for number, line in enumerate(text.split("\n"), start=1):
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            repeated = ""
            if line.strip():
                unplaced.append((number, line))
            continue
        if _REPEATED.fullmatch(match["rest"].strip()):
            repeated = repeated or match["when"]
            continue
        # What is repeated stands below: it was last said when the repetition was counted.
        when, repeated = max(match["when"], repeated), ""
        found += _about(number, when, match["rest"].strip())
    return found, unplaced


def _about(number: int, when: str, rest: str) -> Iterator[_Entry]:
    head = _HEAD.match(rest)
    process = head["process"] if head is not None else ""
    words = rest[head.end() :] if head is not None else rest
    service = _service(process, words)
    if service:
        yield _Entry(number, when, words, service)


def _service(process: str, words: str) -> str:
    if _UPLOAD.search(words):
        return "https"
    if process == "radsecproxy" or (_RADSEC.search(words) and not _RADSEC_NOISE.search(words)):
        return "radsec"
    return "capwap" if process == "capwap" or _CAPWAP.search(words) else ""
