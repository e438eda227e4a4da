"""The other way out: what will happen when the primary path goes down."""

from __future__ import annotations

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.rules.shape import holes
from mtughost.model.findings import Finding, FixHint, Grade


def failover_path_smaller(case: Case) -> Outcome:
    """M25: the standby path carries less than the segments that the flow would use.

    Observables: the coverage proof over an egress that is not in use now. Whether discovery would
    work there nobody has seen: ``possible`` unless the AP clears DF.
    """
    if case.flow.active or not case.holes:
        return ()
    worst = holes(case)[0].proof
    # Where the rules of policy routing leave it open, this may be the way in use.
    grade: Grade = "likely" if case.sends_df is False and not case.flow.doubt else "possible"
    needed = worst.needed_mss_bytes
    return (
        Finding(
            id="failover-path-smaller",
            grade=grade,
            owner=case.gateway_owner,
            summary=(
                f"if {case.flow.gateway} fails over to {case.flow.egress}, {worst.report.proof}"
            ),
            evidence=unique(
                case.link_cite(case.flow.gateway, case.flow.egress),
                case.link_cite(case.flow.ap, case.flow.sender.interface),
            ),
            flow=worst.report.key,
            fix=FixHint(
                change="clamp-missing",
                summary=f"On {case.flow.gateway}, clamp the MSS on {case.flow.egress} both ways",
                host=case.flow.gateway,
                value_bytes=needed,
            ),
        ),
    )
