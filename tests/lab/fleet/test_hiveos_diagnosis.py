"""What the diagnosis makes of a virtual Extreme access point: ports, proxy, certificate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.collect.reads import facts_from_answers
from mtughost.content.load import load_book
from mtughost.diagnose import SiteEvidence, diagnose_site
from mtughost.lab.fleet import FleetSpec
from mtughost.model.inventory import Site
from tests.lab.fleet.conftest import ROOT, answers_of, inventory_device


@pytest.fixture
def report(make):
    def one(story="till-vlan-only", **changes):
        spec = FleetSpec(sites=1, vendors=("fortinet",), aps=("extreme_hiveos",), stories=(story,))
        (site,) = make(spec)
        site.point.set(**changes)
        devices, facts = [], []
        for device, role in ((site.point, "ap"), (site.gateway, "gateway")):
            entry = inventory_device(site, role)
            # The virtual clock stands at 2026-11-21T12:00:00Z.
            answers = [replace(a, started_utc="2026-11-21T12:00:03Z") for a in answers_of(device)]
            book = load_book(ROOT, device.platform)
            facts.append(facts_from_answers(answers, book, ROOT, entry)[0])
            devices.append(entry)
        sites = Site(name=site.label, devices=tuple(devices))
        return diagnose_site(SiteEvidence(site=sites, facts=tuple(facts)))

    return one


def test_the_ports_that_the_proxy_uses_win_over_the_inventorys(report):
    found = report(tls_ports=(80, 443))

    (note,) = [n for n in found.notes if "for radsec" in n]
    assert "itself uses 203.0.113.10 port 80 (it may also use 443)" in note
    assert {f.id: f.grade for f in found.findings}["clamp-scope"] == "likely"


def test_another_elected_proxy_is_where_the_flow_belongs(report):
    found = report(proxy="10.20.1.99")

    assert any("names 10.20.1.99 as the one that holds" in note for note in found.notes)
    assert all(f.grade in {"possible", "unknown"} for f in found.findings)


def test_a_missing_certificate_is_told_as_what_it_is(report):
    found = report(has_certificate=False)

    (finding,) = [f for f in found.findings if f.id == "certificate-invalid"]
    assert (finding.grade, finding.owner) == ("likely", "ap")
    assert found.verdict == "not-mtu"


def test_where_no_station_asks_the_cloud_there_is_nothing_to_fail(report):
    found = report("both", uses_idm=False)

    assert found.findings == ()
    assert found.verdict == "unknown"


def test_a_healthy_path_and_a_client_that_says_up_are_no_proof_of_health(report):
    found = report("both")

    assert found.verdict == "unknown"
    assert found.findings == ()
