"""OpenWrt: what a reload would load, and real rulesets with and without their includes."""

from __future__ import annotations

import pytest

from mtughost.dialects.fixes import FIXES
from mtughost.dialects.netfilter import read_firmware
from mtughost.dialects.openwrt import read_fw4, read_openwrt, read_zones
from mtughost.model.basis import Unknown
from mtughost.model.clamps import ClampTo, NameSet
from mtughost.model.config import Wanted
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


# -- planned settings ------------------------------------------------------------------------------

ZONES = """\
firewall.@defaults[0]=defaults
firewall.@zone[0]=zone
firewall.@zone[0].name='lan'
firewall.@zone[0].network='lan' 'ap'
firewall.@zone[1]=zone
firewall.@zone[1].name='wan'
firewall.@zone[1].mtu_fix='0'
firewall.guests=zone
firewall.guests.name='guests'
"""
DEVICES = """\
\tdefine lan_devices = { "br-lan", "br-lan.20" }
\tdefine wan_devices = { "pppoe-wan" }
\tdefine guests_devices = { "br-lan.40" }
"""
RUNS = "table inet fw4 {\n\tchain forward {\n\t\ttype filter hook forward priority 0;\n\t}\n}\n"


def zones(config=ZONES, printed=DEVICES):
    return [(zone.number, zone.name, zone.devices) for zone in read_zones(config, printed)]


def test_a_zone_is_its_number_and_the_devices_that_fw4_prints():
    assert zones() == [(0, "lan", ("br-lan", "br-lan.20")), (1, "wan", ("pppoe-wan",))]
    assert [zone.is_clamped for zone in read_zones(ZONES, DEVICES)] == [False, False]
    assert zones(printed="") == []


@pytest.mark.parametrize(
    ("config", "printed"),
    [
        (ZONES, DEVICES.replace('"pppoe-wan"', '"ppp*"')),
        (ZONES, DEVICES.replace('"pppoe-wan"', "")),
        (ZONES + "firewall.@zone[1].family='ipv4'\n", DEVICES),
        (ZONES + "firewall.@zone[1].subnet='10.0.0.0/8'\n", DEVICES),
    ],
)
def test_a_zone_that_holds_only_a_part_of_its_devices_traffic_is_left_out(config, printed):
    assert [name for _, name, _ in zones(config, printed)] == ["lan"]


def planned(*lines):
    return read_openwrt(
        {
            "nft-text": answer(RUNS + "".join(f"{line}\n" for line in lines)),
            "iptables-save": answer("", "rejected", exit_code=127),
            "ip6tables-save": answer("", "rejected", exit_code=127),
            "zones": answer(ZONES),
            "print": answer(DEVICES),
        }
    )


def test_a_planned_mtu_fix_is_one_rule_each_way_for_both_families():
    ruleset = planned("firewall.@zone[0].mtu_fix='1'")

    lan, derived = NameSet(names=("br-lan", "br-lan.20")), ClampTo(value_bytes=None)
    assert clamps(ruleset) == [("forward", lan, None, derived), ("forward", None, lan, derived)]
    rules = [r for c in ruleset.chains for r in c.rules if isinstance(r.action, ClampTo)]
    assert {rule.match.families for rule in rules} == {frozenset({"ipv4", "ipv6"})}
    assert clamps(planned()) == []


@pytest.mark.parametrize("line", ["firewall.@zone[9].mtu_fix='1'", "firewall.@zone[0].masq='1'"])
def test_what_a_planned_line_would_make_is_unknown_where_its_zone_or_option_is(line):
    assert isinstance(planned(line), Unknown)


@pytest.mark.parametrize(
    ("lan", "wan", "expected"),
    [
        ("br-lan.20", "pppoe-wan", [["firewall.@zone[0]"], ["firewall.@zone[1]"], None]),
        ("br-lan.40", "pppoe-wan", [["firewall.@zone[1]"]]),
        ("br-lan.40", "wwan0", []),
    ],
)
def test_the_zone_of_the_access_points_is_offered_before_the_one_of_the_way_out(lan, wan, expected):
    wanted = [Wanted(lan=lan, wan=wan, family="ipv4", mss_bytes=1452)]
    texts = {"firewall-config": ZONES, "fw4-print": DEVICES}

    fixes = list(FIXES["openwrt"](texts, wanted))

    both = ["firewall.@zone[0]", "firewall.@zone[1]"]
    found = [[edit.settings[0].section for edit in fix.edits] for fix in fixes]
    assert found == [each or both for each in expected]
    befores = {e.settings[0].section: e.settings[0].before for fix in fixes for e in fix.edits}
    assert befores.get("firewall.@zone[1]", "'0'") == "'0'"


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
