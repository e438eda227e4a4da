"""Packets for the sniffers of virtual devices: real ones where a gateway is bound to a lab.

tcpdump runs in the gateway's network namespace and writes a capture file; what a vendor prints of
its packets is that vendor's module's matter. Written after the pcap format and after the vendors'
documents, and shares no code with the readers.
"""

from __future__ import annotations

import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

_FILE_BYTES, _RECORD_BYTES = 24, 16
_ETHERNET_BYTES = 14
_TCP, _UDP, _ICMP = 6, 17, 1


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it passed: an Ethernet frame, cut to the length that was asked for."""

    time_s: int
    micros: int
    wire_bytes: int
    data: bytes

    @property
    def ip(self) -> bytes:
        """The packet without its link's header."""
        return self.data[_ETHERNET_BYTES:]


class Tapped(Protocol):
    """A capture that runs or has run."""

    def packets(self) -> list[Packet]:
        """Return all packets so far."""

    @property
    def is_running(self) -> bool:
        """Whether more may come."""

    def stop(self) -> None:
        """End it and wait for the last packets."""


class NoPackets:
    """On a device that is bound to nothing, nothing passes."""

    is_running = True

    def packets(self) -> list[Packet]:
        """Return none."""
        return []

    def stop(self) -> None:
        """Do nothing."""


#: Starts a capture: the device's own name of an interface, a filter, bytes of each packet kept,
#: most packets (0: no limit).
Tapper = Callable[[str, str, int, int], Tapped]


def no_packets(_interface: str, _expression: str, _snap: int, _count: int) -> Tapped:
    """Start a capture where nothing passes."""
    return NoPackets()


class TcpdumpTap:
    """A real tcpdump whose capture file is read while it runs.

    Args:
        argv: The program with everything before its arguments, such as ``nsenter``.
    """

    def __init__(
        self, argv: Sequence[str], interface: str, expression: str, snap: int, count: int
    ) -> None:
        limit = ["-c", str(count)] if count else []
        options = ["--immediate-mode", "-U", "-n", "-p", "-Z", "root", "-s", str(snap), *limit]
        self._process = subprocess.Popen(
            [*argv, "tcpdump", "-i", interface, *options, "-w", "-", expression],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._raw = bytearray()
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._errors = threading.Thread(target=self._drain_errors, daemon=True)
        self._listens = threading.Event()
        self._thread.start()
        self._errors.start()
        # A sniffer that has printed its first line does listen.
        self._listens.wait(5)

    def _drain(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for
        while block := self._process.stdout.read1(65536):  # type: ignore[attr-defined]
            self._raw += block

    def _drain_errors(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - asked for
        for line in self._process.stderr:
            if b"listening on" in line:
                self._listens.set()
        self._listens.set()

    @property
    def is_running(self) -> bool:
        """Whether more may come."""
        return self._thread.is_alive()

    def packets(self) -> list[Packet]:
        """Return all packets so far."""
        return list(_packets(bytes(self._raw)))

    def stop(self) -> None:
        """End it and wait for the last packets."""
        self._process.terminate()
        self._process.wait(10)
        for thread, stream in (
            (self._thread, self._process.stdout),
            (self._errors, self._process.stderr),
        ):
            thread.join(10)
            if stream is not None:
                stream.close()


def _packets(raw: bytes) -> Iterator[Packet]:
    at = _FILE_BYTES
    while at + _RECORD_BYTES <= len(raw):
        seconds, micros, kept, wire = struct.unpack_from("<IIII", raw, at)
        at += _RECORD_BYTES
        if at + kept > len(raw):
            return
        yield Packet(seconds, micros, wire, raw[at : at + kept])
        at += kept


@dataclass(frozen=True, slots=True)
class Summary:
    """What sniffers say of a packet on one line.

    Attributes:
        protocol: IP protocol number; 0 where it is no IP.
        flags: Of TCP.
    """

    source: str
    target: str
    protocol: int = 0
    source_port: int = 0
    target_port: int = 0
    flags: int = 0
    sequence: int = 0
    acknowledged: int = 0
    payload_bytes: int = 0


def summary(ip: bytes) -> Summary:
    """Read the headers of an IP packet."""
    if ip[:1] and ip[0] >> 4 == 4:  # noqa: PLR2004 - IP's version
        header, protocol = (ip[0] & 15) * 4, ip[9]
        source, target = str(IPv4Address(ip[12:16])), str(IPv4Address(ip[16:20]))
        total = int.from_bytes(ip[2:4])
    elif ip[:1] and ip[0] >> 4 == 6:  # noqa: PLR2004
        header, protocol = 40, ip[6]
        source, target = str(IPv6Address(ip[8:24])), str(IPv6Address(ip[24:40]))
        total = 40 + int.from_bytes(ip[4:6])
    else:
        return Summary("", "")
    rest = ip[header:]
    if protocol == _TCP and len(rest) >= 20:  # noqa: PLR2004 - TCP's shortest header
        ports = struct.unpack_from("!HHII", rest)
        length = total - header - (rest[12] >> 4) * 4
        return Summary(
            source, target, protocol, ports[0], ports[1], rest[13], ports[2], ports[3], length
        )
    if protocol == _UDP and len(rest) >= 8:  # noqa: PLR2004 - UDP's header
        source_port, target_port = struct.unpack_from("!HH", rest)
        return Summary(source, target, protocol, source_port, target_port)
    return Summary(source, target, protocol)


def printable(data: bytes) -> str:
    """Return bytes as the characters beside a hex dump."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)  # noqa: PLR2004


def hex_groups(data: bytes, width: int) -> str:
    """Return bytes as groups of hex, ``width`` bytes each, one blank between them."""
    return " ".join(data[at : at + width].hex() for at in range(0, len(data), width))


def rows(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield sixteen bytes at a time with their offset."""
    for at in range(0, len(data), 16):
        yield at, data[at : at + 16]


class Job(Protocol):
    """A command that goes on by itself, until it is interrupted."""

    def more(self) -> str:
        """Return what it has printed since it was last asked."""

    @property
    def is_over(self) -> bool:
        """Whether it ended by itself."""

    def interrupt(self) -> str:
        """End it; return its last words."""


class Printing:
    """A sniffer in the foreground: prints each packet as it comes.

    Args:
        tapped: Where its packets come from.
        text_of: What it prints of one.
        last_words: What it prints when it ends, given the number of packets.
    """

    def __init__(
        self, tapped: Tapped, text_of: Callable[[Packet], str], last_words: Callable[[int], str]
    ) -> None:
        self._tapped = tapped
        self._text_of = text_of
        self._last_words = last_words
        self._shown = 0

    def more(self) -> str:
        """Return what it has printed since it was last asked."""
        is_last = self.is_over
        fresh = self._tapped.packets()[self._shown :]
        self._shown += len(fresh)
        text = "".join(self._text_of(packet) for packet in fresh)
        return text + self._last_words(self._shown) if is_last else text

    @property
    def is_over(self) -> bool:
        """Whether it ended by itself: it printed as many as it was to."""
        return not self._tapped.is_running

    def interrupt(self) -> str:
        """End it; return its last words."""
        self._tapped.stop()
        return self.more()
