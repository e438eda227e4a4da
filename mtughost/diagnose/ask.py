"""Which evidence to ask for next, by kind and device, the cheapest first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mtughost.diagnose.case import Case
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.health import health
from mtughost.diagnose.question import questions_for
from mtughost.model.basis import Risk, Unknown
from mtughost.model.device import DeviceFacts
from mtughost.model.findings import Finding, NextTest

#: What each kind costs the device (DESIGN section 4).
RISK_OF: dict[str, Risk] = {
    "login": "passive",
    "interfaces": "passive",
    "routes": "passive",
    "clamps": "passive",
    "cloud": "passive",
    "sessions": "passive",
    "capture": "active",
    "service-probe": "active",
    "ping": "active",
    # Answered by a person, and read with ``ingest``: it costs the device nothing.
    "question": "passive",
    "cloud-push": "disruptive",
}
_ORDER = tuple(RISK_OF)


@dataclass(frozen=True, slots=True)
class Question:
    """One case together with what was concluded about it."""

    case: Case
    findings: tuple[Finding, ...]


def next_tests(
    evidence: SiteEvidence,
    questions: Iterable[Question],
    allowed: Collection[Risk] = ("passive", "active", "disruptive"),
) -> tuple[NextTest, ...]:
    """Name the observations that would settle what is open, the cheapest first.

    Args:
        evidence: The site.
        questions: Its cases with their findings.
        allowed: Risk classes that may be used.

    Returns:
        No test twice. Empty when nothing is open, or nothing allowed would help.
    """
    wanted = [_login(evidence, status.host) for status in evidence.failed]
    for question in questions:
        if question.case.flow.active and not _settled(question):
            wanted += _reads(question.case)
            wanted += _watches(question.case)
            wanted += questions_for(question.case)
    unique = dict.fromkeys(t for t in wanted if RISK_OF[t.kind] in allowed)
    return tuple(sorted(unique, key=lambda test: _ORDER.index(test.kind)))


def _settled(question: Question) -> bool:
    case = question.case
    if case.symptom.state == "working":
        return all(health(case, proof).why != "unknown" for proof in case.proofs)
    return any(finding.grade == "confirmed" for finding in question.findings)


def _login(evidence: SiteEvidence, host: str) -> NextTest:
    status = evidence.failure_of(host)
    if status is not None and status.error_kind == "no-command-line":
        return NextTest(kind="question", host=host, summary=f"{host}: {status.error}")
    error = status.error.removeprefix(f"{host}: ") if status is not None else ""
    why = f": {error}" if error else ""
    return NextTest(kind="login", host=host, summary=f"Log in to {host}, which failed{why}")


def _reads(case: Case) -> list[NextTest]:
    gateway = case.flow.gateway
    wanted = [
        _read(case.gateway, gateway, "clamps", "the packet filter with counters"),
        _read(case.gateway, gateway, "interfaces", "the interface MTUs"),
        _read(case.gateway, gateway, "routes", "the routes"),
        _read(case.ap, case.flow.ap, "cloud", "the cloud connection's state"),
        _read(case.ap, case.flow.ap, "sessions", "the live TCP connections"),
        _read(case.ap, case.flow.ap, "interfaces", "the interface MTUs"),
    ]
    return [test for test in wanted if test is not None]


def _read(facts: DeviceFacts | None, host: str, kind: str, what: str) -> NextTest | None:
    if facts is None or kind not in facts.abilities:
        # A device that was not read at all is asked for by its login; what its platform cannot
        # tell, nobody asks for.
        return None
    fact = getattr(facts, kind)
    if not isinstance(fact, Unknown):
        return None
    how = fact.cheapest_test or f"Read {what} of {host}"
    return NextTest(kind=kind, host=host, summary=f"{how} ({fact.reason})")


def _watches(case: Case) -> list[NextTest]:
    flow, wire = case.flow, case.wire
    port = flow.service.port
    wanted: list[NextTest] = []
    if _can(case.ap, "capture") and not wire.at("ap", "gateway-lan"):
        wanted.append(
            NextTest(
                kind="capture",
                host=flow.ap,
                summary=(
                    f"Capture TCP port {port} on {_links(flow.ap, flow.sender.interface)} for a "
                    "minute: the MSS in SYN and SYN-ACK, and the size of what is never acknowledged"
                ),
            )
        )
    if _can(case.gateway, "capture") and not wire.at("gateway-wan"):
        wanted.append(
            NextTest(
                kind="capture",
                host=flow.gateway,
                summary=(
                    f"Capture TCP port {port}, ICMP and fragments on "
                    f"{_links(flow.gateway, flow.lan, flow.egress)} at once"
                ),
            )
        )
    if _can(case.ap, "service-probe") and not wire.probes:
        wanted.append(
            NextTest(
                kind="service-probe",
                host=flow.ap,
                summary=(
                    f"Probe {flow.service.host} port {port} from {flow.ap} with a small and a "
                    "full-size TLS hello"
                ),
            )
        )
    pinged = any(ping.host == flow.ap for ping in wire.pings)
    if _can(case.ap, "ping") and not pinged and not wire.probes:
        wanted.append(
            NextTest(
                kind="ping",
                host=flow.ap,
                summary=f"Ping {flow.service.host} from {flow.ap} at falling sizes",
            )
        )
    return wanted


def _links(host: str, *names: str | None) -> str:
    known = " and ".join(name for name in names if name)
    return f"{host} {known}" if known else host


def _can(facts: DeviceFacts | None, what: str) -> bool:
    return facts is not None and what in facts.abilities
