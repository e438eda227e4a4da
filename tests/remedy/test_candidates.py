"""What could be changed in a gateway's clamps, written out by hand, the smallest first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose.flows import Flow, Sender
from mtughost.model.clamps import Ruleset
from mtughost.model.inventory import Service
from mtughost.remedy.candidates import Need, candidates, wanted_of
from mtughost.remedy.edits import (
    AddRule,
    NewTable,
    ReplaceRule,
    SetMtu,
    TakeAway,
    changed_ruleset,
    lines_after,
)
from mtughost.remedy.rule_text import ClampText, parse_nft

SERVICE = Service(name="radsec", host="203.0.113.10", port=2083)
FOLLOW = "tcp flags syn tcp option maxseg size set rt mtu"
IPT = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS"
#: Asks for ACK to be clear: never sees a SYN-ACK.
IPT_SYN = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS"


def need(direction, mss=1452, *, lan="vlan20", egress="wan0", family="ipv4"):
    flow = Flow(
        service=SERVICE,
        ap="ap1",
        gateway="gw1",
        family=family,
        sender=Sender(),
        server=None,
        lan=lan,
        egress=egress,
    )
    return Need(flow=flow, direction=direction, mss_bytes=mss)


def words(edit):
    if isinstance(edit, ReplaceRule):
        return ("replace", edit.before.text(), edit.after.text())
    if isinstance(edit, NewTable):
        return ("table", *(rule.text() for rule in edit.rules))
    return ("add", edit.table, edit.chain, edit.rule.text(), edit.behind)


def offered(ruleset, *needs):
    found = {}
    for one in candidates(ruleset, needs):
        found.setdefault(one.change, []).append([words(edit) for edit in one.edits])
    return found


UP, DOWN = need("up"), need("down")


def test_the_syn_ack_rules_the_upload_and_runs_from_the_egress_to_the_vlan():
    assert (UP.way, DOWN.way) == (("wan0", "vlan20"), ("vlan20", "wan0"))
    assert replace(UP, flow=replace(UP.flow, lan=None, egress=None)).way == ("", "")


def test_what_a_gateway_must_do_is_told_in_its_own_names():
    (wanted,) = wanted_of([need("up", None, family="ipv6")])

    assert (wanted.lan, wanted.wan, wanted.family, wanted.mss_bytes) == (
        "vlan20",
        "wan0",
        "ipv6",
        None,
    )


def test_without_any_clamp_a_table_of_our_own_follows_the_path_or_carries_the_size(rules):
    found = offered(rules.nft_ruleset(), UP, DOWN, need("down", 1432, family="ipv6"))

    out, back = 'iifname "vlan20" oifname "wan0"', 'iifname "wan0" oifname "vlan20"'
    above = "tcp flags syn tcp option maxseg size > {0} tcp option maxseg size set {0} counter"
    assert found == {
        "clamp-missing": [
            [("table", f"{out} {FOLLOW} counter", f"{back} {FOLLOW} counter")],
            [
                (
                    "table",
                    f"meta nfproto ipv4 {out} {above.format(1452)}",
                    f"meta nfproto ipv4 {back} {above.format(1452)}",
                    f"meta nfproto ipv6 {out} {above.format(1432)}",
                    f"meta nfproto ipv6 {back} {above.format(1432)}",
                )
            ],
        ]
    }


@pytest.mark.parametrize(
    ("needs", "four", "six"),
    [
        ([need("up", 1452), need("down", 1400)], 1400, 1380),
        ([need("up", 1380, family="ipv6")], 1400, 1380),
        ([need("up", 1452), need("up", 1400, family="ipv6")], 1452, 1400),
    ],
)
def test_the_family_that_nobody_measured_gets_the_size_of_the_same_packets(rules, needs, four, six):
    *_, fixed = offered(rules.nft_ruleset(), *needs)["clamp-missing"]

    sizes = {parse_nft(text).nfproto: parse_nft(text).mss_bytes for text in fixed[0][1:]}
    assert sizes == {4: four, 6: six}


def test_without_a_known_size_only_a_clamp_that_follows_the_path_is_offered(rules):
    found = offered(rules.nft_ruleset(), need("up", None))

    assert len(found["clamp-missing"]) == 1
    assert "set rt mtu" in found["clamp-missing"][0][0][1]


def test_a_second_table_of_our_own_is_never_made(rules):
    ruleset = rules.nft_ruleset()
    own = replace(ruleset.chains[0], table="inet mtughost", name="clamp")

    assert offered(replace(ruleset, chains=(own,)), UP, DOWN) == {}


def test_where_iptables_rules_the_new_rules_go_into_the_table_of_their_family(rules):
    ruleset = rules.iptables_ruleset(f"-A FORWARD -i lo -o lo {IPT} --set-mss 1200")

    found = offered(ruleset, UP, need("down", 1432, family="ipv6"))

    four = [
        ("add", "ip mangle", "FORWARD", f"-i vlan20 -o wan0 {IPT} {{}}", ""),
        ("add", "ip mangle", "FORWARD", f"-i wan0 -o vlan20 {IPT} {{}}", ""),
    ]
    six = [("add", "ip6 mangle", *edit[2:]) for edit in four]

    def filled(edits, how):
        return [(*edit[:3], edit[3].format(how), *edit[4:]) for edit in edits]

    assert found["clamp-missing"] == [
        filled([*four, *six], "--clamp-mss-to-pmtu"),
        [*filled(four, "--set-mss 1452"), *filled(six, "--set-mss 1432")],
    ]


def test_only_rules_that_see_forwarded_handshakes_are_touched(rules):
    ruleset = rules.nft_ruleset(f'iifname "vlan30" oifname "wan0" {FOLLOW}')
    out = replace(ruleset.chains[0], hook="output")

    assert set(offered(replace(ruleset, chains=(out,)), DOWN)) == {"clamp-missing"}
    assert set(offered(ruleset, DOWN)) >= {"clamp-scope"}


def test_a_rule_for_one_family_is_not_widened_for_the_other(rules):
    ruleset = rules.nft_ruleset(f'meta nfproto ipv6 iifname "vlan30" oifname "wan0" {FOLLOW}')

    assert "clamp-scope" not in offered(ruleset, DOWN)
    assert "clamp-scope" in offered(ruleset, need("down", family="ipv6"))


def test_a_rule_that_never_sees_a_syn_ack_is_not_widened_for_the_upload(rules):
    ruleset = rules.iptables_ruleset(f"-A FORWARD -o vlan30 {IPT_SYN} --clamp-mss-to-pmtu")

    assert "clamp-scope" not in offered(ruleset, UP)
    down = rules.iptables_ruleset(f"-A FORWARD -i vlan30 {IPT_SYN} --clamp-mss-to-pmtu")
    assert "clamp-scope" in offered(down, DOWN)


def test_one_rule_is_widened_once_for_two_vlans(rules):
    text = f'iifname "vlan30" oifname "wan0" {FOLLOW}'
    found = offered(rules.nft_ruleset(text), DOWN, need("down", lan="vlan25"))

    assert found["clamp-scope"][0] == [
        ("replace", text, text.replace('"vlan30"', '{ "vlan20", "vlan25", "vlan30" }'))
    ]


def test_an_iptables_rule_gets_one_twin_for_each_vlan_and_a_side_left_open_stays_open(rules):
    text = f"-A FORWARD -i vlan30 {IPT} --clamp-mss-to-pmtu"
    found = offered(rules.iptables_ruleset(f"[3:99] {text}"), DOWN, need("down", lan="vlan25"))

    assert found["clamp-scope"][0] == [
        ("add", "ip mangle", "FORWARD", f"-i {lan} {IPT} --clamp-mss-to-pmtu", text)
        for lan in ("vlan20", "vlan25")
    ]


def test_a_rule_that_names_the_egress_where_the_vlan_belongs_is_for_the_other_direction(rules):
    ruleset = rules.nft_ruleset(f'iifname "wan0" {FOLLOW}')

    assert "clamp-scope" not in offered(ruleset, DOWN)


def test_a_rule_for_every_interface_is_not_mirrored(rules):
    ruleset = rules.iptables_ruleset(f"-A FORWARD {IPT_SYN} --clamp-mss-to-pmtu")

    assert "clamp-one-direction" not in offered(ruleset, UP)


def test_a_mirrored_rule_sees_the_syn_ack_even_if_its_model_did_not(rules):
    ruleset = rules.iptables_ruleset(f"-A FORWARD -o wan0 {IPT_SYN} --clamp-mss-to-pmtu")

    (edits,) = offered(ruleset, UP)["clamp-one-direction"]

    assert edits == [
        (
            "add",
            "ip mangle",
            "FORWARD",
            f"-i wan0 {IPT} --clamp-mss-to-pmtu",
            f"-A FORWARD -o wan0 {IPT_SYN} --clamp-mss-to-pmtu",
        )
    ]


def test_a_rule_of_another_family_or_way_is_not_mirrored(rules):
    four = rules.nft_ruleset(f'meta nfproto ipv4 iifname "vlan20" oifname "wan0" {FOLLOW}')
    way = rules.nft_ruleset(f'iifname "vlan30" oifname "wan0" {FOLLOW}')

    assert "clamp-one-direction" in offered(four, UP)
    assert "clamp-one-direction" not in offered(four, need("up", family="ipv6"))
    assert "clamp-one-direction" not in offered(way, UP)


def test_wider_and_mirrored_together_count_as_one_change_of_scope(rules):
    # One direction has a clamp that misses the VLAN, the other a clamp of one side only.
    ruleset = rules.nft_ruleset(
        f'iifname "vlan30" oifname "wan0" {FOLLOW}', f'iifname "vlan20" {FOLLOW}'
    )

    found = offered(ruleset, UP, DOWN)["clamp-scope"]

    assert [[edit[0] for edit in edits] for edits in found] == [
        ["replace"],
        ["replace", "add"],
    ]


def test_edits_of_two_tables_are_no_candidate_because_a_guard_restores_one(rules):
    one = rules.nft_ruleset(f'iifname "vlan30" oifname "wan0" {FOLLOW}').chains[0]
    two = rules.nft_ruleset(f'iifname "wan0" oifname "vlan30" {FOLLOW}').chains[0]
    two = replace(two, table="ip other", name="post")
    ruleset = Ruleset(chains=(one, two), command="nft")

    assert "clamp-scope" not in offered(ruleset, UP, DOWN)
    assert "clamp-scope" in offered(ruleset, DOWN)


def test_a_clamp_that_writes_too_much_writes_what_the_narrowest_flow_needs(rules):
    text = "tcp flags syn tcp option maxseg size > 1400 tcp option maxseg size set 1460"
    found = offered(rules.nft_ruleset(text), need("up", 1452), need("down", 1380))

    assert found["clamp-too-high"] == [
        [("replace", text, text.replace("1400", "1380").replace("1460", "1380"))]
    ]
    # The narrower one first: the wider one must not raise it again.
    assert (
        offered(rules.nft_ruleset(text), need("down", 1380), need("up", 1452))["clamp-too-high"]
        == found["clamp-too-high"]
    )


@pytest.mark.parametrize("size", [1460, 1452, 0])
def test_a_clamp_that_writes_no_more_than_needed_is_not_lowered(rules, size):
    written = size or "rt mtu"
    ruleset = rules.nft_ruleset(f"tcp flags syn tcp option maxseg size set {written}")

    assert "clamp-too-high" not in offered(ruleset, need("up", size or 1452))
    assert "clamp-too-high" not in offered(ruleset, need("up", None))


def test_a_clamp_of_another_way_or_family_is_not_lowered(rules):
    way = rules.nft_ruleset('iifname "vlan30" tcp flags syn tcp option maxseg size set 1460')
    six = rules.nft_ruleset("meta nfproto ipv6 tcp flags syn tcp option maxseg size set 1460")

    assert "clamp-too-high" not in offered(way, DOWN)
    assert "clamp-too-high" not in offered(six, DOWN)


def test_with_iptables_the_lower_value_stands_behind_the_rule_and_wins(rules):
    text = f"-A FORWARD -i vlan20 {IPT} --set-mss 1460"
    found = offered(rules.iptables_ruleset(text), need("down", 1452), need("down", 1400))

    assert found["clamp-too-high"] == [
        [("add", "ip mangle", "FORWARD", f"-i vlan20 {IPT} --set-mss 1400", text)]
    ]


def test_the_twin_for_the_other_family_carries_that_familys_size(rules):
    text = "meta nfproto ipv4 tcp flags syn tcp option maxseg size set 1452"
    above = "meta nfproto ipv4 tcp flags syn tcp option maxseg size > 1452 "
    above += "tcp option maxseg size set 1452"

    for one, size in ((text, ""), (above, "tcp option maxseg size > 1432 ")):
        found = offered(rules.nft_ruleset(one), need("up", 1432, family="ipv6"))
        ((edit,),) = found["clamp-one-family"]
        assert edit[4] == one
        assert edit[3].startswith(
            f"meta nfproto ipv6 tcp flags syn {size}tcp option maxseg size set 1432 comment"
        )


def test_no_twin_is_made_of_a_rule_that_misses_the_way_or_the_syn_ack(rules):
    way = rules.nft_ruleset(f'meta nfproto ipv4 iifname "vlan30" {FOLLOW}')
    syn = rules.iptables_ruleset(f"-A FORWARD {IPT_SYN} --clamp-mss-to-pmtu")

    assert "clamp-one-family" not in offered(way, need("down", family="ipv6"))
    assert "clamp-one-family" not in offered(syn, need("up", family="ipv6"))
    assert offered(syn, need("down", family="ipv6"))["clamp-one-family"] == [
        [("add", "ip6 mangle", "FORWARD", f"{IPT_SYN} --clamp-mss-to-pmtu", "")]
    ]


# -- edits of rulesets and lines ---------------------------------------------------------------

RULE = ClampText(tool="nft", in_interfaces=("a",), flags=1)
IPTABLES = ClampText(tool="iptables", nfproto=4, in_interfaces=("a",))


def test_the_chain_that_iptables_makes_when_asked_is_made_for_the_proof_too(rules):
    edit = AddRule(
        table="ip6 mangle", chain="FORWARD", rule=replace(IPTABLES, nfproto=6), behind=""
    )

    after = changed_ruleset(rules.iptables_ruleset(), edit)

    four, six = after.chains
    assert (four.rules, six.families) == ((), frozenset({"ipv6"}))
    assert [rule.text for rule in six.rules] == [edit.rule.text()]
    four = replace(edit, table="ip mangle")
    (made,) = changed_ruleset(Ruleset(chains=(), command=""), four).chains
    assert (made.families, made.hook, made.priority) == (frozenset({"ipv4"}), "forward", -150)


def test_a_rule_goes_behind_the_first_of_two_alike_and_to_the_end_where_none_is(rules):
    text = f'iifname "a" {FOLLOW}'
    ruleset = rules.nft_ruleset(text, text)
    edit = AddRule(table="inet clamp", chain="forward", rule=RULE, behind=text)

    def names(edit):
        return [rule.name[-9:] for rule in changed_ruleset(ruleset, edit).chains[0].rules]

    assert names(edit) == [" handle 2", "(planned)", " handle 3"]
    assert names(replace(edit, behind=""))[-1] == "(planned)"


def test_only_the_chain_that_is_meant_changes(rules):
    one = rules.nft_ruleset(RULE.text())
    other = replace(one.chains[0], name="other")
    both = replace(one, chains=(*one.chains, other))
    edit = ReplaceRule(
        table="inet clamp", chain="other", before=RULE, after=replace(RULE, mss_bytes=1400)
    )

    first, second = changed_ruleset(both, edit).chains

    assert first == one.chains[0]
    assert second.rules[0].action.value_bytes == 1400


LINES = ("== iptables mangle", f"-A FORWARD {IPTABLES.text()}", "== ip6tables mangle")


@pytest.mark.parametrize(
    ("lines", "edit"),
    [
        (("table inet mtughost {", "}"), NewTable(rules=(RULE,))),
        (("table inet mtughost {", "}"), TakeAway(added=NewTable(rules=(RULE,)))),
        (
            ("== iptables mangle", "== ip6tables mangle"),
            TakeAway(added=AddRule(table="ip mangle", chain="FORWARD", rule=IPTABLES, behind="")),
        ),
        (
            (LINES[0], LINES[1], LINES[1], LINES[2]),
            TakeAway(added=AddRule(table="ip mangle", chain="FORWARD", rule=IPTABLES, behind="")),
        ),
        (("a mtu 15000",), SetMtu(interface="a", before_bytes=1500, after_bytes=1440)),
    ],
)
def test_an_edit_that_does_not_fit_what_is_there_is_refused(lines, edit):
    from mtughost.model.errors import PlanRefusedError  # noqa: PLC0415

    with pytest.raises(PlanRefusedError, match="has changed since it was audited"):
        lines_after(lines, edit)


def test_a_rule_of_iptables_is_taken_away_from_the_table_of_its_family_only():
    six = TakeAway(
        added=AddRule(
            table="ip6 mangle", chain="FORWARD", rule=replace(IPTABLES, nfproto=6), behind=""
        )
    )

    assert lines_after((*LINES, LINES[1]), six) == LINES


def test_a_rule_for_both_families_gets_no_twin(rules):
    ruleset = rules.nft_ruleset(f"{FOLLOW}")

    assert "clamp-one-family" not in offered(ruleset, need("up", family="ipv6"))


def test_new_rules_of_iptables_are_for_the_family_of_their_flow(rules):
    ruleset = rules.iptables_ruleset(f"-A FORWARD -i lo -o lo {IPT} --set-mss 1200")
    needs = (UP, need("down", 1432, family="ipv6"))

    found = [one for one in candidates(ruleset, needs) if one.change == "clamp-missing"]

    assert [[edit.rule.nfproto for edit in one.edits] for one in found] == [[4, 4, 6, 6]] * 2
