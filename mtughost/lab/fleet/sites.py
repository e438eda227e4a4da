"""Virtual stores: a vendor's gateway with something planted, and an access point behind it.

Whether a store works is decided by the emulated gateway itself, packet by packet: the planted
story is only the state that it starts from.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mtughost.lab.fleet.clock import FleetClock
from mtughost.lab.fleet.device import Account, Identity, Manners, VirtualDevice
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.linux import LinuxPoint
from mtughost.lab.fleet.plans import Clamp, GatewayPlan, PointPlan
from mtughost.lab.fleet.points import POINTS, Surroundings
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.errors import UsageError

SERVICE = ("203.0.113.10", 2083)
_FULL_MSS, _PATH_MTU = 1460, 1492
_FIT_MSS = _PATH_MTU - 40
#: What a gateway may start from: clamps by the interface that they sit on.
STORIES: Mapping[str, tuple[Clamp, ...]] = {
    "none": (),
    "till-vlan-only": (Clamp(where="pos", mss=_FIT_MSS),),
    "wan-only": (Clamp(where="wan", mss=_FIT_MSS),),
    "ap-vlan-only": (Clamp(where="ap", mss=_FIT_MSS),),
    "both": (Clamp(where="ap", mss=_FIT_MSS), Clamp(where="wan", mss=_FIT_MSS)),
    "too-high": (Clamp(where="ap", mss=_FULL_MSS), Clamp(where="wan", mss=_FULL_MSS)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """What to make.

    Attributes:
        sites: How many stores.
        seed: Chooses vendors, versions, stories, addresses.
        vendors: Platforms of the gateways, in turn; all when empty.
        with_aps: Whether every store has an access point.
        aps: Platforms of the access points, in turn.
        stories: What may be planted; any of :data:`STORIES` when empty.
        manners: How all vendor devices behave on the wire.
    """

    sites: int
    seed: int = 1
    vendors: tuple[str, ...] = ()
    with_aps: bool = True
    aps: tuple[str, ...] = ("linux",)
    stories: tuple[str, ...] = ()
    manners: Manners = field(default_factory=Manners)


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualSite:
    """One store.

    Attributes:
        label: Site name of the inventory.
        story: Which of :data:`STORIES` was planted.
        plan: What its gateway was built from.
    """

    label: str
    story: str
    plan: GatewayPlan
    gateway: VirtualDevice
    point: VirtualDevice | LinuxPoint | None

    @property
    def devices(self) -> tuple[VirtualDevice | LinuxPoint, ...]:
        """All devices of the store."""
        return (self.gateway,) if self.point is None else (self.gateway, self.point)

    def mss(self, *, is_syn: bool) -> int:
        """Return the MSS with which a handshake packet of the AP leaves the gateway."""
        names = self.gateway_names
        enters, leaves = (names["ap"], names["wan"]) if is_syn else (names["wan"], names["ap"])
        packet = Handshake(
            is_syn=is_syn, enters=enters, leaves=leaves, family="ipv4", mss=_FULL_MSS
        )
        return self.gateway.forward(packet)

    @property
    def gateway_names(self) -> Mapping[str, str]:
        """The gateway's interface names: ``ap``, ``pos``, ``wan``."""
        return VENDORS[self.gateway.platform].names

    def works(self) -> bool:
        """Whether full-size packets fit the path both ways: ICMP is lost on all of these paths.

        Both ends send a certificate that fills segments: the AP's is limited by the SYN-ACK, the
        server's by the SYN.
        """
        return all(self.mss(is_syn=is_syn) + 40 <= _PATH_MTU for is_syn in (True, False))


def make_sites(
    spec: FleetSpec, *, clock: FleetClock, accounts: tuple[Account, ...]
) -> tuple[VirtualSite, ...]:
    """Make all stores; the same specification makes the same ones.

    Raises:
        UsageError: a vendor is not known.
    """
    for wanted, known in ((spec.vendors, VENDORS), (spec.aps, POINTS), (spec.stories, STORIES)):
        unknown = set(wanted) - set(known)
        if unknown:
            raise UsageError(
                f"there is no virtual {', '.join(sorted(unknown))}",
                todo=f"Known: {', '.join(sorted(known))}",
            )
    chooser = random.Random(spec.seed)  # noqa: S311 - stores, not secrets
    return tuple(_site(spec, i, chooser, clock, accounts) for i in range(1, spec.sites + 1))


def _site(
    spec: FleetSpec,
    number: int,
    chooser: random.Random,
    clock: FleetClock,
    accounts: tuple[Account, ...],
) -> VirtualSite:
    platforms = spec.vendors or tuple(VENDORS)
    vendor = VENDORS[platforms[number % len(platforms)]]
    label, story = f"s{number:04d}", chooser.choice(list(spec.stories or STORIES))
    plan = replace(_plan(number), clamps=STORIES[story])
    identity = Identity(
        name=f"{label}-gw1",
        hostname=f"{label}-gw1",
        version=chooser.choice(vendor.versions),
        model=vendor.model,
        serial=f"{vendor.serial_head}{number:08d}",
    )
    gateway = vendor.build(identity, plan, clock, accounts, spec.manners)
    site = VirtualSite(label=label, story=story, plan=plan, gateway=gateway, point=None)
    if not spec.with_aps:
        return site
    platform = spec.aps[number % len(spec.aps)]
    around = Surroundings(
        clock=clock,
        accounts=accounts,
        manners=spec.manners,
        reaches=site.works,
        mss=lambda: site.mss(is_syn=False),
    )
    point = _point(site, platform, around)
    if isinstance(point, LinuxPoint):
        gateway.on_line = _when_changed(gateway, point)
    return replace(site, point=point)


def _when_changed(gateway: VirtualDevice, point: LinuxPoint) -> Callable[[], None]:
    """Return what lets an access point look again once its gateway does something else.

    Not at every line: each look sends a handshake, which some gateways count.
    """
    known = [gateway.effective()]

    def look() -> None:
        now = gateway.effective()
        if now != known[0]:
            known[0] = now
            point.look()

    return look


def _plan(number: int) -> GatewayPlan:
    high, low = number // 250, number % 250
    return GatewayPlan(
        ap_address=f"10.{20 + high}.{low}.1/24",
        pos_address=f"10.{120 + high}.{low}.1/24",
        wan_address=f"198.18.{high * 4 + low // 64}.{low % 64 * 4 + 2}/30",
        wan_next_hop=f"198.18.{high * 4 + low // 64}.{low % 64 * 4 + 1}",
        wan_mtu_bytes=_PATH_MTU,
    )


def _point(site: VirtualSite, platform: str, around: Surroundings) -> VirtualDevice | LinuxPoint:
    gateway = site.plan.ap_address.partition("/")[0]
    vendor = POINTS[platform]
    identity = Identity(
        name=f"{site.label}-ap1",
        hostname=f"{site.label}-ap1",
        version=vendor.version,
        model=vendor.model,
        serial=site.gateway.identity.serial.lower(),
    )
    plan = PointPlan(
        address=gateway.removesuffix(".1") + ".10/24",
        gateway=gateway,
        gateway_mac=site.gateway.mac_of(site.gateway_names["ap"]),
        mtu_bytes=1500,
        server=SERVICE,
        path_mtu_bytes=_PATH_MTU,
    )
    return vendor.build(identity, plan, around)
