from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.control import event

from mtughost.fleet.runner import RampPolicy, login_proven, run_fleet
from mtughost.model.errors import (
    AuthenticationRefusedError,
    ContentError,
    DeviceTimeoutError,
    DeviceUnreachableError,
    HostKeyError,
    StoreError,
    UsageError,
)
from mtughost.model.inventory import Credential, Device

FAST = RampPolicy(retry_delay_s=0.0, site_pause_s=0.0)


def ignore(outcome) -> None:
    """A caller that keeps nothing."""


def nothing(one) -> None:
    """A visit that reads nothing."""


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class FakeClock:
    """Sleeping moves it on; nothing waits."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept_s: list[float] = []
        self._lock = threading.Lock()

    def monotonic_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept_s.append(seconds)
            self.now_s += seconds


class Gauge:
    """Sees for itself how many visits of what kind run at once."""

    def __init__(self, hold_s: float = 0.005) -> None:
        self.lock = threading.Lock()
        self.now = Counter()
        self.most = Counter()
        self.hold_s = hold_s
        self.starts: list[str] = []

    def visit(self, device) -> str:
        keys = ["all", f"realm {device.credential.realm}", f"site {device.site}"]
        keys += [f"jump {device.jump}"] if device.jump else []
        keys += [f"device {device.name}"]
        with self.lock:
            self.starts.append(device.name)
            for key in keys:
                self.now[key] += 1
                self.most[key] = max(self.most[key], self.now[key])
        time.sleep(self.hold_s)
        with self.lock:
            self.now.subtract(keys)
        return device.address


def account(summary, outcomes, devices) -> None:
    assert summary.asked == len(devices) == summary.ok + summary.failed + summary.skipped
    assert [host.host for host in summary.hosts] == [device.name for device in devices]
    assert Counter(outcome.device.name for outcome in outcomes) == Counter(
        device.name for device in devices
    )
    told = {outcome.device.name: outcome.host_status for outcome in outcomes}
    assert told == {host.host: host for host in summary.hosts}


def test_every_device_is_visited_once_and_handed_over_as_it_finishes(device):
    devices = [device(n, site=f"s{n // 2}") for n in range(60)]
    gauge, outcomes = Gauge(hold_s=0.03), []
    summary = run_fleet(devices, gauge.visit, policy=FAST, on_result=outcomes.append)

    account(summary, outcomes, devices)
    assert summary.ok == 60
    assert not summary.interrupted
    assert {o.device.name: o.value for o in outcomes} == {d.name: d.address for d in devices}
    assert 2 < gauge.most["all"] <= 20
    assert max(n for key, n in gauge.most.items() if key.startswith("site ")) <= 2


def test_a_result_is_handed_over_before_slower_devices_finish(device):
    release, seen = threading.Event(), []

    def visit(one):
        if one.name == "d1":
            assert release.wait(10)

    def on_result(outcome):
        seen.append(outcome.device.name)
        if len(seen) == 3:
            release.set()

    run_fleet([device(n) for n in range(4)], visit, policy=FAST, on_result=on_result)

    assert seen[-1] == "d1"


def test_results_come_from_one_thread_at_a_time(device):
    inside, most = Counter(), []

    def on_result(outcome):
        inside["n"] += 1
        most.append(inside["n"])
        time.sleep(0.002)
        inside["n"] -= 1

    run_fleet([device(n) for n in range(40)], nothing, policy=FAST, on_result=on_result)

    assert set(most) == {1}


def _make(number, *, site, realm, jump):
    return Device(
        name=f"d{number}",
        address="127.0.0.1",
        site=site,
        role="ap",
        jump=jump,
        credential=Credential(realm=realm, username="auditor"),
    )


fleet_rows = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2", "s3", "s4", "s5", "s6"]),
        st.sampled_from(["ops", "old"]),
        st.sampled_from(["", "", "hop"]),
        st.sampled_from(["ok", "ok", "ok", "ok", "refused", "unreachable", "timeout", "host-key"]),
    ),
    max_size=30,
)

ERRORS = {
    "refused": AuthenticationRefusedError,
    "unreachable": DeviceUnreachableError,
    "timeout": DeviceTimeoutError,
    "host-key": HostKeyError,
}


@settings(max_examples=40, deadline=None)
@given(
    fleet_rows,
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 2),
)
def test_with_real_threads_caps_hold_and_everybody_is_accounted_for(
    rows, overall, per_site, per_jump, retries
):
    devices = [_make(n, site=s, realm=r, jump=j) for n, (s, r, j, _) in enumerate(rows)]
    kinds = {d.name: row[3] for d, row in zip(devices, rows, strict=True)}
    gauge, outcomes = Gauge(hold_s=0.0005), []

    def visit(one):
        gauge.visit(one)
        if kinds[one.name] != "ok":
            raise ERRORS[kinds[one.name]](one.name, "as planned")

    policy = RampPolicy(
        overall=overall,
        per_site=per_site,
        per_jump=per_jump,
        connect_retries=retries,
        retry_delay_s=0.0,
        site_pause_s=0.0,
    )
    summary = run_fleet(devices, visit, policy=policy, on_result=outcomes.append)

    account(summary, outcomes, devices)
    caps = {"all": overall, "site": per_site, "jump": per_jump, "device": 1}
    for key, most in gauge.most.items():
        assert most <= caps.get(key.split()[0], overall)
    tries = Counter(gauge.starts)
    for outcome in outcomes:
        kind, name = kinds[outcome.device.name], outcome.device.name
        assert tries[name] == outcome.tries
        if outcome.status == "skipped":
            assert tries[name] == 0
            assert outcome.reason
            assert outcome.host_status.error_kind == "skipped"
        elif kind == "unreachable":
            assert 1 <= tries[name] <= retries + 1
        else:
            assert tries[name] == 1
        if outcome.status != "skipped":
            assert outcome.host_status.error_kind == {"ok": "", "refused": "auth-refused"}.get(
                kind, kind
            )
    event(f"skipped: {bool(summary.skipped)}")


def test_the_first_login_of_each_credential_is_alone(device):
    devices = [device(n, realm="a" if n % 2 else "b") for n in range(20)]
    order, lock = [], threading.Lock()

    def visit(one):
        with lock:
            order.append(("in", one.credential.realm))
        time.sleep(0.02)
        with lock:
            order.append(("out", one.credential.realm))

    run_fleet(devices, visit, policy=FAST, on_result=ignore)

    for realm in ("a", "b"):
        assert [step for step, name in order if name == realm][:2] == ["in", "out"]


def test_a_visit_that_tells_of_its_login_lets_the_others_start(device):
    both = threading.Barrier(2, timeout=10)

    def visit(one):
        login_proven()
        both.wait()

    summary = run_fleet([device(0), device(1)], visit, policy=FAST, on_result=ignore)

    assert summary.ok == 2
    login_proven()  # outside a visit: nothing happens


def test_a_refused_credential_is_never_retried_and_stops_at_three_devices(device):
    devices = [device(n, realm="bad") for n in range(30)]
    tried, outcomes = [], []

    def visit(one):
        tried.append(one.name)
        raise AuthenticationRefusedError(one.name, "permission denied")

    summary = run_fleet(devices, visit, policy=FAST, on_result=outcomes.append)

    account(summary, outcomes, devices)
    assert tried == ["d0", "d1", "d2"]
    assert (summary.failed, summary.skipped) == (3, 27)
    assert summary.stopped_realms == ("bad",)
    assert "credential bad was refused at 3 devices (d0, d1, d2)" in summary.hosts[29].error


def test_a_stopped_credential_leaves_the_others_alone(device):
    devices = [device(n, realm="bad" if n % 2 else "good") for n in range(30)]

    def visit(one):
        if one.credential.realm == "bad":
            raise AuthenticationRefusedError(one.name, "permission denied")

    summary = run_fleet(devices, visit, policy=FAST, on_result=ignore)

    assert (summary.ok, summary.failed, summary.skipped) == (15, 3, 12)


def test_only_a_missing_connection_is_retried_with_growing_pauses_that_vary(device):
    clock, calls, outcomes = FakeClock(), [], []

    def visit(one):
        calls.append(one.name)
        if len(calls) < 3:
            raise DeviceUnreachableError(one.name, "no route")
        return "up"

    policy = RampPolicy(retry_delay_s=4.0)
    summary = run_fleet([device(0)], visit, policy=policy, on_result=outcomes.append, clock=clock)

    assert summary.ok == 1
    assert (outcomes[0].value, outcomes[0].tries) == ("up", 3)
    first, second = clock.slept_s
    assert 2.0 <= first <= 6.0
    assert 4.0 <= second <= 12.0
    assert outcomes[0].duration_s == pytest.approx(first + second)


def test_a_dead_site_is_paused_tried_once_more_and_then_skipped(device):
    clock, calls, outcomes = FakeClock(), [], []
    devices = [device(n, site="dead") for n in range(10)]

    def visit(one):
        calls.append(one.name)
        raise DeviceUnreachableError(one.name, "no route")

    summary = run_fleet(
        devices, visit, policy=RampPolicy(per_site=1), on_result=outcomes.append, clock=clock
    )

    account(summary, outcomes, devices)
    assert (summary.failed, summary.skipped) == (4, 6)
    assert len(calls) == 3 + 1 + 1 + 1  # retries only until the site has failed three times
    assert 60 <= sum(clock.slept_s) <= 70
    assert "site dead" in summary.hosts[9].error


def test_a_second_run_in_the_same_process_covers_everybody_again(device):
    devices = [device(n) for n in range(10)]

    def visit(one):
        if one.name == "d3":
            raise DeviceTimeoutError(one.name, "slow")

    for _ in range(2):
        summary = run_fleet(devices, visit, policy=FAST, on_result=ignore)
        assert (summary.asked, summary.ok, summary.failed) == (10, 9, 1)


def test_an_untyped_exception_is_a_bug_that_is_raised_after_all_were_accounted_for(device):
    devices, outcomes = [device(n) for n in range(20)], []

    def visit(one):
        if one.name in {"d4", "d9"}:
            raise KeyError("fake-password-in-a-message")

    with pytest.raises(KeyError) as caught:
        run_fleet(devices, visit, policy=FAST, on_result=outcomes.append)

    assert len(outcomes) == 20
    bugs = {o.device.name: o for o in outcomes if o.status == "failed"}
    assert set(bugs) == {"d4", "d9"}
    assert "KeyError" in bugs["d4"].reason
    assert "fake-password" not in bugs["d4"].reason
    assert bugs["d4"].host_status.error_kind == "internal-error"
    assert "1 more device" in caught.value.__notes__[0]


def test_an_error_of_ours_that_is_no_device_error_keeps_its_words_and_is_raised(device):
    outcomes = []

    def visit(one):
        raise ContentError("the variable AUDIT_PASSWORD is not set")

    with pytest.raises(ContentError, match="AUDIT_PASSWORD"):
        run_fleet([device(0)], visit, policy=FAST, on_result=outcomes.append)

    assert "AUDIT_PASSWORD" in outcomes[0].reason


@pytest.mark.parametrize("exit_error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_even_an_exit_inside_a_visit_loses_no_device(device, exit_error):
    outcomes = []

    def visit(one):
        if one.name == "d1":
            raise exit_error

    with pytest.raises(RuntimeError, match="d1 raised"):
        run_fleet([device(n) for n in range(5)], visit, policy=FAST, on_result=outcomes.append)

    assert len(outcomes) == 5


def test_a_store_that_fails_stops_the_run_and_its_error_is_raised(device):
    outcomes, visited = [], []

    def on_result(outcome):
        outcomes.append(outcome)
        if outcome.device.name == "d0":
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="disk is full"):
        run_fleet(
            [device(n) for n in range(50)],
            lambda one: visited.append(one.name),
            policy=FAST,
            on_result=on_result,
        )

    assert len(outcomes) == 50
    assert len(visited) < 50


def test_nobody_asked_is_an_empty_account_and_a_name_twice_is_an_error(device):
    summary = run_fleet([], nothing, on_result=ignore)
    assert summary.asked == 0

    with pytest.raises(UsageError, match="d7"):
        run_fleet([device(7), device(7)], nothing, on_result=ignore)


def test_a_set_stop_event_acts_like_the_first_ctrl_c_and_is_left_as_it_was(device):
    stop, outcomes = threading.Event(), []
    devices = [device(n) for n in range(30)]

    def visit(one):
        if one.name == "d2":
            stop.set()
        time.sleep(0.02)

    result = {}
    worker = threading.Thread(
        target=lambda: result.update(
            summary=run_fleet(devices, visit, policy=FAST, on_result=outcomes.append, stop=stop)
        )
    )
    worker.start()
    worker.join(20)

    summary = result["summary"]
    account(summary, outcomes, devices)
    assert summary.interrupted
    assert summary.skipped > 0
    assert summary.failed == 0


def test_a_device_that_hangs_costs_only_itself_when_the_run_is_stopped(device):
    stop, forever, outcomes = threading.Event(), threading.Event(), []
    devices = [device(n) for n in range(5)]

    def visit(one):
        if one.name == "d3":
            stop.set()
            forever.wait(30)

    started = time.monotonic()
    summary = run_fleet(
        devices,
        visit,
        policy=RampPolicy(grace_s=0.3),
        on_result=outcomes.append,
        stop=stop,
    )

    assert time.monotonic() - started < 5
    account(summary, outcomes, devices)
    status = {host.host: host for host in summary.hosts}
    assert status["d3"].status == "skipped"
    assert "before it had finished" in status["d3"].error
    forever.set()
    time.sleep(0.1)
    assert len(outcomes) == 5  # what ends later changes nothing


def test_no_secret_and_no_value_reaches_nornirs_log(device, caplog):
    caplog.set_level(logging.DEBUG)

    def visit(one):
        if one.name == "d1":
            raise ValueError("not-a-real-secret")
        return "fake-answer-of-a-device"

    with pytest.raises(ValueError, match="not-a-real"):
        run_fleet([device(n) for n in range(3)], visit, policy=FAST, on_result=ignore)

    assert "not-a-real-secret" not in caplog.text
    assert "fake-answer" not in caplog.text


def test_values_of_finished_devices_are_not_kept(device):
    class Value:
        pass

    alive = []

    def on_result(outcome):
        gc.collect()
        alive.append(sum(isinstance(thing, Value) for thing in gc.get_objects()))

    run_fleet(
        [device(n) for n in range(12)],
        lambda _one: Value(),
        policy=RampPolicy(overall=1),
        on_result=on_result,
    )

    assert max(alive) <= 2


def test_threads_and_files_do_not_grow_over_many_runs(device):
    devices = [device(n) for n in range(20)]
    run_fleet(devices, nothing, policy=FAST, on_result=ignore)
    threads, files = threading.active_count(), open_files()
    for _ in range(20):
        run_fleet(devices, nothing, policy=FAST, on_result=ignore)
    time.sleep(0.1)

    assert threading.active_count() <= threads
    assert open_files() <= files


INTERRUPTED = """
    import sys, time
    from mtughost.fleet.runner import RampPolicy, run_fleet
    from mtughost.model.inventory import Credential, Device

    devices = [
        Device(name=f"d{n}", address="127.0.0.1", site=f"s{n}", role="ap",
               credential=Credential(realm="r", username="u"))
        for n in range(40)
    ]

    def visit(one):
        number = int(one.name[1:])
        sys.stdout.write(f"in {number}\\n")  # one write: lines of two threads must not mix
        sys.stdout.flush()
        time.sleep(0.02 if number < 6 else SLOW)

    told = []
    try:
        summary = run_fleet(devices, visit, policy=RampPolicy(grace_s=GRACE),
                            on_result=lambda o: told.append(o.status))
        print("summary", summary.asked, summary.ok, summary.skipped, summary.interrupted)
    except KeyboardInterrupt:
        print("second")
    print("told", len(told), flush=True)
"""


def interrupted(slow_s: float, grace_s: float, interrupts: int) -> tuple[list[str], float]:
    code = textwrap.dedent(INTERRUPTED).replace("SLOW", str(slow_s)).replace("GRACE", str(grace_s))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line.split()[1]) >= 8:
                break
        started = time.monotonic()
        for _ in range(interrupts):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        rest = process.stdout.read().splitlines()
        assert process.wait(20) == 0
    return [line for line in rest if not line.startswith("in")], time.monotonic() - started


def test_the_first_ctrl_c_lets_running_visits_finish_and_accounts_for_all():
    lines, _ = interrupted(slow_s=0.8, grace_s=5, interrupts=1)
    word, asked, ok, skipped, was_interrupted = lines[0].split()

    assert (word, asked, was_interrupted) == ("summary", "40", "True")
    assert int(ok) >= 9
    assert int(ok) + int(skipped) == 40
    assert lines[1] == "told 40"


def test_the_first_ctrl_c_does_not_wait_for_ever():
    lines, took_s = interrupted(slow_s=60, grace_s=1, interrupts=1)

    assert lines[0].startswith("summary 40 6 34 True")
    assert lines[1] == "told 40"
    assert took_s < 5


def test_the_second_ctrl_c_exits_at_once_and_still_accounts_for_all():
    lines, took_s = interrupted(slow_s=60, grace_s=60, interrupts=2)

    assert lines == ["second", "told 40"]
    assert took_s < 5


def test_a_machine_that_gives_no_more_threads_costs_only_those_devices(device, monkeypatch):
    real_start = threading.Thread.start

    def start(thread):
        if thread.name == "visit d3":
            raise RuntimeError("can't start new thread")
        real_start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    devices, outcomes = [device(n) for n in range(6)], []

    with pytest.raises(RuntimeError, match="can't start new thread"):
        run_fleet(devices, nothing, policy=FAST, on_result=outcomes.append)

    status = {outcome.device.name: outcome.status for outcome in outcomes}
    assert status.pop("d3") == "failed"
    assert set(status.values()) == {"ok"}
    assert len(status) == 5
