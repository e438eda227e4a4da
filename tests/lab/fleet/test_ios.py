"""The virtual IOS-XE router: modes, abbreviations, the revert timer, what a level hides."""

from __future__ import annotations

import pytest

from mtughost.lab.fleet import FleetSpec
from tests.lab.fleet.conftest import account, typed

VLAN = "interface GigabitEthernet0/0/1.20"
CLAMP = (VLAN, "ip tcp adjust-mss 1400", "end")


@pytest.fixture
def router(make):
    (site,) = make(FleetSpec(sites=1, vendors=("cisco_xe",), with_aps=False))
    return site.gateway


def shown(router):
    return typed(router, "show running-config | section ^interface")


def test_a_line_is_effective_at_once_and_saved_only_by_write_memory(router, clock):
    typed(router, "configure terminal", *CLAMP)
    assert " ip tcp adjust-mss 1400\n" in shown(router)

    router.reboot()
    clock.advance(61)
    assert "adjust-mss 1400" not in shown(router)

    typed(router, "configure terminal", *CLAMP, "write memory")
    router.reboot()
    assert "adjust-mss 1400" in shown(router)


@pytest.mark.parametrize(
    "line", ["ip tcp adjust-mss 99", "ip tcp adjust-mss 1461", "ip mtu x", "fly"]
)
def test_what_cannot_be_is_refused_with_a_caret(router, line):
    before = router.state()

    said = typed(router, "configure terminal", VLAN, line)

    assert "% Invalid input detected at '^' marker." in said
    assert router.state() == before


def test_words_may_be_abbreviated_until_they_are_ambiguous(router):
    assert typed(router, "sh priv") == "Current privilege level is 15\n"
    assert "% Ambiguous command" in typed(router, "e")


def test_prompts_follow_the_mode(router):
    cli = router.command_line(account("full"))
    seen = []
    for line in ("configure terminal", VLAN, "exit", "archive", "end"):
        cli.run(line)
        seen.append(cli.prompt.partition("-gw1")[2])

    assert seen == ["(config)#", "(config-subif)#", "(config)#", "(config-archive)#", "#"]


def armed(router, minutes=5):
    return typed(router, f"configure terminal revert timer {minutes}", *CLAMP)


def test_the_revert_timer_restores_what_was(router, clock):
    before = router.state()
    armed(router)
    assert "adjust-mss 1400" in shown(router)

    clock.advance(299)
    assert "adjust-mss 1400" in shown(router)
    clock.advance(1)

    assert router.state() == before
    assert typed(router, "show archive config rollback timer") == (
        "%No Rollback Confirmed Change pending\n"
    )


def test_confirm_ends_the_timer_and_a_late_confirm_says_so(router, clock):
    armed(router)
    assert "User: full" in typed(router, "show archive config rollback timer")
    assert typed(router, "configure confirm") == ""
    clock.advance(1000)
    assert "adjust-mss 1400" in shown(router)

    assert "No Rollback Confirmed Change pending" in typed(router, "configure confirm")


def test_revert_now_restores_at_once(router):
    before = router.state()
    armed(router)
    typed(router, "configure revert now")

    assert router.state() == before


def test_without_an_archive_there_is_no_timer(router):
    router.running.archive = ""

    assert "config archive" in typed(router, "configure terminal revert timer 5")
    assert router.backup is None


def test_below_level_15_interfaces_are_shown_without_their_lines(router):
    said = typed(router, "show running-config | section ^interface", level="partial")

    assert VLAN + "\n" in said
    assert "ip address" not in said
    assert typed(router, "show privilege", level="partial") == "Current privilege level is 7\n"


def test_who_may_only_read_is_not_authorised_to_configure(router):
    assert typed(router, "configure terminal", level="read").startswith("Command authorization")


def test_the_pager_obeys_terminal_length(router):
    cli = router.command_line(account("full"))
    assert cli.page_rows == 24
    cli.run("terminal length 0")
    assert cli.page_rows == 0
