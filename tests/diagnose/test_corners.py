"""Corners of the evidence: what is half known, said twice, or says nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose import diagnose_site, prove_coverage
from mtughost.diagnose.coverage import prove
from mtughost.diagnose.evidence import source_of
from mtughost.diagnose.path import Bound, PathMtu
from mtughost.model.basis import Known, Unknown
from mtughost.model.device import IcmpSettings, Interface, PolicyRule, Route
from mtughost.model.findings import Evidence


def report(world):
    return diagnose_site(world.evidence())


def sure(site):
    return {f.id: f.grade for f in site.findings if f.grade in {"confirmed", "likely"}}


def row(world, direction="up"):
    return next(r for r in prove_coverage(world.evidence()) if r.key.direction == direction)


def bound(mtu, *, ours=True):
    cited = Evidence(kind="x", basis="told", host="h", value="v")
    return Bound(mtu_bytes=mtu, what="w", cite=cited, ours=ours)


def test_the_path_is_known_by_its_narrowest_hop_unless_packets_say_less():
    hop = PathMtu(bounds=(bound(1500), bound(1492)), complete=True)
    tight = replace(hop, delivered=1400, lost=1401)
    coarse = replace(hop, delivered=600, lost=1401)
    above = replace(hop, delivered=1492, lost=1500)

    assert (hop.known_bytes, hop.ceiling_bytes, hop.hidden) == (1492, 1492, False)
    assert (tight.known_bytes, tight.ceiling_bytes, tight.hidden) == (1400, 1400, True)
    assert (coarse.known_bytes, coarse.ceiling_bytes) == (None, 1400)
    assert (above.known_bytes, above.hidden) == (1492, False)
    assert replace(hop, complete=False).known_bytes is None
    assert PathMtu().ceiling_bytes is None
    assert not PathMtu(bounds=(bound(1400, ours=False),)).hidden


def test_a_fact_without_a_source_cites_the_host_alone():
    assert source_of(Unknown("x"), "s001-gw1").host == "s001-gw1"


def test_tls_1_3_failures_without_a_cause_count_as_a_stall_where_tcp_is_answered(b):
    world = b.World(rules=b.other_vlan(), failure="unclassified", words="No reply from server")
    idle = world.but(sessions=(world.session(),))

    assert sure(report(world)) == {}
    assert sure(report(idle)) == {"clamp-scope": "likely"}
    assert any(r.id == "no-syn-ack" for r in report(idle).ruled_out)


def test_a_session_whose_first_bytes_never_arrived_is_not_stuck_by_size(b):
    world = b.World(rules=b.other_vlan())
    early = world.session(unacked_segments=3, backoff=3, acked_bytes=1)
    late = world.session(unacked_segments=3, backoff=3, acked_bytes=518)
    lone = world.session(unacked_segments=1, backoff=3, acked_bytes=518)

    assert sure(report(world.but(sessions=(early,)))) == {"clamp-scope": "likely"}
    assert sure(report(world.but(sessions=(late,)))) == {"clamp-scope": "confirmed"}
    assert sure(report(world.but(sessions=(lone,)))) == {"clamp-scope": "likely"}


def test_a_connection_that_went_on_after_losses_is_no_fault(b):
    world = b.World(connected=True, learned=1492)
    flow = world.flow(
        smallest_lost_up_bytes=1500,
        retransmits_up=3,
        largest_acked_up_bytes=1492,
        tls_stage="established",
        application_up=True,
        application_down=True,
    )

    assert report(world.but(captures=(world.capture("ap", flows=(flow,)),))).verdict == "ok"


def test_a_stall_on_the_wire_outweighs_a_status_that_says_connected(b):
    site = report(b.World(connected=True).stalled_up())

    assert site.verdict == "fault"
    assert sure(site)["clamp-missing"] == "confirmed"


def test_a_probe_that_loses_large_packets_outweighs_it_too(b):
    world = b.World(connected=True)
    site = report(world.but(probes=(world.probe((569, "reply"), (1500, "timeout")),)))

    assert site.verdict == "fault"


def test_a_probe_that_was_cut_in_two_is_no_packet_of_its_size(b):
    """A device's shell that cannot look at its socket takes every hello for one packet."""
    world = b.World(rules=b.both_ways())
    probe = world.probe((352, "reply"), (1500, "timeout"))
    seen = world.capture("ap", syn=1460, syn_ack=856)

    def bracket(*captures):
        evidence = world.but(probes=(probe,), captures=captures).evidence()
        return prove(evidence)[0].wire.probe_bracket

    assert bracket() == (352, 1500)
    assert bracket(world.capture("ap", syn=1460, syn_ack=1460)) == (352, 1500)
    assert bracket(seen) is None


def test_small_content_that_is_not_acknowledged_beside_some_that_is_is_not_dropped_as_such(b):
    world = b.World(rules=b.both_ways())
    flow = world.flow(stalled_up_bytes=1160, retransmits_up=5, syn_ack_mss_bytes=1120)
    beside = replace(flow, largest_acked_up_bytes=145)

    def told(one):
        site = report(world.but(captures=(world.capture("ap", syn_ack=1120, flows=(one,)),)))
        return "payload-dropped" in sure(site)

    assert told(flow)
    assert not told(beside)


@pytest.mark.parametrize(("size", "found"), [(1280, True), (1281, False)])
def test_what_crosses_every_path_of_ipv6_is_small(b, size, found):
    world = b.World(rules=b.both_ways())
    flow = world.flow(stalled_up_bytes=size, retransmits_up=5, syn_ack_mss_bytes=1452)
    site = report(world.but(captures=(world.capture("ap", syn_ack=1452, flows=(flow,)),)))

    assert ("payload-dropped" in sure(site)) is found


def test_flows_of_other_clients_servers_ports_and_families_do_not_count(b):
    world = b.World()
    wrong = (
        world.flow(smallest_lost_up_bytes=1500, retransmits_up=4, client="10.20.0.99"),
        world.flow(smallest_lost_up_bytes=1500, retransmits_up=4, server="198.51.100.1"),
        world.flow(smallest_lost_up_bytes=1500, retransmits_up=4, server_port=443),
        replace(world.flow(smallest_lost_up_bytes=1500, retransmits_up=4), family="ipv6"),
    )
    site = report(world.but(captures=(world.capture("ap", flows=wrong),)))

    assert sure(site) == {"clamp-missing": "likely"}


def test_a_gap_at_the_wan_side_alone_is_not_the_gateways_hole(b):
    world = b.World(rules=b.both_ways())
    flow = world.flow(wan=True, smallest_lost_down_bytes=1500, tls_stage="client-hello")
    site = report(world.but(captures=(world.capture("gateway-wan", flows=(flow,)),)))

    assert site.verdict == "unknown"


def test_large_packets_that_never_reach_a_point_are_a_gap_there(b):
    world = b.World()
    flow = world.flow(smallest_lost_up_bytes=1500, largest_acked_up_bytes=300, retransmits_up=0)
    site = report(world.but(captures=(world.capture("gateway-lan", flows=(flow,)),)))

    first = next(f for f in site.findings if f.grade != "possible")
    assert (first.id, first.grade) == ("l2-mtu-mismatch", "likely")
    assert any("stays open at gateway-lan already" in e.value for e in first.evidence)


def test_the_service_may_be_known_by_name_only(b):
    evidence = b.World(rules=b.both_ways()).stalled_up(syn_ack=1452).evidence()
    devices = tuple(
        replace(d, services=tuple(replace(s, host="cloud.example") for s in d.services))
        for d in evidence.site.devices
    )
    evidence = replace(evidence, site=replace(evidence.site, devices=devices))
    ap = evidence.facts[0]
    state = replace(ap.cloud.value[0], server="cloud.example")
    evidence = evidence.with_facts(replace(ap, cloud=Known((state,), ap.cloud.source)))

    table = {(r.key.family, r.key.direction): r for r in prove_coverage(evidence)}

    assert table["ipv4", "up"].mss.observed.ap == 1452
    assert table["ipv4", "up"].covered is True
    assert table["ipv6", "up"].mss.observed.ap is None


def test_icmp_about_an_unnamed_service_is_matched_by_its_sender(b):
    world = b.World(wan_mtu=1500)
    evidence = world.but(captures=(world.capture("ap", too_big=(world.too_big(1492),)),)).evidence()
    ap = evidence.facts[0]
    state = replace(ap.cloud.value[0], server="cloud.example")
    named = evidence.with_facts(replace(ap, cloud=Known((state,), ap.cloud.source)))

    up = next(r for r in prove_coverage(named) if r.key.direction == "up")
    assert up.path_mtu == 1492


def test_icmp_about_the_services_packets_narrows_the_way_down(b):
    world = b.World(wan_mtu=1500)
    message = replace(
        world.too_big(1492), quoted_source="203.0.113.10", quoted_destination="100.64.1.2"
    )
    seen = world.but(captures=(world.capture("gateway-wan", too_big=(message,)),))

    assert row(seen, "down").path_mtu == 1492
    assert row(seen, "up").path_mtu == 1500


def test_a_gateways_own_learned_mtu_narrows_the_path(b):
    kept = Route(
        destination="203.0.113.10", family="ipv4", interface="wan0", mtu_bytes=1480, cached=True
    )

    assert row(b.World(wan_mtu=1500, extra_routes=(kept,))).path_mtu == 1480


def test_a_narrow_hop_beyond_a_working_clamp_is_no_finding(b):
    world = b.World(wan_mtu=1500, rules=b.both_ways(to=1452), connected=True)
    site = report(world.but(learned=1492))

    assert (site.verdict, sure(site)) == ("ok", {})


def test_a_narrow_hop_that_nobody_clamps_for_and_luck_hides_is_latent(b):
    world = b.World(wan_mtu=1500, connected=True, sends_df=False)
    seen = world.but(
        captures=(world.capture("ap", syn=1460, syn_ack=1400, too_big=(world.too_big(1492),)),)
    )
    site = report(seen)

    assert site.verdict == "latent"
    assert sure(site)["isp-path-mtu-low"] == "confirmed"


def test_a_narrow_hop_that_discovery_handles_is_no_finding(b):
    site = report(b.World(wan_mtu=1500, connected=True, learned=1492))

    assert (site.verdict, sure(site)) == ("ok", {})


def test_a_narrow_hop_behind_another_explanation_is_only_possible(b):
    world = b.World(wan_mtu=1500, failure="connect-timeout")
    told = world.but(captures=(world.capture("ap", too_big=(world.too_big(1492),)),))

    found = {f.id: f.grade for f in report(told).findings}
    assert found["isp-path-mtu-low"] == "possible"


def test_a_clamp_that_the_packets_contradict_is_named_as_not_effective(b):
    site = report(b.World(rules=b.both_ways()).stalled_up(syn_ack=1460))

    finding = site.findings[0]
    assert (finding.id, finding.grade) == ("clamp-not-effective", "confirmed")
    assert "should clamp, but packets come out unclamped" in finding.summary


def test_a_dead_chain_is_named_as_not_effective(b):
    orphan = b.chain(*b.both_ways(), hook=None, name="mss")
    site = report(b.World(rules=(orphan,)).stalled_up())

    assert site.findings[0].id == "clamp-not-effective"
    assert "no rule jumps to" in site.findings[0].summary


def test_a_clamp_for_other_addresses_is_a_matter_of_scope(b):
    for match in ({"destinations": "198.51.100.0/24"}, {"destination_ports": 443}):
        rules = (b.clamp("pair 1", iif="vlan20", oif="wan0", **match),)
        site = report(b.World(rules=rules).stalled_up())
        assert "clamp-scope" in sure(site), match


def test_a_clamp_for_the_second_ap_alone_is_told_with_its_address(b):
    rules = (b.clamp("only one", sources="10.20.0.99", iif="vlan20", oif="wan0"),)
    summary = report(b.World(rules=rules).stalled_up()).findings[0].summary

    assert "10.20.0.99" in summary


def test_a_standby_that_is_covered_is_no_finding(b):
    world = b.World(
        rules=(b.clamp(),),
        connected=True,
        extra_interfaces=(Interface(name="lte0", mtu_bytes=1428),),
        extra_routes=(Route(destination="default", family="ipv4", interface="lte0", metric=9),),
    )

    assert (report(world).verdict, report(world).findings) == ("ok", ())


def test_packets_of_the_first_wan_say_nothing_about_a_smaller_second_one(b):
    world = b.World(
        rules=(b.clamp(),),
        connected=True,
        extra_interfaces=(Interface(name="lte0", mtu_bytes=1428),),
        extra_routes=(Route(destination="default", family="ipv4", interface="lte0", metric=9),),
    )
    seen = world.but(
        sessions=(world.session(mss=1440),),
        captures=(
            world.capture("ap", syn=1460, syn_ack=1452),
            world.capture("gateway-wan", syn=1452, syn_ack=1460),
        ),
    )

    assert (report(seen).verdict, report(seen).findings) == ("ok", ())


def test_an_old_clamp_does_not_hide_that_the_far_end_is_small(b):
    world = b.World(connected=True, rules=b.both_ways(to=1460))
    site = report(world.but(captures=(world.capture("ap", syn=1460, syn_ack=1400),)))

    assert site.verdict == "latent"
    assert "clamp-too-high" in sure(site)


def test_a_small_mss_behind_a_doubtful_rule_says_nothing_about_the_far_end(b):
    doubt = b.clamp("d", to=1400, opaque=("?",))
    world = b.World(connected=True, rules=(doubt,))
    site = report(world.but(captures=(world.capture("ap", syn=1460, syn_ack=1400),)))

    assert site.verdict == "unknown"


def test_silence_in_the_gateways_capture_rules_fragments_out(b):
    site = report(b.World(sends_df=None).stalled_up(df=None))

    assert any(r.id == "fragments-dropped" for r in site.ruled_out)


def test_fragments_with_only_a_stall_are_likely(b):
    world = b.World(sends_df=False)
    site = report(world.but(captures=(world.capture("gateway-wan", fragments_up=6),)))

    assert sure(site)["fragments-dropped"] == "likely"


def test_a_ping_without_df_confirms_lost_fragments_only_where_the_way_out_is_certain(b):
    world = b.World(sends_df=False)
    passed = world.ping(1492, answered=True, df=False)
    died = world.ping(1500, answered=False, df=False)
    certain = world.but(
        pings=(passed, died), probes=(world.probe((576, "reply"), (1500, "timeout")),)
    )
    marked = PolicyRule(priority=8, family="ipv4", table="7", opaque=("fwmark 1",), text="fwmark 1")
    doubtful = certain.but(
        policy=(marked, replace(marked, priority=9, table="main", opaque=(), text="main")),
        extra_routes=(Route(destination="default", family="ipv4", interface="lte0", table="7"),),
        extra_interfaces=(Interface(name="lte0", mtu_bytes=1428, kind="ethernet"),),
    )

    assert sure(report(certain))["fragments-dropped"] == "confirmed"
    assert sure(report(doubtful))["fragments-dropped"] == "likely"


def test_fragment_counters_of_the_gateway_are_quoted(b):
    evidence = b.World(sends_df=False).stalled_up(fragments=4).evidence()
    gateway = evidence.facts[1]
    counted = replace(
        gateway,
        icmp=Known(IcmpSettings(sends_df=True, fragments_created=48), gateway.clamps.source),
    )
    site = diagnose_site(evidence.with_facts(counted))

    fragments = next(f for f in site.findings if f.id == "fragments-dropped")
    assert any("48 fragments since boot" in e.value for e in fragments.evidence)


def test_an_icmp_fault_without_a_known_path_gives_no_figure(b):
    drop = b.chain(
        b.rule("in 1", action="drop", protocols=frozenset({"icmp"})),
        hook="input",
        name="in",
        priority=0,
    )
    site = report(b.World(ap_rules=(drop,), gateway_read=False))

    finding = next(f for f in site.findings if f.id == "icmp-ignored")
    assert finding.fix is None
    assert "in 1" in finding.summary


def test_a_policy_that_drops_icmp_is_quoted_as_such(b):
    closed = b.chain(policy="drop", hook="input", name="in", priority=0)
    site = report(b.World(ap_rules=(closed,)))

    finding = next(f for f in site.findings if f.id == "icmp-ignored")
    assert "policy drop" in finding.summary


@pytest.mark.parametrize("skipped", ["clamps", "interfaces", "routes", "addresses"])
def test_a_gateway_that_is_half_read_never_yields_a_proof(b, skipped):
    evidence = b.World(unread=(("s001-gw1", skipped),), connected=True).evidence()

    assert diagnose_site(evidence).verdict == "unknown"
    assert all(p.covered is not True for p in prove(evidence))


def test_a_second_family_of_citations_is_never_repeated(b):
    site = report(b.World(rules=b.other_vlan(), sends_df=False).stalled_up(fragments=3))

    for finding in site.findings:
        assert len(set(finding.evidence)) == len(finding.evidence)


def test_a_dropped_syn_leaves_coverage_unknown_with_the_rule(b):
    deny = b.rule("fw 9", action="drop")
    down = row(b.World(rules=(deny, *b.both_ways())), "down")

    assert down.covered is None
    assert "fw 9 drops it" in down.proof


def test_packets_that_fit_need_no_clamp(b):
    table = {d: row(b.World(wan_mtu=1500), d) for d in ("up", "down")}

    assert all(r.covered for r in table.values())
    assert "packets of up to 1500 bytes fit" in table["up"].proof


def test_plain_loss_on_a_working_service_is_no_finding(b):
    world = b.World(connected=True, rules=b.both_ways())
    lost = world.flow(smallest_lost_up_bytes=1400, retransmits_up=3, largest_acked_up_bytes=1492)

    assert report(world.but(captures=(world.capture("ap", flows=(lost,)),))).findings == ()


def test_a_gateway_that_drops_its_own_icmp_is_only_possible_without_a_stall(b):
    quiet = b.chain(
        b.rule("out 2", action="drop", protocols=frozenset({"icmp"})),
        hook="output",
        name="output",
        priority=0,
    )
    site = report(b.World(rules=(quiet,), failure="unclassified", words="?"))

    assert {f.id: f.grade for f in site.findings}["icmp-not-sent"] == "possible"


def test_a_device_that_the_inventory_does_not_know_has_no_entry(b):
    evidence = b.World().evidence()

    assert evidence.device("nobody") is None
    assert evidence.facts_of("nobody") is None
    assert evidence.failure_of("nobody") is None
    assert [f.host for f in evidence.with_role("gateway", "ap")] == ["s001-ap1", "s001-gw1"]
    turned = replace(evidence, facts=evidence.facts[::-1])
    assert [f.host for f in turned.with_role("gateway", "ap")] == ["s001-ap1", "s001-gw1"]
    assert [f.host for f in turned.with_role("gateway")] == ["s001-gw1"]


def test_an_ap_at_its_own_limit_does_not_tell_the_syn_acks_mss(b):
    world = b.World(ap_mtu=1400)
    full = world.but(sessions=(world.session(1348, 1400, adv=1348),))

    assert row(full).mss.observed.ap is None


def test_a_connection_that_got_over_its_large_packets_shows_discovery_after_the_cache_forgot(b):
    world = b.World(connected=True, mtu_probing=False)
    recovered = world.but(sessions=(world.session(1448, 1500, retransmits_total=3),))

    assert report(recovered).verdict == "ok"
    for doubt in (
        {"sends_df": None},
        {"mtu_probing": True},
        {"mtu_probing": None},
        {"sessions": (world.session(1448, 1500),)},
        {"sessions": (world.session(1448, 1500, retransmits_total=3, unacked_segments=2),)},
    ):
        assert report(recovered.but(**doubt)).verdict == "unknown", doubt
    small = recovered.but(sessions=(world.session(1388, 1500, retransmits_total=3),))
    assert report(small).verdict == "latent"


def test_a_vlan_mtu_is_only_suspected_while_nobody_knows_the_way_out(b):
    tried = ((576, True), (1492, True), (1500, False))
    world = b.World(lan_mtu=1492, wan_mtu=1492)
    pings = tuple(world.ping(size, answered=answered) for size, answered in tried)
    evidence = world.but(pings=pings).evidence()
    first, gateway = evidence.facts
    unrouted = replace(evidence, facts=(first, replace(gateway, routes=Unknown("not shown"))))

    grades = [
        {f.id: f.grade for f in diagnose_site(known).findings}["vlan-mtu-not-learned"]
        for known in (evidence, unrouted)
    ]

    assert grades == ["likely", "possible"]
