"""The lab's own reading of captures: thirty fields of IP frames, nothing clever.

Ground truth must not come from the readers that it judges, so this shares no code with
``mtughost.packets``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from mtughost.model.errors import LabError

#: Bytes before the IP header by link type: Ethernet; raw IP, as a tunnel interface gives it.
_LINK_BYTES = {1: 14, 12: 0, 101: 0}
_FILE_HEADER_BYTES = 24
_MORE_FRAGMENTS, _DONT_FRAGMENT, _OFFSET_MASK = 0x2000, 0x4000, 0x1FFF
SYN, RST, ACK = 0x02, 0x04, 0x10


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP header."""

    source_port: int
    target_port: int
    sequence: int
    acknowledged: int
    flags: int
    mss_bytes: int | None
    payload_bytes: int

    @property
    def is_syn(self) -> bool:
        """A SYN without ACK."""
        return self.flags & (SYN | ACK) == SYN

    @property
    def is_syn_ack(self) -> bool:
        """A SYN with ACK."""
        return self.flags & (SYN | ACK) == SYN | ACK


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame with an IP packet.

    Attributes:
        time_s: Seconds since 1970.
        length: Bytes on the wire, without checksum.
        tcp: ``None`` for other protocols and for all but the first fragment.
        next_hop_mtu: Of an ICMP "fragmentation needed" or ICMPv6 "packet too big", else ``None``.
        quoted_target: Destination address inside that ICMP message.
    """

    time_s: float
    length: int
    source: str
    target: str
    identification: int
    dont_fragment: bool
    is_fragment: bool
    tcp: Tcp | None
    next_hop_mtu: int | None = None
    quoted_target: str = ""


def read(capture: bytes) -> Iterator[Frame]:
    """Yield the IP frames of a little-endian microsecond pcap (tcpdump's own).

    Raises:
        LabError: not such a file, or a link type that the lab has no interfaces of.
    """
    if len(capture) < _FILE_HEADER_BYTES or capture[:4] != b"\xd4\xc3\xb2\xa1":
        raise LabError("tcpdump wrote no capture")
    link = struct.unpack_from("<I", capture, 20)[0]
    if link not in _LINK_BYTES:
        raise LabError(f"a capture has the unknown link type {link}")
    skip = _LINK_BYTES[link]
    position = _FILE_HEADER_BYTES
    while position + 16 <= len(capture):
        seconds, micros, kept, length = struct.unpack_from("<IIII", capture, position)
        position += 16
        data = capture[position : position + kept]
        position += kept
        # The two bytes before the IP header are Ethernet's type; raw IP has its version instead.
        is_ip = data[12:14] in {b"\x08\x00", b"\x86\xdd"} if skip else bool(data)
        if len(data) != kept or not is_ip:
            continue
        version = data[skip] >> 4
        if version == 4:  # noqa: PLR2004 - IPv4
            yield _frame(seconds + micros / 1e6, length, data[skip:])
        elif version == 6:  # noqa: PLR2004 - IPv6
            yield _frame6(seconds + micros / 1e6, length, data[skip:])


def _frame(time_s: float, length: int, packet: bytes) -> Frame:
    header = (packet[0] & 0x0F) * 4
    total, identification, fragment = struct.unpack_from("!HHH", packet, 2)
    protocol, body = packet[9], packet[header:total]
    is_fragment = bool(fragment & (_MORE_FRAGMENTS | _OFFSET_MASK))
    tcp, mtu, quoted = None, None, ""
    if protocol == 6 and not fragment & _OFFSET_MASK:  # noqa: PLR2004 - TCP
        tcp = _tcp(body)
    elif protocol == 1 and body[:2] == b"\x03\x04":
        mtu = struct.unpack_from("!H", body, 6)[0]
        quoted = str(IPv4Address(body[24:28]))
    return Frame(
        time_s=time_s,
        length=length,
        source=str(IPv4Address(packet[12:16])),
        target=str(IPv4Address(packet[16:20])),
        identification=identification,
        dont_fragment=bool(fragment & _DONT_FRAGMENT),
        is_fragment=is_fragment,
        tcp=tcp,
        next_hop_mtu=mtu,
        quoted_target=quoted,
    )


def _frame6(time_s: float, length: int, packet: bytes) -> Frame:
    total, following = struct.unpack_from("!HB", packet, 4)
    body = packet[40 : 40 + total]
    identification, is_fragment, offset = 0, False, 0
    if following == 44:  # noqa: PLR2004 - fragment header, RFC 8200 4.5
        following, offset, identification = body[0], *struct.unpack_from("!HI", body, 2)
        is_fragment, body = True, body[8:]
    tcp, mtu, quoted = None, None, ""
    if following == 6 and offset < 8:  # noqa: PLR2004 - TCP, first fragment
        tcp = _tcp(body)
    elif following == 58 and body[:1] == b"\x02":  # noqa: PLR2004 - packet too big, RFC 4443 3.2
        mtu = struct.unpack_from("!I", body, 4)[0]
        quoted = str(IPv6Address(body[32:48]))
    return Frame(
        time_s=time_s,
        length=length,
        source=str(IPv6Address(packet[8:24])),
        target=str(IPv6Address(packet[24:40])),
        identification=identification,
        dont_fragment=True,
        is_fragment=is_fragment,
        tcp=tcp,
        next_hop_mtu=mtu,
        quoted_target=quoted,
    )


def _tcp(body: bytes) -> Tcp:
    source, target, sequence, acknowledged, offset, flags = struct.unpack_from("!HHIIBB", body)
    header = (offset >> 4) * 4
    return Tcp(
        source_port=source,
        target_port=target,
        sequence=sequence,
        acknowledged=acknowledged,
        flags=flags,
        mss_bytes=_mss(body[20:header]),
        payload_bytes=len(body) - header,
    )


def _mss(options: bytes) -> int | None:
    position = 0
    while position < len(options):
        kind = options[position]
        if kind == 0:
            break
        if kind == 1:
            position += 1
            continue
        if kind == 2:  # noqa: PLR2004 - RFC 9293 3.1: maximum segment size
            value: int = struct.unpack_from("!H", options, position + 2)[0]
            return value
        position += max(2, options[position + 1])
    return None
