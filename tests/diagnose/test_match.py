"""Each condition of a rule against a packet: the verdict, and the words for what it misses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose.match import Packet, match_mss, match_rule, names_text
from mtughost.model.clamps import Match, NameSet, PortSet, PrefixSet

SYN = Packet(
    family="ipv4",
    protocol="tcp",
    in_interface="vlan20",
    out_interface="wan0",
    sources=("10.20.0.10",),
    destinations=("203.0.113.10",),
    source_ports=(32768, 65535),
    destination_ports=(2083, 2083),
    handshake="syn",
)
ICMP = replace(
    SYN,
    protocol="icmp",
    source_ports=None,
    destination_ports=None,
    handshake=None,
    icmp_types=frozenset({"3", "fragmentation-needed"}),
)


def names(*listed, negated=False):
    return NameSet(names=listed, negated=negated)


def prefixes(*listed, negated=False):
    return PrefixSet(prefixes=listed, negated=negated)


def ports(*ranges, negated=False):
    return PortSet(ranges=ranges, negated=negated)


def told(packet, hook="forward", **conditions):
    """Return the verdict and what a person reads about it."""
    matched = match_rule(Match(**conditions), packet, hook)
    reasons = matched.misses if matched.verdict == "no" else matched.doubts
    return matched.verdict, " | ".join(f"{m.kind}: {m.text}" for m in reasons)


@pytest.mark.parametrize(
    ("conditions", "verdict", "words"),
    [
        ({}, "yes", ""),
        ({"families": frozenset({"ipv6"})}, "no", "family: sees IPv6 only"),
        ({"in_interfaces": names("vlan20")}, "yes", ""),
        ({"in_interfaces": names("vlan30", "lo")}, "no", "in-interface: matches vlan30, lo only"),
        (
            {"out_interfaces": names("wan0", negated=True)},
            "no",
            "out-interface: matches everything but wan0",
        ),
        ({"sources": prefixes("10.20.0.0/24")}, "yes", ""),
        (
            {"sources": prefixes("10.30.0.0/24", "10.40.0.0/24")},
            "no",
            "address: matches from 10.30.0.0/24, 10.40.0.0/24 only",
        ),
        (
            {"destinations": prefixes("203.0.113.0/24", negated=True)},
            "no",
            "address: matches not to 203.0.113.0/24 only",
        ),
        ({"destinations": prefixes("::/0")}, "no", "address: matches to ::/0 only"),
        ({"sources": prefixes("@office")}, "maybe", "address: matches from @office only"),
        ({"protocols": frozenset({"TCP"})}, "yes", ""),
        ({"protocols": frozenset({"6", "17"})}, "yes", ""),
        (
            {"protocols": frozenset({"17", "ipv6-icmp", "1", "58", "icmp6"})},
            "no",
            "protocol: matches icmp, icmpv6, udp only",
        ),
        ({"destination_ports": ports((2083, 2083))}, "yes", ""),
        ({"destination_ports": ports((2084, 2090))}, "no", "port: matches to port 2084-2090 only"),
        ({"destination_ports": ports((2000, 2082))}, "no", "port: matches to port 2000-2082 only"),
        ({"source_ports": ports((32768, 65535))}, "yes", ""),
        (
            {"source_ports": ports((1, 32768), (80, 80))},
            "maybe",
            "port: matches from port 1-32768, 80 only",
        ),
        ({"source_ports": ports((65535, 65535))}, "maybe", "port: matches from port 65535 only"),
        (
            {"destination_ports": ports((2083, 2083), negated=True)},
            "no",
            "port: matches not to port 2083 only",
        ),
        ({"destination_ports": ports((80, 80), negated=True)}, "yes", ""),
        ({"handshake": frozenset({"syn"})}, "yes", ""),
        ({"handshake": frozenset({"syn-ack"})}, "no", "handshake: matches the SYN-ACK only"),
        ({"handshake": frozenset()}, "no", "handshake: matches the other packets only"),
        ({"icmp_types": frozenset({"8", "Echo"})}, "no", "icmp: matches ICMP 8, echo only"),
        (
            {"opaque": ("ct mark 1", "meta x")},
            "maybe",
            "opaque: asks for 'ct mark 1; meta x', which cannot be evaluated",
        ),
        # What certainly fails outweighs what nobody can evaluate, and is all that is told.
        (
            {"opaque": ("ct mark 1",), "in_interfaces": names("vlan30")},
            "no",
            "in-interface: matches vlan30 only",
        ),
    ],
)
def test_a_condition_is_held_against_the_syn_and_told_in_words(conditions, verdict, words):
    assert told(SYN, **conditions) == (verdict, words)


@pytest.mark.parametrize(
    ("conditions", "verdict", "words"),
    [
        ({"families": frozenset({"ipv4"})}, "no", "family: sees IPv4 only"),
        ({"families": frozenset({"ipv6"})}, "yes", ""),
    ],
)
def test_the_family_that_a_rule_does_see_is_the_other_one(conditions, verdict, words):
    assert told(replace(SYN, family="ipv6"), **conditions) == (verdict, words)


@pytest.mark.parametrize(
    ("conditions", "verdict", "words"),
    [
        ({"protocols": frozenset({"icmp"})}, "yes", ""),
        ({"icmp_types": frozenset({"Fragmentation-Needed"})}, "yes", ""),
        ({"destination_ports": ports((1, 65535))}, "no", "port: asks for ports"),
        ({"handshake": frozenset({"syn"})}, "no", "handshake: asks for TCP flags"),
        ({"handshake": frozenset({"syn", "syn-ack"})}, "yes", ""),
    ],
)
def test_a_message_of_icmp_has_no_ports_and_no_flags(conditions, verdict, words):
    assert told(ICMP, **conditions) == (verdict, words)


@pytest.mark.parametrize(
    ("hook", "side", "negated", "verdict"),
    [
        # Before routing there is no way out, in what a host sends no way in; negations differ
        # from kernel to kernel.
        ("ingress", "out_interfaces", False, "no"),
        ("prerouting", "out_interfaces", False, "no"),
        ("input", "out_interfaces", False, "no"),
        ("input", "out_interfaces", True, "maybe"),
        ("output", "in_interfaces", False, "no"),
        ("egress", "in_interfaces", False, "no"),
        ("egress", "in_interfaces", True, "maybe"),
        ("postrouting", "in_interfaces", False, "maybe"),
        ("postrouting", "in_interfaces", True, "no"),
        ("postrouting", "out_interfaces", False, "yes"),
        ("prerouting", "in_interfaces", False, "yes"),
        ("forward", "in_interfaces", False, "yes"),
        ("forward", "out_interfaces", True, "no"),
    ],
)
def test_which_interface_a_hook_knows(hook, side, negated, verdict):
    own = {"in_interfaces": "vlan20", "out_interfaces": "wan0"}[side]

    assert told(SYN, hook, **{side: names(own, negated=negated)})[0] == verdict


@pytest.mark.parametrize("side", ["in_interfaces", "out_interfaces"])
def test_an_interface_that_nobody_knows_may_be_any(side):
    unknown = replace(SYN, in_interface=None, out_interface=None)

    assert told(unknown, **{side: names("wan0")})[0] == "maybe"


def test_an_address_that_may_be_two_is_inside_only_with_both():
    either = replace(SYN, sources=("10.20.0.10", "100.64.1.2"))

    assert told(either, sources=prefixes("10.20.0.0/24"))[0] == "maybe"
    assert told(either, sources=prefixes("10.20.0.0/24", "100.64.0.0/10"))[0] == "yes"
    assert told(either, sources=prefixes("192.0.2.0/24"))[0] == "no"
    assert told(replace(SYN, sources=()), sources=prefixes("192.0.2.0/24"))[0] == "maybe"
    assert told(replace(SYN, sources=("?",)), sources=prefixes("192.0.2.0/24"))[0] == "maybe"


@pytest.mark.parametrize(
    ("above", "at_most", "low", "high", "verdict"),
    [
        (1452, None, 1453, 1460, "yes"),
        (1452, None, 1452, 1460, "maybe"),
        (1452, None, 1400, 1452, "no"),
        (None, 1452, 1400, 1452, "yes"),
        (None, 1452, 1400, 1453, "maybe"),
        (None, 1452, 1453, 1460, "no"),
        (1400, 1452, 1401, 1452, "yes"),
        (1400, 1452, 1453, 1460, "no"),
        (None, None, 0, 65535, "yes"),
    ],
)
def test_bounds_of_the_mss_hold_for_every_value_that_it_may_have(
    above, at_most, low, high, verdict
):
    match = Match(mss_above_bytes=above, mss_at_most_bytes=at_most)

    assert match_mss(match, low, high) == verdict


def test_interfaces_are_told_as_a_person_would():
    assert names_text(names("wan0", "ppp*")) == "wan0, ppp* only"
    assert names_text(names("wan0", negated=True)) == "everything but wan0"
