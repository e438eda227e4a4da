"""The vendors of the virtual fleet, by the name of their task book."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mtughost.lab.fleet import fortios_build, ios, junos
from mtughost.lab.fleet.clock import FleetClock
from mtughost.lab.fleet.device import Account, Identity, Manners, VirtualDevice
from mtughost.lab.fleet.plans import GatewayPlan

Build = Callable[[Identity, GatewayPlan, FleetClock, tuple[Account, ...], Manners], VirtualDevice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One vendor.

    Attributes:
        names: Its names for the interfaces ``ap``, ``pos`` and ``wan``.
        versions: Versions that differ in what clamps do, in the vendor's spelling.
    """

    build: Build
    names: Mapping[str, str]
    versions: tuple[str, ...]
    model: str
    serial_head: str


VENDORS: Mapping[str, Vendor] = {
    "fortinet": Vendor(
        build=fortios_build.build,
        names=fortios_build.NAMES,
        versions=(
            "v6.4.9,build1966,220421 (GA)",
            "v7.0.15,build0632,240401 (GA.M)",
            "v7.4.3,build2573,240201 (GA.F)",
        ),
        model="FortiGate-40F",
        serial_head="FGT40FTK",
    ),
    "cisco_xe": Vendor(
        build=ios.build,
        names=ios.NAMES,
        versions=("16.12.05", "17.09.04a"),
        model="C1111-4P",
        serial_head="FGL",
    ),
    "juniper_junos": Vendor(
        build=junos.build,
        names=junos.NAMES,
        versions=("15.1X49-D170.4", "21.4R3-S5.4"),
        model="srx345",
        serial_head="CZ",
    ),
}
