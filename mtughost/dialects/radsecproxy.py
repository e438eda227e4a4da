"""What radsecproxy writes about its far end: in its own log, in logread, in vendors' logs."""

from __future__ import annotations

import re
from datetime import datetime

from mtughost.dialects.rows import DialectRows, Row

#: radsecproxy names its far end in all of these ways (tls.c, hostport.c).
_PEER = re.compile(
    r"\((?P<host>[0-9A-Za-z.:-]{1,253}) port (?P<port>\d{1,5})\)"
    r"|TCP connection to (?P<tcp_host>[0-9A-Za-z.:-]{1,253}) port (?P<tcp_port>\d{1,5}) up"
)
_CTIME = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})\b")


def peer_of(text: str) -> tuple[str, str] | None:
    """Return the host and the port that a line names, ``None`` where it names none."""
    match = _PEER.search(text)
    if match is None:
        return None
    return match["host"] or match["tcp_host"], match["port"] or match["tcp_port"]


def read_servers(text: str) -> DialectRows:
    """``logread -e radsecproxy``: SERVER, PORT and SINCE of the far end that was named last."""
    newest: tuple[int, Row] | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        peer, when = peer_of(line), _CTIME.match(line)
        if peer is None:
            continue
        row: Row = {"SERVER": peer[0], "PORT": peer[1]}
        if when is not None:
            row["SINCE"] = _iso(when[1])
        newest = (number, row)
    if newest is None:
        return DialectRows(rows=(), lines=())
    return DialectRows(rows=(newest[1],), lines=(newest[0],))


def _iso(when: str) -> str:
    try:
        return datetime.strptime(when, "%b %d %H:%M:%S %Y").isoformat()  # noqa: DTZ007 - local
    except ValueError:
        return ""
