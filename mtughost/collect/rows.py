"""Rows to facts: fixed columns per kind of fact, one function per kind, the same for all platforms.

A parser or dialect of any platform gives rows with these columns; missing ones count as "not
printed". What is not a plain decimal number in its range (``-1``, ``1e3``, ``0x5dc``, digits of
other scripts) is no number.

=============  ====================================================================================
kind           columns
=============  ====================================================================================
identity       HOSTNAME MODEL OS_NAME OS_VERSION SERIAL UPTIME_S (rows are merged, first wins)
privilege      SEES_FIREWALL SEES_INTERFACES (not empty and not "no" means yes) DETAIL (merged)
interfaces     NAME MTU STATE FLAGS KIND LINK_TYPE PARENT MASTER MAC
addresses      INTERFACE ADDRESS PREFIX_LEN (or NETMASK) FAMILY
routes         DESTINATION NETMASK FAMILY INTERFACE VIA TYPE TABLE METRIC MTU MTU_LOCK ADVMSS
               EXPIRES_S CACHED NEXTHOPS (texts "via X dev Y")
sessions       LOCAL PEER PEER_PORT STATE SEND_MSS ADVMSS PATH_MTU UNACKED BACKOFF RETRANS_NOW
               RETRANS_TOTAL ACKED_BYTES
icmp           NO_PMTU_DISC MTU_PROBING FRAG_FAILS FRAG_CREATES (merged)
dhcp           MTU SCOPE
=============  ====================================================================================

``cloud_rows`` and ``path_rows`` hold the other kinds. A NETMASK may stand for a prefix length, and
hardware addresses come in any of the vendors' spellings.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from mtughost.model.basis import Unknown
from mtughost.model.device import (
    Address,
    Family,
    IcmpSettings,
    Identity,
    Interface,
    Privilege,
    Route,
    TcpSession,
)
from mtughost.model.inventory import Device

#: RFC 791: every link carries 68 bytes. 65536 is the loopback's.
MTU_RANGE = (68, 65536)
#: RFC 879 and RFC 9293: 65535 is the field's limit.
MSS_RANGE = (1, 65535)
_U64 = 2**64 - 1
_U32 = 2**32 - 1
_DIGITS = re.compile(r"[0-9]{1,10}")
#: An IPv4 address as everybody writes it: it needs no further reading.
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_QUAD = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_CIDR = re.compile(rf"(?P<quad>{_QUAD.pattern})(?:/(?P<length>3[0-2]|[12]?[0-9]))?")
_MAC_MARKS = re.compile(r"[:.-]")
_MAC_DIGITS = re.compile(r"[0-9a-f]{12}")
_HOP = re.compile(r"(?:via (?:inet6? )?(?P<via>\S+) ?)?.*?\bdev (?P<dev>\S+)")
#: Entries of the routing tables that lead to no next hop of ours.
_NO_ROUTES = frozenset({"local", "broadcast", "multicast", "anycast", "nat"})
#: Columns of a route of which nothing else is known.
_PLAIN_ROUTE = frozenset({"DESTINATION", "FAMILY", "NETMASK", "TYPE", "INTERFACE", "VIA"})
_TUNNELS = frozenset(
    {
        "tun",
        "gre",
        "gretap",
        "ip6gre",
        "ip6gretap",
        "ipip",
        "ip6tnl",
        "sit",
        "vti",
        "vti6",
        "xfrm",
        "wireguard",
        "vxlan",
        "geneve",
        "l2tp",
        "amt",
        "erspan",
    }
)
_LINK_TYPES = {"loopback": "loopback", "ether": "ethernet", "ppp": "ppp"}
#: Every word for an address family.
FAMILIES: Mapping[str, Family] = {
    "inet": "ipv4",
    "inet6": "ipv6",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
}


class SourcedRow(NamedTuple):
    """One row and where it was read; a named tuple, because a device has hundreds.

    Attributes:
        columns: By name; see the module's table.
        line: Line of the answer, from 1.
        command: The line that was sent.
    """

    columns: Mapping[str, str | list[str] | None]
    line: int | None
    command: str

    def text(self, name: str) -> str:
        """Return a column as text, ``""`` where it is missing."""
        value = self.columns.get(name)
        if not value:
            return ""
        return value if value.__class__ is str else ", ".join(value)

    def items(self, name: str) -> list[str]:
        """Return a column as a list."""
        value = self.columns.get(name)
        return value if isinstance(value, list) else [value] if value else []

    def number(self, name: str, low: int = 0, high: int = _U32) -> int | None:
        """Return a column as a whole number in a range, else ``None``."""
        text = self.text(name)
        return whole_number(text, low, high) if text else None

    def yes(self, name: str) -> bool:
        """Say whether a column says yes."""
        return self.text(name).lower() not in {"", "no"}


def whole_number(text: str, low: int = 0, high: int = _U32) -> int | None:
    """Return plain ASCII decimal digits as a number, if it is in the range."""
    if not _DIGITS.fullmatch(text):
        return None
    return value if low <= (value := int(text)) <= high else None


def merged(rows: Sequence[SourcedRow]) -> SourcedRow:
    """Return one row: of each column the first value that is not empty."""
    columns: dict[str, str | list[str] | None] = {}
    for row in rows:
        for name, value in row.columns.items():
            if value and not columns.get(name):
                columns[name] = value
    first = rows[0] if rows else None
    return SourcedRow(
        columns=columns,
        line=first.line if first else None,
        command=first.command if first else "",
    )


def identity(rows: Sequence[SourcedRow], _device: Device) -> Identity | Unknown:
    """Who answered."""
    row = merged(rows)
    if not row.text("HOSTNAME"):
        return Unknown("the device did not print its name")
    return Identity(
        hostname=row.text("HOSTNAME"),
        model=row.text("MODEL"),
        os_name=row.text("OS_NAME"),
        os_version=row.text("OS_VERSION"),
        serial=row.text("SERIAL"),
        uptime_s=row.number("UPTIME_S"),
    )


def privilege(rows: Sequence[SourcedRow], _device: Device) -> Privilege | Unknown:
    """What the account may see; no proof means no."""
    if not rows:
        return Unknown("the device did not say what the account may do")
    row = merged(rows)
    return Privilege(
        sees_firewall=row.yes("SEES_FIREWALL"),
        sees_interfaces=row.yes("SEES_INTERFACES"),
        detail=row.text("DETAIL").replace("\t", " "),
    )


def interfaces(rows: Sequence[SourcedRow], _device: Device) -> tuple[Interface, ...] | Unknown:
    """All interfaces."""
    found = tuple(_interface(row) for row in rows if row.text("NAME"))
    times = Counter(item.name for item in found)
    doubles = sorted(name for name, number in times.items() if number > 1)
    if doubles:
        return Unknown(f"the interface {doubles[0]} is listed twice")
    return found or Unknown("the answer lists no interface")


def _interface(row: SourcedRow) -> Interface:
    kind, link_type = row.text("KIND"), row.text("LINK_TYPE")
    if kind in _TUNNELS:
        kind = "tunnel"
    return Interface(
        name=row.text("NAME"),
        mtu_bytes=row.number("MTU", *MTU_RANGE),
        up=_is_up(row.text("STATE").upper(), row.text("FLAGS").upper().split(",")),
        kind=kind or _LINK_TYPES.get(link_type, link_type),
        # The other end of a veth pair is a peer and not below.
        parent="" if kind == "veth" else row.text("PARENT"),
        master=row.text("MASTER"),
        mac=plain_mac(row.text("MAC")),
        line=row.line,
    )


def plain_mac(text: str) -> str:
    """Return a hardware address as ``aa:bb:cc:dd:ee:ff``; what is none stays as it is."""
    digits = _MAC_MARKS.sub("", text).lower()
    if not _MAC_DIGITS.fullmatch(digits):
        return text
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _is_up(state: str, flags: Sequence[str]) -> bool | None:
    if state in {"UP", "DOWN", "LOWERLAYERDOWN", "DORMANT", "NOTPRESENT"}:
        return state == "UP"
    # Drivers without operational state say UNKNOWN; the flags then tell (RFC 2863).
    return {"UP", "LOWER_UP"} <= set(flags) if any(flags) else None


def addresses(rows: Sequence[SourcedRow], _device: Device) -> tuple[Address, ...] | Unknown:
    """All addresses."""
    found: list[Address] = []
    for row in rows:
        family = FAMILIES.get(row.text("FAMILY"))
        prefix_len = row.number("PREFIX_LEN", 0, 128)
        if prefix_len is None and row.text("NETMASK"):
            prefix_len = _length(row.text("NETMASK"))
        address = _plain_address(row.text("ADDRESS"))
        if family is None or prefix_len is None or address is None:
            return Unknown(f"line {row.line} of '{row.command}' shows no address")
        found.append(
            Address(
                interface=row.text("INTERFACE"),
                address=address,
                prefix_len=prefix_len,
                family=family,
            )
        )
    return tuple(found)


def _plain_address(text: str) -> str | None:
    if _QUAD.fullmatch(text):
        return text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _length(mask: str) -> int | None:
    try:
        return ipaddress.IPv4Network(f"0.0.0.0/{mask}").prefixlen
    except ValueError:
        return None


def routes(rows: Sequence[SourcedRow], _device: Device) -> tuple[Route, ...] | Unknown:
    """All routes that lead somewhere, and learned path MTUs."""
    found: list[Route] = []
    for row in rows:
        family = FAMILIES.get(row.text("FAMILY"))
        mask = row.text("NETMASK")
        text = row.text("DESTINATION")
        destination = _destination(f"{text}/{mask}" if mask else text, family)
        if family is None or destination is None:
            return Unknown(f"line {row.line} of '{row.command}' shows no route")
        if row.text("TYPE") in _NO_ROUTES:
            continue
        if row.columns.keys() <= _PLAIN_ROUTE:
            interface, via = row.text("INTERFACE"), row.text("VIA")
            found.append(
                Route(destination=destination, family=family, interface=interface, via=via)
            )
        else:
            found += _hops(row, destination, family)
    return tuple(found)


def _hops(row: SourcedRow, destination: str, family: Family) -> list[Route]:
    hops = [(row.text("INTERFACE"), row.text("VIA"))]
    matches = [_HOP.match(text) for text in row.items("NEXTHOPS")]
    several = [(match["dev"], match["via"] or "") for match in matches if match]
    return [
        Route(
            destination=destination,
            family=family,
            interface=interface,
            via=via,
            mtu_bytes=row.number("MTU", *MTU_RANGE),
            advmss_bytes=row.number("ADVMSS", *MSS_RANGE),
            mtu_locked=row.yes("MTU_LOCK"),
            metric=row.number("METRIC") or 0,
            table=row.text("TABLE") or "main",
            cached=row.yes("CACHED"),
            expires_s=row.number("EXPIRES_S"),
        )
        for interface, via in several or hops
    ]


@lru_cache(maxsize=4096)  # a fleet's sites are numbered alike
def _destination(text: str, family: Family | None) -> str | None:
    if text == "default" or family is None:
        return text or None
    if (found := _CIDR.fullmatch(text)) is not None:
        quad, length = found.groups()
        if length is None or length == "32":
            return text if length else f"{text}/32"
        number = int.from_bytes(map(int, quad.split(".")))
        if not number & ((1 << (32 - int(length))) - 1):
            return text
    try:
        # "ip" shortens 10.0.0.0/8 to nothing shorter; a bare address is a host route.
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return None


def sessions(rows: Sequence[SourcedRow], _device: Device) -> tuple[TcpSession, ...] | Unknown:
    """Live TCP connections of the device itself."""
    found: list[TcpSession] = []
    for row in rows:
        port = row.number("PEER_PORT", 0, 65535)
        if port is None or not row.text("STATE"):
            return Unknown(f"line {row.line} of '{row.command}' shows no connection")
        found.append(
            TcpSession(
                local=row.text("LOCAL"),
                peer=row.text("PEER").strip("[]"),
                peer_port=port,
                state=row.text("STATE"),
                send_mss_bytes=row.number("SEND_MSS", *MSS_RANGE),
                advertised_mss_bytes=row.number("ADVMSS", *MSS_RANGE),
                path_mtu_bytes=row.number("PATH_MTU", *MTU_RANGE),
                unacked_segments=row.number("UNACKED") or 0,
                backoff=row.number("BACKOFF") or 0,
                retransmits_now=row.number("RETRANS_NOW") or 0,
                retransmits_total=row.number("RETRANS_TOTAL") or 0,
                acked_bytes=row.number("ACKED_BYTES", 0, _U64),
                line=row.line,
            )
        )
    return tuple(found)


def icmp(rows: Sequence[SourcedRow], _device: Device) -> IcmpSettings | Unknown:
    """Settings and counters of path MTU discovery."""
    row = merged(rows)
    no_discovery = row.number("NO_PMTU_DISC", 0, 9)
    probing = row.number("MTU_PROBING", 0, 9)
    return IcmpSettings(
        # 1, 2 and 3 all clear DF on TCP (measured; kernel Documentation/networking/ip-sysctl).
        sends_df=None if no_discovery is None else no_discovery == 0,
        mtu_probing=None if probing is None else probing > 0,
        fragments_created=row.number("FRAG_CREATES"),
        fragments_failed=row.number("FRAG_FAILS"),
    )


def dhcp_mtu(rows: Sequence[SourcedRow], device: Device) -> int | Unknown:
    """DHCP option 26; on a gateway only where it is meant for everybody or for the AP's VLAN."""
    if not rows:
        return Unknown("no DHCP option 26 (interface MTU) is visible")
    if device.role != "gateway":
        value = rows[-1].number("MTU", *MTU_RANGE)
        return Unknown("the received DHCP option 26 is no MTU") if value is None else value
    mine = [row for row in rows if row.text("SCOPE").removeprefix("tag:") in {"", device.ap_vlan}]
    values = {row.number("MTU", *MTU_RANGE) for row in mine}
    scopes = ", ".join(sorted({row.text("SCOPE") for row in rows} - {""}))
    if not values:
        return Unknown(f"DHCP option 26 is given to {scopes} only")
    if len(values) > 1 or None in values:
        return Unknown("DHCP option 26 has several values or is no number")
    return next(value for value in values if value is not None)
