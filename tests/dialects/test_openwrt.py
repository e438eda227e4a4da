"""OpenWrt: what a reload would load, and real rulesets with and without their includes."""

from __future__ import annotations

import pytest

from mtughost.dialects.netfilter import read_firmware
from mtughost.dialects.openwrt import read_fw4
from mtughost.model.basis import Unknown
from mtughost.model.clamps import ClampTo, NameSet
from mtughost.model.session import Answer

PRINTED = """\
table inet fw4
flush table inet fw4

table inet fw4 {
	define wan_devices = { "wan" }
	include "/etc/nftables.d/*.nft"

	chain mangle_forward {
		type filter hook forward priority mangle; policy accept;
		iifname "wan" tcp flags syn / fin,syn,rst tcp option maxseg size set rt mtu
	}
}
"""
COMMENTS = "## Put user rules here.\n\n# chain user_pre_forward {\n# }\n"


def answer(text, status="complete", **more):
    return Answer(command_id="x", line="x", text=text, status=status, **more)


def saved(printed=PRINTED, includes=COMMENTS):
    given = {"print": printed, "includes": includes}
    return read_fw4(
        {
            name: text if isinstance(text, Answer) else answer(text)
            for name, text in given.items()
            if text is not None
        }
    )


def clamps(ruleset):
    return [
        (chain.hook, rule.match.in_interfaces, rule.match.out_interfaces, rule.action)
        for chain in ruleset.chains
        for rule in chain.rules
        if isinstance(rule.action, ClampTo)
    ]


@pytest.mark.parametrize(
    "includes", [COMMENTS, "", "cat: /etc/nftables.d/*.nft: No such file or directory\n"]
)
def test_files_with_comments_only_add_nothing_to_what_is_printed(includes):
    ruleset = saved(includes=includes)

    assert ruleset.notes == ()
    assert clamps(ruleset) == [
        ("forward", NameSet(names=("wan",)), None, ClampTo(value_bytes=None))
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"includes": "chain mine { tcp option maxseg size set 1300; }\n"},
        {"includes": None},
        {"includes": answer("", "rejected")},
        {"printed": PRINTED.replace('"wan" tcp', "$wan_devices tcp")},
        {"printed": answer("fw4: not found", "rejected", exit_code=127)},
        {"printed": None},
    ],
)
def test_what_the_table_will_hold_is_unknown_where_a_part_of_it_is_not_seen(given):
    assert isinstance(saved(**given), Unknown)


# -- real output -----------------------------------------------------------------------------------


@pytest.fixture
def samples(shared):
    return shared / "samples" / "gateways" / "openwrt"


#: Whose table takes in more files than the usual ones: what these hold is not printed.
WITH_OTHER_FILES = {"fw4_print.04_disabled_include__1.txt"}


def test_every_real_fw4_print_reads_to_its_last_rule(samples):
    seen = 0
    for path in sorted(samples.glob("fw4_print.*.txt")):
        ruleset = saved(path.read_text())
        assert isinstance(ruleset, Unknown) == (path.name in WITH_OTHER_FILES), path.name
        if not isinstance(ruleset, Unknown):
            assert ruleset.notes == (), path.name
            seen += 1
    assert seen == 13


def test_the_real_zone_with_mtu_fix_is_clamped_both_ways_and_for_both_families(samples):
    ruleset = saved((samples / "fw4_print.01_ruleset__1.txt").read_text())
    live = read_firmware(
        {"nft-text": answer((samples / "fw4_print.01_ruleset__1.txt").read_text())}
    )

    pppoe, derived = NameSet(names=("pppoe-wan",)), ClampTo(value_bytes=None)
    expected = [("postrouting", None, pppoe, derived), ("forward", pppoe, None, derived)]
    assert clamps(ruleset) == clamps(live) == expected
    rules = [r for c in ruleset.chains for r in c.rules if isinstance(r.action, ClampTo)]
    assert {rule.match.families for rule in rules} == {frozenset({"ipv4", "ipv6"})}
    assert [rule.line for rule in rules] == [254, 267]
    (forward,) = [c for c in ruleset.chains if c.name == "forward"]
    assert (forward.hook, forward.policy) == ("forward", "drop")


def test_real_rulesets_without_mtu_fix_hold_no_clamp(samples):
    for name in ("04_icmp", "07_helpers", "05_mangle", "08_family_inheritance"):
        assert clamps(saved((samples / f"fw4_print.{name}__1.txt").read_text())) == []
