"""Every kind of fix: chosen by the proof, the smallest first; the rest as a request to others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose.simulate import prove_coverage
from mtughost.model.findings import Evidence, Finding
from mtughost.remedy.choose import NO_OPS, choose_fix
from mtughost.remedy.edits import AddRule, ReplaceRule, SetMtu
from mtughost.remedy.fix import FixChoice, FixRefused, changed_flows
from mtughost.remedy.values import entry_of, values_of

BOTH = 'iifname {{ "vlan20", "vlan30" }} oifname "wan0" tcp flags syn tcp option maxseg size set {}'
BACK = 'iifname "wan0" oifname {{ "vlan20", "vlan30" }} tcp flags syn tcp option maxseg size set {}'


def test_too_large_a_value_is_lowered_in_its_place(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(BOTH.format(1460), BACK.format(1460)))

    choice = choose_fix(report_of(evidence, "clamp-too-high"), evidence)

    assert isinstance(choice, FixChoice), choice
    assert choice.change == "clamp-too-high"
    assert [(e.before.mss_bytes, e.after.mss_bytes) for e in choice.edits] == [(1460, 1452)] * 2
    assert {e.before.in_interfaces for e in choice.edits} == {
        e.after.in_interfaces for e in choice.edits
    }
    assert all(entry_of(edit, choice.change) == "clamp-value-nft" for edit in choice.edits)
    assert "from 1460 to 1452" in choice.summary
    assert all(row.covered for row in choice.after)


def test_a_value_with_a_condition_lowers_both(shop, report_of, rules):
    asked = "tcp option maxseg size > 1460 tcp option maxseg size set 1460"
    texts = [one.format("").replace("tcp option maxseg size set ", asked) for one in (BOTH, BACK)]
    evidence = shop(rules.nft_ruleset(*texts))

    choice = choose_fix(report_of(evidence, "clamp-too-high"), evidence)

    assert [(e.after.above_bytes, e.after.mss_bytes) for e in choice.edits] == [(1452, 1452)] * 2


def test_with_iptables_a_second_rule_writes_the_lower_value(shop, report_of, rules):
    out = "-A FORWARD -i vlan20 -o wan0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS "
    back = out.replace("-i vlan20 -o wan0", "-i wan0 -o vlan20")
    evidence = shop(rules.iptables_ruleset(out + "--set-mss 1460", back + "--set-mss 1460"))

    choice = choose_fix(report_of(evidence, "clamp-too-high"), evidence)

    assert choice.change == "clamp-too-high"
    assert all(isinstance(edit, AddRule) and edit.rule.mss_bytes == 1452 for edit in choice.edits)


def test_the_missing_family_is_added_beside_the_one_that_is_there(shop, report_of, rules):
    texts = [f"meta nfproto ipv4 {one.format('rt mtu')}" for one in (BOTH, BACK)]
    evidence = rules.six(shop(rules.nft_ruleset(*texts)))

    choice = choose_fix(report_of(evidence, "clamp-one-family"), evidence)

    assert isinstance(choice, FixChoice), choice
    assert choice.change == "clamp-one-family"
    assert {edit.rule.nfproto for edit in choice.edits} == {6}
    assert {edit.behind for edit in choice.edits} == set(texts)
    assert all(edit.rule.comment.startswith("mtughost-") for edit in choice.edits)
    assert all(row.covered for row in choice.after)


def test_the_missing_family_of_iptables_goes_into_its_own_table(shop, report_of, rules):
    out = (
        "-A FORWARD -i vlan20 -o wan0 -p tcp -m tcp --tcp-flags SYN,RST SYN "
        "-j TCPMSS --clamp-mss-to-pmtu"
    )
    back = out.replace("-i vlan20 -o wan0", "-i wan0 -o vlan20")
    evidence = rules.six(shop(rules.iptables_ruleset(out, back)))

    choice = choose_fix(report_of(evidence, "clamp-one-family"), evidence)

    assert isinstance(choice, FixChoice), choice
    assert choice.change == "clamp-one-family"
    assert {edit.table for edit in choice.edits} == {"ip6 mangle"}


def test_the_tunnels_mtu_is_lowered_only_where_that_suffices(shop, report_of, rules):
    follow = rules.nft_ruleset(BOTH.format("rt mtu"), BACK.format("rt mtu"))
    fixed = rules.nft_ruleset(BOTH.format(1460), BACK.format(1460))
    narrow = lambda rows: tuple(replace(row, path_mtu=1430) for row in rows)  # noqa: E731

    for ruleset, wanted in ((follow, FixChoice), (fixed, FixRefused)):
        evidence = shop(ruleset, wan_mtu=1500)

        def prove(now, evidence=evidence):
            egress = next(
                link.mtu_bytes
                for one in now.facts
                if one.host == "gw1"
                for link in one.interfaces.value
                if link.name == "wan0"
            )
            rows = narrow(prove_coverage(now))
            return tuple(
                replace(row, covered=(row.mss.configured or 1460) + 40 <= min(1430, egress))
                for row in rows
            )

        choice = choose_fix(report_of(evidence), evidence, wanted="tunnel-mtu", prove=prove)

        assert isinstance(choice, wanted), choice
        if wanted is FixChoice:
            assert choice.edits == (SetMtu(interface="wan0", before_bytes=1500, after_bytes=1430),)
            assert choice.touches_management
            assert "every VLAN" in " ".join(choice.other_flows)


def test_the_vlans_mtu_with_option_26_becomes_a_request_because_it_takes_hours(
    shop, report_of, rules
):
    evidence = shop(rules.nft_ruleset())

    refused = choose_fix(report_of(evidence), evidence, wanted="vlan-mtu-dhcp")

    assert isinstance(refused, FixRefused)
    assert "leases" in refused.reason
    assert "dhcp-option=vlan20,26,1488" in refused.change_request
    assert "every client of vlan20" in refused.change_request


@pytest.mark.parametrize("owner", ["provider", "isp", "cloud", "host"])
def test_what_only_somebody_else_can_repair_becomes_a_request(shop, report_of, rules, owner):
    evidence = shop(rules.nft_ruleset())
    finding = Finding(
        id="isp-path-mtu-low",
        grade="confirmed",
        owner=owner,
        summary="the path carries 1430 bytes",
        evidence=(
            Evidence(
                kind="ping",
                basis="real program",
                host="gw1",
                value="1430 answered, 1431 not",
                command="ping -M do",
                line=3,
                frame=9,
            ),
        ),
    )

    refused = choose_fix(report_of(evidence, findings=(finding,)), evidence)

    assert f"Change request to: the {owner}" in refused.change_request
    assert "1430 answered, 1431 not (gw1, ping -M do, line 3, frame 9)" in refused.change_request
    assert "MSS at most 1452, now 1460" in refused.change_request


def test_a_gateway_that_nobody_here_read_gets_a_request(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    report = report_of(evidence)
    blind = replace(evidence, facts=evidence.facts[:1])
    prove = lambda _: report.flows  # noqa: E731

    refused = choose_fix(report, blind, wanted="clamp-missing", prove=prove)

    assert isinstance(refused, FixRefused)


@pytest.mark.parametrize("wanted", sorted(NO_OPS))
def test_every_known_no_op_is_refused_with_its_reason_and_what_to_ask_for(
    shop, report_of, rules, wanted
):
    evidence = shop(rules.nft_ruleset())

    refused = choose_fix(report_of(evidence), evidence, wanted=wanted)

    assert NO_OPS[wanted] in refused.reason
    assert "clamp-missing" in refused.todo


def test_a_change_that_nobody_knows_is_refused_by_name(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())

    refused = choose_fix(report_of(evidence), evidence, wanted="reboot-it")

    assert "reboot-it is no change" in refused.reason


def test_a_change_asked_for_by_name_is_made_although_a_smaller_one_would_do(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(*(t.format("rt mtu") for t in _vlan30())))

    smallest = choose_fix(report_of(evidence), evidence)
    asked = choose_fix(report_of(evidence), evidence, wanted="clamp-missing")
    useless = choose_fix(report_of(evidence), evidence, wanted="clamp-too-high")

    assert (smallest.change, asked.change) == ("clamp-scope", "clamp-missing")
    assert "not sufficient" in useless.reason


def _vlan30():
    return (
        'iifname "vlan30" oifname "wan0" tcp flags syn tcp option maxseg size set {}',
        'iifname "wan0" oifname "vlan30" tcp flags syn tcp option maxseg size set {}',
    )


def test_flows_that_were_fine_and_get_another_size_are_named(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(BOTH.format(1460), BACK.format(1460)))
    choice = choose_fix(report_of(evidence, "clamp-too-high"), evidence)
    before = tuple(replace(row, covered=True) for row in choice.before)

    named = changed_flows(before, choice.after)

    assert named
    assert all("MSS 1460 becomes 1452" in line for line in named)
    assert changed_flows(choice.before, choice.after) == ()


def test_the_values_of_a_lowered_clamp_name_what_was_there(shop, report_of, rules):
    from mtughost.remedy.state import DeviceReading  # noqa: PLC0415

    evidence = shop(rules.nft_ruleset(BOTH.format(1460), BACK.format(1460)))
    edit = choose_fix(report_of(evidence, "clamp-too-high"), evidence).edits[0]
    read = DeviceReading(
        relevant=(), others={}, saved=(), running=(), handles=((edit.before.text(), 7),)
    )

    assert isinstance(edit, ReplaceRule)
    values = values_of(edit, read, "T")
    assert (values["mss"], values["mss_before"], values["handle"]) == (1452, 1460, 7)
