"""Rows about the cloud, its logs and the clock to facts.

=============  ====================================================================================
kind           columns
=============  ====================================================================================
cloud          SERVICE SERVER PORT CONNECTED (or UP DOWN) SINCE LAST_ERROR TRANSPORT PORTS PROXY
               PATH_MTU (rows of one service from several commands are merged, first wins)
push-log       WHEN TEXT SERVICE
clock          CLOCK_UTC, or CLOCK_LOCAL ZONE SUMMER SUMMER_START SUMMER_END (merged)
=============  ====================================================================================

CONNECTED is ``yes`` or ``no``; instead, UP or DOWN may hold the device's own words for one or the
other. PORTS are numbers with blanks between them. ZONE is the offset from UTC as in ``GMT-5:00``,
SUMMER says whether summer time is kept, between two dates of the form ``03-08 01:59:59``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone

from mtughost.collect.push_errors import Decision, LogLine, classify, decide_log, moment
from mtughost.collect.rows import MTU_RANGE, SourcedRow, merged, whole_number
from mtughost.model.basis import Unknown
from mtughost.model.device import CloudState, PushFailure
from mtughost.model.inventory import Device

_ZONE = re.compile(r"(?:GMT|UTC)?\s?([+-])(\d{1,2}):?(\d{2})?")
_HOUR = timedelta(hours=1)
_LAST_HOUR = 14


def cloud(rows: Sequence[SourcedRow], device: Device) -> tuple[CloudState, ...] | Unknown:
    """What the device says about its services."""
    found = tuple(_state(merged(group), device) for group in _services(rows))
    return found or Unknown("the device names no service")


def _services(rows: Sequence[SourcedRow]) -> Iterator[list[SourcedRow]]:
    """Put rows of one service together; two of them in one answer are two services."""
    groups: list[list[SourcedRow]] = []
    for row in rows:
        name = row.text("SERVICE").lower()
        for group in groups:
            same = group[0].text("SERVICE").lower() == name
            if same and all(row.command != other.command for other in group):
                group.append(row)
                break
        else:
            groups.append([row])
    yield from groups


def _state(row: SourcedRow, device: Device) -> CloudState:
    ports = _ports(row.text("PORTS"))
    error = row.text("LAST_ERROR") or row.text("DOWN")
    return CloudState(
        service=row.text("SERVICE"),
        server=_server(row.text("SERVER")),
        port=row.number("PORT", 1, 65535) or _chosen(ports, device),
        connected=_connected(row),
        last_failure=classify(error) if error else "none",
        last_error=error,
        last_change_utc=row.text("SINCE"),
        transport="udp" if row.text("TRANSPORT").lower() == "udp" else "tcp",
        ports=ports,
        proxy=_server(row.text("PROXY")),
        path_mtu_bytes=row.number("PATH_MTU", *MTU_RANGE),
    )


def _connected(row: SourcedRow) -> bool | None:
    up, down = row.text("UP"), row.text("DOWN")
    if bool(up) != bool(down):
        return bool(up)
    return {"yes": True, "no": False}.get(row.text("CONNECTED").lower())


def _ports(text: str) -> tuple[int, ...]:
    found = (whole_number(word, 1, 65535) for word in text.split())
    return tuple(dict.fromkeys(port for port in found if port is not None))


def _chosen(ports: tuple[int, ...], device: Device) -> int | None:
    """Of several ports take the one that the inventory knows, else the first."""
    known = {service.port for service in device.services}
    return next((port for port in ports if port in known), ports[0] if ports else None)


def _server(text: str) -> str:
    """Return an address or a name; ``0.0.0.0`` and ``::`` are vendors' ways to say "none"."""
    try:
        return "" if ipaddress.ip_address(text).is_unspecified else text
    except ValueError:
        return text


def push_log(rows: Sequence[SourcedRow], _device: Device) -> tuple[PushFailure, ...] | Unknown:
    """Failed attempts that the logs tell of, log by log and service by service, oldest first.

    A log without a failure gives none; its lines are kept in the raw answer.
    """
    keys = dict.fromkeys((row.command, row.text("SERVICE")) for row in rows)
    return tuple(
        failure
        for command, service in keys
        for failure in _failures(
            [r for r in rows if (r.command, r.text("SERVICE")) == (command, service)],
            command,
            service,
        )
    )


def _failures(rows: Sequence[SourcedRow], command: str, service: str) -> Iterator[PushFailure]:
    lines = [LogLine(text=r.text("TEXT"), when=r.text("WHEN"), line=r.line) for r in rows]
    decisions = decide_log(lines)
    failed = [d for d in decisions if d.failure != "none"]
    yield from (_push_failure(decision, command, service) for decision in failed)
    if failed and decisions[-1].failure == "none":
        yield _push_failure(decisions[-1], command, service)


def _push_failure(decision: Decision, command: str, service: str) -> PushFailure:
    return PushFailure(
        failure=decision.failure,
        text=decision.text,
        service=service,
        when=decision.when,
        at=moment(decision.when),
        command=command,
        line=decision.line,
    )


def clock(rows: Sequence[SourcedRow], _device: Device) -> str | Unknown:
    """The device's clock, with its distance from UTC."""
    row = merged(rows)
    if row.text("CLOCK_UTC"):
        return row.text("CLOCK_UTC")
    if not row.text("CLOCK_LOCAL"):
        return Unknown("the device did not print its clock")
    try:
        local = datetime.fromisoformat(re.sub(r"\s+", " ", row.text("CLOCK_LOCAL")))
    except ValueError:
        return Unknown("the device's clock shows no time")
    offset = _offset(row.text("ZONE"))
    if offset is None:
        return Unknown("the device's clock shows local time, and its time zone is not known")
    if row.yes("SUMMER") and _is_summer(local, row.text("SUMMER_START"), row.text("SUMMER_END")):
        offset += _HOUR
    return local.replace(tzinfo=timezone(offset)).isoformat()


def _offset(text: str) -> timedelta | None:
    match = _ZONE.fullmatch(text.strip())
    if match is None or int(match[2]) > _LAST_HOUR:
        return None
    size = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    return -size if match[1] == "-" else size


def _is_summer(local: datetime, start: str, end: str) -> bool:
    now = f"{local:%m-%d %H:%M:%S}"
    if not start or not end:
        return False
    # South of the equator summer goes on past New Year.
    return start <= now < end if start < end else not end <= now < start
