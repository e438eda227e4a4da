"""What virtual gateways and access points are built from, in no vendor's words."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Clamp:
    """An MSS clamp of one interface, as far as the vendor has such a thing.

    Attributes:
        where: The VLAN of the access points, the VLAN of the tills, or the WAN.
    """

    where: Literal["ap", "pos", "wan"]
    mss: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPlan:
    """A store's gateway: two VLANs, one WAN.

    Attributes:
        ap_address6: IPv6 address towards the access points, ``""`` for none; only vendors that
            speak IPv6 here take it.
        wan_address6: The same on the WAN.
        wan_next_hop6: Where its default route leads.
    """

    ap_address: str
    pos_address: str
    wan_address: str
    wan_next_hop: str
    wan_mtu_bytes: int = 1500
    ap_mtu_bytes: int = 1500
    ap_address6: str = ""
    wan_address6: str = ""
    wan_next_hop6: str = ""
    clamps: tuple[Clamp, ...] = ()

    def mss(self, where: str) -> tuple[int, ...]:
        """Return the values of the clamps on one interface."""
        return tuple(clamp.mss for clamp in self.clamps if clamp.where == where)


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPlan:
    """What an access point is.

    Attributes:
        address: Its address with prefix length.
        gateway: Its next hop.
        gateway_mac: Who answers for that.
        server: Address and port of its service.
        path_mtu_bytes: What the way to the service carries.
    """

    address: str
    gateway: str
    gateway_mac: str
    mtu_bytes: int
    server: tuple[str, int]
    path_mtu_bytes: int = 1500


def masked(address: str) -> str:
    """Return an address with its length as address and mask."""
    interface = ipaddress.IPv4Interface(address)
    return f"{interface.ip} {interface.netmask}"
