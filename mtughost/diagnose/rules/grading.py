"""How sure may a finding be? One place for all rules about holes.

``confirmed``: the configuration shows the hole, and the wire shows that size decides in that
direction. ``likely``: the configuration shows it and the AP's own log shows a stall that fits.
``possible``: the configuration shows it, but nothing says that it hurts, or something else
explains the failure.
"""

from __future__ import annotations

from collections.abc import Iterable

from mtughost.diagnose.case import Case
from mtughost.diagnose.coverage import Proof
from mtughost.diagnose.health import health
from mtughost.diagnose.rules.deafness import deaf
from mtughost.diagnose.segment import seen_behind
from mtughost.model.device import VAGUE
from mtughost.model.findings import Evidence, Grade


def grade_holes(case: Case, proofs: Iterable[Proof], *, by_config: bool) -> Grade | None:
    """Grade a finding about open directions.

    Args:
        case: The case.
        proofs: The open directions that the finding is about.
        by_config: Whether the gateway's configuration was read and shows the cause. Packets alone
            cannot tell a missing clamp from a mis-scoped or dead one, so they reach ``likely``.

    Returns:
        ``None`` where the open direction is known not to matter: discovery works.
    """
    chosen = tuple(proofs)
    by_config = by_config and case.way_is_certain
    if case.symptom.state == "working":
        grade = _working(case, chosen)
        # It may leave by another way, and then this hole is not the one that luck hides.
        return "possible" if grade is not None and not case.way_is_certain else grade
    if case.symptom.state == "unknown":
        return "possible"
    return _failing(case, chosen, by_config=by_config)


def _working(case: Case, proofs: tuple[Proof, ...]) -> Grade | None:
    reasons = [health(case, proof) for proof in proofs]
    lucky = [r for r in reasons if r.why == "luck"]
    if lucky:
        # With DF set, discovery might step in where the luck ends; nobody has seen it either way.
        certain = case.sends_df is False and any(r.seen_on_wire for r in lucky)
        return "confirmed" if certain else "likely"
    if all(r.why in {"fits", "discovery"} for r in reasons):
        return None
    return "possible"


def _failing(case: Case, proofs: tuple[Proof, ...], *, by_config: bool) -> Grade:
    symptom = case.symptom
    if explained_otherwise(case):
        return "possible"
    lost = [proof for proof in proofs if symptom.lost_beyond(proof.direction)]
    if lost:
        placed = any(not rests_on_loss(proof) or loss_is_placed(case) for proof in lost)
        return "confirmed" if by_config and placed else "likely"
    if symptom.stalls and by_config and not symptom.size_proven and not symptom.segment:
        return "likely"
    return "possible"


def explained_otherwise(case: Case) -> bool:
    """Say whether something other than an open direction explains the failure."""
    symptom = case.symptom
    if symptom.refuted or symptom.small_lost or silent_server(case):
        return True
    if deaf(case) in {"confirmed", "likely"}:
        # The network does tell the sender: what fails is the sender.
        return True
    named = symptom.failure not in VAGUE
    return named and not symptom.stalls and not symptom.size_proven


def rests_on_loss(proof: Proof) -> bool:
    """Say whether nothing but a loss says that the path takes less than this direction carries."""
    hard = proof.path.hard_bytes
    by_stated = hard is not None and proof.segment.high > hard
    return proof.path.hidden_size is not None and not by_stated


def loss_is_placed(case: Case) -> bool:
    """Say whether what the access point loses is known to be lost behind its gateway.

    A probe from the access point alone fits a switch in front of the gateway as well.
    """
    size = case.up.path.hidden_size
    return size is None or seen_behind(case.wire, case.flow.gateway, size)


def silent_server(case: Case) -> bool:
    """Say whether the service fell silent with everything acknowledged.

    Where its large packets may be lost on the way, silence at the AP is not the service's own.
    """
    return case.symptom.silent and case.down.covered is not False


def symptom_cites(case: Case, proofs: Iterable[Proof]) -> tuple[Evidence, ...]:
    """Return what shows the symptom, or the luck, behind a finding about open directions."""
    if case.symptom.state == "working":
        lucky = [health(case, proof) for proof in proofs]
        return tuple(e for reason in lucky if reason.why == "luck" for e in reason.cites)
    return (*case.symptom.wire_cites, *case.symptom.cites)
