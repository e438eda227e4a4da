"""Whole sites: the catalogue's measured scenarios, both stories, and what must not be a finding."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose import diagnose_site
from mtughost.model.basis import Known, Source
from mtughost.model.device import Interface, PushFailure, Route
from mtughost.model.findings import FINDING_IDS, HostStatus

STALL = {"1.2": "handshake-stall", "1.3": "no-reply-after-handshake"}


def report(world):
    return diagnose_site(world.evidence())


def sure(site):
    return {f.id: f.grade for f in site.findings if f.grade in {"confirmed", "likely"}}


def scenarios(b, failure):
    """The catalogue's lab table: what the AP sees, per scenario."""
    w = b.World(failure=failure)
    ok = w.but(connected=True, failure="none")
    shadowed = (
        b.rule("inet clamp forward handle 3", iif="wan0"),
        b.rule("inet clamp forward handle 4", oif="wan0"),
        *b.both_ways(),
    )
    return {
        "00 control": ok.but(learned=1492, sessions=(w.session(1440, 1492),)),
        "01 no clamp": w.stalled_down(),
        "02 clamp egress only": w.but(rules=(b.clamp(oif="wan0"),)).stalled_up(syn=1452),
        "03 clamp ingress only": w.but(rules=(b.clamp(iif="wan0"),)).stalled_down(syn_ack=1452),
        "04 clamp both": ok.but(rules=b.both_ways(to=1452)),
        "05 clamp too high": w.but(rules=b.both_ways(to=1460)).stalled_down(),
        "06 clamp for other VLAN": w.but(rules=b.other_vlan()).stalled_down(),
        "07 clamp shadowed": w.but(rules=shadowed).stalled_down(),
        "09 fragments pass": ok.but(sends_df=False).but(
            captures=(w.capture("gateway-wan", fragments_up=8),)
        ),
        "10 fragments dropped": w.but(sends_df=False).stalled_up(fragments=16),
        "11 AP ignores ICMP": w.stalled_up(too_big=(w.too_big(1492),) * 2),
        "12 AP MTU 1492": ok.but(ap_mtu=1492),
        "13 VLAN MTU only": w.but(lan_mtu=1492).stalled_up(),
        "15 far end 1400": ok.but(captures=(w.capture("ap", syn=1460, syn_ack=1400),)),
        "16 expired certificate": w.but(
            rules=b.both_ways(to=1452),
            failure="certificate-expired",
            words="certificate has expired",
        ),
        "17 port blocked": w.but(
            failure="connect-timeout", captures=(w.capture("ap", syns=(w.syn(1460),) * 3),)
        ),
        "18 payload dropped": w.but(
            captures=(
                w.capture(
                    "ap",
                    syn=1460,
                    syn_ack=1460,
                    flows=(
                        w.flow(
                            syn_mss_bytes=1460,
                            syn_ack_mss_bytes=1460,
                            stalled_up_bytes=294,
                            retransmits_up=6,
                            tls_stage="client-hello",
                        ),
                    ),
                ),
            )
        ),
    }


EXPECTED = {
    "00 control": ("ok", {}),
    "01 no clamp": ("fault", {"clamp-missing": "confirmed"}),
    "02 clamp egress only": ("fault", {"clamp-one-direction": "confirmed"}),
    "03 clamp ingress only": ("fault", {"clamp-one-direction": "confirmed"}),
    "04 clamp both": ("ok", {}),
    "05 clamp too high": ("fault", {"clamp-too-high": "confirmed"}),
    "06 clamp for other VLAN": ("fault", {"clamp-scope": "confirmed"}),
    "07 clamp shadowed": ("fault", {"clamp-not-effective": "confirmed"}),
    "09 fragments pass": ("latent", {"clamp-missing": "confirmed"}),
    "10 fragments dropped": (
        "fault",
        {"clamp-missing": "confirmed", "fragments-dropped": "confirmed"},
    ),
    "11 AP ignores ICMP": ("fault", {"icmp-ignored": "confirmed"}),
    "12 AP MTU 1492": ("ok", {}),
    "13 VLAN MTU only": (
        "fault",
        {"clamp-missing": "confirmed", "vlan-mtu-not-learned": "confirmed"},
    ),
    "15 far end 1400": ("latent", {"clamp-missing": "likely"}),
    "16 expired certificate": ("not-mtu", {"certificate-invalid": "likely"}),
    "17 port blocked": ("not-mtu", {"no-syn-ack": "confirmed"}),
    "18 payload dropped": ("not-mtu", {"payload-dropped": "confirmed"}),
}


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("name", EXPECTED)
def test_every_measured_scenario_gets_its_verdict_and_its_findings(b, name, tls):
    verdict, findings = EXPECTED[name]

    site = report(scenarios(b, STALL[tls])[name])

    found = sure(site)
    found.pop("icmp-not-sent", None)  # may hold beside a hole where DF is set and nobody is told
    assert (site.verdict, found) == (verdict, findings)


def test_the_first_story_is_told_whole(b):
    world = b.World(rules=b.other_vlan(), sends_df=False).stalled_up(fragments=20)
    site = report(world)

    scope, fragments = site.findings
    assert (site.verdict, scope.id, scope.grade, scope.owner) == (
        "fault",
        "clamp-scope",
        "confirmed",
        "gateway",
    )
    for words in (
        "rule inet clamp forward handle 8",
        "matches vlan30 only",
        "not vlan20",
        "(0 packets)",
        "SYN-ACK reaches s001-ap1 with MSS 1460 (seen)",
        "MSS 1452 will work",
    ):
        assert words in scope.summary
    assert (scope.fix.change, scope.fix.host, scope.fix.value_bytes) == (
        "clamp-scope",
        "s001-gw1",
        1452,
    )
    assert {e.kind for e in scope.evidence} >= {"clamp-rule", "interface-mtu", "syn-mss", "stall"}
    assert (fragments.id, fragments.grade, fragments.owner) == (
        "fragments-dropped",
        "confirmed",
        "isp",
    )
    assert "20 seen" in fragments.summary


def test_a_managed_gateway_is_the_providers_business(b):
    world = b.World(rules=b.other_vlan(), managed_by="provider-controller").stalled_up()

    assert report(world).findings[0].owner == "provider"


def test_the_first_story_without_any_packets_is_likely_and_asks_for_a_capture(b):
    site = report(b.World(rules=b.other_vlan(), sends_df=False))

    assert sure(site) == {"clamp-scope": "likely"}
    assert site.verdict == "fault"
    assert (site.next_test.kind, site.next_test.host) == ("capture", "s001-ap1")


def test_a_stuck_session_of_the_ap_confirms_without_a_capture(b):
    world = b.World(rules=b.other_vlan(), sends_df=False)
    stuck = world.session(unacked_segments=3, backoff=3, retransmits_now=3)
    site = report(world.but(sessions=(stuck,)))

    assert sure(site)["clamp-scope"] == "confirmed"
    assert "MSS 1460 (seen)" in site.findings[0].summary


def test_a_probe_bracket_confirms_without_a_capture(b):
    world = b.World(rules=b.other_vlan())
    site = report(world.but(probes=(world.probe((569, "reply"), (1500, "timeout")),)))

    assert sure(site)["clamp-scope"] == "confirmed"


def story2(b, **more):
    drop = b.chain(
        b.rule(
            "inet filter input handle 4",
            action="drop",
            protocols=frozenset({"icmp"}),
            icmp_types=frozenset({"destination-unreachable"}),
        ),
        hook="input",
        name="input",
        priority=0,
    )
    world = b.World(
        wan_mtu=1446, wan_kind="tunnel", specific_route=True, role="appliance", ap_rules=(drop,)
    )
    return world.but(**more)


def test_the_second_story_is_the_hosts_fault(b):
    world = story2(b)
    site = report(world.stalled_up(too_big=(world.too_big(1446),) * 4))

    ignored = next(f for f in site.findings if f.id == "icmp-ignored")
    assert (site.verdict, ignored.grade, ignored.owner) == ("fault", "confirmed", "host")
    assert "inet filter input handle 4" in ignored.summary
    assert (ignored.fix.change, ignored.fix.host, ignored.fix.value_bytes) == (
        "host-mtu",
        "s001-ap1",
        1440,
    )
    assert {e.kind for e in ignored.evidence} >= {"icmp", "icmp-rule", "stall"}
    overhead = next(f for f in site.findings if f.id == "tunnel-overhead")
    assert (overhead.grade, overhead.fix.value_bytes) == ("possible", 1406)


def test_a_rule_that_drops_icmp_is_likely_with_a_stall_and_only_possible_without(b):
    assert sure(report(story2(b)))["icmp-ignored"] == "likely"
    quiet = report(story2(b, failure="unclassified", words="?"))
    assert {f.id: f.grade for f in quiet.findings}["icmp-ignored"] == "possible"


def test_icmp_seen_at_the_gateway_only_is_likely(b):
    world = b.World().stalled_up()
    lan = world.capture("gateway-lan", too_big=(world.too_big(1492),))
    site = report(world.but(captures=(*world.captures, lan)))

    assert sure(site)["icmp-ignored"] == "likely"


def test_a_session_that_believes_in_a_larger_path_keeps_its_size(b):
    world = b.World()
    told = world.capture("ap", too_big=(world.too_big(1492),))
    stuck = world.session(unacked_segments=3, backoff=3)
    site = report(world.but(captures=(told,), sessions=(stuck,)))

    assert sure(site)["icmp-ignored"] == "confirmed"


def test_a_tunnel_without_a_clamp_is_its_own_finding(b):
    world = b.World(wan_mtu=1446, wan_kind="tunnel", specific_route=True).stalled_up()

    assert set(sure(report(world))) == {"tunnel-overhead", "icmp-not-sent"}
    assert report(world).findings[0].fix.value_bytes == 1406


def test_a_narrow_route_to_somewhere_is_taken_for_a_tunnel_whatever_it_is_called(b):
    world = b.World(wan_mtu=1446, wan_kind="veth", specific_route=True).stalled_up()

    assert "tunnel-overhead" in sure(report(world))


def test_a_clamped_tunnel_is_well(b):
    world = story2(b, rules=b.both_ways(), connected=True)

    assert report(world).verdict == "ok"
    assert not sure(report(world))


@pytest.mark.parametrize("learned", [{"learned": 1492}, {"sessions": True}, {"captures": True}])
def test_working_icmp_is_well_whatever_shows_it(b, learned):
    world = b.World(connected=True)
    if "sessions" in learned:
        learned = {"sessions": (world.session(1440, 1492),)}
    if "captures" in learned:
        flow = world.flow(
            tls_stage="established",
            application_up=True,
            application_down=True,
            largest_acked_up_bytes=1492,
            resent_smaller_up_bytes=(1500, 1492),
        )
        learned = {"captures": (world.capture("ap", flows=(flow,)),)}
    site = report(world.but(**learned))

    assert site.verdict == "ok"
    assert site.findings == ()
    assert any(r.id == "clamp-missing" for r in site.ruled_out)


def test_a_far_end_that_allows_fragments_is_noted_where_icmp_works(b):
    world = b.World(connected=True, learned=1492)
    site = report(world.but(captures=(world.capture("gateway-wan", fragments_down=4),)))

    assert site.verdict == "ok"
    assert "allows fragments" in site.notes[0]


def test_a_working_site_without_a_reason_is_unknown_not_ok(b):
    site = report(b.World(connected=True))

    assert site.verdict == "unknown"
    assert site.next_test.kind == "capture"
    assert not sure(site)


def test_a_learned_mtu_of_a_host_that_clears_df_is_somebodys_ping(b):
    site = report(b.World(connected=True, sends_df=False, learned=1492))

    assert site.verdict == "latent"


def test_a_clamp_for_the_reply_only_with_fragments_coming_down_is_luck(b):
    world = b.World(connected=True, rules=(b.clamp(iif="wan0"),))
    lucky = world.but(captures=(world.capture("gateway-wan", fragments_down=6),))

    assert report(world).verdict == "unknown"
    assert report(lucky).verdict == "latent"
    assert sure(report(lucky)) == {"clamp-one-direction": "likely"}


def test_a_device_that_takes_its_vendors_login_is_named_and_changes_no_verdict(b):
    evidence = b.World(rules=b.both_ways()).evidence()
    first, *others = evidence.facts
    shipped = replace(evidence, facts=(replace(first, login_by_default=True), *others))

    before, after = diagnose_site(evidence), diagnose_site(shipped)

    (note,) = set(after.notes) - set(before.notes)
    assert note.startswith(f"{first.host} lets the account in that its vendor ships")
    assert (after.verdict, after.findings) == (before.verdict, before.findings)


def test_a_latent_site_says_why_it_works(b):
    world = b.World(connected=True)
    site = report(world.but(sessions=(world.session(1388, 1500),)))

    assert site.verdict == "latent"
    assert sure(site) == {"clamp-missing": "likely"}
    clear = world.but(sessions=(world.session(1388, 1500),), sends_df=False)
    assert sure(report(clear)) == {"clamp-missing": "confirmed"}
    assert "MSS 1400" in site.notes[0]
    assert "it works today because" in site.findings[0].summary


def test_a_stall_with_full_coverage_is_unknown_and_says_what_would_settle_it(b):
    site = report(b.World(rules=b.both_ways()))

    assert site.verdict == "unknown"
    (finding,) = site.findings
    assert (finding.id, finding.grade) == ("clamp-missing", "unknown")
    assert "Capture" in finding.summary


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ({"silent_s": 2.0}, {"server-hang": "likely"}),
        ({"closed": True}, {"server-hang": "likely"}),
        # The capture ended a moment after the client's last packet: the answer may be on its way.
        ({"silent_s": 1.9}, {}),
        # The service did answer, and it was the client that went no further.
        ({"tls_stage": "server-flight", "closed": True}, {}),
        ({"tls_stage": "server-flight", "silent_s": 2.0}, {"server-hang": "likely"}),
    ],
)
def test_silence_that_lasts_after_everything_was_acknowledged_is_the_servers(b, ends, said):
    world = b.World(rules=b.both_ways())
    seen = {"largest_acked_up_bytes": 1492, "syn_mss_bytes": 1452, "syn_ack_mss_bytes": 1452}
    flow = world.flow(**{"tls_stage": "client-flight"} | seen | ends)
    site = report(world.but(captures=(world.capture("ap", syn=1452, syn_ack=1452, flows=(flow,)),)))

    assert (site.verdict, sure(site)) == ("not-mtu" if said else "unknown", said)


def test_silence_is_not_the_servers_where_its_packets_may_be_lost(b):
    world = b.World()
    flow = world.flow(
        largest_acked_up_bytes=294,
        tls_stage="client-hello",
        syn_mss_bytes=1460,
        syn_ack_mss_bytes=1460,
    )
    site = report(world.but(captures=(world.capture("ap", syn=1460, syn_ack=1460, flows=(flow,)),)))

    assert sure(site) == {"clamp-missing": "likely"}


def test_loss_of_a_size_that_also_got_through_is_plain_loss(b):
    world = b.World()
    lost = world.flow(smallest_lost_up_bytes=1400, retransmits_up=3, largest_acked_up_bytes=600)
    fine = world.flow(largest_acked_up_bytes=1492, client_port=40001)
    site = report(world.but(captures=(world.capture("ap", syn_ack=1460, flows=(lost, fine)),)))

    assert site.verdict == "not-mtu"
    assert sure(site) == {"plain-loss": "likely"}


def test_a_lone_small_segment_that_is_stuck_hints_at_dropped_content(b):
    world = b.World(rules=b.both_ways())
    stuck = world.session(1440, 1492, adv=1448, unacked_segments=1, backoff=4)
    site = report(world.but(sessions=(stuck,)))

    assert sure(site) == {"payload-dropped": "likely"}


@pytest.mark.parametrize(
    ("failure", "expected", "owner"),
    [
        ("name-lookup", "dns-failure", "gateway"),
        ("connect-timeout", "no-syn-ack", "isp"),
        ("connection-refused", "no-syn-ack", "cloud"),
        ("certificate-untrusted", "certificate-invalid", "cloud"),
        ("certificate-not-yet-valid", "clock-skew", "ap"),
        ("credential-rejected", "credential-rejected", "cloud"),
    ],
)
def test_the_aps_own_words_point_to_other_causes(b, failure, expected, owner):
    site = report(b.World(failure=failure, words="in its words", rules=b.both_ways()))

    assert site.verdict == "not-mtu"
    finding = site.findings[0]
    assert (finding.id, finding.owner, finding.grade) == (expected, owner, "likely")


def test_an_alert_about_our_certificate_is_the_aps_business(b):
    world = b.World(
        failure="tls-alert", words="sslv3 alert certificate expired", rules=b.both_ways()
    )
    flow = world.flow(
        tls_stage="alert", tls_alert="certificate_expired", largest_acked_up_bytes=1492
    )
    site = report(world.but(captures=(world.capture("ap", syn_ack=1452, flows=(flow,)),)))

    assert (site.findings[0].id, site.findings[0].grade, site.findings[0].owner) == (
        "certificate-invalid",
        "confirmed",
        "ap",
    )


def test_an_alert_on_the_wire_is_enough_for_likely(b):
    world = b.World(failure="unclassified", words="?", rules=b.both_ways())
    flow = world.flow(tls_stage="alert", tls_alert="unknown_ca")
    site = report(world.but(captures=(world.capture("ap", syn_ack=1452, flows=(flow,)),)))

    assert sure(site) == {"certificate-invalid": "likely"}


@pytest.mark.parametrize(
    ("device", "grade"),
    [
        ("2024-01-01T00:00:00Z", "confirmed"),
        ("2027-01-01 00:00:00", "confirmed"),
        ("2026-11-21T12:00:05Z", None),
        ("nonsense", "likely"),
    ],
)
def test_a_wrong_clock_is_told_from_a_bad_certificate(b, device, grade):
    world = b.World(
        failure="certificate-not-yet-valid",
        words="not yet valid",
        rules=b.both_ways(),
        clock=(device, "2026-11-21T12:00:00Z"),
    )

    assert sure(report(world)).get("clock-skew") == grade


def test_a_name_that_does_not_resolve_is_confirmed_by_a_silent_wire(b):
    world = b.World(failure="name-lookup", rules=b.both_ways())
    site = report(world.but(captures=(world.capture("ap"),)))

    assert sure(site) == {"dns-failure": "confirmed"}


def test_a_gateway_that_drops_the_syn_itself_is_named(b):
    deny = b.chain(
        b.rule("inet filter forward handle 9", action="drop", destination_ports=2083),
        priority=0,
        name="filter",
        table="inet filter",
    )
    site = report(b.World(failure="connect-timeout", rules=(deny, *b.both_ways())))

    finding = site.findings[0]
    assert (finding.id, finding.grade, finding.owner) == ("no-syn-ack", "confirmed", "gateway")
    assert "inet filter forward handle 9" in finding.summary


def test_where_the_syn_disappears_decides_who_must_act(b):
    world = b.World(failure="connect-timeout", rules=b.both_ways())
    tries = (world.syn(1460),) * 3
    inside = world.capture("ap", syns=tries)
    outside = world.capture("gateway-wan", syn=1452)
    silent = world.capture("gateway-wan")

    leaves = report(world.but(captures=(inside, outside))).findings[0]
    stays = report(world.but(captures=(inside, silent))).findings[0]

    assert (leaves.owner, stays.owner) == ("isp", "gateway")
    assert "leaves wan0" in leaves.summary


def test_sockets_and_probes_are_witnesses_of_a_missing_answer(b):
    world = b.World(failure="unclassified", words="?", rules=b.both_ways())
    waiting = world.session(state="SYN-SENT", unacked_segments=1, backoff=3)
    refused = world.probe((569, "unreachable"))

    assert sure(report(world.but(sessions=(waiting,)))) == {"no-syn-ack": "likely"}
    both = world.but(sessions=(waiting,), probes=(refused,))
    assert sure(report(both)) == {"no-syn-ack": "confirmed"}


def test_the_log_speaks_where_the_state_is_vague(b):
    log = (
        PushFailure(failure="none", text="fine"),
        PushFailure(failure="handshake-stall", text="SSL connection timeout", line=41),
        PushFailure(failure="connect-timeout", text="other", service="portal"),
    )
    vague = b.World(failure="unclassified", words="failed", push_log=log, rules=b.other_vlan())
    silent = vague.but(unread=(("s001-ap1", "cloud"),))

    assert sure(report(vague)) == {"clamp-scope": "likely"}
    assert report(vague).findings[0].evidence[-1].line == 41
    assert report(silent).verdict == "unknown", "an old failure is no present one"


def test_ipv6_without_its_clamp_is_a_family_matter(b):
    v4 = frozenset({"ipv4"})
    world = b.World(family="ipv6", rules=b.both_ways(families=v4)).stalled_up(
        syn=1440, syn_ack=1440
    )
    site = report(world)

    assert sure(site)["clamp-one-family"] == "confirmed"
    assert site.findings[0].fix.value_bytes == 1432


def test_a_clamp_for_another_way_out_is_told_from_a_wrong_vlan(b):
    gone = b.World(rules=(b.clamp(oif="ppp0"),)).stalled_up()
    other = b.World(
        rules=(b.clamp(oif="lte0"), b.clamp(iif="lte0")),
        extra_interfaces=(Interface(name="lte0", mtu_bytes=1500),),
        extra_routes=(Route(destination="default", family="ipv4", interface="lte0", metric=9),),
    ).stalled_up()

    for world in (gone, other):
        assert sure(report(world))["clamp-wrong-egress"] == "confirmed"


def test_a_wan_of_the_inventory_is_another_way_out_although_no_route_leads_there_now(b):
    lte = Interface(name="lte0", mtu_bytes=1500)
    rules = (b.clamp(oif="lte0"), b.clamp(iif="lte0"))
    named = b.World(rules=rules, extra_interfaces=(lte,), wan_hint=("wan0", "lte0")).stalled_up()
    strange = b.World(rules=rules, extra_interfaces=(lte,)).stalled_up()

    assert "clamp-wrong-egress" in sure(report(named))
    assert "clamp-wrong-egress" not in sure(report(strange))


def test_a_standby_path_without_a_clamp_is_latent_when_df_is_clear(b):
    world = b.World(
        wan_mtu=1500,
        connected=True,
        sends_df=False,
        extra_interfaces=(Interface(name="lte0", mtu_bytes=1428),),
        extra_routes=(Route(destination="default", family="ipv4", interface="lte0", metric=9),),
    )

    site = report(world)
    assert (site.verdict, sure(site)) == ("latent", {"failover-path-smaller": "likely"})
    assert site.findings[0].fix.value_bytes == 1388
    careful = report(world.but(sends_df=True))
    assert (careful.verdict, sure(careful)) == ("ok", {})


def test_packets_alone_cannot_tell_a_missing_clamp_from_a_dead_one(b):
    world = b.World(gateway_read=False)
    world = world.but(
        captures=(world.capture("ap", syn=1460, syn_ack=1460),),
        probes=(world.probe((1492, "reply"), (1493, "timeout")),),
        failed=(
            HostStatus(
                host="s001-gw1",
                site="s001",
                role="gateway",
                status="failed",
                error="refused the credential",
                error_kind="auth-refused",
            ),
        ),
    )
    site = report(world)

    assert site.verdict == "fault"
    assert sure(site) == {"clamp-missing": "likely"}
    assert "no clamp takes effect" in site.findings[0].summary
    assert (site.next_test.kind, site.next_test.host) == ("login", "s001-gw1")
    assert site.findings[0].fix.host == ""


def gap_alone(b, **seen):
    """From the access point alone: the tail of the service's flight, and nothing of its head."""
    world = b.World(gateway_read=False, sends_df=False)
    base = {"smallest_lost_down_bytes": 1500, "largest_acked_down_bytes": 745}
    flow = world.flow(
        **{"tls_stage": "client-hello", "largest_acked_up_bytes": 294, "syn_ack_mss_bytes": 1380}
        | base
        | seen
    )
    return world.but(captures=(world.capture("ap", syn=1460, syn_ack=1380, flows=(flow,)),))


def test_a_gap_in_the_services_flight_is_a_hole_whoever_is_to_blame(b):
    site = report(gap_alone(b))

    assert (site.verdict, sure(site)) == ("fault", {"clamp-missing": "likely"})
    words = next(f.summary for f in site.findings if f.id == "clamp-missing")
    assert "packets of up to 1500 bytes from radsec are lost" in words
    assert "the way back is narrower" in words
    assert site.next_test.kind == "service-probe"


@pytest.mark.parametrize(
    "seen",
    [
        {"largest_acked_down_bytes": 1500},
        {"largest_acked_down_bytes": None},
        {"smallest_lost_down_bytes": None},
        {"tls_stage": "established", "application_down": True},
    ],
)
def test_a_gap_says_nothing_about_sizes_without_something_smaller_that_came(b, seen):
    assert "clamp-missing" not in sure(report(gap_alone(b, **seen)))


def test_a_narrow_hop_at_the_isp_is_found_by_size(b):
    world = b.World(wan_mtu=1500, sends_df=True)
    world = world.but(
        probes=(world.probe((1492, "reply"), (1493, "timeout")),),
        captures=(
            world.capture(
                "gateway-wan",
                syn=1460,
                syn_ack=1460,
                flows=(world.flow(wan=True, largest_seen_up_bytes=1493),),
            ),
        ),
    )
    found = sure(report(world))

    assert found["isp-path-mtu-low"] == "confirmed"
    assert found["icmp-lost-upstream"] == "likely"
    assert found["clamp-missing"] == "confirmed"


def test_a_loss_that_only_the_access_point_saw_may_be_in_front_of_the_gateway(b):
    """A switch port that drops large frames looks the same from there (catalogue M22, M26)."""
    world = b.World(rules=b.both_ways(), sends_df=True)
    world = world.but(probes=(world.probe((1400, "reply"), (1401, "timeout")),))
    at_gateway = world.capture("gateway-lan", flows=(world.flow(largest_seen_up_bytes=1401),))
    pings = tuple(
        world.ping(size, answered=size == 1400, host=world.names.gateway) for size in (1400, 1401)
    )

    for seen, grade in (
        (world, "likely"),
        (world.but(captures=(world.capture("gateway-lan", flows=(world.flow(),)),)), "likely"),
        (world.but(captures=(at_gateway,)), "confirmed"),
        (world.but(pings=pings), "confirmed"),
        (world.but(pings=pings[1:]), "likely"),
    ):
        found = sure(report(seen))
        assert (found["clamp-too-high"], found["isp-path-mtu-low"]) == (grade, grade)


def test_icmp_that_stops_at_nat_is_seen_with_two_points(b):
    world = b.World(wan_mtu=1500)
    wan = world.capture("gateway-wan", too_big=(world.too_big(1492),))
    site = report(world.stalled_up().but(captures=(*world.stalled_up().captures, wan)))

    assert sure(site)["icmp-lost-at-nat"] == "likely"


def test_a_gateway_that_drops_its_own_icmp_is_named(b):
    quiet = b.chain(
        b.rule("inet filter output handle 2", action="drop", protocols=frozenset({"icmp"})),
        hook="output",
        name="output",
        priority=0,
    )
    seen = report(b.World(rules=(quiet,)).stalled_up())
    unseen = report(b.World(rules=(quiet,)))

    assert sure(seen)["icmp-not-sent"] == "confirmed"
    assert sure(unseen)["icmp-not-sent"] == "likely"


@pytest.mark.parametrize(
    ("hook", "side", "name", "grade"),
    [
        ("input", "iif", "eth0", "likely"),
        ("input", "iif", "eth1", None),
        ("prerouting", "iif", "eth0", "likely"),
        ("output", "oif", "vlan20", "likely"),
        ("output", "oif", "wan0", None),
        ("postrouting", "oif", "vlan20", "likely"),
    ],
)
def test_a_rule_drops_icmp_where_it_stands_on_the_messages_way(b, hook, side, name, grade):
    """Into the access point by its own port, out of the gateway towards its VLAN."""
    drop = b.rule("drop 1", action="drop", protocols=frozenset({"icmp"}), **{side: name})
    rules = (b.chain(drop, hook=hook, name=hook, priority=0),)
    at_ap = side == "iif"
    site = report(b.World(ap_rules=rules) if at_ap else b.World(rules=rules))

    assert sure(site).get("icmp-ignored" if at_ap else "icmp-not-sent") == grade


def test_a_ping_without_df_that_dies_shows_dropped_fragments(b):
    world = b.World(sends_df=False)
    passed = world.ping(1492, answered=True, df=False)
    world = world.but(pings=(passed, world.ping(1500, answered=False, df=False)))

    assert {f.id: f.grade for f in report(world).findings}["fragments-dropped"] == "possible"
    assert sure(report(world.stalled_up()))["fragments-dropped"] == "confirmed"


def test_a_login_that_needed_a_small_mss_is_a_finding_of_its_own(b):
    evidence = b.World(connected=True, rules=b.both_ways()).evidence()
    slow = replace(evidence.facts[0], login_needed_small_mss=True)
    site = diagnose_site(evidence.with_facts(slow))

    assert (site.verdict, sure(site)) == ("fault", {"management-path-hole": "confirmed"})
    assert site.findings[0].evidence[0].basis == "real device"


def test_a_login_that_stalls_for_good_is_only_possible(b):
    stalled = HostStatus(
        host="s001-ap1",
        site="s001",
        role="ap",
        status="failed",
        error="s001-ap1: stalled after the banner",
        error_kind="management-stall",
    )
    site = report(b.World(ap_read=False, failed=(stalled,), managed_by="x"))

    finding = site.findings[-1] if site.findings else None
    assert site.verdict == "unknown"
    assert any(
        (f.id, f.grade, f.owner) == ("management-path-hole", "possible", "provider")
        for f in site.findings
    ), finding


def test_a_site_with_nothing_read_is_unknown(b):
    site = report(b.World(ap_read=False, gateway_read=False))

    assert site.verdict == "unknown"
    assert site.flows


def test_a_site_without_access_points_is_unknown(b):
    evidence = b.World().evidence()
    only = tuple(d for d in evidence.site.devices if d.role == "gateway")
    site = diagnose_site(replace(evidence, site=replace(evidence.site, devices=only)))

    assert (site.verdict, site.flows) == ("unknown", ())


def test_an_access_point_without_services_keeps_the_site_unknown(b):
    evidence = b.World(connected=True, rules=b.both_ways()).evidence()
    idle = replace(evidence.site.devices[0], name="s001-ap2", services=())
    site = replace(evidence.site, devices=(*evidence.site.devices, idle))

    assert diagnose_site(replace(evidence, site=site)).verdict == "unknown"


def test_the_same_cause_for_two_access_points_is_one_finding(b):
    evidence = b.World(rules=b.other_vlan()).evidence()
    second = replace(evidence.site.devices[0], name="s001-ap2")
    facts = replace(evidence.facts[0], host="s001-ap2")
    site = replace(evidence.site, devices=(*evidence.site.devices, second))
    merged = diagnose_site(replace(evidence, site=site, facts=(*evidence.facts, facts)))

    scope = [f for f in merged.findings if f.id == "clamp-scope"]
    assert len(scope) == 1
    assert "the same for s001-ap2 to radsec" in scope[0].summary


def test_a_service_that_works_by_luck_is_noted_beside_one_that_fails(b):
    world = b.World(sends_df=False)
    evidence = world.but(captures=(world.capture("gateway-wan", fragments_up=8),)).evidence()
    first, gateway = evidence.site.devices
    portal = replace(first.services[0], name="portal", port=443)
    site = replace(
        evidence.site, devices=(replace(first, services=(*first.services, portal)), gateway)
    )
    ap = evidence.facts[0]
    works = replace(ap.cloud.value[0], service="portal", port=443, connected=True, last_error="")
    cloud = replace(ap.cloud, value=(*ap.cloud.value, works))
    judged = diagnose_site(replace(evidence.with_facts(replace(ap, cloud=cloud)), site=site))

    assert judged.verdict == "fault"
    assert [note.partition(" works by luck")[0] for note in judged.notes] == ["s001-ap1 to portal"]


def test_findings_stand_in_the_decision_order(b):
    world = b.World(lan_mtu=1492, sends_df=False).stalled_up(fragments=4)
    ids = [f.id for f in report(world).findings]

    assert ids == sorted(ids, key=list(FINDING_IDS).index)
    assert len(ids) == 3


def test_dhcp_that_announces_the_mtu_in_vain_is_quoted(b):
    evidence = b.World(lan_mtu=1492).stalled_up().evidence()
    gateway = replace(
        evidence.facts[1],
        dhcp_mtu_bytes=Known(
            1492, Source(host="s001-gw1", basis="real program", command="cat /etc/dnsmasq.d/x")
        ),
    )
    site = diagnose_site(evidence.with_facts(gateway))

    finding = next(f for f in site.findings if f.id == "vlan-mtu-not-learned")
    assert "option 26 says 1492" in finding.summary
    assert any(e.kind == "dhcp" for e in finding.evidence)
