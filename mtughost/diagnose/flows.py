"""Which flows must work: AP x service x family x possible egress.

What the access point says of its services wins (``services``). Where the operator's hints ``wan``
and ``ap_vlan`` differ from what the devices say, the hint wins and the difference is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.net import (
    cached_mtu,
    default_routes,
    family_of,
    holds,
    in_main,
    interface,
    is_default,
    is_global,
    lookup,
    same_address,
    subnet,
)
from mtughost.diagnose.policy import Choice, Packet, choose
from mtughost.diagnose.services import Holder, holder_of, services_of
from mtughost.model.basis import NOT_COLLECTED, value_or_none
from mtughost.model.device import (
    FAMILIES,
    Address,
    DeviceFacts,
    Family,
    Interface,
    Route,
)
from mtughost.model.inventory import Device, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The AP's own end of a flow. ``None`` is unknown.

    Attributes:
        address: Source address of its packets.
        interface: Interface they leave by.
        mtu_bytes: MTU of that interface.
        route_mtu_bytes: MTU set on the route to the service.
        advmss_bytes: MSS set on the route to the service.
        learned_mtu_bytes: Path-MTU exception that its kernel keeps for the service.
    """

    address: str | None = None
    interface: str | None = None
    mtu_bytes: int | None = None
    route_mtu_bytes: int | None = None
    advmss_bytes: int | None = None
    learned_mtu_bytes: int | None = None

    @property
    def limit_bytes(self) -> int | None:
        """Largest packet that the AP sends by its own settings, ``None`` when unknown."""
        if self.route_mtu_bytes is not None:
            return (
                min(self.route_mtu_bytes, self.mtu_bytes)
                if self.mtu_bytes is not None
                else self.route_mtu_bytes
            )
        return self.mtu_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One AP, one service, one family, one egress; both directions.

    Attributes:
        server: Address of the service, ``None`` when only a name is known.
        lan: Gateway's interface towards the AP, ``None`` when unknown.
        egress: Gateway's interface towards the service, ``None`` when unknown.
        active: Whether this egress is the one that routing uses now.
        by_policy: The egress is used by policy routing, not by the main table.
        specific: The egress comes from a route that is not a default route.
        wan_address: Gateway's address on the egress, which NAT may put into packets.
        doubt: Why it is not certain that this egress is used (or not used) now, or ``""``.
    """

    service: Service
    ap: str
    gateway: str
    family: Family
    sender: Sender
    server: str | None
    lan: str | None = None
    egress: str | None = None
    active: bool = True
    by_policy: bool = False
    specific: bool = False
    wan_address: str | None = None
    doubt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """All flows of a site, with what was noticed on the way.

    Attributes:
        held: Devices whose flows are all held, and judged, by another device of the site.
    """

    flows: tuple[Flow, ...]
    notes: tuple[str, ...]
    held: frozenset[str] = frozenset()


def derive_flows(evidence: SiteEvidence) -> Derived:
    """List every service flow of a site.

    Devices that were not read give flows with unknown parts, never none.
    """
    notes: list[str] = []
    flows: list[Flow] = []
    held: dict[str, tuple[Service, ...]] = {}
    devices = evidence.site.with_role("ap", "appliance")
    for device in devices:
        facts = evidence.facts_of(device.name)
        for service in services_of(device, facts, notes):
            holder = holder_of(evidence, device, service, notes)
            if holder is not None and holder.host:
                held[holder.host] = (*held.get(holder.host, ()), service)
                continue
            for family in _families(service, facts):
                flows += _flows(evidence, device, facts, service, family, notes, holder)
    for device in devices:
        flows += _held_flows(evidence, device, held.get(device.name, ()), flows, notes)
    judged = {flow.ap for flow in flows}
    return Derived(
        flows=tuple(flows),
        notes=tuple(dict.fromkeys(notes)),
        held=frozenset(d.name for d in devices if held and d.name not in judged),
    )


def _held_flows(
    evidence: SiteEvidence,
    device: Device,
    services: tuple[Service, ...],
    known: list[Flow],
    notes: list[str],
) -> list[Flow]:
    """Return the flows that a device holds for others and that its own services do not include."""
    facts = evidence.facts_of(device.name)
    mine = {flow.service.name for flow in known if flow.ap == device.name}
    return [
        flow
        for service in {s.name: s for s in services if s.name not in mine}.values()
        for family in _families(service, facts)
        for flow in _flows(evidence, device, facts, service, family, notes, None)
    ]


def _families(service: Service, facts: DeviceFacts | None) -> tuple[Family, ...]:
    literal = family_of(service.host)
    if literal is not None:
        return (literal,)
    addresses = value_or_none(facts.addresses) if facts is not None else None
    if addresses is None:
        return ("ipv4",)
    routes = value_or_none(facts.routes) if facts is not None else None
    found = tuple(
        family
        for family in FAMILIES
        if any(a.family == family and is_global(a) for a in addresses)
        and (routes is None or lookup(routes, family, None) is not None)
    )
    return found or ("ipv4",)


def _flows(
    evidence: SiteEvidence,
    device: Device,
    facts: DeviceFacts | None,
    service: Service,
    family: Family,
    notes: list[str],
    holder: Holder | None,
) -> list[Flow]:
    server = service.host if family_of(service.host) is not None else None
    sender, via = _sender(facts, family, server)
    if holder is not None:
        # Somebody else's packets, in the same VLAN: of that sender only the address is known.
        sender = Sender(address=holder.address)
    flow = Flow(
        service=service, ap=device.name, gateway="", family=family, sender=sender, server=server
    )
    gateways = evidence.site.with_role("gateway")
    found = [g for g in gateways if _lan(g, evidence.facts_of(g.name), sender, via, family, [])]
    if not found and len(gateways) == 1:
        found = list(gateways)
    if not found:
        return [flow]
    return [each for g in found for each in _through(evidence, flow, g, via, notes)]


def _sender(
    facts: DeviceFacts | None, family: Family, server: str | None
) -> tuple[Sender, str | None]:
    """Return the AP's end and the next hop."""
    if facts is None:
        return Sender(), None
    routes = value_or_none(facts.routes) or ()
    addresses = value_or_none(facts.addresses) or ()
    interfaces = value_or_none(facts.interfaces)
    route = lookup(routes, family, server)
    name = route.interface if route is not None else _only_interface(addresses, family)
    link = interface(interfaces, name)
    return (
        Sender(
            address=_source(addresses, family, name, route),
            interface=name,
            mtu_bytes=link.mtu_bytes if link is not None else None,
            route_mtu_bytes=route.mtu_bytes if route is not None else None,
            advmss_bytes=route.advmss_bytes if route is not None else None,
            learned_mtu_bytes=cached_mtu(routes, server),
        ),
        (route.via or None) if route is not None else None,
    )


def _only_interface(addresses: tuple[Address, ...], family: Family) -> str | None:
    names = {a.interface for a in addresses if a.family == family and is_global(a)}
    return names.pop() if len(names) == 1 else None


def _source(
    addresses: tuple[Address, ...], family: Family, name: str | None, route: Route | None
) -> str | None:
    own = [a for a in addresses if a.family == family and a.interface == name and is_global(a)]
    if route is not None and route.via:
        near = [a for a in own if holds(subnet(a), route.via)]
        own = near or own
    return own[0].address if own else None


def _lan(
    gateway: Device,
    facts: DeviceFacts | None,
    sender: Sender,
    via: str | None,
    family: Family,
    notes: list[str],
) -> str | None:
    """Find the gateway's interface towards the AP: hint, next hop, then subnet."""
    addresses = (value_or_none(facts.addresses) or ()) if facts is not None else ()
    own = [a for a in addresses if a.family == family]
    by_hop = [a.interface for a in own if via is not None and same_address(a.address, via)]
    by_subnet = [
        a.interface
        for a in own
        if is_global(a) and sender.address is not None and holds(subnet(a), sender.address)
    ]
    derived = next(iter([*by_hop, *by_subnet]), None)
    if not gateway.ap_vlan:
        return derived
    if derived is not None and derived != gateway.ap_vlan:
        notes.append(
            f"{gateway.name}: the inventory says ap_vlan {gateway.ap_vlan}, the addresses say "
            f"{derived}; the inventory's word was used"
        )
    return gateway.ap_vlan


def _through(
    evidence: SiteEvidence, flow: Flow, gateway: Device, via: str | None, notes: list[str]
) -> list[Flow]:
    facts = evidence.facts_of(gateway.name)
    lan = _lan(gateway, facts, flow.sender, via, flow.family, notes)
    flow = replace(flow, gateway=gateway.name, lan=lan)
    if lan is None and evidence.facts_of(flow.ap) is None:
        # The address we dial may lie in a management network: it is no proof of the VLAN.
        notes.append(f"{flow.ap} was not read and no ap_vlan is given, so its VLAN is unknown")
    exits = _exits(gateway, facts, flow, notes)
    if not exits:
        return [flow]
    addresses = (value_or_none(facts.addresses) or ()) if facts is not None else ()
    return [
        replace(
            each,
            wan_address=next(
                (
                    a.address
                    for a in addresses
                    if a.interface == each.egress and a.family == flow.family and is_global(a)
                ),
                None,
            ),
        )
        for each in exits
    ]


def _exits(gateway: Device, facts: DeviceFacts | None, flow: Flow, notes: list[str]) -> list[Flow]:
    """Return one flow per possible egress, the active one first."""
    routes = value_or_none(facts.routes) if facts is not None else None
    if routes is None:
        return [replace(flow, egress=n, active=i == 0) for i, n in enumerate(gateway.wan)]
    asked = Packet(
        family=flow.family,
        source=flow.sender.address,
        destination=flow.server,
        in_interface=flow.lan,
    )
    choice = choose(routes, facts.policy if facts is not None else NOT_COLLECTED, asked)
    best = choice.route
    if choice.doubt:
        notes.append(f"which way {gateway.name} sends {flow.ap} is not certain: {choice.doubt}")
    if best is not None and not is_default(best) and best.interface != flow.lan:
        if gateway.wan and best.interface not in gateway.wan:
            notes.append(
                f"{gateway.name}: the inventory says wan {', '.join(gateway.wan)}, but a route to "
                f"{best.destination} leads to {best.interface}; the route was used"
            )
        only = replace(
            flow,
            egress=best.interface,
            specific=True,
            by_policy=choice.by is not None,
            doubt=choice.doubt,
        )
        others = dict.fromkeys(r.interface for r in choice.others if r.interface != flow.lan)
        return [only, *(replace(only, egress=n, active=False, specific=False) for n in others)]
    return _by_default(gateway, routes, choice, flow, notes)


def _by_default(
    gateway: Device, routes: tuple[Route, ...], choice: Choice, flow: Flow, notes: list[str]
) -> list[Flow]:
    best = choice.route
    defaults = default_routes(routes, flow.family)
    main = [r.interface for r in defaults if in_main(r) and r.interface != flow.lan]
    policy = [r.interface for r in defaults if not in_main(r) and r.interface != flow.lan]
    possible = [r.interface for r in choice.others if r.interface != flow.lan]
    now = best.interface if best is not None else (main[0] if main else None)
    names = list(dict.fromkeys(gateway.wan or (*([now] if now else []), *main, *policy, *possible)))
    if gateway.wan and now is not None and now not in gateway.wan:
        notes.append(
            f"{gateway.name}: the inventory says wan {', '.join(gateway.wan)}, the default route "
            f"leads to {now}; the inventory's word was used"
        )
        now = None
    active = now if now is not None else (names[0] if names else None)
    names.sort(key=lambda name: name != active)
    main_now = lookup(routes, flow.family, flow.server)
    return [
        replace(
            flow,
            egress=name,
            active=name == active,
            by_policy=(name in policy and name not in main)
            or (choice.by is not None and name == active and not _leads_to(main_now, name)),
            doubt=choice.doubt if name == active or name in possible else "",
        )
        for name in names
    ]


def _leads_to(route: Route | None, name: str) -> bool:
    return route is not None and route.interface == name


def link_of(facts: DeviceFacts | None, name: str | None) -> Interface | None:
    """Return an interface of a device by name, ``None`` when unknown."""
    return interface(value_or_none(facts.interfaces), name) if facts is not None else None
