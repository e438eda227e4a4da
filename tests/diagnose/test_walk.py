"""The walk of a handshake packet through a ruleset, in the order of the kernel."""

from __future__ import annotations

import pytest

from mtughost.diagnose.flows import derive_flows
from mtughost.diagnose.handshake import syn_ack_stages, syn_stages
from mtughost.diagnose.match import Packet
from mtughost.diagnose.passage import ANYTHING, Stage
from mtughost.diagnose.rules.deafness import TOO_BIG_NAMES
from mtughost.diagnose.walk import MAX_STEPS, walk
from mtughost.model.clamps import NameSet, PortSet, PrefixSet


@pytest.fixture
def go(b):
    """Return a function that walks the SYN-ACK (or SYN) of the standard flow."""

    def run(*items, packet="syn-ack", start=1460, path=1452, family="ipv4", notes=(), **world):
        flow = derive_flows(b.World(family=family, **world).evidence()).flows[0]
        stages = syn_ack_stages(flow) if packet == "syn-ack" else syn_stages(flow)
        return walk(b.ruleset(*items, notes=notes), stages, start, path)

    return run


def test_a_rule_that_matches_lowers_the_mss(b, go):
    result = go(b.clamp(iif="wan0", oif="vlan20", to=1400))

    assert result.mss_bytes == 1400
    assert [v.applies for v in result.visits] == ["yes"]
    assert result.visits[0].changed


def test_an_empty_ruleset_changes_nothing(go):
    assert go().mss_bytes == 1460


def test_a_rule_for_another_vlan_names_the_interface_it_matches_instead(b, go):
    result = go(b.clamp(iif="wan0", oif="vlan30"))

    assert result.mss_bytes == 1460
    assert [m.text for m in result.visits[0].misses] == ["matches vlan30 only"]
    assert result.visits[0].misses[0].kind == "out-interface"


def test_a_rule_for_the_way_out_misses_the_syn_ack_and_hits_the_syn(b, go):
    rule = b.clamp(oif="wan0")

    assert go(rule).mss_bytes == 1460
    assert go(rule, packet="syn").mss_bytes == 1452


def test_an_earlier_accept_in_the_same_chain_shadows_the_clamp(b, go):
    result = go(b.rule("fw 3", iif="wan0"), b.clamp(oif="vlan20"))

    assert result.mss_bytes == 1460
    assert [m.kind for m in result.visits[0].misses] == ["shadowed"]
    assert "fw 3" in result.visits[0].misses[0].text


def test_an_accept_in_another_base_chain_does_not_shadow(b, go):
    early = b.chain(b.rule("fw 3"), priority=-200, name="early")
    late = b.chain(b.clamp(oif="vlan20"), priority=-150, name="late")

    assert go(early, late).mss_bytes == 1452


def test_a_drop_ends_the_packet_and_names_the_rule(b, go):
    early = b.chain(b.rule("fw 9", action="drop"), priority=-200, name="early")
    late = b.chain(b.clamp(oif="vlan20"), name="late")

    result = go(early, late)

    assert (result.dropped, result.dropped_by) == ("yes", "rule fw 9")
    assert "fw 9" in result.visits[0].misses[0].text


def test_a_policy_of_drop_counts_as_a_drop(b, go):
    result = go(b.chain(b.rule("pass", action="pass"), policy="drop", name="fwd"))

    assert result.dropped == "yes"
    assert "policy drop" in result.dropped_by


def test_a_doubtful_drop_is_only_possible(b, go):
    result = go(b.rule("fw 9", action="drop", opaque=("ct state invalid",)))

    assert result.dropped == "maybe"
    assert result.mss_bytes == 1460


def test_priorities_decide_the_order_not_the_listing(b, go):
    raising = b.chain(b.clamp("late", to=1440, can_raise=True), priority=10, name="late")
    lowering = b.chain(b.clamp("early", to=1300), priority=-10, name="early")

    assert go(raising, lowering).mss_bytes == 1440


def test_a_rule_raises_only_when_it_can(b, go):
    assert go(b.clamp(to=1480), start=1400).mss_bytes == 1400
    assert go(b.clamp(to=1480, can_raise=True), start=1400).mss_bytes == 1480


def test_a_size_guard_is_respected(b, go):
    rule = b.clamp(to=1452, can_raise=True, mss_above_bytes=1452)

    assert go(rule, start=1460).mss_bytes == 1452
    assert go(rule, start=1400).mss_bytes == 1400
    assert go(b.clamp(to=1300, mss_at_most_bytes=1400), start=1460).mss_bytes == 1460


def test_a_size_guard_splits_an_uncertain_value(b, go):
    doubtful = b.clamp("maybe", to=1400, opaque=("meta mark 7",))
    sure = b.clamp("sure", to=1452, can_raise=True, mss_above_bytes=1452)

    result = go(doubtful, sure)

    assert (result.low_bytes, result.high_bytes) == (1400, 1452)


def test_an_opaque_clamp_widens_the_result(b, go):
    result = go(b.clamp(to=1400, opaque=("meta mark 7",)))

    assert result.mss_bytes is None
    assert (result.low_bytes, result.high_bytes) == (1400, 1460)
    assert "meta mark 7" in result.doubts[0]


def test_an_opaque_accept_makes_a_later_clamp_doubtful(b, go):
    result = go(b.rule(opaque=("ct mark 1",)), b.clamp(to=1452))

    assert (result.low_bytes, result.high_bytes) == (1452, 1460)
    assert result.visits[0].applies == "maybe"


def test_an_opaque_rule_that_only_counts_costs_nothing(b, go):
    assert go(b.rule(action="pass", opaque=("limit rate 5/s",)), b.clamp()).mss_bytes == 1452


def test_a_later_certain_clamp_settles_an_earlier_doubt(b, go):
    result = go(b.clamp("a", to=1456, opaque=("x",)), b.clamp("b", to=1452))

    assert result.mss_bytes == 1452


def test_text_that_could_not_be_placed_forbids_any_proof(b, go):
    result = go(b.clamp(), notes=("xt match foo",))

    assert result.mss_bytes is None
    assert result.span == ANYTHING
    assert "xt match foo" in result.doubts[-1]


def test_an_unknown_path_mtu_leaves_only_an_upper_bound(b, go):
    result = go(b.clamp(), path=None)

    assert (result.low_bytes, result.high_bytes) == (0, 1460)
    assert go(b.clamp(can_raise=True), path=None).high_bytes > 1460


def test_a_jump_goes_there_and_comes_back(b, go):
    base = b.chain(b.rule("j", action=b.Jump(chain="sub")), b.clamp("after", to=1440))
    sub = b.chain(b.clamp("inside", to=1450), hook=None, name="sub")

    result = go(base, sub)

    assert result.mss_bytes == 1440
    assert {v.rule.name: v.applies for v in result.visits} == {"inside": "yes", "after": "yes"}


def test_a_goto_does_not_come_back(b, go):
    base = b.chain(b.rule("g", action=b.Jump(chain="sub", goto=True)), b.clamp("after", to=1440))
    sub = b.chain(b.clamp("inside", to=1450), hook=None, name="sub")

    result = go(base, sub)

    assert result.mss_bytes == 1450
    assert {v.rule.name: v.applies for v in result.visits} == {"inside": "yes", "after": "no"}


def test_a_return_skips_the_rest_of_the_chain_only(b, go):
    base = b.chain(b.rule("j", action=b.Jump(chain="sub")), b.clamp("after", to=1440))
    sub = b.chain(b.rule("r", action="return"), b.clamp("skipped", to=1000), hook=None, name="sub")

    result = go(base, sub)

    assert result.mss_bytes == 1440
    assert {v.rule.name: v.applies for v in result.visits}["skipped"] == "no"


def test_an_accept_inside_a_jump_ends_the_base_chain(b, go):
    base = b.chain(b.rule("j", action=b.Jump(chain="sub")), b.clamp("after", to=1440))
    sub = b.chain(b.rule("a"), hook=None, name="sub")

    result = go(base, sub)

    assert result.mss_bytes == 1460
    assert "rule a" in result.visits[0].misses[0].text


def test_a_doubtful_accept_inside_a_jump_makes_what_follows_doubtful(b, go):
    base = b.chain(b.rule("j", action=b.Jump(chain="sub")), b.clamp("after", to=1440))
    sub = b.chain(b.rule("a", opaque=("x",)), hook=None, name="sub")

    result = go(base, sub)

    assert (result.low_bytes, result.high_bytes) == (1440, 1460)
    assert result.visits[0].applies == "maybe"


def test_a_doubtful_jump_leaves_what_follows_certain(b, go):
    base = b.chain(
        b.rule("j", action=b.Jump(chain="sub"), opaque=("x",)), b.clamp("after", to=1440)
    )
    sub = b.chain(b.clamp("inside", to=1450), hook=None, name="sub")

    result = go(base, sub)

    assert result.mss_bytes == 1440
    assert {v.rule.name: v.applies for v in result.visits} == {"inside": "maybe", "after": "yes"}


def test_a_jump_that_does_not_match_explains_the_clamps_behind_it(b, go):
    base = b.chain(b.rule("j", oif="vlan30", action=b.Jump(chain="sub")))
    sub = b.chain(b.rule("k", action=b.Jump(chain="deep")), hook=None, name="sub")
    deep = b.chain(b.clamp("inside"), hook=None, name="deep")

    result = go(base, sub, deep)

    assert [m.text for m in result.visits[0].misses] == ["matches vlan30 only"]


def test_a_chain_that_nobody_jumps_to_is_dead(b, go):
    result = go(b.chain(b.rule("x", action="pass")), b.chain(b.clamp(), hook=None, name="orphan"))

    assert [m.kind for m in result.visits[0].misses] == ["unreached"]


def test_a_clamp_for_the_gateways_own_traffic_does_not_see_the_flow(b, go):
    result = go(b.chain(b.clamp(), hook="output", name="out"))

    assert result.mss_bytes == 1460
    assert [m.kind for m in result.visits[0].misses] == ["hook"]


def test_a_jump_to_a_chain_that_was_not_shown_forbids_any_proof(b, go):
    result = go(b.rule("j", action=b.Jump(chain="gone")), b.clamp())

    assert result.mss_bytes is None
    assert "gone" in result.unreadable[0]
    assert result.dropped == "maybe"


def test_chains_that_call_each_other_end(b, go):
    one = b.chain(b.rule("j", action=b.Jump(chain="b")), hook="forward", name="a")
    two = b.chain(b.rule("k", action=b.Jump(chain="a2")), hook=None, name="b")
    three = b.chain(b.rule("l", action=b.Jump(chain="b")), hook=None, name="a2")

    assert go(one, two, three).mss_bytes is None


def test_a_ruleset_that_explodes_is_given_up_not_walked_for_ever(b, go):
    levels = [
        b.chain(
            *(b.rule(f"{i}.{j}", action=b.Jump(chain=f"c{i + 1}")) for j in range(8)),
            hook="forward" if i == 0 else None,
            name=f"c{i}",
        )
        for i in range(8)
    ]
    levels.append(b.chain(b.rule("end", action="pass"), hook=None, name="c8"))

    result = go(*levels)

    assert MAX_STEPS < 8**8
    assert result.mss_bytes is None


def test_prerouting_knows_only_the_way_in(b, go):
    by_in = b.chain(b.clamp(iif="wan0", to=1400), hook="prerouting", name="pre")
    by_out = b.chain(b.clamp(oif="vlan20", to=1400), hook="prerouting", name="pre")
    derived = b.chain(b.clamp(iif="wan0"), hook="prerouting", name="pre")

    assert go(by_in).mss_bytes == 1400
    assert go(by_out).mss_bytes == 1460
    assert go(derived).mss_bytes is None, "there is no route yet whose MTU could be taken"


def test_a_negated_interface_that_does_not_exist_yet_is_doubtful(b, go):
    not_vlan30 = b.chain(
        b.clamp(oif="vlan30", to=1400, negated=True), hook="prerouting", name="pre"
    )

    assert go(not_vlan30).mss_bytes is None


def test_the_way_in_is_doubtful_in_postrouting(b, go):
    post = b.chain(b.clamp(iif="wan0", to=1400), hook="postrouting", name="post")
    other = b.chain(b.clamp(iif="wan9", to=1400), hook="postrouting", name="post")

    assert go(post).mss_bytes is None
    assert go(other).mss_bytes == 1460


def test_ingress_and_egress_chains_hang_on_devices(b, go):
    here = b.chain(b.clamp(to=1400), hook="ingress", name="in", devices=("wan0",))
    there = b.chain(b.clamp(to=1400), hook="ingress", name="in", devices=("vlan30",))
    out = b.chain(b.clamp(to=1400), hook="egress", name="out", devices=("vlan30",))

    assert go(here).mss_bytes == 1400
    assert go(there).mss_bytes == 1460
    assert go(there).visits[0].misses[0].kind == "in-interface"
    assert go(out).visits[0].misses[0].text == "hangs on vlan30 only"


def test_a_table_of_the_other_family_is_skipped(b, go):
    only4 = b.chain(b.clamp(to=1400), families=frozenset({"ipv4"}))

    assert go(only4).mss_bytes == 1400
    assert go(only4, family="ipv6", start=1440).mss_bytes == 1440


def test_a_rule_of_the_other_family_is_named_so(b, go):
    result = go(b.clamp(families=frozenset({"ipv4"})), family="ipv6", start=1440)

    assert [m.kind for m in result.visits[0].misses] == ["family"]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"destination_ports": 2083}, 1460),
        ({"source_ports": 2083}, 1400),
        ({"source_ports": PortSet(ranges=((2083, 2083),), negated=True)}, 1460),
        ({"destination_ports": PortSet(ranges=((1024, 65535),))}, 1400),
        ({"destination_ports": PortSet(ranges=((1024, 40000),))}, None),
        ({"destination_ports": PortSet(ranges=((1, 1023),), negated=True)}, 1400),
        ({"sources": "203.0.113.0/24"}, 1400),
        ({"sources": "198.51.100.0/24"}, 1460),
        ({"sources": PrefixSet(prefixes=("203.0.113.0/24",), negated=True)}, 1460),
        ({"sources": "not-an-address"}, None),
        ({"sources": "2001:db8::/32"}, 1460),
        ({"destinations": "10.20.0.0/24"}, 1400),
        ({"protocols": frozenset({"udp"})}, 1460),
        ({"protocols": frozenset({"6"})}, 1400),
        ({"protocols": None}, 1400),
        ({"handshake": frozenset({"syn"})}, 1460),
        ({"handshake": frozenset({"syn-ack"})}, 1400),
        ({"icmp_types": frozenset({"3"})}, 1460),
        ({"iif": "wan*"}, 1400),
        ({"iif": "vlan*"}, 1460),
        ({"iif": "vlan30", "negated": True}, 1400),
    ],
)
def test_every_condition_is_checked_against_the_syn_ack(b, go, match, expected):
    assert go(b.clamp(to=1400, **match)).mss_bytes == expected


def test_addresses_are_seen_before_or_after_nat_by_hook_and_priority(b, go):
    def clamp_in(hook, priority, **match):
        return b.chain(b.clamp(to=1400, **match), hook=hook, priority=priority, name=hook)

    to_ap = {"destinations": "10.20.0.10"}
    from_ap = {"sources": "10.20.0.10"}

    assert go(clamp_in("prerouting", -150, **to_ap)).mss_bytes is None, "still the WAN address?"
    assert go(clamp_in("prerouting", -50, **to_ap)).mss_bytes == 1400, "translated back"
    assert go(clamp_in("forward", 0, **to_ap)).mss_bytes == 1400
    assert go(clamp_in("postrouting", -150, **from_ap), packet="syn").mss_bytes == 1400
    assert go(clamp_in("postrouting", 150, **from_ap), packet="syn").mss_bytes is None
    other = {"sources": "198.51.100.7"}
    assert go(clamp_in("postrouting", 150, **other), packet="syn").mss_bytes == 1460


def test_a_chain_that_may_be_of_type_nat_is_not_relied_on_for_a_reply(b, go):
    nat = b.chain(b.clamp(to=1400), hook="postrouting", priority=100, name="nat")

    assert go(nat, packet="syn").mss_bytes == 1400
    assert go(nat).mss_bytes is None


def test_an_unknown_interface_is_doubtful(b, go):
    result = go(b.clamp(iif="wan0", to=1400), gateway_read=False)

    assert result.mss_bytes is None


def test_a_clamp_that_accepts_ends_its_chain(b, go):
    result = go(b.clamp("one", to=1450, then="accept"), b.clamp("two", to=1400))

    assert result.mss_bytes == 1450


def test_a_rule_reached_twice_keeps_its_better_outcome(b, go):
    base = b.chain(
        b.rule("j1", oif="vlan30", action=b.Jump(chain="sub")),
        b.rule("j2", oif="vlan20", action=b.Jump(chain="sub")),
        b.rule("j3", oif="vlan31", action=b.Jump(chain="sub")),
    )
    sub = b.chain(b.clamp("inside", to=1450), hook=None, name="sub")

    result = go(base, sub)

    assert [v.applies for v in result.visits] == ["yes"]


def test_an_icmp_packet_is_not_taken_for_tcp(b):
    packet = Packet(
        family="ipv4",
        protocol="icmp",
        in_interface="eth0",
        out_interface=None,
        icmp_types=TOO_BIG_NAMES["ipv4"],
    )
    stages = (Stage(hook="input", packet=lambda _: packet),)

    def dropped(**match):
        chain = b.chain(b.rule(action="drop", **match), hook="input", name="in")
        return walk(b.ruleset(chain), stages, 0, None).dropped

    assert dropped(protocols=frozenset({"icmp"})) == "yes"
    assert dropped(icmp_types=frozenset({"Destination-Unreachable"})) == "yes"
    assert dropped(icmp_types=frozenset({"echo-request"})) == "no"
    assert dropped(destination_ports=22) == "no"
    assert dropped(handshake=frozenset({"syn"})) == "no"
    assert dropped(iif="eth1") == "no"


def test_a_name_set_understands_stars_and_negation():
    assert NameSet(names=("ppp*",)).holds("ppp0")
    assert not NameSet(names=("ppp*",), negated=True).holds("ppp0")
