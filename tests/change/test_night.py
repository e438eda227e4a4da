"""A night over many sites: canary, waves, skips and stops, judged by what the gateways did."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mtughost.app.windows import next_window
from mtughost.change.approval import iso
from mtughost.change.resume import not_started, open_devices, statuses
from mtughost.model.errors import PlanRefusedError
from mtughost.model.plans import PlanWindow
from mtughost.remedy.waves import WavePolicy, check_waves

SITES = [f"s{number:03}" for number in range(1, 201)]


@pytest.fixture(scope="module")
def devices(builder, choices):
    choice = choices["clamp-scope-nft"][0]()
    return [builder.device(choice, f"{site}-gw1") for site in SITES]


@pytest.fixture
def night(builder, devices, world, tmp_path):
    def make(count=200, **policy):
        plan = builder.plan(devices[:count], WavePolicy(**policy))
        return world.world_of(tmp_path, plan)

    return make


def events(fleet, *wanted):
    return [(r.ev, r.dev) for r in fleet.records() if r.ev in wanted]


def told(fleet, *wanted):
    """Return what was told of the run itself."""
    said = [p for p in fleet.events if p.step in wanted]
    assert {p.device for p in said} <= {""}
    assert {p.devices for p in said if p.step == "run"} <= {len(fleet.plan.devices)}
    return [p.text for p in said]


def outcomes(results):
    found: dict[str, list[str]] = {}
    for result in results:
        found.setdefault(result.outcome, []).append(result.device)
    return found


def test_a_night_with_unreachable_sites_skips_them_and_repairs_the_others(night):
    fleet = night(60)
    away = ["s001-gw1", "s007-gw1", "s033-gw1", "s059-gw1", "s060-gw1"]
    for name in away:
        fleet.stations[name].dark_until_s = 1e9

    found = outcomes(fleet.run())

    assert sorted(found) == ["confirmed", "skipped"]
    assert found["skipped"] == away
    for name in SITES[:60]:
        expected = "before" if f"{name}-gw1" in away else "after"
        assert fleet.side(f"{name}-gw1") == expected
    assert all(s.gateway.broken_promises == [] for s in fleet.stations.values())
    assert all(s.gateway.papers == {} for s in fleet.stations.values())


def test_a_night_with_three_failing_sites_stops_at_the_first(night):
    fleet = night(max_parallel=4)
    for name in ("s030-gw1", "s031-gw1", "s150-gw1"):
        fleet.stations[name].broken = True
    away = ["s003-gw1", "s005-gw1", "s008-gw1", "s110-gw1", "s190-gw1"]
    for name in away:
        fleet.stations[name].dark_until_s = 1e9

    results = fleet.run()
    fleet.wait(300)

    found = outcomes(results)
    order = [r.device for r in results]
    assert set(found["reverted"]) <= {"s030-gw1", "s031-gw1"}
    assert found["reverted"]
    assert found["skipped"] == away[:3]
    # The first 11 (canary and 5 %) were through; of the next wave only those at work were.
    assert order.index(found["reverted"][0]) >= 11
    assert "s150-gw1" in found["not-started"]
    stop = [r.ev for r in fleet.records()].index("wave-stop")
    later = [r.ev for r in fleet.records()[stop:]]
    assert later.count("arm-intent") == 0
    assert later.count("persisted") + later.count("reverted") <= 4
    for result in results:
        side = "after" if result.outcome == "confirmed" else "before"
        assert fleet.side(result.device) == side, result
    untouched = [fleet.stations[name].gateway for name in found["not-started"]]
    assert all(gateway.changes == 0 for gateway in untouched)


def test_a_failing_canary_lets_nobody_else_be_touched(night):
    fleet = night(20)
    fleet.stations["s001-gw1"].broken = True

    results = fleet.run()
    fleet.wait(300)

    assert results[0].outcome == "reverted"
    assert {r.outcome for r in results[1:]} == {"not-started"}
    assert fleet.side("s001-gw1") == "before"
    assert all(s.logins == 0 for n, s in fleet.stations.items() if n != "s001-gw1")


@pytest.mark.parametrize("what", ["dark", "late"])
def test_a_device_that_is_lost_in_its_change_stops_the_others_at_once(night, world, what):
    fleet = night(40, max_parallel=1)
    lost = fleet.stations["s009-gw1"]

    class Console(list):
        def append(self, progress):
            super().append(progress)
            if (progress.device, progress.step) == ("s009-gw1", "apply-intent"):
                lost.faults.append(world.Fault(lost.lines, what, 400))

    fleet.events = Console()

    results = outcomes(fleet.run())

    at = {r.ev: r.t_boottime_ns / 1e9 for r in fleet.records() if r.dev == "s009-gw1"}
    (stop,) = [r for r in fleet.records() if r.ev == "wave-stop"]
    # Not only when its end is known: that takes as long as its undo may.
    assert stop.t_boottime_ns / 1e9 - at["apply-intent"] < 35
    assert len(results["not-started"]) == 40 - 9
    assert told(fleet, "wave-stop") == ["s009-gw1 failed and the failure budget is 0"]
    assert results["needs-human" if what == "dark" else "reverted"] == ["s009-gw1"]


def test_until_one_device_was_confirmed_they_go_one_at_a_time(night):
    fleet = night(40)
    for name in SITES[:12]:
        fleet.stations[f"{name}-gw1"].key = "SHA256:" + "B" * 43
    fleet.stations["s013-gw1"].broken = True

    results = outcomes(fleet.run())

    assert len(results["refused"]) == 12
    assert results["reverted"] == ["s013-gw1"]
    assert len(results["not-started"]) == 27


def test_while_none_was_confirmed_no_second_device_is_armed_and_then_they_go_side_by_side(night):
    fleet = night(40)
    for name in SITES[:4]:
        fleet.stations[f"{name}-gw1"].key = "SHA256:" + "B" * 43

    results = outcomes(fleet.run())

    steps = events(fleet, "arm-intent", "persisted")
    assert steps[:2] == [("arm-intent", "s005-gw1"), ("persisted", "s005-gw1")]
    assert [word for word, _ in steps] != ["arm-intent", "persisted"] * (len(steps) // 2)
    assert len(results["confirmed"]) == 36


@pytest.mark.parametrize(("left_s", "starts"), [(0, False), (1, True)])
def test_the_moment_at_which_an_approval_ends_is_too_late(night, left_s, starts):
    fleet = night(1)
    fleet.time.wall_jump_s = 24 * 3600 - left_s

    (result,) = fleet.run()

    assert result.outcome == ("confirmed" if starts else "not-started")


def test_three_refused_logins_stop_the_run_because_the_credential_is_wrong(night):
    fleet = night(20)
    for name in SITES[:5]:
        fleet.stations[f"{name}-gw1"].refuses = True

    results = fleet.run()

    found = outcomes(results)
    assert len(found["skipped"]) == 3
    assert sum(s.logins for s in fleet.stations.values()) == 3
    assert "credential is wrong" in results[-1].reason


def test_the_operator_stops_between_two_devices(night):
    fleet = night(10, max_parallel=1)
    canary = fleet.stations["s001-gw1"]
    fleet.service_hook = lambda request: setattr(fleet, "stop", request.device == "s002-gw1")

    results = fleet.run()
    fleet.wait(300)

    assert canary.logins
    assert [r.outcome for r in results[:3]] == ["confirmed", "reverted", "not-started"]
    assert fleet.side("s002-gw1") == "before"
    # The way back was the operator's wish: nobody is told that the device failed.
    assert events(fleet, "operator-stop", "wave-stop") == [("operator-stop", None)]
    assert {r.reason for r in results[2:]} == {"stopped by the operator"}
    assert told(fleet, "run", "wave", "operator-stop", "wave-stop") == [
        "10 devices, plan p-1",
        "1 of 6: s001-gw1",
        "2 of 6: s002-gw1",
        "stopped by the operator",
    ]


def test_an_approval_that_runs_out_in_the_night_starts_nobody_any_more(night):
    fleet = night(10, max_parallel=1)
    fleet.service_s = 60.0
    fleet.time.wall_jump_s = 23 * 3600 + 3500.0

    results = outcomes(fleet.run())

    assert results["confirmed"]
    assert results["not-started"]
    assert events(fleet, "wave-stop") == [("wave-stop", None)]


def test_soaking_waits_between_waves_only(night):
    fleet = night(3, soak_s=600)

    fleet.run()

    starts = [r.t_boottime_ns / 1e9 for r in fleet.records() if r.ev == "arm-intent"]
    assert starts[1] - starts[0] > 600
    assert fleet.time.now_s() - starts[2] < 600
    assert told(fleet, "waiting") == ["600 s after wave 1", "600 s after wave 2"]


def test_each_site_is_changed_in_its_own_window_only(builder, choices, world, tmp_path):
    choice = choices["clamp-scope-nft"][0]()
    made = []
    for number, zone in enumerate(("Asia/Tokyo", "Europe/Berlin", "America/New_York")):
        window = next_window("02:00-05:00", zone, world.BASE)
        made.append(builder.device(choice, f"s{number}-gw1", window=window))
    fleet = world.world_of(tmp_path, builder.plan(made, not_after_utc=iso(world.BASE)))
    fleet.plan = builder.plan(made, not_after_utc=iso(world.BASE + timedelta(hours=48)))

    results = fleet.run()

    armed = {r.dev: r.t_wall_utc for r in fleet.records() if r.ev == "arm-intent"}
    assert [r.outcome for r in results] == ["confirmed"] * 3
    # Berlin 02:00 is 01:00 UTC in winter: open now. New York 02:00 is 07:00, Tokyo 17:00 UTC.
    assert sorted(armed, key=armed.get) == ["s1-gw1", "s2-gw1", "s0-gw1"]
    assert told(fleet, "waiting") == [
        "the window opens at 2026-03-02T07:00:00Z",
        "the window opens at 2026-03-02T17:00:00Z",
    ]
    assert armed["s1-gw1"].startswith("2026-03-02T01:00")
    assert armed["s2-gw1"].startswith("2026-03-02T07:00")
    assert armed["s0-gw1"].startswith("2026-03-02T17:00")


def test_a_window_that_is_over_or_too_short_for_the_undo_skips_the_device(
    builder, choices, world, tmp_path
):
    choice = choices["clamp-scope-nft"][0]()
    soon = PlanWindow(
        start_utc=iso(world.BASE - timedelta(hours=1)),
        end_utc=iso(world.BASE + timedelta(seconds=100)),
        tz="Etc/UTC",
    )
    fleet = world.world_of(tmp_path, builder.plan([builder.device(choice, "s1-gw1", window=soon)]))

    (result,) = fleet.run()

    assert result.outcome == "skipped"
    assert "outside its window" in result.reason
    assert fleet.stations["s1-gw1"].logins == 0


def test_a_wave_holds_no_two_devices_of_a_site_or_pair(builder, choices):
    choice = choices["clamp-scope-nft"][0]()
    made = [
        builder.device(choice, f"s{n}-gw{m}", ha_peer=f"s{n}-gw{3 - m}" if n < 3 else "")
        for n in range(12)
        for m in (1, 2)
    ]
    plan = builder.plan(made)

    check_waves(plan)
    for wave in plan.waves:
        sites = [plan.device(name).site for name in wave.devices]
        assert len(set(sites)) == len(sites)


def test_status_knows_devices_that_were_never_started(night):
    fleet = night(8)
    fleet.stations["s003-gw1"].broken = True
    fleet.run()

    records = fleet.records()
    found = {s.device: s.state for s in [*statuses(records), *not_started(records, plans(fleet))]}

    assert found["s001-gw1"] == "confirmed"
    assert found["s003-gw1"] == "reverted"
    assert sorted(found) == sorted(fleet.stations)
    assert "planned" in found.values()
    assert open_devices(records) == ()


def plans(fleet):
    return lambda _digest: (fleet.plan,)


@pytest.mark.parametrize(
    ("sizes", "parallel", "words"),
    [
        ([2, 8], 1, "wave 1 holds 2 of 10"),
        ([1, 3, 6], 1, "wave 2 holds 3 of 10"),
        ([1, 1, 8], 1, "wave 3 holds 8 of 10"),
        ([1] * 10, 2, "2 at once"),
    ],
)
def test_a_plan_with_larger_waves_is_refused(night, sizes, parallel, words, as_kept):
    from dataclasses import replace  # noqa: PLC0415

    plan = night(10).plan
    names = [device.name for device in plan.devices]
    waves, start = [], 0
    for number, size in enumerate(sizes, start=1):
        waves.append(
            replace(
                plan.waves[0],
                n=number,
                devices=tuple(names[start : start + size]),
                max_parallel=parallel,
            )
        )
        start += size

    with pytest.raises(PlanRefusedError, match=words) as caught:
        check_waves(replace(plan, waves=tuple(waves)))
    as_kept(str(caught.value))


@pytest.mark.parametrize(("same_site", "pair"), [(True, False), (False, True)])
def test_a_plan_that_changes_two_devices_that_belong_together_at_once_is_refused(
    builder, choices, same_site, pair, as_kept
):
    from dataclasses import replace  # noqa: PLC0415

    choice = choices["clamp-scope-nft"][0]()
    made = [
        builder.device(choice, f"s{n}-gw1", site=f"s{n}" if n < 8 or not same_site else "s8")
        for n in range(9)
    ]
    made.append(
        builder.device(
            choice,
            "s9-gw1",
            site="s8" if same_site else "s9",
            ha_peer="s8-gw1" if pair else "",
        )
    )
    plan = builder.plan(made)
    names = [device.name for device in made]
    shapes = [names[:1], *([name] for name in names[1:8]), names[8:]]
    waves = tuple(
        replace(plan.waves[0], n=number, devices=tuple(shape), max_parallel=len(shape))
        for number, shape in enumerate(shapes, start=1)
    )

    with pytest.raises(
        PlanRefusedError, match="s8-gw1 and s9-gw1, which belong together"
    ) as caught:
        check_waves(replace(plan, waves=waves))
    as_kept(str(caught.value))


def test_a_plan_that_would_bear_failures_is_refused(night, as_kept):
    from dataclasses import replace  # noqa: PLC0415

    with pytest.raises(PlanRefusedError, match="budget") as caught:
        check_waves(replace(night(2).plan, fail_budget=1))
    as_kept(str(caught.value))


def test_the_named_canary_goes_first_and_must_be_in_the_plan(night, as_kept):
    assert night(5, canary="s004").plan.waves[0].devices == ("s004-gw1",)
    with pytest.raises(PlanRefusedError, match="not a site") as caught:
        night(5, canary="s099")
    as_kept(str(caught.value))
