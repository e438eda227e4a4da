"""Old runs go, and nothing that something else rests on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from mtughost.app.project import open_project
from mtughost.app.retention import KeepRule, prune_runs
from mtughost.model.documents import canonical_bytes, digest_bytes
from mtughost.model.errors import PlanRefusedError, StoreError, UsageError
from mtughost.model.findings import HostStatus
from mtughost.model.plans import GuardLines, StateLines
from mtughost.model.session import Answer
from mtughost.store import RunMeta, RunStore
from mtughost.wire.clock import SystemClock
from tests.app.test_review import DIFF, device, line, plan_of

NOW = "2026-03-31T00:00:00+00:00"


class Noon(SystemClock):
    """Always the same moment."""

    def utc_now(self):
        return NOW


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "stores"
    root.mkdir()
    (root / "mtughost.toml").write_text("[store]\nkeep_last = 3\n")
    return open_project(root, env={})


@pytest.fixture
def runs(project):
    """A finished audit on each of the first ten days of March, and what they are called."""
    with closing(RunStore.open(project.store_path, clock=Noon())) as store:
        return {day: stored(store, day) for day in range(1, 11)}


def stored(store, day, *, kind="audit", state="complete", host="s001-gw1"):
    started_utc = f"2026-03-{day:02}T01:00:00+00:00"
    meta = RunMeta(started_utc=started_utc, tool="t", kind=kind, hosts=(host,))
    run_id = store.create_run(meta, suffix=f"{day:06}")
    status = HostStatus(host=host, site="s001", role="gateway", status="ok")
    store.record_host(run_id, status, [Answer(command_id="x", line="x", text="y" * 1000)])
    if state != "running":
        store.finish_run(run_id, state=state)
    return run_id


def pruned(project, *, delete=True, **rule):
    return prune_runs(project, KeepRule(**rule), delete=delete, clock=Noon())


def left(project):
    with closing(RunStore.open(project.store_path, clock=Noon())) as store:
        return [int(run.run_id[6:8]) for run in reversed(store.runs())]


def test_nothing_is_deleted_unless_that_is_said(project, runs):
    found = pruned(project, delete=False, last=3)

    assert [run.run_id for run in found.gone] == [runs[day] for day in range(7, 0, -1)]
    assert (found.size_bytes > 0, found.freed_bytes) == (True, 0)
    assert left(project) == list(range(1, 11))


def test_the_newest_and_the_young_stay(project, runs):
    assert len(pruned(project, last=3).gone) == 7
    assert left(project) == [8, 9, 10]
    assert pruned(project, days=30).gone == ()
    assert len(pruned(project, days=22).gone) == 1
    assert left(project) == [9, 10]


def test_where_two_rules_are_given_a_run_goes_only_where_neither_keeps_it(project, runs):
    assert len(pruned(project, days=25, last=2, delete=False).gone) == 5
    assert len(pruned(project, days=21, last=6, delete=False).gone) == 4


def test_the_newest_finished_audit_stays_though_other_runs_are_newer(project, runs):
    with closing(RunStore.open(project.store_path, clock=Noon())) as store:
        stored(store, 11, kind="diagnose")
        stored(store, 12, state="interrupted")

    found = pruned(project, last=1)
    assert left(project) == [10, 12]
    assert [reason for _, reason in found.spared] == ["is the newest finished audit"]


def test_a_run_that_may_still_be_running_stays_for_a_week(project, runs):
    with closing(RunStore.open(project.store_path, clock=Noon())) as store:
        stored(store, 20, state="running")
        stored(store, 25, state="running")
        stored(store, 26)

    pruned(project, last=1)
    assert left(project) == [25, 26]


def test_the_run_that_a_plan_rests_on_stays_while_the_plan_may_be_applied(project, runs):
    whole = replace(
        device("s001-gw1"),
        state=StateLines(relevant=(), whole=(), saved=(), boot=line("true"), identity=()),
        guard=GuardLines(),
        diff_text_digest=digest_bytes(DIFF.encode()),
    )
    plan = replace(
        plan_of(whole),
        created_utc="2026-03-05T12:00:00Z",
        not_after_utc="2026-03-31T12:00:00Z",
    )
    path = project.state_dir / "plans" / "p1" / "plan.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(canonical_bytes(plan))

    found = pruned(project, last=1)
    assert left(project) == [5, 10]
    ((spared, reason),) = found.spared
    assert (spared.run_id, "s001-gw1 rests on it" in reason) == (runs[5], True)

    path.write_bytes(canonical_bytes(replace(plan, not_after_utc="2026-03-30T12:00:00Z")))
    pruned(project, last=1)
    assert left(project) == [10]


def test_what_cannot_be_read_stops_it_before_anything_is_deleted(project, runs):
    path = project.state_dir / "plans" / "p1" / "plan.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(PlanRefusedError):
        pruned(project, last=1)
    path.unlink()
    journal = project.state_dir / "change" / "journal.mtj"
    journal.parent.mkdir()
    journal.write_bytes(b"no journal\n")
    with pytest.raises(StoreError):
        pruned(project, last=1)

    assert left(project) == list(range(1, 11))


def test_without_any_rule_nothing_happens(project, runs):
    with pytest.raises(UsageError, match="keep"):
        pruned(project)
