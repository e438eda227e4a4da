"""A site's verdict from its findings and from why its services work."""

from __future__ import annotations

from collections.abc import Iterable

from mtughost.diagnose.case import Case
from mtughost.diagnose.health import health
from mtughost.diagnose.rules import NOT_MTU
from mtughost.model.findings import Finding, Grade, SiteVerdict

#: Grades that carry a verdict.
SURE: frozenset[Grade] = frozenset({"confirmed", "likely"})
#: Findings that bite later, at a site that is well today.
WAITING = frozenset({"fix-not-persisted", "failover-path-smaller"})
#: Findings about other traffic than the judged service's, which may work all the while.
BESIDE = frozenset({"radius-fragments-dropped", "radsec-proxy-leg", "capwap-path"})
#: What dominates: a fault that bites, one that will, another cause, what nobody knows, all well.
_ORDER: tuple[SiteVerdict, ...] = ("fault", "latent", "not-mtu", "unknown", "ok")


def case_verdict(case: Case, findings: Iterable[Finding]) -> SiteVerdict:
    """Return the verdict of one service of one AP.

    ``ok`` needs positive evidence: the AP says that it works after a full handshake and a round
    trip, and both directions are proven to fit or discovery was seen at work.
    """
    sure = [f for f in findings if f.grade in SURE]
    mtu = [f for f in sure if f.id not in NOT_MTU | WAITING]
    if any(f.id in BESIDE for f in sure):
        return "fault"
    if case.symptom.state == "working":
        works = _working(case)
        # It fits now, and will not after the next reboot.
        return "latent" if works == "ok" and any(f.id in WAITING for f in sure) else works
    if mtu and case.symptom.state == "failing":
        return "fault"
    if any(f.id in NOT_MTU for f in sure):
        return "not-mtu"
    return "unknown"


def _working(case: Case) -> SiteVerdict:
    reasons = {health(case, proof).why for proof in case.proofs}
    if "luck" in reasons:
        return "latent"
    return "unknown" if "unknown" in reasons else "ok"


def site_verdict(
    verdicts: Iterable[SiteVerdict], others: Iterable[Finding], *, complete: bool
) -> SiteVerdict:
    """Combine the services' verdicts.

    Args:
        verdicts: One per AP and service.
        others: Findings about standby paths and the management path.
        complete: Whether every device that must be judged was judged.
    """
    found = list(verdicts)
    found += ["latent" if each.id in WAITING else "fault" for each in others if each.grade in SURE]
    if not complete or not found:
        found.append("unknown")
    return min(found, key=_ORDER.index)
