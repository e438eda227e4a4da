"""The virtual ASA: one MSS for the box, its default, startup and running, a planned reload."""

from __future__ import annotations

import pytest

from mtughost.lab.fleet import FleetSpec, Handshake
from tests.lab.fleet.conftest import account, typed

ALL = "show running-config all sysopt"


@pytest.fixture
def asa(make):
    (site,) = make(FleetSpec(sites=1, vendors=("cisco_asa",), with_aps=False))
    typed(site.gateway, "configure terminal", "no sysopt connection tcpmss", "end", "write memory")
    return site.gateway


def mss(asa, value=1460, family="ipv6"):
    packet = Handshake(is_syn=True, enters="ap-vlan", leaves="outside", family=family, mss=value)
    return asa.forward(packet)


def test_the_default_works_and_stands_only_among_all(asa):
    assert mss(asa) == mss(asa, family="ipv4") == 1380
    assert mss(asa, 1200) == 1200
    assert "tcpmss 1380" in typed(asa, ALL)
    assert typed(asa, "show running-config sysopt") == ""


def test_zero_switches_it_off_and_a_minimum_raises(asa):
    typed(asa, "configure terminal", "sysopt connection tcpmss 0")
    assert mss(asa) == 1460

    typed(asa, "configure terminal", "sysopt connection tcpmss minimum 1300")
    assert mss(asa, 1200) == 1300


def test_a_planned_reload_brings_the_startup_configuration_back_unless_cancelled(asa, clock):
    before = asa.state()
    typed(asa, "reload in 5", "configure terminal", "sysopt connection tcpmss 1300")
    typed(asa, "reload cancel")
    clock.advance(600)
    assert mss(asa) == 1300

    typed(asa, "reload in 5")
    clock.advance(300)
    assert (asa.state(), asa.reboots) == (before, 1)


@pytest.mark.parametrize(
    "line", ["sysopt connection tcpmss fast", "mtu outside 10", "fly", "sysopt connection tcpmss 7"]
)
def test_what_cannot_be_is_refused(asa, line):
    before = asa.state()

    assert "ERROR: % Invalid input" in typed(asa, "configure terminal", line)
    assert asa.state() == before


def test_lower_levels_see_no_configuration_and_readers_change_nothing(asa):
    assert typed(asa, ALL, level="partial") == "Command authorization failed\n"
    assert "authorization failed" in typed(asa, "configure terminal", level="read")
    assert "level : 5" in typed(asa, "show curpriv", level="partial")


def test_the_pager_is_switched_off_for_one_login_only(asa):
    cli, other = asa.command_line(account("full")), asa.command_line(account("full"))
    cli.run("terminal pager 0")

    assert (cli.page_rows, other.page_rows) == (0, 24)
