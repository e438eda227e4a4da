"""Probe and capture against real kernels: what they say must be what the scenario's path does.

The truth is the path itself (an interface of 1492 or a tunnel of 1446 on the way), not a name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import mkdtemp

import pytest

from mtughost import lab
from mtughost.lab import LabSpec, SiteSpec

pytestmark = pytest.mark.lab

PPPOE_MTU_BYTES, TUNNEL_MTU_BYTES = 1492, 1446
BROKEN = {
    "clamp-scope": PPPOE_MTU_BYTES,
    "clamp-missing": PPPOE_MTU_BYTES,
    "clamp-syn-only": PPPOE_MTU_BYTES,
    "vlan-mtu-not-learned": PPPOE_MTU_BYTES,
    "icmp-ignored": TUNNEL_MTU_BYTES,
}
HEALTHY = ("healthy-clamp-both", "healthy-icmp", "ap-mtu-lowered")
OTHERS = ("port-blocked", "certificate-expired")


@pytest.fixture(scope="module", params=["1.2", "1.3"])
def results(request, checkout, once):
    """Return what probe and capture said of each scenario."""
    return once(f"probe-{request.param}", lambda: watched(request.param, checkout))


def watched(tls, checkout):
    names = (*BROKEN, *HEALTHY, *OTHERS)
    root = Path(mkdtemp(prefix="mtughost-probe-"))
    spec = LabSpec(name="probe", sites=tuple(SiteSpec(scenario=name, tls=tls) for name in names))
    running = lab.up(spec, root=root)
    try:
        script = Path(__file__).with_name("inside_lab.py")
        argv = [sys.executable, str(script), str(running.project), str(checkout)]
        done = running.exec(["env", f"PYTHONPATH={checkout}", *argv])
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
    finally:
        lab.down("probe", root=root)
    # Devices come in the order of the sites.
    return dict(zip(names, (found[name] for name in sorted(found)), strict=True))


def test_the_probe_brackets_the_byte_at_which_packets_begin_to_die(results):
    found = {
        name: (results[name]["probe"]["delivered"], results[name]["probe"]["lost"])
        for name in BROKEN
    }

    assert found == {name: (mtu, mtu + 1) for name, mtu in BROKEN.items()}


def test_a_healthy_path_loses_nothing(results):
    probes = {name: results[name]["probe"] for name in HEALTHY}

    assert {name: probe["lost"] for name, probe in probes.items()} == dict.fromkeys(HEALTHY)
    assert {name: probe["delivered"] for name, probe in probes.items()} == dict.fromkeys(
        HEALTHY, PPPOE_MTU_BYTES
    )
    # The third one needs two packets.
    assert all(probe["outcomes"] == ["reply"] * 3 for probe in probes.values())


def test_a_probe_with_its_bisect_takes_less_than_ten_seconds(results):
    assert max(found["probe"]["seconds"] for found in results.values()) < 10


def test_the_devices_shell_finds_the_same_where_forwarding_is_off(results):
    for name in (*BROKEN, *HEALTHY):
        shell = results[name]["shell"]
        assert shell["via"] == "probe-bash"
        assert ("timeout" in shell["outcomes"]) == (name in BROKEN), name


def test_a_blocked_port_is_unreachable_at_any_size(results):
    assert results["port-blocked"]["probe"]["outcomes"] == ["unreachable"]


def test_an_expired_certificate_hinders_no_hello(results):
    assert results["certificate-expired"]["probe"]["lost"] is None


def test_a_capture_shows_the_stall_of_the_devices_own_connection(results):
    for name, mtu in BROKEN.items():
        flows = results[name]["capture"]["flows"]
        stalled = [flow for flow in flows if flow["smallest_lost_up_bytes"]]
        assert stalled, (name, flows)
        for flow in stalled:
            assert flow["largest_acked_up_bytes"] <= mtu < flow["smallest_lost_up_bytes"], name
            assert flow["tls_stage"] == "client-flight", name


def test_no_other_scenario_shows_a_lost_size(results):
    for name in (*HEALTHY, *OTHERS):
        for flow in results[name]["capture"]["flows"]:
            assert flow["smallest_lost_up_bytes"] is None, (name, flow)
            assert flow["smallest_lost_down_bytes"] is None, (name, flow)


def test_icmp_that_the_host_ignores_is_in_the_capture(results):
    assert set(results["icmp-ignored"]["capture"]["too_big"]) == {TUNNEL_MTU_BYTES}


def test_a_refused_certificate_is_an_alert_and_no_stall(results):
    stages = {flow["tls_stage"] for flow in results["certificate-expired"]["capture"]["flows"]}

    assert "client-flight" not in stages


def test_a_blocked_port_shows_syns_without_an_answer(results):
    flows = results["port-blocked"]["capture"]["flows"]

    assert all(flow["syn_ack_mss_bytes"] is None for flow in flows)
