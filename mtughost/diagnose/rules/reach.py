"""Look-alikes that end before or beside the large packets: names, ports, clocks, certificates."""

from __future__ import annotations

from datetime import UTC, datetime

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.evidence import cite, source_of, told
from mtughost.model.basis import Known
from mtughost.model.device import FailureClass
from mtughost.model.findings import Evidence, Finding, Grade, Owner, RuledOut

#: A clock this far off can make a certificate look expired or not yet valid.
SKEW_S = 3600
#: One lost SYN is nothing; the second time it is a pattern.
SYN_TRIES = 2

_REFUSALS = frozenset({"refused", "unreachable"})
_CERTIFICATE: frozenset[FailureClass] = frozenset(
    {
        "certificate-expired",
        "certificate-untrusted",
        "certificate-not-yet-valid",
        "certificate-name-mismatch",
        "certificate-rejected",
        "client-certificate-missing",
    }
)
#: What a wrong clock can look like.
_DATED: frozenset[FailureClass] = frozenset(
    {
        "certificate-expired",
        "certificate-not-yet-valid",
        "certificate-untrusted",
        "certificate-rejected",
        "clock-not-set",
    }
)
#: What an unanswered SYN can look like.
_NO_TCP: frozenset[FailureClass] = frozenset(
    {"connect-timeout", "connection-refused", "connect-failed", "network-unreachable"}
)
_ALERT_WORDS = ("certificate", "unknown_ca", "unknown ca")


def dns_failure(case: Case) -> Outcome:
    """N2: the service's name does not resolve.

    Observables: the client's words, no SYN at the AP. Discriminator: a session or SYN-ACK rules
    it out.
    """
    if case.wire.answered or case.symptom.state == "working":
        return (RuledOut(id="dns-failure", because="the service's address was found and used"),)
    if case.symptom.failure != "name-lookup":
        return ()
    quiet = bool(case.wire.watched("ap")) and not case.wire.syns_sent
    return (
        Finding(
            id="dns-failure",
            grade="confirmed" if quiet else "likely",
            owner=case.gateway_owner,
            summary=(
                f"{case.flow.ap} cannot resolve {case.flow.service.host}: {case.symptom.text}"
            ),
            evidence=case.symptom.cites,
            flow=case.up.report.key,
        ),
    )


def no_syn_ack(case: Case) -> Outcome:
    """N1: the TCP handshake gets no answer, at any size.

    Observables: SYN without SYN-ACK at one or two points, a socket in SYN-SENT, the client's
    words, the gateway's own rules. Every MTU mode needs a SYN-ACK first.
    """
    if case.wire.answered or case.symptom.state == "working":
        because = "a SYN-ACK was seen" if case.wire.syn_acks else "the service answers TCP"
        return (RuledOut(id="no-syn-ack", because=because),)
    words = case.symptom.failure in _NO_TCP
    wire = _unanswered(case)
    walked = case.down.walk
    dropped = walked is not None and walked.dropped == "yes"
    grade: Grade
    # Two independent witnesses: words, one kind of wire evidence, another, the rules.
    witnesses = int(words) + len({e.kind for e in wire}) + int(dropped)
    if witnesses > 1:
        grade = "confirmed"
    elif words or wire:
        grade = "likely"
    else:
        return ()
    return (
        Finding(
            id="no-syn-ack",
            grade=grade,
            owner=_who_blocks(case, dropped=dropped),
            summary=(
                f"{case.flow.service.host} port {case.flow.service.port} does not answer "
                f"{case.flow.ap}'s SYN{_where(case, dropped=dropped)}"
            ),
            evidence=unique(wire, case.symptom.cites),
            flow=case.down.report.key,
        ),
    )


def _unanswered(case: Case) -> tuple[Evidence, ...]:
    cites = list(case.wire.syn_cites) if case.wire.syns_sent >= SYN_TRIES else []
    source = case.wire.session_source
    if source is not None:
        cites += [
            cite("session", source, f"a socket to {s.peer} waits in SYN-SENT", line=s.line)
            for s in case.wire.sessions
            if s.state == "SYN-SENT" and s.backoff + s.retransmits_now > 0
        ]
    for probe in case.wire.probes:
        outcomes = {s.outcome for s in probe.steps}
        if outcomes and outcomes <= _REFUSALS:
            text = f"every probe was {' or '.join(sorted(outcomes))}"
            cites.append(told("probe", probe.host, probe.basis, text))
    return tuple(cites)


def _who_blocks(case: Case, *, dropped: bool) -> Owner:
    if dropped:
        return case.gateway_owner
    if case.symptom.failure == "connection-refused":
        return "cloud"
    return case.gateway_owner if _stays(case) else "isp"


def _stays(case: Case) -> bool:
    """Say whether the SYN was seen in front of the gateway and not behind it."""
    both = bool(case.wire.watched("ap", "gateway-lan")) and bool(case.wire.watched("gateway-wan"))
    return both and case.wire.syns_sent > 0 and not _left(case)


def _left(case: Case) -> bool:
    return case.wire.syn.wan is not None


def _where(case: Case, *, dropped: bool) -> str:
    if dropped and case.down.walk is not None:
        return f": {case.down.walk.dropped_by} on {case.flow.gateway} drops it"
    if case.symptom.failure == "connection-refused":
        return ": it is refused"
    way_out = case.flow.egress or "the gateway"
    if _left(case):
        return f", although the SYN leaves {way_out}"
    return f": the SYN never leaves {way_out}" if _stays(case) else ""


def clock_skew(case: Case) -> Outcome:
    """N3: the AP's clock makes a good certificate look bad.

    Observables: the device's clock against the time of asking; "not yet valid" in its words.
    """
    skew = _skew_s(case)
    off = skew is not None and abs(skew) > SKEW_S
    if case.symptom.state == "working" or case.symptom.failure not in _DATED:
        return ()
    if skew is not None and not off:
        because = f"{case.flow.ap}'s clock is {abs(skew)} s off at most"
        return (RuledOut(id="clock-skew", because=because),)
    early = case.symptom.failure in {"certificate-not-yet-valid", "clock-not-set"}
    if not off and not early:
        return ()
    figure = f" (it is {abs(skew)} s {'behind' if skew < 0 else 'ahead'})" if skew else ""
    return (
        Finding(
            id="clock-skew",
            grade="confirmed" if off else "likely",
            owner=case.ap_owner,
            summary=f"{case.flow.ap}'s clock is wrong{figure}, so certificates look invalid to it",
            evidence=unique(_clock_cites(case), case.symptom.cites),
            flow=case.up.report.key,
        ),
    )


def _skew_s(case: Case) -> int | None:
    fact = case.ap.clock_utc if case.ap is not None else None
    if not isinstance(fact, Known) or fact.source.taken_utc is None:
        return None
    device, ours = _time(fact.value), _time(fact.source.taken_utc)
    if device is None or ours is None:
        return None
    return int((device - ours).total_seconds())


def _time(text: str) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def _clock_cites(case: Case) -> tuple[Evidence, ...]:
    facts = case.ap
    if facts is None or not isinstance(facts.clock_utc, Known):
        return ()
    source = source_of(facts.clock_utc, facts.host)
    return (cite("clock", source, f"{facts.host} says it is {facts.clock_utc.value}"),)


def certificate_invalid(case: Case) -> Outcome:
    """N4: a certificate is refused, promptly and after the whole chain arrived.

    Observables: the client's words, a TLS alert on the wire. Discriminator: an alert instead of
    silence.
    """
    if case.symptom.state == "working":
        return (RuledOut(id="certificate-invalid", because="the full handshake succeeds"),)
    alerts = [
        s for s in case.wire.flows if any(w in s.flow.tls_alert.lower() for w in _ALERT_WORDS)
    ]
    text = case.symptom.text.lower()
    words = case.symptom.failure in _CERTIFICATE or (
        case.symptom.failure == "tls-alert" and any(w in text for w in _ALERT_WORDS)
    )
    if not words and not alerts:
        if case.symptom.stalls:
            because = "the connection falls silent; a refused certificate gets an alert"
            return (RuledOut(id="certificate-invalid", because=because),)
        return ()
    said = case.symptom.text if words else f"TLS alert {alerts[0].flow.tls_alert}"
    mine = words and ("alert" in text or case.symptom.failure == "client-certificate-missing")
    return (
        Finding(
            id="certificate-invalid",
            grade="confirmed" if words and alerts else "likely",
            owner=case.ap_owner if mine else "cloud",
            summary=(
                f"{case.flow.service.name}: a certificate is refused between {case.flow.ap} and "
                f"{case.flow.service.host}: {said}"
            ),
            evidence=unique(
                case.symptom.cites,
                (s.cite("alert", f"TLS alert {s.flow.tls_alert}") for s in alerts),
            ),
            flow=case.up.report.key,
        ),
    )


def credential_rejected(case: Case) -> Outcome:
    """N10: TLS is up and the application says no.

    Observables: the client's words after a complete handshake.
    """
    if case.symptom.failure != "credential-rejected":
        return ()
    answered = any(s.flow.application_down for s in case.wire.flows)
    return (
        Finding(
            id="credential-rejected",
            grade="confirmed" if answered else "likely",
            owner="cloud",
            summary=f"{case.flow.service.name} rejects {case.flow.ap}: {case.symptom.text}",
            evidence=case.symptom.cites,
            flow=case.up.report.key,
        ),
    )
