"""Clamps that do something else than their configuration says: by field, version or platform."""

from __future__ import annotations

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.coverage import after_gateway, contradicted
from mtughost.diagnose.evidence import cite, source_of
from mtughost.diagnose.passage import ClampVisit
from mtughost.diagnose.rules.grading import grade_holes, symptom_cites
from mtughost.diagnose.rules.shape import Hole, holes
from mtughost.diagnose.version_order import at_least
from mtughost.diagnose.wording import because, counter_text
from mtughost.model.basis import value_or_none
from mtughost.model.clamps import ClampSemantics, ClampTo
from mtughost.model.device import MSS_OVERHEAD_BYTES
from mtughost.model.findings import Evidence, Finding, FixHint, Grade


def clamp_field_misread(case: Case) -> Outcome:
    """M07: an MTU was typed where an MSS belongs, or the reverse.

    Observables: the clamp acts and its number is exactly the path MTU (an MTU taken for an MSS:
    too high by 40 or 60), or it is the needed MSS less the headers once more (an MSS typed into a
    field that means an MTU: fits, and wastes). Discriminator from M06: the figure itself. What
    somebody meant is inferred, so never more than ``likely``. Source: catalogue M07; OPNsense
    ``filter.inc`` subtracts 40 (or 60) from its field.
    """
    found = [h for h in holes(case) if h.shape == "too-high" and _is_mtu(h)]
    if found:
        grade = grade_holes(case, [h.proof for h in found], by_config=True)
        if grade is None:
            return ()
        return (_mtu_as_mss(case, found[0], "likely" if grade == "confirmed" else grade),)
    for proof in case.proofs:
        needed = proof.needed_mss_bytes
        for visit in proof.walk.visits if proof.walk is not None else ():
            twice = needed is not None and visit.value_bytes == needed - proof.overhead_bytes
            if twice and visit.applies == "yes" and _number(visit) is not None:
                return (_mss_as_mtu(case, visit, needed or 0),)
    return ()


def _number(visit: ClampVisit) -> int | None:
    action = visit.rule.action
    return action.value_bytes if isinstance(action, ClampTo) else None


def _is_mtu(hole: Hole) -> bool:
    value = _number(hole.visit) if hole.visit is not None else None
    needed = hole.proof.needed_mss_bytes
    return value is not None and needed is not None and value == needed + hole.proof.overhead_bytes


def _mtu_as_mss(case: Case, hole: Hole, grade: Grade) -> Finding:
    needed = hole.proof.needed_mss_bytes or 0
    value = _number(hole.visit) if hole.visit is not None else None
    return Finding(
        id="clamp-field-misread",
        grade=grade,
        owner=case.gateway_owner,
        summary=(
            f"the clamp on {case.flow.gateway} writes {value}, which is the path's MTU: an MTU "
            f"stands where an MSS belongs, {needed} would fit"
        ),
        evidence=unique(
            _visit_cite(case, hole.visit),
            case.link_cite(case.flow.gateway, case.flow.egress),
            symptom_cites(case, (hole.proof,)),
        ),
        flow=hole.proof.report.key,
        fix=FixHint(
            change="clamp-too-high",
            summary=f"On {case.flow.gateway}, enter {needed} in the clamp's MSS field",
            host=case.flow.gateway,
            value_bytes=needed,
        ),
    )


def _mss_as_mtu(case: Case, visit: ClampVisit, needed: int) -> Finding:
    overhead = MSS_OVERHEAD_BYTES[case.family]
    return Finding(
        id="clamp-field-misread",
        grade="possible",
        owner=case.gateway_owner,
        summary=(
            f"the clamp on {case.flow.gateway} writes {visit.value_bytes}, {overhead} less than "
            f"the {needed} that would fit: perhaps an MSS was typed where the field means an MTU; "
            "nothing breaks, packets are only smaller than they could be"
        ),
        evidence=_visit_cite(case, visit),
        flow=case.up.report.key,
    )


def _visit_cite(case: Case, visit: ClampVisit | None) -> tuple[Evidence, ...]:
    facts = case.gateway
    if facts is None or visit is None:
        return ()
    text = f"{visit.rule.text} [{counter_text(visit.rule.packets)}]: {because(visit)}"
    source = source_of(facts.clamps, facts.host)
    command = visit.rule.command or None
    return (cite("clamp-rule", source, text, line=visit.rule.line, command=command),)


def clamp_semantics_changed(case: Case) -> Outcome:
    """M09: the firmware's release changed what the clamp does.

    Observables: the device's version, what the task book says about this clamp before and after a
    version, and a hole exactly where the newer meaning covers less. Discriminator from M03: the
    older meaning of the same rule would have covered it. Source: the task book's
    ``clamp_semantics``, which names the vendor's document.
    """
    facts = case.gateway
    identity = value_or_none(facts.identity) if facts is not None else None
    meanings = value_or_none(facts.clamp_semantics) if facts is not None else None
    if facts is None or identity is None or not meanings or not identity.os_version:
        return ()
    for hole in holes(case):
        action = hole.visit.rule.action if hole.visit is not None else None
        if not isinstance(action, ClampTo) or not action.kind:
            continue
        pair = _changed(meanings, action.kind, identity.os_version)
        if pair is None or not _lost(pair, hole, case):
            continue
        grade = grade_holes(case, (hole.proof,), by_config=True)
        if grade is None:
            continue
        older, newer = pair
        return (
            Finding(
                id="clamp-semantics-changed",
                grade="likely" if grade == "confirmed" else grade,
                owner=case.gateway_owner,
                summary=(
                    f"since version {newer.since} the clamp '{newer.kind}' of "
                    f"{case.flow.gateway} (version {identity.os_version}) rewrites "
                    f"{_scope(newer)}, before it rewrote {_scope(older)}"
                ),
                evidence=unique(
                    _visit_cite(case, hole.visit),
                    (
                        cite(
                            "identity",
                            source_of(facts.identity, facts.host),
                            f"{facts.host} runs {identity.os_name} {identity.os_version}",
                        ),
                        cite(
                            "clamp-semantics",
                            source_of(facts.clamp_semantics, facts.host),
                            newer.source or newer.kind,
                        ),
                    ),
                    symptom_cites(case, (hole.proof,)),
                ),
                flow=hole.proof.report.key,
            ),
        )
    return ()


def _changed(
    meanings: tuple[ClampSemantics, ...], kind: str, version: str
) -> tuple[ClampSemantics, ClampSemantics] | None:
    """Return the meaning before and the one in force, where a version made a difference."""
    mine = [m for m in meanings if m.kind == kind]
    now = next((m for m in mine if _in_force(m, version)), None)
    if now is None or not now.since:
        return None
    before = next((m for m in mine if m.until == now.since), None)
    return None if before is None else (before, now)


def _in_force(meaning: ClampSemantics, version: str) -> bool:
    since = not meaning.since or at_least(version, meaning.since)
    until = not meaning.until or not at_least(version, meaning.until)
    return since and until


def _lost(pair: tuple[ClampSemantics, ClampSemantics], hole: Hole, case: Case) -> bool:
    """Say whether the older meaning covered this hole and the newer does not."""
    older, newer = pair
    packet = "syn-ack" if hole.direction == "up" else "syn"
    had = packet in older.rewrites and case.family in older.families
    has = packet in newer.rewrites and case.family in newer.families
    return had and not has


def _scope(meaning: ClampSemantics) -> str:
    packets = " and ".join(p.upper() for p in meaning.rewrites) or "nothing"
    families = " and ".join("IPv6" if f == "ipv6" else "IPv4" for f in meaning.families)
    return f"{packets} of {families}" if families else packets


def clamp_unsupported(case: Case) -> Outcome:
    """M10: the platform accepts the clamp, counts it perhaps, and does nothing.

    Observables: by configuration the rule applies, its counter rises, and the MSS behind the
    gateway is larger than the rule allows; or the task book says that this platform cannot do it.
    Discriminator from M08: a dead rule counts nothing. The counter may be another flow's, so never
    more than ``likely``. Source: catalogue M10 (Catalyst 3750, Cisco 10000).
    """
    for proof in case.proofs:
        visits = [v for v in proof.walk.visits if v.applies == "yes"] if proof.walk else []
        inert = [v for v in visits if _is_inert(case, v)]
        counted = [v for v in visits if v.rule.packets]
        chosen = inert or (counted if contradicted(proof) else [])
        if not chosen:
            continue
        visit = chosen[-1]
        seen = after_gateway(proof)
        said = (
            "the task book says that this platform does not carry it out"
            if inert
            else f"yet MSS {seen} was seen behind it"
        )
        return (
            Finding(
                id="clamp-unsupported",
                grade="likely" if contradicted(proof) and case.way_is_certain else "possible",
                owner=case.gateway_owner,
                summary=(
                    f"rule {visit.rule.name} on {case.flow.gateway} applies "
                    f"({counter_text(visit.rule.packets)}), {said}: the platform accepts the "
                    "clamp and does nothing"
                ),
                evidence=unique(
                    _visit_cite(case, visit), case.syn_cites("SYN-ACK"), case.syn_cites("SYN")
                ),
                flow=proof.report.key,
            ),
        )
    return ()


def _is_inert(case: Case, visit: ClampVisit) -> bool:
    facts = case.gateway
    action = visit.rule.action
    meanings = value_or_none(facts.clamp_semantics) if facts is not None else None
    identity = value_or_none(facts.identity) if facts is not None else None
    if not meanings or not isinstance(action, ClampTo) or not action.kind:
        return False
    version = identity.os_version if identity is not None else ""
    mine = [m for m in meanings if m.kind == action.kind and _in_force(m, version)]
    return bool(mine) and all(not m.rewrites for m in mine)
