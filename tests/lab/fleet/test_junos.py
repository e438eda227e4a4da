"""The virtual SRX: candidate and commit, commit confirmed, rollback, what a class hides."""

from __future__ import annotations

import pytest

from mtughost.lab.fleet import FleetSpec
from tests.lab.fleet.conftest import account, typed

CLAMP = "set security flow tcp-mss all-tcp mss 1400"
FLOW = "show configuration security flow | display set"


@pytest.fixture
def srx(make):
    (site,) = make(FleetSpec(sites=1, vendors=("juniper_junos",), with_aps=False))
    typed(site.gateway, "configure", "delete security flow", "commit")
    return site.gateway


def test_nothing_is_active_before_a_commit(srx):
    typed(srx, "configure", CLAMP)
    assert typed(srx, FLOW) == ""

    typed(srx, "configure", "commit")
    assert typed(srx, FLOW) == CLAMP + "\n"


def test_compare_shows_the_candidate_against_the_active_configuration(srx):
    said = typed(srx, "configure", CLAMP, "show | compare")

    assert said == "+ security flow tcp-mss all-tcp mss 1400\n"


def test_an_unconfirmed_commit_is_rolled_back(srx, clock):
    before = srx.state()
    said = typed(srx, "configure", CLAMP, "commit confirmed 5")
    assert "automatically rolled back in 5 minutes" in said
    assert "1400" in typed(srx, FLOW)

    clock.advance(299)
    assert srx.is_pending
    clock.advance(1)

    assert srx.state() == before


@pytest.mark.parametrize("line", ["commit", "commit check"])
def test_a_commit_or_a_check_confirms(srx, clock, line):
    typed(srx, "configure", CLAMP, "commit confirmed 5", line)
    clock.advance(1000)

    assert "1400" in typed(srx, FLOW)
    assert not srx.is_pending


def test_somebody_elses_commit_confirms_too(srx, clock):
    typed(srx, "configure", CLAMP, "commit confirmed 5")
    typed(srx, "configure", "set interfaces irb unit 20 family inet mtu 1492", "commit")
    clock.advance(1000)

    assert "1400" in typed(srx, FLOW)


def test_a_reboot_rolls_an_unconfirmed_commit_back(srx):
    before = srx.state()
    typed(srx, "configure", CLAMP, "commit confirmed 5")
    srx.reboot()

    assert srx.state() == before


def test_rollback_brings_an_earlier_configuration_into_the_candidate(srx):
    before = list(srx.running)
    typed(srx, "configure", CLAMP, "commit", "rollback 1", "commit")

    assert srx.running == before


@pytest.mark.parametrize(
    "line", ["set security flow tcp-mss all-tcp mss 12", "set carpets fly", "fly"]
)
def test_what_cannot_be_is_refused(srx, line):
    before = srx.state()

    said = typed(srx, "configure", line)

    assert "error" in said or "unknown command" in said
    assert srx.state() == before


def test_who_may_not_view_a_hierarchy_gets_nothing_and_no_word_about_it(srx):
    typed(srx, "configure", CLAMP, "commit")

    assert typed(srx, FLOW, level="partial") == ""
    assert typed(srx, FLOW, level="read") == CLAMP + "\n"
    assert "unknown command" in typed(srx, "configure", level="read")


def test_the_pager_obeys_the_screen_length(srx):
    cli = srx.command_line(account("full"))
    cli.run("set cli screen-length 0")

    assert cli.page_rows == 0
