"""The gentle capture: a short, filtered tcpdump that streams to us and touches no storage there.

A failing access point retries by itself, so waiting a little shows the truth about *its* socket.
The filter (in the task book) takes the services' ports, "too big" messages of both families and IP
fragments; nothing else is recorded. It is bounded in time, packets and bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtughost.collect.basis import basis_of
from mtughost.content import Book, render_command
from mtughost.model.basis import Basis
from mtughost.model.errors import CommandRejectedError, UsageError
from mtughost.model.evidence import Point
from mtughost.model.inventory import Device, Service
from mtughost.model.session import Session

#: How a capture file begins: pcap in both byte orders and precisions, and pcapng.
_MAGICS = (
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\xc3\xd4",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x0a\x0d\x0d\x0a",
)
#: Text that a login script prints before tcpdump starts is at most this long, or it is no pcap.
_MAX_PREAMBLE_BYTES = 16 * 1024
#: ``-c`` counts packets, but bytes are what we promise to bound.
_RECORD_HEADER_BYTES = 16
_FILE_HEADER_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCapture:
    """What one capture at one point returned.

    Attributes:
        pcap: The file's bytes.
        seconds: How long it was asked to run.
        warnings: What was odd about the stream, one sentence each.
        leaves: What it leaves behind on the device.
    """

    host: str
    point: Point
    interface: str
    command: str
    pcap: bytes
    seconds: float
    basis: Basis
    warnings: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()


def capture(
    session: Session,
    book: Book,
    device: Device,
    *,
    point: Point,
    interface: str,
    services: Sequence[Service],
    seconds: float,
) -> RawCapture:
    """Capture on one interface for a while.

    Args:
        session: An open login on the device.
        book: Its task book, with a ``capture:`` section.
        device: The device.
        point: Where on the path this interface is.
        interface: Its name on the device.
        services: Whose ports to record; at least one.
        seconds: How long; the book's ``max_seconds`` is the limit.

    Raises:
        UsageError: the book has no capture, or no service was given.
        CommandRejectedError: the device's tcpdump refused; its words are in ``answer``.
        DeviceError: the stream did not arrive whole.
    """
    spec = book.capture
    if spec is None:
        raise UsageError(f"the task book {book.platform} has no capture")
    if not services:
        raise UsageError("a capture needs at least one service: its port makes the filter")
    ports = sorted({service.port for service in services})
    probe = render_command(book, spec.command, _values(interface, ports, 1, spec.snap_bytes))
    room = (probe.max_bytes - _FILE_HEADER_BYTES) // (spec.snap_bytes + _RECORD_HEADER_BYTES)
    packets = max(1, min(spec.max_packets, room))
    command = render_command(
        book, spec.command, _values(interface, ports, packets, spec.snap_bytes)
    )
    seconds = min(seconds, float(spec.max_seconds))
    data, warnings = without_preamble(session.stream(command, seconds=seconds))
    if data and not data.startswith(_MAGICS):
        raise CommandRejectedError(
            device.name,
            "what came back is not a capture",
            command=command.line,
            answer=data[:200].decode("utf-8", "replace"),
            todo="Look whether a login script prints text, and whether tcpdump can be run",
        )
    return RawCapture(
        host=device.name,
        point=point,
        interface=interface,
        command=command.line,
        pcap=data,
        seconds=seconds,
        basis=basis_of(device),
        warnings=warnings,
        leaves=spec.leaves,
    )


def _values(
    interface: str, ports: Sequence[int], packets: int, snap_bytes: int
) -> dict[str, object]:
    return {
        "interface": interface,
        "ports": list(ports),
        "packets": packets,
        "snap_bytes": snap_bytes,
    }


def without_preamble(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Cut off text that the device printed before the capture began.

    A login script that prints something would otherwise make the whole capture unreadable.
    """
    if data.startswith(_MAGICS) or not data:
        return data, ()
    head = data[: _MAX_PREAMBLE_BYTES + 4]
    places = [place for magic in _MAGICS if (place := head.find(magic)) > 0]
    if not places:
        return data, ()
    start = min(places)
    text = data[:start].decode("utf-8", "replace").strip()[:80]
    return data[start:], (f"the device printed {start} bytes before the capture: {text!r}",)
