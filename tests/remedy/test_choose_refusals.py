"""Where no change of ours is proven: each refusal has its own reason, and nothing is guessed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.diagnose.simulate import prove_coverage
from mtughost.model.basis import Known, Unknown
from mtughost.model.config import ConfigEdit, ConfigFix, Setting
from mtughost.model.findings import NextTest
from mtughost.remedy.candidates import Offered
from mtughost.remedy.choose import choose_fix
from mtughost.remedy.edits import SetMtu
from mtughost.remedy.fix import FixChoice, FixRefused

OUT = 'iifname "{}" oifname "wan0" tcp flags syn tcp option maxseg size set {}'
BACK = 'iifname "wan0" oifname "{}" tcp flags syn tcp option maxseg size set {}'


def with_facts(evidence, host, **changes):
    """Return evidence in which one device's facts differ."""
    facts = tuple(
        replace(
            one,
            **{
                name: value if isinstance(value, Unknown) else Known(value, one.interfaces.source)
                for name, value in changes.items()
            },
        )
        if one.host == host
        else one
        for one in evidence.facts
    )
    return replace(evidence, facts=facts)


def links_of(evidence, host):
    return next(one.interfaces.value for one in evidence.facts if one.host == host)


def mtu_of(evidence, host, name):
    return next(link.mtu_bytes for link in links_of(evidence, host) if link.name == name)


def managed(evidence, name):
    devices = tuple(
        replace(device, managed_by="cloud") if device.name == name else device
        for device in evidence.site.devices
    )
    return replace(evidence, site=replace(evidence.site, devices=devices))


def path_of(size):
    """Return a proof that knows this path MTU and nothing else new."""
    return lambda evidence: tuple(replace(row, path_mtu=size) for row in prove_coverage(evidence))


def covered_when(condition, *, path=1430):
    """Return a proof that says "covered" exactly where the condition holds."""

    def prove(evidence):
        holds = condition(evidence)
        return tuple(replace(row, covered=holds, path_mtu=path) for row in prove_coverage(evidence))

    return prove


# -- what the site says of itself --------------------------------------------------------------


def test_a_path_mtu_that_nobody_measured_proves_no_vlan_mtu(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())

    refused = choose_fix(report_of(evidence), evidence, wanted="vlan-mtu-dhcp", prove=path_of(None))

    assert "path MTU is unknown" in refused.reason
    assert refused.change_request == ""


def test_the_test_that_would_settle_it_is_named_where_nothing_is_certain(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    test = NextTest(kind="capture", host="gw1", summary="capture a minute on wan0")

    refused = choose_fix(report_of(evidence, findings=(), next_test=test), evidence)

    assert refused.todo == "capture a minute on wan0"


@pytest.mark.parametrize("wanted", ["", "tunnel-mtu", "clamp-missing"])
def test_where_every_flow_is_covered_nothing_is_changed(shop, report_of, rules, wanted):
    evidence = shop(rules.nft_ruleset(OUT.format("vlan20", "rt mtu"), BACK.format("vlan20", 1400)))

    refused = choose_fix(report_of(evidence), evidence, wanted=wanted)

    assert "no uncovered flow" in refused.reason


def test_a_way_through_the_gateway_that_is_unknown_gets_no_clamp(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    blind = with_facts(evidence, "gw1", addresses=())

    refused = choose_fix(report_of(evidence), blind, prove=covered_when(lambda _: False))

    assert refused.reason == "the way of ap1 through the gateway is unknown"


def test_two_gateways_of_one_site_are_never_changed_by_one_plan(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    twin = replace(evidence.site.devices[1], name="gw2")
    facts = replace(evidence.facts[1], host="gw2")
    site = replace(evidence.site, devices=(*evidence.site.devices, twin))
    evidence = replace(evidence, site=site, facts=(*evidence.facts, facts))

    refused = choose_fix(report_of(evidence), evidence)

    assert refused.reason == "the uncovered flows cross several gateways"
    assert "one gateway at a time" in refused.todo


def test_a_gateway_known_from_the_inventory_alone_gets_a_request(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    ap, gateway = evidence.site.devices
    hinted = replace(gateway, ap_vlan="vlan20", wan=("wan0",))
    site = replace(evidence.site, devices=(ap, hinted))
    unread = replace(evidence, site=site, facts=evidence.facts[:1])

    refused = choose_fix(report_of(evidence), unread, prove=covered_when(lambda _: False))

    assert refused.reason == "the gateway gw1 cannot be changed by us"
    assert refused.todo == "Send the change request to the gateway"
    assert "Please: do" in refused.change_request


def test_an_interface_whose_name_no_template_can_carry_is_refused(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    gateway = next(one for one in evidence.facts if one.host == "gw1")

    def odd(rows):
        return tuple(
            replace(row, interface="wan 0") if row.interface == "wan0" else row for row in rows
        )

    links = tuple(
        replace(link, name="wan 0") if link.name == "wan0" else link
        for link in gateway.interfaces.value
    )
    evidence = with_facts(
        evidence,
        "gw1",
        interfaces=links,
        addresses=odd(gateway.addresses.value),
        routes=odd(gateway.routes.value),
    )

    refused = choose_fix(report_of(evidence), evidence)

    assert "a name that templates cannot carry" in refused.reason


def test_a_packet_filter_that_was_not_seen_whole_is_not_changed(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    before = prove_coverage(evidence)
    evidence = with_facts(evidence, "gw1", clamps=Unknown("the account may not see it"))

    refused = choose_fix(report_of(shop(rules.nft_ruleset())), evidence, prove=lambda _: before)

    assert refused.reason == "the packet filter of gw1 is not known as a whole"


# -- the MTU of the way out --------------------------------------------------------------------


def fixed(rules):
    return rules.nft_ruleset(OUT.format("vlan20", 1460), BACK.format("vlan20", 1460))


def test_an_unknown_mtu_of_the_way_out_is_not_lowered(shop, report_of, rules):
    evidence = shop(fixed(rules))
    without = tuple(link for link in links_of(evidence, "gw1") if link.name != "wan0")
    before = prove_coverage(evidence)
    blind = with_facts(evidence, "gw1", interfaces=without)

    refused = choose_fix(report_of(evidence), blind, wanted="tunnel-mtu", prove=lambda _: before)

    assert "the MTU of wan0 or of the path behind it is unknown" in refused.reason


@pytest.mark.parametrize(
    ("path", "lowered"),
    [(1279, None), (1280, 1280), (1491, 1491), (1492, None), (1500, None)],
)
def test_the_way_out_gets_the_paths_mtu_between_the_floor_of_ipv6_and_its_own(
    shop, report_of, rules, path, lowered
):
    evidence = shop(fixed(rules))
    prove = covered_when(lambda now: mtu_of(now, "gw1", "wan0") <= path < 1492, path=path)

    choice = choose_fix(report_of(evidence), evidence, wanted="tunnel-mtu", prove=prove)

    if lowered is None:
        assert choice.reason == "no MTU of wan0 on gw1 is proven sufficient"
    else:
        assert choice.edits == (SetMtu(interface="wan0", before_bytes=1492, after_bytes=lowered),)


def test_the_way_out_is_lowered_by_itself_where_no_clamp_suffices(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    prove = covered_when(lambda now: mtu_of(now, "gw1", "wan0") == 1430)

    choice = choose_fix(report_of(evidence, "clamp-missing"), evidence, prove=prove)

    assert (choice.change, choice.backend, choice.target) == ("tunnel-mtu", "link-mtu", "wan0")
    assert choice.summary == (
        "on gw1, lower the MTU of wan0 from 1492 to 1430: the clamps that follow it follow"
    )


def test_where_a_controller_keeps_that_mtu_it_becomes_a_request(shop, report_of, rules):
    evidence = managed(shop(rules.nft_ruleset()), "gw1")
    prove = covered_when(lambda now: mtu_of(now, "gw1", "wan0") == 1430)

    refused = choose_fix(report_of(evidence, "clamp-missing"), evidence, prove=prove)

    assert "lower the MTU of wan0 from 1492 to 1430" in refused.change_request
    assert "managed by cloud" in refused.reason


def test_where_nothing_suffices_the_size_that_the_path_needs_is_named(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())

    refused = choose_fix(
        report_of(evidence, "clamp-missing"), evidence, prove=covered_when(lambda _: False)
    )

    assert refused.reason == "no change of the clamps that this version knows is sufficient"
    assert "an MSS of 1452" in refused.todo
    assert "runbook of clamp-missing" in refused.todo
    assert "Change request to: the gateway" in refused.change_request


def test_a_change_that_takes_the_cover_from_another_flow_is_not_sufficient(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    calls = []

    def prove(now):
        calls.append(now)
        up, down = prove_coverage(now)
        # Before, one direction was fine; after every change it no longer is known to be.
        known = len(calls) == 1
        return (
            replace(up, covered=not known),
            replace(down, covered=True if known else None),
        )

    refused = choose_fix(
        report_of(evidence, "clamp-missing"), evidence, wanted="clamp-missing", prove=prove
    )

    assert refused.reason == "clamp-missing is not sufficient by the coverage proof"


def test_what_was_unknown_before_may_stay_unknown(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    calls = []

    def prove(now):
        calls.append(now)
        up, down = prove_coverage(now)
        return (replace(up, covered=len(calls) > 1), replace(down, covered=None))

    choice = choose_fix(report_of(evidence, "clamp-missing"), evidence, prove=prove)

    assert choice.change == "clamp-missing"


# -- changes of a command line's configuration -------------------------------------------------


def offer_of(evidence, ruleset, change="clamp-missing", **more):
    setting = Setting(
        section="interface Vlan20", key="ip tcp adjust-mss", before=None, after="1452"
    )
    edit = ConfigEdit(entry="clamp-interface", values={"mss": 1452}, settings=(setting,))
    fix = ConfigFix(
        change=change, edits=(edit,), summary="clamp vlan20 to 1452", reach="vlan20", **more
    )
    return Offered(device=evidence.site.devices[1], fix=fix, ruleset=ruleset)


def test_the_first_offer_that_the_proof_shows_sufficient_is_taken(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    good = rules.nft_ruleset(OUT.format("vlan20", 1452), BACK.format("vlan20", 1452))
    asked = []

    def offers(host, wanted):
        asked.append((host, {(one.lan, one.wan, one.family, one.mss_bytes) for one in wanted}))
        return [
            offer_of(evidence, rules.nft_ruleset(OUT.format("vlan20", 1452)), "too-little"),
            offer_of(evidence, good, "enough", risk="none seen", touches_management=True),
            offer_of(evidence, good, "too-late"),
        ]

    choice = choose_fix(report_of(evidence, "clamp-missing"), evidence, offers=offers)

    assert asked == [("gw1", {("vlan20", "wan0", "ipv4", 1452)})]
    assert isinstance(choice, FixChoice)
    assert (choice.change, choice.backend, choice.target, choice.device) == (
        "enough",
        "config",
        "interface Vlan20",
        "gw1",
    )
    assert choice.summary == "on gw1, clamp vlan20 to 1452"
    assert (choice.risk, choice.touches_management, choice.finding) == (
        "none seen",
        True,
        "clamp-missing",
    )
    assert choice.other_flows == ("new TCP connections of vlan20: their MSS too is limited",)
    assert choice.blast_radius.startswith("new TCP connections of vlan20; established ones")
    assert all(row.covered for row in choice.after)
    assert not any(row.covered for row in choice.before)


def test_only_the_change_that_was_asked_for_is_offered(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    good = rules.nft_ruleset(OUT.format("vlan20", 1452), BACK.format("vlan20", 1452))
    offers = lambda *_: [  # noqa: E731
        offer_of(evidence, good, "clamp-scope"),
        offer_of(evidence, good, "clamp-missing"),
    ]
    report = report_of(evidence, "clamp-missing")

    asked = choose_fix(report, evidence, wanted="clamp-missing", offers=offers)
    none = choose_fix(report, evidence, wanted="clamp-too-high", offers=offers)

    assert asked.change == "clamp-missing"
    assert "no change of the clamps" in none.reason


def test_a_managed_gateways_offer_becomes_a_request(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(), managed_by="cloud")
    good = rules.nft_ruleset(OUT.format("vlan20", 1452), BACK.format("vlan20", 1452))

    refused = choose_fix(
        report_of(evidence, "clamp-missing"),
        evidence,
        offers=lambda *_: [offer_of(evidence, good)],
    )

    assert "Please: on gw1, clamp vlan20 to 1452" in refused.change_request


def test_a_platform_without_a_text_of_settings_is_changed_by_its_rules(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())

    choice = choose_fix(report_of(evidence, "clamp-missing"), evidence, offers=lambda *_: None)

    assert choice.backend == "nft"


# -- the MTU of a host -------------------------------------------------------------------------


def host_report(report_of, evidence, **more):
    return report_of(evidence, "icmp-ignored", **({"change": "host-mtu", "host": "ap1"} | more))


def test_a_host_that_nobody_read_is_not_changed(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())

    refused = choose_fix(host_report(report_of, evidence, host="ap9"), evidence)

    assert refused.reason == "the host that icmp-ignored is about was not read"


def test_a_host_whose_interface_is_unknown_is_not_changed(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    blind = with_facts(evidence, "ap1", interfaces=())

    refused = choose_fix(host_report(report_of, evidence), blind)

    assert refused.reason == "the interface or MTU of ap1 is unknown"


def test_without_a_path_mtu_and_without_a_hint_no_host_mtu_is_proven(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())

    refused = choose_fix(host_report(report_of, evidence), evidence, prove=path_of(None))

    assert "no MTU can be proven sufficient" in refused.reason
    assert refused.todo == "Collect a service probe or a capture first"


def test_the_findings_own_size_stands_in_for_a_path_that_nobody_measured(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    prove = covered_when(lambda now: mtu_of(now, "ap1", "eth0") == 1437, path=None)

    choice = choose_fix(host_report(report_of, evidence, value=1437), evidence, prove=prove)

    assert choice.edits == (SetMtu(interface="eth0", before_bytes=1500, after_bytes=1437),)


def test_the_paths_own_mtu_is_tried_where_the_multiple_of_eight_is_too_small(
    shop, report_of, rules
):
    evidence = shop(rules.nft_ruleset())
    prove = covered_when(lambda now: mtu_of(now, "ap1", "eth0") == 1446, path=1446)

    choice = choose_fix(host_report(report_of, evidence), evidence, prove=prove)

    assert choice.edits[0].after_bytes == 1446


@pytest.mark.parametrize("path", [1276, 1500, 1503, 9000])
def test_a_host_keeps_its_mtu_where_the_path_is_below_the_floor_or_above_it(
    shop, report_of, rules, path
):
    evidence = shop(rules.nft_ruleset())
    asked = []

    def prove(now):
        asked.append(mtu_of(now, "ap1", "eth0"))
        return path_of(path)(now)

    choice = choose_fix(host_report(report_of, evidence), evidence, prove=prove)

    assert set(asked) <= {1500, 1496}
    assert isinstance(choice, FixRefused)
    assert "between 1280 and the path MTU" in choice.todo


def test_an_mtu_that_does_not_help_the_host_is_refused(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())

    refused = choose_fix(
        host_report(report_of, evidence), evidence, prove=covered_when(lambda _: False)
    )

    assert refused.reason == "no MTU of eth0 on ap1 is proven sufficient"


@pytest.mark.parametrize("named", [True, False])
def test_a_finding_that_names_no_host_is_about_its_flows_access_point(
    shop, report_of, rules, named
):
    evidence = shop(rules.nft_ruleset(), wan_mtu=1446)
    report = host_report(report_of, evidence, host=None)
    finding = replace(report.findings[0], flow=report.flows[0].key if named else None)

    choice = choose_fix(replace(report, findings=(finding,)), evidence)

    assert (choice.device, choice.change) == ("ap1", "host-mtu")


def test_a_site_without_a_gateway_of_ours_is_repaired_on_the_host(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset(), gateway=False)
    report = report_of(evidence, "path-mtu-asymmetric", host="ap1", value=1440)
    prove = covered_when(lambda now: mtu_of(now, "ap1", "eth0") == 1440, path=1440)

    choice = choose_fix(report, evidence, prove=prove)

    assert (choice.device, choice.change) == ("ap1", "host-mtu")


def test_a_change_request_says_what_is_asked_why_and_what_must_hold(shop, report_of, rules):
    evidence = shop(rules.nft_ruleset())
    report = report_of(evidence, "clamp-missing")
    rows = prove_coverage(evidence)
    unknown = replace(rows[1], mss=replace(rows[1].mss, needed=None, configured=None))

    refused = choose_fix(
        report,
        evidence,
        prove=lambda _: (replace(rows[0], covered=False), replace(unknown, covered=False)),
    )

    where = "- radsec from ap1, ipv4 {} by wan0: MSS at most {}, now {}; {}"
    up, down = (row.key.direction for row in rows)
    assert refused.change_request.splitlines() == [
        "Change request to: the gateway",
        "Finding: clamp-missing (confirmed): it is so",
        "",
        "Please: do",
        "",
        "What it rests on:",
        "",
        "Must hold afterwards, in both directions:",
        where.format(up, 1452, 1460, rows[0].proof),
        where.format(down, "unknown", "unknown", rows[1].proof),
    ]
