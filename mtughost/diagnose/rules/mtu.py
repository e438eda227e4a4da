"""MTUs that disagree: the VLAN's, which the AP never learned, and the ISP's, which nobody told."""

from __future__ import annotations

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.evidence import cite, source_of
from mtughost.diagnose.flows import link_of
from mtughost.diagnose.health import discovery_text
from mtughost.diagnose.rules.grading import (
    explained_otherwise,
    grade_holes,
    loss_is_placed,
    symptom_cites,
)
from mtughost.diagnose.segment import lost_before_wan
from mtughost.diagnose.wire import went_on
from mtughost.model.basis import Known
from mtughost.model.device import mss_for_mtu
from mtughost.model.findings import Evidence, Finding, FixHint, Grade, RuledOut


def vlan_mtu_not_learned(case: Case) -> Outcome:
    """M32: the gateway's VLAN MTU was lowered to fit the WAN, and the AP still uses its own.

    Observables: VLAN MTU below the AP's MTU, the upload still open. The VLAN MTU alone is in
    neither end's segment size (facts/lab.md, "So what does lower the VLAN MTU do").
    """
    link = link_of(case.gateway, case.flow.lan)
    vlan = link.mtu_bytes if link is not None else None
    own, path = case.flow.sender.limit_bytes, case.up.path.known_bytes
    if vlan is None or own is None:
        return ()
    if vlan >= own:
        because = f"{case.flow.ap}'s MTU of {own} does not exceed the VLAN's {vlan}"
        return (RuledOut(id="vlan-mtu-not-learned", because=because),)
    if case.up.covered is not False or path is None or vlan > path:
        return ()
    grade = grade_holes(case, (case.up,), by_config=case.up.by_config is False)
    if grade is None:
        return (RuledOut(id="vlan-mtu-not-learned", because=discovery_text(case)),)
    if not (case.way_is_certain and case.flow.egress):
        # Another way out may be the narrow one, and the VLAN's MTU beside the point.
        grade = "possible"
    return (
        Finding(
            id="vlan-mtu-not-learned",
            grade=grade,
            owner=case.gateway_owner,
            summary=(
                f"{case.flow.gateway} has MTU {vlan} on {case.flow.lan}, but {case.flow.ap} still "
                f"uses {own}: lowering the VLAN's MTU does not reach the AP{_dhcp_words(case)}"
            ),
            evidence=unique(
                case.link_cite(case.flow.gateway, case.flow.lan),
                case.link_cite(case.flow.ap, case.flow.sender.interface),
                _dhcp_cites(case),
                case.syn_cites("SYN"),
                symptom_cites(case, (case.up,)),
            ),
            flow=case.up.report.key,
            fix=FixHint(
                change="announce-mtu",
                summary=(
                    f"Announce {vlan} to {case.flow.ap} (DHCP option 26), or set its MTU to it, "
                    f"or clamp the MSS to {mss_for_mtu(vlan, case.family)} in both directions"
                ),
                host=case.flow.ap,
                value_bytes=vlan,
            ),
        ),
    )


def _dhcp_words(case: Case) -> str:
    facts = case.gateway
    if facts is None or not isinstance(facts.dhcp_mtu_bytes, Known):
        return ""
    return f", although DHCP option 26 says {facts.dhcp_mtu_bytes.value}"


def _dhcp_cites(case: Case) -> tuple[Evidence, ...]:
    facts = case.gateway
    if facts is None or not isinstance(facts.dhcp_mtu_bytes, Known):
        return ()
    text = f"DHCP option 26 is {facts.dhcp_mtu_bytes.value}"
    return (cite("dhcp", source_of(facts.dhcp_mtu_bytes, facts.host), text),)


def isp_path_mtu_low(case: Case) -> Outcome:
    """M26: packets vanish that every device of ours would pass.

    Observables: a bracket [delivered, lost] or an ICMP figure below every MTU of ours; or a gap in
    the service's flight that is open at our WAN already, although the SYN asked for what we take.
    """
    path = case.up.path
    own = min((b.mtu_bytes for b in path.bounds if b.ours), default=None)
    if case.symptom.stays_near("up"):
        because = f"what is lost is lost between {case.flow.ap} and {case.flow.gateway} already"
        return (RuledOut(id="isp-path-mtu-low", because=because),)
    if not path.hidden:
        return _not_hidden(case, own)
    if lost_before_wan(case.wire):
        because = f"what is lost never reaches {case.flow.gateway} {case.flow.egress}"
        return (RuledOut(id="isp-path-mtu-low", because=because),)
    if case.symptom.state == "working" and case.up.covered is not False:
        return ()
    grade: Grade = "possible"
    if case.symptom.state == "working":
        graded = grade_holes(case, (case.up,), by_config=True)
        if graded is None:
            return (RuledOut(id="isp-path-mtu-low", because=discovery_text(case)),)
        grade = graded
    elif not explained_otherwise(case) and case.symptom.up_lost:
        sure = path.known_bytes is not None and loss_is_placed(case)
        grade = "confirmed" if sure else "likely"
    if not case.way_is_certain:
        # Another way out may explain what is lost.
        grade = "possible"
    figure = f"{path.known_bytes}" if path.known_bytes is not None else f"less than {path.lost}"
    needed = case.up.needed_mss_bytes
    return (
        Finding(
            id="isp-path-mtu-low",
            grade=grade,
            owner="isp",
            summary=(
                f"every MTU of ours is {own} or more, but the path beyond carries {figure} bytes"
            ),
            evidence=unique(
                (b.cite for b in path.bounds), case.symptom.wire_cites, case.symptom.cites
            ),
            flow=case.up.report.key,
            fix=FixHint(
                change="clamp-missing",
                summary=f"On {case.flow.gateway}, clamp the MSS to {needed} in both directions",
                host=case.flow.gateway,
                value_bytes=needed,
            )
            if needed is not None
            else None,
        ),
    )


def _not_hidden(case: Case, own: int | None) -> Outcome:
    lost = _lost_before_our_wan(case)
    if lost is not None:
        return (_low_downwards(case, lost),)
    known = case.up.path.lost
    if own is not None and known is not None and known > own:
        because = f"what is lost ({known} bytes) already exceeds our own {own}"
        return (RuledOut(id="isp-path-mtu-low", because=because),)
    return ()


def _lost_before_our_wan(case: Case) -> int | None:
    """Return the size of service packets that never reach a WAN that would take them."""
    if not case.symptom.down_lost or case.symptom.up_lost or not case.down.covered:
        return None
    sizes = [
        s.flow.smallest_lost_down_bytes
        for s in case.wire.flows
        if s.capture.point == "gateway-wan" and not went_on(s.flow)
    ]
    return min((size for size in sizes if size is not None), default=None)


def _low_downwards(case: Case, lost: int) -> Finding:
    through = [s.flow.largest_acked_down_bytes for s in case.wire.stalled_down]
    arrived = max((size for size in through if size is not None), default=None)
    figure = f", while {arrived} bytes arrive" if arrived is not None and arrived < lost else ""
    return Finding(
        id="isp-path-mtu-low",
        grade="likely",
        owner="isp",
        summary=(
            f"packets of {lost} bytes from {case.flow.service.name} never reach "
            f"{case.flow.gateway} {case.flow.egress or ''}, although everything of ours takes "
            f"them{figure}: the way back is narrower than our own links"
        ),
        evidence=unique(
            (b.cite for b in case.down.path.bounds),
            case.syn_cites("SYN"),
            case.symptom.wire_cites,
            case.symptom.cites,
        ),
        flow=case.down.report.key,
    )
