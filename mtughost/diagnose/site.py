"""One site: evidence in, report out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from mtughost.diagnose.ask import Question, next_tests
from mtughost.diagnose.case import Case, build_cases
from mtughost.diagnose.coverage import Proof, prove
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.flows import derive_flows
from mtughost.diagnose.health import discovery_signs, health
from mtughost.diagnose.rules import ACTIVE_RULES, SITE_RULES, STANDBY_RULES
from mtughost.diagnose.verdict import SURE, case_verdict, site_verdict
from mtughost.model.basis import Risk
from mtughost.model.findings import (
    FINDING_IDS,
    Finding,
    Grade,
    NextTest,
    RuledOut,
    SiteReport,
)

_GRADES: tuple[Grade, ...] = ("confirmed", "likely", "possible", "unknown", "ruled-out")
_IDS = tuple(FINDING_IDS)


_DEFAULT_LOGIN = (
    "{} lets the account in that its vendor ships: whoever reaches it can do so, too. Change it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Study:
    proofs: tuple[Proof, ...]
    questions: tuple[Question, ...]
    others: tuple[Finding, ...]
    ruled_out: tuple[RuledOut, ...]
    notes: tuple[str, ...]
    held: frozenset[str]


def diagnose_site(evidence: SiteEvidence) -> SiteReport:
    """Conclude what is wrong with a site, who must act, and what would settle the rest.

    What a person told may point to a cause and never confirm it: a grade that does not stand
    without the told values is lowered.
    """
    if evidence.told:
        unaided = _diagnose(replace(evidence, told=()))
        sure = {f.id for f in unaided.findings if f.grade == "confirmed"}
        report = _diagnose(evidence)
        findings = tuple(
            replace(f, grade="likely") if f.grade == "confirmed" and f.id not in sure else f
            for f in report.findings
        )
        return replace(report, findings=findings)
    return _diagnose(evidence)


def _diagnose(evidence: SiteEvidence) -> SiteReport:
    study = _study(evidence)
    verdicts = [case_verdict(q.case, q.findings) for q in study.questions if q.case.flow.active]
    verdict = site_verdict(verdicts, study.others, complete=_complete(evidence, study))
    tests = next_tests(evidence, study.questions)
    found = [f for q in study.questions for f in _told(q)] + list(study.others)
    if verdict == "unknown":
        found += _abstentions(study, tests)
    findings = _merged(found)
    named = {f.id for f in findings}
    return SiteReport(
        site=evidence.site.name,
        verdict=verdict,
        flows=tuple(p.report for p in study.proofs),
        findings=findings,
        ruled_out=tuple(r for r in study.ruled_out if r.id not in named),
        next_test=tests[0] if tests else None,
        notes=study.notes,
        isp=evidence.site.info.isp,
    )


def wanted_tests(
    evidence: SiteEvidence, allowed: Collection[Risk] = ("passive", "active")
) -> tuple[NextTest, ...]:
    """Return what to collect next, for the loop "diagnose asks, collect answers".

    Args:
        evidence: What is known so far.
        allowed: Risk classes that the run may use.
    """
    return next_tests(evidence, _study(evidence).questions, allowed)


def _study(evidence: SiteEvidence) -> _Study:
    derived = derive_flows(evidence)
    proofs = prove(evidence, derived)
    questions: list[Question] = []
    ruled_out: list[RuledOut] = []
    others: list[Finding] = []
    for case in build_cases(evidence, proofs):
        rules = ACTIVE_RULES if case.flow.active else STANDBY_RULES
        said = [item for rule in rules.values() for item in rule(case)]
        found = tuple(item for item in said if isinstance(item, Finding))
        ruled_out += [item for item in said if isinstance(item, RuledOut)]
        if case.flow.active:
            questions.append(Question(case, found))
        else:
            others += found
    for site_rule in SITE_RULES.values():
        others += [item for item in site_rule(evidence) if isinstance(item, Finding)]
    return _Study(
        proofs=proofs,
        questions=tuple(questions),
        others=tuple(others),
        ruled_out=_first_per_id(ruled_out),
        notes=(
            *derived.notes,
            *_health_notes(q.case for q in questions),
            *(_DEFAULT_LOGIN.format(f.host) for f in evidence.facts if f.login_by_default),
        ),
        held=derived.held,
    )


def _told(question: Question) -> list[Finding]:
    """Return what is worth telling: where one cause is sure, what else it might be is not."""
    is_sure = any(f.grade in SURE for f in question.findings)
    return [f for f in question.findings if not (is_sure and f.grade == "unknown")]


def _complete(evidence: SiteEvidence, study: _Study) -> bool:
    """Say whether every AP and appliance of the inventory has at least one judged service.

    A way that a flow may take, for all that is known, leaves the site open where "it fits" rests
    on the configuration of the assumed way.
    """
    judged = {q.case.flow.ap for q in study.questions}
    judged |= study.held
    if not all(d.name in judged for d in evidence.site.with_role("ap", "appliance")):
        return False
    assumed = {
        _sides(proof) for q in study.questions for proof in q.case.proofs if _rests(q, proof)
    }
    others = [p for p in study.proofs if p.flow.doubt and not p.flow.active]
    return all(p.covered for p in others if _sides(p) in assumed)


def _sides(proof: Proof) -> tuple[str, str, str, str]:
    return proof.flow.ap, proof.flow.service.name, proof.flow.family, proof.direction


def _rests(question: Question, proof: Proof) -> bool:
    case = question.case
    if case.way_is_certain or discovery_signs(case):
        return False  # discovery was seen at work on whatever way is taken
    return health(case, proof).why == "fits"


def _health_notes(cases: Iterable[Case]) -> list[str]:
    notes: list[str] = []
    for case in cases:
        if case.symptom.state != "working":
            continue
        for proof in case.proofs:
            reason = health(case, proof)
            if reason.why == "luck":
                notes.append(
                    f"{case.flow.ap} to {case.flow.service.name} works by luck: {reason.text}"
                )
            elif (
                reason.why == "discovery" and case.wire.fragments_down and proof.direction == "down"
            ):
                notes.append(
                    f"the far end of {case.flow.service.name} allows fragments, and "
                    f"{case.wire.fragments_down} arrived; whoever drops them would break it"
                )
    return list(dict.fromkeys(notes))


def _abstentions(study: _Study, tests: tuple[NextTest, ...]) -> list[Finding]:
    """Say what a stall that nothing explains may still be, and what would settle it."""
    found: list[Finding] = []
    test = tests[0].summary if tests else "a capture at both sides of the gateway"
    for question in study.questions:
        case = question.case
        if question.findings or not case.symptom.stalls:
            continue
        found.append(
            Finding(
                id="clamp-missing",
                grade="unknown",
                owner=case.gateway_owner,
                summary=(
                    f"{case.flow.ap}'s connection to {case.flow.service.name} stalls as it would "
                    f"without a clamp; this would settle it: {test}"
                ),
                evidence=case.symptom.cites,
                flow=case.up.report.key,
            )
        )
    return found


def _merged(found: list[Finding]) -> tuple[Finding, ...]:
    """Join findings of one cause over several flows; the strongest speaks for all."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for each in found:
        groups.setdefault(_cause(each), []).append(each)
    merged = [_strongest(group) for group in groups.values()]
    return tuple(sorted(merged, key=lambda f: (_IDS.index(f.id), _GRADES.index(f.grade))))


def _cause(each: Finding) -> tuple[str, str, str]:
    flow = each.flow
    if each.fix is not None and flow is not None and each.fix.host == flow.gateway:
        return each.id, flow.gateway, flow.egress
    host = flow.ap if flow is not None else (each.evidence[0].host if each.evidence else "")
    return each.id, host, flow.service if flow is not None else ""


def _strongest(group: list[Finding]) -> Finding:
    best = min(group, key=lambda f: _GRADES.index(f.grade))
    others = dict.fromkeys(
        f"{f.flow.ap} to {f.flow.service}" for f in group if f is not best and f.flow is not None
    )
    own = f"{best.flow.ap} to {best.flow.service}" if best.flow is not None else ""
    more = [name for name in others if name != own]
    if not more:
        return best
    return replace(best, summary=f"{best.summary} (the same for {', '.join(more)})")


def _first_per_id(items: Iterable[RuledOut]) -> tuple[RuledOut, ...]:
    first: dict[str, RuledOut] = {}
    for item in items:
        first.setdefault(item.id, item)
    return tuple(sorted(first.values(), key=lambda r: _IDS.index(r.id)))
