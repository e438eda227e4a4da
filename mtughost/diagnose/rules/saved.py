"""Repaired until the next reboot."""

from __future__ import annotations

from dataclasses import replace

from mtughost.diagnose.case import Case, Outcome
from mtughost.diagnose.coverage import Proof, prove_flow
from mtughost.diagnose.evidence import cite, source_of
from mtughost.diagnose.health import discovery_signs, discovery_text
from mtughost.diagnose.passage import ClampVisit
from mtughost.diagnose.simulate import without_handshakes
from mtughost.diagnose.wording import counted, counter_text
from mtughost.model.basis import Known
from mtughost.model.clamps import Chain, Match, Ruleset, Verdict
from mtughost.model.findings import Finding, FixHint, Grade, RuledOut

_ID = "fix-not-persisted"


def fix_not_persisted(case: Case) -> Outcome:
    """M31: the clamp that protects this flow now is not in what the gateway loads at boot.

    Observables: the coverage proof with the running rules and again with the saved ones. Whether
    the boot loads that file at all is not known from the file: ``likely`` where the saved file
    holds the very chain of the running clamp, without the clamp, or another chain that runs with
    exactly these rules; else ``possible``. Source: catalogue M31.
    """
    facts = case.gateway
    if facts is None or not isinstance(facts.clamps, Known):
        return ()
    if not isinstance(facts.saved_clamps, Known) or facts.saved_clamps.value.notes:
        return ()
    saved = facts.saved_clamps.value
    covered = [p for p in case.proofs if p.covered and p.by_config]
    if not covered:
        return ()
    after = without_handshakes(
        case.evidence.with_facts(replace(facts, clamps=Known(saved, facts.clamps.source)))
    )
    lost = [p for p in covered if prove_flow(after, case.flow, p.direction).covered is False]
    if not lost:
        because = "the saved packet filter protects this flow, too"
        return (RuledOut(id=_ID, because=because),)
    if discovery_signs(case):
        return (RuledOut(id=_ID, because=discovery_text(case)),)
    visit = _clamp_of(lost[0])
    boots = _was_loaded(saved, facts.clamps.value) or (
        visit is not None and _same_chain(saved, visit)
    )
    # What fails today fails for another reason; and where it may leave elsewhere, this is a guess.
    sure = boots and case.symptom.state == "working" and case.way_is_certain
    grade: Grade = "likely" if sure else "possible"
    name = f"rule {visit.rule.name}" if visit is not None else "the clamp"
    count = f" ({counter_text(visit.rule.packets)})" if visit is not None else ""
    value = lost[0].needed_mss_bytes
    return (
        Finding(
            id=_ID,
            grade=grade,
            owner=case.gateway_owner,
            summary=(
                f"{name} on {case.flow.gateway}{count} protects {case.flow.ap} now, and the saved "
                "packet filter does not hold it: after a reboot the hole is back"
            ),
            evidence=(
                cite("clamp-rule", source_of(facts.clamps, facts.host), _text(visit)),
                cite(
                    "saved-clamps",
                    source_of(facts.saved_clamps, facts.host),
                    f"of {counted(_count(saved), 'saved rule')} none clamps this flow",
                ),
            ),
            flow=lost[0].report.key,
            fix=FixHint(
                change="persist",
                summary=f"On {case.flow.gateway}, save the running packet filter",
                host=case.flow.gateway,
                value_bytes=value,
            ),
        ),
    )


def _clamp_of(proof: Proof) -> ClampVisit | None:
    visits = proof.walk.visits if proof.walk is not None else ()
    applied = [v for v in visits if v.applies == "yes"]
    return applied[-1] if applied else None


def _same_chain(saved: Ruleset, visit: ClampVisit) -> bool:
    return _place(visit.chain) in {_place(chain) for chain in saved.chains}


def _place(chain: Chain) -> tuple[str, str]:
    """Name a chain; a file for ``iptables-restore`` is loaded by either kernel interface."""
    return chain.table.removesuffix(" (legacy)"), chain.name


def _was_loaded(saved: Ruleset, running: Ruleset) -> bool:
    """Say whether a chain that runs can only have come from the saved rules."""
    saved_rules = {_place(c): _meaning(c) for c in saved.chains if c.rules}
    return any(saved_rules.get(_place(chain)) == _meaning(chain) for chain in running.chains)


def _meaning(chain: Chain) -> tuple[tuple[Match, object, Verdict], ...]:
    return tuple((rule.match, rule.action, rule.then) for rule in chain.rules)


def _text(visit: ClampVisit | None) -> str:
    return visit.rule.text if visit is not None else "the running rules"


def _count(saved: Ruleset) -> int:
    return sum(len(chain.rules) for chain in saved.chains)
