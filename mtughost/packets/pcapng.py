# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""The blocks of pcapng: section header, interface description, packet blocks.

Several sections (each with its own byte order) and several interfaces (each with its own link type
and time unit) may stand in one file. Blocks of other types are skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

#: Block type of a section header; a palindrome, so it reads the same in both byte orders.
SECTION_MAGIC = b"\x0a\x0d\x0d\x0a"

_SECTION = 0x0A0D0D0A
_INTERFACE = 1
_OLD_PACKET = 2
_SIMPLE_PACKET = 3
_ENHANCED_PACKET = 6

_BYTE_ORDER = 0x1A2B3C4D
_MIN_BLOCK_BYTES = 12
_MIN_ENHANCED_BYTES = 32
#: Larger than any packet or name table we would want to hold in memory.
MAX_BLOCK_BYTES = 16 * 1024 * 1024
_MAX_INTERFACES = 4096

_OPT_TSRESOL = 9
_OPT_TSOFFSET = 14
_NS = 1_000_000_000

#: As in :mod:`mtughost.packets.reader`.
Slot = tuple[int, int, int, int, int]


class BlockFeed(Protocol):
    """The part of the reader's buffer that this module needs."""

    data: bytes

    def refill(self, keep_from: int, need: int) -> bytes:
        """Drop bytes before ``keep_from`` and read until ``need`` bytes are there."""


@dataclass(frozen=True, slots=True)
class _Interface:
    """One capture interface: time = units * numerator_ns / denominator + offset_ns."""

    linktype: int
    snaplen: int
    numerator_ns: int
    denominator: int
    offset_ns: int


class _Section:
    """What the blocks of one section mean: its byte order and its interfaces."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.interfaces: list[_Interface] = []
        self.head = struct.Struct(order + "II").unpack_from
        self.length = struct.Struct(order + "I").unpack_from
        self.packet = struct.Struct(order + "IIIII").unpack_from


def pcapng_batches(
    feed: BlockFeed, damage: Callable[[str], None], warnings: list[str]
) -> Iterator[tuple[bytes, list[Slot]]]:
    """Yield the packets of a pcapng file, many at a time.

    Args:
        feed: Buffer that starts at the first section header.
        damage: Called once, with a sentence, where the file cannot be read further.
        warnings: Grows by what was skipped.
    """
    blocks = _Blocks(feed, damage)
    while True:
        slots = blocks.slots()
        if slots:
            yield feed.data, slots
        if not blocks.more():
            break
    if blocks.skipped:
        warnings.append(
            f"{blocks.skipped} packet blocks name no interface of their section: skipped"
        )


class _Blocks:
    """Walks over the blocks and checks both length fields of every one."""

    def __init__(self, feed: BlockFeed, damage: Callable[[str], None]) -> None:
        self._feed = feed
        self._damage = damage
        self._at = 0
        self._need = _MIN_BLOCK_BYTES
        self._number = 1
        self._section = _Section("<")
        self._clock_ns = 0
        self._broken = False
        self.skipped = 0

    def slots(self) -> list[Slot]:
        """Return the packets of all blocks that are whole in the buffer."""
        data, at, end = self._feed.data, self._at, len(self._feed.data)
        section = self._section
        slots: list[Slot] = []
        self._need = _MIN_BLOCK_BYTES
        while at + _MIN_BLOCK_BYTES <= end:
            if data[at : at + 4] == SECTION_MAGIC:
                section = self._section = _Section(_section_order(data, at))
            kind, length = section.head(data, at)
            after = at + length
            if after > end and length <= MAX_BLOCK_BYTES:
                self._need = max(length, _MIN_BLOCK_BYTES)
                break
            if not self._sound(data, at, length):
                break
            if kind == _ENHANCED_PACKET and length >= _MIN_ENHANCED_BYTES:
                index, high, low, captured, wire = section.packet(data, at + 8)
                if index < len(section.interfaces) and captured <= length - _MIN_ENHANCED_BYTES:
                    interface = section.interfaces[index]
                    units = high << 32 | low
                    when_ns = units * interface.numerator_ns // interface.denominator
                    self._clock_ns = when_ns = when_ns + interface.offset_ns
                    body = at + 28
                    slots.append((when_ns, interface.linktype, wire, body, body + captured))
                else:
                    self.skipped += 1
            else:
                self._other(kind, data, at + 8, after - 4, slots)
            at = after
            self._number += 1
        self._at = at
        return slots

    def _sound(self, data: bytes, at: int, length: int) -> bool:
        if length < _MIN_BLOCK_BYTES or length % 4 or length > MAX_BLOCK_BYTES:
            what = f"block {self._number} claims {length} bytes"
        elif self._section.length(data, at + length - 4)[0] != length:
            what = f"the two lengths of block {self._number} differ"
        else:
            return True
        self._damage(f"{what}: the file is damaged")
        self._broken = True
        return False

    def _other(self, kind: int, data: bytes, body: int, end: int, slots: list[Slot]) -> None:
        interfaces = self._section.interfaces
        if kind == _INTERFACE:
            if len(interfaces) < _MAX_INTERFACES:
                interfaces.append(_interface(data[body:end], self._section.order))
        elif kind in {_ENHANCED_PACKET, _OLD_PACKET, _SIMPLE_PACKET}:
            slot = _packet(kind, data, body, end, self._section, self._clock_ns)
            if slot is None:
                self.skipped += 1
            else:
                self._clock_ns = slot[0]
                slots.append(slot)

    def more(self) -> bool:
        """Refill the buffer; ``False`` at the end or at damage."""
        if self._broken:
            return False
        data = self._feed.refill(self._at, self._need)
        self._at = 0
        if data and len(data) < self._need:
            self._damage(f"the file ends in the middle of block {self._number}")
        return len(data) >= self._need


def _section_order(data: bytes, at: int) -> str:
    """Return the section's byte order; nonsense in the field shows by the block's length."""
    return ">" if struct.unpack_from(">I", data, at + 8)[0] == _BYTE_ORDER else "<"


def _interface(body: bytes, order: str) -> _Interface:
    if len(body) < 8:
        return _Interface(-1, 0, 1000, 1, 0)
    linktype, _, snaplen = struct.unpack_from(order + "HHI", body)
    numerator_ns, denominator, offset_ns = 1000, 1, 0
    for code, value in _options(body, 8, order):
        if code == _OPT_TSRESOL and value:
            exponent = value[0] & 0x7F
            ticks = 2**exponent if value[0] & 0x80 else 10**exponent
            numerator_ns, denominator = _NS, ticks
        elif code == _OPT_TSOFFSET and len(value) >= 8:
            offset_ns = struct.unpack_from(order + "q", value)[0] * _NS
    return _Interface(linktype, snaplen, numerator_ns, denominator, offset_ns)


def _options(body: bytes, at: int, order: str) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        if code == 0:
            return
        yield code, body[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4


def _packet(
    kind: int, data: bytes, body: int, end: int, section: _Section, clock_ns: int
) -> Slot | None:
    """Read a simple or an obsolete packet block."""
    if kind == _SIMPLE_PACKET:
        if end - body < 4 or not section.interfaces:
            return None
        wire = section.length(data, body)[0]
        interface = section.interfaces[0]
        captured = min(wire, interface.snaplen or wire, end - body - 4)
        # A simple packet block has no time of its own: the last one known keeps the order.
        return clock_ns, interface.linktype, wire, body + 4, body + 4 + captured
    if kind == _ENHANCED_PACKET or end - body < 20:
        return None
    index, _, high, low, captured, wire = struct.unpack_from(section.order + "HHIIII", data, body)
    if index >= len(section.interfaces) or captured > end - body - 20:
        return None
    interface = section.interfaces[index]
    units = high << 32 | low
    when_ns = units * interface.numerator_ns // interface.denominator + interface.offset_ns
    return when_ns, interface.linktype, wire, body + 20, body + 20 + captured
