"""Fragments: made because DF is clear, and lost on the way."""

from __future__ import annotations

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.evidence import cite, source_of, told
from mtughost.model.basis import value_or_none
from mtughost.model.findings import Evidence, Finding, Grade, RuledOut


def fragments_dropped(case: Case) -> Outcome:
    """M18: packets leave as fragments and are never acknowledged.

    Observables: fragments on the WAN side, large packets without acknowledgement, DF clear; a
    ping without DF that dies above the path MTU. Discriminator from M01 with DF: the fragments.
    Mostly a co-finding: a clamp avoids the fragments, whoever drops them must answer for it.
    """
    if case.symptom.state == "working" or case.symptom.refuted:
        return ()
    excluded = _excluded(case)
    if excluded:
        return (RuledOut(id="fragments-dropped", because=excluded),)
    fragments, pings = case.wire.fragments_up, _dead_pings(case)
    grade = _grade(case, fragments, pings)
    if grade is None:
        if case.wire.watched("gateway-wan") and not fragments and case.wire.stalled_up:
            because = "no fragment was seen on the WAN side"
            return (RuledOut(id="fragments-dropped", because=because),)
        return ()
    return (
        Finding(
            id="fragments-dropped",
            grade=grade,
            owner="isp",
            summary=(
                f"{case.flow.ap}'s large packets leave {case.flow.egress or 'the gateway'} as "
                f"fragments{_counted(fragments)}, and nothing acknowledges them: fragments are "
                "dropped upstream"
            ),
            evidence=unique(
                _wan_cites(case),
                pings,
                _counter_cites(case),
                _df_cites(case),
                case.symptom.wire_cites,
                case.symptom.cites,
            ),
            flow=case.up.report.key,
        ),
    )


def _excluded(case: Case) -> str:
    """Say why no fragments can be behind it, ``""`` where they can."""
    if case.sends_df is True:
        return f"{case.flow.ap} sets DF"
    if case.up.covered:
        return case.up.report.proof
    if case.symptom.stays_near("up"):
        return f"{case.flow.ap}'s large packets never reach {case.flow.gateway}"
    return ""


def _counted(fragments: int) -> str:
    return f" ({fragments} seen)" if fragments else ""


def _grade(case: Case, fragments: int, pings: tuple[Evidence, ...]) -> Grade | None:
    lost = case.symptom.up_lost
    if fragments and lost:
        # Two independent observations: fragments on one side, no acknowledgement on the other.
        return "confirmed"
    if pings and lost:
        # By another way out, what the ping passed and what it did not say nothing of this one.
        return "confirmed" if case.way_is_certain else "likely"
    if case.sends_df is not False or case.up.covered is not False:
        return "possible" if pings else None
    if lost or (fragments and case.symptom.stalls):
        return "likely"
    return "possible" if case.symptom.stalls and not case.symptom.small_lost else None


def _dead_pings(case: Case) -> tuple[Evidence, ...]:
    """Quote pings without DF that die above the path MTU while smaller ones live."""
    mine = [p for p in case.wire.pings if p.df is False and p.target in _targets(case)]
    alive = [p.packet_bytes for p in mine if p.answered]
    path = case.up.path.hard_bytes
    if not alive or path is None:
        return ()
    return tuple(
        told(
            "ping",
            p.host,
            p.basis,
            f"a ping of {p.packet_bytes} bytes without DF died, one of {max(alive)} was answered",
            p.command,
        )
        for p in mine
        if not p.answered and p.packet_bytes > path >= max(alive)
    )


def _targets(case: Case) -> set[str]:
    return {case.flow.service.host, case.flow.server or ""}


def _wan_cites(case: Case) -> list[Evidence]:
    return [
        Evidence(
            kind="fragments",
            basis=c.basis,
            host=c.host,
            value=f"{c.fragments_up} fragments towards the service on {c.interface}",
            command=c.command,
            frame=c.incomplete_datagrams[0] if c.incomplete_datagrams else None,
        )
        for c in case.wire.at("gateway-wan")
        if c.fragments_up
    ]


def _counter_cites(case: Case) -> list[Evidence]:
    facts = case.gateway
    settings = value_or_none(facts.icmp) if facts is not None else None
    if facts is None or settings is None or not settings.fragments_created:
        return []
    text = f"{facts.host} made {settings.fragments_created} fragments since boot"
    return [cite("fragment-counter", source_of(facts.icmp, facts.host), text)]


def _df_cites(case: Case) -> list[Evidence]:
    facts = case.ap
    if facts is None or case.sends_df is not False:
        return []
    return [cite("df", source_of(facts.icmp, facts.host), f"{facts.host} sends TCP with DF clear")]
