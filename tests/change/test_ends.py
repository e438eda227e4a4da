"""Trouble at one exact moment, on a shell: where the device ends, every record, every word.

A moment is a record of the journal; what is planted there befalls the next line that is sent. The
judge is the gateway's own state.
"""

from __future__ import annotations

import pytest

from tests.change.conftest import load_beside
from tests.change.told import journal_text, result_text

worlds = load_beside("world")
NAME = "s001-gw1"


def befalls(what, arg=0.0):
    def act(_fleet, station):
        station.faults.append(worlds.Fault(station.lines, what, arg))

    return act


def passes(seconds):
    return lambda fleet, _: fleet.time.sleep(seconds)


def broken(_fleet, station):
    station.broken = True


#: name -> (moment, what happens there, how it ends, where the gateway stands, after resume)
CASES = {
    "the login is lost while arming": ("arm-intent", befalls("eof"), "refused", "before"),
    "arming fails": ("arm-intent", befalls("fail"), "refused", "before"),
    "the answer to arming is lost": ("arm-intent", befalls("lost"), "refused", "before"),
    "a line is never sent": ("apply-intent", befalls("eof"), "reverted", "before"),
    "a line's answer is lost": ("apply-intent", befalls("lost"), "reverted", "before"),
    "a line's answer is late": ("apply-intent", befalls("late"), "reverted", "before"),
    "a line fails": ("apply-intent", befalls("fail"), "reverted", "before"),
    "it reboots": ("applied", befalls("reboot"), "reverted", "before"),
    "it cannot be reached for a minute": ("applied", befalls("dark", 60), "reverted", "before"),
    "it cannot be reached until its undo is over": (
        *("applied", befalls("dark", 400), "needs-human", "before", "reverted"),
    ),
    "its host key changes": ("applied", befalls("key"), "needs-human", "before"),
    "it refuses the login": ("applied", befalls("refuse"), "needs-human", "before"),
    "the service does not work": ("all-applied", broken, "reverted", "before"),
    "somebody changes it": ("all-applied", befalls("meddle"), "reverted", "before"),
    "the answer to confirm is lost": ("confirm-intent", befalls("lost"), "confirmed", "after"),
    "confirm is never sent": ("confirm-intent", befalls("eof"), "reverted", "before"),
    "confirm comes too late": ("confirm-intent", passes(180), "reverted", "before"),
    "saving is never begun": ("persist-intent", befalls("eof"), "confirmed", "after"),
    "saving is acknowledged by nobody": ("persist-intent", befalls("lost"), "confirmed", "after"),
    "it reboots while saving": ("persist-intent", befalls("reboot"), "reverted", "before"),
    "its disk is full": ("persist-intent", befalls("full"), "reverted", "before"),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_it_ends_there_and_says_so(virtual, tmp_path, as_kept, name):
    moment, act, outcome, side, *later = CASES[name]
    fleet = virtual()
    (station,) = fleet.stations.values()
    fleet.events = worlds.Moments({moment: lambda: act(fleet, station)})

    (result,) = fleet.run()
    told = result_text(result)
    fleet.wait(600)
    for expected in later:
        (resumed,) = fleet.resume()
        told += "\nresumed: " + result_text(resumed)
        assert resumed.outcome == expected

    as_kept(journal_text(tmp_path / "journal.mtj", last=9) + told)
    assert (result.outcome, fleet.side(NAME)) == (outcome, side)
    assert station.gateway.broken_promises == []
    assert not fleet.resume()


KILLED = {
    "arm-intent": ("refused", "before"),
    "armed": ("refused", "before"),
    "apply-intent": ("reverted", "before"),
    "verified": ("reverted", "before"),
    "confirm-intent": ("reverted", "before"),
    "confirmed": ("confirmed", "after"),
    "persist-intent": ("confirmed", "after"),
}


def test_a_device_that_is_never_reached_is_skipped_and_said_so(virtual, tmp_path, as_kept):
    fleet = virtual()
    (station,) = fleet.stations.values()
    station.dark_until_s = 1e9

    (result,) = fleet.run()

    as_kept(journal_text(tmp_path / "journal.mtj") + result_text(result))
    assert (result.outcome, result.touched, fleet.side(NAME)) == ("skipped", False, "before")
    assert not fleet.resume()


@pytest.mark.parametrize("record", list(KILLED))
def test_killed_behind_a_record_resume_ends_it_and_says_so(virtual, tmp_path, as_kept, record):
    fleet = virtual()
    (station,) = fleet.stations.values()
    fleet.killed_at(record)

    (result,) = fleet.resume()
    told = [f"{p.device!r} {p.step}: {p.text} ({p.devices})" for p in fleet.events]

    as_kept(journal_text(tmp_path / "journal.mtj", last=6) + result_text(result) + f"\n{told[0]}\n")
    assert (result.outcome, fleet.side(NAME)) == KILLED[record]
    assert station.gateway.broken_promises == []
    assert not fleet.resume()


def test_a_device_that_says_it_saved_and_did_not_is_taken_back_and_not_saved_for_ever(virtual):
    fleet = virtual()
    (station,) = fleet.stations.values()
    fleet.killed_at("confirmed")
    token = next(r.data["token"] for r in fleet.records() if r.ev == "arm-intent")
    lies = [line.command(token).line for line in fleet.plan.devices[0].persist]
    run = station.gateway.run
    station.gateway.run = lambda line: ("", 0, "") if line in lies else run(line)

    (result,) = fleet.resume()

    assert (result.outcome, fleet.side(NAME)) == ("reverted", "before")
    assert [p.step for p in fleet.events].count("persist-intent") == 1


def test_who_was_never_reached_after_a_kill_stays_open_and_is_told_so(virtual, tmp_path, as_kept):
    fleet = virtual()
    (station,) = fleet.stations.values()
    fleet.killed_at("arm-intent")
    station.dark_until_s = 1e9

    (result,) = fleet.resume()

    assert result.outcome == "skipped"
    as_kept(journal_text(tmp_path / "journal.mtj", last=5) + result_text(result))
    station.dark_until_s = -1.0
    assert [one.outcome for one in fleet.resume()] == ["refused"]
