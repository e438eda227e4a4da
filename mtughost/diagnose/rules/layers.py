"""MTUs of layers and directions: two ends of one segment, PPP over Ethernet, up against down."""

from __future__ import annotations

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.flows import link_of
from mtughost.diagnose.net import interface
from mtughost.diagnose.segment import seen_to_cross
from mtughost.model.basis import value_or_none
from mtughost.model.device import Interface
from mtughost.model.evidence import Direction
from mtughost.model.findings import Evidence, Finding, FixHint, Grade, RuledOut

#: PPP over Ethernet: 6 bytes of header and 2 of PPP protocol (RFC 2516, RFC 4638).
PPPOE_BYTES = 8
_PPP = frozenset({"ppp", "pppoe", "pppoe-client", "dialer"})
_CARRIERS = frozenset({"ethernet", "vlan", "bridge", "bond", "veth"})


def l2_mtu_mismatch(case: Case) -> Outcome:
    """M22: two neighbours on one segment disagree, and the smaller end drops in silence.

    Observables: captures at both ends of the segment, where one end sends a large packet again
    and again and the other never sees it (:mod:`mtughost.diagnose.segment`); MTUs of both ends;
    ports smaller than their bridge.
    Discriminator from all path modes: it is lost between two devices of ours, without a router
    between them, so nobody could send ICMP. Source: catalogue M22.
    """
    ports, ends = _narrow_ports(case), _ends(case)
    losses = case.symptom.segment
    if not losses:
        if ports and case.symptom.state == "failing":
            return (_mismatch(case, "possible", (), ends, ports),)
        return _crossed(case)
    sizes = {link.mtu_bytes for link in ends if link is not None}
    differ = len(sizes) > 1 or bool(ports)
    lost = tuple(e for loss in losses for e in loss.cites)
    return (_mismatch(case, _grade(case, differ=differ), lost, ends, ports),)


def _grade(case: Case, *, differ: bool) -> Grade:
    """Two captures are two witnesses; one at the gateway needs the AP's own words beside it."""
    losses = case.symptom.segment
    if any(loss.both_ends for loss in losses):
        by_size = any(loss.both_ends and loss.by_size for loss in losses)
        return "confirmed" if differ and by_size else "likely"
    return "likely" if case.symptom.stalls or case.wire.stuck_sessions else "possible"


def _crossed(case: Case) -> Outcome:
    """Rule it out where the very size that is lost was seen at the other end of the segment."""
    lost = case.wire.lost_up_bytes
    if not case.symptom.up_lost or lost is None or not seen_to_cross(case.wire, "up", lost):
        return ()
    because = f"packets of {lost} bytes from {case.flow.ap} arrive at the gateway"
    return (RuledOut(id="l2-mtu-mismatch", because=because),)


def _mismatch(
    case: Case,
    grade: Grade,
    cites: tuple[Evidence, ...],
    ends: tuple[Interface | None, Interface | None],
    ports: tuple[Interface, ...],
) -> Finding:
    hosts = zip(ends, (case.flow.ap, case.flow.gateway), strict=True)
    known = [f"{link.mtu_bytes} on {host}" for link, host in hosts if link is not None]
    known += [f"{port.mtu_bytes} on its port {port.name}" for port in ports]
    figures = f" ({', '.join(known)})" if len(known) > 1 else ""
    return Finding(
        id="l2-mtu-mismatch",
        grade=grade,
        owner=case.gateway_owner,
        summary=(
            f"large packets vanish on the segment between {case.flow.ap} and "
            f"{case.flow.gateway}{figures}: no router stands there that could "
            "say so"
        ),
        evidence=unique(
            cites,
            (e for port in ports for e in case.link_cite(case.flow.gateway, port.name)),
            case.link_cite(case.flow.ap, case.flow.sender.interface),
            case.link_cite(case.flow.gateway, case.flow.lan),
            case.symptom.cites,
        ),
        flow=case.up.report.key,
    )


def _ends(case: Case) -> tuple[Interface | None, Interface | None]:
    return (
        link_of(case.ap, case.flow.sender.interface),
        link_of(case.gateway, case.flow.lan),
    )


def _narrow_ports(case: Case) -> tuple[Interface, ...]:
    """Return the ports of the AP's bridge when every one of them is smaller than the bridge."""
    links = value_or_none(case.gateway.interfaces) if case.gateway is not None else None
    bridge = interface(links, case.flow.lan)
    if bridge is None or bridge.mtu_bytes is None:
        return ()
    ports = [link for link in links or () if link.master == bridge.name]
    small = [p for p in ports if p.mtu_bytes is not None and p.mtu_bytes < bridge.mtu_bytes]
    return tuple(small) if len(small) == len(ports) else ()


def pppoe_mtu_half_done(case: Case) -> Outcome:
    """M23: PPP was raised to 1500, and what carries it was not.

    Observables: MTU of the PPP link against its parents (1500 needs 1508 below, on every layer),
    and a ceiling on the wire that is 8 bytes below what PPP says. Discriminator from M26: the
    missing bytes are our own. Source: RFC 4638; catalogue M23.
    """
    links = value_or_none(case.gateway.interfaces) if case.gateway is not None else None
    link = interface(links, case.flow.egress)
    if link is None or link.mtu_bytes is None or link.kind.lower() not in _PPP:
        return ()
    needed = link.mtu_bytes + PPPOE_BYTES
    chain = _below(links or (), link)
    small = [p for p in chain if p.mtu_bytes is not None and p.mtu_bytes < needed]
    if chain and not small:
        because = f"what carries {link.name} takes {needed} bytes and more"
        return (RuledOut(id="pppoe-mtu-half-done", because=because),)
    ceiling = case.up.path.ceiling_bytes
    tight = ceiling is not None and link.mtu_bytes - PPPOE_BYTES <= ceiling < link.mtu_bytes
    nowhere = not chain and not any(
        p.mtu_bytes is not None and p.mtu_bytes >= needed for p in _carriers(links or ())
    )
    grade = _half_done_grade(case, sure=bool(small), tight=tight, nowhere=nowhere)
    if grade is None:
        return ()
    value = link.mtu_bytes - PPPOE_BYTES
    below = ", ".join(f"{p.name} has {p.mtu_bytes}" for p in small) or "no other link has that"
    return (
        Finding(
            id="pppoe-mtu-half-done",
            grade=grade,
            owner=case.gateway_owner,
            summary=(
                f"{case.flow.gateway} {link.name} says MTU {link.mtu_bytes}, which needs {needed} "
                f"below it, but {below}"
            ),
            evidence=unique(
                case.link_cite(case.flow.gateway, link.name),
                (e for p in small for e in case.link_cite(case.flow.gateway, p.name)),
                case.symptom.wire_cites,
                case.symptom.cites,
            ),
            flow=case.up.report.key,
            fix=FixHint(
                change="link-mtu",
                summary=(
                    f"On {case.flow.gateway}, raise what carries {link.name} to {needed} on every "
                    f"layer, or set {link.name} to {value} and clamp to it"
                ),
                host=case.flow.gateway,
                value_bytes=value,
            ),
        ),
    )


def _half_done_grade(case: Case, *, sure: bool, tight: bool, nowhere: bool) -> Grade | None:
    if case.symptom.state == "working" and not case.symptom.size_proven:
        # Parents that are too small are a fact; that it hurts is not.
        return "possible" if sure else None
    if not sure and not (nowhere and (tight or case.symptom.stalls)):
        return None
    if tight and case.symptom.lost_beyond("up"):
        return "confirmed" if sure else "likely"
    return "likely" if sure and case.symptom.stalls else "possible"


def _below(links: tuple[Interface, ...], link: Interface) -> tuple[Interface, ...]:
    """Return the layers below a link, nearest first."""
    found: list[Interface] = []
    parent = interface(links, link.parent or None)
    while parent is not None and parent not in found:
        found.append(parent)
        parent = interface(links, parent.parent or None)
    return tuple(found)


def _carriers(links: tuple[Interface, ...]) -> tuple[Interface, ...]:
    return tuple(link for link in links if link.kind.lower() in _CARRIERS)


def path_mtu_asymmetric(case: Case) -> Outcome:
    """M24: one direction carries less than the other.

    Observables: a size that is lost one way and arrives whole the other way, on the same
    connection's path. What leaves as fragments did not travel whole and proves nothing.
    Discriminator from M26: the other direction is fine. Source: catalogue M24.
    """
    up_lost, down_lost = case.wire.lost_up_bytes, _lost_down(case)
    up_whole, down_whole = _whole_up(case), _whole_down(case)
    narrow: Direction | None = None
    if case.symptom.lost_beyond("down") and down_lost and up_whole and up_whole >= down_lost:
        narrow = "down"
    elif case.symptom.lost_beyond("up") and up_lost and down_whole and down_whole >= up_lost:
        narrow = "up"
    if narrow is None:
        if case.symptom.up_lost and case.symptom.down_lost:
            because = "large packets are lost both ways"
            return (RuledOut(id="path-mtu-asymmetric", because=because),)
        return ()
    own = case.up.path.hard_bytes if narrow == "up" else case.down.path.hard_bytes
    lost = (up_lost if narrow == "up" else down_lost) or 0
    whole = (down_whole if narrow == "up" else up_whole) or 0
    ours = own is not None and lost > own
    way = "towards the service" if narrow == "up" else "from the service"
    return (
        Finding(
            id="path-mtu-asymmetric",
            # Where our own link explains the narrow side, the other one is merely generous.
            grade="possible" if ours else "likely",
            owner=case.gateway_owner if ours else "isp",
            summary=(
                f"packets of {lost} bytes {way} are lost, while packets of {whole} bytes arrive "
                "whole the other way: the path is narrower in one direction"
            ),
            evidence=case.symptom.wire_cites,
            flow=(case.up if narrow == "up" else case.down).report.key,
        ),
    )


def _lost_down(case: Case) -> int | None:
    """Smallest service packet that is known to be lost, else the largest that it may send.

    What never arrives shows no size. Where the gap stays open although the SYN that left our WAN
    asks for what our own links take, the missing packets are at most that large.
    """
    known = case.wire.lost_down_bytes
    if known is None and case.symptom.down_lost and case.down.covered:
        return case.down.segment.high
    return known


def _whole_up(case: Case) -> int | None:
    """Largest acknowledged client packet that certainly travelled in one piece."""
    if case.wire.fragments_up:
        return None
    seen_outside = bool(case.wire.watched("gateway-wan"))
    sizes = [
        s.flow.largest_acked_up_bytes
        for s in case.wire.flows
        if s.flow.df_up or (seen_outside and s.capture.point == "gateway-wan")
    ]
    return max((size for size in sizes if size is not None), default=None)


def _whole_down(case: Case) -> int | None:
    if any(c.fragments_down for c in case.wire.captures):
        return None
    sizes = [s.flow.largest_acked_down_bytes for s in case.wire.flows]
    return max((size for size in sizes if size is not None), default=None)
