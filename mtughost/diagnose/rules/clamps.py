"""Clamps: missing, of the wrong scope, for one direction or family only, too high, dead."""

from __future__ import annotations

from collections.abc import Iterable

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.coverage import after_gateway, packet_name
from mtughost.diagnose.evidence import cite, source_of
from mtughost.diagnose.health import discovery_text, health, session_cites
from mtughost.diagnose.match import MismatchKind
from mtughost.diagnose.rules.grading import grade_holes, symptom_cites
from mtughost.diagnose.rules.shape import Hole, Shape, has_clamps, holes
from mtughost.diagnose.wording import because, counter_text
from mtughost.model.findings import Evidence, Finding, FixHint, RuledOut


def clamp_scope(case: Case) -> Outcome:
    """M02: a clamp exists and matches another VLAN, address or port.

    Observables: the walk of the handshake packet, the rule's counter, SYN-ACK MSS at the AP.
    Discriminator from M01: the rule is in the configuration. From M08: its scope, not its order.
    """
    return _finding(case, "clamp-scope", "scope")


def clamp_missing(case: Case) -> Outcome:
    """M01: no rule clamps this flow, and the path is smaller than the segments.

    Where the gateway cannot be read, packets cannot tell a missing clamp from a mis-scoped or dead
    one (failure-modes B, remark d): then at most ``likely``. A tunnel has its own finding.
    """
    if case.tunnelled and _of_shape(case, "missing") and case.up.walk is not None:
        return ()
    return _finding(case, "clamp-missing", "missing")


def clamp_one_direction(case: Case) -> Outcome:
    """M03, M04: only the SYN or only the SYN-ACK is rewritten.

    Observables: a rule acts on one handshake packet and not on the other; MSS pair 1452/1460.
    """
    return _finding(case, "clamp-one-direction", "one-direction")


def clamp_one_family(case: Case) -> Outcome:
    """M05: the clamp sees the other address family only."""
    return _finding(case, "clamp-one-family", "one-family")


def clamp_too_high(case: Case) -> Outcome:
    """M06: a clamp acts, counts and writes a value that the path cannot carry."""
    return _finding(case, "clamp-too-high", "too-high")


def clamp_not_effective(case: Case) -> Outcome:
    """M08: configured, but dead: shadowed, never reached, or contradicted by the packets."""
    return _finding(case, "clamp-not-effective", "not-effective")


def clamp_wrong_egress(case: Case) -> Outcome:
    """M11: the clamp names another way out of the same gateway."""
    if case.tunnelled:
        return ()
    return _finding(case, "clamp-wrong-egress", "wrong-egress")


def tunnel_overhead(case: Case) -> Outcome:
    """M12: the service lies behind a tunnel, and nothing accounts for the tunnel's overhead.

    Observables: the egress is a tunnel, its MTU is below the VLAN's, no clamp acts on it.
    """
    if not case.tunnelled or case.up.walk is None:
        return _ruled_out(case, "tunnel-overhead", "the way out is not a tunnel")
    chosen = (*_of_shape(case, "missing"), *_of_shape(case, "wrong-egress"))
    if not chosen:
        return _ruled_out(case, "tunnel-overhead", case.up.report.proof)
    return _conclude(case, "tunnel-overhead", chosen)


def _of_shape(case: Case, shape: Shape) -> tuple[Hole, ...]:
    return tuple(h for h in holes(case) if h.shape == shape)


def _finding(case: Case, finding_id: str, shape: Shape) -> Outcome:
    chosen = _of_shape(case, shape)
    if chosen:
        return _conclude(case, finding_id, chosen)
    if case.up.covered and case.down.covered:
        # One sentence for the whole family is enough.
        return _ruled_out(case, finding_id, case.up.report.proof) if shape == "missing" else ()
    if shape == "missing" and has_clamps(case) and case.holes:
        return _ruled_out(case, finding_id, "the gateway does have clamp rules")
    return ()


def _ruled_out(case: Case, finding_id: str, because_: str) -> Outcome:
    if case.flow.egress is None or case.gateway is None:
        return ()
    return (RuledOut(id=finding_id, because=because_),)


def _conclude(case: Case, finding_id: str, chosen: tuple[Hole, ...]) -> Outcome:
    proofs = [h.proof for h in chosen]
    known = all(h.proof.by_config is False or h.shape == "not-effective" for h in chosen)
    if case.gateway is not None and case.flow.egress is None:
        # Which way it leaves is unknown, so what is wrong there is a guess.
        known = False
    if not case.way_is_certain:
        known = False
    grade = grade_holes(case, proofs, by_config=known)
    if grade is None:
        return _ruled_out(case, finding_id, discovery_text(case))
    worst = chosen[0]
    return (
        Finding(
            id=finding_id,
            grade=grade,
            owner=case.gateway_owner,
            summary=_summary(case, finding_id, chosen),
            evidence=unique(
                _rule_cites(case, chosen),
                case.link_cite(case.flow.gateway, case.flow.egress),
                case.link_cite(case.flow.gateway, case.flow.lan),
                case.link_cite(case.flow.ap, case.flow.sender.interface),
                case.syn_cites("SYN-ACK"),
                session_cites(case),
                case.syn_cites("SYN"),
                symptom_cites(case, proofs) if grade != "possible" else (),
            ),
            flow=worst.proof.report.key,
            fix=_fix(case, finding_id, chosen),
        ),
    )


def _rule_cites(case: Case, chosen: Iterable[Hole]) -> list[Evidence]:
    facts = case.gateway
    if facts is None:
        return []
    source = source_of(facts.clamps, facts.host)
    cites = []
    for hole in chosen:
        visit = hole.visit
        if visit is not None:
            text = (
                f"{visit.rule.text} [{counter_text(visit.rule.packets)}]: {because(visit)}, "
                f"seen by the {packet_name(hole.direction)}"
            )
            command = visit.rule.command or None
            cites.append(cite("clamp-rule", source, text, line=visit.rule.line, command=command))
        elif hole.proof.walk is not None:
            cites.append(cite("clamp-rule", source, "no rule clamps this flow"))
    return cites


def _summary(case: Case, finding_id: str, chosen: tuple[Hole, ...]) -> str:
    # The direction whose rule misses by the least says best what it asks for instead.
    text = f"{_lead(case, finding_id, _nearest(chosen))}, so {_consequence(case, chosen)}"
    worst = chosen[0].proof
    if worst.needed_mss_bytes is not None:
        text += f"; MSS {worst.needed_mss_bytes} will work (path MTU {worst.path.known_bytes})"
    lucky = [r.text for r in (health(case, h.proof) for h in chosen) if r.why == "luck"]
    if case.symptom.state == "working" and lucky:
        text += f"; it works today because {lucky[0]}"
    return text


def _lead(case: Case, finding_id: str, hole: Hole) -> str:
    flow, visit = case.flow, hole.visit
    gateway = flow.gateway or "the gateway"
    if hole.proof.walk is None:
        # Packets show the effect only; the id is the commonest of three causes.
        return (
            f"no clamp takes effect between {flow.ap} and {flow.service.name} (whether {gateway} "
            f"has none, or one that misses this path or is dead{_or_narrower(hole)}, only its "
            "configuration can tell)"
        )
    if visit is None:
        where = f"between {flow.lan or 'the VLAN'} and {flow.egress or 'the WAN'}"
        over = ", which is a tunnel" if finding_id == "tunnel-overhead" else ""
        return f"{gateway} clamps no MSS {where}{over}"
    name = f"rule {visit.rule.name} on {gateway}"
    count = counter_text(visit.rule.packets)
    if finding_id == "clamp-one-direction":
        return f"{name} clamps the {_other_packet(hole)} only ({count})"
    if finding_id == "clamp-too-high":
        return f"{name} writes MSS {visit.value_bytes}, more than the path carries ({count})"
    if visit.applies == "yes":
        return f"{name} should clamp, but packets come out unclamped ({count})"
    return f"{name} would clamp but {because(visit)}{_own_side(case, hole)} ({count})"


def _nearest(chosen: tuple[Hole, ...]) -> Hole:
    return min(chosen, key=lambda hole: len(_missed(hole)))


def _missed(hole: Hole) -> set[MismatchKind]:
    return {m.kind for m in hole.visit.misses} if hole.visit is not None else set()


def _or_narrower(hole: Hole) -> str:
    return ", or the way back is narrower" if hole.direction == "down" else ""


def _other_packet(hole: Hole) -> str:
    return packet_name("down" if hole.direction == "up" else "up")


def _own_side(case: Case, hole: Hole) -> str:
    kinds = _missed(hole)
    side = case.flow.egress if hole.shape == "wrong-egress" else case.flow.lan
    inside = "in-interface" in kinds or "out-interface" in kinds
    return f", not {side}" if inside and side is not None else ""


def _consequence(case: Case, chosen: tuple[Hole, ...]) -> str:
    parts = []
    for hole in chosen:
        proof = hole.proof
        lost = proof.wire.lost_down_bytes
        if hole.direction == "down" and proof.walk is None and lost is not None:
            parts.append(f"packets of up to {lost} bytes from {case.flow.service.name} are lost")
            continue
        to = case.flow.ap if hole.direction == "up" else case.flow.service.name
        seen = after_gateway(proof)
        mss = proof.segment.high - proof.overhead_bytes if seen is None else seen
        how = "by configuration" if seen is None else "seen"
        parts.append(f"the {packet_name(hole.direction)} reaches {to} with MSS {mss} ({how})")
    return " and ".join(parts)


def _left_out(case: Case, chosen: tuple[Hole, ...], lan: str) -> str:
    """Name what of this flow the clamp leaves out: its VLAN, or these addresses and ports."""
    if _missed(_nearest(chosen)) <= {"address", "port"}:
        return f"{case.flow.ap} to {case.flow.service.host} port {case.flow.service.port}"
    return lan


def _fix(case: Case, finding_id: str, chosen: tuple[Hole, ...]) -> FixHint:
    hole = chosen[0]
    needed = hole.proof.needed_mss_bytes
    gateway = case.flow.gateway
    lan, wan = case.flow.lan or "the AP's VLAN", case.flow.egress or "the WAN"
    value = f" (MSS {needed})" if needed is not None else ""
    words = {
        "clamp-scope": (
            f"let the clamp match {_left_out(case, chosen, lan)} too, in both directions{value}"
        ),
        "clamp-missing": f"clamp the MSS between {lan} and {wan} in both directions{value}",
        "clamp-one-direction": (
            f"clamp the {packet_name(hole.direction)} between {lan} and {wan} too{value}"
        ),
        "clamp-one-family": f"clamp {case.family} between {lan} and {wan} too{value}",
        "clamp-too-high": f"lower the clamp between {lan} and {wan}{value}",
        "clamp-not-effective": f"move the clamp in front of what ends the evaluation{value}",
        "clamp-wrong-egress": f"let the clamp match {wan} too, in both directions{value}",
        "tunnel-overhead": f"clamp the MSS on the tunnel {wan} in both directions{value}",
    }
    change = {"tunnel-overhead": "clamp-missing"}.get(finding_id, finding_id)
    return FixHint(
        change=change,
        summary=f"On {gateway or 'the gateway'}, {words[finding_id]}",
        host=gateway if case.gateway is not None else "",
        value_bytes=needed,
    )
