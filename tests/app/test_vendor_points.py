"""An audit over SSH of stores with vendors' access points behind a clamp of the wrong scope.

The devices are emulations; what they answer follows from the emulated gateway's packets.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mtughost.app.fleets import virtual_fleet
from mtughost.lab.fleet import FleetSpec
from mtughost.lab.fleet.points import POINTS

PLATFORMS = tuple(POINTS)
pytestmark = pytest.mark.timeout(180)


def tool(project, *words):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mtughost", "--quiet", "--project", str(project), *words],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode in {0, 10, 11}, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Audit one store per platform, whole and from the access points alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        spec = FleetSpec(
            sites=len(PLATFORMS),
            vendors=("fortinet",),
            aps=PLATFORMS,
            stories=("till-vlan-only",),
        )
        with virtual_fleet(spec, name="points") as fleet:
            whole = tool(fleet.project, "audit", "--json", "-")
            alone = tool(
                fleet.project, "audit", "--filter", "role=ap", "--probe", "path", "--json", "-"
            )
    return whole, alone


def by_platform(document):
    # Stores are numbered from 1, and platforms are dealt out in turn.
    return {
        PLATFORMS[int(site["site"].removeprefix("s")) % len(PLATFORMS)]: site
        for site in document["sites"]
    }


def graded(site):
    return {finding["id"]: finding["grade"] for finding in site["findings"]}


def test_every_device_was_read(stores):
    for document in stores:
        failed = [host for host in document["hosts"] if host["status"] == "failed"]
        assert failed == []


#: Access points whose own log tells of the stalled handshake, within the last hour.
TELLING = ("linux", "extreme_hiveos", "openwrt")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_only_an_access_point_that_tells_of_the_stall_makes_the_gateways_hole_a_fault(
    stores, platform
):
    site = by_platform(stores[0])[platform]
    grade = graded(site).get("clamp-scope", "unknown")

    if platform in TELLING:
        assert (site["verdict"], grade) == ("fault", "likely")
    else:
        assert site["verdict"] == "unknown"
        assert grade in {"possible", "unknown"}


@pytest.mark.parametrize("platform", [name for name in PLATFORMS if name != "linux"])
def test_from_no_access_point_alone_anything_is_claimed_of_its_gateway(stores, platform):
    site = by_platform(stores[1])[platform]

    assert site["verdict"] == "unknown"
    assert set(graded(site).values()) <= {"possible", "unknown"}


def test_the_field_storys_clamp_is_found_behind_an_extreme_access_point(stores):
    site = by_platform(stores[0])["extreme_hiveos"]

    assert site["verdict"] == "fault"
    assert graded(site)["clamp-scope"] == "likely"
    (finding,) = [f for f in site["findings"] if f["id"] == "clamp-scope"]
    assert finding["owner"] == "gateway"
    assert "matches vlan30 only, not vlan20" in finding["summary"]
    cited = {(e["kind"], e.get("command")) for e in finding["evidence"]}
    assert ("push-log", "show logging buffered") in cited
    assert ("clamp-rule", "show system interface") in cited
    assert all(e["basis"] == "emulation" for e in finding["evidence"])


def test_from_an_extreme_access_point_alone_nothing_is_claimed_and_the_owner_is_asked(stores):
    site = by_platform(stores[1])["extreme_hiveos"]

    assert site["verdict"] == "unknown"
    assert set(graded(site).values()) <= {"possible", "unknown"}
    assert "clamp-missing" in graded(site)
    assert site["next_test"]["kind"] in {"question", "login"}
