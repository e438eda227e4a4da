"""What a person reads after a night: what needs a look comes last, equals stand together."""

from __future__ import annotations

from dataclasses import dataclass

from mtughost.report.console_run import counted, run_lines, status_lines


@dataclass
class Device:
    device: str
    outcome: str
    reason: str = "as planned"
    detail: tuple[str, ...] = ()


@dataclass
class Status:
    run_id: str
    device: str
    state: str
    reason: str = ""
    last_event: str = "persisted"
    last_utc: str = "2026-03-02T01:00:00Z"


def test_equal_ends_stand_together_and_what_needs_a_person_comes_last():
    devices = [
        Device("s9-gw1", "needs-human", "its restore failed", ("-a", "+b")),
        *(Device(f"s{n}-gw1", "confirmed") for n in range(5)),
        Device("s6-gw1", "skipped", "not reached"),
        *(Device(f"t{n}-gw1", "not-started", "s8 failed") for n in range(4)),
        Device("s8-gw1", "reverted", "it did not help"),
    ]

    assert list(run_lines(devices)) == [
        "confirmed, 5 devices: as planned",
        "  s0-gw1, s1-gw1, s2-gw1, s3-gw1, s4-gw1",
        "not-started, 4 devices: s8 failed",
        "  t0-gw1, t1-gw1, t2-gw1, t3-gw1",
        "s6-gw1: skipped: not reached",
        "s8-gw1: reverted: it did not help",
        "s9-gw1: needs-human: its restore failed",
        "  -a",
        "  +b",
        "12 devices: 5 confirmed, 4 not-started, 1 skipped, 1 reverted, 1 needs-human",
    ]


def test_a_few_devices_and_a_single_one_have_a_line_each():
    assert list(run_lines([Device("gw1", "confirmed")])) == ["gw1: confirmed: as planned"]
    assert list(run_lines([Device(f"gw{n}", "confirmed") for n in range(3)]))[-1] == (
        "3 devices: 3 confirmed"
    )


def test_details_of_each_device_are_shown_however_many_there_are():
    devices = [Device(f"gw{n}", "refused", "drift", ("+rule",)) for n in range(5)]

    assert sum(line == "  +rule" for line in run_lines(devices)) == 5


def test_many_names_are_wrapped_and_none_is_lost_or_cut():
    names = [f"store-{n:03}-gateway-1" for n in range(200)]
    lines = list(run_lines([Device(name, "confirmed") for name in names]))

    assert all(len(line) <= 96 for line in lines)
    assert "".join(lines[1:-1]).replace(" ", "").split(",") == names


def test_words_that_nobody_here_knows_are_counted_too():
    assert counted(["confirmed", "puzzled"]) == "2 devices: 1 confirmed, 1 puzzled"
    assert counted(["confirmed"]) == "1 device: 1 confirmed"


def test_a_device_cannot_write_to_the_terminal():
    (line,) = run_lines([Device("gw1", "reverted", "\x1b[2Jgone")])

    assert "\x1b" not in line


def test_the_status_is_told_run_by_run():
    found = [
        Status("run-1", "a-gw1", "reverted", "it did not help"),
        Status("run-1", "b-gw1", "confirmed"),
        *(Status("run-2", f"s{n}-gw1", "planned", "never started") for n in range(4)),
        Status("run-2", "c-gw1", "applying", "line 1"),
    ]

    assert list(status_lines(found)) == [
        "run-1 b-gw1: confirmed (persisted 2026-03-02T01:00:00Z)",
        "run-1 a-gw1: reverted (persisted 2026-03-02T01:00:00Z): it did not help",
        "run-1: 2 devices: 1 confirmed, 1 reverted",
        "run-2 planned, 4 devices: never started",
        "  s0-gw1, s1-gw1, s2-gw1, s3-gw1",
        "run-2 c-gw1: applying (persisted 2026-03-02T01:00:00Z): line 1",
        "run-2: 5 devices: 4 planned, 1 applying",
    ]
