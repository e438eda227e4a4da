"""Site A where it is harder to reach, and what an audit leaves on the devices that it visited.

The same fault four times in one lab: as it is; without port forwarding on the access point; behind
a jump host, twice, with one and the same address in both stores.
"""

from __future__ import annotations

from contextlib import closing

import pytest

from mtughost.lab import SiteSpec
from mtughost.store import RunStore
from mtughost.wire.clock import SystemClock

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SITES = {
    "s001": "as it is",
    "s002": "no forwarding",
    "s003": "behind",
    "s004": "behind, no forwarding",
}
FLAGSHIP = "clamp-scope"
#: Three of the probe; the access point's own attempts leave some as well.
FEW_SOCKETS = 3 + 6


def hard_sites_story(labs, papers):
    sites = (
        SiteSpec(scenario=FLAGSHIP),
        SiteSpec(scenario=FLAGSHIP, forwarding=False),
        SiteSpec(scenario=FLAGSHIP, behind_gateway=True),
        SiteSpec(scenario=FLAGSHIP, behind_gateway=True, forwarding=False),
    )
    with labs(*sites) as operator:
        devices = [*operator.lab.hosts]
        operator.ran("inventory", "check")
        story = {"hosts": (operator.project / "inventory" / "hosts.yaml").read_text()}
        # The first login of all makes what every login makes (a home's history, a wtmp).
        before = operator.look()
        story["passive"] = operator.audit()
        after_passive = operator.look()
        story["probed"] = operator.audit("--probe", "service", "--capture", "5")
        story["looks"] = (before, after_passive, operator.look())
        story["sockets"] = {
            name: operator.on(name, "ss -Htan dst 203.0.113.10")
            for name in devices
            if "-ap" in name
        }
        story["logins"] = {name: operator.logins(name) for name in devices}
        path = operator.project / "state" / "runs.sqlite"
        with closing(RunStore.open(path, clock=SystemClock())) as store:
            story["stored"] = [
                store.load_run(story[name]["run_id"]) for name in ("passive", "probed")
            ]
    return story


STORIES = (hard_sites_story,)


@pytest.fixture
def story(stories):
    return stories.hard_sites


def site_of(document, name):
    (site,) = [site for site in document["sites"] if site["site"] == name]
    return site


# -- the same verdict ------------------------------------------------------------------------------


def test_the_two_jumped_stores_do_use_one_address(story):
    lines = [line.strip() for line in story["hosts"].splitlines()]

    assert lines.count("hostname: 10.20.0.10") == 2
    assert "jump: s003-gw1" in lines
    assert "jump: s004-gw1" in lines


@pytest.mark.parametrize("kind", ["passive", "probed"])
@pytest.mark.parametrize("name", SITES, ids=SITES.values())
def test_the_finding_is_the_same_wherever_the_device_stands(story, name, kind):
    site = site_of(story[kind], name)
    finding = site["findings"][0]

    assert site["verdict"] == "fault"
    assert (finding["id"], finding["owner"]) == ("clamp-scope", "gateway")
    for words in (
        f"rule inet clamp forward handle 3 on {name}-gw1",
        "matches vlan30 only, not vlan20",
        "packets)",
        # Without a capture it is seen only where the access point happens to be trying just then.
        f"the SYN-ACK reaches {name}-ap1 with MSS 1460 {'(seen)' if kind == 'probed' else '('}",
        "MSS 1452 will work",
        "path MTU 1492",
    ):
        assert words in finding["summary"]
    assert finding["fix"]["value_bytes"] == 1452


@pytest.mark.parametrize("name", SITES, ids=SITES.values())
def test_with_a_probe_the_finding_is_confirmed_by_the_wire_everywhere(story, name):
    finding = site_of(story["probed"], name)["findings"][0]

    assert finding["grade"] == "confirmed"
    assert "probe" in {item["kind"] for item in finding["evidence"]}


def service_probes(stored):
    return [probe for probe in stored.probes if probe["kind"] == "service"]


def test_the_probe_goes_through_the_ssh_server_or_else_through_the_devices_shell(story):
    probes = {probe["host"]: probe for probe in service_probes(story["stored"][1])}

    assert {name: probe["via"] == "direct-tcpip" for name, probe in probes.items()} == {
        "s001-ap1": True,
        "s002-ap1": False,
        "s003-ap1": True,
        "s004-ap1": False,
    }
    assert [probe["unavailable"] for probe in probes.values()] == [""] * 4
    assert all(len(probe["steps"]) <= 3 for probe in probes.values())


# -- and nothing is left ---------------------------------------------------------------------------


def test_a_passive_audit_changes_nothing_on_any_device(story, changed):
    before, after, _ = story["looks"]

    assert changed(before, after) == {}


def test_probes_and_captures_change_nothing_that_outlives_them(story, changed):
    _, before, after = story["looks"]

    assert changed(before, after) == {}


def test_what_a_probe_leaves_it_declared(story):
    for probe in service_probes(story["stored"][1]):
        assert "its socket stays in TIME-WAIT" in " ".join(probe["leaves"])
    for sockets in story["sockets"].values():
        assert len(sockets.splitlines()) <= FEW_SOCKETS


def test_a_passive_audit_sends_passive_commands_and_no_probe(story, checkout):
    passive, probed = story["stored"]

    assert (service_probes(passive), passive.captures) == ([], ())
    assert len(service_probes(probed)) == 4
    assert {capture.host for capture in probed.captures} == {
        f"{name}-{device}" for name in SITES for device in ("ap1", "gw1")
    }


def test_a_visit_is_one_login_and_a_watched_one_is_two(story):
    assert {story["logins"][f"{name}-ap1"] for name in SITES} == {3}
