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
#: Larger than any packet or name table we would want to hold in memory.
MAX_BLOCK_BYTES = 16 * 1024 * 1024
_MAX_INTERFACES = 4096

_OPT_TSRESOL = 9
_OPT_TSOFFSET = 14
_NS = 1_000_000_000

Record = tuple[int, int, int, bytes]


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


def pcapng_records(
    feed: BlockFeed, damage: Callable[[str], None], warnings: list[str]
) -> Iterator[Record]:
    """Yield the packets of a pcapng file.

    Args:
        feed: Buffer that starts at the first section header.
        damage: Called once, with a sentence, where the file cannot be read further.
        warnings: Grows by what was skipped.
    """
    order = "<"
    interfaces: list[_Interface] = []
    clock_ns = 0
    skipped = 0
    for kind, body, section_order in _blocks(feed, damage):
        if kind == _SECTION:
            order, interfaces = section_order, []
        elif kind == _INTERFACE:
            if len(interfaces) < _MAX_INTERFACES:
                interfaces.append(_interface(body, order))
        elif kind in {_ENHANCED_PACKET, _OLD_PACKET, _SIMPLE_PACKET}:
            record = _packet(kind, body, order, interfaces, clock_ns)
            if record is None:
                skipped += 1
            else:
                clock_ns = record[0]
                yield record
    if skipped:
        warnings.append(f"{skipped} packet blocks name no interface of their section: skipped")


def _blocks(feed: BlockFeed, damage: Callable[[str], None]) -> Iterator[tuple[int, bytes, str]]:
    """Yield (type, body, byte order) and check both length fields of every block."""
    data, at, order, number = feed.data, 0, "<", 0
    while True:
        number += 1
        if at + _MIN_BLOCK_BYTES > len(data):
            data, at = feed.refill(at, _MIN_BLOCK_BYTES), 0
            if not data:
                return
            if len(data) < _MIN_BLOCK_BYTES:
                damage(f"the file ends in the middle of block {number}")
                return
        if data[at : at + 4] == SECTION_MAGIC:
            order = _section_order(data, at)
        kind, length = struct.unpack_from(order + "II", data, at)
        if length < _MIN_BLOCK_BYTES or length % 4 or length > MAX_BLOCK_BYTES:
            damage(f"block {number} claims {length} bytes: the file is damaged")
            return
        if at + length > len(data):
            data, at = feed.refill(at, length), 0
            if length > len(data):
                damage(f"the file ends in the middle of block {number}")
                return
        if struct.unpack_from(order + "I", data, at + length - 4)[0] != length:
            damage(f"the two lengths of block {number} differ: the file is damaged")
            return
        yield kind, data[at + 8 : at + length - 4], order
        at += length


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
    kind: int, body: bytes, order: str, interfaces: list[_Interface], clock_ns: int
) -> Record | None:
    if kind == _SIMPLE_PACKET:
        if len(body) < 4 or not interfaces:
            return None
        wire = struct.unpack_from(order + "I", body)[0]
        interface = interfaces[0]
        captured = min(wire, interface.snaplen or wire, len(body) - 4)
        # A simple packet block has no time of its own: the last one known keeps the order.
        return clock_ns, interface.linktype, wire, body[4 : 4 + captured]
    if len(body) < 20:
        return None
    if kind == _ENHANCED_PACKET:
        index, high, low, captured, wire = struct.unpack_from(order + "IIIII", body)
    else:
        index, _, high, low, captured, wire = struct.unpack_from(order + "HHIIII", body)
    if index >= len(interfaces) or captured > len(body) - 20:
        return None
    interface = interfaces[index]
    units = high << 32 | low
    when_ns = units * interface.numerator_ns // interface.denominator + interface.offset_ns
    return when_ns, interface.linktype, wire, body[20 : 20 + captured]
