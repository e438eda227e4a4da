"""The change chosen for a vendor's gateway does to packets what the proof said, and comes undone.

Ground truth is the emulated gateway's own forwarding, which shares no code with the readers.
"""

from __future__ import annotations

import pytest

from mtughost.app.fix_offers import FixOffers
from mtughost.content.load import load_book
from mtughost.content.render import render_change, render_guard
from mtughost.diagnose.coverage import prove_coverage
from mtughost.lab.fleet.sites import STORIES
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.findings import Finding, FixHint, SiteReport
from mtughost.model.plans import TOKEN_MARK
from mtughost.remedy.choose import choose_fix
from mtughost.remedy.fix import FixChoice, FixRefused
from tests.lab.fleet.conftest import (
    ROOT,
    answers_of,
    evidence_with,
    inventory_device,
    typed,
)

PLATFORMS = ("fortinet", "cisco_xe", "juniper_junos", "vyos", "mikrotik_routeros")
PLATFORMS += ("ubiquiti_edgerouter", "openwrt")
#: Where a candidate is edited and committed.
CANDIDATES = {"juniper_junos", "vyos"}
#: OpenWrt before fw4 has no change.
UNCHANGED = ("openwrt", "19.07.10")
TOKEN = "0123456789abcdef"
CASES = [
    (platform, version, story)
    for platform in PLATFORMS
    for version in VENDORS[platform].versions
    for story in STORIES
]


def chosen(made, wanted=""):
    evidence = evidence_with(made)
    gateway = inventory_device(made)
    finding = Finding(
        id="clamp-missing",
        grade="confirmed",
        owner="gateway",
        summary="no clamp for the access points",
        evidence=(),
        fix=FixHint(change="clamp-missing", summary="clamp it", host=gateway.name),
    )
    report = SiteReport(
        site=made.label, verdict="fault", flows=prove_coverage(evidence), findings=(finding,)
    )
    answers = {gateway.name: answers_of(made.gateway)}
    offers = FixOffers(answers.__getitem__, {gateway.name: gateway}, ROOT)
    return choose_fix(report, evidence, wanted=wanted, offers=offers)


def lines_of(made, choice, which):
    """Return what is typed, with what must stand around it on this platform."""
    book = load_book(ROOT, made.gateway.platform)
    guard = (
        render_guard(ROOT, book, book.change[choice.edits[0].entry].guard, {"minutes": 3})
        if made.gateway.platform in CANDIDATES
        else None
    )
    edits = choice.edits if which == "apply" else tuple(reversed(choice.edits))
    lines = [
        command.line
        for edit in edits
        for command in getattr(render_change(ROOT, book, edit.entry, edit.values), which)
    ]
    if made.gateway.platform == "openwrt":
        kept = f"/etc/mtughost/{TOKEN}"
        # Its lines work only while the undo is armed.
        armed = [f"mkdir -p {kept}; : > {kept}/armed"]
        return [*armed, *(line.replace(TOKEN_MARK, TOKEN) for line in lines)]
    if guard is None:
        return lines
    return ["configure", *lines, *(c.line for c in (*guard.keep, *guard.leave))]


@pytest.mark.parametrize(("platform", "version", "story"), CASES)
def test_the_chosen_change_makes_packets_fit_as_proven_and_comes_undone(
    site, platform, version, story
):
    made = site(platform, version, story)
    before, worked = made.gateway.state(), made.works() and made.mss(is_syn=True) <= 1452

    choice = chosen(made)
    if worked or (platform, version) == UNCHANGED:
        assert isinstance(choice, FixRefused)
        return
    assert isinstance(choice, FixChoice), choice
    typed(made.gateway, *lines_of(made, choice, "apply"))

    assert made.works()
    proven = {row.key.direction: row.mss.configured for row in choice.after}
    assert proven == {"up": made.mss(is_syn=False), "down": made.mss(is_syn=True)}
    typed(made.gateway, *lines_of(made, choice, "undo"))
    assert made.gateway.state() == before


@pytest.mark.parametrize(
    ("version", "interfaces"),
    [("v6.4.9,build1966,220421 (GA)", ["vlan20", "wan1"]), ("v7.4.3,build2573 (GA)", ["vlan20"])],
)
def test_the_version_decides_on_how_many_interfaces_a_fortigate_has_to_clamp(
    site, version, interfaces
):
    made = site("fortinet", version, "none")
    # A policy for named addresses only: whether it is the one that matches cannot be proven.
    policy = ("config firewall policy", "edit 1", "set srcaddr stores", "next", "end")
    typed(made.gateway, *policy)

    choice = chosen(made)

    assert [edit.entry for edit in choice.edits] == ["clamp-interface"] * len(interfaces)
    assert [edit.values["interface"] for edit in choice.edits] == interfaces
    typed(made.gateway, *lines_of(made, choice, "apply"))
    assert (made.mss(is_syn=True), made.mss(is_syn=False)) == (1452, 1452)


def test_the_smallest_change_of_a_fortigate_is_its_policy(site):
    choice = chosen(site("fortinet", VENDORS["fortinet"].versions[-1], "none"))

    assert [edit.entry for edit in choice.edits] == ["clamp-policy"]
    assert "every host that uses policy 1 (vlan20 to wan1)" in choice.blast_radius


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_smaller_vlan_mtu_is_refused_as_a_change_that_changes_nothing(site, platform):
    made = site(platform, VENDORS[platform].versions[-1], "none")

    choice = chosen(made, wanted="vlan-mtu")

    assert isinstance(choice, FixRefused)
    assert "DHCP option 26" in choice.reason
