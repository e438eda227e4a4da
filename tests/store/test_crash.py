"""Kill -9 and full disks: what was acknowledged is there, what was not is there whole or not."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing

import pytest

from mtughost.model.errors import StoreError
from mtughost.store import RunStore

PRELUDE = """
    import hashlib, itertools, os, resource, sys, threading
    from pathlib import Path
    from mtughost.model.errors import StoreError
    from mtughost.model.findings import HostStatus
    from mtughost.model.session import Answer
    from mtughost.store import RunMeta, RunStore

    class Clock:
        def utc_now(self): return "2026-01-31T10:00:00+00:00"

    def answers(host):
        return [
            Answer(command_id=f"c{i}", line="x",
                   text=hashlib.shake_256(f"{host}{i}".encode()).hexdigest(3000))
            for i in range(4)
        ]

    def status(host):
        return HostStatus(host=host, site="s", role="ap", status="ok")
"""

WRITER = (
    PRELUDE
    + """
    store = RunStore.open(Path(sys.argv[1]), clock=Clock())
    run = store.create_run(RunMeta(started_utc=Clock().utc_now(), tool="x"), suffix=sys.argv[2])
    os.write(1, f"run {run}\\n".encode())

    def work(number):
        for count in itertools.count():
            host = f"h{number}-{count}"
            store.record_host(run, status(host), answers(host))
            os.write(1, f"ack {host}\\n".encode())

    for number in range(4):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    threading.Event().wait(60)
"""
)

FULL = (
    PRELUDE
    + """
    store = RunStore.open(Path(sys.argv[1]), clock=Clock())
    run = store.create_run(RunMeta(started_utc=Clock().utc_now(), tool="x"), suffix="abcdef")
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    done = []
    try:
        for count in range(1000):
            store.record_host(run, status(f"h{count}"), answers(count))
            done.append(f"h{count}")
    except StoreError as error:
        print("refused", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert done
    assert store.hosts_done(run) == set(done), "only what was acknowledged"
    store.record_host(run, status("later"), answers("later"))
    assert store.hosts_done(run) == {*done, "later"}
    store.close()
    print("run", run, len(done) + 1)
"""
)


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def kill_while_writing(path, suffix: str, delay_s: float) -> tuple[str, set[str]]:
    """Return the run and the hosts that were acknowledged before the process died."""
    with start(WRITER, str(path), suffix) as process:
        assert process.stdout is not None
        run = process.stdout.readline().split()[1]
        process.stdout.readline()  # the first host is in: from here on it writes at full speed
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().splitlines()
        assert process.wait(20) == -signal.SIGKILL
    return run, {line.split()[1] for line in lines if line.startswith("ack h")}


def check_after_kill(path, clock, rounds: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - spreads the moments of the kills
    total = 0
    for number in range(rounds):
        run, acknowledged = kill_while_writing(path, f"{number:06x}", chance.uniform(0.0, 0.15))
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        with RunStore.open(path, clock=clock) as store:
            loaded = store.load_run(run)  # checks every digest and every count
            assert acknowledged <= store.hosts_done(run), f"seed {seed}, round {number}"
            assert all(len(host.answers) == 4 for host in loaded.hosts)
            assert loaded.info.state == "running"
        total += len(acknowledged)
    assert total > rounds


def test_kill_9_loses_no_acknowledged_host_and_leaves_no_half_one(path, clock):
    check_after_kill(path, clock, rounds=8, seed=20260131)


@pytest.mark.nightly(basis="real program")
@pytest.mark.timeout(600)
def test_many_kills_lose_nothing(path, clock, record_property):
    full = os.environ.get("MTUGHOST_NIGHTLY") == "full"
    record_property("kill -9", str(200 if full else 30))
    check_after_kill(path, clock, rounds=200 if full else 30, seed=7)


def test_a_full_disk_is_a_store_error_and_later_writes_work_again(path):
    with start(FULL, str(path)) as process:
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        assert process.wait(60) == 0

    assert lines[0].startswith("refused the run store")
    assert "what was recorded before is safe" in lines[0]
    assert lines[1].startswith("run ")


def test_a_database_at_its_page_limit_is_a_disk_that_is_full(store, begin, path, clock):
    run = begin()
    store._writer.do(lambda raw: raw.execute("PRAGMA max_page_count = 40").fetchone())

    with pytest.raises(StoreError, match="the disk is full"):
        store.record_capture(run, "a", point="ap", interface="e", pcap=os.urandom(500_000))
    store.record_probe(run, {"small": True})
    assert len(store.load_run(run).probes) == 1
    assert store.load_run(run).captures == ()
