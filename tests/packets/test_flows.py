from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.model.inventory import Service

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
RADSEC = Service(name="radsec", host="203.0.113.10", port=2083)


def only_flow(evidence):
    assert len(evidence.flows) == 1
    return evidence.flows[0]


def bracket(evidence):
    flow = only_flow(evidence)
    return flow.largest_acked_up_bytes, flow.smallest_lost_up_bytes


# -- the field stories ---------------------------------------------------------------------------


def test_the_field_story_gives_a_bracket_with_the_frames_that_prove_it(wire, story, judge):
    flow = only_flow(judge(story(wire()), RADSEC))

    assert (flow.syn_mss_bytes, flow.syn_ack_mss_bytes) == (1460, 1460)
    assert (flow.largest_acked_up_bytes, flow.smallest_lost_up_bytes) == (528, 1500)
    assert flow.df_up is False
    assert flow.retransmits_up == 3
    assert {1, 2, 8, 11}.issubset(flow.frames)  # SYN, SYN-ACK, the first 1500, its SACK


def test_the_server_answering_nothing_small_either_is_no_matter_of_size(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 1448)
    for _ in range(4):
        capture.wait(0.4).send("client", 1, 1, ACK, 1448)

    flow = only_flow(judge(capture))

    assert flow.smallest_lost_up_bytes is None
    assert flow.stalled_up_bytes == 1500
    assert flow.retransmits_up == 4


def test_a_duplicate_ack_counts_as_something_small_that_got_through(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 188).send("server", 1, 189)
    capture.send("client", 189, 1, ACK, 1448).send("client", 1637, 1, ACK, 300)
    capture.wait(0.03).send("server", 1, 189)
    for _ in range(2):
        capture.wait(0.4).send("client", 189, 1, ACK, 1448)

    assert bracket(judge(capture)) == (240, 1500)


def test_one_delivery_of_the_same_size_refutes_a_matter_of_size(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 1448).send("server", 1, 1449)
    capture.send("client", 1449, 1, ACK, 1448).send("client", 2897, 1, ACK, 300)
    capture.wait(0.03).send("server", 1, 1449, sack=((2897, 3197),))
    for _ in range(3):
        capture.wait(0.4).send("client", 1449, 1, ACK, 1448)

    flow = only_flow(judge(capture))

    assert (flow.largest_acked_up_bytes, flow.smallest_lost_up_bytes) == (1500, None)
    assert flow.stalled_up_bytes == 1500


def test_another_connection_that_delivers_the_size_refutes_it_too(wire, story, judge):
    capture = story(wire())
    other = wire(client_port=50_000, now_s=capture.now_s).handshake()
    other.send("client", 1, 1, ACK, 1448).send("server", 1, 1449)
    capture.frames += other.frames

    flows = judge(capture).flows

    assert [flow.smallest_lost_up_bytes for flow in flows] == [None, None]


def test_a_gap_in_the_server_flight_that_stays_bounds_the_size_lost_before_this_point(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 250)
    capture.send("server", 1, 251).send("server", 2897, 251, ACK | PSH, 600)
    capture.send("client", 251, 1, sack=((2897, 3497),)).wait(4).send("client", 251, 1, ACK | FIN)

    flow = only_flow(judge(capture))

    assert (flow.largest_acked_down_bytes, flow.smallest_lost_down_bytes) == (652, 1500)


def test_a_gap_smaller_than_a_segment_bounds_the_size_by_its_own_length(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 250).send("server", 1, 251)
    capture.send("server", 1, 251, ACK, 100).send("server", 1101, 251, ACK, 200)
    capture.send("client", 251, 101, sack=((1101, 1301),)).wait(3).send("client", 251, 101, RST)

    assert only_flow(judge(capture)).smallest_lost_down_bytes == 1052


def test_a_gap_that_is_filled_later_is_no_loss(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 250).send("server", 1, 251)
    capture.send("server", 1449, 251, ACK, 600).send("client", 251, 1, sack=((1449, 2049),))
    capture.wait(0.3).send("server", 1, 251, ACK, 1448).send("client", 251, 2049).wait(5)
    capture.send("client", 251, 2049, FIN | ACK)

    flow = only_flow(judge(capture))

    assert (flow.largest_acked_down_bytes, flow.smallest_lost_down_bytes) == (1500, None)
    assert flow.retransmits_down == 1


def test_a_gap_at_the_very_end_of_the_capture_is_not_judged(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 250).send("server", 1, 251)
    capture.send("server", 1449, 251, ACK, 600).send("client", 251, 1, sack=((1449, 2049),))

    assert only_flow(judge(capture)).smallest_lost_down_bytes is None


def test_path_mtu_discovery_at_work_is_told_from_a_loss(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 1448)
    quoted = capture.segment("client", 1, 1, ACK, bytes(1448))
    capture.icmp("192.168.1.1", 1492, quoted).send("client", 1, 1, ACK, 1440)
    capture.wait(0.03).send("server", 1, 1441).send("client", 1441, 1, ACK, 8).send(
        "server", 1, 1449
    )

    evidence = judge(capture)
    flow = only_flow(evidence)

    assert (flow.largest_acked_up_bytes, flow.smallest_lost_up_bytes) == (1492, None)
    assert flow.resent_smaller_up_bytes == (1500, 1492)
    assert [(m.next_hop_mtu_bytes, m.quoted_bytes) for m in evidence.too_big] == [(1492, 1500)]


def test_the_second_story_shows_the_same_size_again_despite_the_icmp(wire, judge):
    capture = wire(client="10.60.0.9", server="10.50.0.10").handshake()
    capture.send("client", 1, 1, ACK, 188).send("server", 1, 189)
    quoted = capture.segment("client", 189, 1, ACK, bytes(1448))
    capture.send("client", 189, 1, ACK, 1448).send("client", 1637, 1, ACK, 400)
    capture.send("server", 1, 189, sack=((1637, 2037),))
    for _ in range(5):
        capture.icmp("10.50.0.1", 1446, quoted).wait(0.4).send("client", 189, 1, ACK, 1448)

    evidence = judge(capture)

    assert bracket(evidence) == (452, 1500)
    assert only_flow(evidence).df_up is True
    assert {message.next_hop_mtu_bytes for message in evidence.too_big} == {1446}


def test_black_hole_detection_by_a_fall_back_to_536_bytes_shows_as_a_smaller_resend(wire, judge):
    capture = wire(timestamps=False).handshake().send("client", 1, 1, ACK, 1460)
    for _ in range(3):
        capture.wait(0.4).send("client", 1, 1, ACK, 1460)
    capture.wait(0.4).send("client", 1, 1, ACK, 536, df=False).send("server", 1, 537)

    flow = only_flow(judge(capture))

    assert flow.resent_smaller_up_bytes == (1500, 576)
    assert flow.largest_acked_up_bytes == 576


# -- guards ----------------------------------------------------------------------------------------


def test_frames_that_a_mirrored_port_shows_twice_are_no_retransmissions(wire, story, judge):
    capture = story(wire())
    expected = only_flow(judge(capture))
    capture.frames = [
        (when + late, data, length)
        for when, data, length in capture.frames
        for late in (0.0, 0.000_4)
    ]

    evidence = judge(capture)
    flow = only_flow(evidence)

    assert (flow.largest_acked_up_bytes, flow.smallest_lost_up_bytes, flow.retransmits_up) == (
        expected.largest_acked_up_bytes,
        expected.smallest_lost_up_bytes,
        expected.retransmits_up,
    )
    assert len(evidence.syns) == 2
    assert any("captured more than once" in warning for warning in evidence.warnings)


def test_copies_without_an_ip_id_are_told_by_their_time(wire, judge):
    capture = wire().handshake()
    for pause_s in (0, 0.000_5, 0.3):
        capture.wait(pause_s).send("client", 1, 1, ACK, 700, ident=0)

    assert only_flow(judge(capture)).retransmits_up == 1


def test_a_packet_larger_than_the_mss_allows_is_offload_and_no_size(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 3372).send("server", 1, 3373)

    evidence = judge(capture)

    assert only_flow(evidence).largest_acked_up_bytes is None
    assert any("up to 3424 bytes are larger than the MSS" in text for text in evidence.warnings)


def test_retransmitted_parts_of_an_offloaded_packet_still_show_the_size_that_is_lost(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 188).send("server", 1, 189)
    capture.send("client", 189, 1, ACK, 3372)
    capture.wait(0.01).send("server", 1, 189, sack=((3085, 3561),))
    for _ in range(2):
        capture.wait(0.4).send("client", 189, 1, ACK, 1448)

    assert bracket(judge(capture)) == (240, 1500)


def test_an_empty_ip_length_field_is_taken_from_the_frame_and_called_offload(wire, pack, judge):
    capture = wire()
    header = struct.pack("!HHIIBBHHH", 40112, 2083, 1, 1, 5 << 4, ACK, 1, 0, 0)
    capture.raw(pack["ipv4"]("10.0.0.1", "10.0.0.2", 6, header + bytes(70_000), total=0), keep=100)

    evidence = judge(capture)

    assert only_flow(evidence).largest_acked_up_bytes is None
    assert any("70040 bytes" in warning for warning in evidence.warnings)


def test_a_capture_that_begins_mid_stream_says_so_and_knows_no_mss(wire, judge):
    capture = wire().send("client", 189, 1, ACK, 1448).send("server", 1, 1637)

    flow = only_flow(judge(capture, RADSEC))

    assert (flow.mid_stream, flow.syn_mss_bytes, flow.tls_stage) == (True, None, "unknown")
    assert (flow.client, flow.server_port, flow.largest_acked_up_bytes) == (
        "10.20.0.10",
        2083,
        1500,
    )


def test_the_service_port_tells_the_server_where_the_first_packet_is_the_servers(wire, judge):
    capture = wire(server_port=52_083, client_port=1024).send("server", 1, 1, ACK, 100)

    flow = only_flow(judge(capture, Service(name="radsec", host="203.0.113.10", port=52_083)))

    assert (flow.client_port, flow.server_port) == (1024, 52_083)


def test_a_snaplen_that_cuts_the_options_leaves_the_mss_unknown(wire, judge):
    capture = wire()
    capture.send("client", 0, 0, SYN, mss=1460, keep=14 + 20 + 20)

    assert [syn.mss_bytes for syn in judge(capture).syns] == [None]


def test_a_snaplen_that_cuts_the_payload_changes_no_size(wire, story, judge):
    capture = story(wire())
    whole = only_flow(judge(capture))
    capture.frames = [(when, data[:96], length) for when, data, length in capture.frames]

    cut = only_flow(judge(capture))

    assert (cut.largest_acked_up_bytes, cut.smallest_lost_up_bytes) == (
        whole.largest_acked_up_bytes,
        whole.smallest_lost_up_bytes,
    )


def test_headers_that_are_cut_are_counted_and_not_guessed(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 100, keep=14 + 20 + 8)

    assert "1 packets were cut inside their TCP header" in judge(capture).warnings


# -- connections -----------------------------------------------------------------------------------


def test_a_syn_without_an_answer_is_a_flow_with_one_mss_only(wire, judge):
    capture = wire().send("client", 0, 0, SYN, mss=1460)
    capture.wait(1).send("client", 0, 0, SYN, mss=1460).wait(2).send("client", 0, 0, SYN, mss=1460)

    evidence = judge(capture)

    assert (only_flow(evidence).syn_mss_bytes, only_flow(evidence).syn_ack_mss_bytes) == (
        1460,
        None,
    )
    assert [(syn.kind, syn.mss_bytes) for syn in evidence.syns] == [("syn", 1460)] * 3


def test_ports_used_again_make_a_second_flow(wire, judge):
    capture = wire().handshake().send("client", 1, 1, FIN | ACK)
    again = wire(client_isn=70_000_000, server_isn=5, now_s=capture.now_s + 9).handshake(1380, 1380)
    capture.frames += again.frames

    assert [flow.syn_mss_bytes for flow in judge(capture).flows] == [1460, 1380]


@pytest.mark.parametrize(
    ("side", "flags", "reset_by", "closed"),
    [
        ("client", RST | ACK, "client", False),
        ("server", RST, "server", False),
        ("server", FIN | ACK, "", True),
    ],
)
def test_the_end_of_a_connection_names_who_ended_it(wire, judge, side, flags, reset_by, closed):
    flow = only_flow(judge(wire().handshake().send(side, 1, 1, flags)))

    assert (flow.reset_by, flow.closed) == (reset_by, closed)


def test_only_flows_of_the_services_are_reported(wire, judge):
    capture = wire().handshake()
    capture.frames += wire(server_port=22, client_port=50_001).handshake().frames

    evidence = judge(capture, RADSEC)

    assert [flow.server_port for flow in evidence.flows] == [2083]
    assert len(evidence.syns) == 2


def test_ipv6_sizes_count_the_longer_header(wire, judge):
    capture = wire(client="2001:db8::10", server="2001:db8:ffff::1").handshake(1440, 1440)
    capture.send("client", 1, 1, ACK, 1428).send("server", 1, 1429)

    flow = only_flow(judge(capture))

    assert (flow.family, flow.largest_acked_up_bytes, flow.df_up) == ("ipv6", 1500, True)


def test_a_keep_alive_is_no_retransmission(wire, judge):
    capture = wire().handshake().send("client", 1, 1, ACK, 100).send("server", 1, 101)
    capture.wait(30).send("client", 100, 1, ACK, 1).send("server", 1, 101)

    assert only_flow(judge(capture)).retransmits_up == 0


@given(client_isn=st.integers(0, 2**32 - 1), server_isn=st.integers(0, 2**32 - 1))
def test_the_evidence_does_not_depend_on_the_sequence_numbers(
    wire, story, judge, client_isn, server_isn
):
    expected = only_flow(judge(story(wire())))

    seen = only_flow(judge(story(wire(client_isn=client_isn, server_isn=server_isn))))

    assert replace(seen, syn_sequence=1000) == expected


@given(kept=st.lists(st.integers(0, 14), min_size=1, max_size=40))
def test_frames_in_any_order_lost_or_repeated_never_raise_nor_give_an_empty_bracket(
    wire, story, judge, kept
):
    capture = story(wire())
    capture.frames = [capture.frames[at] for at in kept if at < len(capture.frames)]

    for flow in judge(capture).flows:
        lost, delivered = flow.smallest_lost_up_bytes, flow.largest_acked_up_bytes
        assert lost is None or (delivered is not None and delivered < lost)
