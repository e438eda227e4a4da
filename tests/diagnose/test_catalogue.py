"""The rarer findings of the catalogue: each with evidence as it is documented."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose import diagnose_site
from mtughost.diagnose.evidence import FarEnd
from mtughost.diagnose.version_order import at_least
from mtughost.model.basis import Known, Source
from mtughost.model.clamps import ClampSemantics
from mtughost.model.device import Identity, Interface, Neighbour
from mtughost.model.evidence import IcmpTooBigSeen, ProbeStep, RadiusSeen

GATEWAY, AP = "s001-gw1", "s001-ap1"


def known(value, host=GATEWAY):
    return Known(value, Source(host=host, basis="real program", command="show"))


def with_facts(evidence, host, **facts):
    return evidence.with_facts(
        replace(evidence.facts_of(host), **{k: known(v, host) for k, v in facts.items()})
    )


def told(evidence, finding_id):
    """Return the grade of one finding, or "ruled out", or nothing."""
    site = diagnose_site(evidence)
    grades = {f.id: f.grade for f in site.findings}
    out = {r.id: "ruled out" for r in site.ruled_out}
    return {**out, **grades}.get(finding_id)


def summary(evidence, finding_id):
    return next(f.summary for f in diagnose_site(evidence).findings if f.id == finding_id)


# --- M07, M09, M10: clamps that do not mean what they say ------------------------------------


def test_an_mtu_in_the_place_of_an_mss_is_recognised_by_its_figure(b):
    typed = b.World(rules=b.both_ways(to=1492), wan_mtu=1492).stalled_down().evidence()
    high = b.World(rules=b.both_ways(to=1456), wan_mtu=1492).stalled_down().evidence()

    assert told(typed, "clamp-field-misread") == "likely"
    assert "1452 would fit" in summary(typed, "clamp-field-misread")
    assert told(typed, "clamp-too-high") == "confirmed"
    assert told(high, "clamp-field-misread") is None


def test_an_mss_in_a_field_that_means_an_mtu_only_wastes(b):
    evidence = b.World(rules=b.both_ways(to=1412), connected=True).evidence()

    assert told(evidence, "clamp-field-misread") == "possible"
    assert diagnose_site(evidence).verdict == "ok"


BOTH_WAYS = ClampSemantics(
    kind="tcp-mss",
    until="7.6.1",
    rewrites=("syn", "syn-ack"),
    families=("ipv4",),
    field="mss",
    source="the vendor's note",
)
ONE_WAY = replace(BOTH_WAYS, since="7.6.1", until="", rewrites=("syn",))


def firmware(b, version, *, kind="tcp-mss", meanings=(BOTH_WAYS, ONE_WAY), **more):
    """A platform whose newer release clamps only the SYN, as its dialect then reads it."""
    action = b.ClampTo(value_bytes=1452, kind=kind)
    syn = replace(b.clamp("policy 3", oif="wan0", to=1452, packets=9), action=action)
    world = b.World(rules=(syn,), **more)
    world = world if more.get("connected") else world.stalled_up(syn=1452)
    return with_facts(
        world.evidence(),
        GATEWAY,
        identity=Identity(hostname="gw", os_name="OS", os_version=version),
        clamp_semantics=meanings,
    )


def test_a_release_that_clamps_less_is_named_with_its_version(b):
    evidence = firmware(b, "v7.6.3")

    assert told(evidence, "clamp-semantics-changed") == "likely"
    assert told(evidence, "clamp-one-direction") == "confirmed"
    words = summary(evidence, "clamp-semantics-changed")
    assert "since version 7.6.1" in words
    assert "before it rewrote SYN and SYN-ACK" in words


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "v7.4.2"},
        {"version": ""},
        {"version": "v7.6.3", "kind": "another clamp"},
        {"version": "v7.6.3", "meanings": (ONE_WAY,)},
        {"version": "v7.6.3", "meanings": (replace(BOTH_WAYS, rewrites=("syn",)), ONE_WAY)},
    ],
)
def test_without_a_change_that_explains_the_hole_no_release_is_blamed(b, changed):
    assert told(firmware(b, **changed), "clamp-semantics-changed") is None


@pytest.mark.parametrize(
    ("version", "bound", "expected"),
    [
        ("7.0.10", "7.0.2", True),
        ("7.0.1", "7.0.1", True),
        ("v7.0", "7.0.1", False),
        ("7.0.1", "v7.0", True),
        ("15.2(4)M3", "15.2(4)M2", True),
        ("12", "7.6", True),
        ("", "1", False),
        ("unknown", "1", False),
    ],
)
def test_versions_are_ordered_as_vendors_count(version, bound, expected):
    assert at_least(version, bound) is expected


def test_a_clamp_that_counts_and_changes_nothing_is_inert(b):
    world = b.World(rules=b.both_ways(to=1452)).stalled_down(syn=1460, syn_ack=1460)
    dead = b.World(rules=tuple(replace(r, packets=0) for r in b.both_ways(to=1452))).stalled_down(
        syn=1460, syn_ack=1460
    )

    assert told(world.evidence(), "clamp-unsupported") == "likely"
    assert told(dead.evidence(), "clamp-unsupported") is None
    assert told(dead.evidence(), "clamp-not-effective") == "confirmed"


def test_a_platform_that_cannot_clamp_is_known_from_its_book(b):
    inert = (replace(BOTH_WAYS, until="", rewrites=()),)
    assert told(firmware(b, "12.2", meanings=inert), "clamp-unsupported") == "possible"
    assert told(firmware(b, "12.2", meanings=inert, kind="x"), "clamp-unsupported") is None


# --- M17, M27, M30: beyond our devices -----------------------------------------------------


def ptb(b, *, again=True, smaller=None):
    world = b.World(lan_mtu=1492, wan_mtu=1500)
    message = IcmpTooBigSeen(
        reporter="100.64.1.2",
        to=world.server,
        next_hop_mtu_bytes=1492,
        quoted_source=world.server,
        quoted_destination="100.64.1.2",
        quoted_bytes=1500,
        family="ipv4",
        frame=4,
    )
    flow = world.flow(
        wan=True,
        largest_acked_up_bytes=294,
        stalled_down_bytes=1500 if again else None,
        retransmits_down=4 if again else 0,
        resent_smaller_down_bytes=smaller,
        lost_down_frame=8,
    )
    wan = world.capture("gateway-wan", syn=1460, syn_ack=1460, flows=(flow,), too_big=(message,))
    return world.but(captures=(wan,)).evidence()


def test_a_cloud_that_is_told_and_goes_on_was_not_reached(b):
    assert told(ptb(b), "ptb-misdelivered") == "likely"
    assert told(ptb(b, again=False), "ptb-misdelivered") is None
    assert told(ptb(b, again=False, smaller=(1500, 1492)), "ptb-misdelivered") == "ruled out"


def offered(b, mss, elsewhere):
    world = b.World(connected=True, wan_mtu=1500)
    evidence = world.but(captures=(world.capture("gateway-wan", syn=1460, syn_ack=mss),)).evidence()
    far = FarEnd(site="s002", server=world.server, port=2083, family="ipv4", mss_bytes=elsewhere)
    return replace(evidence, far_ends=(far,))


def test_a_far_end_that_offers_less_here_than_elsewhere_may_be_rewritten(b):
    assert told(offered(b, 1400, 1460), "mss-rewritten-upstream") == "possible"
    assert told(offered(b, 1400, 1400), "mss-rewritten-upstream") == "ruled out"
    strange = replace(offered(b, 1400, 1460), far_ends=())
    assert told(strange, "mss-rewritten-upstream") is None


def hello(b, outcome, *, single="reply", **more):
    world = b.World(wan_mtu=1500, **more)
    probe = world.probe((352, "reply"), (1500, single))
    large = ProbeStep(hello_bytes=1800, packet_bytes=1852, segments=2, outcome=outcome)
    return world.but(probes=(replace(probe, steps=(*probe.steps, large)),)).evidence()


def test_a_hello_of_two_packets_that_dies_alone_is_dropped_as_such(b):
    assert told(hello(b, "timeout"), "large-hello-dropped") == "likely"
    assert told(hello(b, "reply"), "large-hello-dropped") == "ruled out"
    assert told(hello(b, "timeout", single="timeout"), "large-hello-dropped") is None
    assert told(hello(b, "timeout", single="refused"), "large-hello-dropped") is None
    assert told(hello(b, "refused"), "large-hello-dropped") is None
    assert told(hello(b, "timeout", connected=True), "large-hello-dropped") == "possible"


@pytest.mark.parametrize(
    ("seen", "grade"),
    [
        # The AP's own hello needs two packets and is not answered: two witnesses.
        ({"client_hello_bytes": 1600}, "confirmed"),
        # It fits one packet, so this is not what ails the AP.
        ({"client_hello_bytes": 500}, "possible"),
        ({"client_hello_bytes": 1600, "tls_stage": "client-flight"}, "possible"),
        # The record's own header and the packets that were seen count, too.
        ({"client_hello_bytes": 1456}, "confirmed"),
        ({"client_hello_bytes": 1455}, "possible"),
        ({"client_hello_bytes": 1100, "largest_seen_up_bytes": 1100}, "confirmed"),
        ({"client_hello_bytes": 1055, "largest_seen_up_bytes": 1100}, "possible"),
        # The probe's own connections are no second witness.
        ({"client_hello_bytes": 1795}, "likely"),
        ({"client_hello_bytes": 295}, "likely"),
        ({"client_hello_bytes": None}, "likely"),
    ],
)
def test_the_aps_own_hello_says_whether_it_is_concerned(b, seen, grade):
    evidence = hello(b, "timeout")
    world = b.World()
    flow = world.flow(**{"tls_stage": "client-hello", "syn_ack_mss_bytes": 1460} | seen)
    ap = world.capture("ap", syn=1460, syn_ack=1460, flows=(flow,))

    assert told(replace(evidence, captures=(ap,)), "large-hello-dropped") == grade


def hello_in_pieces(b):
    """The first packet of a hello is lost each time, and a single packet of that size never is."""
    world = b.World()
    lost = world.flow(
        smallest_lost_up_bytes=1500,
        stalled_up_bytes=1500,
        retransmits_up=5,
        largest_acked_up_bytes=464,
        client_hello_bytes=1600,
        syn_ack_mss_bytes=1460,
        tls_stage="client-hello",
    )
    fine = world.flow(client_port=40001, largest_acked_up_bytes=1500)
    captures = (world.capture("ap", syn_ack=1460, flows=(lost, fine)),)
    return replace(hello(b, "timeout"), captures=captures)


def test_a_hello_in_pieces_that_nobody_reads_is_no_plain_loss(b):
    both = hello_in_pieces(b)

    assert told(both, "plain-loss") == "ruled out"
    assert told(both, "large-hello-dropped") == "confirmed"
    assert told(replace(both, probes=()), "plain-loss") == "likely"


# --- M22, M23, M24: layers and directions --------------------------------------------------


def segment(b, *, far_sees=False, ap_mtu=9000):
    """The AP sends jumbo frames that the gateway's port drops in silence."""
    world = b.World(ap_mtu=ap_mtu)
    size = ap_mtu
    near = world.flow(
        stalled_up_bytes=size,
        smallest_lost_up_bytes=size,
        retransmits_up=5,
        largest_acked_up_bytes=294,
        largest_seen_up_bytes=size,
    )
    far = world.flow(
        smallest_lost_up_bytes=1500,
        retransmits_up=0,
        largest_acked_up_bytes=294,
        largest_seen_up_bytes=294,
    )
    if far_sees:
        far = replace(near)
    ap = world.capture("ap", syn=world.own_mss, syn_ack=1460, flows=(near,))
    lan = world.capture("gateway-lan", syn=world.own_mss, syn_ack=1460, flows=(far,))
    return world.but(captures=(ap, lan)).evidence()


def test_what_leaves_the_ap_and_never_arrives_is_lost_on_the_segment(b):
    assert told(segment(b), "l2-mtu-mismatch") == "confirmed"
    assert "9000 on s001-ap1, 1500 on s001-gw1" in summary(segment(b), "l2-mtu-mismatch")
    assert told(segment(b, far_sees=True), "l2-mtu-mismatch") == "ruled out"
    assert told(segment(b, ap_mtu=1500), "l2-mtu-mismatch") == "likely"


def test_what_is_lost_on_the_segment_is_blamed_on_nothing_further_on(b):
    """The packets never came near the clamp, the WAN or whoever drops fragments."""
    world = b.World(rules=b.both_ways(), sends_df=False)
    lost, small = 1492, 294
    near = world.flow(
        stalled_up_bytes=lost,
        smallest_lost_up_bytes=lost,
        retransmits_up=6,
        largest_acked_up_bytes=small,
        largest_seen_up_bytes=lost,
    )
    far = world.flow(
        largest_acked_up_bytes=small, largest_seen_up_bytes=small, smallest_lost_up_bytes=lost
    )
    at_ap = world.capture("ap", syn=1460, syn_ack=1452, flows=(near,))
    at_lan = world.capture("gateway-lan", syn=1460, syn_ack=1452, flows=(far,))
    passed = world.capture("gateway-lan", syn=1460, syn_ack=1452, flows=(near,))

    def sure(*captures):
        findings = diagnose_site(world.but(captures=captures).evidence()).findings
        return [f.id for f in findings if f.grade in {"confirmed", "likely"}]

    assert sure(at_ap, at_lan) == ["l2-mtu-mismatch"]
    out = {r.id for r in diagnose_site(world.but(captures=(at_ap, at_lan)).evidence()).ruled_out}
    assert {"isp-path-mtu-low", "fragments-dropped"} <= out
    # The same packets at the gateway's LAN side, and the loss lies beyond.
    assert "l2-mtu-mismatch" not in sure(at_ap, passed)
    assert "isp-path-mtu-low" in sure(at_ap, passed)


def sent_again(b, **ends):
    """TLS 1.3 answers in one packet: the access point then sees no gap, it sees nothing."""
    world = b.World(rules=b.both_ways())
    near = world.flow(tls_stage="client-hello", largest_acked_up_bytes=331, **ends)
    sent = world.flow(
        tls_stage="server-flight",
        largest_acked_up_bytes=331,
        stalled_down_bytes=1397,
        largest_seen_down_bytes=1397,
        retransmits_down=4,
    )
    ap = world.capture("ap", syn=1460, syn_ack=1452, flows=(near,))
    lan = world.capture("gateway-lan", syn_ack=1452, flows=(sent,))
    return world.but(captures=(ap,)), world.but(captures=(ap, lan))


@pytest.mark.parametrize(
    "ends", [{"closed": True}, {"reset_by": "client"}, {"silent_s": 4.0}, {"silent_s": 0.2}]
)
def test_an_answer_that_leaves_the_gateway_again_and_again_is_not_the_servers_silence(b, ends):
    alone, both = sent_again(b, **ends)

    settled = ends != {"silent_s": 0.2}
    assert told(alone.evidence(), "server-hang") == ("likely" if settled else None)
    assert told(both.evidence(), "server-hang") == ("ruled out" if settled else None)
    assert told(both.evidence(), "l2-mtu-mismatch") == ("likely" if settled else None)


def test_an_answer_that_arrives_is_not_lost_on_the_segment_though_it_was_sent_again(b):
    world = b.World(rules=b.both_ways())
    sent = {"stalled_down_bytes": 1397, "largest_seen_down_bytes": 1397, "retransmits_down": 4}
    near = world.flow(closed=True, **sent)
    late = world.flow(closed=True, mid_stream=True)
    lan = world.capture("gateway-lan", syn_ack=1452, flows=(world.flow(**sent),))

    for seen in (near, late):
        ap = world.capture("ap", syn=1460, syn_ack=1452, flows=(seen,))
        assert told(world.but(captures=(ap, lan)).evidence(), "l2-mtu-mismatch") is None


@pytest.mark.parametrize(
    ("size", "passed", "grade"), [(1300, None, "likely"), (900, None, None), (900, 294, "likely")]
)
def test_content_that_never_crosses_at_any_size_is_no_matter_of_the_segments_mtu(
    b, size, passed, grade
):
    world = b.World(rules=b.both_ways())
    near = world.flow(stalled_up_bytes=size, retransmits_up=5, largest_seen_up_bytes=size)
    far = world.flow(closed=True, largest_seen_up_bytes=passed)
    captures = (
        world.capture("ap", syn=1460, syn_ack=1452, flows=(near,)),
        world.capture("gateway-lan", syn=1460, syn_ack=1452, flows=(far,)),
    )

    assert told(world.but(captures=captures).evidence(), "l2-mtu-mismatch") == grade


@pytest.mark.parametrize(
    ("sent", "grade"),
    [
        ({"retransmits_up": 2, "stalled_up_bytes": 1400}, "likely"),
        # Sent again once, it may just be late; without a size nothing was sent again.
        ({"retransmits_up": 1, "stalled_up_bytes": 1400}, None),
        ({"retransmits_up": 5, "stalled_up_bytes": None}, None),
        # What was acknowledged in the end was not lost.
        ({"retransmits_up": 2, "stalled_up_bytes": 1400, "application_down": True}, None),
    ],
)
def test_once_sent_again_is_not_again_and_again(b, sent, grade):
    world = b.World(rules=b.both_ways())
    near = world.flow(**{"tls_stage": "established", "largest_seen_up_bytes": 1400} | sent)
    far = world.flow(closed=True, largest_seen_up_bytes=294)
    captures = (
        world.capture("ap", syn=1460, syn_ack=1452, flows=(near,)),
        world.capture("gateway-lan", syn=1460, syn_ack=1452, flows=(far,)),
    )

    assert told(world.but(captures=captures).evidence(), "l2-mtu-mismatch") == grade


def test_another_connection_at_the_other_end_says_nothing(b):
    world = b.World(rules=b.both_ways())
    near = world.flow(retransmits_up=5, stalled_up_bytes=1400, largest_seen_up_bytes=1400)
    other = world.flow(client_port=40001, closed=True, largest_seen_up_bytes=294)
    captures = (
        world.capture("ap", syn=1460, syn_ack=1452, flows=(near,)),
        world.capture("gateway-lan", syn=1460, syn_ack=1452, flows=(other,)),
    )

    assert told(world.but(captures=captures).evidence(), "l2-mtu-mismatch") is None


def test_the_gateways_lan_side_alone_tells_what_never_crossed(b):
    world = b.World(rules=b.both_ways())
    gap = world.flow(largest_acked_up_bytes=294, smallest_lost_up_bytes=1492)
    back = world.flow(stalled_down_bytes=1492, smallest_lost_down_bytes=1492, retransmits_down=3)

    def judged(*flows, **more):
        capture = world.capture("gateway-lan", syn=1460, syn_ack=1452, flows=flows)
        return told(world.but(captures=(capture,), **more).evidence(), "l2-mtu-mismatch")

    assert judged(gap) == judged(back) == "likely"
    assert judged(gap, unread=((AP, "cloud"),)) == "possible"
    assert judged(replace(gap, mid_stream=True)) is None
    assert judged(replace(back, smallest_lost_down_bytes=None)) is None


def test_a_deaf_access_point_is_not_blamed_for_packets_that_no_router_saw(b):
    quiet = b.rule("drop", text="drop too big", action="drop")
    world = b.World(sends_df=True, ap_rules=(b.chain(quiet, hook="input"),))
    lost = {"stalled_up_bytes": 1500, "smallest_lost_up_bytes": 1500, "retransmits_up": 6}
    near = world.flow(largest_acked_up_bytes=294, largest_seen_up_bytes=1500, **lost)
    far = world.flow(largest_seen_up_bytes=294, smallest_lost_up_bytes=1500)
    ap = world.capture("ap", syn=1460, syn_ack=1460, flows=(near,))
    lan = world.capture("gateway-lan", syn=1460, syn_ack=1460, flows=(far,))

    assert told(world.but(captures=(ap,)).evidence(), "icmp-ignored") == "likely"
    assert told(world.but(captures=(ap, lan)).evidence(), "icmp-ignored") is None
    assert told(world.but(captures=(ap,)).evidence(), "icmp-not-sent") == "likely"
    assert told(world.but(captures=(ap, lan)).evidence(), "icmp-not-sent") is None


def test_a_bridge_whose_ports_are_all_smaller_is_suspicious(b):
    def bridge(mtu, **more):
        port = Interface(name="p1", mtu_bytes=mtu, kind="ethernet", master="vlan20")
        return b.World(extra_interfaces=(port,), rules=b.both_ways(), **more).evidence()

    assert told(bridge(1480), "l2-mtu-mismatch") == "possible"
    assert told(bridge(1500), "l2-mtu-mismatch") is None
    assert told(bridge(1480, connected=True), "l2-mtu-mismatch") is None


def pppoe(b, parent_mtu, *, lost=None, kind="ppp", **more):
    world = b.World(
        wan_mtu=1500,
        wan_kind=kind,
        extra_interfaces=(Interface(name="eth9", mtu_bytes=parent_mtu, kind="ethernet"),),
        **more,
    )
    if lost:
        world = world.but(probes=(world.probe((1492, "reply"), (lost, "timeout")),))
    evidence = world.evidence()
    links = tuple(
        replace(link, parent="eth9") if link.name == "wan0" else link
        for link in evidence.facts_of(GATEWAY).interfaces.value
    )
    return with_facts(evidence, GATEWAY, interfaces=links)


def test_ppp_of_1500_over_1500_is_half_done(b):
    assert told(pppoe(b, 1500, lost=1493), "pppoe-mtu-half-done") == "confirmed"
    assert told(pppoe(b, 1500), "pppoe-mtu-half-done") == "likely"
    assert told(pppoe(b, 1500, connected=True), "pppoe-mtu-half-done") == "possible"
    assert "needs 1508 below it, but eth9 has 1500" in summary(
        pppoe(b, 1500), "pppoe-mtu-half-done"
    )


def test_ppp_of_1500_over_baby_jumbo_frames_is_well(b):
    assert told(pppoe(b, 1508), "pppoe-mtu-half-done") == "ruled out"
    assert told(pppoe(b, 1500, kind="ethernet"), "pppoe-mtu-half-done") is None


def test_without_a_parent_only_a_ceiling_that_fits_makes_it_likely(b):
    world = b.World(wan_mtu=1500, wan_kind="ppp")
    tight = world.but(probes=(world.probe((1492, "reply"), (1493, "timeout")),))
    far = world.but(probes=(world.probe((1400, "reply"), (1401, "timeout")),), failure="none")

    assert told(tight.evidence(), "pppoe-mtu-half-done") == "likely"
    assert told(far.evidence(), "pppoe-mtu-half-done") is None
    assert told(world.but(connected=True).evidence(), "pppoe-mtu-half-done") is None


def one_way(b, *, down_lost=1500, up_acked=1500, df=True, fragments=0):
    world = b.World(wan_mtu=1500)
    flow = world.flow(
        largest_acked_up_bytes=up_acked,
        smallest_lost_down_bytes=down_lost,
        stalled_down_bytes=down_lost,
        df_up=df,
        tls_stage="client-hello",
    )
    ap = world.capture("ap", syn=1460, syn_ack=1460, flows=(flow,), fragments_up=fragments)
    return world.but(captures=(ap,)).evidence()


def test_a_size_that_passes_one_way_only_is_an_asymmetric_path(b):
    assert told(one_way(b), "path-mtu-asymmetric") == "likely"
    assert told(one_way(b, up_acked=600), "path-mtu-asymmetric") is None
    # What may have travelled in fragments did not travel whole.
    assert told(one_way(b, df=False), "path-mtu-asymmetric") is None


def test_a_reply_that_never_reaches_a_fitting_wan_is_lost_beyond_it(b):
    world = b.World(wan_mtu=1492, rules=b.both_ways())
    gap = world.flow(smallest_lost_down_bytes=1492, largest_acked_down_bytes=900)
    outside = world.capture("gateway-wan", syn=1452, syn_ack=1460, flows=(gap,))
    inside = world.capture("ap", syn=1460, syn_ack=1452, flows=(gap,))

    assert told(world.but(captures=(outside, inside)).evidence(), "isp-path-mtu-low") == "likely"
    # Seen at the AP alone it may as well be lost between the gateway and the AP.
    assert told(world.but(captures=(inside,)).evidence(), "isp-path-mtu-low") is None
    # What our own narrow link cannot take is no news about the ISP.
    unclamped = world.but(rules=(), captures=(outside, inside)).evidence()
    assert told(unclamped, "isp-path-mtu-low") is None


@pytest.mark.parametrize(
    ("again", "blamed"),
    [
        # They leave our WAN side again and again: they are lost beyond it.
        ({"retransmits_up": 4, "stalled_up_bytes": 1500}, {"isp-path-mtu-low": "likely"}),
        # They never come by: whatever swallows them stands before it.
        ({}, {}),
    ],
)
def test_what_never_leaves_our_wan_is_not_lost_beyond_it(b, again, blamed):
    world = b.World(wan_mtu=1500, rules=b.both_ways(), sends_df=True)
    flow = world.flow(
        wan=True, smallest_lost_up_bytes=1500, largest_acked_up_bytes=294, df_up=True, **again
    )
    wan = world.capture("gateway-wan", syn=1460, syn_ack=1460, flows=(flow,))
    site = diagnose_site(world.but(captures=(wan,)).evidence())
    beyond = {f.id: f.grade for f in site.findings if f.owner == "isp"}
    out = {r.id for r in site.ruled_out}

    assert {k: v for k, v in beyond.items() if k == "isp-path-mtu-low"} == blamed
    assert ("icmp-lost-upstream" in beyond) is bool(blamed)
    assert ({"isp-path-mtu-low", "icmp-lost-upstream"} <= out) is not bool(blamed)


def test_an_upload_that_our_own_link_explains_is_no_news_about_the_path(b):
    world = b.World(wan_mtu=1492)
    flow = world.flow(
        smallest_lost_up_bytes=1500,
        stalled_up_bytes=1500,
        retransmits_up=4,
        largest_acked_up_bytes=294,
        largest_acked_down_bytes=1500,
        df_up=True,
    )
    capture = world.capture("ap", syn=1460, syn_ack=1460, flows=(flow,))

    assert told(world.but(captures=(capture,)).evidence(), "path-mtu-asymmetric") == "possible"


# --- M31: until the next reboot ------------------------------------------------------------


def repaired(b, saved, **more):
    world = b.World(**{"rules": b.both_ways(), "connected": True, **more})
    return with_facts(world.evidence(), GATEWAY, saved_clamps=saved)


def test_a_clamp_that_is_not_saved_will_be_gone(b):
    chain_only = b.ruleset(b.chain())
    evidence = repaired(b, chain_only)

    assert told(evidence, "fix-not-persisted") == "likely"
    assert diagnose_site(evidence).verdict == "latent"
    assert "after a reboot the hole is back" in summary(evidence, "fix-not-persisted")


def test_a_file_without_the_clamps_own_chain_may_not_be_what_boots(b):
    evidence = repaired(b, b.ruleset(b.chain(table="inet other")))

    assert told(evidence, "fix-not-persisted") == "possible"
    assert diagnose_site(evidence).verdict == "ok"


def test_a_saved_file_of_iptables_names_no_kernel_interface(b):
    file = b.ruleset(b.chain(table="inet clamp (legacy)"))

    assert told(repaired(b, file), "fix-not-persisted") == "likely"


def test_a_file_whose_other_rules_run_is_what_boots(b):
    nat = b.chain(*b.both_ways(to=1300), table="inet other", name="elsewhere", hook="output")
    evidence = repaired(b, b.ruleset(nat))
    running = evidence.facts_of(GATEWAY).clamps.value
    both = with_facts(evidence, GATEWAY, clamps=b.ruleset(*running.chains, nat))

    assert told(evidence, "fix-not-persisted") == "possible"
    assert told(both, "fix-not-persisted") == "likely"


def test_a_saved_clamp_is_a_kept_one(b):
    assert told(repaired(b, b.ruleset(*b.both_ways())), "fix-not-persisted") == "ruled out"


@pytest.mark.parametrize("saved", [None, ("a line that nobody understood",)])
def test_saved_rules_that_are_not_known_prove_nothing(b, saved):
    world = b.World(rules=b.both_ways(), connected=True).evidence()
    if saved is not None:
        world = with_facts(world, GATEWAY, saved_clamps=b.ruleset(b.chain(), notes=saved))

    assert told(world, "fix-not-persisted") is None


def test_where_discovery_works_a_lost_clamp_will_not_be_missed(b):
    evidence = repaired(b, b.ruleset(b.chain()), learned=1492)

    assert told(evidence, "fix-not-persisted") == "ruled out"
    assert diagnose_site(evidence).verdict == "ok"


def test_without_a_hole_to_come_back_nothing_is_missing(b):
    assert told(repaired(b, b.ruleset(b.chain()), wan_mtu=1500), "fix-not-persisted") == "ruled out"


# --- N5, N9 --------------------------------------------------------------------------------


def untrusted(b, words, **more):
    world = b.World(failure="certificate-untrusted", words=words, rules=b.both_ways(), **more)
    return world.evidence()


def test_the_name_of_an_inspecting_product_in_a_certificate_is_telling(b):
    words = "verify error: self-signed certificate in chain: /O=Fortinet/CN=FortiGate CA"

    assert told(untrusted(b, words), "tls-inspection") == "likely"
    # Beside a sure cause, what nobody can tell is not told.
    assert told(untrusted(b, "unable to get local issuer certificate"), "tls-inspection") is None
    assert told(untrusted(b, words, connected=True), "tls-inspection") is None


MAC, OTHER = "02:00:5e:10:00:0a", "02:00:5e:10:00:99"


def arp(b, mac, *, address=None, host=GATEWAY, **more):
    world = b.World(**more)
    evidence = world.evidence()
    links = tuple(
        replace(link, mac=MAC if link.name == "eth0" else "")
        for link in evidence.facts_of(AP).interfaces.value
    )
    evidence = with_facts(evidence, AP, interfaces=links)
    entry = Neighbour(address=address or world.client, mac=mac, interface="vlan20", line=1)
    return with_facts(evidence, host, neighbours=(entry,))


def test_another_hardware_address_for_the_aps_address_is_another_device(b):
    assert told(arp(b, OTHER), "duplicate-address") == "likely"
    assert OTHER in summary(arp(b, OTHER), "duplicate-address")
    assert told(arp(b, MAC), "duplicate-address") == "ruled out"
    assert told(arp(b, OTHER, address="10.20.0.77"), "duplicate-address") is None
    assert told(arp(b, OTHER, connected=True), "duplicate-address") == "possible"


def test_a_virtual_address_of_a_router_pair_is_shared_on_purpose(b):
    evidence = arp(b, "00:00:5e:00:01:14")

    assert told(evidence, "duplicate-address") is None


def answered_outside(b, *, inside=False, rules=(), tries=3):
    world = b.World(failure="connect-timeout", rules=rules)
    lan = world.capture("gateway-lan", syns=(world.syn(1460, point="gateway-lan"),) * tries)
    if inside:
        answer = world.syn(1460, point="gateway-lan", kind="syn-ack")
        lan = replace(lan, syns=(*lan.syns, answer))
    wan = world.capture("gateway-wan", syn=1460, syn_ack=1460)
    return world.but(captures=(lan, wan)).evidence()


def test_an_answer_that_stops_at_our_own_gateway_is_our_own_firewall(b):
    assert told(answered_outside(b), "asymmetric-state") == "likely"
    assert told(answered_outside(b, inside=True), "asymmetric-state") == "ruled out"
    assert told(answered_outside(b, tries=1), "asymmetric-state") is None
    drop = b.rule("t forward handle 9", iif="wan0", action="drop")
    assert told(answered_outside(b, rules=(drop,)), "asymmetric-state") == "confirmed"
    assert diagnose_site(answered_outside(b)).verdict == "not-mtu"


# --- M19, M20, M21: RADIUS and CAPWAP ------------------------------------------------------


def radius(b, *, point="gateway-wan", **seen):
    base = {"client": "10.20.0.10", "server": "198.51.100.9", "port": 1812, "repeats": 4}
    counts = {"requests": 3, "answered": 2, "fragmented": 2, "unanswered_fragmented": 1}
    flow = RadiusSeen(**{**base, **counts, **seen})
    world = b.World(failure="radius-timeout", words="no reply", rules=b.both_ways())
    return world.but(captures=(world.capture(point, radius=(flow,)),))


def test_fragmented_requests_that_nobody_answers_are_lost_fragments(b):
    assert told(radius(b).evidence(), "radius-fragments-dropped") == "likely"
    assert told(radius(b, unanswered_fragmented=0).evidence(), "radius-fragments-dropped") == (
        "ruled out"
    )
    # A server that answers nothing at all is dead, whatever the size.
    assert told(radius(b, unanswered_whole=2).evidence(), "radius-fragments-dropped") is None
    two = radius(b).but(captures=(*radius(b).captures, *radius(b, point="gateway-lan").captures))
    assert told(two.evidence(), "radius-fragments-dropped") == "confirmed"


@pytest.mark.parametrize(
    ("seen", "grade"),
    [
        ({"missing_fragments": (7,)}, "confirmed"),
        ({"answered": 0}, "possible"),
        ({"answered": 0, "missing_fragments": (7,)}, "likely"),
        ({"client": "10.20.0.77", "point": "gateway-lan"}, None),
        ({"client": "100.64.1.2"}, "likely"),
    ],
)
def test_a_fragment_whose_rest_never_comes_is_a_witness_of_its_own(b, seen, grade):
    assert told(radius(b, **seen).evidence(), "radius-fragments-dropped") == grade


def test_requests_that_are_whole_inside_and_torn_outside_are_lost_by_the_gateway(b):
    inside, outside = radius(b, point="gateway-lan"), radius(b, missing_fragments=(7,))

    def owner(*worlds):
        captures = tuple(c for w in worlds for c in w.captures)
        findings = diagnose_site(radius(b).but(captures=captures).evidence()).findings
        return next(f.owner for f in findings if f.id == "radius-fragments-dropped")

    assert owner(inside, outside) == "gateway"
    assert owner(outside) == "isp"
    assert owner(inside, radius(b)) == "isp"
    torn = radius(b, point="gateway-lan", missing_fragments=(7,))
    assert owner(torn, outside) == "isp"


def test_clients_that_cannot_log_in_are_a_fault_though_the_service_itself_works(b):
    sick = radius(b).but(connected=True, learned=1492)

    assert diagnose_site(sick.evidence()).verdict == "fault"
    assert diagnose_site(sick.but(captures=()).evidence()).verdict == "ok"


@pytest.mark.parametrize(
    ("finding_id", "words", "test"),
    [
        ("radius-fragments-dropped", "RADIUS server not responding", "UDP ports 1812"),
        ("capwap-path", "CAPWAP data keep-alive lost", "show capwap client rcb"),
    ],
)
def test_what_nobody_collects_is_unknown_and_names_its_test(b, finding_id, words, test):
    world = b.World(failure="unclassified", words=words, rules=b.both_ways())

    assert told(world.evidence(), finding_id) == "unknown"
    assert test in summary(world.evidence(), finding_id)
    assert told(world.but(connected=True).evidence(), finding_id) is None
    assert told(world.but(words="something else").evidence(), finding_id) is None


def test_a_healthy_radsec_session_with_unanswered_radius_points_behind_the_proxy(b):
    world = b.World(failure="unclassified", words="no reply from home server", rules=b.both_ways())
    up = world.but(sessions=(world.session(1440, 1492),))

    assert told(up.evidence(), "radsec-proxy-leg") == "unknown"
    assert "behind the RADsec proxy" in summary(up.evidence(), "radsec-proxy-leg")
    assert told(world.evidence(), "radsec-proxy-leg") is None
