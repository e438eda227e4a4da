"""The vendors of the virtual fleet, by the name of their task book."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from mtughost.lab.fleet import (
    asa,
    edgeos,
    fortios_build,
    ios,
    junos,
    openwrt,
    panos,
    pf,
    routeros,
    unifi,
    vyos,
)
from mtughost.lab.fleet.clock import FleetClock
from mtughost.lab.fleet.device import Account, Identity, Manners, VirtualDevice
from mtughost.lab.fleet.fortios import FortiGate
from mtughost.lab.fleet.plans import GatewayPlan
from mtughost.model.errors import LabError


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One vendor.

    Attributes:
        device: What emulates it.
        lines: What is typed to make a store's gateway of one fresh from the factory.
        lines_since: The same for a version and all after it, where a release moved things.
        refusal: Regular expression of an answer that refuses a line.
        names: Its names for the interfaces ``ap``, ``pos`` and ``wan``.
        versions: Versions that differ in what clamps do, in the vendor's spelling.
        speaks6: Whether its stores can have IPv6: those with a clamp for it that is documented.
        shows_routes6: Whether its task book reads IPv6 routes.
    """

    device: type[VirtualDevice]
    lines: Callable[[GatewayPlan], Iterable[str]]
    refusal: str
    names: Mapping[str, str]
    versions: tuple[str, ...]
    model: str
    serial_head: str
    speaks6: bool = False
    shows_routes6: bool = False
    lines_since: Mapping[str, Callable[[GatewayPlan], Iterable[str]]] = field(default_factory=dict)

    def build(
        self,
        identity: Identity,
        plan: GatewayPlan,
        clock: FleetClock,
        accounts: tuple[Account, ...],
        manners: Manners,
    ) -> VirtualDevice:
        """Return a gateway, configured by typing.

        Raises:
            LabError: the device refused a line.
        """
        device = self.device(identity, clock=clock, accounts=accounts, manners=manners)
        self.configure(device, plan)
        return device

    def configure(self, device: VirtualDevice, plan: GatewayPlan) -> None:
        """Type a store's configuration into a device fresh from the factory.

        Raises:
            LabError: the device refused a line.
        """
        device.path_mtu_bytes = plan.wan_mtu_bytes
        cli = device.command_line(Account(username="factory"))
        version = device.identity.version
        newer = [made for since, made in self.lines_since.items() if version >= since]
        for line in (newer or [self.lines])[-1](plan):
            said = cli.run(line)
            if re.search(self.refusal, said):
                raise LabError(f"the virtual {self.model} refused {line!r}: {said.strip()}")


VENDORS: Mapping[str, Vendor] = {
    "fortinet": Vendor(
        device=FortiGate,
        lines=fortios_build.lines_of,
        refusal=r"\S",
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
        device=ios.IosRouter,
        lines=ios.lines_of,
        refusal="%",
        names=ios.NAMES,
        versions=("16.12.05", "17.09.04a"),
        model="C1111-4P",
        serial_head="FGL",
        speaks6=True,
    ),
    "juniper_junos": Vendor(
        device=junos.Srx,
        lines=junos.lines_of,
        refusal="error|unknown command",
        names=junos.NAMES,
        versions=("15.1X49-D170.4", "21.4R3-S5.4"),
        model="srx345",
        serial_head="CZ",
    ),
    "openwrt": Vendor(
        device=openwrt.OpenWrt,
        lines=openwrt.lines_of,
        refusal=r"not found",
        names=openwrt.NAMES,
        versions=("19.07.10", "22.03.2", "24.10.1"),
        model="Example EX-4P",
        serial_head="OW",
        speaks6=True,
        shows_routes6=True,
    ),
    "ubiquiti_edgerouter": Vendor(
        device=edgeos.EdgeRouter,
        lines=edgeos.lines_of,
        refusal=r"Invalid|failed|not valid",
        names=edgeos.NAMES,
        versions=("v1.10.11", "v2.0.9-hotfix.7"),
        model="EdgeRouter X 5-Port",
        serial_head="F09F",
        speaks6=True,
        shows_routes6=True,
    ),
    "ubiquiti_unifigateway": Vendor(
        device=unifi.UnifiGateway,
        lines=unifi.lines_of,
        refusal=r"not found",
        names=unifi.NAMES,
        versions=("4.0.21",),
        model="UniFi Cloud Gateway Ultra",
        serial_head="UCG",
    ),
    "vyos": Vendor(
        device=vyos.VyosRouter,
        lines=vyos.lines_before_1_4,
        lines_since={"1.4": vyos.lines_of},
        refusal=r"Invalid|failed|not valid",
        names=vyos.NAMES,
        versions=("1.3.8", "1.4.2", "1.5-stream-2025-Q1"),
        model="EX-4P",
        serial_head="VY",
        speaks6=True,
        shows_routes6=True,
    ),
    "mikrotik_routeros": Vendor(
        device=routeros.RouterOs,
        lines=routeros.lines_of,
        refusal="bad|failure|invalid|input does|missing|not enough",
        names=routeros.NAMES,
        versions=("6.49.10 (long-term)", "7.12.2 (stable)"),
        model="RB750Gr3",
        serial_head="HC",
        speaks6=True,
        shows_routes6=True,
    ),
    "cisco_asa": Vendor(
        device=asa.Asa,
        lines=asa.lines_of,
        refusal="ERROR|failed",
        names=asa.NAMES,
        versions=("9.8(4)20", "9.18(2)5"),
        model="ASA5506",
        serial_head="JAD",
    ),
    "paloalto_panos": Vendor(
        device=panos.PanOs,
        lines=panos.lines_of,
        refusal="Unknown|Invalid|error",
        names=panos.NAMES,
        versions=("9.1.16", "10.2.7"),
        model="PA-440",
        serial_head="0212010",
    ),
    "pfsense": Vendor(
        device=pf.PfSense,
        lines=pf.lines_of,
        refusal="not found",
        names=pf.NAMES,
        versions=("2.7.2-RELEASE",),
        model="Intel(R) Atom(TM) CPU C3558 @ 2.20GHz",
        serial_head="PF",
    ),
}
