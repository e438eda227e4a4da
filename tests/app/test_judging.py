"""Sites are judged as their devices come in, and what was read of them is forgotten."""

from __future__ import annotations

import gc
from contextlib import closing

import pytest

from mtughost.app import judging
from mtughost.app.judging import Judge
from mtughost.app.stored import evidence_of_stored, load_site
from mtughost.collect.reads import facts_from_answers
from mtughost.content.load import load_book
from mtughost.lab.fleet import VirtualClock, make_sites
from mtughost.lab.fleet.sites import FleetSpec
from mtughost.model.device import DeviceFacts
from mtughost.model.findings import HostStatus
from mtughost.model.inventory import Site
from mtughost.store import RunMeta, RunStore
from mtughost.wire.clock import SystemClock
from tests.lab.fleet.conftest import ROOT, account, answers_of, inventory_device

STORES = 4


@pytest.fixture(scope="module")
def stores():
    """Each store's site, and what its gateway and its access point answer."""
    spec = FleetSpec(sites=STORES, seed=3, vendors=("cisco_xe",), aps=("openwrt",))
    made = make_sites(spec, clock=VirtualClock(), accounts=(account("full"),))
    return [
        (
            Site(
                name=store.label,
                devices=(inventory_device(store), inventory_device(store, "ap")),
            ),
            (answers_of(store.gateway), answers_of(store.point)),
        )
        for store in made
    ]


@pytest.fixture
def run(tmp_path):
    with closing(RunStore.open(tmp_path / "state" / "runs.sqlite", clock=SystemClock())) as store:
        meta = RunMeta(started_utc="2026-02-01T00:00:00+00:00", tool="t")
        yield store, store.create_run(meta, suffix="0a1b2c")


def visit(site, answers, number):
    """Return how the visit to one of a site's devices ends, with its facts."""
    device = site.devices[number]
    facts, _ = facts_from_answers(answers[number], load_book(ROOT, device.platform), ROOT, device)
    ended = HostStatus(host=device.name, site=site.name, role=device.role, status="ok")
    return ended, answers[number], facts


def read_all(stores, run):
    """Let all devices come in; return the judge and the sites in the order of their end."""
    store, run_id = run
    judge, ended = Judge(ROOT, store, run_id, [site for site, _ in stores]), []
    # All gateways before all access points, as where each has a credential of its own.
    for number in (0, 1):
        for site, answers in reversed(stores):
            status, said, facts = visit(site, answers, number)
            store.record_host(run_id, status, said)
            whole = judge.arrived(status, facts)
            if whole is not None:
                ended.append(whole.name)
                judge.judge(whole.name)
    return judge, ended


def test_a_site_is_whole_with_its_last_device_and_reports_keep_the_inventorys_order(stores, run):
    names = [site.name for site, _ in stores]
    judge, ended = read_all(stores, run)

    assert ended == names[::-1]
    assert [report.site for report in judge.reports] == names
    assert judge.unjudged == []
    assert judge.fleet_view().unknown == sum(r.verdict == "unknown" for r in judge.reports)


def test_facts_from_the_store_give_the_same_verdicts_as_facts_in_memory(stores, run, monkeypatch):
    kept, _ = read_all(stores, run)
    monkeypatch.setattr(judging, "HELD_DEVICES", 0)
    lost, _ = read_all(stores, run)

    assert any(report.findings for report in kept.reports)
    assert kept.reports == lost.reports
    assert kept.fleet_view() == lost.fleet_view()


def test_the_evidence_of_a_stored_site_is_what_the_judge_saw(stores, run):
    store, run_id = run
    judge, _ = read_all(stores, run)

    for site, _ in stores:
        stored = load_site(store, run_id, site)
        assert stored is not None
        assert evidence_of_stored(stored, ROOT) == judge.evidence(site.name)


def test_no_facts_stay_in_memory_once_all_sites_were_judged(stores, run):
    gc.collect()
    before = sum(isinstance(thing, DeviceFacts) for thing in gc.get_objects())
    judge, _ = read_all(stores, run)
    gc.collect()

    assert len(judge.reports) == STORES
    assert sum(isinstance(thing, DeviceFacts) for thing in gc.get_objects()) == before
