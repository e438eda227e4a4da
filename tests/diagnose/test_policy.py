"""Policy routing: which egress a flow takes, and what stays open where nobody can tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose import diagnose_site
from mtughost.diagnose.flows import derive_flows
from mtughost.diagnose.policy import Packet, choose
from mtughost.model.basis import Known, Source, Unknown
from mtughost.model.device import Interface, PolicyRule, Route

MAIN = PolicyRule(priority=32766, family="ipv4", table="main", text="32766: from all lookup main")
VLAN = PolicyRule(
    priority=100,
    family="ipv4",
    table="7",
    source="10.20.0.0/24",
    in_interface="vlan20",
    text="100: from 10.20.0.0/24 iif vlan20 lookup 7",
)


def mark(**more):
    return PolicyRule(
        **{
            "priority": 50,
            "family": "ipv4",
            "table": "7",
            "opaque": ("fwmark 0x1",),
            "text": "50: from all fwmark 0x1 lookup 7",
            **more,
        }
    )


def two_ways(b, policy, **more):
    """Two WANs: the main table's, and another one in table 7."""
    world = b.World(
        extra_interfaces=(Interface(name="lte0", mtu_bytes=1428, kind="ethernet"),),
        extra_routes=(Route(destination="default", family="ipv4", interface="lte0", table="7"),),
        **more,
    )
    evidence = world.evidence()
    if policy is None:
        return evidence
    facts = evidence.facts_of("s001-gw1")
    source = Source(host="s001-gw1", basis="real program", command="ip rule show")
    return evidence.with_facts(replace(facts, policy=Known(policy, source)))


def ways(evidence):
    return [(f.egress, f.active, bool(f.doubt)) for f in derive_flows(evidence).flows]


def test_a_rule_for_the_vlan_decides_the_egress(b):
    assert ways(two_ways(b, (VLAN, MAIN))) == [("lte0", True, False), ("wan0", False, False)]


@pytest.mark.parametrize(
    "rule",
    [
        {"source": "10.99.0.0/24"},
        {"in_interface": "vlan30"},
        {"in_interface": "lo"},
        {"destination": "198.51.100.0/24"},
        {"family": "ipv6"},
        {"table": "empty"},
        {"opaque": ("not",), "source": "10.20.0.0/24"},
    ],
)
def test_a_rule_that_certainly_misses_decides_nothing(b, rule):
    found = ways(two_ways(b, (mark(**{"opaque": (), **rule}), MAIN)))

    assert found == [("wan0", True, False), ("lte0", False, False)]


@pytest.mark.parametrize("policy", [(mark(), MAIN), (mark(opaque=("not", "sport 5")), MAIN), None])
def test_what_nobody_can_evaluate_leaves_both_ways_possible(b, policy):
    evidence = two_ways(b, policy)

    assert ways(evidence) == [("wan0", True, True), ("lte0", False, True)]
    assert "not certain" in " ".join(derive_flows(evidence).notes)


def test_a_turned_round_rule_takes_everything_else(b):
    rule = mark(opaque=("not",), source="10.99.0.0/24")

    assert ways(two_ways(b, (rule, MAIN)))[0] == ("lte0", True, False)


def test_a_table_without_its_default_route_hands_the_packet_on(b):
    rule = mark(opaque=("suppress_prefixlength 0",))

    assert ways(two_ways(b, (rule, MAIN)))[0] == ("wan0", True, False)


def test_a_refusal_is_not_a_way_out(b):
    rules = (mark(table="", opaque=(), source="10.20.0.0/24"), MAIN)

    assert all(not doubt for _, _, doubt in ways(two_ways(b, rules)))


def test_a_covered_way_is_not_enough_where_another_one_may_be_taken(b):
    open_way = two_ways(b, (mark(), MAIN), rules=b.both_ways(), connected=True)
    settled = two_ways(b, (MAIN,), rules=b.both_ways(), connected=True)

    assert diagnose_site(open_way).verdict == "unknown"
    assert diagnose_site(settled).verdict == "ok"


def test_the_fault_is_sought_on_the_way_that_policy_chooses(b):
    evidence = two_ways(b, (VLAN, MAIN), rules=b.both_ways())

    site = diagnose_site(evidence)

    assert site.verdict == "fault"
    assert site.findings[0].flow.egress == "lte0"


def test_a_hole_on_a_way_that_may_not_be_taken_is_not_confirmed_without_a_packet_on_it(b):
    world = b.World()
    stuck = world.session(unacked_segments=3, backoff=3, retransmits_now=3)
    sure = diagnose_site(two_ways(b, (MAIN,), sessions=(stuck,)))
    unsure = diagnose_site(two_ways(b, (mark(), MAIN), sessions=(stuck,)))

    assert sure.findings[0].grade == "confirmed"
    assert unsure.findings[0].grade == "likely"


def leads(name, table="main", destination="default", **more):
    return Route(destination=destination, family="ipv4", interface=name, table=table, **more)


TABLES = (
    leads("wan0"),
    leads("lte0", "7"),
    leads("mpls0", "8", "203.0.113.0/24"),
    leads("own0", "local"),
    leads("own1", "255"),
)
ASKED = Packet(
    family="ipv4", source="10.20.0.10", destination="203.0.113.10", in_interface="vlan20"
)


def taken(*rules, asked=ASKED, routes=TABLES):
    """Return the way, the ways it may take instead, the doubt and the table of the rule."""
    choice = choose(routes, Known(rules, Source(host="g", basis="sample")), asked)
    way = choice.route.interface if choice.route is not None else None
    others = tuple(route.interface for route in choice.others)
    return way, others, choice.doubt, choice.by.table if choice.by is not None else None


@pytest.mark.parametrize(
    ("rule", "asked", "way"),
    [
        ({"source": "10.20.0.0/24"}, {}, ("lte0", (), "", "7")),
        ({"source": "10.20.0.0/24"}, {"source": "10.21.0.10"}, ("wan0", (), "", None)),
        ({"destination": "203.0.113.10"}, {}, ("lte0", (), "", "7")),
        ({"in_interface": "vlan20"}, {}, ("lte0", (), "", "7")),
        ({"table": "8"}, {}, ("mpls0", (), "", "8")),
        ({"table": "8"}, {"destination": "198.51.100.1"}, ("wan0", (), "", None)),
        ({"table": "254"}, {}, ("wan0", (), "", None)),
        # Where the packet's side of a condition is unknown, both ways stay open.
        ({"source": "10.20.0.0/24"}, {"source": None}, ("wan0", ("lte0",), "", None)),
        ({"destination": "203.0.113.0/24"}, {"destination": None}, ("wan0", ("lte0",), "", None)),
        ({"in_interface": "vlan20"}, {"in_interface": None}, ("wan0", ("lte0",), "", None)),
        ({"opaque": ("fwmark 0x1",)}, {}, ("wan0", ("lte0",), "", None)),
        ({"opaque": ("fwmark 0x1",), "in_interface": "vlan30"}, {}, ("wan0", (), "", None)),
        ({"opaque": ("not",), "in_interface": "vlan30"}, {}, ("lte0", (), "", "7")),
        ({"opaque": ("not",), "in_interface": "vlan20"}, {}, ("wan0", (), "", None)),
        ({"opaque": ("not", "fwmark 0x1")}, {}, ("wan0", ("lte0",), "", None)),
        # A doubtful rule that would lead the same way leaves no doubt.
        ({"opaque": ("fwmark 0x1",), "table": "main"}, {}, ("wan0", (), "", None)),
    ],
)
def test_a_rule_sends_what_it_certainly_matches_and_may_send_what_it_may_match(rule, asked, way):
    name, others, _, table = way
    found = taken(mark(**{"opaque": (), **rule}), MAIN, asked=replace(ASKED, **asked))

    doubt = "the rule '50: from all fwmark 0x1 lookup 7' cannot be evaluated" if others else ""
    assert found == (name, others, doubt, table)


@pytest.mark.parametrize(
    ("limit", "destination", "way"),
    [
        ("suppress_prefixlength 0", "203.0.113.10", "mpls0"),
        ("suppress_prefixlength 23", "203.0.113.10", "mpls0"),
        ("suppress_prefixlength 24", "203.0.113.10", "wan0"),
    ],
)
def test_routes_that_are_too_wide_for_a_rule_are_passed_over(limit, destination, way):
    rule = mark(table="8", opaque=(limit,))

    assert taken(rule, MAIN, asked=replace(ASKED, destination=destination))[0] == way


def test_the_first_doubtful_rule_is_named_and_every_way_it_opens_is_kept():
    first = mark(text="50: fwmark 0x1")
    second = mark(text="60: fwmark 0x2", table="8")

    assert taken(first, second, MAIN) == (
        "wan0",
        ("lte0", "mpls0"),
        "the rule '50: fwmark 0x1' cannot be evaluated",
        None,
    )


def test_without_a_rule_that_certainly_applies_every_way_is_only_possible():
    assert taken(mark()) == (None, ("lte0",), "no rule certainly applies", None)
    assert taken() == (None, (), "", None)


def test_a_table_without_a_route_hands_on_and_a_refusal_ends_it():
    assert taken(mark(table="empty", opaque=()), MAIN)[0] == "wan0"
    assert taken(mark(table="", opaque=()), MAIN)[0] is None
    assert taken(replace(MAIN, table="local"), MAIN)[0] == "wan0"


def test_where_rules_are_unknown_every_other_table_may_be_the_one_but_the_local_ones():
    choice = choose(TABLES, Unknown("no ip rule"), ASKED)

    assert choice.route.interface == "wan0"
    assert [route.interface for route in choice.others] == ["lte0", "mpls0"]
    assert choice.doubt == "the rules of policy routing are unknown (no ip rule)"
    sure = choose(TABLES[:1] + TABLES[3:], Unknown("no ip rule"), ASKED)
    assert (sure.others, sure.doubt) == ((), "")
