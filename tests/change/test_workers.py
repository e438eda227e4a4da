"""Several devices at once: in order, and one error ends them all without another line."""

from __future__ import annotations

import threading
import time

import pytest

from mtughost.change.workers import run_parallel
from mtughost.model.errors import StoreError


@pytest.fixture
def journal(world, tmp_path):
    from mtughost.change.journal import Journal  # noqa: PLC0415

    with Journal.open(tmp_path / "journal.mtj", world.Time()) as opened:
        yield opened


def test_results_come_in_the_order_of_the_items(journal):
    def slow_first(number):
        time.sleep(0.02 if number == 0 else 0)
        return number * 10

    assert run_parallel(range(6), slow_first, at_once=3, journal=journal) == [0, 10, 20, 30, 40, 50]


def test_one_at_a_time_runs_in_the_calling_thread(journal):
    names = run_parallel(
        range(3), lambda _: threading.current_thread().name, at_once=1, journal=journal
    )

    assert set(names) == {threading.current_thread().name}


def test_an_error_of_one_closes_the_journal_for_the_others(journal, world):
    pen = journal.run("run-1", "sha256:0", world.WRITER)
    pen.write("run-open")
    begun, stopped = threading.Event(), []

    def work(number):
        if number == 0:
            begun.wait(5)
            raise StoreError("the disk is full")
        begun.set()
        for step in range(1000):
            try:
                pen.write("applied", f"gw{number}", line=step)
            except StoreError:
                stopped.append(number)
                raise
            time.sleep(0.002)
        return number

    with pytest.raises(StoreError, match="disk is full"):
        run_parallel(range(2), work, at_once=2, journal=journal)

    assert stopped == [1]
    with pytest.raises(StoreError, match="failed before"):
        pen.write("applied", "gw2")


def test_an_interrupt_closes_the_journal_and_is_passed_on(journal, monkeypatch):
    release = threading.Event()
    joins = []

    class Interrupted(threading.Thread):
        def join(self, timeout=None):
            joins.append(timeout)
            raise KeyboardInterrupt

    monkeypatch.setattr("mtughost.change.workers.threading.Thread", Interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_parallel(range(3), lambda _: release.wait(5), at_once=2, journal=journal)
    finally:
        release.set()

    assert joins == [0.2]
    with pytest.raises(StoreError, match="interrupted"):
        journal.append(None)
