from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.fleet.ramp import Ramp, RampPolicy, Seat
from mtughost.model.errors import UsageError


def seats(count, *, realm="ops", site="", jump=""):
    return [Seat(f"d{n}", realm, site or f"s{n}", jump) for n in range(count)]


def start_all(ramp, now_s=0.0):
    started = []
    while (seat := ramp.start(now_s)) is not None:
        started.append(seat.name)
    return started


def test_the_first_login_is_alone_and_each_success_doubles():
    ramp = Ramp(seats(40), RampPolicy(per_realm=16))

    assert start_all(ramp) == ["d0"]
    ramp.finished("d0", "ok", 0.0)
    assert start_all(ramp) == ["d1", "d2"]
    ramp.finished("d1", "ok", 0.0)
    assert len(start_all(ramp)) == 3  # four at once, one of the two still runs
    ramp.finished("d2", "ok", 0.0)
    ramp.finished("d3", "ok", 0.0)
    start_all(ramp)
    assert ramp.running == 16


def test_a_login_that_is_proven_early_lets_the_others_start():
    ramp = Ramp(seats(10), RampPolicy())
    start_all(ramp)
    ramp.proven("d0")
    ramp.proven("d0")

    assert start_all(ramp) == ["d1"]
    ramp.finished("d0", "ok", 0.0)  # counts once
    assert start_all(ramp) == ["d2"]


def running_at_full_speed(count):
    ramp = Ramp(seats(count), RampPolicy(per_realm=4))
    for name in ("d0", "d1", "d2"):
        start_all(ramp)
        ramp.finished(name, "ok", 0.0)
    assert start_all(ramp)[-1] == "d6"
    return ramp  # d3 to d6 run


def test_devices_whose_worker_was_lost_get_another_turn_one_at_a_time_beside_the_others():
    ramp = running_at_full_speed(9)
    for name in ("d3", "d4", "d5"):
        ramp.put_back(name)

    assert start_all(ramp) == ["d3", "d7", "d8"]
    ramp.finished("d7", "ok", 0.0)
    assert start_all(ramp) == []
    ramp.put_back("d3")  # and lost once more: it goes behind the others
    assert start_all(ramp) == ["d4"]
    ramp.finished("d4", "ok", 0.0)
    assert start_all(ramp) == ["d5"]


def test_another_turn_keeps_the_caps_and_ends_with_the_run_or_the_credential():
    stopped, refused = running_at_full_speed(9), running_at_full_speed(9)
    stopped.put_back("d3")
    stopped.stop("stopped")
    stopped.put_back("d4")
    refused.put_back("d3")
    for name in ("d4", "d5", "d6"):
        refused.finished(name, "refused", 0.0)

    assert stopped.take_skipped().keys() == {"d3", "d4", "d7", "d8"}
    assert refused.take_skipped().keys() == {"d3", "d7", "d8"}
    assert (stopped.pending, refused.pending) == (0, 0)
    assert (stopped.running, refused.running) == (2, 0)


def test_each_realm_has_its_own_canary():
    ramp = Ramp([Seat("a1", "a", "s1"), Seat("a2", "a", "s2"), Seat("b1", "b", "s3")], RampPolicy())

    assert start_all(ramp) == ["a1", "b1"]


def test_a_refusal_makes_the_next_one_a_canary_again():
    ramp = Ramp(seats(40), RampPolicy())
    start_all(ramp)
    ramp.finished("d0", "ok", 0.0)
    assert start_all(ramp) == ["d1", "d2"]
    ramp.finished("d1", "refused", 0.0)

    assert start_all(ramp) == []
    ramp.finished("d2", "other", 0.0)
    assert start_all(ramp) == ["d3"]


def test_three_refusals_stop_that_credential_and_no_other():
    ramp = Ramp([*seats(10), *[Seat(f"x{n}", "other", f"t{n}") for n in range(5)]], RampPolicy())
    for number in range(3):
        assert f"d{number}" in start_all(ramp)
        ramp.finished(f"d{number}", "refused", 0.0)
    skipped = ramp.take_skipped()

    assert sorted(skipped) == [f"d{n}" for n in range(3, 10)]
    assert "credential ops was refused at 3 devices (d0, d1, d2)" in skipped["d3"]
    assert ramp.stopped_realms == ("ops",)
    ramp.finished("x0", "ok", 0.0)
    assert start_all(ramp) == ["x1", "x2"]


def test_a_stopped_credential_is_not_retried_by_those_that_still_run():
    ramp = Ramp(seats(9), RampPolicy())
    for name in ("d0", "d1", "d2"):
        start_all(ramp)
        ramp.finished(name, "ok", 0.0)
    running = start_all(ramp)
    assert ramp.running >= 4
    for name in [*running[:1], "d3", "d4"]:
        ramp.finished(name, "refused", 0.0)

    assert ramp.retry("d6") is False


def test_dead_devices_at_the_head_do_not_make_the_run_serial():
    ramp = Ramp(seats(20), RampPolicy())
    for number in range(3):
        assert start_all(ramp) == [f"d{number}"]
        ramp.finished(f"d{number}", "unreachable", 0.0)

    assert len(start_all(ramp)) == 3


def test_a_site_pauses_after_three_dead_devices_and_is_skipped_when_the_trial_fails():
    ramp = Ramp(seats(8, site="s"), RampPolicy(per_site=1, site_pause_s=60))
    for number in range(3):
        assert start_all(ramp, number) == [f"d{number}"]
        ramp.finished(f"d{number}", "unreachable", float(number))

    assert start_all(ramp, 61.9) == []
    assert ramp.wake_at_s() == 62.0
    assert start_all(ramp, 62.0) == ["d3"]
    ramp.finished("d3", "unreachable", 70.0)
    assert sorted(ramp.take_skipped()) == ["d4", "d5", "d6", "d7"]
    assert ramp.pending == ramp.running == 0


def test_a_site_whose_trial_answers_goes_on():
    ramp = Ramp(seats(8, site="s"), RampPolicy(per_site=2))
    for number in range(3):
        start_all(ramp)
        ramp.finished(f"d{number}", "unreachable", 0.0)
    assert start_all(ramp, 60.0) == ["d3"]
    ramp.finished("d3", "ok", 60.0)

    assert start_all(ramp, 60.0) == ["d4", "d5"]


def test_a_dead_line_gets_no_more_retries_than_one_device_has():
    ramp = Ramp(seats(4, site="s"), RampPolicy(per_site=1))
    start_all(ramp)

    assert [ramp.retry("d0") for _ in range(3)] == [True, True, False]
    ramp.finished("d0", "unreachable", 0.0)
    start_all(ramp)
    assert ramp.retry("d1") is False
    ramp.finished("d1", "ok", 0.0)
    start_all(ramp)
    assert ramp.retry("d2") is True


def test_a_stop_skips_all_that_wait_and_starts_nothing_more():
    ramp = Ramp(seats(5), RampPolicy())
    start_all(ramp)
    ramp.stop("enough")

    assert ramp.start(0.0) is None
    assert ramp.take_skipped() == {f"d{n}": "enough" for n in range(1, 5)}
    assert ramp.retry("d0") is False
    ramp.abandon("gone")
    assert ramp.take_skipped() == {"d0": "gone"}
    ramp.finished("d0", "ok", 0.0)
    assert ramp.running == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"overall": 0},
        {"overall": 101},
        {"per_site": 0},
        {"per_realm": 0},
        {"per_jump": 0},
        {"refused_limit": 0},
        {"connect_retries": -1},
        {"grace_s": -1.0},
        {"site_pause_s": float("nan")},
    ],
)
def test_a_policy_out_of_range_is_a_usage_error(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        RampPolicy(**wrong)


names = st.sampled_from(["a", "b", "c"])
fleets = st.lists(st.tuples(names, names, st.sampled_from(["", "j", "k"])), max_size=40)
policies = st.builds(
    RampPolicy,
    overall=st.integers(1, 8),
    per_realm=st.integers(1, 6),
    per_jump=st.integers(1, 3),
    per_site=st.integers(1, 3),
    refused_limit=st.integers(1, 4),
    site_failures=st.integers(1, 4),
)
endings = st.sampled_from(["ok", "ok", "ok", "refused", "unreachable", "other"])


class Watcher:
    """Counts for itself, so that the rules are not judged by their own book-keeping."""

    def __init__(self, policy):
        self.policy = policy
        self.running = {}
        self.started = []
        self.refused = Counter()
        self.inconclusive = Counter()
        self.ever_ok = set()

    def start(self, seat):
        assert self.refused[seat.realm] < self.policy.refused_limit
        self.started.append(seat.name)
        self.running[seat.name] = seat
        seats = self.running.values()
        assert len(seats) <= self.policy.overall
        assert sum(s.realm == seat.realm for s in seats) <= self.policy.per_realm
        assert sum(s.site == seat.site for s in seats) <= self.policy.per_site
        assert not seat.jump or sum(s.jump == seat.jump for s in seats) <= self.policy.per_jump
        proven = seat.realm in self.ever_ok
        if not proven and self.inconclusive[seat.realm] < self.policy.refused_limit:
            assert sum(s.realm == seat.realm for s in seats) == 1, "the canary is alone"

    def finish(self, name, ending):
        realm = self.running.pop(name).realm
        self.refused[realm] += ending == "refused"
        self.inconclusive[realm] += ending in {"unreachable", "other"}
        if ending == "ok":
            self.ever_ok.add(realm)


@given(fleets, policies, st.data())
def test_no_cap_is_ever_passed_and_every_device_ends_started_or_skipped(fleet, policy, data):
    all_seats = [Seat(f"d{n}", *row) for n, row in enumerate(fleet)]
    ramp = Ramp(all_seats, policy)
    watcher = Watcher(policy)
    skipped = {}
    now_s = 0.0
    while True:
        while (seat := ramp.start(now_s)) is not None:
            watcher.start(seat)
        skipped.update(ramp.take_skipped())
        if not watcher.running:
            if not ramp.pending:
                break
            wake_at_s = ramp.wake_at_s()
            assert wake_at_s is not None, "devices wait and nothing would ever start them"
            assert wake_at_s > now_s
            now_s = wake_at_s
            continue
        name = data.draw(st.sampled_from(sorted(watcher.running)))
        ending = data.draw(endings)
        now_s += 1.0
        if ending == "unreachable":
            ramp.retry(name)
        ramp.finished(name, ending, now_s)
        watcher.finish(name, ending)

    assert len(watcher.started) == len(set(watcher.started))
    assert not set(watcher.started) & set(skipped)
    assert set(watcher.started) | set(skipped) == {seat.name for seat in all_seats}
