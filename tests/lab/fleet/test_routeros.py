"""The virtual RouterOS: menus, live and persistent state, PPP profiles, jobs, terminal."""

from __future__ import annotations

import pytest

from mtughost.lab.fleet import FleetSpec, Handshake
from tests.lab.fleet.conftest import account, coverage, typed

CLAMP = (
    "/ip firewall mangle add chain=forward action=change-mss protocol=tcp tcp-flags=syn "
    "out-interface=vlan20 new-mss=1400 comment=mine"
)
COUNT = "/ip firewall mangle print count-only"


@pytest.fixture
def router(make):
    (site,) = make(FleetSpec(sites=1, vendors=("mikrotik_routeros",), with_aps=False))
    typed(site.gateway, "/ip firewall mangle remove [find action=change-mss]")
    return site.gateway


def syn_ack(mss=1460, family="ipv4"):
    return Handshake(is_syn=False, enters="ether1", leaves="vlan20", family=family, mss=mss)


def test_what_is_added_works_at_once_survives_a_reboot_and_goes_by_its_comment(router):
    before = router.state()
    typed(router, CLAMP)
    assert router.forward(syn_ack()) == 1400
    assert router.forward(syn_ack(family="ipv6")) == 1460
    assert router.forward(syn_ack(mss=1300)) == 1300

    router.reboot()
    assert router.forward(syn_ack()) == 1400

    typed(router, '/ip firewall mangle remove [find comment="mine"]')
    assert router.state() == before


def test_menus_may_be_parted_by_slashes(router):
    typed(router, CLAMP)

    assert typed(router, "/ip/firewall/mangle/print count-only") == typed(router, COUNT) == "1\n"


def test_a_ppp_profile_makes_dynamic_rules_in_and_out(router):
    typed(router, "/interface pppoe-client add name=pppoe-out1 interface=ether1 max-mtu=1492")

    said = typed(router, "/ip firewall mangle print detail without-paging")
    assert said.count("new-mss=1452") == 2
    assert said.count(" D   chain=forward") == 2
    typed(router, "/ppp profile set [find name=default] change-tcp-mss=no")
    assert typed(router, COUNT) == "0\n"


def test_counters_count_what_a_rule_rewrote(router):
    typed(router, CLAMP)
    for _ in range(3):
        router.forward(syn_ack())

    assert typed(router, "/ip firewall mangle print stats").rstrip().endswith(" 3")


def test_a_job_of_the_scheduler_runs_and_may_remove_itself(router, clock):
    before = router.state()
    typed(router, CLAMP)
    undo = (
        "/ip firewall mangle remove [find comment=mine]; /system scheduler remove [find name=undo]"
    )
    typed(router, f'/system scheduler add name=undo interval=00:05:00 on-event="{undo}"')

    clock.advance(299)
    assert router.forward(syn_ack()) == 1400
    clock.advance(1)
    assert router.state() == before


def test_a_backup_brings_the_state_of_then_back_by_a_reboot(router):
    typed(router, "/system backup save name=before")
    before = router.state()["menus"]["ip firewall mangle"]
    typed(router, CLAMP, "/system backup load name=before.backup")

    assert router.state()["menus"]["ip firewall mangle"] == before
    assert (router.reboots, router.is_up) == (1, False)


@pytest.mark.parametrize(
    "line",
    [
        "/ip firewall mangle add chain=forward",
        CLAMP.replace("1400", "fast"),
        CLAMP.replace("vlan20", "carpet"),
        "/ip firewall carpet add x=1",
    ],
)
def test_what_cannot_be_is_refused(router, line):
    before = router.state()

    assert typed(router, line)
    assert router.state() == before


def test_a_group_without_rights_changes_nothing_and_a_partial_one_does_not_see_the_rules(router):
    assert "not enough permissions" in typed(router, CLAMP, level="read")
    assert "not enough permissions" in typed(router, COUNT, level="partial")


def test_the_terminal_paints_unless_the_user_name_says_otherwise(router):
    plain, painted = router.login("full+ct511w"), router.login("full")

    greeting, coloured = plain.terminal().greet(), painted.terminal().greet()

    assert "\x1b[36m" not in greeting
    assert "\x1b[6n" not in greeting
    assert "\x1b[36m" in coloured
    assert "\x1b[6n" in coloured
    assert (plain.width, painted.width) == (511, 80)
    assert router.account_of("full+ct511w") == account("full")


def test_rules_of_a_profile_are_proven_like_any_other(make):
    (site,) = make(FleetSpec(sites=1, seed=3, vendors=("mikrotik_routeros",), with_aps=False))
    typed(
        site.gateway,
        "/ip firewall mangle remove [find action=change-mss]",
        "/ip firewall mangle add chain=forward action=jump jump-target=mss protocol=tcp",
        CLAMP.replace("chain=forward", "chain=mss"),
    )

    rows = coverage(site)

    assert rows["up"].mss.configured == site.mss(is_syn=False) == 1400
    assert rows["down"].mss.configured == site.mss(is_syn=True) == 1460
