"""The access points of the virtual fleet, by the name of their task book."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mtughost.lab.fleet.clock import FleetClock
from mtughost.lab.fleet.device import Account, Identity, Manners, VirtualDevice
from mtughost.lab.fleet.hiveos import HiveAp
from mtughost.lab.fleet.linux import LinuxPoint
from mtughost.lab.fleet.plans import PointPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every access point stands in.

    Attributes:
        reaches: Whether full-size packets of 1500 bytes get through, now.
    """

    clock: FleetClock
    accounts: tuple[Account, ...]
    manners: Manners
    reaches: Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointVendor:
    """One vendor of access points.

    Attributes:
        build: Makes one.
        version: Software version in the vendor's spelling.
        model: Model in the vendor's spelling.
    """

    build: Callable[[Identity, PointPlan, Surroundings], VirtualDevice | LinuxPoint]
    version: str
    model: str


def _linux(identity: Identity, plan: PointPlan, around: Surroundings) -> LinuxPoint:
    return LinuxPoint(identity, plan, accounts=around.accounts, reaches=around.reaches)


def _hiveos(identity: Identity, plan: PointPlan, around: Surroundings) -> HiveAp:
    return HiveAp(
        identity,
        plan,
        clock=around.clock,
        accounts=around.accounts,
        manners=around.manners,
        reaches=around.reaches,
    )


POINTS: Mapping[str, PointVendor] = {
    "linux": PointVendor(build=_linux, version="12", model="ap"),
    "extreme_hiveos": PointVendor(build=_hiveos, version="IQ Engine 10.8r5", model="AP5010U-WW"),
}
