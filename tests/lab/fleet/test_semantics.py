"""The tool's proof equals what the emulated gateway does to packets: each vendor, version, story.

The emulation was written after the vendors' documents and shares no code with the readers.
"""

from __future__ import annotations

import pytest

from mtughost.lab.fleet.shell import ShellRouter
from mtughost.lab.fleet.sites import STORIES
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.basis import Known, Unknown
from tests.lab.fleet.conftest import account, answers_of, coverage, gateway_facts, typed

CASES = [
    (platform, version, story)
    for platform, vendor in VENDORS.items()
    for version in vendor.versions
    for story in STORIES
]


@pytest.mark.parametrize(("platform", "version", "story"), CASES)
def test_the_proven_mss_is_the_mss_of_the_packet(site, platform, version, story):
    made = site(platform, version, story)

    rows = coverage(made)

    for direction, is_syn in (("up", False), ("down", True)):
        row, mss = rows[direction], made.mss(is_syn=is_syn)
        assert row.path_mtu == 1492
        if len(readings(made, is_syn)) > 1:
            # What the documents leave open is never decided.
            assert (row.mss.configured, row.covered) == (None, None), (direction, row.proof)
            continue
        assert row.mss.configured == mss, (direction, row.proof)
        assert row.covered == (mss + 40 <= 1492), row.proof


def readings(made, is_syn):
    """Return the MSS under every reading of documents that leave something open."""
    gateway = made.gateway
    if not hasattr(gateway, "adjusts_by"):
        return {made.mss(is_syn=is_syn)}
    found = set()
    for gateway.adjusts_by in ("in", "out", "both"):
        found.add(made.mss(is_syn=is_syn))
    return found


@pytest.mark.parametrize("platform", VENDORS)
def test_an_account_that_sees_a_part_never_yields_no_clamp(site, platform):
    made = site(platform, VENDORS[platform].versions[-1], "none")

    facts, _ = gateway_facts(made, level="partial")

    assert isinstance(facts.clamps, Unknown), facts.clamps
    assert all(row.covered is None for row in coverage_without_asking(made).values())


def coverage_without_asking(made):
    return coverage(made, level="partial")


@pytest.mark.parametrize("platform", VENDORS)
def test_an_account_that_may_only_read_sees_the_clamps(site, platform):
    made = site(platform, VENDORS[platform].versions[-1], "both")

    facts, _ = gateway_facts(made, level="read")

    assert isinstance(facts.clamps, Known), facts.clamps
    assert coverage(made, level="read")["up"].mss.configured == made.mss(is_syn=False)


@pytest.mark.parametrize("platform", VENDORS)
def test_reading_types_no_line_that_changes_anything(site, platform):
    made = site(platform, VENDORS[platform].versions[0], "both")
    before = made.gateway.state()

    answers_of(made.gateway)

    assert made.gateway.state() == before


@pytest.mark.parametrize("platform", VENDORS)
def test_a_gateway_says_who_it_is_and_what_it_has(site, platform):
    made = site(platform, VENDORS[platform].versions[-1], "none")
    names = VENDORS[platform].names

    facts, unplaced = gateway_facts(made)

    assert [line for line in unplaced if line.strict] == []
    assert facts.identity.value.hostname == "gw"
    assert facts.identity.value.os_version
    mtus = {link.name: link.mtu_bytes for link in facts.interfaces.value}
    assert (mtus[names["wan"]], mtus[names["ap"]]) == (1492, 1500)
    have = {(a.interface, f"{a.address}/{a.prefix_len}") for a in facts.addresses.value}
    assert {(names["ap"], made.plan.ap_address), (names["wan"], made.plan.wan_address)} <= have
    default = [r for r in facts.routes.value if r.destination in {"default", "0.0.0.0/0"}]
    assert [(r.interface, r.via) for r in default] == [(names["wan"], made.plan.wan_next_hop)]


@pytest.mark.parametrize("platform", VENDORS)
def test_a_line_that_is_not_known_is_refused_in_words_that_the_book_knows(site, platform):
    made = site(platform, VENDORS[platform].versions[0], "none")
    from mtughost.content.load import load_book  # noqa: PLC0415
    from tests.lab.fleet.conftest import ROOT, re  # noqa: PLC0415

    patterns = [re.compile(p) for p in load_book(ROOT, platform).error_patterns]
    for line in ("show flying-carpets", "xyzzy"):
        if isinstance(made.gateway, ShellRouter):
            # A shell says so with its exit code.
            assert made.gateway.run_script(account("full"), line)[0] == 127
            continue
        said = typed(made.gateway, line)
        assert any(p.search(row) for p in patterns for row in said.split("\n")), (line, said)
