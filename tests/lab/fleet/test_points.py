"""Every vendor's virtual access point, read by its book: no line unplaced, nothing invented."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest

from mtughost.collect.reads import facts_from_answers
from mtughost.content.load import load_book
from mtughost.lab.fleet import FleetSpec
from mtughost.lab.fleet.points import POINTS
from mtughost.model.basis import Known, Unknown
from tests.lab.fleet.conftest import ROOT, answers_of, inventory_device, typed

PLATFORMS = tuple(name for name in POINTS if name != "linux")

#: Platforms of which no document here shows a command for routes: nothing is said of them.
ROUTELESS = {"cisco_cos_ap", "fortinet_fortiap", "aruba_instant"}
#: The same for interfaces.
LINKLESS = {"ruckus_ap"}


@pytest.fixture
def read(make):
    def one(platform, story="till-vlan-only", level="full"):
        (site,) = make(FleetSpec(sites=1, vendors=("fortinet",), aps=(platform,), stories=(story,)))
        # The clock of these devices stands at 2026-11-21T12:00:00Z.
        answers = [
            replace(answer, started_utc="2026-11-21T12:00:03Z")
            for answer in answers_of(site.point, level)
        ]
        book = load_book(ROOT, platform)
        facts, unplaced = facts_from_answers(answers, book, ROOT, inventory_device(site, "ap"))
        return site.point, facts, unplaced

    return one


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("story", ["till-vlan-only", "both"])
def test_every_line_that_a_rule_reads_is_placed(read, platform, story):
    _, _, unplaced = read(platform, story)

    assert [(item.command, item.text) for item in unplaced if item.strict] == []


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_access_point_says_who_it_is_and_how_it_sends(read, platform):
    point, facts, _ = read(platform)
    address, _, length = point.plan.address.partition("/")

    assert facts.identity.value.hostname == point.identity.hostname
    assert facts.identity.value.os_version
    assert (address, int(length)) in {(a.address, a.prefix_len) for a in facts.addresses.value}
    if platform in ROUTELESS:
        assert isinstance(facts.routes, Unknown)
        return
    default = [r for r in facts.routes.value if r.destination in {"default", "0.0.0.0/0"}]
    assert [route.via for route in default] == [point.plan.gateway]
    if platform not in LINKLESS:
        assert default[0].interface in {link.name for link in facts.interfaces.value}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_reading_changes_nothing_on_the_device(read, platform):
    point, _, _ = read(platform)
    before = point.state()

    answers_of(point)

    assert point.state() == before


@pytest.mark.parametrize("platform", PLATFORMS)
def test_who_sees_a_part_gets_unknown_and_no_service_without_trouble(read, platform):
    _, whole, _ = read(platform)
    _, facts, _ = read(platform, level="partial")

    hidden = [
        field.name
        for field in fields(facts)
        if isinstance(getattr(whole, field.name), Known)
        and isinstance(getattr(facts, field.name), Unknown)
    ]
    assert {"push_log", "cloud"} & set(hidden)
    assert not (isinstance(facts.push_log, Known) and facts.push_log.value == ())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_line_that_is_not_known_is_refused_in_words_that_the_book_knows(read, platform):
    point, _, _ = read(platform)
    book = load_book(ROOT, platform)
    if book.driver == "exec":
        return
    patterns = [re.compile(pattern) for pattern in book.error_patterns]
    said = typed(point, "xyzzy")

    assert any(pattern.search(row) for pattern in patterns for row in said.split("\n")), said
