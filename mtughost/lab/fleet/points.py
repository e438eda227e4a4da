"""The access points of the virtual fleet, by the name of their task book."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mtughost.lab.fleet.aruba import ArubaPoint
from mtughost.lab.fleet.clock import FleetClock
from mtughost.lab.fleet.cos import CosPoint
from mtughost.lab.fleet.device import Account, Identity, Manners, VirtualDevice
from mtughost.lab.fleet.fortiap import FortiPoint
from mtughost.lab.fleet.hiveos import HiveAp
from mtughost.lab.fleet.linux import LinuxPoint
from mtughost.lab.fleet.openwrt_point import OpenwrtPoint
from mtughost.lab.fleet.plans import PointPlan
from mtughost.lab.fleet.ruckus import RuckusPoint
from mtughost.lab.fleet.shell_point import ShellPoint
from mtughost.lab.fleet.table_point import TablePoint
from mtughost.lab.fleet.unifi_point import UnifiPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every access point stands in.

    Attributes:
        reaches: Whether full-size packets of 1500 bytes get through, now.
        mss: The MSS that the SYN-ACK of a new connection brings.
    """

    clock: FleetClock
    accounts: tuple[Account, ...]
    manners: Manners
    reaches: Callable[[], bool]
    mss: Callable[[], int]


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
    return LinuxPoint(
        identity,
        plan,
        clock=around.clock,
        accounts=around.accounts,
        reaches=around.reaches,
        mss=around.mss,
    )


def _vendor(kind: type[TablePoint | HiveAp | ShellPoint], version: str, model: str) -> PointVendor:
    def build(identity: Identity, plan: PointPlan, around: Surroundings) -> VirtualDevice:
        return kind(
            identity,
            plan,
            clock=around.clock,
            accounts=around.accounts,
            manners=around.manners,
            reaches=around.reaches,
        )

    return PointVendor(build=build, version=version, model=model)


POINTS: Mapping[str, PointVendor] = {
    "linux": PointVendor(build=_linux, version="12", model="ap"),
    "extreme_hiveos": _vendor(HiveAp, "IQ Engine 10.8r5", "AP5010U-WW"),
    "cisco_cos_ap": _vendor(CosPoint, "17.15.0.10", "C9120AXI-E"),
    "ubiquiti_unifiap": _vendor(UnifiPoint, "6.6.55.15189", "UAP-AC-Pro-Gen2"),
    "openwrt": _vendor(OpenwrtPoint, "24.10.1", "Cudy WR3000 v1"),
    "fortinet_fortiap": _vendor(FortiPoint, "v6.4,build0437,220101 (GA)", "FortiAP-FP231F"),
    "ruckus_ap": _vendor(RuckusPoint, "6.1.1.0.1234", "R610"),
    "aruba_instant": _vendor(ArubaPoint, "8.6.0.4", "515"),
}
