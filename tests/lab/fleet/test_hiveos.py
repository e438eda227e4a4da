"""The virtual Extreme access point: one mode, the pager, its log, the elected proxy."""

from __future__ import annotations

import pytest

from mtughost.lab.fleet import FleetSpec
from mtughost.lab.fleet.device import Terminal
from tests.lab.fleet.conftest import account, typed


@pytest.fixture
def store(make):
    def one(story="till-vlan-only"):
        (site,) = make(
            FleetSpec(sites=1, vendors=("fortinet",), aps=("extreme_hiveos",), stories=(story,))
        )
        return site

    return one


@pytest.fixture
def ap(store):
    return store().point


def test_words_may_be_abbreviated_and_a_wrong_one_gets_the_caret_below_it(ap):
    assert "RUN state:" in typed(ap, "sh capw cl")
    assert typed(ap, "show ip dns") == f"\n{' ' * (len(ap.identity.hostname) + 1 + 8)}^-- {BAD}\n"
    assert typed(ap, "show aaa") == "\nERROR: Incomplete command\n"


BAD = "unknown keyword or invalid input"


def test_the_pager_stops_at_a_page_and_a_space_goes_on(ap):
    terminal = Terminal(ap.command_line(account("full")))

    shown = terminal.feed("show logging buffered\r")
    assert shown.endswith(" --More-- ")

    assert "--More--" in terminal.feed(" ")


def test_the_pagers_setting_is_configuration_of_the_whole_device(ap):
    before = ap.state()
    typed(ap, "console page 0")

    assert ap.state() != before
    assert ap.command_line(account("read")).page_rows == 0


def test_the_log_is_printed_newest_first_and_holds_what_was_typed(ap):
    typed(ap, "show clock")
    lines = typed(ap, "show logging buffered").split("\n")
    stamps = [line[:19] for line in lines if line.startswith("2026")]

    assert stamps == sorted(stamps, reverse=True)
    assert any("full:<show clock >" in line for line in lines)


def test_capwap_stays_connected_over_a_path_that_loses_full_size_segments(store):
    for story, works in (("till-vlan-only", False), ("both", True)):
        point = store(story).point
        assert point.works() is works
        assert "RUN state: Connected securely" in typed(point, "show capwap client")
        assert ("failed" in typed(point, "show logging buffered")) is not works
        assert ("rc=7168(28)" in typed(point, "show logging flash")) is not works


def test_a_smaller_mtu_of_its_own_repairs_what_it_sends(ap):
    typed(ap, "interface mgt0 mtu 1492")
    assert ap.works()
    assert "MTU=1492;" in typed(ap, "show interface mgt0")

    typed(ap, "no interface mgt0 mtu")
    assert not ap.works()


def test_only_the_elected_proxy_talks_to_the_cloud(ap):
    ap.set(proxy="10.20.1.99")

    assert "IDM proxy: Disabled" in typed(ap, "show idm")
    assert "tlsconnect" not in typed(ap, "show logging buffered")
    assert "RADSEC proxy be elected:  No" in typed(ap, "show aaa radius-server")


def test_what_was_not_saved_is_lost_at_a_reboot(ap, clock):
    before = ap.state()
    typed(ap, "interface mgt0 mtu 1400", "reboot")
    clock.advance(100)

    assert ap.state() == before


def test_a_ping_counts_payload_and_dies_above_the_path(ap):
    assert "3 received" in typed(ap, "ping 203.0.113.10 count 3 size 1464")
    assert " 0 received, 100% packet loss" in typed(ap, "ping 203.0.113.10 count 3 size 1472")


def test_an_account_that_may_see_a_part_does_not_know_the_rest(ap):
    for line in ("show idm", "show aaa radius-server", "show logging buffered"):
        assert BAD in typed(ap, line, level="partial")
    assert BAD in typed(ap, "interface mgt0 mtu 1400", level="read")
