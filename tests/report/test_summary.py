from dataclasses import replace

import pytest

from mtughost.model.findings import InstalledClamp, MssSeen, MtuView
from mtughost.report.summary import (
    by_urgency,
    clamp_words,
    headline_of,
    not_read,
    paths_of,
    proof_of,
    seen_mss,
    sentence_of,
    summarise,
)


def rule(*, covers, value=1452):
    return InstalledClamp(
        rule="r", text="t", value=value, packets=1, covers=covers, because="of its interface"
    )


@pytest.fixture
def sites(report):
    return {site.site: site for site in report.sites}


def with_rules(site, up, down):
    flows = tuple(
        replace(
            item,
            mss=replace(item.mss, installed=up if item.key.direction == "up" else down),
        )
        for item in site.flows
    )
    return paths_of(replace(site, flows=flows))[0]


def test_the_sites_that_need_a_person_come_first(report):
    verdicts = [site.verdict for site in by_urgency(report)]

    assert verdicts == ["fault", "fault", "latent", "unknown", "not-mtu", "ok", "ok", "ok"]


def test_failed_devices_come_before_skipped_ones(report):
    assert [host.status for host in not_read(report)] == ["failed", "skipped"]


def test_the_row_of_site_a_names_every_figure(sites):
    row = summarise(sites["site-a"])

    assert (row.wan_mtu, row.vlan_mtu, row.path_mtu) == ("1492", "1500", "1492")
    assert (row.mss_up, row.mss_down) == ("1460", "1460")
    assert row.clamp == "none here (1452 elsewhere)"
    assert row.headline.id == "clamp-scope"


def test_unknown_figures_are_question_marks(sites):
    row = summarise(sites["s005"])

    assert {row.wan_mtu, row.vlan_mtu, row.path_mtu, row.mss_up, row.mss_down, row.clamp} == {"?"}


def test_the_syn_ack_is_read_at_the_ap_and_the_syn_at_the_wan(sites):
    up, down = sites["site-a"].flows
    seen = MssSeen(ap=1, lan=2, wan=3)

    assert seen_mss(replace(up, mss=replace(up.mss, observed=seen))) == 1
    assert seen_mss(replace(down, mss=replace(down.mss, observed=seen))) == 3


def test_the_upload_dies_at_the_wan_and_not_at_the_vlan(sites):
    view = paths_of(sites["site-a"])[0]

    assert view.load_up.outcome == "lost"
    assert view.load_up.packet_bytes == 1500
    assert (view.load_up.stops_at, view.load_up.stops_mtu_bytes) == ("wan", 1492)


def test_the_vlan_mtu_never_limits_what_the_ap_sends(sites):
    site = sites["site-a"]
    mtu = MtuView(ap=1500, vlan=1492, wan=1500)
    flows = tuple(replace(item, mtu=mtu, path_mtu=1500, covered=True) for item in site.flows)

    view = paths_of(replace(site, flows=flows))[0]

    assert view.load_up.stops_at is None
    assert view.load_down.stops_at == "vlan"


def test_the_aps_own_mtu_limits_what_it_sends(sites):
    site = sites["site-a"]
    flows = tuple(
        replace(item, mtu=replace(item.mtu, ap=1492), covered=True) for item in site.flows
    )

    view = paths_of(replace(site, flows=flows))[0]

    assert view.load_up.packet_bytes == 1492
    assert view.load_up.outcome == "fits"


def test_a_tunnel_is_where_the_packet_stops(sites):
    view = paths_of(sites["s002"])[0]

    assert (view.load_up.stops_at, view.load_up.stops_mtu_bytes) == ("beyond", 1446)
    assert view.load_down.outcome == "unknown"


def test_a_latent_site_is_at_risk_and_never_fits(sites):
    view = paths_of(sites["s003"])[0]

    assert view.load_up.packet_bytes == 1440
    assert view.load_up.outcome == "at-risk"


def test_a_packet_seen_too_large_never_fits_whatever_the_proof_says(sites):
    site = sites["s004"]
    up = replace(site.flows[0], mss=replace(site.flows[0].mss, observed=MssSeen(ap=1460)))

    view = paths_of(replace(site, flows=(up, site.flows[1])))[0]

    assert view.load_up.outcome == "at-risk"


def test_missing_flows_are_unknown(sites):
    view = paths_of(replace(sites["s004"], flows=sites["s004"].flows[:1]))[0]

    assert view.load_down.outcome == "unknown"


def test_a_site_without_flows_has_no_path(sites):
    row = summarise(replace(sites["s004"], flows=()))

    assert row.path is None
    assert row.clamp == "?"


@pytest.mark.parametrize(
    ("up", "down", "words"),
    [
        ((), (), "none"),
        ((rule(covers=True),), (rule(covers=True),), "1452 both ways"),
        ((), (rule(covers=True),), "1452 SYN only"),
        ((rule(covers=True, value=None),), (), "? SYN-ACK only"),
        ((rule(covers=False),), (), "none here (1452 elsewhere)"),
        ((rule(covers=True, value=1412),), (rule(covers=True),), "1412/1452 both ways"),
    ],
)
def test_the_clamp_is_told_per_direction(sites, up, down, words):
    assert clamp_words(with_rules(sites["s003"], up, down)) == words


def test_a_clamp_is_never_called_missing_where_the_rules_are_not_known(sites):
    view = with_rules(sites["s005"], (), (rule(covers=True),))

    assert clamp_words(view) == "1452 SYN (? the other way)"
    assert clamp_words(with_rules(sites["s005"], (), ())) == "?"


def test_the_best_grade_is_the_headline(sites):
    site = sites["site-a"]
    turned = replace(site, findings=tuple(reversed(site.findings)))

    assert headline_of(turned).id == "clamp-scope"


def test_the_proof_is_evidence_of_the_findings_own_kind(sites):
    assert proof_of(sites["site-a"].findings[0]).kind == "clamp-rule"


def test_no_site_is_silent(report):
    for site in report.sites:
        assert sentence_of(site)
        assert sentence_of(replace(site, findings=(), flows=(), next_test=None, notes=()))


def test_a_site_that_nobody_could_read_says_why(sites):
    bare = replace(sites["s005"], next_test=None, notes=())

    assert sentence_of(bare) == "Not settled: The account may not see the firewall."
