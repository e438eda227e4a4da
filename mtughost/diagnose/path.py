"""The path MTU of one flow in one direction, as far as the evidence goes."""

from __future__ import annotations

from dataclasses import dataclass

from mtughost.diagnose.evidence import SiteEvidence, cite, source_of, told
from mtughost.diagnose.flows import Flow, link_of
from mtughost.diagnose.net import cached_mtu, interface, lookup
from mtughost.diagnose.segment import segment_losses
from mtughost.diagnose.wire import LEAST_MTU, Wire
from mtughost.model.basis import Known, value_or_none
from mtughost.model.device import DeviceFacts, Route
from mtughost.model.evidence import Direction
from mtughost.model.findings import Evidence

#: A bracket this narrow is as good as the figure itself (fragment offsets count in 8 bytes).
TIGHT_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One upper bound of a path MTU."""

    mtu_bytes: int
    what: str
    cite: Evidence
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMtu:
    """What is known about the path MTU.

    Attributes:
        bounds: Upper bounds with their sources.
        delivered: Largest packet proven to arrive whole.
        lost: Smallest packet proven not to arrive.
        complete: Whether every hop of ours in this direction stated its MTU.
    """

    bounds: tuple[Bound, ...] = ()
    delivered: int | None = None
    lost: int | None = None
    complete: bool = False

    @property
    def hard_bytes(self) -> int | None:
        """Smallest bound that a device states."""
        return min((b.mtu_bytes for b in self.bounds), default=None)

    @property
    def ceiling_bytes(self) -> int | None:
        """Largest packet that could still arrive."""
        limits = [b.mtu_bytes for b in self.bounds]
        if self.lost is not None:
            limits.append(self.lost - 1)
        return min(limits, default=None)

    @property
    def known_bytes(self) -> int | None:
        """The path MTU, ``None`` where only a coarse bracket or a part of the path is known."""
        hard = self.hard_bytes
        if self.lost is None or (hard is not None and hard < self.lost):
            return hard if self.complete else None
        if self.delivered is not None and self.lost - self.delivered <= TIGHT_BYTES:
            return self.delivered
        return None

    @property
    def hidden(self) -> bool:
        """Whether packets are lost that every device known to us would pass."""
        own = min((b.mtu_bytes for b in self.bounds if b.ours), default=None)
        if own is None:
            return False
        ceiling = self.ceiling_bytes
        return ceiling is not None and ceiling < own

    @property
    def hidden_size(self) -> int | None:
        """Smallest lost packet where nothing but its loss says that the path is narrower."""
        hard = self.hard_bytes
        return self.lost if self.lost is not None and (hard is None or self.lost <= hard) else None

    @property
    def narrowest(self) -> Bound | None:
        """The bound that decides."""
        return min(self.bounds, key=lambda b: b.mtu_bytes, default=None)


def path_mtu(evidence: SiteEvidence, flow: Flow, direction: Direction, wire: Wire) -> PathMtu:
    """Put together what limits packets of one direction.

    The sender's own interface is not part of its path. The receiving side of the AP's VLAN does
    not limit what the AP sends: real interfaces do not check the MTU on receive.
    """
    gateway = evidence.facts_of(flow.gateway)
    bounds = _gateway_bounds(gateway, flow, direction) + _told_bounds(evidence, flow, direction)
    if direction == "down":
        bounds += [
            Bound(mtu_bytes=t.message.next_hop_mtu_bytes, what="ICMP", cite=t.cite())
            for t in wire.too_big_down
        ]
        return PathMtu(bounds=tuple(bounds), complete=_complete(gateway, flow, direction))
    bounds += _learned_bounds(evidence, flow, wire)
    delivered, lost = _bracket(flow, wire)
    return PathMtu(
        bounds=tuple(bounds),
        delivered=delivered,
        lost=lost,
        complete=_complete(gateway, flow, direction),
    )


def egress_route(gateway: DeviceFacts | None, flow: Flow) -> Route | None:
    """Return the gateway's route to the service, when it leads to this flow's egress."""
    routes = value_or_none(gateway.routes) if gateway is not None else None
    route = lookup(routes or (), flow.family, flow.server)
    return route if route is not None and route.interface == flow.egress else None


def _complete(gateway: DeviceFacts | None, flow: Flow, direction: Direction) -> bool:
    if gateway is None or not isinstance(gateway.routes, Known):
        return False
    names = [flow.egress] if direction == "up" else [flow.egress, flow.lan]
    links = [link_of(gateway, name) for name in names]
    return all(link is not None and link.mtu_bytes is not None for link in links)


def _gateway_bounds(gateway: DeviceFacts | None, flow: Flow, direction: Direction) -> list[Bound]:
    if gateway is None:
        return []
    bounds: list[Bound] = []
    names = [flow.egress] if direction == "up" else [flow.egress, flow.lan]
    source = source_of(gateway.interfaces, gateway.host)
    for name in names:
        link = link_of(gateway, name)
        if link is not None and link.mtu_bytes is not None:
            text = f"{gateway.host} {link.name} has MTU {link.mtu_bytes}"
            bounds.append(
                Bound(
                    mtu_bytes=link.mtu_bytes,
                    what=f"{gateway.host} {link.name}",
                    cite=cite("interface-mtu", source, text, line=link.line),
                    ours=True,
                )
            )
    route = egress_route(gateway, flow)
    if route is not None and route.mtu_bytes is not None:
        text = f"{gateway.host} has MTU {route.mtu_bytes} on its route to {route.destination}"
        routes = source_of(gateway.routes, gateway.host)
        cited = cite("route-mtu", routes, text)
        bounds.append(Bound(mtu_bytes=route.mtu_bytes, what="a route", cite=cited, ours=True))
    return bounds


def _told_bounds(evidence: SiteEvidence, flow: Flow, direction: Direction) -> list[Bound]:
    """Take what people said about links that nobody here can read."""
    return [
        Bound(
            mtu_bytes=item.mtu_bytes,
            what=f"the {item.link} as told",
            cite=told(
                "told-mtu",
                item.gateway or flow.gateway,
                "told",
                f"the {item.link} MTU is {item.mtu_bytes} [{item.note}]",
            ),
        )
        for item in evidence.told
        if item.gateway in {"", flow.gateway}
        and (item.link != "lan" or direction == "down")
        and (item.link != "wan" or flow.active)
    ]


def _learned_bounds(evidence: SiteEvidence, flow: Flow, wire: Wire) -> list[Bound]:
    bounds = [
        Bound(mtu_bytes=t.message.next_hop_mtu_bytes, what="ICMP", cite=t.cite())
        for t in wire.too_big
    ]
    least = LEAST_MTU[flow.family]
    facts = evidence.facts_of(flow.ap)
    learned = flow.sender.learned_mtu_bytes
    if facts is not None and learned is not None and learned >= least:
        text = f"{flow.ap} keeps a path MTU of {learned} for {flow.server}"
        bounds.append(
            Bound(
                mtu_bytes=learned,
                what="a learned path MTU",
                cite=cite("route-cache", source_of(facts.routes, flow.ap), text),
            )
        )
    gateway = evidence.facts_of(flow.gateway)
    kept = cached_mtu((value_or_none(gateway.routes) or ()) if gateway else (), flow.server)
    if gateway is not None and kept is not None and kept >= least:
        text = f"{gateway.host} keeps a path MTU of {kept} for {flow.server}"
        bounds.append(
            Bound(
                mtu_bytes=kept,
                what="a learned path MTU",
                cite=cite("route-cache", source_of(gateway.routes, gateway.host), text),
            )
        )
    for ping in wire.pings:
        told_mtu = ping.too_big_mtu_bytes
        if (
            ping.df is not False
            and told_mtu is not None
            and told_mtu >= least
            and _to_service(ping.target, flow)
        ):
            text = f"a {ping.packet_bytes}-byte ping with DF was refused: next hop MTU {told_mtu}"
            bounds.append(
                Bound(
                    mtu_bytes=told_mtu,
                    what="ICMP",
                    cite=told("ping", ping.host, ping.basis, text, ping.command),
                )
            )
    return bounds


def _to_service(target: str, flow: Flow) -> bool:
    return target in {flow.server, flow.service.host}


def _bracket(flow: Flow, wire: Wire) -> tuple[int | None, int | None]:
    """Return (largest delivered, smallest lost), dropping losses that a delivery refutes.

    What the segment between AP and gateway swallows says nothing about the path beyond it.
    """
    delivered: list[int] = []
    lost: list[int] = []
    bracket = wire.probe_bracket
    if bracket is not None:
        delivered.append(bracket[0])
        lost.append(bracket[1])
    if wire.size_selective_up:
        lost += [wire.lost_up_bytes] if wire.lost_up_bytes is not None else []
        delivered += [wire.acked_up_bytes] if wire.acked_up_bytes is not None else []
    answered = [p for p in wire.pings if p.answered and _to_service(p.target, flow)]
    silent = [p for p in wire.pings if not p.answered and _to_service(p.target, flow)]
    delivered += [p.packet_bytes for p in answered if p.df]
    # A ping that is silent at every size says nothing about size.
    if answered:
        lost += [
            p.packet_bytes
            for p in silent
            # Whether DF was set or not, what is too big for the path is lost.
            if p.df is not False
            and not p.local_error
            and p.too_big_mtu_bytes is None
            and p.packet_bytes > max(q.packet_bytes for q in answered)
            # Echoes may be policed by size; what TCP brought through is stronger.
            and (p.host == flow.ap or p.packet_bytes > (wire.acked_up_bytes or 0))
        ]
    best = max(delivered, default=None)
    near = min((s.size_bytes for s in segment_losses(wire) if s.direction == "up"), default=None)
    least = min(
        (size for size in lost if _is_beyond(size, near) and (best is None or size > best)),
        default=None,
    )
    return best, least


def _is_beyond(size: int, near: int | None) -> bool:
    return near is None or size < near


def path_mss_mtu(gateway: DeviceFacts | None, flow: Flow, direction: Direction) -> int | None:
    """Return the MTU from which the gateway derives a clamp "to path MTU", ``None`` if unknown.

    netfilter takes the smaller of the route to the packet's destination and the route back to its
    source (nft_rt.c get_tcpmss, xt_TCPMSS.c since Linux 2.6.25). The route back is looked up
    without policy, so a SYN-ACK that came in over a policy-routed egress sees the main egress.
    """
    if gateway is None:
        return None
    lan = link_of(gateway, flow.lan)
    name = flow.egress
    routes = value_or_none(gateway.routes) or ()
    main = lookup(routes, flow.family, flow.server)
    if direction == "up" and flow.by_policy and main is not None:
        name = main.interface
    wan = interface(value_or_none(gateway.interfaces), name)
    if lan is None or wan is None or lan.mtu_bytes is None or wan.mtu_bytes is None:
        return None
    limits = [lan.mtu_bytes, wan.mtu_bytes]
    if main is not None and main.mtu_bytes is not None and main.interface == name:
        limits.append(main.mtu_bytes)
    return min(limits)
