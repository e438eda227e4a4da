"""What one connection shows, as findings: pure functions over what each point saw of it.

Ids and owners are those of the diagnosis of a site, so that both speak of the same things.
"""

from __future__ import annotations

from collections.abc import Iterable

from mtughost.model.evidence import CaptureEvidence, Direction, FlowSeen
from mtughost.model.findings import Finding, Grade
from mtughost.packets.case import SMALL_BYTES, Case
from mtughost.packets.holes import holes

#: One lost SYN is nothing; the second time it is a pattern.
SYN_TRIES = 2
#: A connection that said nothing for so long has stopped.
SILENT_S = 5.0

_CERTIFICATE_ALERTS = ("certificate", "unknown_ca")
_CREDENTIAL_ALERTS = frozenset({"access_denied", "unknown_psk_identity", "certificate_required"})
_MID_HANDSHAKE = frozenset({"client-hello", "server-flight", "client-flight"})
_DIRECTIONS: tuple[Direction, ...] = ("up", "down")


def judge_connection(case: Case) -> tuple[Finding, ...]:
    """Apply every rule to one connection."""
    found = [*no_syn_ack(case), *alerts(case)]
    for direction in _DIRECTIONS:
        found += holes(case, direction)
    if not found:
        found += silences(case)
    return tuple(found)


# -- before the large packets -------------------------------------------------------------------


def no_syn_ack(case: Case) -> Iterable[Finding]:
    """N1: SYNs without an answer, or refused."""
    near = case.near
    if near.answered or case.far.answered or not near.syns_sent:
        return
    refused = near.refused or case.far.refused
    if near.syns_sent < SYN_TRIES and not refused:
        return
    how = "is refused by a reset" if refused else f"was sent {near.syns_sent} times, unanswered"
    twice = len(case.connection.views) > 1
    yield Finding(
        id="no-syn-ack",
        grade="confirmed" if twice else "likely",
        owner="cloud" if refused else "isp",
        summary=f"{near.client}'s SYN to {case.name} {how}: no packet size is involved",
        evidence=case.cites("syn", lambda f: f"SYN sent {f.syns_sent} times without SYN-ACK"),
        flow=case.key("down"),
    )


def alerts(case: Case) -> Iterable[Finding]:
    """N4, N10: an alert ends the handshake; a hole would be silent."""
    alert = case.near.tls_alert or case.far.tls_alert
    if not alert or case.near.application_down:
        return
    certificate = any(word in alert for word in _CERTIFICATE_ALERTS)
    if alert not in _CREDENTIAL_ALERTS and not certificate:
        return
    finding_id = "credential-rejected" if alert in _CREDENTIAL_ALERTS else "certificate-invalid"
    yield Finding(
        id=finding_id,
        grade="likely",
        owner="cloud",
        summary=(
            f"{case.near.client} and {case.name} end their TLS handshake with the alert {alert}: "
            "both heard each other, no packet size is involved"
        ),
        evidence=case.cites("alert", lambda f: f.tls_alert and f"TLS alert {f.tls_alert}"),
        flow=case.key("up"),
    )


# -- silence ------------------------------------------------------------------------------------


def silences(case: Case) -> Iterable[Finding]:
    """N6, N7, N8, M30: something stops, and no size was proven."""
    flow = case.near
    stalled = flow.stalled_up_bytes
    refuted = stalled is not None and case.delivered("up") >= stalled
    down = flow.stalled_down_bytes
    if refuted or (down is not None and case.delivered("down") >= down):
        yield _plain_loss(case)
    elif stalled is not None and flow.answered and not flow.mid_stream and not case.delivered("up"):
        yield from _first_packets(case, stalled)
    elif _hangs(case):
        yield _server_hang(case)


def _plain_loss(case: Case) -> Finding:
    flow = case.near
    up = flow.stalled_up_bytes is not None
    size = flow.stalled_up_bytes if up else flow.stalled_down_bytes
    return Finding(
        id="plain-loss",
        grade="possible",
        owner="isp",
        summary=(
            f"a packet of {size} bytes from {case.sender('up' if up else 'down')} was never "
            f"acknowledged, although others of {case.delivered('up' if up else 'down')} bytes "
            "were: lost or filtered by its content, not by its size"
        ),
        evidence=case.cites(
            "stall", lambda f: f"sent again {f.retransmits_up + f.retransmits_down} times"
        ),
        flow=case.key("up" if up else "down"),
    )


def _first_packets(case: Case, stalled: int) -> Iterable[Finding]:
    def words(flow: FlowSeen) -> str:
        if flow.stalled_up_bytes is None:
            return ""
        again = flow.retransmits_up
        return f"{flow.stalled_up_bytes} bytes sent again {again} times, never acknowledged"

    cites = case.cites("stall", words)
    hello = case.near.client_hello_bytes or 0
    if stalled <= SMALL_BYTES and hello < SMALL_BYTES:
        yield Finding(
            id="payload-dropped",
            grade="likely",
            owner="isp",
            summary=(
                f"the TCP handshake with {case.name} succeeds, but not even a packet of {stalled} "
                "bytes gets through after it: something on the way drops the content"
            ),
            evidence=cites,
            flow=case.key("up"),
        )
    elif case.near.tls_stage in {"client-hello", "none"}:
        yield Finding(
            id="large-hello-dropped",
            grade="possible",
            owner="isp",
            summary=(
                f"{case.near.client}'s first packet of {stalled} bytes to {case.name} is never "
                "acknowledged, and nothing smaller was tried: size and silence cannot be told apart"
            ),
            evidence=cites,
            flow=case.key("up"),
        )


def _hangs(case: Case) -> bool:
    flow = case.near
    return (
        flow.tls_stage in _MID_HANDSHAKE
        and not flow.mid_stream
        and flow.largest_acked_up_bytes is not None
        and flow.retransmits_up + flow.retransmits_down == 0
        and flow.stalled_up_bytes is None
        and flow.stalled_down_bytes is None
        and flow.silent_s >= SILENT_S
    )


def _server_hang(case: Case) -> Finding:
    flow = case.near
    # A server's first flight may be lost as a whole before this point: that looks the same.
    grade: Grade = "possible" if flow.tls_stage == "client-hello" else "likely"
    return Finding(
        id="server-hang",
        grade=grade,
        owner="cloud",
        summary=(
            f"{case.name} acknowledges everything that {flow.client} sends and then stays silent "
            f"for {flow.silent_s:.0f} s"
        ),
        evidence=case.cites("stall", lambda f: f"silence at TLS stage {f.tls_stage}"),
        flow=case.key("up"),
    )


def too_big_notes(capture: CaptureEvidence) -> list[str]:
    """Say of every believed message whose flow is not in the capture that nobody saw its effect."""
    seen = {ends for f in capture.flows for ends in ((f.client, f.server), (f.server, f.client))}
    return [
        f"{capture.host}, frame {m.frame}: {m.reporter} tells {m.to} of MTU "
        f"{m.next_hop_mtu_bytes}; whether it is honoured is unknown: its connection is not here"
        for m in capture.too_big[:20]
        if (m.quoted_source, m.quoted_destination) not in seen
    ]
