"""What counts as this flow's packets, and what their sizes, timers and MSS options say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose.coverage import prove
from mtughost.diagnose.wire import Seen


def wire(world):
    return prove(world.evidence())[0].wire


@pytest.mark.parametrize(
    ("hello", "segments"), [(1448, 1), (1449, 2), (2896, 2), (2897, 3), (9000, 7)]
)
def test_a_hello_is_cut_into_what_the_syn_ack_allows_less_timestamps(b, hello, segments):
    """A packet of 1500 bytes holds 1448 of content: 40 are headers and 12 timestamps."""
    world = b.World()
    step = replace(
        world.probe((1500, "reply")).steps[0], hello_bytes=hello, packet_bytes=hello + 52
    )
    probe = replace(world.probe(), steps=(step,))
    seen = world.but(probes=(probe,), captures=(world.capture("ap", syn=1460, syn_ack=1460),))

    assert wire(seen).probes[0].steps[0].segments == segments


def test_a_probe_that_counted_its_own_packets_is_believed(b):
    world = b.World()
    step = replace(world.probe((1500, "reply")).steps[0], hello_bytes=5000, segments=9)
    probe = replace(world.probe(), steps=(replace(step, packet_bytes=5052),))
    seen = world.but(probes=(probe,), captures=(world.capture("ap", syn=1460, syn_ack=1460),))

    assert wire(seen).probes[0].steps[0].segments == 9


@pytest.mark.parametrize(
    ("steps", "bracket"),
    [
        (((569, "reply"), (1500, "timeout")), (569, 1500)),
        (((569, "alert"), (1492, "reply"), (1493, "timeout"), (1500, "timeout")), (1492, 1493)),
        (((569, "timeout"), (1500, "timeout")), None),
        (((569, "reply"), (1500, "reset")), None),
        (((1500, "reply"), (1500, "timeout")), None),
    ],
)
def test_a_bracket_needs_an_answered_size_and_a_larger_lost_one(b, steps, bracket):
    world = b.World()

    assert wire(world.but(probes=(world.probe(*steps),))).probe_bracket == bracket


def test_two_probes_make_one_bracket(b):
    world = b.World()
    probes = (
        world.probe((569, "reply"), (1500, "timeout")),
        world.probe((1400, "reply"), (1480, "timeout")),
    )

    assert wire(world.but(probes=probes)).probe_bracket == (1400, 1480)
    late = (*probes, world.probe((1490, "reply")))
    assert wire(world.but(probes=late)).probe_bracket is None


@pytest.mark.parametrize(
    ("timer", "stuck"),
    [
        ({"backoff": 2}, True),
        ({"retransmits_now": 2}, True),
        ({"backoff": 1, "retransmits_now": 1}, False),
        ({"backoff": 2, "unacked_segments": 0}, False),
    ],
)
def test_a_timer_that_doubled_twice_is_stuck_not_slow(b, timer, stuck):
    world = b.World()
    session = world.session(**{"unacked_segments": 3, "acked_bytes": 600} | timer)
    alone = replace(session, unacked_segments=min(1, session.unacked_segments), acked_bytes=1)

    assert bool(wire(world.but(sessions=(session,))).stuck_sessions) is stuck
    assert bool(wire(world.but(sessions=(alone,))).stuck_small_sessions) is stuck


@pytest.mark.parametrize(("acked", "large", "small"), [(None, 0, 1), (1, 0, 1), (2, 0, 0)])
def test_one_lone_segment_is_small_until_something_was_acknowledged(b, acked, large, small):
    world = b.World()
    session = world.session(unacked_segments=1, backoff=3, acked_bytes=acked)
    seen = wire(world.but(sessions=(session,)))

    assert (len(seen.stuck_sessions), len(seen.stuck_small_sessions)) == (large, small)
    opening = wire(world.but(sessions=(replace(session, state="SYN-SENT"),)))
    assert opening.stuck_small_sessions == ()


@pytest.mark.parametrize(
    ("session", "mss"),
    [
        # 1448 is sent and 1448 advertised of 1460: timestamps take 12, so 1460 was offered.
        ({"mss": 1448, "pmtu": 1500, "adv": 1448}, 1460),
        ({"mss": 1388, "pmtu": 1500, "adv": 1448}, 1400),
        ({"mss": 1400, "pmtu": 1500, "adv": 1460}, 1400),
        # At the kernel's own limit more may have been offered,
        ({"mss": 1440, "pmtu": 1492, "adv": 1448}, None),
        ({"mss": 1439, "pmtu": 1492, "adv": 1448}, 1451),
        # with other options in the header nobody can tell,
        ({"mss": 1400, "pmtu": 1500, "adv": 1440}, None),
        ({"mss": None, "pmtu": 1500, "adv": 1448}, None),
        ({"mss": 1388, "pmtu": 1500, "adv": None}, None),
        # and before the answer there is nothing to tell.
        ({"mss": 524, "pmtu": 1500, "adv": 1448, "state": "SYN-SENT"}, None),
    ],
)
def test_a_live_session_tells_the_offered_mss_where_it_is_unambiguous(b, session, mss):
    world = b.World()

    assert wire(world.but(sessions=(world.session(**session),))).session_syn_ack == mss


def test_of_several_sessions_the_largest_offer_counts(b):
    world = b.World()
    sessions = (world.session(1388, 1500), world.session(1400, 1500), world.session(1300, 1500))

    assert wire(world.but(sessions=sessions)).session_syn_ack == 1412


def test_sessions_to_others_are_not_this_flows(b):
    world = b.World()
    other = replace(world.session(1388, 1500), peer="198.51.100.1")
    port = replace(world.session(1388, 1500), peer_port=443)

    assert wire(world.but(sessions=(other, port))).sessions == ()


@pytest.mark.parametrize(
    ("family", "mtu", "size", "believed"),
    [
        ("ipv4", 576, 1500, True),
        ("ipv4", 575, 1500, False),
        ("ipv4", 1500, 1500, False),
        ("ipv4", 1499, 1500, True),
        ("ipv6", 1280, 1500, True),
        ("ipv6", 1279, 1500, False),
    ],
)
def test_icmp_is_believed_between_the_least_mtu_and_the_size_it_quotes(
    b, family, mtu, size, believed
):
    world = b.World(family=family)
    seen = world.capture("ap", too_big=(world.too_big(mtu, size=size),))

    assert bool(wire(world.but(captures=(seen,))).too_big) is believed


def test_icmp_about_another_family_or_another_service_is_not_about_this_flow(b):
    world = b.World()
    message = world.too_big(1492)
    others = (
        replace(message, family="ipv6"),
        replace(message, quoted_destination="198.51.100.1"),
    )
    seen = wire(world.but(captures=(world.capture("ap", too_big=others),)))

    assert (seen.too_big, seen.too_big_down) == ((), ())


def test_behind_nat_the_clients_port_tells_whose_packets_they_are(b):
    """Other VLANs share the WAN's address."""
    world = b.World()
    near = world.capture("ap", syn=1460, flows=(world.flow(),))
    mine, other = world.flow(wan=True), world.flow(wan=True, client_port=50000)
    syn = world.syn(1452, point="gateway-wan")
    far = world.capture(
        "gateway-wan",
        syns=(syn, replace(syn, source_port=50000, mss_bytes=1300)),
        flows=(mine, other),
    )

    seen = wire(world.but(captures=(near, far)))
    assert [s.flow.client_port for s in seen.flows] == [40000, 40000]
    assert seen.syn.wan == 1452
    alone = wire(world.but(captures=(far,)))
    assert {s.flow.client_port for s in alone.flows} == {40000, 50000}


def test_syns_are_counted_where_most_were_seen(b):
    world = b.World()
    near = world.capture("ap", syns=(world.syn(1460),) * 2)
    far = world.capture("gateway-wan", syns=(world.syn(1460, point="gateway-wan"),) * 3)
    answer = world.capture("gateway-lan", syn_ack=1460)

    seen = wire(world.but(captures=(near, far, answer)))
    assert (seen.syns_sent, seen.syn_acks) == (3, 1)
    assert seen.syn_ack_points == {"gateway-lan"}
    assert wire(world).syns_sent == 0


def test_sizes_are_the_smallest_that_was_lost_and_the_largest_that_came(b):
    world = b.World()
    flows = (
        world.flow(smallest_lost_up_bytes=1500, largest_acked_up_bytes=300),
        world.flow(
            smallest_lost_up_bytes=1480,
            largest_acked_up_bytes=600,
            smallest_lost_down_bytes=1490,
            largest_acked_down_bytes=700,
        ),
        world.flow(smallest_lost_down_bytes=1400, largest_acked_down_bytes=500),
    )
    outside = world.flow(wan=True, smallest_lost_down_bytes=900, largest_acked_down_bytes=1500)
    seen = wire(
        world.but(
            captures=(
                world.capture("ap", flows=flows),
                world.capture("gateway-wan", flows=(outside,)),
            )
        )
    )

    assert (seen.lost_up_bytes, seen.acked_up_bytes) == (1480, 600)
    # What arrives at the WAN side has not crossed our gateway yet.
    assert (seen.lost_down_bytes, seen.acked_down_bytes) == (1400, 700)
    assert seen.size_selective_up


def test_a_size_that_was_lost_and_delivered_decides_nothing(b):
    world = b.World()
    flow = world.flow(smallest_lost_up_bytes=1500, largest_acked_up_bytes=1500)

    assert not wire(world.but(captures=(world.capture("ap", flows=(flow,)),))).size_selective_up


def test_a_stall_is_quoted_by_the_frame_of_its_own_direction(b):
    world = b.World()
    flow = world.flow(frames=(9, 10), lost_up_frame=21, lost_down_frame=33)
    seen = Seen(world.capture("ap"), flow)

    assert [seen.cite("stall", "x", way).frame for way in ("up", "down", None)] == [21, 33, 9]
    bare = Seen(world.capture("ap"), world.flow(frames=()))
    assert bare.cite("stall", "x", "up").frame is None
    assert seen.cite("stall", "x", "up").kind == "stall"
