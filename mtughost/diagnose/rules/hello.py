"""A ClientHello in several packets that nobody can read, although each size passes."""

from __future__ import annotations

from mtughost.diagnose.case import Case, Outcome, unique
from mtughost.diagnose.evidence import told
from mtughost.diagnose.wire import Seen, Wire, went_on
from mtughost.model.device import MSS_OVERHEAD_BYTES
from mtughost.model.evidence import ProbeEvidence, ProbeStep
from mtughost.model.findings import Evidence, Finding, Grade, RuledOut

_ANSWERS = frozenset({"reply", "alert"})
_SILENCE = frozenset({"timeout", "reset"})
#: TLS record header: in the probe's length, not in that of a record's body.
_RECORD_BYTES = 5

_Step = tuple[ProbeEvidence, ProbeStep]


def large_hello_dropped(case: Case) -> Outcome:
    """M30: a ClientHello of more than one packet stalls, a small one works.

    Observables: probes: a full-size packet is answered, a hello in two packets is not; a capture in
    which the AP's own hello needs several packets and is never answered. Discriminator from M01: a
    single packet of full size is answered, so no size is lost; from N7 and N8: a hello in one
    packet is answered each time. Where the AP's own hello fits one packet this is not what ails
    it. Source: catalogue M30 (tldr.fail).
    """
    answered = [step for _, step in _split(case.wire) if step.outcome in _ANSWERS]
    if answered:
        size = max(step.hello_bytes for step in answered)
        because = f"a hello of {size} bytes in several packets is answered"
        return (RuledOut(id="large-hello-dropped", because=because),)
    lost = split_hellos_lost(case.wire)
    if not lost:
        return ()
    whole = _largest_whole(case.wire)
    step = lost[0][1]
    own = _own_hellos(case.wire)
    return (
        Finding(
            id="large-hello-dropped",
            grade=_grade(case, own),
            owner="isp",
            summary=(
                f"{case.flow.service.host} answers a hello in one packet of {whole} bytes, and "
                f"not one of {step.hello_bytes} bytes in {step.segments}: something on the way "
                "cannot read a hello in several packets"
            ),
            evidence=unique(
                (_probe_cite(probe, step, whole) for probe, step in lost),
                (_own_cite(seen) for seen in own if _is_unanswered_split(seen)),
                case.symptom.cites,
            ),
            flow=case.up.report.key,
        ),
    )


def split_hellos_lost(wire: Wire) -> tuple[_Step, ...]:
    """Return the probes whose hello in several packets got no answer while single packets did.

    A single packet that is lost as well explains the several; so does silence at every size.
    """
    split, whole = _split(wire), _largest_whole(wire)
    if wire.probe_bracket is not None or any(step.outcome in _ANSWERS for _, step in split):
        return ()
    return tuple(
        (probe, step) for probe, step in split if step.outcome in _SILENCE and _fits(step, whole)
    )


def _fits(step: ProbeStep, whole: int) -> bool:
    """Say whether packets as large as the answered one carry the hello in so many packets."""
    headers = step.packet_bytes - step.hello_bytes
    return (whole - headers) * step.segments >= step.hello_bytes


def _split(wire: Wire) -> list[_Step]:
    return [(probe, step) for probe in wire.probes for step in probe.steps if step.segments > 1]


def _largest_whole(wire: Wire) -> int:
    return max((probe.largest_delivered_bytes or 0 for probe in wire.probes), default=0)


def _own_hellos(wire: Wire) -> list[Seen]:
    """Return the AP's own connections whose hello is known; the probe's are known by its length."""
    probed = {step.hello_bytes for probe in wire.probes for step in probe.steps}
    return [
        s
        for s in wire.flows
        if s.capture.point == "ap"
        and s.flow.client_hello_bytes is not None
        and _record_bytes(s) not in probed
        and s.flow.syn_ack_mss_bytes is not None
    ]


def _is_unanswered_split(seen: Seen) -> bool:
    flow = seen.flow
    split = _record_bytes(seen) > _room_bytes(seen)
    return split and flow.tls_stage == "client-hello" and not went_on(flow)


def _record_bytes(seen: Seen) -> int:
    return (seen.flow.client_hello_bytes or 0) + _RECORD_BYTES


def _room_bytes(seen: Seen) -> int:
    """Return the most that one packet of the client held, by its MSS and by the packets seen."""
    flow = seen.flow
    mss = flow.syn_ack_mss_bytes or 0
    largest = flow.largest_seen_up_bytes
    return mss if largest is None else min(mss, largest - MSS_OVERHEAD_BYTES[flow.family])


def _grade(case: Case, own: list[Seen]) -> Grade:
    """Two witnesses confirm; where the AP's own hello fits one packet, something else ails it."""
    if case.symptom.state != "failing":
        return "possible"
    if any(_is_unanswered_split(seen) for seen in own):
        return "confirmed"
    return "likely" if case.symptom.stalls and not own else "possible"


def _probe_cite(probe: ProbeEvidence, step: ProbeStep, whole: int) -> Evidence:
    text = (
        f"a hello of {step.hello_bytes} bytes in {step.segments} packets ended in {step.outcome}, "
        f"one packet of {whole} bytes was answered"
    )
    return told("probe", probe.host, probe.basis, text)


def _own_cite(seen: Seen) -> Evidence:
    text = (
        f"a hello of {_record_bytes(seen)} bytes, where one packet holds {_room_bytes(seen)} at "
        f"most, gets no answer, at {seen.capture.point}"
    )
    return seen.cite("stall", text, "up")
