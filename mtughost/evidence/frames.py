"""Packets rewritten in place: addresses replaced, payload scrubbed, checksums still right.

Nothing changes its length. A checksum is corrected by the difference that the change makes (RFC
1624), so one that was right stays right and one that was wrong (checksum offload at the capturing
host) stays exactly as wrong: the evidence is not improved.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from mtughost.evidence.pseudonyms import Pseudonyms

_IPV4, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD
_VLAN: Final = frozenset({0x8100, 0x88A8, 0x9100})
_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
_V6_EXTENSIONS: Final = frozenset({0, 43, 60, 135})
_V6_FRAGMENT: Final = 44
_TOO_BIG_OR_UNREACHABLE_V4: Final = frozenset({3, 11, 12})
_ERRORS_V6: Final = frozenset({1, 2, 3, 4})
_NEIGHBOUR: Final = frozenset({135, 136})
_QUOTED_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment with payload, before the change.

    Attributes:
        key: Source and destination address with ports, as bytes: one direction of a connection.
        sequence: Sequence number of its first byte of payload.
    """

    key: bytes
    sequence: int
    syn: bool
    payload: bytes


Scrub = Callable[[Segment], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeps:
    """What stays real in a capture.

    Attributes:
        packed: Addresses that stay, in network byte order, such as the service's.
        addresses: All addresses stay.
        macs: Hardware addresses stay.
    """

    packed: frozenset[bytes] = frozenset()
    addresses: bool = False
    macs: bool = False


def fixed(old: int, before: bytes | bytearray, after: bytes | bytearray) -> int:
    """Return a checksum after ``before`` became ``after`` (even offset, equal length)."""
    if before == after:
        return old
    pad = b"\0" * (len(before) % 2)
    # Big-endian words summed with end-around carry are the number itself modulo 65535.
    change = int.from_bytes(after + pad, "big") - int.from_bytes(before + pad, "big")
    total = ((~old & 0xFFFF) + change) % 0xFFFF
    return ~total & 0xFFFF


@dataclass(slots=True)
class FrameRewriter:
    """Rewrites frames of one capture.

    Attributes:
        scrub: Says what replaces the payload of a TCP segment.
    """

    stand_ins: Pseudonyms
    scrub: Scrub
    keeps: Keeps
    _mapped: Callable[[bytes], bytes] = field(init=False)
    _hardware: Callable[[bytes], bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Remember addresses: a capture has few, and each costs many hashes."""
        self._mapped = lru_cache(maxsize=1 << 16)(self._map)
        self._hardware = lru_cache(maxsize=1 << 16)(self.stand_ins.mac_bytes)

    def _map(self, packed: bytes) -> bytes:
        if self.keeps.addresses or packed in self.keeps.packed:
            return packed
        return self.stand_ins.address(ipaddress.ip_address(packed)).packed

    def _mac(self, frame: bytearray, at: int) -> None:
        if not self.keeps.macs and at + 6 <= len(frame):
            frame[at : at + 6] = self._hardware(bytes(frame[at : at + 6]))

    def ethernet(self, frame: bytearray) -> None:
        """Rewrite an Ethernet frame with any number of VLAN tags."""
        self._mac(frame, 0)
        self._mac(frame, 6)
        at = 12
        kind = int.from_bytes(frame[at : at + 2], "big")
        while kind in _VLAN and at + 6 <= len(frame):
            at += 4
            kind = int.from_bytes(frame[at : at + 2], "big")
        self.network(frame, at + 2, kind)

    def cooked(self, frame: bytearray, *, version: int) -> None:
        """Rewrite a Linux cooked frame (SLL, or SLL2 with ``version`` 2)."""
        if version == 1:
            self._mac(frame, 6)
            self.network(frame, 16, int.from_bytes(frame[14:16], "big"))
        else:
            self._mac(frame, 12)
            self.network(frame, 20, int.from_bytes(frame[0:2], "big"))

    def raw(self, frame: bytearray) -> None:
        """Rewrite a packet without a link layer."""
        if frame:
            self.network(frame, 0, _IPV4 if frame[0] >> 4 == 4 else _IPV6)  # noqa: PLR2004

    def network(self, frame: bytearray, at: int, kind: int) -> None:
        """Rewrite what begins at ``at``; protocols that nobody here knows become zeros."""
        if kind == _IPV4 and len(frame) >= at + 20:
            self._ipv4(frame, at)
        elif kind == _IPV6 and len(frame) >= at + 40:
            self._ipv6(frame, at)
        elif kind == _ARP and len(frame) >= at + 28:
            self._arp(frame, at)
        else:
            frame[at:] = bytes(len(frame) - at)

    def _arp(self, frame: bytearray, at: int) -> None:
        for mac in (at + 8, at + 18):
            self._mac(frame, mac)
        for ip in (at + 14, at + 24):
            frame[ip : ip + 4] = self._mapped(bytes(frame[ip : ip + 4]))
        frame[at + 28 :] = bytes(len(frame) - at - 28)

    def _ipv4(self, frame: bytearray, at: int) -> None:
        header = (frame[at] & 15) * 4
        before = bytes(frame[at + 12 : at + 20])
        after = self._mapped(before[:4]) + self._mapped(before[4:])
        frame[at + 12 : at + 20] = after
        _correct(frame, at + 10, before, after)
        fragment = int.from_bytes(frame[at + 6 : at + 8], "big") & 0x1FFF
        end = min(len(frame), at + max(int.from_bytes(frame[at + 2 : at + 4], "big"), header))
        whole = at + int.from_bytes(frame[at + 2 : at + 4], "big") <= len(frame)
        self._transport(
            frame, at + header, end if whole else len(frame), frame[at + 9], (before, after),
            first=not fragment,
        )  # fmt: skip

    def _ipv6(self, frame: bytearray, at: int) -> None:
        before = bytes(frame[at + 8 : at + 40])
        after = self._mapped(before[:16]) + self._mapped(before[16:])
        frame[at + 8 : at + 40] = after
        kind, position, first = frame[at + 6], at + 40, True
        while (kind in _V6_EXTENSIONS or kind == _V6_FRAGMENT) and position + 8 <= len(frame):
            if kind == _V6_FRAGMENT:
                first = not int.from_bytes(frame[position + 2 : position + 4], "big") >> 3
                size = 8
            else:
                size = (frame[position + 1] + 1) * 8
            kind, position = frame[position], position + size
        end = at + 40 + int.from_bytes(frame[at + 4 : at + 6], "big")
        end = end if at + 40 < end <= len(frame) else len(frame)
        self._transport(frame, position, end, kind, (before, after), first=first)

    def _transport(
        self,
        frame: bytearray,
        at: int,
        end: int,
        kind: int,
        addresses: tuple[bytes, bytes],
        *,
        first: bool,
    ) -> None:
        # Padding behind the packet is nobody's business.
        frame[end:] = bytes(len(frame) - end)
        if not first or at >= end:
            frame[at:end] = bytes(max(0, end - at))
        elif kind == _TCP and at + 20 <= end:
            self._tcp(frame, at, end, addresses)
        elif kind == _UDP and at + 8 <= end:
            self._udp(frame, at, end, addresses)
        elif kind == _ICMP and at + 8 <= end:
            self._icmp(frame, at, end)
        elif kind == _ICMPV6 and at + 8 <= end:
            self._icmpv6(frame, at, end, addresses)
        else:
            frame[at:end] = bytes(end - at)

    def _tcp(self, frame: bytearray, at: int, end: int, addresses: tuple[bytes, bytes]) -> None:
        start = min(at + (frame[at + 12] >> 4) * 4, end)
        ports = bytes(frame[at : at + 4])
        payload = bytes(frame[start:end])
        _correct(frame, at + 16, *addresses)
        if payload:
            segment = Segment(
                addresses[0] + ports,
                int.from_bytes(frame[at + 4 : at + 8], "big"),
                bool(frame[at + 13] & 2),
                payload,
            )
            scrubbed = self.scrub(segment)
            frame[start:end] = scrubbed
            _correct(frame, at + 16, payload, scrubbed)

    def _udp(self, frame: bytearray, at: int, end: int, addresses: tuple[bytes, bytes]) -> None:
        payload = bytes(frame[at + 8 : end])
        frame[at + 8 : end] = bytes(len(payload))
        if int.from_bytes(frame[at + 6 : at + 8], "big"):  # zero means "none" (RFC 768)
            _correct(frame, at + 6, *addresses)
            _correct(frame, at + 6, payload, bytes(len(payload)))

    def _icmp(self, frame: bytearray, at: int, end: int) -> None:
        body = bytes(frame[at + 8 : end])
        fresh = bytearray(len(body))
        if frame[at] in _TOO_BIG_OR_UNREACHABLE_V4 and len(body) >= 20:  # noqa: PLR2004
            header = (body[0] & 15) * 4
            fresh[: header + _QUOTED_KEPT] = body[: header + _QUOTED_KEPT]
            before = bytes(fresh[12:20])
            after = self._mapped(before[:4]) + self._mapped(before[4:])
            fresh[12:20] = after
            _correct(fresh, 10, before, after)
        frame[at + 8 : end] = fresh
        _correct(frame, at + 2, body, fresh)

    def _icmpv6(self, frame: bytearray, at: int, end: int, addresses: tuple[bytes, bytes]) -> None:
        body = bytes(frame[at + 8 : end])
        fresh = bytearray(len(body))
        if frame[at] in _ERRORS_V6 and len(body) >= 40:  # noqa: PLR2004 - a whole IPv6 header
            fresh[: 40 + _QUOTED_KEPT] = body[: 40 + _QUOTED_KEPT]
            fresh[8:24] = self._mapped(body[8:24])
            fresh[24:40] = self._mapped(body[24:40])
        elif frame[at] in _NEIGHBOUR and len(body) >= 16:  # noqa: PLR2004 - the target
            fresh[:16] = self._mapped(body[:16])
        frame[at + 8 : end] = fresh
        _correct(frame, at + 2, *addresses)
        _correct(frame, at + 2, body, fresh)


def _correct(
    frame: bytearray, at: int, before: bytes | bytearray, after: bytes | bytearray
) -> None:
    old = int.from_bytes(frame[at : at + 2], "big")
    struct.pack_into(">H", frame, at, fixed(old, before, after))
