"""The verdict of captures alone, with no device access.

Grades as everywhere: ``confirmed`` needs two independent observations on the wire (two points, or
two connections for what is not a matter of configuration), one observation is ``likely``. ``ok``
needs full-size packets delivered both ways; a service that nobody sent such packets to stays
``unknown``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mtughost.model.captures import CaptureReport, ConnectionVerdict
from mtughost.model.evidence import CaptureEvidence, Direction
from mtughost.model.findings import (
    FINDING_IDS,
    Finding,
    Grade,
    NextTest,
    RuledOut,
    SiteVerdict,
)
from mtughost.packets.case import Case, cite, told_bytes
from mtughost.packets.holes import lucky_fragments
from mtughost.packets.points import join_connections, match_points
from mtughost.packets.rules import judge_connection
from mtughost.packets.rules_radio import (
    radius_findings,
    wifi_findings,
    wifi_next_test,
    wifi_ruled_out,
    wifi_settled,
)
from mtughost.packets.wording import flow_sentence, notes, nothing_sentence

#: Causes in which no packet size is involved (the look-alikes of failure-modes D).
NOT_MTU = frozenset(
    {
        "no-syn-ack",
        "certificate-invalid",
        "credential-rejected",
        "payload-dropped",
        "server-hang",
        "plain-loss",
    }
)
#: Seen on a second connection these are confirmed. A hole's cause is not: that is configuration.
_REPEATABLE = frozenset(
    {"no-syn-ack", "certificate-invalid", "payload-dropped", "fragments-dropped", "icmp-ignored"}
)
SURE: frozenset[Grade] = frozenset({"confirmed", "likely"})
_GRADES: tuple[Grade, ...] = ("confirmed", "likely", "possible", "unknown", "ruled-out")
_WORST_FIRST: tuple[SiteVerdict, ...] = ("fault", "latent", "not-mtu", "unknown", "ok")
_DIRECTIONS: tuple[Direction, ...] = ("up", "down")
_MAX_EVIDENCE = 12


@dataclass(slots=True)
class _Service:
    """What all connections of one service showed together."""

    largest: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})
    proven: set[Direction] = field(default_factory=set)
    verdicts: set[SiteVerdict] = field(default_factory=set)

    @property
    def spoke(self) -> bool:
        """Whether any full-size packet went either way, or something went wrong."""
        return bool(self.proven) or self.verdicts != {"unknown"}

    @property
    def verdict(self) -> SiteVerdict:
        worst = min(self.verdicts, key=_WORST_FIRST.index)
        if worst == "unknown" and len(self.proven) == len(_DIRECTIONS):
            return "ok"
        return worst


@dataclass(frozen=True, slots=True)
class _Judged:
    case: Case
    findings: tuple[Finding, ...]
    verdict: SiteVerdict


def judge(captures: Sequence[CaptureEvidence]) -> CaptureReport:
    """Judge captures, of one point or of several.

    Args:
        captures: Each with a ``host`` of its own, which names it in the report.
    """
    pairs = match_points(captures)
    judged = [_judge(Case(c, pairs)) for c in join_connections(captures, pairs)]
    services = _by_service(judged)
    findings = _merged(
        [
            *(finding for each in judged for finding in each.findings),
            *radius_findings(captures),
            *(finding for capture in captures for finding in wifi_findings(capture)),
        ]
    )
    verdict = _verdict(services, findings, captures)
    ruled_out = tuple(_ruled_out(judged, captures))
    return CaptureReport(
        verdict=verdict,
        sentence=_sentence(verdict, findings, services, ruled_out, captures),
        findings=findings,
        ruled_out=ruled_out,
        next_test=_next_test(verdict, findings, services, captures),
        notes=tuple(notes(captures, pairs)),
        points=pairs,
        connections=tuple(_connection(each) for each in judged),
        captures=tuple(captures),
    )


# -- one connection -----------------------------------------------------------------------------


def _judge(case: Case) -> _Judged:
    findings = judge_connection(case)
    sure = [finding for finding in findings if finding.grade in SURE]
    verdict: SiteVerdict = "unknown"
    if any(finding.id not in NOT_MTU for finding in sure):
        verdict = "fault"
    elif sure:
        verdict = "not-mtu"
    elif not findings:
        lucky = tuple(f for direction in _DIRECTIONS for f in lucky_fragments(case, direction))
        if lucky:
            return _Judged(case, lucky, "latent")
        if _proven(case) == set(_DIRECTIONS) and _undisturbed(case):
            verdict = "ok"
    return _Judged(case, findings, verdict)


def _proven(case: Case) -> set[Direction]:
    return {d for d in _DIRECTIONS if case.delivered(d) >= case.full(d)}


def _undisturbed(case: Case) -> bool:
    flows = [view.flow for view in case.connection.views]
    return all(
        f.stalled_up_bytes is None and f.stalled_down_bytes is None and not f.tls_alert
        for f in flows
    )


def _by_service(judged: Iterable[_Judged]) -> dict[str, _Service]:
    services: dict[str, _Service] = {}
    for each in judged:
        service = services.setdefault(each.case.name, _Service())
        service.verdicts.add(each.verdict)
        service.proven |= _proven(each.case)
        for direction in _DIRECTIONS:
            delivered = each.case.delivered(direction)
            service.largest[direction] = max(service.largest[direction], delivered)
    return services


def _connection(each: _Judged) -> ConnectionVerdict:
    flow = each.case.near
    sentences = {v.capture.host: flow_sentence(v.flow) for v in each.case.connection.views}
    sentence = flow_sentence(flow)
    if len(sentences) > 1:
        sentence = " | ".join(f"at {name}: {text}" for name, text in sentences.items())
    return ConnectionVerdict(
        client=flow.client,
        client_port=flow.client_port,
        server=each.case.far.server,
        server_port=each.case.far.server_port,
        captures=tuple(sentences),
        verdict=each.verdict,
        findings=tuple(dict.fromkeys(finding.id for finding in each.findings)),
        sentence=sentence,
        frames=flow.frames,
    )


# -- all of them --------------------------------------------------------------------------------


def _merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put the same finding on several connections of a service together, in decision order."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        flow = finding.flow
        key = (finding.id, *((flow.service, flow.direction) if flow else (finding.summary, "")))
        groups.setdefault(key, []).append(finding)
    order = list(FINDING_IDS)
    merged = [_merge(group) for group in groups.values()]
    return tuple(sorted(merged, key=lambda f: (_GRADES.index(f.grade), order.index(f.id))))


def _merge(group: list[Finding]) -> Finding:
    best = min(group, key=lambda finding: _GRADES.index(finding.grade))
    grade = best.grade
    if grade == "likely" and len(group) > 1 and best.id in _REPEATABLE:
        grade = "confirmed"
    summary = best.summary
    if len(group) > 1:
        summary += f" (the same on {len(group)} connections)"
    evidence = dict.fromkeys(cite for finding in group for cite in finding.evidence)
    return replace(best, grade=grade, summary=summary, evidence=tuple(evidence)[:_MAX_EVIDENCE])


def _verdict(
    services: dict[str, _Service],
    findings: Iterable[Finding],
    captures: Sequence[CaptureEvidence],
) -> SiteVerdict:
    found = [service.verdict for service in services.values() if service.spoke]
    found += [
        "not-mtu" if finding.id in NOT_MTU else "fault"
        for finding in findings
        if finding.flow is None and finding.grade in SURE
    ]
    wifi = [seen for capture in captures for seen in capture.wifi]
    if wifi:
        found.append("ok" if all(wifi_settled(seen) for seen in wifi) else "unknown")
    if any(capture.truncated or _not_whole(capture) for capture in captures):
        found.append("unknown")
    return min(found, key=_WORST_FIRST.index, default="unknown")


def _not_whole(capture: CaptureEvidence) -> bool:
    """Say whether connections with trouble may be missing from the list."""
    return any("with trouble are not listed" in text for text in capture.warnings)


def _sentence(
    verdict: SiteVerdict,
    findings: tuple[Finding, ...],
    services: dict[str, _Service],
    ruled_out: Sequence[RuledOut],
    captures: Sequence[CaptureEvidence],
) -> str:
    carrying = [
        finding
        for finding in findings
        if finding.grade in SURE and (verdict != "fault" or finding.id not in NOT_MTU)
    ] or findings
    if carrying:
        return f"{carrying[0].summary} ({carrying[0].grade})"
    if not any(service.spoke for service in services.values()):
        return nothing_sentence(captures)
    up, down = (max(s.largest[d] for s in services.values()) for d in _DIRECTIONS)
    text = (
        f"nothing is lost by its size: client packets up to {up} bytes arrive, server packets up "
        f"to {down} bytes"
    )
    if works := next((item for item in ruled_out if item.id == "icmp-ignored"), None):
        text += f"; {works.because}"
    return text if verdict == "ok" else f"{text}; not all were sent full-size packets both ways"


def _ruled_out(
    judged: Iterable[_Judged], captures: Sequence[CaptureEvidence]
) -> Iterable[RuledOut]:
    for capture in captures:
        yield from wifi_ruled_out(capture)
    done: set[str] = set()
    for each in judged:
        case = each.case
        if any(each.case.lost(direction) for direction in _DIRECTIONS):
            if "plain-loss" not in done:
                done.add("plain-loss")
                because = f"{case.name}: every packet above one size is lost, smaller ones arrive"
                yield RuledOut(id="plain-loss", because=because)
            continue
        for direction in _DIRECTIONS:
            told = told_bytes(case, direction)
            views = case.connection.views
            honoured = any(
                (v.flow.honoured_up if direction == "up" else v.flow.honoured_down) for v in views
            )
            if told and honoured and "icmp-ignored" not in done:
                done.add("icmp-ignored")
                frame = cite(views[0], "", "").frame
                because = (
                    f"frame {frame}: {case.sender(direction)} is told of MTU {told} and keeps to "
                    "it: path MTU discovery works"
                )
                yield RuledOut(id="icmp-ignored", because=because)


def _next_test(
    verdict: SiteVerdict,
    findings: tuple[Finding, ...],
    services: dict[str, _Service],
    captures: Sequence[CaptureEvidence],
) -> NextTest | None:
    ids = {finding.id for finding in findings if finding.grade != "confirmed"}
    if "clamp-missing" in ids:
        return NextTest(
            kind="clamps",
            host="",
            summary=(
                "Read the gateway's packet filter with its counters: captures cannot tell a "
                "missing clamp from one of the wrong scope or one that another rule shadows"
            ),
        )
    if ids & {"large-hello-dropped", "server-hang", "payload-dropped"}:
        return NextTest(
            kind="service-probe",
            host="",
            summary="Probe the service with a small and with a full-size TLS hello",
        )
    if verdict != "unknown":
        return None
    wifi = [s for capture in captures for s in capture.wifi if not wifi_settled(s)]
    if wifi and not services:
        return wifi_next_test(wifi[0])
    return NextTest(
        kind="capture",
        host="",
        summary=(
            "Capture a full TLS handshake that is not resumed, from its SYN to the first answer, "
            "at the access point and on the WAN side at once"
        ),
    )
