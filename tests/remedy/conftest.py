"""A shop with two VLANs behind one gateway, as the audit reads it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.simulate import prove_coverage
from mtughost.model.basis import Known, Source
from mtughost.model.clamps import Chain, ClampTo, Rule, Ruleset
from mtughost.model.device import Address, DeviceFacts, Interface, Privilege, Route
from mtughost.model.findings import Finding, FixHint, SiteReport
from mtughost.model.inventory import Credential, Device, Service, Site
from mtughost.remedy.edits import match_of
from mtughost.remedy.rule_text import parse_iptables, parse_nft

LOGIN = Credential(realm="lab", username="root")
SERVICE = Service(name="radsec", host="203.0.113.10", port=2083)


def source(host):
    return Source(host=host, basis="real program", command="x")


def known(host, value):
    return Known(value, source(host))


def nft_rule(text, number=2):
    clamp = parse_nft(text)
    return Rule(
        name=f"inet clamp forward handle {number}",
        text=f"{text} # handle {number}",
        match=match_of(clamp),
        action=ClampTo(
            value_bytes=clamp.mss_bytes or None,
            can_raise=clamp.mss_bytes > 0 and not clamp.above_bytes,
        ),
        packets=0,
    )


def nft_ruleset(*texts):
    chain = Chain(
        table="inet clamp",
        name="forward",
        hook="forward",
        priority=-150,
        rules=tuple(nft_rule(text, number) for number, text in enumerate(texts, start=2)),
    )
    return Ruleset(chains=(chain,), command="nft -a list ruleset")


def iptables_ruleset(*texts):
    rules = []
    for number, text in enumerate(texts, start=1):
        _, clamp = parse_iptables(text, 4)
        rules.append(
            Rule(
                name=f"ip mangle FORWARD rule {number}",
                text=text,
                match=match_of(clamp),
                action=ClampTo(value_bytes=clamp.mss_bytes or None),
            )
        )
    chain = Chain(
        table="ip mangle",
        name="FORWARD",
        hook="forward",
        priority=-150,
        rules=tuple(rules),
        families=frozenset({"ipv4"}),
    )
    return Ruleset(chains=(chain,), command="iptables-save -c")


def gateway_facts(ruleset, wan_mtu=1492):
    def mine(value):
        return known("gw1", value)

    return DeviceFacts(
        host="gw1",
        site="s001",
        role="gateway",
        platform="linux",
        privilege=mine(Privilege(sees_firewall=True, sees_interfaces=True, detail="uid 0")),
        interfaces=mine(
            (
                Interface(name="vlan20", mtu_bytes=1500, up=True),
                Interface(name="vlan30", mtu_bytes=1500, up=True),
                Interface(name="wan0", mtu_bytes=wan_mtu, up=True),
            )
        ),
        addresses=mine(
            (
                Address(interface="vlan20", address="10.20.0.1", prefix_len=24, family="ipv4"),
                Address(interface="vlan30", address="10.30.0.1", prefix_len=24, family="ipv4"),
                Address(interface="wan0", address="100.64.1.2", prefix_len=30, family="ipv4"),
            )
        ),
        routes=mine(
            (
                Route(destination="default", family="ipv4", interface="wan0", via="100.64.1.1"),
                Route(destination="10.20.0.0/24", family="ipv4", interface="vlan20"),
                Route(destination="10.30.0.0/24", family="ipv4", interface="vlan30"),
                Route(destination="100.64.1.0/30", family="ipv4", interface="wan0"),
            )
        ),
        clamps=mine(ruleset),
    )


def ap_facts(mtu=1500):
    def mine(value):
        return known("ap1", value)

    return DeviceFacts(
        host="ap1",
        site="s001",
        role="ap",
        platform="linux",
        interfaces=mine((Interface(name="eth0", mtu_bytes=mtu, up=True),)),
        addresses=mine(
            (Address(interface="eth0", address="10.20.0.10", prefix_len=24, family="ipv4"),)
        ),
        routes=mine(
            (
                Route(destination="default", family="ipv4", interface="eth0", via="10.20.0.1"),
                Route(destination="10.20.0.0/24", family="ipv4", interface="eth0"),
            )
        ),
    )


def make_shop(ruleset, *, wan_mtu=1492, managed_by="", gateway=True):
    ap = Device(
        name="ap1",
        address="10.20.0.10",
        site="s001",
        role="ap",
        credential=LOGIN,
        services=(SERVICE,),
    )
    gw = Device(
        name="gw1",
        address="10.20.0.1",
        site="s001",
        role="gateway",
        credential=LOGIN,
        managed_by=managed_by,
    )
    facts = (ap_facts(), gateway_facts(ruleset, wan_mtu))
    return SiteEvidence(
        site=Site(name="s001", devices=(ap, gw) if gateway else (ap,)),
        facts=facts if gateway else facts[:1],
    )


def six(evidence):
    """Give the shop IPv6 beside IPv4."""
    facts = []
    for one in evidence.facts:
        host = one.host
        lan = "eth0" if host == "ap1" else "vlan20"
        last = "10" if host == "ap1" else "1"
        address = next(iter(one.addresses.value))
        added = [
            replace(
                address,
                interface=lan,
                address=f"2001:db8:20::{last}",
                prefix_len=64,
                family="ipv6",
            )
        ]
        route = next(iter(one.routes.value))
        ways = [
            replace(route, destination="2001:db8:20::/64", family="ipv6", interface=lan, via=None),
            replace(
                route,
                destination="default",
                family="ipv6",
                via="2001:db8:20::1" if host == "ap1" else "fe80::1",
                interface=lan if host == "ap1" else "wan0",
            ),
        ]
        facts.append(
            replace(
                one,
                addresses=Known((*one.addresses.value, *added), one.addresses.source),
                routes=Known((*one.routes.value, *ways), one.routes.source),
            )
        )
    site = evidence.site
    devices = tuple(
        replace(d, services=tuple(replace(s, host="2001:db8:f::10") for s in d.services))
        for d in site.devices
    )
    return replace(evidence, facts=tuple(facts), site=replace(site, devices=devices))


@pytest.fixture
def shop():
    return make_shop


@pytest.fixture
def rules():
    """Makers of rules and rulesets, as the readers of the platform would give them."""
    return SimpleNamespace(nft_ruleset=nft_ruleset, iptables_ruleset=iptables_ruleset, six=six)


@pytest.fixture
def report_of():
    def make(evidence, finding_id="clamp-scope", *, change=None, host="gw1", value=None, **more):
        finding = Finding(
            id=finding_id,
            grade="confirmed",
            owner="gateway",
            summary="it is so",
            fix=FixHint(change=change or finding_id, summary="do", host=host, value_bytes=value),
        )
        report = SiteReport(
            site="s001", verdict="fault", flows=prove_coverage(evidence), findings=(finding,)
        )
        return replace(report, **more)

    return make
