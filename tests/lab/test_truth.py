"""What the scenarios really do, measured by real clients and captures."""

from __future__ import annotations

import os

import pytest

from mtughost import lab
from mtughost.lab import Lab, LabSpec, SiteSpec, Truth, truth, truths
from mtughost.lab.measure import judge
from mtughost.lab.tap import Tap
from mtughost.model.errors import LabError

pytestmark = pytest.mark.lab

#: Written down by hand from facts of the field and of protocol, not derived from scenario data.
EXPECTED = {
    "healthy-clamp-both": "ok",
    "healthy-icmp": "ok",
    "healthy-tunnel": "ok",
    "ap-mtu-lowered": "ok",
    "clamp-scope": "fault",
    "clamp-missing": "fault",
    "clamp-syn-only": "fault",
    "vlan-mtu-not-learned": "fault",
    "icmp-ignored": "fault",
    "icmp-not-sent": "fault",
    "latent-far-end": "latent",
    "latent-fragments": "latent",
    "port-blocked": "not-mtu",
    "certificate-expired": "not-mtu",
}


@pytest.fixture(scope="module")
def measured12(tls12: Lab) -> dict[str, Truth]:
    return _by_scenario(tls12)


@pytest.fixture(scope="module")
def measured13(tls13: Lab) -> dict[str, Truth]:
    return _by_scenario(tls13)


def _by_scenario(running: Lab) -> dict[str, Truth]:
    found = truths(running)
    return {site.scenario: found[site.label] for site in running.sites}


def test_every_scenario_does_under_tls_1_2_what_it_was_built_for(measured12):
    assert {name: truth.verdict for name, truth in measured12.items()} == EXPECTED


def test_other_names_order_rules_and_tls_1_3_change_no_truth(measured13):
    assert {name: truth.verdict for name, truth in measured13.items()} == EXPECTED


def test_the_flight_of_site_a_has_its_field_size_and_is_lost(measured12):
    site_a = measured12["clamp-scope"]

    assert site_a.upload_frames[-3:] == (1514, 1514, 542)
    assert sum(site_a.upload_frames[-3:]) == 3570
    assert site_a.dont_fragment is False
    assert site_a.fragments_on_wan > 0
    assert set(site_a.resent_frames) == {1514}
    assert site_a.stage == "upload-unacknowledged"
    assert site_a.icmp_at_device == ()


def test_both_handshake_packets_of_site_a_say_1460_at_both_points(measured12):
    site_a = measured12["clamp-scope"]

    for point in (site_a.at_device, site_a.at_wan):
        assert (point.syn_mss_bytes, point.syn_ack_mss_bytes) == (1460, 1460)


def test_under_tls_1_3_the_client_of_site_a_believes_that_it_is_connected(measured13):
    site_a = measured13["clamp-scope"]

    assert site_a.upload_frames[-3:-1] == (1514, 1514)
    assert " up\n" in site_a.client_words
    assert not site_a.works


def test_a_clamp_in_both_directions_is_seen_on_both_sides(measured12, measured13):
    for measured in (measured12, measured13):
        healthy = measured["healthy-clamp-both"]
        assert healthy.at_wan.syn_mss_bytes == 1452
        assert healthy.at_device.syn_ack_mss_bytes == 1452
        assert max(healthy.upload_frames) == 1506


def test_the_one_line_clamp_leaves_the_syn_ack_alone(measured12, measured13):
    for measured in (measured12, measured13):
        half = measured["clamp-syn-only"]
        assert half.at_wan.syn_mss_bytes == 1452
        assert half.at_device.syn_ack_mss_bytes == 1460
        assert half.fragments_on_wan > 0


def test_path_mtu_discovery_heals_where_icmp_arrives_and_not_where_it_is_dropped(measured12):
    assert measured12["healthy-icmp"].dont_fragment
    assert measured12["healthy-icmp"].fragments_on_wan == 0
    ignored = measured12["icmp-ignored"]
    assert ignored.icmp_at_device
    assert set(ignored.icmp_at_device) == {1446}
    assert 1514 in ignored.resent_frames
    assert measured12["icmp-not-sent"].icmp_at_device == ()


def test_latent_sites_work_for_a_reason_that_is_luck(measured12):
    small = measured12["latent-far-end"]
    assert small.works
    assert small.at_device.syn_mss_bytes == 1460
    assert small.at_device.syn_ack_mss_bytes == 1400
    assert small.elsewhere_works is False
    lucky = measured12["latent-fragments"]
    assert lucky.works
    assert lucky.fragments_on_wan > 0


def test_look_alikes_fail_with_small_segments_too(measured12):
    blocked, expired = measured12["port-blocked"], measured12["certificate-expired"]
    assert blocked.stage == "no-syn-ack"
    assert blocked.small_works is False
    assert expired.stage == "ended-acknowledged"
    assert "certificate has expired" in expired.client_words


@pytest.mark.parametrize(
    ("works", "small", "elsewhere", "fragments", "verdict"),
    [
        (True, None, True, 0, "ok"),
        (True, None, True, 2, "latent"),
        (True, None, False, 0, "latent"),
        (False, True, None, 0, "fault"),
        (False, False, None, 8, "not-mtu"),
    ],
)
def test_the_verdict_follows_from_behaviour(works, small, elsewhere, fragments, verdict):
    got = judge(works=works, small_works=small, elsewhere_works=elsewhere, fragments=fragments)

    assert got == verdict


def test_a_capture_that_cannot_start_says_why_at_once(tls12):
    with pytest.raises(LabError, match="nosuch0"), Tap(tls12, "s001-gw1", "nosuch0", "icmp"):
        pass


@pytest.mark.skipif(not os.access("/dev/net/tun", os.W_OK), reason="needs /dev/net/tun")
def test_a_real_vpn_does_the_same_as_the_plain_tunnel(root):
    sites = (
        SiteSpec(scenario="icmp-ignored", tunnel="openvpn"),
        SiteSpec(scenario="healthy-tunnel", tunnel="openvpn", tls="1.3"),
    )
    running = lab.up(LabSpec(name="vpn", sites=sites), root=root)
    running.settle()

    ignored, healthy = (truth(running, site.label) for site in running.sites)

    assert (ignored.verdict, healthy.verdict) == ("fault", "ok")
    assert set(ignored.icmp_at_device) == {1446}
    assert ignored.at_wan.syn_ack_mss_bytes == 1460
    running.reboot(running.sites[1].gateway)
    assert "tun0" in running.in_device(running.sites[1].gateway, ["ip", "link"]).stdout
