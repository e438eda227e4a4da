"""A guarded change over SSH on virtual gateways: modes, prompts, lines as the wire sends them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

import pytest

from mtughost.app.sessions import profile_of
from mtughost.change.asking import must
from mtughost.content.load import load_book
from mtughost.content.render import render_change, render_command, render_guard
from mtughost.lab.fleet import FleetSpec
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.errors import CommandRejectedError, SessionDesyncError
from mtughost.model.plans import PlannedLine
from mtughost.wire.profile import WirePolicy
from tests.lab.fleet.conftest import ROOT, running_fleet

#: One change of each platform, with its values.
CHANGES = {
    "fortinet": (
        "clamp-interface",
        {"interface": "vlan20", "mss": 1452, "had": 0, "mss_before": 0},
    ),
    "cisco_xe": (
        "clamp-interface",
        {"interface": "GigabitEthernet0/0/1.20", "mss": 1452, "had": 0, "mss_before": 0},
    ),
    "juniper_junos": ("clamp-device", {"mss": 1452, "had": 0, "mss_before": 0}),
    "mikrotik_routeros": ("clamp-interface", {"interface": "vlan20", "mss": 1452}),
    "ubiquiti_edgerouter": (
        "clamp-device",
        {"mss": 1452, "had_mss": 0, "mss_before": 0, "had_all": 0, "had_levels": 0},
    ),
    "vyos": (
        "vlan-mtu",
        {
            "kind": "ethernet",
            "port": "eth1",
            "has_vif": 1,
            "vif": 20,
            "mtu": 1492,
            "had": 0,
            "mtu_before": 0,
        },
    ),
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    spec = FleetSpec(sites=12 * len(VENDORS), seed=3, with_aps=False)
    # The devices are quiet: a short silence tells as much as a long one.
    policy = WirePolicy(settle_s=0.03)
    with running_fleet(spec, tmp_path_factory.mktemp("changes"), policy) as running:
        yield running


@pytest.fixture(params=sorted(CHANGES))
def site(fleet, request):
    return next(s for s in fleet.sites if s.gateway.platform == request.param and s.story == "none")


@contextlib.contextmanager
def login(fleet, site, *, may_change=True, level="full"):
    device = fleet.device(site, "gateway", level)
    book = load_book(ROOT, device.platform)
    session = fleet.connector.open(device, profile_of(book, may_change=may_change))
    with contextlib.closing(session):
        yield session
    deadline = time.monotonic() + 5
    while fleet.fleet.ask(lambda: list(site.gateway._open)) and time.monotonic() < deadline:
        time.sleep(0.01)


def planned(site):
    """Return the lines around a change: what comes before it, it, what follows, its undo."""
    book = load_book(ROOT, site.gateway.platform)
    name, values = CHANGES[site.gateway.platform]
    change = render_change(ROOT, book, name, values)
    guard_name = book.change[name].guard
    given = {"minutes": 3} if book.guard[guard_name].params else {}
    guard = render_guard(ROOT, book, guard_name, given)
    around = {
        "before": guard.enter,
        "change": change.apply,
        "after": (*guard.keep, *guard.leave),
        "undo": change.undo,
    }
    return {key: [PlannedLine.of(line) for line in lines] for key, lines in around.items()}


def send(session, lines):
    for line in lines:
        must(session, line)


def test_lines_of_a_change_are_echoed_answered_and_undone_over_ssh(fleet, site):
    before, lines = fleet.fleet.ask(site.gateway.state), planned(site)

    with login(fleet, site) as session:
        send(session, [*lines["before"], *lines["change"], *lines["after"]])
    changed = fleet.fleet.ask(site.gateway.state)
    with login(fleet, site) as session:
        send(session, [*lines["before"], *lines["undo"], *lines["after"]])

    assert changed != before
    assert fleet.fleet.ask(site.gateway.state) == before


def test_a_plan_or_an_audit_cannot_enter_configuration_mode(fleet, site):
    lines = planned(site)
    first = [*lines["before"], *lines["change"]][0]
    fleet.fleet.ask(site.gateway.heard.clear)

    with login(fleet, site, may_change=False) as session, pytest.raises(CommandRejectedError):
        must(session, first)

    assert first.line not in [
        heard.line for heard in fleet.fleet.ask(lambda: list(site.gateway.heard))
    ]


def test_a_line_that_leads_elsewhere_than_declared_stops_everything(fleet, site):
    if len(load_book(ROOT, site.gateway.platform).modes) == 1:
        pytest.skip("its lines lead nowhere else")
    lines = planned(site)
    first = [*lines["before"], *lines["change"]][0]
    before = fleet.fleet.ask(site.gateway.state)

    with login(fleet, site) as session:
        with pytest.raises(SessionDesyncError):
            must(session, replace(first, mode=""))
        (after,) = session.ask([lines["undo"][0].command()])

    assert after.status == "not-sent"
    assert fleet.fleet.ask(site.gateway.state) == before


def test_a_refused_line_is_a_typed_error_with_the_devices_words(fleet, site):
    lines = planned(site)
    modes = load_book(ROOT, site.gateway.platform).modes
    bad = replace(
        lines["change"][-1], line="frobnicate 1", mode="config" if "config" in modes else ""
    )
    before = fleet.fleet.ask(site.gateway.state)

    with login(fleet, site) as session:
        send(session, [*lines["before"], *lines["change"][:-1]])
        with pytest.raises(CommandRejectedError) as caught:
            must(session, bad)
    assert caught.value.host == site.gateway.identity.name
    with login(fleet, site) as session:
        send(session, [*lines["before"], *lines["undo"], *lines["after"]])
    assert fleet.fleet.ask(site.gateway.state) == before


def test_an_account_that_may_only_read_is_refused_and_nothing_changes(fleet, site):
    before = fleet.fleet.ask(site.gateway.state)
    lines = planned(site)

    with pytest.raises(CommandRejectedError), login(fleet, site, level="read") as session:
        send(session, [*lines["before"], *lines["change"]])

    assert fleet.fleet.ask(site.gateway.state) == before


def test_the_whole_configuration_is_read_as_the_state_section_says(fleet, site):
    book = load_book(ROOT, site.gateway.platform)
    lines = [render_command(book, name) for name in dict.fromkeys(book.state.command_ids)]

    with login(fleet, site, may_change=False) as session:
        answers = session.ask(lines)

    assert [answer.status for answer in answers] == ["complete"] * len(lines)


def without_clamp(fleet, platform):
    """Return a store of its own for a test that leaves its gateway changed."""
    stores = (s for s in fleet.sites if s.gateway.platform == platform)
    return next(s for s in stores if s.story == "till-vlan-only")


def test_a_member_of_a_cluster_draws_its_state_above_every_prompt(fleet):
    site = without_clamp(fleet, "juniper_junos")
    site.gateway.member = "{primary:node0}"
    before, lines = fleet.fleet.ask(site.gateway.state), planned(site)

    with login(fleet, site, may_change=False) as session:
        (answer,) = session.ask([render_command(load_book(ROOT, "juniper_junos"), "version")])
    with login(fleet, site) as session:
        send(session, [*lines["before"], *lines["change"], *lines["after"]])

    assert answer.status == "complete"
    assert "primary" not in answer.text
    assert fleet.fleet.ask(site.gateway.state) != before


def test_a_long_name_is_cut_in_the_prompts_of_configuration_mode(fleet):
    site = without_clamp(fleet, "cisco_xe")
    site.gateway.running.hostname = "store-0001-gateway-router-1"
    before, lines = fleet.fleet.ask(site.gateway.state), planned(site)

    with login(fleet, site) as session:
        send(session, lines["change"])

    assert fleet.fleet.ask(site.gateway.state) != before


def test_a_question_is_answered_and_the_timer_is_seen_until_it_is_confirmed(fleet):
    site = without_clamp(fleet, "vyos")
    lines = planned(site)
    guard = render_guard(ROOT, load_book(ROOT, "vyos"), "commit-confirm", {"minutes": 3})

    def typed(session, commands):
        return [must(session, PlannedLine.of(command)).text for command in commands]

    with login(fleet, site) as session:
        send(session, [*lines["before"], *lines["change"]])
        (diff,) = typed(session, guard.check)
        typed(session, guard.commit[:1])
        # Nothing was typed that would answer the question.
        assert not fleet.fleet.ask(lambda: site.gateway.is_pending)
        typed(session, (*guard.commit[1:], *guard.leave))
    with login(fleet, site) as session:
        armed = typed(session, guard.read_back)
        typed(session, guard.confirm)
        idle = typed(session, guard.read_back)

    assert "+ interfaces ethernet eth1 vif 20 mtu 1492" in diff
    assert (armed, idle) == (["active\n"], ["inactive\n"])
    assert not fleet.fleet.ask(lambda: site.gateway.is_pending)
