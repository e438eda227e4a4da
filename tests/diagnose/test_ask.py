"""What to collect next."""

from __future__ import annotations

from dataclasses import replace

from mtughost.diagnose import diagnose_site, wanted_tests
from mtughost.diagnose.ask import RISK_OF
from mtughost.model.basis import Unknown
from mtughost.model.findings import HostStatus


def asked(world, **options):
    return [(t.kind, t.host) for t in wanted_tests(world.evidence(), **options)]


def test_a_settled_site_asks_for_nothing(b):
    healthy = b.World(connected=True, rules=b.both_ways())
    proven = b.World(rules=b.other_vlan()).stalled_up()

    assert asked(healthy) == []
    assert asked(proven) == []
    assert diagnose_site(proven.evidence()).next_test is None


def test_a_likely_fault_asks_for_packets_then_probes(b):
    assert asked(b.World(rules=b.other_vlan())) == [
        ("capture", "s001-ap1"),
        ("capture", "s001-gw1"),
        ("service-probe", "s001-ap1"),
        ("ping", "s001-ap1"),
    ]


def test_only_what_is_allowed_is_asked(b):
    assert asked(b.World(rules=b.other_vlan()), allowed=("passive",)) == []


def test_cheap_reads_come_before_captures(b):
    world = b.World(unread=(("s001-gw1", "clamps"), ("s001-ap1", "cloud")))

    assert asked(world)[:2] == [("clamps", "s001-gw1"), ("cloud", "s001-ap1")]


def test_a_device_that_failed_is_asked_for_by_its_login(b):
    failed = HostStatus(
        host="s001-gw1",
        site="s001",
        role="gateway",
        status="failed",
        error="no route to host",
        error_kind="unreachable",
    )
    world = b.World(gateway_read=False, failed=(failed,))

    tests = wanted_tests(world.evidence())

    assert (tests[0].kind, tests[0].host) == ("login", "s001-gw1")
    assert "no route to host" in tests[0].summary


def test_what_a_device_could_not_say_names_its_own_cheapest_test(b):
    evidence = b.World().evidence()
    gateway = replace(
        evidence.facts[1],
        clamps=Unknown("the account may not see the packet filter", "Run nft list ruleset as root"),
    )

    tests = wanted_tests(evidence.with_facts(gateway))

    assert tests[0].summary == (
        "Run nft list ruleset as root (the account may not see the packet filter)"
    )


def test_captures_and_probes_that_are_there_are_not_asked_again(b):
    world = b.World(connected=True)
    world = world.but(
        captures=(world.capture("ap"), world.capture("gateway-wan")),
        probes=(world.probe((569, "reply")),),
    )

    assert asked(world) == []


def test_every_kind_that_is_asked_has_a_risk_class(b):
    for world in (b.World(), b.World(unread=(("*", "clamps"), ("*", "sessions")))):
        assert {kind for kind, _ in asked(world)} <= set(RISK_OF)
