"""Names and addresses of a lab: the documented ones, or others drawn from a seed.

A verdict that depended on ``vlan20`` or 10.20.0.10 would be wrong in every real store, so the
same scenarios can be built under other names and prefixes and must give the same results.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

#: Where the lab's own root namespace stands in the management network.
MANAGEMENT = IPv4Network("172.31.0.0/16")
OPERATOR_ADDRESS = IPv4Address("172.31.255.254")

_LANS = ("10.{a}.{b}.0/24", "192.168.{a}.0/24", "172.{c}.{a}.0/24")
_CLOUDS = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
_WANS = ("100.{d}.0.0/16", "198.18.0.0/16", "198.19.0.0/16")
_AP_VLANS = ("br-ap", "lan4", "eth2-ap", "mgmt-wifi", "vl0120")
_POS_VLANS = ("br-till", "lan7", "eth3-tills", "pci", "vl0300")
_WAN_NAMES = ("ppp-wan", "dsl1", "eth0-inet", "uplink", "wan-a")
_AP_PORTS = ("mgt0", "enp1s0", "lan0", "ge0")
_OOB = ("oob0", "adm0", "service0")
_STANDBYS = ("lte0", "backup", "wwan7", "wan-b")
#: Networks 2001:db8:N::/48 of the stores start at this N; the cloud has the last one.
_FIRST_STORE_6 = 0x1000
_CLOUD_6 = IPv6Network("2001:db8:ffff::/64")
#: The second WAN's /30 networks lie this many stores further on.
_STANDBY_OFFSET = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Interface names, the same in every store of one lab."""

    ap_port: str = "eth0"
    ap_vlan: str = "vlan20"
    pos_vlan: str = "vlan30"
    wan: str = "wan0"
    management: str = "mgmt0"
    tunnel: str = "tun0"
    host_lan: str = "lan0"
    standby: str = "wan1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudAddresses:
    """The cloud's networks and its service addresses: ten neighbours from ``normal`` on."""

    network: IPv4Network
    router: IPv4Address
    normal: IPv4Address

    @property
    def network6(self) -> IPv6Network:
        """The cloud's IPv6 network."""
        return _CLOUD_6

    def number(self, place: int) -> IPv4Address:
        """Return the address that is ``place`` after the normal one."""
        return self.normal + place

    def number6(self, place: int) -> IPv6Address:
        """Return the IPv6 twin of :meth:`number`."""
        return self.network6[16 + place]

    @property
    def router6(self) -> IPv6Address:
        """The cloud's way out."""
        return self.network6[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAddresses:
    """Everything that one store needs."""

    ap_lan: IPv4Network
    pos_lan: IPv4Network
    ap: IPv4Address
    ap_gateway: IPv4Address
    pos: IPv4Address
    pos_gateway: IPv4Address
    wan_gateway: IPv4Address
    wan_isp: IPv4Address
    isp: IPv4Address
    core: IPv4Address
    ap_management: IPv4Address
    gateway_management: IPv4Address
    standby_gateway: IPv4Address
    standby_isp: IPv4Address
    prefix6: IPv6Network
    ap_number: int

    def _six(self, subnet: int, host: int) -> IPv6Address:
        return self.prefix6.network_address + (subnet << 64) + host

    @property
    def ap6(self) -> IPv6Address:
        """The AP, in the LAN's /64."""
        return self._six(0x20, self.ap_number)

    @property
    def ap_gateway6(self) -> IPv6Address:
        """The gateway, seen from the AP."""
        return self._six(0x20, 1)

    @property
    def wan_gateway6(self) -> IPv6Address:
        """The gateway's end of the access, a /64."""
        return self._six(0xFF, 2)

    @property
    def wan_isp6(self) -> IPv6Address:
        """The ISP's end of the access."""
        return self._six(0xFF, 1)

    @property
    def isp6(self) -> IPv6Address:
        """The ISP's end towards the core, a /64."""
        return self._six(0xFE, 2)

    @property
    def core6(self) -> IPv6Address:
        """The core's end towards the ISP."""
        return self._six(0xFE, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelAddresses:
    """The second topology: a host, a tunnel and a far end."""

    host_lan: IPv4Network
    tunnel: IPv4Network
    underlay: IPv4Network
    far_lan: IPv4Network

    @property
    def host(self) -> IPv4Address:
        """The host (appliance role)."""
        return self.host_lan[10]

    @property
    def far(self) -> IPv4Address:
        """The service behind the tunnel."""
        return self.far_lan[10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """All names and addresses of one lab."""

    names: Names
    cloud: CloudAddresses
    tunnel: TunnelAddresses
    ap_lan: IPv4Network
    pos_lan: IPv4Network
    wan: IPv4Network
    transit: IPv4Network
    ap_host_number: int
    site_labels: tuple[str, ...]
    ap_suffix: str
    gateway_suffix: str
    host_suffix: str
    tunnel_gateway_suffix: str

    def site(self, index: int) -> SiteAddresses:
        """Return the addresses of the store with ``index`` from 1."""
        wan, transit = self.wan[4 * index], self.transit[4 * index]
        return SiteAddresses(
            ap_lan=self.ap_lan,
            pos_lan=self.pos_lan,
            ap=self.ap_lan[self.ap_host_number],
            ap_gateway=self.ap_lan[1],
            pos=self.pos_lan[10],
            pos_gateway=self.pos_lan[1],
            wan_isp=wan + 1,
            wan_gateway=wan + 2,
            core=transit + 1,
            isp=transit + 2,
            ap_management=MANAGEMENT[256 * index + 10],
            gateway_management=MANAGEMENT[256 * index + 1],
            standby_isp=self.wan[4 * (index + _STANDBY_OFFSET)] + 1,
            standby_gateway=self.wan[4 * (index + _STANDBY_OFFSET)] + 2,
            prefix6=IPv6Network(f"2001:db8:{_FIRST_STORE_6 + index:x}::/48"),
            ap_number=self.ap_host_number,
        )

    def redrawn(self, seed: int) -> Numbering:
        """Return the same lab with other names and LANs, for one store of it.

        What the stores share stays: the cloud, the access network, the site labels.
        """
        drawn = _drawn(len(self.site_labels), random.Random(seed))  # noqa: S311 - variety
        return replace(
            drawn,
            cloud=self.cloud,
            wan=self.wan,
            transit=self.transit,
            site_labels=self.site_labels,
            tunnel=replace(drawn.tunnel, underlay=self.tunnel.underlay),
        )


def numbering(sites: int, seed: int | None = None) -> Numbering:
    """Return names and addresses for ``sites`` stores.

    Args:
        sites: How many.
        seed: ``None`` for the documented ones; the same seed gives the same numbering.
    """
    if seed is None:
        return _documented(sites)
    return _drawn(sites, random.Random(seed))  # noqa: S311 - variety, not secrecy


def _cloud(network: IPv4Network, first: int) -> CloudAddresses:
    return CloudAddresses(
        network=network,
        router=network[1],
        normal=network[first],
    )


def _documented(sites: int) -> Numbering:
    return Numbering(
        names=Names(),
        cloud=_cloud(IPv4Network("203.0.113.0/24"), 10),
        tunnel=TunnelAddresses(
            host_lan=IPv4Network("10.50.0.0/24"),
            tunnel=IPv4Network("10.60.0.0/30"),
            underlay=IPv4Network("198.51.100.0/30"),
            far_lan=IPv4Network("10.70.0.0/24"),
        ),
        ap_lan=IPv4Network("10.20.0.0/24"),
        pos_lan=IPv4Network("10.30.0.0/24"),
        wan=IPv4Network("100.64.0.0/16"),
        transit=IPv4Network("198.18.0.0/16"),
        ap_host_number=10,
        site_labels=tuple(f"s{index:03d}" for index in range(1, sites + 1)),
        ap_suffix="-ap1",
        gateway_suffix="-gw1",
        host_suffix="-host1",
        tunnel_gateway_suffix="-vgw1",
    )


def _drawn(sites: int, dice: random.Random) -> Numbering:
    def lan() -> IPv4Network:
        text = dice.choice(_LANS).format(
            a=dice.randrange(80, 250), b=dice.randrange(1, 250), c=dice.randrange(16, 30)
        )
        return IPv4Network(text)

    def distinct(count: int) -> list[IPv4Network]:
        found: list[IPv4Network] = []
        while len(found) < count:
            network = lan()
            if not any(network.overlaps(other) for other in found):
                found.append(network)
        return found

    ap_lan, pos_lan, host_lan, far_lan = distinct(4)
    clouds = [IPv4Network(text) for text in dice.sample(_CLOUDS, 2)]
    wan, transit = dice.sample(_WANS, 2)
    labels = dice.sample(range(200, 999), sites)
    chain = dice.choice(("store", "br", "shop-", "f"))
    return Numbering(
        names=Names(
            ap_port=dice.choice(_AP_PORTS),
            ap_vlan=dice.choice(_AP_VLANS),
            pos_vlan=dice.choice(_POS_VLANS),
            wan=dice.choice(_WAN_NAMES),
            management=dice.choice(_OOB),
            tunnel=dice.choice(("vpn7", "s2s0", "ipip9")),
            host_lan=dice.choice(("inside", "dc0", "eth1")),
            standby=dice.choice(_STANDBYS),
        ),
        cloud=_cloud(clouds[0], dice.randrange(20, 200)),
        tunnel=TunnelAddresses(
            host_lan=host_lan,
            tunnel=IPv4Network((int(IPv4Address("169.254.10.0")) + 4 * dice.randrange(60), 30)),
            underlay=IPv4Network((int(clouds[1][0]) + 4 * dice.randrange(1, 60), 30)),
            far_lan=far_lan,
        ),
        ap_lan=ap_lan,
        pos_lan=pos_lan,
        wan=IPv4Network(wan.format(d=dice.randrange(65, 127))),
        transit=IPv4Network(transit.format(d=dice.randrange(65, 127))),
        ap_host_number=dice.randrange(20, 250),
        site_labels=tuple(f"{chain}{number}" for number in labels),
        ap_suffix=dice.choice(("-wifi", "-wlan-a", "x1", "-ceiling")),
        gateway_suffix=dice.choice(("-fw", "-edge", "x9", "-router")),
        host_suffix="-probe",
        tunnel_gateway_suffix="-vpn",
    )
