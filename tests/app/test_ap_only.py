"""Without a login on any gateway: what the access point alone shows, beside measured truth."""

from __future__ import annotations

import pytest

from mtughost.app.lab_run import run_scenarios

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SCENARIOS = (
    "clamp-scope",
    "clamp-syn-only",
    "healthy-clamp-both",
    "healthy-icmp",
    "icmp-ignored",
    "latent-far-end",
    "port-blocked",
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        table = run_scenarios(SCENARIOS, tls="1.3", access="ap-only")
    return {row.scenario: row for row in table.rows}


def test_no_verdict_is_wrong_and_no_healthy_site_gets_a_finding(rows):
    assert {
        name: row.verdict for name, row in rows.items() if not (row.agrees or row.abstains)
    } == {}
    assert all(not row.findings for row in rows.values() if row.truth.verdict == "ok")


def test_a_hole_is_found_from_the_access_point_alone_and_is_never_confirmed(rows):
    for name in ("clamp-scope", "clamp-syn-only"):
        row = rows[name]
        assert (row.truth.verdict, row.verdict) == ("fault", "fault")
        # Packets cannot tell no clamp from one of the wrong scope or direction.
        assert row.grades["clamp-missing"] == "likely"


def test_a_deaf_host_is_confirmed_without_its_gateway(rows):
    assert rows["icmp-ignored"].grades["icmp-ignored"] == "confirmed"


def test_what_only_the_gateway_could_tell_is_asked_of_its_owner(rows):
    for name in ("clamp-scope", "healthy-clamp-both", "latent-far-end"):
        assert "Ask the owner" in rows[name].asks
    assert "mtughost ingest" in rows["healthy-clamp-both"].asks
