from __future__ import annotations

import pytest

from mtughost.packets import judge as verdict_of
from mtughost.packets import summarise

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
CERTIFICATE_EXPIRED = b"\x15\x03\x03\x00\x02\x02\x2d"


@pytest.fixture
def verdict():
    """Return a function that judges wires together, named after their keyword."""

    def run(**wires):
        return verdict_of(
            [
                summarise(
                    wire.pcap(),
                    host=name,
                    point="ap",
                    interface="",
                    basis="recorded output",
                    command="",
                    seconds=0.0,
                    services=(),
                )
                for name, wire in wires.items()
            ]
        )

    return run


def ids(report):
    return {finding.id: finding.grade for finding in report.findings}


def healthy(wire, *, size=1448):
    wire.handshake()
    wire.send("client", 1, 1, ACK | PSH, size).send("server", 1, 1 + size, ACK | PSH, size)
    return wire.send("client", 1 + size, 1 + size)


# -- one point -----------------------------------------------------------------------------------


def test_full_size_packets_delivered_both_ways_are_ok(wire, verdict):
    report = verdict(tap=healthy(wire()))

    assert (report.verdict, report.findings, report.next_test) == ("ok", (), None)
    assert "nothing is lost by its size" in report.sentence


def test_a_direction_that_nobody_tried_is_not_called_ok(wire, verdict):
    capture = wire().handshake().send("client", 1, 1, ACK, 100).send("server", 1, 101, ACK, 1448)
    report = verdict(tap=capture.send("client", 101, 1449))

    assert report.verdict == "unknown"
    assert "not all were sent full-size packets both ways" in report.sentence
    assert report.next_test is not None


def test_a_hole_is_likely_a_missing_clamp_and_never_confirmed_however_often_it_shows(
    wire, story, verdict
):
    capture = story(wire())
    again = story(wire(client_port=40_113, client_isn=77, now_s=capture.now_s + 1))
    capture.frames += again.frames

    report = verdict(tap=capture)

    assert report.verdict == "fault"
    assert ids(report) == {"clamp-missing": "likely", "fragments-dropped": "possible"}
    assert "(the same on 2 connections)" in report.sentence
    assert "counters" in report.next_test.summary
    assert {item.id for item in report.ruled_out} == {"plain-loss"}
    assert all(cited.frame for cited in report.findings[0].evidence)


def ignoring(wire, *, pause_s, client="10.60.0.9"):
    capture = wire(client=client, server="10.50.0.10").handshake()
    capture.send("client", 1, 1, ACK, 188).send("server", 1, 189)
    quoted = capture.segment("client", 189, 1, ACK, bytes(1448))
    capture.send("client", 189, 1, ACK, 1448).send("client", 1637, 1, ACK, 400)
    capture.send("server", 1, 189, sack=((1637, 2037),))
    for _ in range(5):
        capture.icmp("10.50.0.1", 1446, quoted).wait(pause_s)
        capture.send("client", 189, 1, ACK, 1448)
    return capture


def test_the_same_size_again_after_icmp_is_icmp_ignored_confirmed_on_the_hosts_own_segment(
    wire, verdict
):
    report = verdict(tap=ignoring(wire, pause_s=0.4))

    assert (report.verdict, ids(report)) == ("fault", {"icmp-ignored": "confirmed"})
    assert "told of the smaller path MTU of 1446 bytes by ICMP" in report.sentence
    assert {"icmp", "stall"} == {cited.kind for cited in report.findings[0].evidence}


def test_what_was_on_its_way_when_icmp_came_is_not_held_against_the_sender(wire, verdict):
    report = verdict(tap=ignoring(wire, pause_s=0.02))

    assert "icmp-ignored" not in ids(report)


def test_path_mtu_discovery_at_work_rules_out_that_icmp_is_ignored(wire, verdict):
    capture = wire().handshake().send("client", 1, 1, ACK, 1448)
    quoted = capture.segment("client", 1, 1, ACK, bytes(1448))
    capture.icmp("192.168.1.1", 1492, quoted).send("client", 1, 1, ACK, 1440)
    capture.wait(0.03).send("server", 1, 1441, ACK, 1448).send("client", 1441, 1449)

    report = verdict(tap=capture)

    assert report.verdict == "ok"
    assert [item.id for item in report.ruled_out] == ["icmp-ignored"]
    assert "path MTU discovery works" in report.sentence


def test_a_sender_that_gives_up_on_its_size_shows_the_hole(wire, verdict):
    capture = wire(timestamps=False).handshake().send("client", 1, 1, ACK, 1460)
    for _ in range(3):
        capture.wait(0.4).send("client", 1, 1, ACK, 1460)
    capture.wait(0.4).send("client", 1, 1, ACK, 536, df=False).send("server", 1, 537)

    report = verdict(tap=capture)

    assert ids(report) == {"clamp-missing": "likely"}
    assert "gives up on packets of 1500 bytes" in report.sentence


def test_packets_that_arrive_as_fragments_only_are_latent(wire, pack, verdict):
    capture = wire().handshake(df=False)
    segment = capture.segment("client", 1, 1, ACK, bytes(1448), df=False)[20:]
    for at, more in ((0, True), (1472, False)):
        capture.raw(
            pack["ipv4"](
                "10.20.0.10",
                "203.0.113.10",
                6,
                segment[at : at + 1472],
                df=False,
                ident=9,
                more=more,
                offset=at,
            )
        )
    report = verdict(tap=capture.send("server", 1, 1449))

    assert (report.verdict, ids(report)) == ("latent", {"clamp-missing": "likely"})
    assert "it works today because fragments pass" in report.sentence


def test_silence_after_a_large_first_packet_is_not_told_from_its_size(wire, verdict):
    capture = wire().handshake().send("client", 1, 1, ACK, 1448)
    for _ in range(4):
        capture.wait(0.4).send("client", 1, 1, ACK, 1448)

    report = verdict(tap=capture)

    assert (report.verdict, ids(report)) == ("unknown", {"large-hello-dropped": "possible"})
    assert "small and with a full-size TLS hello" in report.next_test.summary


# -- look-alikes ---------------------------------------------------------------------------------


def test_a_small_first_packet_that_is_never_acknowledged_is_no_matter_of_size(wire, verdict):
    capture = wire().handshake().send("client", 1, 1, ACK, 200)
    for _ in range(4):
        capture.wait(0.4).send("client", 1, 1, ACK, 200)

    assert ids(verdict(tap=capture)) == {"payload-dropped": "likely"}


@pytest.mark.parametrize(("points", "grade"), [(("tap",), "likely"), (("lan", "wan"), "confirmed")])
def test_syns_without_an_answer_are_confirmed_by_a_second_point(wire, verdict, points, grade):
    capture = wire()
    for _ in range(3):
        capture.wait(1).send("client", 0, 0, SYN, mss=1460)

    report = verdict(**dict.fromkeys(points, capture))

    assert (report.verdict, ids(report)) == ("not-mtu", {"no-syn-ack": grade})


def test_one_lone_syn_says_nothing(wire, verdict):
    assert verdict(tap=wire().send("client", 0, 0, SYN, mss=1460)).findings == ()


def test_a_refused_syn_is_the_servers_word(wire, verdict):
    capture = wire().send("client", 0, 0, SYN, mss=1460).send("server", 0, 1, RST | ACK)

    report = verdict(tap=capture)

    assert [(f.id, f.owner) for f in report.findings] == [("no-syn-ack", "cloud")]
    assert "refused" in report.sentence


def test_an_alert_about_a_certificate_is_named_and_no_hole(wire, verdict):
    hello = b"\x16\x03\x03\x00\x04\x01\x00\x00\x00"
    capture = wire().handshake().send("client", 1, 1, ACK, hello).send("server", 1, 1 + len(hello))
    capture.send("server", 1, 1 + len(hello), ACK, CERTIFICATE_EXPIRED)
    capture.send("client", 1 + len(hello), 8)

    report = verdict(tap=capture)

    assert (report.verdict, ids(report)) == ("not-mtu", {"certificate-invalid": "likely"})
    assert "certificate_expired" in report.sentence


def test_a_server_that_acknowledges_and_falls_silent_hangs(wire, verdict, talk, on_the_wire):
    import ssl  # noqa: PLC0415

    flights = list(talk(ssl.TLSVersion.TLSv1_2).flights())[:3]
    capture = on_the_wire(wire().handshake(), flights)
    capture.wait(9)
    capture.frames += wire(client_port=50_000, now_s=capture.now_s).handshake().frames

    report = verdict(tap=capture)

    assert ids(report) == {"server-hang": "likely"}
    assert "stays silent for 9 s" in report.sentence


def test_one_packet_that_a_filter_swallows_is_plain_loss_and_only_possible(wire, verdict):
    capture = wire().handshake().send("client", 1, 1, ACK, 1448).send("server", 1, 1449)
    capture.send("client", 1449, 1, ACK, 1448)
    for _ in range(3):
        capture.wait(0.4).send("client", 1449, 1, ACK, 1448)

    report = verdict(tap=capture)

    assert (report.verdict, ids(report)) == ("unknown", {"plain-loss": "possible"})


# -- two points ----------------------------------------------------------------------------------


def at_two_points(wire, *, syn=1460, syn_ack=1460, offset_s=0.0, drops_between=True):
    """Write the field story as the LAN and the WAN side of a gateway see it."""
    lan, wan = wire(), wire(now_s=1_700_000_000.0 + offset_s + 0.000_2)

    def both(action, *, wan_mss=None, lan_mss=None, reaches=True):
        for side, mss in ((lan, lan_mss), (wan, wan_mss)):
            if side is wan and not reaches:
                side.now_s = lan.now_s + offset_s
                continue
            action(side, mss)
            if side is wan:
                side.now_s = lan.now_s + offset_s

    both(lambda s, m: s.send("client", 0, 0, SYN, mss=m), lan_mss=1460, wan_mss=syn)
    both(
        lambda s, m: s.wait(0.02).send("server", 0, 1, SYN | ACK, mss=m),
        lan_mss=syn_ack,
        wan_mss=1460,
    )
    both(lambda s, _: s.wait(0.001).send("client", 1, 1, ACK, 188))
    both(lambda s, _: s.wait(0.02).send("server", 1, 189, ACK, 900))
    both(lambda s, _: s.send("client", 189, 901, ACK, 1448), reaches=not drops_between)
    both(lambda s, _: s.send("client", 1637, 901, ACK, 476))
    both(lambda s, _: s.wait(0.03).send("server", 901, 189, sack=((1637, 2113),)))
    for _ in range(3):
        lan.wait(0.4).send("client", 189, 901, ACK, 1448)
        wan.wait(0.4)
        if not drops_between:
            wan.send("client", 189, 901, ACK, 1448)
    both(lambda s, _: s.wait(0.1).send("server", 901, 189, sack=((1637, 2113),)))
    return lan, wan


def with_hops(wire, hops):
    """Return the wire as seen some routers further on: a smaller time to live upwards."""
    frames = []
    for when, frame, length in wire.frames:
        changed = bytearray(frame)
        client = frame[26:30] == bytes([10, 20, 0, 10])
        changed[22] -= hops if client else -hops
        frames.append((when, bytes(changed), length))
    wire.frames = frames
    return wire


def test_a_clamp_on_the_syn_only_is_confirmed_by_two_points(wire, verdict):
    lan, wan = at_two_points(wire, syn=1452)

    report = verdict(wan=with_hops(wan, 1), lan=lan)

    assert report.verdict == "fault"
    assert ids(report)["clamp-one-direction"] == "confirmed"
    assert "they die between lan and wan" in report.sentence
    point = report.points[0]
    assert (point.near, point.far, point.ordered_by) == ("lan", "wan", "ttl")
    assert [(c.kind, c.sent_bytes, c.arrived_bytes) for c in point.changes] == [("syn", 1460, 1452)]


def test_a_clamp_that_writes_too_much_is_confirmed_by_two_points(wire, verdict):
    lan, wan = at_two_points(wire, syn_ack=1455, drops_between=False)

    report = verdict(lan=lan, wan=with_hops(wan, 1))

    assert ids(report)["clamp-too-high"] == "confirmed"
    assert "they pass wan, so they die behind it" in report.sentence


@pytest.mark.parametrize("offset_s", [0.0, 0.75, -125.0])
def test_the_clocks_of_two_points_are_compared_by_the_handshakes_they_share(
    wire, verdict, offset_s
):
    lan, wan = at_two_points(wire, offset_s=offset_s)

    report = verdict(lan=lan, wan=with_hops(wan, 1))

    assert report.points[0].clock_offset_s == pytest.approx(offset_s, abs=0.01)


def test_without_routers_between_the_longer_round_trip_tells_the_point_near_the_client(
    wire, verdict
):
    near, far = healthy(wire()), healthy(wire())
    near.frames = [(when + (0.01 if n else 0), f, w) for n, (when, f, w) in enumerate(near.frames)]

    report = verdict(far=far, near=near)

    assert (report.points[0].near, report.points[0].ordered_by) == ("near", "round-trip")


def test_nat_between_two_points_does_not_part_a_connection(wire, verdict):
    inside = healthy(wire())
    outside = healthy(wire(client="198.51.100.7", client_port=61_001))

    report = verdict(inside=inside, outside=with_hops(outside, 0))

    assert len(report.connections) == 1
    assert set(report.connections[0].captures) == {"inside", "outside"}


def test_captures_of_different_traffic_are_not_matched(wire, verdict):
    report = verdict(one=healthy(wire()), two=healthy(wire(client_isn=5, client="10.9.9.9")))

    assert (report.points, len(report.connections)) == ((), 2)


def test_an_mss_that_a_snaplen_cut_is_unknown_and_not_rewritten(wire, verdict):
    whole, cut = healthy(wire()), healthy(wire())
    cut.frames = [(when, frame[:54], length) for when, frame, length in cut.frames]

    assert verdict(whole=whole, cut=cut).points[0].changes == ()
