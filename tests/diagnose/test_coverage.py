"""The coverage proof against what was measured on a real kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose import prove_coverage
from mtughost.diagnose.coverage import prove
from mtughost.model.basis import Known
from mtughost.model.device import Interface, Route
from mtughost.model.evidence import PingEvidence

V4 = frozenset({"ipv4"})


def rows(world):
    """Return {(family, direction): row}."""
    return {(r.key.family, r.key.direction): r for r in prove_coverage(world.evidence())}


def clamps_of(b, case):
    """Rules of the table of measured clamps, by what a person would type."""
    ipt_out = b.clamp("ip mangle FORWARD 1", oif="wan0", families=V4)
    nft_out = b.clamp("nft out", oif="wan0")
    nft_in = b.clamp("nft in", iif="wan0")
    return {
        "none": (),
        "iptables -o WAN clamp to pmtu": (ipt_out,),
        "nft oifname WAN rt mtu": (nft_out,),
        "nft iifname and oifname WAN": (nft_in, nft_out),
        "adjust-mss 1452 on WAN only": (b.clamp("v", oif="wan0", to=1452, families=V4),),
        "adjust-mss 1452 on AP VLAN only": (b.clamp("v", oif="vlan20", to=1452, families=V4),),
        "clamp to pmtu on AP VLAN only": (b.clamp("v", oif="vlan20", families=V4),),
        "iptables FORWARD any interface": (b.clamp("any", families=V4),),
    }[case]


@pytest.mark.parametrize(
    ("case", "mtus", "v4", "v6"),
    [
        # (LAN, WAN, AP) and the MSS (SYN at the server, SYN-ACK at the AP) that was measured.
        ("none", (1500, 1492, 1500), (1460, 1460), (1440, 1440)),
        ("iptables -o WAN clamp to pmtu", (1500, 1492, 1500), (1452, 1460), (1440, 1440)),
        ("nft oifname WAN rt mtu", (1500, 1492, 1500), (1452, 1460), (1432, 1440)),
        ("nft iifname and oifname WAN", (1500, 1492, 1500), (1452, 1452), (1432, 1432)),
        ("adjust-mss 1452 on WAN only", (1500, 1492, 1500), (1452, 1460), (1440, 1440)),
        ("adjust-mss 1452 on AP VLAN only", (1500, 1492, 1500), (1460, 1452), None),
        ("clamp to pmtu on AP VLAN only", (1500, 1492, 1500), (1460, 1452), None),
        ("iptables FORWARD any interface", (1500, 1492, 1500), (1452, 1452), None),
        ("none", (1492, 1492, 1500), (1460, 1460), None),
        ("iptables -o WAN clamp to pmtu", (1446, 1500, 1500), (1406, 1460), None),
        ("nft oifname WAN rt mtu", (1446, 1500, 1500), (1406, 1460), None),
    ],
)
def test_the_predicted_mss_is_the_one_that_was_measured(b, case, mtus, v4, v6):
    lan, wan, ap = mtus
    world = b.World(lan_mtu=lan, wan_mtu=wan, ap_mtu=ap, rules=clamps_of(b, case))

    for family, measured in (("ipv4", v4), ("ipv6", v6)):
        if measured is None:
            continue
        table = rows(world.but(family=family))
        predicted = tuple(table[family, d].mss.configured for d in ("down", "up"))
        assert predicted == measured


def test_an_ap_that_knows_its_mtu_limits_itself_although_the_syn_ack_says_more(b):
    table = rows(b.World(lan_mtu=1492, ap_mtu=1492))

    assert table["ipv4", "down"].mss.configured == 1452
    assert table["ipv4", "up"].mss.configured == 1452
    assert all(row.covered for row in table.values())
    assert "limits itself" in table["ipv4", "up"].proof


@pytest.mark.parametrize(
    ("state", "works"),
    [
        ("broken: clamp for the other VLAN", False),
        ("no clamp", False),
        ("VLAN MTU only", False),
        ("interface clamp at 1500", False),
        ("interface clamp at 1492", True),
        ("VLAN MTU and AP MTU", True),
        ("AP MTU", True),
        ("rt mtu out", False),
        ("VLAN MTU, rt mtu in from the VLAN", False),
        ("iptables out", False),
        ("rt mtu in", True),
        ("rt mtu both", True),
        ("rt mtu any", True),
        ("explicit 1452 both", True),
        ("iptables any", True),
        ("iptables set 1452 both", True),
    ],
)
def test_the_upload_is_proven_covered_exactly_where_the_lab_saw_it_work(b, state, works):
    out, back = {"oif": "wan0"}, {"iif": "wan0"}
    worlds = {
        "broken: clamp for the other VLAN": b.World(rules=b.other_vlan()),
        "no clamp": b.World(),
        "VLAN MTU only": b.World(lan_mtu=1492),
        "interface clamp at 1500": b.World(rules=b.both_ways(to=1460)),
        "interface clamp at 1492": b.World(lan_mtu=1492, rules=b.both_ways(to=1452)),
        "VLAN MTU and AP MTU": b.World(lan_mtu=1492, ap_mtu=1492),
        "AP MTU": b.World(ap_mtu=1492),
        "rt mtu out": b.World(rules=(b.clamp(**out),)),
        "VLAN MTU, rt mtu in from the VLAN": b.World(lan_mtu=1492, rules=(b.clamp(iif="vlan20"),)),
        "iptables out": b.World(rules=(b.clamp(**out, families=V4),)),
        "rt mtu in": b.World(rules=(b.clamp(**back),)),
        "rt mtu both": b.World(rules=b.both_ways()),
        "rt mtu any": b.World(rules=(b.clamp(),)),
        "explicit 1452 both": b.World(rules=b.both_ways(to=1452)),
        "iptables any": b.World(rules=(b.clamp(families=V4),)),
        "iptables set 1452 both": b.World(rules=b.both_ways(to=1452, families=V4)),
    }

    assert rows(worlds[state])["ipv4", "up"].covered is works


def test_the_counterexample_names_rule_vlan_counter_and_values(b):
    row = rows(b.World(rules=b.other_vlan()))["ipv4", "up"]

    assert row.covered is False
    for words in (
        "SYN-ACK leaves vlan20 with MSS 1460",
        "path MTU 1492",
        "rule inet clamp forward handle 8 would clamp it but matches vlan30 only (0 packets)",
    ):
        assert words in row.proof
    assert (row.mss.needed, row.path_mtu) == (1452, 1492)
    assert row.mtu.ap == 1500
    assert row.mtu.vlan == 1500
    assert row.mtu.wan == 1492


def test_the_proof_names_the_rule_its_counter_and_the_path(b):
    row = rows(b.World(rules=b.both_ways()))["ipv4", "up"]

    assert row.covered is True
    assert "rule inet clamp forward handle 8 (12 packets) writes MSS 1452" in row.proof


def test_installed_rules_stand_beside_what_was_observed(b):
    world = b.World(rules=b.both_ways()).stalled_up(syn_ack=1452)
    row = rows(world)["ipv4", "up"]

    assert [(i.rule, i.covers, i.packets, i.line) for i in row.mss.installed] == [
        ("inet clamp forward handle 7", False, 12, 7),
        ("inet clamp forward handle 8", True, 12, 7),
    ]
    assert (row.mss.observed.ap, row.mss.observed.wan) == (1452, 1460)


def test_missing_rules_are_unknown_not_absent(b):
    for gap in ({"gateway_read": False}, {"unread": (("*", "clamps"),)}, {"notes": ("?",)}):
        table = rows(b.World(**gap))
        assert {row.covered for row in table.values()} == {None}
        assert "unknown" in table["ipv4", "up"].proof


def test_the_aps_own_mtu_proves_the_upload_without_any_rules(b):
    row = rows(b.World(ap_mtu=1492, unread=(("s001-gw1", "clamps"),)))["ipv4", "up"]

    assert row.covered is True


def test_an_unread_ap_leaves_the_upload_open_but_a_clamp_still_proves_both(b):
    open_ = rows(b.World(ap_read=False, vlan_hint="vlan20"))
    closed = rows(b.World(ap_read=False, vlan_hint="vlan20", rules=b.both_ways()))

    assert {row.covered for row in open_.values()} == {None}
    assert {row.covered for row in closed.values()} == {True}


def test_the_syn_of_an_unread_ap_tells_its_mtu(b):
    world = b.World(ap_read=False, vlan_hint="vlan20")
    world = world.but(captures=(world.capture("gateway-lan", syn=1460, syn_ack=1460),))

    assert rows(world)["ipv4", "up"].covered is False


def test_packets_overrule_a_configuration_that_promises_more(b):
    world = b.World(rules=b.both_ways()).stalled_up(syn_ack=1460)
    row = rows(world)["ipv4", "up"]

    assert row.covered is False
    assert "seen behind the gateway with MSS 1460" in row.proof
    assert "1452" in row.proof


def test_two_points_prove_a_clamp_that_could_not_be_read(b):
    world = b.World(unread=(("s001-gw1", "clamps"),)).stalled_up(syn_ack=1452)
    row = rows(world)["ipv4", "up"]

    assert row.covered is True
    assert "rewritten by the gateway from MSS 1460 to 1452" in row.proof


def test_a_rewrite_that_no_rule_explains_settles_nothing(b):
    row = rows(b.World().stalled_up(syn_ack=1452))["ipv4", "up"]

    assert row.covered is None
    assert "no rule" in row.proof


def test_one_point_with_a_small_mss_proves_nothing_about_other_far_ends(b):
    world = b.World(unread=(("s001-gw1", "clamps"),))
    world = world.but(captures=(world.capture("ap", syn=1460, syn_ack=1400),))

    assert rows(world)["ipv4", "up"].covered is None


def test_a_large_mss_at_one_point_is_enough_for_a_counterexample(b):
    world = b.World(unread=(("s001-gw1", "clamps"),))
    world = world.but(captures=(world.capture("gateway-lan", syn=1460, syn_ack=1460),))
    row = rows(world)["ipv4", "up"]

    assert row.covered is False
    assert "could not settle" in row.proof


def test_a_live_session_tells_the_syn_acks_mss(b):
    world = b.World()
    full = world.but(sessions=(world.session(1448, 1500),))
    small = world.but(sessions=(world.session(1388, 1500),))
    learned = world.but(sessions=(world.session(1440, 1492),))
    odd = world.but(sessions=(world.session(1448, 1500, adv=1000),))

    assert rows(full)["ipv4", "up"].mss.observed.ap == 1460
    assert rows(small)["ipv4", "up"].mss.observed.ap == 1400
    assert rows(learned)["ipv4", "up"].mss.observed.ap is None, "it may have been larger"
    assert rows(odd)["ipv4", "up"].mss.observed.ap is None


def test_the_largest_mss_counts_because_servers_lower_theirs_from_a_cache(b):
    world = b.World()
    first = world.capture("ap", syn=1460, syn_ack=1460)
    second = world.capture("ap", syn=1460, syn_ack=1452)

    assert rows(world.but(captures=(first, second)))["ipv4", "up"].mss.observed.ap == 1460


def test_other_vlans_behind_the_same_nat_are_not_mistaken_for_the_ap(b):
    world = b.World()
    lan = world.capture("gateway-lan", syn=1460, syn_ack=1460)
    mine = world.syn(1460, point="gateway-wan")
    other = world.syn(1452, point="gateway-wan")
    object.__setattr__(other, "source_port", 51000)
    wan = world.capture("gateway-wan", syns=(mine, other))

    assert rows(world.but(captures=(lan, wan)))["ipv4", "down"].mss.observed.wan == 1460


def test_a_learned_path_mtu_below_every_interface_narrows_the_path(b):
    world = b.World(wan_mtu=1500)
    told = world.but(captures=(world.capture("ap", too_big=(world.too_big(1492),)),))
    cached = world.but(learned=1492)

    for each in (told, cached):
        row = rows(each)["ipv4", "up"]
        assert (row.path_mtu, row.covered) == (1492, False)


def test_absurd_icmp_does_not_narrow_the_path(b):
    world = b.World(wan_mtu=1500)
    for message in (world.too_big(1500), world.too_big(68), world.too_big(1600, size=1500)):
        seen = world.but(captures=(world.capture("ap", too_big=(message,)),))
        assert rows(seen)["ipv4", "up"].path_mtu == 1500


def test_a_probe_bracket_below_every_interface_narrows_the_path(b):
    world = b.World(wan_mtu=1500)
    tight = world.but(probes=(world.probe((1492, "reply"), (1493, "timeout")),))
    coarse = world.but(probes=(world.probe((569, "reply"), (1500, "timeout")),))
    silent = world.but(probes=(world.probe((569, "timeout"), (1500, "timeout")),))

    assert rows(tight)["ipv4", "up"].path_mtu == 1492
    assert rows(tight)["ipv4", "up"].covered is False
    assert rows(coarse)["ipv4", "up"].path_mtu is None
    assert rows(coarse)["ipv4", "up"].covered is False, "1500 bytes are lost"
    assert rows(silent)["ipv4", "up"].path_mtu == 1500


def test_a_standby_egress_is_proven_on_its_own(b):
    world = b.World(
        wan_mtu=1500,
        extra_interfaces=(Interface(name="lte0", mtu_bytes=1428),),
        extra_routes=(Route(destination="default", family="ipv4", interface="lte0", metric=100),),
    )
    table = {(r.key.egress, r.key.direction): r for r in prove_coverage(world.evidence())}

    assert table["wan0", "up"].covered is True
    assert table["lte0", "up"].covered is False
    assert table["lte0", "up"].path_mtu == 1428


def test_a_policy_routed_egress_sees_the_main_routes_mtu_on_the_way_back(b):
    world = b.World(
        rules=(b.clamp(),),
        wan_mtu=1500,
        extra_interfaces=(Interface(name="lte0", mtu_bytes=1428),),
        extra_routes=(Route(destination="default", family="ipv4", interface="lte0", table="100"),),
    )
    table = {(r.key.egress, r.key.direction): r for r in prove_coverage(world.evidence())}

    assert table["lte0", "down"].mss.configured == 1388
    assert table["lte0", "up"].mss.configured == 1460, "the route back is looked up in main"


def test_a_route_mtu_counts_for_path_and_clamp(b):
    world = b.World(
        wan_mtu=1500,
        rules=(b.clamp(),),
        extra_routes=(
            Route(destination="203.0.113.0/24", family="ipv4", interface="wan0", mtu_bytes=1480),
        ),
    )
    table = rows(world)

    assert {row.mss.configured for row in table.values()} == {1440}
    assert {row.covered for row in table.values()} == {True, None} or all(
        row.covered for row in table.values()
    )


def test_a_tunnel_shows_in_its_own_column(b):
    row = rows(b.World(wan_mtu=1446, wan_kind="tunnel"))["ipv4", "up"]

    assert (row.mtu.wan, row.mtu.tunnel) == (None, 1446)


def test_pings_narrow_the_path_only_where_they_can(b):
    def ping(size, *, answered, df=True, **more):
        return PingEvidence(
            host="s001-ap1",
            target="203.0.113.10",
            packet_bytes=size,
            df=df,
            answered=answered,
            basis="real program",
            command=f"ping -s {size - 28}",
            **more,
        )

    world = b.World(wan_mtu=1500)
    refused = (ping(1500, answered=False, too_big_mtu_bytes=1492),)
    zero = (ping(1500, answered=False, too_big_mtu_bytes=0),)
    ceiling = (ping(1492, answered=True), ping(1493, answered=False))
    dead = (ping(1492, answered=False), ping(500, answered=False))

    assert rows(world.but(pings=refused))["ipv4", "up"].path_mtu == 1492
    assert rows(world.but(pings=zero))["ipv4", "up"].path_mtu == 1500
    assert rows(world.but(pings=ceiling))["ipv4", "up"].path_mtu == 1492
    assert rows(world.but(pings=dead))["ipv4", "up"].path_mtu == 1500


@pytest.mark.parametrize(("df", "path_mtu"), [(True, 1492), (None, 1492), (False, 1500)])
def test_a_lost_large_ping_shows_the_ceiling_unless_df_is_known_to_be_clear(b, df, path_mtu):
    pings = tuple(
        PingEvidence(
            host="s001-ap1",
            target="203.0.113.10",
            packet_bytes=size,
            df=df,
            answered=size <= 1492,
            basis="emulation",
            command="ping",
        )
        for size in (576, 1484, 1492, 1500)
    )
    world = b.World(wan_mtu=1500, connected=True, pings=pings)
    (bracket,) = {row.path_mtu for row in rows(world).values() if row.key.direction == "up"}

    # With DF unknown an answer proves nothing, so the exact figure stays open.
    assert bracket == (None if df is None else path_mtu)


def from_the_gateway(*, df=True):
    return tuple(
        PingEvidence(
            host="s001-gw1",
            target="203.0.113.10",
            packet_bytes=size,
            df=df,
            answered=size <= 1400,
            basis="emulation",
            command="ping",
        )
        for size in (576, 1396, 1400, 1404, 1500)
    )


def test_the_gateways_own_pings_with_df_show_the_way_beyond_it(b):
    world = b.World(wan_mtu=1500)

    def up(pings):
        return rows(world.but(pings=pings))["ipv4", "up"].path_mtu

    assert up(from_the_gateway()) == 1400
    # Without DF it cuts them up itself.
    assert up(from_the_gateway(df=False)) == 1500
    assert up(tuple(replace(ping, host="s002-gw1") for ping in from_the_gateway())) == 1500


def test_what_tcp_brought_through_refutes_the_gateways_lost_pings(b):
    world = b.World(wan_mtu=1500, pings=from_the_gateway())
    whole = world.flow(largest_acked_up_bytes=1500)
    seen = world.but(captures=(world.capture("ap", flows=(whole,)),))

    assert rows(seen)["ipv4", "up"].path_mtu == 1500


def test_an_answered_large_ping_proves_nothing_where_df_is_unknown(b):
    big = PingEvidence(
        host="s001-ap1",
        target="203.0.113.10",
        packet_bytes=1500,
        df=None,
        answered=True,
        basis="emulation",
        command="ping",
    )
    world = b.World(wan_mtu=1492, pings=(big,))

    assert rows(world)["ipv4", "up"].path_mtu == 1492


def test_proofs_keep_what_they_rest_on(b):
    up = next(p for p in prove(b.World().evidence()) if p.direction == "up")

    assert up.walk is not None
    assert up.walk.start_bytes == 1460
    assert up.path.narrowest is not None
    assert up.path.narrowest.cite.line == 5


@pytest.mark.parametrize(("advmss", "covered", "mss"), [(1460, False, 1460), (1452, True, 1452)])
def test_an_mss_that_the_aps_route_sets_is_what_its_syn_asks_for(b, advmss, covered, mss):
    evidence = b.World().evidence()
    ap = evidence.facts[0]
    routes = tuple(replace(route, advmss_bytes=advmss) for route in ap.routes.value)
    table = prove_coverage(evidence.with_facts(replace(ap, routes=Known(routes, ap.routes.source))))
    down = next(row for row in table if row.key.direction == "down")

    assert (down.covered, down.mss.configured) == (covered, mss)
