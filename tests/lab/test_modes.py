"""Every mode does what it was built for, whatever the gateway's dialect."""

from __future__ import annotations

import shutil
from itertools import cycle
from pathlib import Path

import pytest

from mtughost import lab
from mtughost.lab import Lab, LabSpec, SiteSpec, Truth, host, truths, with_reboot
from mtughost.lab.spec import ClampStyle, TlsVersion
from mtughost.model.findings import FINDING_IDS

pytestmark = pytest.mark.lab


def _sites() -> tuple[SiteSpec, ...]:
    styles: list[ClampStyle] = ["nft", "iptables", "fw4", "vyos"]
    if host.has_legacy_iptables():
        styles.append("iptables-legacy")
    versions: tuple[TlsVersion, ...] = ("1.2", "1.3", "1.3")
    names = [
        name
        for name, scenario in lab.MODES.items()
        if not scenario.clock_offset_days or shutil.which("faketime")
    ]
    return tuple(
        SiteSpec(
            scenario=name,
            style=style,
            # Only TLS 1.3 has key shares in its hello.
            tls="1.3" if lab.MODES[name].large_hello else tls,
            renumber=number,
            noise=number,
        )
        for number, (name, style, tls) in enumerate(
            zip(names, cycle(styles), cycle(versions), strict=False), 1
        )
    )


@pytest.fixture(scope="module")
def modes(labs_folder: Path) -> Lab:
    running = lab.up(LabSpec(name="modes", sites=_sites()), root=labs_folder)
    running.settle()
    yield running
    lab.down("modes", root=labs_folder)


@pytest.fixture(scope="module")
def measured(modes: Lab) -> dict[str, Truth]:
    found = truths(modes)
    return {site.scenario: found[site.label] for site in modes.sites}


def test_every_mode_does_what_it_was_built_for(modes, measured):
    after = {
        site.scenario: with_reboot(modes, measured[site.scenario])
        for site in modes.sites
        if site.unsaved
    }

    got = {name: truth.verdict for name, truth in (measured | after).items()}

    assert got == {name: lab.MODES[name].outcome for name in got}


def test_only_half_a_clamp_shows_in_the_syns(measured):
    half = measured["clamp-syn-ack-only"]

    assert half.at_wan.syn_mss_bytes == 1460
    assert half.at_device.syn_ack_mss_bytes == 1452
    assert half.download_gap
    assert half.upload_frames == (254,)


def test_icmp_is_seen_where_it_gets_to_and_nowhere_else(measured):
    nat, upstream = measured["icmp-lost-at-nat"], measured["icmp-lost-upstream"]

    assert set(nat.icmp_at_wan) == {1492}
    assert nat.icmp_at_device == ()
    assert upstream.icmp_at_wan == upstream.icmp_at_device == ()
    assert set(measured["icmp-ignored-ipv6"].icmp_at_device) == {1492}


def test_the_second_wan_is_tried_without_leaving_a_trace(modes, measured):
    site = next(site for site in modes.sites if site.scenario == "failover-smaller")

    routes = modes.in_device(site.gateway, ["ip", "route", "show", "default"]).stdout

    assert measured["failover-smaller"].standby_works is False
    assert measured["healthy-failover"].standby_works is True
    assert [line.split()[4] for line in routes.splitlines()] == [site.wan, site.standby]


def test_findings_that_a_mode_allows_exist():
    for scenario in lab.CATALOGUE.values():
        assert set(scenario.findings) <= set(FINDING_IDS), scenario.name
        assert bool(scenario.findings) == (scenario.outcome != "ok"), scenario.name
