"""The clamp-coverage proof: per service flow, direction, family and egress.

Three layers side by side: what the parsed configuration yields, the rules installed with their
counters, and the MSS that really was in the packet. ``covered`` is ``True`` only for a proof that
holds even if the far end asks for the usual 1460 (1440 for IPv6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.flows import Derived, Flow, derive_flows, link_of
from mtughost.diagnose.handshake import walk_handshake
from mtughost.diagnose.passage import ANYTHING, ClampVisit, Span, Walk
from mtughost.diagnose.path import PathMtu, path_mtu
from mtughost.diagnose.wire import USUAL_MSS, Wire, gather
from mtughost.diagnose.wording import installed_rows, nearest_miss, rule_text
from mtughost.model.device import MSS_OVERHEAD_BYTES
from mtughost.model.evidence import DIRECTIONS, Direction
from mtughost.model.findings import FlowKey, FlowReport, MssSeen, MssView, MtuView


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One row of the coverage table with everything that it rests on.

    Attributes:
        walk: The handshake packet's way through the gateway, ``None`` where it cannot be walked.
        start_known: Whether the MSS that the packet arrives with is known.
        limit_bytes: Largest packet that the sender's own settings allow (``up`` only).
        segment: Bounds of the largest packet that this direction will carry.
        by_config: What the configuration alone proves.
        report: The row.
    """

    flow: Flow
    direction: Direction
    wire: Wire
    path: PathMtu
    walk: Walk | None
    start_bytes: int
    start_known: bool
    limit_bytes: int | None
    segment: Span
    by_config: bool | None
    report: FlowReport

    @property
    def covered(self) -> bool | None:
        """Whether coverage is proven, refuted or unknown."""
        return self.report.covered

    @property
    def overhead_bytes(self) -> int:
        """Headers that stand between an MSS and a packet."""
        return MSS_OVERHEAD_BYTES[self.flow.family]

    @property
    def needed_mss_bytes(self) -> int | None:
        """Largest MSS that fits."""
        return self.report.mss.needed

    @property
    def ruling(self) -> MssSeen:
        """What the packet that rules this direction carried, per point."""
        return self.report.mss.observed


def prove_coverage(evidence: SiteEvidence) -> tuple[FlowReport, ...]:
    """Return the coverage table of one site."""
    return tuple(proof.report for proof in prove(evidence))


def prove(evidence: SiteEvidence, derived: Derived | None = None) -> tuple[Proof, ...]:
    """Return the coverage proofs of one site with what they rest on."""
    flows = (derived or derive_flows(evidence)).flows
    return tuple(
        _prove(evidence, flow, direction, wire)
        for flow in flows
        for wire in (_gather(evidence, flow),)
        for direction in DIRECTIONS
    )


def prove_flow(evidence: SiteEvidence, flow: Flow, direction: Direction) -> Proof:
    """Return the proof of one flow and direction, as the evidence would have it."""
    return _prove(evidence, flow, direction, _gather(evidence, flow))


def _gather(evidence: SiteEvidence, flow: Flow) -> Wire:
    """Return what the wire showed of this flow; of a way that is not in use it showed nothing."""
    if not flow.active and not flow.doubt:
        wire = gather(replace(evidence, captures=(), probes=(), pings=()), flow)
        return replace(wire, sessions=(), session_source=None, session_syn_ack=None)
    return gather(evidence, flow)


def _prove(evidence: SiteEvidence, flow: Flow, direction: Direction, wire: Wire) -> Proof:
    path = path_mtu(evidence, flow, direction, wire)
    overhead = MSS_OVERHEAD_BYTES[flow.family]
    limit = _sender_limit(flow, wire)
    start, known = _start(flow, direction, limit)
    walked = walk_handshake(evidence.facts_of(flow.gateway), flow, direction, start)
    span = walked.span if walked is not None else ANYTHING
    segment = Span(span.low + overhead, span.high + overhead)
    if direction == "up":
        segment = _limited(segment, limit)
    elif not known:
        # A smaller MSS than the usual one may come in; a clamp's upper bound still holds.
        segment = Span(0, segment.high)
    draft = Proof(
        flow=flow,
        direction=direction,
        wire=wire,
        path=path,
        walk=walked,
        start_bytes=start,
        start_known=known,
        limit_bytes=limit,
        segment=segment,
        by_config=_fits(segment, path),
        report=_row(evidence, flow, direction, wire, path),
    )
    return _judge(draft)


def _sender_limit(flow: Flow, wire: Wire) -> int | None:
    """Return the AP's own limit: its MTU, or what its SYN says when it cannot be read."""
    own = flow.sender.limit_bytes
    if own is not None:
        return own
    values = [v for v in (wire.syn.ap, wire.syn.lan) if v is not None]
    return max(values) + MSS_OVERHEAD_BYTES[flow.family] if values else None


def _start(flow: Flow, direction: Direction, limit: int | None) -> tuple[int, bool]:
    """Return the MSS that the packet arrives with, and whether that is known."""
    usual = USUAL_MSS[flow.family]
    if direction == "up":
        return usual, True
    if flow.sender.advmss_bytes is not None:
        return flow.sender.advmss_bytes, True
    if limit is None:
        return usual, False
    return limit - MSS_OVERHEAD_BYTES[flow.family], True


def _limited(segment: Span, limit: int | None) -> Span:
    if limit is None:
        # The AP's own MTU may be anything: only the upper bound stands.
        return Span(0, segment.high)
    return Span(min(segment.low, limit), min(segment.high, limit))


def _fits(segment: Span, path: PathMtu) -> bool | None:
    known, ceiling = path.known_bytes, path.ceiling_bytes
    if known is not None and segment.high <= known:
        return True
    if ceiling is not None and segment.low > ceiling:
        return False
    return None


def _row(
    evidence: SiteEvidence, flow: Flow, direction: Direction, wire: Wire, path: PathMtu
) -> FlowReport:
    gateway = evidence.facts_of(flow.gateway)
    lan, wan = link_of(gateway, flow.lan), link_of(gateway, flow.egress)
    tunnelled = is_tunnel(evidence, flow)
    wan_mtu = wan.mtu_bytes if wan is not None else None
    known = path.known_bytes
    overhead = MSS_OVERHEAD_BYTES[flow.family]
    return FlowReport(
        key=FlowKey(
            service=flow.service.name,
            ap=flow.ap,
            gateway=flow.gateway,
            egress=flow.egress or "",
            family=flow.family,
            direction=direction,
        ),
        mtu=MtuView(
            ap=flow.sender.mtu_bytes,
            vlan=lan.mtu_bytes if lan is not None else None,
            wan=None if tunnelled else wan_mtu,
            tunnel=wan_mtu if tunnelled else None,
        ),
        mss=MssView(
            observed=_observed(direction, wire),
            needed=known - overhead if known is not None else None,
        ),
        path_mtu=known,
        covered=None,
        proof="",
    )


def _observed(direction: Direction, wire: Wire) -> MssSeen:
    if direction == "down":
        return wire.syn
    if wire.syn_ack.ap is None and wire.session_syn_ack is not None:
        return replace(wire.syn_ack, ap=wire.session_syn_ack)
    return wire.syn_ack


def is_tunnel(evidence: SiteEvidence, flow: Flow) -> bool:
    """Say whether the egress is a narrow tunnel: by its kind, or because only some traffic uses it.

    A veth or a vendor's virtual interface does not say that it is a tunnel; a route to somewhere
    in particular over an interface with a smaller MTU than the VLAN's does.
    """
    gateway = evidence.facts_of(flow.gateway)
    link, lan = link_of(gateway, flow.egress), link_of(gateway, flow.lan)
    if link is None or link.mtu_bytes is None:
        return False
    usual = lan.mtu_bytes if lan is not None and lan.mtu_bytes is not None else ETHERNET_MTU
    if link.mtu_bytes >= usual:
        return False
    kind = link.kind.lower()
    return kind in _TUNNEL_KINDS or (flow.specific and kind not in {"ppp", "pppoe"})


ETHERNET_MTU = 1500
_TUNNEL_KINDS = frozenset(
    {"tunnel", "tun", "gre", "gretap", "ipip", "sit", "vti", "xfrm", "wireguard", "ip6tnl"}
)


def _judge(draft: Proof) -> Proof:
    covered, proof = _by_wire(draft)
    if not proof:
        covered, proof = draft.by_config, _sentence(draft)
    mss = draft.segment.high - draft.overhead_bytes
    certain = draft.segment.low == draft.segment.high and draft.walk is not None
    report = replace(
        draft.report,
        mss=replace(
            draft.report.mss,
            configured=mss if certain else None,
            installed=installed_rows(draft.walk),
        ),
        covered=covered,
        proof=proof,
    )
    return replace(draft, report=report)


def packet_name(direction: Direction) -> str:
    """Return the handshake packet that rules a direction."""
    return "SYN-ACK" if direction == "up" else "SYN"


def _leaving(proof: Proof) -> str:
    name = proof.flow.lan if proof.direction == "up" else proof.flow.egress
    return f"{packet_name(proof.direction)} leaves {name or 'the gateway'}"


def after_gateway(proof: Proof) -> int | None:
    """Return the MSS seen behind the gateway, where the packet was rewritten or not."""
    seen = proof.ruling
    if proof.direction == "down":
        return seen.wan
    values = [v for v in (seen.ap, seen.lan) if v is not None]
    return max(values, default=None)


def before_gateway(proof: Proof) -> int | None:
    """Return the MSS seen in front of the gateway."""
    seen = proof.ruling
    if proof.direction == "up":
        return seen.wan
    values = [v for v in (seen.ap, seen.lan) if v is not None]
    return max(values, default=None)


def rewritten(proof: Proof) -> bool:
    """Say whether two points prove that the gateway lowered the MSS."""
    before, after = before_gateway(proof), after_gateway(proof)
    return before is not None and after is not None and after < before


def contradicted(proof: Proof) -> bool:
    """Say whether the wire shows a larger MSS than the configuration allows."""
    after, walked = after_gateway(proof), proof.walk
    if after is None or walked is None or walked.unreadable:
        return False
    return walked.high_bytes < min(after, proof.start_bytes)


def _by_wire(proof: Proof) -> tuple[bool | None, str]:
    """Let packets decide where they say more than the configuration, else an empty sentence."""
    after, ceiling = after_gateway(proof), proof.path.ceiling_bytes
    known, overhead = proof.path.known_bytes, proof.overhead_bytes
    if after is None or ceiling is None:
        return _by_loss(proof)
    carried = after + overhead
    if proof.direction == "up" and proof.limit_bytes is not None:
        carried = min(carried, proof.limit_bytes)
    name = packet_name(proof.direction)
    if proof.by_config is not False and carried > ceiling and _sender_known(proof):
        said = "the configuration could not settle it"
        if proof.by_config:
            said = f"the configuration promises {_promised(proof)}"
        return False, (
            f"a {name} was seen behind the gateway with MSS {after}, {said}, and the path takes "
            f"{ceiling - overhead} at most"
        )
    if rewritten(proof) and known is not None and carried <= known:
        before = before_gateway(proof)
        if proof.by_config is False:
            return None, (
                f"a {name} was seen rewritten from {before} to {after}, but no rule that was read "
                "does that"
            )
        if proof.by_config is None:
            return True, (
                f"a {name} was seen rewritten by the gateway from MSS {before} to {after}, which "
                f"fits the path MTU {known}"
            )
    return None, ""


def _by_loss(proof: Proof) -> tuple[bool | None, str]:
    """Let the loss itself speak where the gateway cannot be asked.

    Whatever MSS reached the service: it sends packets that never arrive, while smaller ones do.
    """
    lost, arrived = proof.wire.lost_down_bytes, proof.wire.acked_down_bytes
    if proof.direction == "up" or proof.walk is not None or lost is None or arrived is None:
        return None, ""
    if arrived >= lost:
        return None, ""
    return False, (
        f"packets of {arrived} bytes from {proof.flow.service.name} arrive and larger ones (up to "
        f"{lost}) never do, so the SYN asks it for more than the path carries"
    )


def _sender_known(proof: Proof) -> bool:
    return proof.direction == "down" or proof.limit_bytes is not None


def _promised(proof: Proof) -> str:
    return str(proof.walk.high_bytes) if proof.walk is not None else "less"


def _sentence(proof: Proof) -> str:
    if proof.by_config is None:
        return _unknown_sentence(proof)
    walk = proof.walk
    limit = _limit(proof.path)
    if proof.by_config:
        own = proof.limit_bytes
        usual = USUAL_MSS[proof.flow.family]
        clamp = _working_clamp(walk)
        if clamp is not None and proof.segment.high == clamp[1] + proof.overhead_bytes:
            return (
                f"{rule_text(clamp[0])} writes MSS {clamp[1]} when this {_leaving(proof)}, which "
                f"fits {limit}"
            )
        if own is not None and own < usual + proof.overhead_bytes:
            return (
                f"{proof.flow.ap} limits itself: its own MTU of {own} on "
                f"{proof.flow.sender.interface or 'its interface'} fits {limit}"
            )
        return f"packets of up to {proof.segment.high} bytes fit {limit}"
    mss = proof.segment.low - proof.overhead_bytes
    tail = nearest_miss(walk, proof.direction)
    return f"this {_leaving(proof)} with MSS {mss}, {limit} takes {_most(proof)}; {tail}"


def _limit(path: PathMtu) -> str:
    """Name what packets must fit, and who says so: a device, or the packets that were lost."""
    known, hard, lost = path.known_bytes, path.narrowest, path.lost
    if lost is None or (hard is not None and hard.mtu_bytes < lost):
        return f"the path MTU {path.hard_bytes}" + (f" ({hard.what})" if hard is not None else "")
    if known is not None:
        return f"the path MTU {known} (measured)"
    return f"the path, which loses packets of {lost} bytes,"


def _most(proof: Proof) -> str:
    known, ceiling = proof.path.known_bytes, proof.path.ceiling_bytes
    if known is not None:
        return str(known - proof.overhead_bytes)
    return f"{ceiling - proof.overhead_bytes} at most" if ceiling is not None else "less"


def _working_clamp(walk: Walk | None) -> tuple[ClampVisit, int] | None:
    if walk is None:
        return None
    found = [v for v in walk.visits if v.applies == "yes" and v.value_bytes is not None]
    changed = [v for v in found if v.changed]
    for visit in reversed(changed or found):
        if visit.value_bytes is not None:
            return visit, visit.value_bytes
    return None


def _unknown_sentence(proof: Proof) -> str:
    name, walked, ap = packet_name(proof.direction), proof.walk, proof.flow.ap
    gateway = proof.flow.gateway or "the gateway"
    if proof.path.known_bytes is None and proof.path.lost is None:
        return "the path MTU is unknown, because not every device on the path could be asked"
    if walked is None:
        return f"the rules of {gateway} are unknown, so what happens to the {name} is unknown"
    vague = [v for v in walked.visits if v.applies == "yes" and v.value_bytes is None]
    reasons = (
        (walked.dropped == "yes", f"the {name} does not get through: {walked.dropped_by} drops it"),
        (
            bool(walked.doubts),
            f"what happens to the {name} is unknown: {next(iter(walked.doubts), '')}",
        ),
        (
            proof.direction == "down" and not proof.start_known,
            f"the MSS that {ap} puts into its SYN is unknown",
        ),
        (
            proof.direction == "up" and proof.limit_bytes is None,
            f"the MTU of {ap} is unknown, so its segment size is unknown",
        ),
        (bool(vague), f"{' and '.join(map(rule_text, vague))} writes an MSS that is unknown"),
    )
    return next((text for holds, text in reasons if holds), "the path MTU is known only roughly")
