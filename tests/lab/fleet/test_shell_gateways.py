"""Virtual OpenWrt and UniFi gateways: staged, saved and running, and what a reload brings back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.lab.fleet import FleetSpec, Handshake
from mtughost.lab.fleet.plans import Clamp
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.basis import Known, Unknown
from mtughost.model.clamps import ClampTo
from tests.lab.fleet.conftest import account, gateway_facts, typed

RELOAD = "/etc/init.d/firewall reload"
FIX = "uci set firewall.@zone[2].mtu_fix='1'"
WAN = (Clamp(where="wan", mss=1452),)


@pytest.fixture
def gateway(make, clock):
    def made(platform, version, clamps=()):
        (site,) = make(FleetSpec(sites=1, vendors=(platform,), with_aps=False))
        who = replace(site.gateway.identity, version=version)
        device = VENDORS[platform].device(who, clock=clock, accounts=(account("full"),))
        plan = replace(site.plan, clamps=clamps)
        VENDORS[platform].configure(device, plan)
        return replace(site, gateway=device, plan=plan)

    return made


def mss(site, enters, leaves, family="ipv4"):
    names = site.gateway_names
    packet = Handshake(
        is_syn=True, enters=names[enters], leaves=names[leaves], family=family, mss=1460
    )
    return site.gateway.forward(packet)


def test_a_change_runs_after_commit_and_reload_and_only_then(gateway):
    site = gateway("openwrt", "24.10.1")
    before = site.gateway.state()

    typed(site.gateway, FIX)
    assert site.gateway.state() == before
    typed(site.gateway, "uci commit")
    assert mss(site, "ap", "wan") == 1460
    typed(site.gateway, RELOAD)
    assert mss(site, "ap", "wan") == 1452

    typed(site.gateway, "uci delete firewall.@zone[2].mtu_fix", "uci commit", RELOAD)
    assert site.gateway.state() == before


@pytest.mark.parametrize(
    ("version", "back", "v6"),
    [("19.07.10", 1460, 1460), ("22.03.2", 1452, 1432), ("24.10.1", 1452, 1432)],
)
def test_mtu_fix_of_fw4_is_for_both_ways_and_families_and_of_old_fw3_for_one(
    gateway, version, back, v6
):
    site = gateway("openwrt", version, WAN)

    assert mss(site, "ap", "wan") == 1452
    assert mss(site, "wan", "ap") == back
    assert mss(site, "ap", "wan", "ipv6") == v6


def test_what_a_reload_would_bring_is_read_from_what_is_saved(gateway):
    site = gateway("openwrt", "24.10.1", WAN)
    typed(site.gateway, "uci delete firewall.@zone[2].mtu_fix", "uci commit")

    facts, unplaced = gateway_facts(site)

    def count(ruleset):
        return sum(isinstance(r.action, ClampTo) for c in ruleset.chains for r in c.rules)

    assert [x for x in unplaced if x.strict] == []
    assert count(facts.clamps.value) == 2
    assert count(facts.saved_clamps.value) == 0


def test_a_rule_by_hand_on_a_unifi_gateway_is_gone_after_the_next_provisioning(gateway):
    site = gateway("ubiquiti_unifigateway", "4.0.21", (Clamp(where="ap", mss=1400),))
    assert mss(site, "wan", "ap") == 1400

    typed(site.gateway, "provision wan.mtu 1492")

    assert mss(site, "wan", "ap") == 1460


def test_the_chain_of_the_network_application_clamps_ipv4_both_ways(gateway):
    site = gateway("ubiquiti_unifigateway", "4.0.21", WAN)

    assert mss(site, "ap", "wan") == mss(site, "wan", "ap") == 1452
    assert mss(site, "ap", "wan", "ipv6") == 1460
    facts, _ = gateway_facts(site)
    assert isinstance(facts.clamps, Known)
    assert facts.clamps.value.notes == ()
    assert facts.identity.value.model == "UniFi Cloud Gateway Ultra"


@pytest.mark.parametrize("platform", ["openwrt", "ubiquiti_unifigateway"])
def test_who_is_not_root_gets_no_packet_filter(gateway, platform):
    site = gateway(platform, VENDORS[platform].versions[-1], WAN)

    facts, _ = gateway_facts(site, level="partial")

    assert isinstance(facts.clamps, Unknown)
    assert isinstance(facts.interfaces, Known)


@pytest.mark.parametrize("program", ["nft", "iptables-save", "ip", "tcpdump"])
def test_no_program_of_this_machine_answers_for_a_device(gateway, program):
    site = gateway("ubiquiti_unifigateway", "4.0.21")

    code, said, _ = site.gateway.run_script(
        account("full"), f'export PATH="$PATH:/usr/sbin:/sbin"; {program} --version\n'
    )

    assert (code, said) == (127, "")
