"""Real captures from freely licensed sources, judged against facts that were read by hand.

The files and their TRUTH.tsv stand beside the checkout (MTUGHOST_SHARED); without them these tests
are skipped. Their point is above all negative: what a verdict must *not* say.
"""

from __future__ import annotations

import csv

import pytest

from mtughost.packets import read_capture, summarise

WIFI = ("wifi_",)


@pytest.fixture(scope="module")
def truth(shared):
    with (shared / "pcaps" / "TRUTH.tsv").open(encoding="utf-8") as lines:
        return {row["file"]: row for row in csv.DictReader(lines, delimiter="\t")}


@pytest.fixture
def evidence(shared):
    def run(name):
        return summarise(
            (shared / "pcaps" / name).read_bytes(),
            host=name,
            point="ap",
            interface="",
            basis="recorded output",
            command="",
            seconds=0.0,
            services=(),
        )

    return run


def test_every_file_has_as_many_packets_as_the_truth_says(truth, evidence):
    counted = {name: evidence(name).packets for name in truth}

    assert counted == {name: int(row["frames"]) for name, row in truth.items()}


def test_no_healthy_or_unlucky_capture_shows_a_lost_size(truth, evidence):
    """None of these files holds a black hole, whatever they lost."""
    accused = {
        name: flow
        for name in truth
        for flow in evidence(name).flows
        if flow.smallest_lost_up_bytes or flow.smallest_lost_down_bytes
    }

    assert accused == {}


def test_the_mss_of_the_handshakes_is_the_truths(truth, evidence):
    for name, row in truth.items():
        if name.startswith(WIFI) or "None/None" in row[_flow_column(row)].split(";")[0]:
            continue
        first = row[_flow_column(row)].split(";")[0].split()
        if len(first) < 2:
            continue
        flow = evidence(name).flows[0]
        if name == "ips_drop_one_segment.pcap":
            flow = evidence(name).flows[1]
        assert f"{flow.syn_mss_bytes}/{flow.syn_ack_mss_bytes}" == first[1], name


def _flow_column(row):
    return next(key for key in row if key and key.startswith("flows"))


def test_path_mtu_discovery_that_works_is_seen_working(evidence):
    found = evidence("pmtud_ok_smtp_1492.pcap")

    assert [(m.frame, m.next_hop_mtu_bytes) for m in found.too_big] == [
        (26, 1492),
        (28, 1492),
        (29, 1492),
        (30, 1492),
    ]
    assert found.flows[0].largest_acked_up_bytes == 1492
    assert found.flows[0].resent_smaller_up_bytes == (1500, 1492)
    assert 27 in found.flows[0].frames


def test_messages_of_receive_offload_do_not_lower_the_path_mtu(evidence):
    found = evidence("fragneeded_mtu1500_lro.pcap")

    assert found.too_big == ()
    assert [m.frame for m in found.doubted_too_big] == [9, 20, 58, 69, 78, 117]
    assert {flow.largest_acked_up_bytes for flow in found.flows} == {1500, None}
    assert {flow.server_port for flow in found.flows} == {80}  # what sFlow samples is no flow


def test_a_lone_packet_too_big_is_reported_without_a_flow(evidence):
    found = evidence("icmp6_toobig_1280_lone.pcap")

    assert [m.next_hop_mtu_bytes for m in found.too_big] == [1280]
    assert found.flows == ()


def test_one_segment_that_a_filter_swallows_is_no_matter_of_size(evidence):
    flow = evidence("ips_drop_one_segment.pcap").flows[1]

    assert (flow.largest_acked_down_bytes, flow.smallest_lost_down_bytes) == (1500, None)
    assert (flow.retransmits_down, flow.stalled_down_bytes) == (5, 1500)


@pytest.mark.parametrize(
    ("name", "retransmits_down"), [("loss_fast009_snap.pcap", 3), ("loss_slow_google_ssl.pcap", 5)]
)
def test_plain_loss_is_counted_and_not_blamed_on_size(evidence, name, retransmits_down):
    flow = evidence(name).flows[0]

    assert flow.retransmits_down == retransmits_down
    assert (flow.df_up, flow.df_down) == (True, False)


def test_a_capture_that_holds_every_frame_several_times_shows_no_loss(evidence):
    found = evidence("ssh_dups.pcap")

    assert (found.flows[0].retransmits_up, found.flows[0].retransmits_down) == (0, 0)
    assert any("captured more than once" in text for text in found.warnings)


@pytest.mark.parametrize(
    ("name", "bytes_"), [("gro_superframes_kyber.pcap", 4240), ("bigtcp_iplen0.pcap", 80_052)]
)
def test_super_frames_are_called_offload_and_not_a_large_mtu(evidence, name, bytes_):
    found = evidence(name)

    assert any(f"up to {bytes_} bytes" in text for text in found.warnings)
    assert all((flow.largest_acked_down_bytes or 0) <= 1500 for flow in found.flows)


@pytest.mark.parametrize(
    ("name", "version", "largest_down"),
    [
        ("tls_bigcert_healthy.pcap", "TLS 1.2", 1500),
        ("tls_clientcert_mss1452.pcap", "TLS 1.2", 1492),
    ],
)
def test_healthy_tls_reaches_the_established_stage(evidence, name, version, largest_down):
    flow = evidence(name).flows[0]

    assert (flow.tls_stage, flow.tls_version, flow.tls_alert) == ("established", version, "")
    assert flow.largest_acked_down_bytes == largest_down
    assert flow.tls_resumed is False


def test_a_clamped_handshake_with_a_client_certificate_delivers_both_ways(evidence):
    flow = evidence("tls_clientcert_mss1452.pcap").flows[0]

    assert (flow.syn_ack_mss_bytes, flow.largest_acked_up_bytes) == (1452, 1492)


def test_a_missing_fragment_is_told_from_complete_ones(evidence):
    assert evidence("frag_dns_ok_v4v6.pcap").incomplete_datagrams == ()
    assert evidence("frag_dns6_tail_only.pcap").incomplete_datagrams == (4,)
    assert evidence("frag_udp_190of192.pcap").incomplete_datagrams == (2604, 2969)


@pytest.mark.parametrize(
    ("name", "fragments"),
    [
        ("frag_dns_ok_v4v6.pcap", 14),
        ("frag_dns6_tail_only.pcap", 4),
        ("frag_udp_190of192.pcap", 1859),
    ],
)
def test_fragments_are_counted_as_the_truth_counts_them(evidence, name, fragments):
    found = evidence(name)

    assert found.fragments_up + found.fragments_down == fragments


def test_a_big_endian_nanosecond_file_keeps_its_times(shared):
    records = read_capture((shared / "pcaps" / "ns_bigendian.pcap").read_bytes())

    assert any(str(record[0]).endswith("361926168451894") for record in records)


@pytest.mark.parametrize(
    ("name", "words", "truncated"),
    [
        ("d_empty.pcap", "the capture is empty", False),
        ("d_header_only.pcap", "holds no packet", False),
        ("d_trunc_midpacket_smtp.pcap", "in the middle of packet 27", True),
    ],
)
def test_damaged_files_say_what_is_wrong(evidence, name, words, truncated):
    found = evidence(name)

    assert any(words in text for text in found.warnings)
    assert found.truncated is truncated


def test_a_cut_file_keeps_the_message_of_its_last_whole_frame(evidence):
    assert [m.frame for m in evidence("d_trunc_midpacket_smtp.pcap").too_big] == [26]


def test_a_snaplen_that_leaves_the_options_leaves_the_mss(evidence):
    flow = evidence("trunc_tcp_header.pcap").flows[0]

    assert (flow.syn_mss_bytes, flow.syn_ack_mss_bytes, flow.retransmits_up) == (1460, 1460, 0)
