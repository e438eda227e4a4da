"""How old a line of a log is, by the clock of the device that wrote it."""

from __future__ import annotations

import pytest

from mtughost.diagnose.ages import age, is_recent
from mtughost.model.basis import NOT_COLLECTED, Known, Source
from mtughost.model.device import DeviceFacts

SOURCE = Source(host="ap", basis="sample", command="date")


def device(clock):
    time = NOT_COLLECTED if clock is None else Known(clock, SOURCE)
    return DeviceFacts(host="ap", site="s", role="ap", platform="linux", clock_utc=time)


@pytest.mark.parametrize(
    ("clock", "at", "seconds"),
    [
        ("2026-04-17T12:00:00", "2026-04-17T11:59:00", 60),
        ("2026-04-17T12:00:00+00:00", "2026-04-17T13:59:00+02:00", 60),
        # One of both names no zone: then both speak of the device's own.
        ("2026-04-17T12:00:00-04:00", "2026-04-17T11:59:00", 60),
        ("2026-04-17T12:00:00", "2026-04-17T11:59:00Z", 60),
        # A log that leaves out the year means this one,
        ("2026-04-17T12:00:00", "--04-17T11:59:00", 60),
        ("2026-04-17T12:00:00", "--04-17T12:02:00", -120),
        # or the one before where the line would lie ahead.
        ("2027-01-01T00:05:00", "--12-31T23:55:00", 600),
        ("2026-04-17T12:00:00", "", None),
        ("2026-04-17T12:00:00", "yesterday", None),
        ("2026-04-17T12:00:00", "--13-41", None),
        ("no clock", "2026-04-17T11:59:00", None),
        (None, "2026-04-17T11:59:00", None),
    ],
)
def test_an_age_is_told_only_where_both_times_are_known(clock, at, seconds):
    assert age(device(clock), at) == seconds


@pytest.mark.parametrize(
    ("at", "recent"),
    [
        ("2026-04-17T11:00:00", True),
        ("2026-04-17T10:59:59", False),
        ("2026-04-17T12:02:00", True),
        ("2026-04-17T12:02:01", False),
        ("", False),
    ],
)
def test_the_last_hour_is_recent_and_a_little_of_what_a_set_clock_left_ahead(at, recent):
    assert is_recent(device("2026-04-17T12:00:00"), at) is recent
