# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""ICMP "fragmentation needed" (RFC 792, 1191) and ICMPv6 "packet too big" (RFC 4443)."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from mtughost.model.evidence import IcmpTooBigSeen
from mtughost.packets.ip import ICMP, ICMP6
from mtughost.packets.segment import Packet

_UNREACHABLE, _FRAG_NEEDED, _TOO_BIG6 = 3, 4, 2
_HEADER_BYTES = 8

#: Every IPv4 link carries this much (RFC 791) ...
MIN_IPV4_BYTES = 68
#: ... and every IPv6 link this much (RFC 8200 section 5).
MIN_IPV6_BYTES = 1280
#: Linux's ``min_pmtu``: smaller values are legal, and odd enough to say so.
ODD_IPV4_BYTES = 552


def parse_too_big(packet: Packet) -> IcmpTooBigSeen | None:
    """Read a "too big" message; ``None`` for any other ICMP or one that is cut off."""
    data, at, end = packet.data, packet.start, packet.end
    if end - at < _HEADER_BYTES:
        return None
    kind, code = data[at], data[at + 1]
    quoted = at + _HEADER_BYTES
    if packet.protocol == ICMP and (kind, code) == (_UNREACHABLE, _FRAG_NEEDED):
        if end - quoted < 20 or data[quoted] >> 4 != 4:
            return None
        mtu = int.from_bytes(data[at + 6 : at + 8], "big")
        size = struct.unpack_from("!H", data, quoted + 2)[0]
        source, destination = data[quoted + 12 : quoted + 16], data[quoted + 16 : quoted + 20]
    elif packet.protocol == ICMP6 and kind == _TOO_BIG6:
        if end - quoted < 40 or data[quoted] >> 4 != 6:
            return None
        mtu = int.from_bytes(data[at + 4 : at + 8], "big")
        size = struct.unpack_from("!H", data, quoted + 4)[0] + 40
        source, destination = data[quoted + 8 : quoted + 24], data[quoted + 24 : quoted + 40]
    else:
        return None
    return IcmpTooBigSeen(
        reporter=str(ip_address(packet.source)),
        to=str(ip_address(packet.destination)),
        next_hop_mtu_bytes=mtu,
        quoted_source=str(ip_address(source)),
        quoted_destination=str(ip_address(destination)),
        quoted_bytes=size,
        family="ipv4" if packet.family == 4 else "ipv6",
        frame=packet.frame,
    )


def quoted_key(packet: Packet) -> bytes:
    """Return addresses and ports of the quoted packet, as flows are keyed by; ``b""`` if cut."""
    data, quoted = packet.data, packet.start + _HEADER_BYTES
    if packet.protocol == ICMP:
        ports = quoted + (data[quoted] & 0x0F) * 4
        addresses = data[quoted + 12 : quoted + 20]
    else:
        ports = quoted + 40
        addresses = data[quoted + 8 : quoted + 40]
    return addresses + data[ports : ports + 4] if packet.end >= ports + 4 else b""


def doubt(message: IcmpTooBigSeen, largest_seen_bytes: int) -> str:
    """Say why a message must not lower a path MTU, or ``""`` when it can be believed.

    Args:
        message: The message.
        largest_seen_bytes: Largest packet that this point saw from the quoted source to the
            quoted destination; 0 when it saw none.
    """
    mtu = message.next_hop_mtu_bytes
    if message.family == "ipv6" and mtu < MIN_IPV6_BYTES:
        return f"its MTU {mtu} is below 1280, which every IPv6 link must carry"
    if mtu == 0:
        return "it names no next-hop MTU (a router older than RFC 1191)"
    if mtu < MIN_IPV4_BYTES:
        return f"its MTU {mtu} is below 68, which every IPv4 link must carry"
    if largest_seen_bytes and largest_seen_bytes <= mtu:
        if message.quoted_bytes > largest_seen_bytes:
            return (
                f"it quotes {message.quoted_bytes} bytes where nothing larger than "
                f"{largest_seen_bytes} was sent: receive offload at the far side, not the path"
            )
        return f"nothing that was sent exceeds its MTU {mtu}"
    return ""


def oddity(message: IcmpTooBigSeen) -> str:
    """Say what is strange about a message that is believed all the same, or ``""``."""
    mtu = message.next_hop_mtu_bytes
    if message.family == "ipv4" and mtu < ODD_IPV4_BYTES:
        return f"its next-hop MTU {mtu} is unusually small"
    if message.quoted_bytes <= mtu:
        return f"the packet that it quotes ({message.quoted_bytes} bytes) fits its MTU {mtu}"
    return ""
