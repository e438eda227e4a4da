"""Look-alikes in which something falls silent, but not because of its size."""

from __future__ import annotations

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.rules.grading import silent_server
from mtughost.diagnose.rules.hello import split_hellos_lost
from mtughost.model.findings import Finding, Grade, RuledOut


def payload_dropped(case: Case) -> Outcome:
    """N6: even the first small packet after the TCP handshake is never acknowledged.

    Observables: a small ClientHello sent again and again, no acknowledgement, no gap. In every MTU
    mode the ClientHello is acknowledged.
    """
    symptom = case.symptom
    if symptom.size_proven:
        because = "small packets are acknowledged, only large ones are not"
        return (RuledOut(id="payload-dropped", because=because),)
    if not symptom.small_lost:
        return ()
    captured = any(e.kind == "stall" for e in symptom.wire_cites)
    grade: Grade = "confirmed" if captured and symptom.stalls else "likely"
    return (
        Finding(
            id="payload-dropped",
            grade=grade,
            owner="isp",
            summary=(
                f"the TCP handshake with {case.flow.service.host} succeeds, but not even a small "
                "packet after it gets through: something on the way drops the content"
            ),
            evidence=unique(symptom.wire_cites, symptom.cites),
            flow=case.up.report.key,
        ),
    )


def server_hang(case: Case) -> Outcome:
    """N7: every byte was acknowledged both ways, and then nothing came.

    Observables: a stalled TLS stage without loss or gap in a capture at the AP or the LAN side.
    """
    if case.symptom.size_proven:
        because = "bytes stay unacknowledged, so the silence is not the server's"
        return (RuledOut(id="server-hang", because=because),)
    if case.symptom.stays_near("down"):
        because = "its answer reaches the gateway's LAN side and is sent there again and again"
        return (RuledOut(id="server-hang", because=because),)
    if case.symptom.state != "failing" or not silent_server(case):
        return ()
    return (
        Finding(
            id="server-hang",
            grade="likely",
            owner="cloud",
            summary=(
                f"{case.flow.service.host} acknowledges everything that {case.flow.ap} sends and "
                "then stays silent"
            ),
            evidence=unique(
                (
                    s.cite(
                        "stall", f"silence at TLS stage {s.flow.tls_stage}, nothing unacknowledged"
                    )
                    for s in case.wire.flows
                    if s.flow.tls_stage not in {"established", "alert", "unknown", "none"}
                ),
                case.symptom.cites,
            ),
            flow=case.up.report.key,
        ),
    )


def plain_loss(case: Case) -> Outcome:
    """N8: packets are lost whatever their size.

    Observables: a size that was lost was also delivered on the same path; one delivery refutes a
    black hole (facts/captures.md).
    """
    if not case.symptom.refuted:
        if case.symptom.up_lost and case.wire.size_selective_up:
            because = "every packet above one size is lost and every smaller one arrives"
            return (RuledOut(id="plain-loss", because=because),)
        return ()
    if case.symptom.state != "failing":
        return ()
    if split_hellos_lost(case.wire):
        because = "single packets of that size are answered, a hello in several is not"
        return (RuledOut(id="plain-loss", because=because),)
    return (
        Finding(
            id="plain-loss",
            grade="likely" if case.symptom.stalls else "possible",
            owner="isp",
            summary=f"packets are lost without regard to size: {case.symptom.refuted}",
            evidence=unique(case.symptom.wire_cites, case.symptom.cites),
            flow=case.up.report.key,
        ),
    )
