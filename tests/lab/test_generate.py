"""Sites drawn from a seed, and what may be said about them once they were measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtughost import lab
from mtughost.lab import Truth
from mtughost.lab.conversation import Handshake
from mtughost.lab.expect import allowed, label_problem
from mtughost.lab.generate import Abilities, draw_site
from mtughost.model.findings import FINDING_IDS

CAN = Abilities(legacy=True, shifted_clock=True)
UNTOUCHED = Handshake(syn_mss_bytes=1460, syn_ack_mss_bytes=1460)
TRUTH = Truth(
    site="s001",
    service="radsec",
    tls="1.2",
    works=False,
    client_words="",
    at_device=UNTOUCHED,
    at_wan=UNTOUCHED,
    upload_frames=(254, 1514, 1514, 542),
    resent_frames=(1514,),
    dont_fragment=False,
    fragments_on_wan=4,
    icmp_at_device=(),
    icmp_at_wan=(),
    download_gap=False,
    resets=False,
    stage="upload-unacknowledged",
    small_works=True,
    elsewhere_works=None,
    standby_works=None,
    login_works=None,
    login_small_works=None,
    rebooted_works=None,
    verdict="fault",
)
HEALTHY = replace(TRUTH, works=True, stage="round-trip", verdict="ok", small_works=None)


@given(seed=st.integers(1, 10**9), number=st.integers(1, 400))
@settings(max_examples=300, deadline=None)
def test_a_drawn_site_is_repeatable_and_its_figures_make_sense(seed, number):
    site = draw_site(seed, number, CAN)
    drawn = site.plan

    assert site == draw_site(seed, number, CAN)
    assert set(drawn.findings) <= set(FINDING_IDS)
    assert bool(drawn.findings) == (drawn.outcome != "ok")
    if drawn.l2_ceiling_bytes or drawn.management_ceiling_bytes:
        assert not site.behind_gateway  # nobody could log in
    if drawn.large_hello:
        assert (site.tls, drawn.upstream_mss_bytes <= 660) == ("1.3", True)
    links = (drawn.wan_mtu_bytes, drawn.ap_mtu_bytes, drawn.vlan_mtu_bytes)
    for mtu in (*links, drawn.hidden_mtu_bytes, drawn.down_mtu_bytes, drawn.standby_mtu_bytes):
        assert mtu == 0 or 1280 <= mtu <= 9000
    if drawn.clamp_mss_bytes and drawn.outcome == "ok":
        assert drawn.clamp_mss_bytes <= drawn.path_mtu_bytes - 40


def test_a_run_draws_every_mode_dialect_and_version():
    sites = [draw_site(5, number, CAN) for number in range(1, 1001)]

    usable = {name for name, each in lab.CATALOGUE.items() if each.topology != "plain"}
    assert {site.scenario for site in sites} == usable
    assert {site.style for site in sites} == {"nft", "iptables", "iptables-legacy", "fw4", "vyos"}
    assert {site.tls for site in sites} == {"1.2", "1.3"}
    assert {site.plan.family for site in sites} == {"ipv4", "ipv6", "dual"}


def test_what_a_machine_cannot_show_is_not_drawn():
    sites = [draw_site(5, n, Abilities(legacy=False, shifted_clock=False)) for n in range(1, 1001)]

    assert not any(site.plan.clock_offset_days for site in sites)
    assert "iptables-legacy" not in {site.style for site in sites}


def test_a_label_that_the_measurement_contradicts_is_thrown_out():
    scope = lab.CATALOGUE["clamp-scope"]
    clamped = replace(TRUTH, at_device=replace(UNTOUCHED, syn_ack_mss_bytes=1452))

    assert label_problem(scope, TRUTH) == ""
    assert "built for fault" in label_problem(scope, HEALTHY)
    assert "must not" in label_problem(scope, clamped)


@pytest.mark.parametrize(
    ("name", "device", "wan", "problem"),
    [
        ("icmp-lost-at-nat", (), (1492,), ""),
        ("icmp-lost-at-nat", (), (), "not stopped"),
        ("icmp-lost-upstream", (), (), ""),
        ("icmp-lost-upstream", (), (1492,), "from upstream"),
        ("icmp-ignored-retail", (1492,), (), ""),
        ("icmp-ignored-retail", (), (), "no ICMP"),
        ("icmp-not-sent", (1492,), (), "reached the host"),
    ],
)
def test_a_label_about_icmp_is_checked_at_both_points(name, device, wan, problem):
    seen = replace(TRUTH, icmp_at_device=device, icmp_at_wan=wan)

    got = label_problem(lab.CATALOGUE[name], seen)

    assert problem in got
    assert bool(problem) == bool(got)


def test_with_every_login_only_the_planted_causes_are_right():
    scope = lab.CATALOGUE["clamp-scope"]

    wanted = allowed(scope, TRUTH, "all")

    assert wanted.first == {"clamp-scope"}
    assert wanted.verdicts == {"fault"}
    assert not wanted.may_abstain


def test_from_the_ap_alone_what_gives_the_same_picture_is_as_right():
    scope = lab.CATALOGUE["clamp-scope"]

    fragments = allowed(scope, TRUTH, "ap-only").first
    discovery = allowed(scope, replace(TRUTH, dont_fragment=True), "ap-only").first
    told = allowed(scope, replace(TRUTH, icmp_at_device=(1492,)), "ap-only").first

    assert {"clamp-missing", "clamp-scope", "fragments-dropped"} <= fragments
    assert "icmp-not-sent" in discovery - fragments
    assert "icmp-ignored" in told - discovery


def test_a_healthy_site_allows_no_finding_whoever_looks():
    healthy = lab.CATALOGUE["healthy-clamp-both"]

    for reach in ("all", "ap-only"):
        assert allowed(healthy, HEALTHY, reach).first == frozenset()
        assert allowed(healthy, HEALTHY, reach).verdicts == {"ok"}


def test_an_answer_that_is_lost_whole_looks_from_the_ap_like_none():
    scenario = lab.CATALOGUE["l2-mismatch"]
    silent = replace(TRUTH, stage="ended-acknowledged")

    near, whole = allowed(scenario, silent, "ap-only"), allowed(scenario, silent, "all")

    assert ("server-hang" in near.first, "not-mtu" in near.verdicts) == (True, True)
    assert ("server-hang" in whole.first, "not-mtu" in whole.verdicts) == (False, False)
    gap = allowed(scenario, replace(silent, download_gap=True), "ap-only")
    assert "server-hang" not in gap.first
