"""Packets that a command line prints in hex, put back together as a capture file. Pure and bounded.

The capture is classic pcap (draft-ietf-opsawg-pcap, microseconds), so that packets from a vendor's
terminal go the way of all others: judged, stored, redacted, cited by frame number.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: Longest packet that is put together; what claims more is damaged.
MAX_PACKET_BYTES = 65_535 + 18
#: Most packets of one capture: the task books ask for far less.
MAX_PACKETS = 100_000

_ETHERNET_BYTES, _TAG_BYTES = 14, 4
_IPV4_BYTES, _IPV6_BYTES = 20, 40
_IP_TYPES = {0x0800: 4, 0x86DD: 6}
_TAGS = frozenset({0x8100, 0x88A8, 0x9100})
_OTHER_TYPES = frozenset({0x0806, 0x8863, 0x8864, 0x888E})
_LINKTYPE_ETHERNET, _LINKTYPE_RAW = 1, 101
_SECOND_US = 1_000_000
_DIGITS = frozenset("0123456789abcdefABCDEF")
_FILE_HEADER = struct.Struct("<IHHiIII")
_RECORD_HEADER = struct.Struct("<IIII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One packet.

    Attributes:
        when_us: Microseconds since 1970.
        data: What was printed of it.
        wire_bytes: Its length on the wire where that was printed, too, else 0.
    """

    when_us: int
    data: bytes
    wire_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sniffed:
    """What a sniffer's text holds.

    Attributes:
        pcap: The packets as a capture file; it is a valid one also without any packet.
        packets: How many.
        peak_pps: Most packets within one second.
        damaged: How many were printed with a gap and are left out.
        notes: What was odd, one sentence each.
    """

    pcap: bytes
    packets: int
    peak_pps: int = 0
    damaged: int = 0
    notes: tuple[str, ...] = ()


def groups(text: str, width: int, most: int) -> bytes | None:
    """Return the bytes of one row of hex, ``None`` where it is none.

    Groups of digits have one blank between them; behind the last stand several, or a tab, and
    the same bytes as characters, which may look like hex themselves.

    Args:
        text: The row behind its offset.
        width: Digits of a whole group.
        most: Groups of a whole row.
    """
    found: list[str] = []
    for word in text.lstrip(" \t").partition("\t")[0].split(" ", most)[:most]:
        is_hex = 0 < len(word) <= width and len(word) % 2 == 0 and _DIGITS.issuperset(word)
        if not is_hex:
            break
        found.append(word)
        if len(word) < width:  # only the last group may be short
            break
    return bytes.fromhex("".join(found)) if found else None


@dataclass(slots=True)
class Assembly:
    """Puts rows of hex together to packets.

    Attributes:
        frames: Whole packets.
        damaged: Packets with a gap between their rows.
    """

    frames: list[Frame] = field(default_factory=list)
    damaged: int = 0
    _when_us: int = 0
    _wire_bytes: int = 0
    _data: bytearray = field(default_factory=bytearray)
    _is_open: bool = False
    _is_whole: bool = True

    def begin(self, when_us: int, wire_bytes: int = 0) -> None:
        """Begin the next packet."""
        self.end()
        self._when_us, self._wire_bytes = when_us, wire_bytes
        self._is_open, self._is_whole = True, True
        self._data.clear()

    def row(self, offset: int, data: bytes) -> None:
        """Add one row; one that does not follow the last one damages the packet."""
        if not self._is_open:
            # Rows without a packet's first line: the text was cut.
            self._is_open, self._is_whole = True, False
        fits = offset == len(self._data) and len(self._data) + len(data) <= MAX_PACKET_BYTES
        if not fits:
            self._is_whole = False
        if self._is_whole:
            self._data += data

    def end(self) -> None:
        """End the packet that is open, if any; one without bytes is none."""
        if not self._is_open:
            return
        self._is_open = False
        if not self._is_whole:
            self.damaged += 1
        elif self._data and len(self.frames) < MAX_PACKETS:
            self.frames.append(
                Frame(when_us=self._when_us, data=bytes(self._data), wire_bytes=self._wire_bytes)
            )

    def sniffed(self, notes: Iterable[str] = (), *, is_ip: bool = False) -> Sniffed:
        """Return all packets as a capture file.

        Args:
            notes: What was odd.
            is_ip: What was printed begins with the IP header; else that is found out.
        """
        self.end()
        said = list(notes)
        if self.damaged:
            said.append(f"{self.damaged} packets were printed with a gap and are left out")
        if len(self.frames) == MAX_PACKETS:
            said.append(f"only the first {MAX_PACKETS} packets are kept")
        pcap, left_out = pcap_of(self.frames, is_ip=is_ip)
        if left_out:
            said.append(f"{left_out} packets that are neither Ethernet nor IP are left out")
        return Sniffed(
            pcap=pcap,
            packets=len(self.frames) - left_out,
            peak_pps=_peak([frame.when_us for frame in self.frames]),
            damaged=self.damaged,
            notes=tuple(said),
        )


def pcap_of(frames: Sequence[Frame], *, is_ip: bool = False) -> tuple[bytes, int]:
    """Return packets as a capture file, and how many had to be left out.

    Ethernet where all of them are; else bare IP, because some vendors print some interfaces (PPP,
    tunnels) without a link's header.
    """
    is_ethernet = not is_ip and all(_is_ethernet(frame.data) for frame in frames)
    linktype = _LINKTYPE_ETHERNET if is_ethernet else _LINKTYPE_RAW
    parts = [_FILE_HEADER.pack(0xA1B2C3D4, 2, 4, 0, 0, 262_144, linktype)]
    left_out = 0
    for frame in frames:
        begin = 0 if is_ethernet else _ip_begin(frame.data, is_ip=is_ip)
        if begin is None:
            left_out += 1
            continue
        data = frame.data[begin:]
        wire = max(
            frame.wire_bytes - begin, len(data), _claimed_bytes(data, is_ethernet=is_ethernet)
        )
        seconds, micros = divmod(max(0, frame.when_us), 1_000_000)
        parts += [_RECORD_HEADER.pack(seconds & 0xFFFFFFFF, micros, len(data), wire), data]
    return b"".join(parts), left_out


def _peak(times_us: Sequence[int]) -> int:
    """Return the most packets within any second."""
    ordered, first, most = sorted(times_us), 0, 0
    for last, when_us in enumerate(ordered):
        while when_us - ordered[first] >= _SECOND_US:
            first += 1
        most = max(most, last - first + 1)
    return most


def _is_ethernet(data: bytes) -> bool:
    at, found = _payload(data)
    if found in _OTHER_TYPES:
        return True
    return found in _IP_TYPES and _version(data, at) == _IP_TYPES[found]


def _payload(data: bytes) -> tuple[int, int]:
    """Return where the payload of an Ethernet frame begins, and its type."""
    at, found = _ETHERNET_BYTES, int.from_bytes(data[12:14])
    while found in _TAGS and len(data) >= at + _TAG_BYTES:
        found = int.from_bytes(data[at + 2 : at + 4])
        at += _TAG_BYTES
    return at, found


def _version(data: bytes, at: int) -> int:
    return data[at] >> 4 if len(data) > at else 0


def _ip_begin(data: bytes, *, is_ip: bool) -> int | None:
    """Return where the IP header begins, ``None`` where there is none."""
    if not is_ip and _is_ethernet(data):
        at, found = _payload(data)
        return at if found in _IP_TYPES else None
    shortest = {4: _IPV4_BYTES, 6: _IPV6_BYTES}.get(_version(data, 0))
    return 0 if shortest is not None and len(data) >= shortest else None


def _claimed_bytes(data: bytes, *, is_ethernet: bool) -> int:
    """Return the length on the wire that the IP header names: rows may stop before the end."""
    at, found = _payload(data) if is_ethernet else (0, 0)
    if is_ethernet and found not in _IP_TYPES:
        return 0
    version = _version(data, at)
    if version == 4 and len(data) >= at + _IPV4_BYTES:  # noqa: PLR2004 - IP's version
        return at + int.from_bytes(data[at + 2 : at + 4])
    if version == 6 and len(data) >= at + _IPV6_BYTES:  # noqa: PLR2004
        return at + _IPV6_BYTES + int.from_bytes(data[at + 4 : at + 6])
    return 0


#: A counter in a sniffer's last words: the device itself missed packets.
DROPPED = re.compile(r"^(\d{1,10}) packets? dropped by (?:kernel|interface)$")


def drop_note(line: str) -> str:
    """Return the sentence for a line that says that packets were missed, or ``""``."""
    found = DROPPED.match(line.strip())
    return f"the device says: {line.strip()}" if found and int(found[1]) else ""
