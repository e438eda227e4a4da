"""The gentle capture: short, filtered, streaming to us, and touching no storage there.

A failing access point retries by itself, so waiting a little shows the truth about *its* socket.
The filter (in the task book) takes the services' ports, "too big" messages of both families and IP
fragments; nothing else is recorded. It is bounded in time, packets and bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mtughost.collect.basis import basis_of
from mtughost.collect.sniffing import rendered, sniff
from mtughost.content.book import Book, CaptureSpec
from mtughost.dialects.hexdump import Sniffed
from mtughost.model.basis import Basis
from mtughost.model.errors import CommandRejectedError, UsageError
from mtughost.model.evidence import Point
from mtughost.model.inventory import Device, Service
from mtughost.model.session import Clock, RenderedCommand, Session

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
#: How much later we end a command that ends by itself.
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCapture:
    """What one capture at one point returned.

    Attributes:
        pcap: The file's bytes.
        seconds: How long it was asked to run.
        warnings: What was odd about the stream, one sentence each.
        leaves: What it leaves behind on the device.
        misses: Which packets it does not show although they pass, or ``""``.
        misses_later: It shows every packet of a direction up to some moment and none behind it.
        leaving_known: Whether packets that leave are shown as they were sent.
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
    misses: str = ""
    misses_later: bool = False
    leaving_known: bool = True


def capture(  # noqa: PLR0913 - a capture is described by all of these
    session: Session,
    book: Book,
    device: Device,
    *,
    point: Point,
    interface: str,
    services: Sequence[Service],
    seconds: float,
    clock: Clock,
    started: Callable[[], None] = lambda: None,
) -> RawCapture:
    """Capture on one interface for a while.

    Args:
        session: An open login on the device; on a command line one of this capture's own.
        book: Its task book, with a ``capture:`` section.
        device: The device.
        point: Where on the path this interface is.
        interface: Its name on the device.
        services: Whose ports to record; at least one.
        seconds: How long; the book's ``max_seconds`` is the limit.
        clock: Time.
        started: Called as soon as packets are caught, or are about to be.

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
    seconds = min(seconds, float(spec.max_seconds))
    values: dict[str, object] = {
        "interface": interface,
        "ports": sorted({service.port for service in services}),
        "packets": spec.max_packets,
        "snap_bytes": spec.snap_bytes,
        "seconds": max(1, round(seconds)),
    }
    if spec.reads == "pcap":
        command = _bounded(book, spec, values)
        started()
        # One that is told how long it may run ends by itself, also when the connection dies.
        is_timed = "seconds" in book.commands[spec.command].params
        grace_s = _GRACE_S if is_timed else 0.0
        data, warnings = without_preamble(
            session.stream(command, seconds=seconds + grace_s, stdin_close_ends=not is_timed)
        )
        _refuse_text(device, command, data)
        line = command.line
    else:
        found, line, remarks = sniff(
            session, book, spec, values, seconds=seconds, clock=clock, started=started
        )
        data, warnings = found.pcap, (*found.notes, *remarks)
        is_counted = any("packets" in book.commands[c].params for c in spec.command_ids)
        is_full = is_counted and found.packets >= spec.max_packets
        if is_full:
            warnings += (f"it ended at its limit of {spec.max_packets} packets",)
        misses = _misses(spec, found, is_full=is_full)
        is_later = spec.misses_later and not found.notes
        spec = spec.model_copy(update={"misses": misses, "misses_later": is_later})
    return RawCapture(
        host=device.name,
        point=point,
        interface=interface,
        command=line,
        pcap=data,
        seconds=seconds,
        basis=basis_of(device),
        warnings=warnings,
        leaves=spec.leaves,
        misses=spec.misses,
        misses_later=spec.misses_later,
        leaving_known=spec.leaving == "as-sent",
    )


def _misses(spec: CaptureSpec, found: Sniffed, *, is_full: bool) -> str:
    """Return which packets may be missing in this very capture, ``""`` where none are."""
    if found.damaged or found.notes:
        return spec.misses or "the device did not print every packet"
    limit = spec.misses_above_pps
    is_whole = limit and not is_full and found.peak_pps <= limit
    return "" if is_whole else spec.misses


def _bounded(book: Book, spec: CaptureSpec, values: dict[str, object]) -> RenderedCommand:
    """Render with as many packets as fit into the promised bytes."""
    max_bytes = book.commands[spec.command].max_bytes
    room = (max_bytes - _FILE_HEADER_BYTES) // (spec.snap_bytes + _RECORD_HEADER_BYTES)
    packets = max(1, min(spec.max_packets, room))
    return rendered(book, spec.command, {**values, "packets": packets})[0]


def _refuse_text(device: Device, command: RenderedCommand, data: bytes) -> None:
    if not data or data.startswith(_MAGICS):
        return
    raise CommandRejectedError(
        device.name,
        "what came back is not a capture",
        command=command.line,
        answer=data[:200].decode("utf-8", "replace"),
        todo="Look whether a login script prints text, and whether tcpdump can be run",
    )


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
