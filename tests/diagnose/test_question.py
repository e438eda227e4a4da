"""What is asked of the owner of a gateway on which we may not log in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose import diagnose_site, wanted_tests


def question(world):
    return diagnose_site(world.evidence()).next_test


def seen_from_the_ap(b):
    """An upload that stalls, at a site whose gateway nobody may log in to."""
    world = b.World(gateway_read=False, sends_df=True)
    flow = world.flow(
        syn_ack_mss_bytes=1460,
        smallest_lost_up_bytes=1500,
        stalled_up_bytes=1500,
        retransmits_up=5,
        largest_acked_up_bytes=294,
    )
    capture = world.capture("ap", syn=1460, syn_ack=1460, flows=(flow,))
    probe = world.probe((352, "reply"), (1500, "timeout"))
    return world.but(captures=(capture,), probes=(probe,))


def test_the_question_carries_what_was_seen_and_asks_for_scope_and_counter(b):
    asked = question(seen_from_the_ap(b))

    assert (asked.kind, asked.host) == ("question", "s001-gw1")
    for words in (
        "10.20.0.10 to 203.0.113.10 port 2083",
        "the SYN-ACK arrives with MSS 1460",
        "packets of 1500 bytes towards the service are never acknowledged",
        "no ICMP type 3 code 4 arrives",
        "hit counter before and after one new connection",
        "second WAN",
        "whole packet filter",
        "'nft list ruleset'",
        "older iptables-legacy rules included",
    ):
        assert words in asked.question


def test_a_provider_is_asked_where_a_controller_manages_the_gateway(b):
    world = b.World(gateway_read=False, connected=True, managed_by="controller")
    capture = world.capture("ap", syn=1460, syn_ack=1452)
    asked = question(world.but(captures=(capture,), probes=(world.probe((1492, "reply")),)))

    assert "Ask the provider" in asked.summary
    assert "it works today" in asked.question


def test_what_the_access_point_can_still_show_comes_before_asking_anybody(b):
    assert question(b.World(gateway_read=False)).kind == "capture"


def test_a_gateway_that_was_read_is_not_asked_about(b):
    asked = question(b.World(connected=True))

    assert (asked.kind, asked.question) == ("capture", "")


def test_another_platforms_owner_is_asked_for_the_whole_section(b):
    world = b.World(gateway_read=False)
    capture = world.capture("ap", syn=1460, syn_ack=1460)
    evidence = world.but(captures=(capture,), probes=(world.probe((352, "reply")),)).evidence()
    devices = tuple(replace(d, platform="fortinet") for d in evidence.site.devices)
    asked = diagnose_site(replace(evidence, site=replace(evidence.site, devices=devices))).next_test

    assert "whole section" in asked.question
    assert "nft list ruleset" not in asked.question


def handed_in(world, basis="recorded output"):
    """The gateway's filter as somebody sent it, instead of as a login read it."""
    evidence = world.evidence()
    facts = evidence.facts_of("s001-gw1")
    source = replace(facts.clamps.source, basis=basis)
    return evidence.with_facts(replace(facts, clamps=replace(facts.clamps, source=source)))


def questions(evidence):
    return [test for test in wanted_tests(evidence) if test.kind == "question"]


def test_a_filter_that_was_sent_in_part_raises_the_question_for_the_rest(b):
    note = "legacy iptables rules may exist: nothing shows whether their tables are loaded"
    (asked,) = questions(handed_in(b.World(notes=(note,))))

    assert asked.host == "s001-gw1"
    assert "--told filter.complete=yes" in asked.summary
    assert note in asked.question
    assert "say whether that is everything that filters or rewrites packets" in asked.question


@pytest.mark.parametrize(
    ("more", "basis"),
    [
        ({}, "recorded output"),
        ({"notes": ("an odd line",)}, "real device"),
        ({"notes": ("an odd line",), "unread": (("s001-gw1", "clamps"),)}, "recorded output"),
    ],
)
def test_only_a_doubtful_filter_that_a_person_sent_raises_it(b, more, basis):
    world = b.World(**more)
    evidence = world.evidence() if "unread" in more else handed_in(world, basis)

    assert questions(evidence) == []
