"""The smallest sufficient fix, and refusals with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.model.clamps import Ruleset
from mtughost.model.findings import Finding
from mtughost.remedy.choose import choose_fix
from mtughost.remedy.edits import AddRule, NewTable, ReplaceRule, SetMtu
from mtughost.remedy.fix import FixChoice, FixRefused

OUT = 'iifname "vlan30" oifname "wan0" tcp flags syn counter tcp option maxseg size set rt mtu'
BACK = 'iifname "wan0" oifname "vlan30" tcp flags syn counter tcp option maxseg size set rt mtu'
IPT_OUT = (
    "-A FORWARD -i vlan30 -o wan0 -p tcp -m tcp --tcp-flags SYN,RST SYN "
    "-j TCPMSS --clamp-mss-to-pmtu"
)


def test_a_clamp_of_the_wrong_scope_is_widened_and_none_is_added(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(OUT, BACK))

    choice = choose_fix(report_of(evidence), evidence)

    assert isinstance(choice, FixChoice)
    assert choice.change == "clamp-scope"
    assert [type(edit) for edit in choice.edits] == [ReplaceRule, ReplaceRule]
    assert {edit.after.text() for edit in choice.edits} == {
        OUT.replace('"vlan30"', '{ "vlan20", "vlan30" }'),
        BACK.replace('"vlan30"', '{ "vlan20", "vlan30" }'),
    }
    assert all(row.covered is False for row in choice.before)
    assert all(row.covered for row in choice.after)
    assert {row.mss.configured for row in choice.after} == {1452}
    assert (choice.device, choice.backend, choice.target) == ("gw1", "nft", "inet clamp")


def test_the_missing_direction_is_added_beside_the_clamp_that_is_there(shop, report_of, rules):
    out = 'oifname "wan0" tcp flags syn tcp option maxseg size set rt mtu'
    evidence = shop(rules.nft_ruleset(out))

    choice = choose_fix(report_of(evidence, "clamp-one-direction"), evidence)

    assert choice.change == "clamp-one-direction"
    (edit,) = choice.edits
    assert isinstance(edit, AddRule)
    assert edit.behind == out
    assert edit.rule.text().startswith('iifname "wan0" tcp flags syn tcp option')
    assert all(row.covered for row in choice.after)


def test_where_no_clamp_is_one_both_ways_is_added_for_the_vlan_only(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())

    choice = choose_fix(report_of(evidence, "clamp-missing"), evidence)

    assert choice.change == "clamp-missing"
    (edit,) = choice.edits
    assert isinstance(edit, NewTable)
    assert [(r.in_interfaces, r.out_interfaces) for r in edit.rules] == [
        (("vlan20",), ("wan0",)),
        (("wan0",), ("vlan20",)),
    ]
    assert choice.target == "inet mtughost"
    assert all(row.covered for row in choice.after)


def test_iptables_gets_a_twin_rule_behind_the_first(shop, report_of, rules):
    back = IPT_OUT.replace("-i vlan30 -o wan0", "-i wan0 -o vlan30")
    evidence = shop(rules.iptables_ruleset(IPT_OUT, back))

    choice = choose_fix(report_of(evidence), evidence)

    assert (choice.change, choice.backend, choice.target) == ("clamp-scope", "iptables", "mangle")
    assert [edit.behind for edit in choice.edits] == [back, IPT_OUT] or [
        edit.behind for edit in choice.edits
    ] == [IPT_OUT, back]
    assert {edit.rule.text().split(" -p ")[0] for edit in choice.edits} == {
        "-i vlan20 -o wan0",
        "-i wan0 -o vlan20",
    }


def test_a_syn_only_iptables_clamp_is_mirrored(shop, report_of, rules):
    text = "-A FORWARD -o wan0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
    evidence = shop(rules.iptables_ruleset(text))

    choice = choose_fix(report_of(evidence, "clamp-one-direction"), evidence)

    assert choice.change == "clamp-one-direction"
    assert choice.edits[0].rule.text().startswith("-i wan0 -p tcp")


def test_a_rule_with_conditions_that_nobody_here_can_write_is_left_alone(shop, report_of, rules):
    ruleset = rules.nft_ruleset(OUT, BACK)
    chain = ruleset.chains[0]
    odd = tuple(
        replace(rule, text=rule.text.replace("tcp flags", "meta mark 7 tcp flags"))
        for rule in chain.rules
    )
    evidence = shop(Ruleset(chains=(replace(chain, rules=odd),), command="x"))

    choice = choose_fix(report_of(evidence), evidence)

    assert choice.change == "clamp-missing"


@pytest.mark.parametrize("wanted", ["vlan-mtu", "clamp-syn-only"])
def test_known_no_ops_are_refused_with_the_reason(shop, report_of, rules, wanted):
    evidence = shop(rules.nft_ruleset(OUT, BACK))

    refused = choose_fix(report_of(evidence), evidence, wanted=wanted)

    assert isinstance(refused, FixRefused)
    assert "would not repair it" in refused.reason


def test_a_managed_gateway_gets_a_change_request_instead(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(OUT, BACK), managed_by="provider-controller")

    refused = choose_fix(report_of(evidence), evidence)

    assert isinstance(refused, FixRefused)
    assert "provider-controller" in refused.reason
    assert "gw1" in refused.change_request
    assert "vlan20" in refused.change_request


def test_a_gateway_that_nobody_read_is_not_changed(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(OUT, BACK), gateway=False)

    refused = choose_fix(report_of(evidence), evidence)

    assert isinstance(refused, FixRefused)


def test_host_mtu_is_the_largest_multiple_of_eight_below_the_path(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(), wan_mtu=1446)

    choice = choose_fix(
        report_of(evidence, "icmp-ignored", change="host-mtu", host="ap1", value=1446), evidence
    )

    assert choice.change == "host-mtu"
    assert choice.edits == (SetMtu(interface="eth0", before_bytes=1500, after_bytes=1440),)
    assert choice.device == "ap1"
    assert choice.touches_management


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": "ok"}, "nothing to repair"),
        ({"verdict": "unknown"}, "nothing to repair"),
        ({"findings": ()}, "certain enough"),
    ],
)
def test_without_a_certain_finding_nothing_is_planned(shop, report_of, rules, changes, words):
    evidence = shop(rules.nft_ruleset(OUT, BACK))

    refused = choose_fix(report_of(evidence, **changes), evidence)

    assert isinstance(refused, FixRefused)
    assert words in refused.reason


def test_a_finding_without_a_fix_of_ours_names_its_owner(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(OUT, BACK))
    finding = Finding(id="certificate-invalid", grade="confirmed", owner="cloud", summary="expired")

    refused = choose_fix(report_of(evidence, findings=(finding,)), evidence)

    assert "up to the cloud" in refused.todo


def test_a_merely_possible_finding_changes_nothing(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(OUT, BACK))
    report = report_of(evidence)
    doubtful = replace(report.findings[0], grade="possible")

    refused = choose_fix(replace(report, findings=(doubtful,)), evidence)

    assert isinstance(refused, FixRefused)
