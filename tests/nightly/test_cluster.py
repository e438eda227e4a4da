"""A fleet through a Dask cluster while workers, and then the scheduler, are killed.

Real scheduler, real workers, mutual TLS; virtual stores over real SSH, which say who logged in.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import statistics
from pathlib import Path
from types import SimpleNamespace

import pytest

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
pytestmark = [
    pytest.mark.nightly(basis="real program (Dask), emulated command lines over real SSH"),
    pytest.mark.timeout(900),
]

SITES, NORTH_SITES, OVERALL = (300, 60, 30) if FULL else (24, 6, 8)
THINK_S = 0.25 if FULL else 0.12
ALL_OK = {"asked": SITES, "ok": SITES, "failed": 0, "skipped": 0}


@pytest.fixture(scope="module")
def worlds(module_at):
    return module_at(Path(__file__).parents[1] / "app" / "dask_world.py")


@pytest.fixture(scope="module")
def world(worlds, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cluster")
        patch.setenv("XDG_STATE_HOME", str(folder))
        stores = {"sites": SITES, "north": NORTH_SITES, "think_s": THINK_S, "overall": OVERALL}
        with worlds.a_world(folder, **stores) as running:
            running.start_scheduler()
            for name, region in (("w1", ""), ("w2", ""), ("w3", "north")):
                running.start_worker(name, region)
            yield running


@pytest.fixture(scope="module")
def killed_workers(world):
    """Kill two of three workers, one of them its region's only one, and start one again."""
    with world.auditing("--scheduler", world.address, "--json", "-") as audit:
        reported = world.wait_for_the_middle(SITES // 5, audit)
        world.kill("w1")
        world.wait_for_the_middle(SITES // 2, audit)
        world.kill("w3")
        world.start_worker("w4", "north")
        out, said = audit.communicate(timeout=600)
    sessions = world.sessions()
    world.forget()
    return SimpleNamespace(
        document=json.loads(out), said=said, reported=reported, sessions=sessions
    )


@pytest.fixture(scope="module")
def stuck_devices(world, killed_workers):
    """Audit while a device of each worker takes the connection and never says a word."""
    names = sorted(killed_workers.sessions)
    stuck = [names[0], names[NORTH_SITES], names[-1]]
    with world.mute(*stuck):
        done = world.audit("--scheduler", world.address, "--json", "-")
        assert done.stdout, done.stderr
    sessions = world.sessions()
    world.forget()
    return SimpleNamespace(
        names=stuck, code=done.returncode, document=json.loads(done.stdout), sessions=sessions
    )


@pytest.fixture(scope="module")
def no_region(world, stuck_devices):
    """Audit when nobody takes the north any more."""
    world.kill("w4")
    done = world.audit("--scheduler", world.address)
    kept = world.reported()
    world.forget()
    return SimpleNamespace(code=done.returncode, said=done.stderr, kept=kept)


@pytest.fixture(scope="module")
def killed_scheduler(world, no_region):
    """Kill the scheduler in the middle; then go on without it."""
    with world.auditing("--scheduler", world.address, "--filter", "region!=north") as audit:
        finished = world.wait_for_the_middle(5, audit)
        world.kill("scheduler")
        _, said = audit.communicate(timeout=600)
    kept = world.reported()
    world.forget()
    run = re.search(r"^run (\S+)$", said, re.MULTILINE).group(1)
    resumed = world.audit(
        "--run", run, "--filter", "region!=north", "--json", "-", with_secrets=True
    )
    return SimpleNamespace(
        code=audit.returncode,
        said=said,
        finished=finished,
        kept=kept,
        resumed=resumed,
        sessions=world.sessions(),
    )


def test_with_two_of_three_workers_killed_no_host_is_lost_and_none_counted_twice(
    worlds, killed_workers, note
):
    logins = {name: len(sessions) for name, sessions in killed_workers.sessions.items()}
    again = {name for name, count in logins.items() if count > 1}
    at_once = worlds.at_once(killed_workers.sessions)
    starts = sorted(start for each in killed_workers.sessions.values() for start, _ in each)
    note("devices", SITES)
    note("logged in to again", len(again))
    note("logins at once, of", f"{at_once} of {OVERALL}")
    note("seconds from first to last login", round(starts[-1] - starts[0]))
    pauses = [after - before for before, after in itertools.pairwise(starts)]
    note("median pause between logins, ms", round(1000 * statistics.median(pauses)))
    hosts = killed_workers.document["hosts"]

    assert killed_workers.document["counts"]["hosts"] == ALL_OK
    assert len({host["host"] for host in hosts}) == len(hosts) == SITES
    assert set(logins.values()) <= {1, 2, 3}
    assert len(again) <= 2 * OVERALL
    assert not again & set(killed_workers.reported)
    assert at_once <= OVERALL


def test_a_stuck_device_of_each_worker_is_named_and_holds_no_other_back(stuck_devices, note):
    hosts = {host["host"]: host for host in stuck_devices.document["hosts"]}
    failed = {name: host["error"] for name, host in hosts.items() if host["status"] != "ok"}
    logins = {name: len(each) for name, each in stuck_devices.sessions.items()}
    note("stuck of devices", f"{len(failed)} of {len(hosts)}")

    assert stuck_devices.code == 4
    assert set(failed) == set(stuck_devices.names)
    assert all("no SSH version line" in error for error in failed.values())
    assert logins == {name: 0 if name in failed else 1 for name in hosts}


def test_a_region_that_no_worker_takes_is_listed_and_the_others_are_read(no_region):
    north = [name for name, status in no_region.kept.items() if status == "skipped"]

    assert no_region.code == 4
    assert len(no_region.kept) == SITES
    assert len(north) == NORTH_SITES
    assert no_region.said.count("no worker of the cluster takes region north") == NORTH_SITES


def test_when_the_scheduler_goes_what_had_finished_is_kept_and_the_rest_is_listed(killed_scheduler):
    kept = killed_scheduler.kept

    assert killed_scheduler.code == 3
    assert "is gone" in killed_scheduler.said
    assert len(kept) == SITES - NORTH_SITES
    assert set(kept.values()) == {"ok", "skipped"}
    assert all(kept[name] == "ok" for name in killed_scheduler.finished)


def test_the_run_goes_on_without_the_cluster_and_asks_only_the_rest(killed_scheduler):
    document = json.loads(killed_scheduler.resumed.stdout)
    asked = {name for name, sessions in killed_scheduler.sessions.items() if sessions}

    assert document["counts"]["hosts"]["ok"] == SITES - NORTH_SITES
    assert asked == {name for name, status in killed_scheduler.kept.items() if status == "skipped"}
