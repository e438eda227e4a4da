"""What a person sees while a run goes on: of a few devices the way, of many the ends."""

from __future__ import annotations

import pytest

from mtughost.report.console_steps import FEW, Steps

#: The records of a device that goes well, as the journal has them.
WELL = (
    *("connect", "hostkey-ok", "pre-digest", "backup-saved", "arm-intent", "armed"),
    *("apply-intent", "applied", "all-applied", "connect", "verify", "verify", "verified"),
    *("confirm-intent", "confirmed", "persist-intent", "persisted"),
)


def lines(steps, device, records):
    heard = (steps.heard(device, record, "so it is") for record in records)
    return [line for line in heard if line]


def test_of_a_few_devices_each_station_is_told_and_of_many_only_the_end():
    steps = Steps()
    steps.begin(FEW)
    assert lines(steps, "gw1", WELL) == [
        f"gw1 {word}: so it is"
        for word in ("armed", "all-applied", "verify", "verify", "confirmed", "persisted")
    ]
    steps.begin(FEW + 1)
    assert lines(steps, "gw1", WELL) == ["gw1 persisted: so it is"]


@pytest.mark.parametrize(
    "word",
    [
        *("refused", "skipped", "unknown", "verify-failed", "restore-intent", "reverted"),
        *("cancelled", "needs-human", "resumed", "unguarded"),
    ],
)
def test_trouble_is_told_however_many_devices_there_are(word):
    steps = Steps()
    steps.begin(200 if word != "unguarded" else 1)

    assert steps.heard("gw7", word, "drift:\n+rule\n-rule") == f"gw7 {word}: drift:"


def test_what_a_device_says_cannot_act_on_the_terminal():
    steps = Steps()

    told = steps.heard("gw\x1b[2J", "refused", "it is \x1b]52;c;eA==\x07 now\r\n+more")

    assert not {"\x1b", "\x07", "\r", "\n"} & set(told)


def test_the_bar_says_which_wave_how_many_ended_and_how_many_are_under_way():
    steps = Steps()
    steps.begin(12)
    assert steps.now == ""
    assert steps.heard("", "wave", "2 of 4: 11 devices; 4 at once") == (
        "wave: 2 of 4: 11 devices; 4 at once"
    )
    for name in ("gw1", "gw2", "gw3"):
        lines(steps, name, WELL[:4])
    assert (steps.now, steps.ended) == ("wave 2 of 4, 3 under way", 0)
    for name, word in (("gw1", "persisted"), ("gw2", "reverted"), ("gw4", "refused")):
        steps.heard(name, word, "")
    assert steps.heard("", "wave-stop", "gw2 failed") == "wave-stop: gw2 failed"
    assert (steps.now, steps.ended) == ("wave 2 of 4, 1 under way", 3)
    steps.heard("gw3", "needs-human", "")
    assert (steps.now, steps.ended) == ("wave 2 of 4", 4)

    steps.begin(1)
    assert (steps.now, steps.ended, steps.total) == ("", 0, 1)
