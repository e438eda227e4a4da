"""Captures that do not show every packet: what is missing in them proves nothing."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from mtughost.model.evidence import CaptureEvidence, FlowSeen, RadiusSeen, SynSeen
from mtughost.packets.sparse import entering_only, sparse

WHY = "what hardware forwards"
LOST = FlowSeen(
    client="192.0.2.10",
    client_port=40000,
    server="203.0.113.10",
    server_port=2083,
    family="ipv4",
    syn_mss_bytes=1460,
    syn_ack_mss_bytes=1452,
    largest_acked_up_bytes=576,
    smallest_lost_up_bytes=1500,
    stalled_up_bytes=1500,
    retransmits_up=4,
    lost_up_frame=9,
    tls_stage="server-flight",
    silent_s=8.0,
    answered=True,
)


def capture(*flows, point="gateway-wan", **more):
    return CaptureEvidence(
        host="gw",
        point=point,
        interface="wan1",
        basis="emulation",
        command="diagnose sniffer packet",
        seconds=10.0,
        packets=9,
        flows=flows,
        **more,
    )


def test_what_the_sender_itself_repeats_stays_proven():
    (flow,) = sparse(capture(LOST), WHY).flows

    assert (flow.smallest_lost_up_bytes, flow.stalled_up_bytes) == (1500, 1500)
    assert (flow.lost_up_frame, flow.tls_stage) == (9, "server-flight")
    assert flow.largest_acked_up_bytes == 576


def test_one_repeat_may_have_been_acknowledged_by_a_packet_that_is_not_shown():
    (flow,) = sparse(capture(replace(LOST, retransmits_up=1)), WHY).flows

    assert (flow.smallest_lost_up_bytes, flow.stalled_up_bytes, flow.lost_up_frame) == (None,) * 3
    assert flow.tls_stage == "unknown"
    assert flow.syn_mss_bytes == 1460


@pytest.mark.parametrize("stage", ["established", "alert"])
def test_how_far_a_connection_came_stays_known_where_it_came_to_its_end(stage):
    (flow,) = sparse(capture(replace(LOST, retransmits_up=0, tls_stage=stage)), WHY).flows

    assert flow.tls_stage == stage


def test_gaps_and_silence_and_missing_fragments_are_gone():
    gap = replace(LOST, smallest_lost_down_bytes=1400, stalled_down_bytes=1400)
    radius = RadiusSeen(
        client="192.0.2.10",
        server="203.0.113.10",
        port=1812,
        requests=3,
        answered=0,
        repeats=2,
        unanswered_fragmented=3,
        unanswered_whole=3,
        smallest_unanswered_bytes=900,
        missing_fragments=(4,),
        frames=(1, 2),
    )

    found = sparse(capture(gap, radius=(radius,), incomplete_datagrams=(4,)), WHY)

    (flow,), (seen,) = found.flows, found.radius
    assert (flow.smallest_lost_down_bytes, flow.stalled_down_bytes, flow.silent_s) == (
        None,
        None,
        0,
    )
    assert found.incomplete_datagrams == seen.missing_fragments == seen.frames == ()
    assert (seen.unanswered_fragmented, seen.unanswered_whole, seen.requests) == (0, 0, 3)
    assert seen.smallest_unanswered_bytes is None


@pytest.mark.parametrize(
    ("later", "repeats", "gap"), [(True, 0, 1500), (False, 0, None), (True, 1, 1500)]
)
def test_a_gap_before_what_is_shown_is_real_where_packets_go_missing_later_only(
    later, repeats, gap
):
    seen = replace(LOST, stalled_up_bytes=None, retransmits_up=repeats)

    (flow,) = sparse(capture(seen), WHY, later=later).flows

    assert flow.early_gap_up_bytes == gap
    assert flow.smallest_lost_up_bytes is None


def test_it_says_which_packets_it_does_not_show():
    found = sparse(capture(LOST, warnings=("cut",)), WHY)

    assert found.misses == WHY
    assert found.warnings[0] == "cut"
    assert WHY in found.warnings[1]


def test_every_figure_of_a_flow_was_thought_of():
    """A field that is added later must be sorted into absence or presence here."""
    changed = {
        *("smallest_lost_up_bytes", "stalled_up_bytes", "lost_up_frame"),
        *("smallest_lost_down_bytes", "stalled_down_bytes", "lost_down_frame"),
        *("tls_stage", "silent_s", "early_gap_up_bytes"),
    }
    kept = {
        *("client", "client_port", "server", "server_port", "family", "frames", "mid_stream"),
        *("syn_mss_bytes", "syn_ack_mss_bytes", "syn_sequence", "syn_ttl", "syns_sent", "refused"),
        *("largest_acked_up_bytes", "largest_acked_down_bytes", "largest_seen_up_bytes"),
        *("largest_seen_down_bytes", "retransmits_up", "retransmits_down", "df_up", "df_down"),
        *("resent_smaller_up_bytes", "resent_smaller_down_bytes", "application_up"),
        *("application_down", "told_up_bytes", "told_down_bytes", "honoured_up", "honoured_down"),
        *("tls_version", "tls_alert", "tls_resumed", "reset_by", "closed", "client_hello_bytes"),
        *("answered", "fragmented_up", "fragmented_down"),
    }

    assert {field.name for field in fields(FlowSeen)} == changed | kept


def syn(kind, mss):
    return SynSeen(
        kind=kind,
        source="192.0.2.10",
        source_port=40000,
        destination="203.0.113.10",
        destination_port=2083,
        family="ipv4",
        mss_bytes=mss,
        df=True,
        frame=1,
    )


@pytest.mark.parametrize(
    ("point", "syn_mss", "syn_ack_mss"),
    [("gateway-wan", None, 1452), ("gateway-lan", 1460, None), ("ap", 1460, 1452)],
)
def test_the_mss_of_what_leaves_the_gateway_here_is_not_known(point, syn_mss, syn_ack_mss):
    seen = capture(LOST, point=point, syns=(syn("syn", 1460), syn("syn-ack", 1452)))

    found = entering_only(seen)

    (flow,) = found.flows
    assert (flow.syn_mss_bytes, flow.syn_ack_mss_bytes) == (syn_mss, syn_ack_mss)
    assert [each.mss_bytes for each in found.syns] == [syn_mss, syn_ack_mss]
    assert flow.smallest_lost_up_bytes == 1500
