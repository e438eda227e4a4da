"""What would repair a site, each with the proof that it suffices: for tickets, not for devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mtughost.diagnose.evidence import SiteEvidence
from mtughost.model.findings import SiteReport
from mtughost.remedy.choose import choose_fix
from mtughost.remedy.fix import FixChoice
from mtughost.report.ticket import Repair

#: Asked for one after the other; the proof decides whether one of them suffices here.
_OTHER_WAYS = ("host-mtu", "clamp-missing")


def repairs_of(evidence: SiteEvidence, report: SiteReport) -> tuple[Repair, ...]:
    """Return the smallest sufficient change and one on another device, as far as proven.

    The second one is what a person can do while the owner of the first has not answered yet.
    """
    found: list[FixChoice] = []
    for choice in _choices(evidence, report):
        if choice.device not in {other.device for other in found}:
            found.append(choice)
    return tuple(
        Repair(
            title="Repair" if number == 0 else "Workaround until then",
            summary=choice.summary,
            proofs=tuple(dict.fromkeys(row.proof for row in choice.after)),
            blast_radius=choice.blast_radius,
            risk=choice.risk,
        )
        for number, choice in enumerate(found[:2])
    )


def _choices(evidence: SiteEvidence, report: SiteReport) -> Iterator[FixChoice]:
    first = choose_fix(report, evidence)
    if not isinstance(first, FixChoice):
        return
    yield first
    # A finding that names the gateway would refuse the access point, whose own MTU helps, too.
    anywhere = replace(
        report,
        findings=tuple(
            replace(item, fix=replace(item.fix, host="")) if item.fix else item
            for item in report.findings
        ),
    )
    for wanted in _OTHER_WAYS:
        other = choose_fix(anywhere, evidence, wanted=wanted)
        if isinstance(other, FixChoice):
            yield other
