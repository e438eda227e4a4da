# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""From a captured frame to the start of its IP header.

Link types by the tcpdump group's registry (LINKTYPE_*). 802.11 is read by
:mod:`mtughost.packets.wifi`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

IPV4 = 0x0800
IPV6 = 0x86DD
EAPOL = 0x888E
#: LINKTYPE_ETHERNET.
ETHERNET = 1
OTHER = 0

_VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100})
_PPPOE_SESSION = 0x8864
_PPP_PROTOCOLS = {0x0021: IPV4, 0x0057: IPV6}
_MAX_TAGS = 8

#: Address family values of the null and loop link types (AF_INET is 2 everywhere, AF_INET6 is
#: 10, 24, 28 or 30 by system).
_NULL_FAMILIES = {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}

#: (offset of the network header, IPV4 / IPV6 / EAPOL / OTHER)
Found = tuple[int, int]
_NOTHING: Found = (0, OTHER)
_PLAIN_IPV4: Found = (14, IPV4)


def _by_ethertype(data: bytes, ethertype: int, at: int) -> Found:
    """Follow VLAN tags and PPPoE from ``ethertype``, whose payload starts at ``at``."""
    for _ in range(_MAX_TAGS):
        if ethertype in (IPV4, IPV6, EAPOL):
            return at, ethertype
        if ethertype in _VLAN_TAGS and len(data) >= at + 4:
            ethertype = data[at + 2] << 8 | data[at + 3]
            at += 4
        elif ethertype == _PPPOE_SESSION and len(data) >= at + 8:
            return at + 8, _PPP_PROTOCOLS.get(data[at + 6] << 8 | data[at + 7], OTHER)
        else:
            break
    return _NOTHING


def _ethernet(data: bytes) -> Found:
    if len(data) < 14:
        return _NOTHING
    ethertype = data[12] << 8 | data[13]
    if ethertype == IPV4:
        return _PLAIN_IPV4
    return _by_ethertype(data, ethertype, 14)


def _cooked(data: bytes) -> Found:
    if len(data) < 16:
        return _NOTHING
    return _by_ethertype(data, data[14] << 8 | data[15], 16)


def _cooked_v2(data: bytes) -> Found:
    if len(data) < 20:
        return _NOTHING
    return _by_ethertype(data, data[0] << 8 | data[1], 20)


def _raw(data: bytes) -> Found:
    if not data:
        return _NOTHING
    version = data[0] >> 4
    return 0, IPV4 if version == 4 else IPV6 if version == 6 else OTHER


def _null(data: bytes) -> Found:
    if len(data) < 4:
        return _NOTHING
    # The family is in the byte order of the machine that captured, so both are tried.
    for order in "<>":
        family = struct.unpack_from(order + "I", data)[0]
        if family in _NULL_FAMILIES:
            return 4, _NULL_FAMILIES[family]
    return _NOTHING


def _pppoe(data: bytes) -> Found:
    return _by_ethertype(data, _PPPOE_SESSION, 0)


def _ppp(data: bytes) -> Found:
    at = 2 if data[:2] == b"\xff\x03" else 0
    if len(data) < at + 2:
        return _NOTHING
    return at + 2, _PPP_PROTOCOLS.get(data[at] << 8 | data[at + 1], OTHER)


LINKS: dict[int, Callable[[bytes], Found]] = {
    0: _null,
    ETHERNET: _ethernet,
    9: _ppp,
    12: _raw,
    14: _raw,
    50: _ppp,
    51: _pppoe,
    101: _raw,
    108: _null,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked_v2,
}

_UNREAD = {
    197: "ERF",
    220: "USB",
}


def link_name(linktype: int) -> str:
    """Name a link type that is not read here, for a warning."""
    return _UNREAD.get(linktype, f"number {linktype}")
