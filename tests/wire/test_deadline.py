"""The watchdog that closes what is late."""

from __future__ import annotations

import gc
import threading
import time
import weakref

from mtughost.wire import deadline
from mtughost.wire.deadline import Watchdog


def test_what_is_late_is_closed_from_outside():
    closed = threading.Event()
    with Watchdog().limit(0.1, closed.set) as alarm:
        assert closed.wait(2)

    assert alarm.fired


def test_what_is_in_time_is_left_alone():
    closed = threading.Event()
    with Watchdog().limit(0.1, closed.set) as alarm:
        pass

    assert not closed.wait(0.3)
    assert not alarm.fired


def test_a_short_deadline_armed_after_a_long_one_is_kept():
    watchdog, closed = Watchdog(), threading.Event()
    began = time.monotonic()
    with watchdog.limit(30, lambda: None), watchdog.limit(0.1, closed.set):
        assert closed.wait(2)

    assert time.monotonic() - began < 1


def test_an_action_that_fails_does_not_stop_the_clock():
    watchdog, closed = Watchdog(), threading.Event()

    def fail():
        raise OSError("already closed")

    with watchdog.limit(0.05, fail), watchdog.limit(0.15, closed.set):
        assert closed.wait(2)


def test_a_finished_alarm_keeps_nothing_alive():
    class Login:
        def close(self): ...

    watchdog, login = Watchdog(), Login()
    gone = weakref.ref(login)
    with watchdog.limit(30, login.close):
        pass
    del login
    gc.collect()

    assert gone() is None


def test_the_thread_ends_when_there_is_nothing_to_watch_and_starts_again(monkeypatch):
    monkeypatch.setattr(deadline, "IDLE_S", 0.1)
    watchdog, closed = Watchdog(), threading.Event()
    with watchdog.limit(0.05, lambda: None):
        time.sleep(0.1)
    thread = watchdog._thread
    if thread is not None:
        thread.join(2)

    assert watchdog._thread is None
    with watchdog.limit(0.05, closed.set):
        assert closed.wait(2)
