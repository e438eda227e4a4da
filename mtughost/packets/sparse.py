"""What a capture proves that does not show every packet which passes.

Where the device's hardware forwards packets past its sniffer, or a rate limit drops them from the
capture, what is missing proves nothing: only what was seen counts. A loss is then proven by the
sender alone, who sends the same bytes again and again; that needs no packet that was missed.
"""

from __future__ import annotations

from dataclasses import replace

from mtughost.model.evidence import CaptureEvidence, FlowSeen, Point, RadiusSeen

#: So often must the same bytes be sent again. After the last time nothing says whether an
#: acknowledgement came that was not seen; each time before, the sender itself says that none did.
_TESTIMONY = 3


def sparse(evidence: CaptureEvidence, misses: str, *, later: bool = False) -> CaptureEvidence:
    """Return the evidence without what rests on the absence of a packet.

    Args:
        evidence: As if every packet had been seen.
        misses: Which packets the capture does not show, for the warning.
        later: Of each direction it shows every packet up to some moment and none behind it.
    """
    return replace(
        evidence,
        misses=misses,
        flows=tuple(_flow(flow, later=later) for flow in evidence.flows),
        radius=tuple(_radius(seen) for seen in evidence.radius),
        incomplete_datagrams=(),
        warnings=(
            *evidence.warnings,
            f"not every packet is in it ({misses}): what is missing here proves nothing",
        ),
    )


#: Which handshake packet leaves the gateway there. At an access point both are its own.
_LEAVING: dict[Point, str] = {"gateway-lan": "syn-ack", "gateway-wan": "syn"}


def entering_only(evidence: CaptureEvidence) -> CaptureEvidence:
    """Return the evidence without the MSS of packets that leave the gateway here.

    Some devices capture them before their own clamps: then the packet on the wire is another.
    """
    leaving = _LEAVING.get(evidence.point)
    if leaving is None:
        return evidence
    is_syn = leaving == "syn"
    return replace(
        evidence,
        flows=tuple(
            replace(
                flow,
                syn_mss_bytes=None if is_syn else flow.syn_mss_bytes,
                syn_ack_mss_bytes=flow.syn_ack_mss_bytes if is_syn else None,
            )
            for flow in evidence.flows
        ),
        syns=tuple(
            replace(syn, mss_bytes=None) if syn.kind == leaving else syn for syn in evidence.syns
        ),
    )


def _flow(flow: FlowSeen, *, later: bool) -> FlowSeen:
    # What the client sent before something that is shown, was shown if it came: a gap, or bytes
    # that come again, stand behind the first large packets of a flight.
    early = (flow.smallest_lost_up_bytes or flow.stalled_up_bytes) if later else None
    up, down = flow.retransmits_up >= _TESTIMONY, flow.retransmits_down >= _TESTIMONY
    is_over = flow.tls_stage in {"established", "alert"}
    return replace(
        flow,
        early_gap_up_bytes=early,
        smallest_lost_up_bytes=flow.smallest_lost_up_bytes if up else None,
        stalled_up_bytes=flow.stalled_up_bytes if up else None,
        lost_up_frame=flow.lost_up_frame if up else None,
        # A gap in what comes down is an absence, whoever looks at it.
        smallest_lost_down_bytes=None,
        stalled_down_bytes=flow.stalled_down_bytes if down else None,
        lost_down_frame=flow.lost_down_frame if down else None,
        # How far it came is known, that it came no further is not.
        tls_stage=flow.tls_stage if is_over or up or down else "unknown",
        silent_s=0.0,
    )


def _radius(seen: RadiusSeen) -> RadiusSeen:
    return replace(
        seen,
        unanswered_fragmented=0,
        smallest_unanswered_bytes=None,
        unanswered_whole=0,
        missing_fragments=(),
        frames=(),
    )
