"""Worker processes visit devices; the parent keeps the account, whatever becomes of them."""

import os
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from mtughost.fleet.pool import WorkerPool
from mtughost.fleet.ramp import RampPolicy
from mtughost.fleet.runner import run_fleet
from mtughost.fleet.seed import Seed
from mtughost.fleet.worker import Start
from mtughost.model.errors import DeviceUnreachableError, WorkerLostError

MODULE = """
import os, threading, time
from mtughost.fleet.threads import login_proven
from mtughost.model.errors import AuthenticationRefusedError, DeviceUnreachableError

class Visitor:
    def __init__(self, argument, note):
        self.argument = argument
        note("a remark")
    def visit(self, device):
        number = int(device.name[1:])
        if number == self.argument.get("unreachable"):
            raise DeviceUnreachableError(device.name, "no route", todo="look")
        if number == self.argument.get("bug"):
            raise KeyError(lambda: None)  # cannot be pickled
        login_proven()
        if number == self.argument.get("dies"):
            os._exit(3)
        if number == self.argument.get("hangs"):
            time.sleep(3600)
        time.sleep(0.05)
        return (device.name, os.getpid())

def make(argument, note):
    return Visitor(argument, note)
"""


@pytest.fixture
def pool_of(tmp_path, monkeypatch):
    (tmp_path / "visits_for_test.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    notes = []

    def make(seed=None, **argument):
        start = Start("visits_for_test:make", argument)
        made = WorkerPool(start, processes=2, note=notes.append, seed=seed)
        made.notes = notes
        return made

    return make


def read(pool, devices, **policy):
    outcomes = {}
    summary = run_fleet(
        devices,
        pool.visit,
        policy=RampPolicy(retry_delay_s=0.01, **policy),
        on_result=lambda outcome: outcomes.setdefault(outcome.device.name, outcome),
    )
    return summary, outcomes


def test_a_fleet_is_read_by_both_processes_and_every_host_is_accounted_for(pool_of, device):
    with closing(pool_of()) as pool:
        summary, outcomes = read(pool, [device(n) for n in range(1, 41)])

    pids = {outcome.value[1] for outcome in outcomes.values()}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert all(outcome.value[0] == name for name, outcome in outcomes.items())
    assert [host.status for host in summary.hosts] == ["ok"] * 40
    assert pool.notes == ["a remark"]  # both said it


def test_typed_errors_arrive_with_their_fields(pool_of, device):
    with closing(pool_of(unreachable=3)) as pool:
        _, outcomes = read(pool, [device(n) for n in range(1, 6)], connect_retries=1)

    error = outcomes["d3"].error
    assert isinstance(error, DeviceUnreachableError)
    assert (error.host, error.reason, error.todo) == ("d3", "no route", "look")
    assert outcomes["d3"].tries == 2


def test_a_bug_of_ours_in_a_worker_is_raised_with_the_place_where_it_happened(pool_of, device):
    with (
        closing(pool_of(bug=2)) as pool,
        pytest.raises(RuntimeError, match="KeyError") as raised,
    ):
        read(pool, [device(n) for n in range(1, 5)])

    assert any("visits_for_test.py" in note for note in raised.value.__notes__)


def test_a_device_that_ends_its_workers_is_named_and_the_others_get_another_turn(pool_of, device):
    with closing(pool_of(dies=5)) as pool:
        summary, outcomes = read(pool, [device(n) for n in range(1, 41)])

    assert isinstance(outcomes["d5"].error, WorkerLostError)
    assert [host.host for host in summary.hosts if host.status != "ok"] == ["d5"]
    assert len(outcomes) == len(summary.hosts) == 40


def test_a_pool_whose_workers_all_die_ends_with_typed_errors_and_does_not_hang(pool_of, device):
    with closing(pool_of()) as pool:
        for pid in _workers_of(pool):
            os.kill(pid, signal.SIGKILL)
        pool._spare = 0
        _wait(lambda: all(worker.visits.lost for worker in pool._workers))

        with pytest.raises(WorkerLostError, match="d1"):
            pool.visit(device(1))


def test_closing_gives_up_visits_that_hang_and_leaves_no_process(pool_of, device):
    pool = pool_of(hangs=1)
    errors = []

    def visit():
        try:
            pool.visit(device(1))
        except WorkerLostError as error:
            errors.append(error)

    thread = threading.Thread(target=visit)
    thread.start()
    _wait(lambda: any(len(worker.visits) for worker in pool._workers))
    pids = [pool._seed.pid, *_workers_of(pool)]
    pool.close()
    thread.join(10)

    assert len(errors) == 1
    assert len(pids) == 3
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_pool_whose_seed_died_begins_another_and_accounts_for_everybody(pool_of, device):
    with closing(pool_of()) as pool:
        before = set(_workers_of(pool))
        for pid in (pool._seed.pid, *before):
            os.kill(pid, signal.SIGKILL)
        summary, outcomes = read(pool, [device(n) for n in range(1, 9)])

    assert [host.status for host in summary.hosts] == ["ok"] * 8
    assert not before & {outcome.value[1] for outcome in outcomes.values()}


def test_workers_are_forked_from_what_was_loaded_before_it_was_known_what_they_do(pool_of, device):
    seed = Seed("visits_for_test")
    with closing(pool_of(seed=seed)) as pool:
        _, outcomes = read(pool, [device(n) for n in range(1, 5)])

        assert {outcome.value[1] for outcome in outcomes.values()} <= set(_workers_of(pool))
    assert not Path(f"/proc/{seed.pid}").exists()


def test_a_seed_that_nobody_needed_leaves_no_process():
    seed = Seed("mtughost.app.reader")
    seed.close()

    assert not Path(f"/proc/{seed.pid}").exists()


def _workers_of(pool):
    """The children of the process that workers are forked from, once there are two."""
    listed = Path(f"/proc/{pool._seed.pid}/task/{pool._seed.pid}/children")
    _wait(lambda: len(listed.read_text().split()) == 2)
    return [int(word) for word in listed.read_text().split()]


def _wait(true, seconds=20.0):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)
