"""Doubts at one exact moment of a run: what the device says then decides, and it goes back.

A moment is a record of the journal: what is planted happens right behind it. The judge is the
virtual gateway's own state.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mtughost.change.apply import keep_plan
from mtughost.change.asking import read_state
from mtughost.change.course import save_backup
from mtughost.change.guard import GuardReading, parse_reading, read_guard, why_not_armed
from mtughost.change.resume import kept_plan, open_devices, statuses
from mtughost.model.errors import PlanRefusedError, SessionDesyncError, StoreError
from mtughost.model.plans import content_digest, plan_bytes
from tests.change.conftest import choice_of, load_beside, plan_header
from tests.change.told import journal_text, result_text

NAME = "s001-gw1"
virtual_rigs = load_beside("virtual")
worlds = load_beside("world")


@pytest.fixture
def night(virtual, as_kept, tmp_path):
    """Return a run of one gateway in which things happen at chosen moments.

    Its last records, and what is told of its end, are those that were kept.
    """

    def make(kind="clamp-scope-nft", **planted):
        fleet = virtual(kind)
        (station,) = fleet.stations.values()
        actions = {name.replace("_", "-"): act for name, act in planted.items()}
        fleet.events = worlds.Moments(
            {k: (lambda a=a: a(fleet, station)) for k, a in actions.items()}
        )
        (result,) = fleet.run()
        fleet.wait(400)
        ended = journal_text(tmp_path / "journal.mtj", last=7) + result_text(result)
        as_kept(ended)
        return fleet, station, result

    return make


def rule_more(_fleet, station):
    station.gateway.running.tables["inet clamp"].add("tcp dport 9 drop")


def answered(pattern, change, *, times=99):
    """Return an action: from now on the device's words to such lines differ."""

    def act(_fleet, station):
        normal, left = station.gateway.run, [times]

        def run(line):
            out, code, error = normal(line)
            if re.search(pattern, line) and left[0]:
                left[0] -= 1
                return change(out), code, error
            return out, code, error

        station.gateway.run = run

    return act


# -- before anything is touched ----------------------------------------------------------------


def test_the_operators_stop_between_backup_and_arming_arms_nothing(night):
    def stop(fleet, _):
        fleet.stop = True

    fleet, station, result = night(backup_saved=stop)

    assert result.outcome == "not-started"
    assert result.reason == "stopped by the operator before arming"
    assert station.gateway.papers == {}
    assert not any("arm" in line for line in station.sent)
    assert fleet.side(NAME) == "before"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sleeper alive", "sleeper gone", "its sleeper is not running"),
        (r"started (\d+) 180", r"started \1 170", "its window is 170 s instead of 180 s"),
        (r"started (\d+)", "started 1", "ago by the device's clock"),
        (r"started (\d+)", "started 99999", "its timer began -"),
        ("boot boot-1", "boot boot-2", "the device has rebooted"),
        (r"[ab]{64}  \S+\n", "", "it has no restore file"),
        ("token armed", "token none", "its token is none"),
    ],
)
def test_an_undo_that_does_not_say_that_it_is_ready_lets_nothing_be_changed(night, old, new, words):
    lie = answered("echo token missing", lambda out: re.sub(old, new, out), times=1)

    fleet, station, result = night(arm_intent=lie)

    assert result.outcome == "refused"
    assert "the guard cannot be relied on" in result.reason
    assert words in result.reason
    assert not result.touched
    assert station.gateway.changes == 0
    assert fleet.side(NAME) == "before"
    assert station.gateway.papers == {}


@pytest.mark.parametrize(("age_s", "good"), [(0, True), (36, True), (37, False), (-1, False)])
def test_a_timer_may_be_a_fifth_of_its_window_old_and_never_from_the_future(
    builder, choices, age_s, good
):
    planned = builder.one("clamp-scope-nft", choices).devices[0]
    found = GuardReading(
        token="armed",
        uptime_s=1000,
        started_s=1000 - age_s,
        window_s=180,
        sleeper_alive=True,
        boot_id="b",
        sums=("a",),
    )

    assert (why_not_armed(found, planned, boot_id="b") == "") is good
    assert found.left_s == 180 - age_s


def test_nothing_is_left_of_a_timer_that_never_began_or_is_over():
    reading = GuardReading(token="armed", uptime_s=1000, started_s=100, window_s=180)

    assert reading.left_s == 0
    assert replace(reading, started_s=None).left_s == 0
    assert replace(reading, started_s=990, window_s=None).left_s == 0


# -- between arming and confirm ----------------------------------------------------------------


def sleep_machine(seconds):
    def act(fleet, _):
        fleet.time.slept_s += seconds

    return act


@pytest.mark.parametrize("moment", ["armed", "applied", "verify"])
def test_a_machine_that_slept_in_the_window_confirms_nothing(night, moment):
    fleet, _, result = night(**{moment: sleep_machine(2)})

    assert result.outcome == ("refused" if moment == "armed" else "reverted")
    assert "slept after arming" in result.reason
    assert fleet.side(NAME) == "before"


def test_a_second_between_the_clocks_is_no_sleep(night):
    fleet, _, result = night(armed=sleep_machine(0.9))

    assert (result.outcome, fleet.side(NAME)) == ("confirmed", "after")


@pytest.mark.parametrize("moment", ["armed", "applied", "verify", "verified"])
def test_after_seventy_per_cent_of_the_window_nothing_more_is_sent(night, moment):
    def wait(fleet, _):
        fleet.time.sleep(0.7 * 180)

    fleet, _, result = night(**{moment: wait})

    assert result.outcome == ("refused" if moment == "armed" else "reverted")
    assert "70% of the window have passed" in result.reason
    assert fleet.side(NAME) == "before"


@pytest.mark.parametrize("moment", ["applied", "verified"])
def test_the_operators_stop_after_arming_lets_the_device_go_back(night, moment):
    def stop(fleet, _):
        fleet.stop = True

    fleet, _, result = night(**{moment: stop})

    assert result.outcome == "reverted"
    assert "stopped by the operator" in result.reason
    assert fleet.side(NAME) == "before"


def test_a_stop_while_confirming_still_finishes_this_device(night):
    def stop(fleet, _):
        fleet.stop = True

    fleet, _, result = night(confirm_intent=stop)

    assert (result.outcome, fleet.side(NAME)) == ("confirmed", "after")


def test_a_device_that_rebooted_in_the_window_is_not_confirmed(night):
    fleet, _, result = night(all_applied=lambda _, station: station.gateway.reboot())

    assert result.outcome == "reverted"
    assert "verify: the device has rebooted" in result.reason
    assert fleet.side(NAME) == "before"


def test_a_state_that_is_not_the_planned_one_is_shown_and_undone(night):
    fleet, _, result = night(all_applied=rule_more)

    assert result.outcome == "reverted"
    assert "the state is not the planned one" in result.reason
    assert "+tcp dport 9 drop" in result.reason
    assert fleet.side(NAME) == "before"


def test_of_a_long_difference_forty_lines_are_shown_and_the_rest_is_counted(night):
    def many(_, station):
        for port in range(60):
            station.gateway.running.tables["inet clamp"].add(f"tcp dport {port} drop")

    fleet, _, result = night(all_applied=many)

    assert "+tcp dport 35 drop" in result.reason
    assert "+tcp dport 36 drop" not in result.reason
    assert "... and 25 more lines" in result.reason
    assert fleet.side(NAME) == "before"


def test_a_record_without_words_of_its_own_has_no_reason(virtual, world):
    fleet = virtual()
    with fleet.journal() as journal:
        pen = journal.run("run-1", "sha256:0", world.WRITER)
        pen.write("run-open")
        pen.write("arm-intent", NAME, token=7, text=["odd"])

    (status,) = statuses(fleet.records())

    assert (status.reason, status.token, status.state) == ("", "", "planned")


def test_rules_that_somebody_saved_before_the_confirm_are_not_confirmed(night):
    def saved(_, station):
        station.gateway.boots = station.gateway.running.copy()

    _, _, result = night(all_applied=saved)

    assert result.outcome == "needs-human"
    assert "what a boot would load changed before the confirm" in result.reason
    assert result.detail == ("running: the state before; saved: the planned state",)


def test_a_timer_that_is_gone_when_the_state_is_verified_stops_the_confirm(night):
    def fire(_, station):
        papers = next(iter(station.gateway.papers.values()))
        papers.token = "cancelled"

    _, _, result = night(all_applied=fire)

    assert result.outcome == "needs-human"
    assert "the guard's token is cancelled" in result.reason


@pytest.mark.parametrize("drift", [True, False])
def test_a_change_elsewhere_in_the_window_counts_unless_the_plan_bears_it(virtual, tmp_path, drift):
    fleet = virtual()
    fleet.plan = replace(fleet.plan, allow_unrelated_drift=drift)
    (station,) = fleet.stations.values()

    def narrower():
        station.gateway.running.mtus["wan0"] = 1400

    fleet.events = worlds.Moments({"all-applied": narrower})

    (result,) = fleet.run()

    if drift:
        assert result.outcome == "confirmed"
    else:
        assert result.outcome == "reverted"
        assert "section links changed" in result.reason


# -- confirm and save --------------------------------------------------------------------------


def test_a_rule_that_came_right_before_confirm_is_not_confirmed_and_all_is_taken_back(night):
    fleet, _, result = night(confirm_intent=rule_more)

    assert result.outcome == "reverted"
    assert "the state changed before confirm" in result.reason
    assert "+tcp dport 9 drop" in result.reason
    assert fleet.side(NAME) == "before"


def test_a_device_that_saves_something_else_is_taken_back_and_its_file_too(night):
    def act(_, station):
        normal = station.gateway.run

        def run(line):
            said = normal(line)
            if "nft -s list ruleset" in line and "readlink" in line:
                station.gateway.boots.tables["inet clamp"].add("tcp dport 9 drop")
            return said

        station.gateway.run = run

    fleet, station, result = night(persist_intent=act)

    assert result.outcome == "reverted"
    assert "the saved state is not the planned one" in result.reason
    assert fleet.side(NAME) == "before"
    assert station.gateway.papers == {}


def test_what_can_be_neither_saved_nor_taken_back_is_for_a_person(night):
    def act(_, station):
        station.gateway.disk_full = True
        station.gateway.restore_fails = True

    fleet, station, result = night(persist_intent=act)

    assert result.outcome == "needs-human"
    assert "taking it back failed" in result.reason
    assert station.gateway.running != station.gateway.boots
    record = next(r for r in fleet.records() if r.ev == "needs-human")
    assert (record.data["running"], record.data["saved"]) == ("after", "before")


def test_a_disk_that_is_full_when_saving_is_tried_again_leads_back(night, world):
    def act(_, station):
        station.faults.append(world.Fault(station.lines, "eof"))
        station.gateway.disk_full = True

    fleet, _, result = night(persist_intent=act)

    assert result.outcome == "reverted"
    assert "lost while saving" in result.reason
    assert "saving failed" in result.reason
    assert fleet.side(NAME) == "before"


def test_a_restore_that_fails_on_the_device_is_for_a_person_at_once(night):
    def act(_, station):
        station.gateway.restore_fails = True
        station.broken = True

    fleet, _, result = night(armed=act)

    assert result.outcome == "needs-human"
    assert "the device's own restore failed" in result.reason
    assert result.detail
    assert open_devices(fleet.records()) == ()


def test_what_a_tidied_guard_leaves_behind_is_noted_and_changes_nothing(night, world):
    def act(_, station):
        normal = station.gateway.run

        def run(line):
            if "if [ -d $d ]" in line:
                return "", 1, "rm: cannot remove: Read-only file system"
            return normal(line)

        station.gateway.run = run

    fleet, _, result = night(persist_intent=act)

    assert (result.outcome, fleet.side(NAME)) == ("confirmed", "after")
    left = next(r for r in fleet.records() if r.ev == "left-behind")
    assert "Read-only file system" in left.data["text"]


# -- what is no answer -------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "hello\n", "sh: not found\n"])
def test_words_that_are_no_guards_are_an_error(text, as_kept):
    with pytest.raises(SessionDesyncError, match="own words") as caught:
        parse_reading(NAME, text)
    as_kept(str(caught.value))


@pytest.mark.parametrize("tokens", ["", "token armed\ntoken confirmed\n", "token what\n"])
def test_a_token_that_is_being_renamed_is_read_again(tokens):
    assert parse_reading(NAME, f"{tokens}uptime 100\n") is None


def test_a_guards_words_are_read_one_by_one():
    text = f"token armed\nuptime 190\nstarted 100 180\nsleeper alive\nboot b\n{'0f' * 32}  a\n"

    assert parse_reading(NAME, text) == GuardReading(
        token="armed",
        uptime_s=190,
        started_s=100,
        window_s=180,
        sleeper_alive=True,
        boot_id="b",
        sums=(f"{'0f' * 32} a",),
    )
    odd = parse_reading(NAME, "token none\nuptime soon\nstarted 100\nsleeper gone\n")
    assert (odd.uptime_s, odd.started_s, odd.window_s, odd.sleeper_alive) == (0, None, None, False)
    assert (odd.boot_id, odd.sums) == ("", ())
    assert parse_reading(NAME, "token missing\n").token == "missing"


@pytest.mark.parametrize(("moving", "stands"), [(4, True), (5, False)])
def test_a_token_is_read_five_times_before_that_is_an_error(virtual, moving, stands, as_kept):
    fleet = virtual()
    (station,) = fleet.stations.values()
    answered("echo token missing", lambda _: "uptime 100\n", times=moving)(fleet, station)
    planned, session = fleet.plan.devices[0], fleet.login(NAME)
    read = lambda: read_guard(session, planned, "0" * 16, fleet.time)  # noqa: E731

    if stands:
        assert read().token == "missing"
    else:
        with pytest.raises(SessionDesyncError, match="does not stand still") as caught:
            read()
        as_kept(str(caught.value))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("boot_id", "b00t\n"), ("boot_id", ""), ("uname", "s001-gw1\n6.1\n"), ("uname", "")],
)
def test_a_device_that_does_not_say_who_it_is_or_since_when_is_not_read(virtual, pattern, text):
    fleet = virtual()
    (station,) = fleet.stations.values()
    answered(pattern, lambda _: text)(fleet, station)

    (result,) = fleet.run()

    assert result.outcome == "skipped"
    assert "boot id, uptime or identity cannot be read" in result.reason
    assert station.gateway.papers == {}


@pytest.mark.parametrize(
    ("command", "lost", "words"),
    [
        ("more system", "", "not shown as a whole"),
        ("uptime", "", "identity or time of the last boot cannot be read"),
    ],
)
def test_a_command_line_that_shows_half_of_its_configuration_is_not_read(
    people, tmp_path, command, lost, words, as_kept
):
    rig = virtual_rigs.VirtualRig("cisco_xe-interface", people, tmp_path, choice_of, plan_header)
    planned = rig.plan().devices[0]
    session = rig.open_session("")
    ask = session.ask

    def cut(commands):
        answers = ask(commands)
        if "show version" in answers[0].line and command == "uptime":
            text = re.sub(r".*uptime is.*\n", lost, answers[0].text)
            return (replace(answers[0], text=text),)
        if "running" in answers[0].line and command != "uptime":
            return (replace(answers[0], text=answers[0].text[:200]),)
        return answers

    session.ask = cut

    with pytest.raises(SessionDesyncError, match=words) as caught:
        read_state(session, planned.state, backend="config", target=planned.target, taken_utc="")
    as_kept(str(caught.value))


# -- papers of a run ---------------------------------------------------------------------------


def test_each_nights_plan_is_kept_beside_those_before(virtual, tmp_path):
    first = virtual().plan
    second = replace(first, reason="the night after")

    kept = [keep_plan(tmp_path, plan_bytes(plan)) for plan in (first, second, first)]

    assert [kept[0], kept[2]] == [kept[0]] * 2 != [kept[1]] * 2
    assert kept_plan(tmp_path, content_digest(second)) == second
    assert kept_plan(tmp_path, content_digest(first)) == first


def test_a_plan_that_cannot_be_kept_beside_the_journal_stops_the_run(virtual, tmp_path, as_kept):
    fleet = virtual()
    (fleet.directory / "plans").write_text("in its place")

    with pytest.raises(StoreError, match="cannot keep the plan") as caught:
        keep_plan(fleet.directory, plan_bytes(fleet.plan))
    as_kept(str(caught.value))


@pytest.mark.parametrize("what", ["gone", "another"])
def test_resume_refuses_where_the_kept_plan_is_gone_or_another(virtual, what, as_kept):
    fleet = virtual()
    path = keep_plan(fleet.directory, plan_bytes(fleet.plan))
    digest = f"sha256:{path.stem}"
    assert kept_plan(fleet.directory, digest) == fleet.plan
    if what == "gone":
        path.unlink()
    else:
        path.write_bytes(plan_bytes(replace(fleet.plan, reason="another")))

    with pytest.raises(PlanRefusedError, match=r"cannot be read|is not the plan") as caught:
        kept_plan(fleet.directory, digest)
    as_kept(str(caught.value))


def test_a_journal_that_tells_an_impossible_story_of_a_device_is_refused(virtual, world, as_kept):
    fleet = virtual()
    with fleet.journal() as journal:
        pen = journal.run("run-1", "sha256:0", world.WRITER)
        pen.write("run-open")
        pen.write("applied", NAME, line=1)

    with pytest.raises(
        StoreError, match=r"record 1 of s001-gw1: 'applied' must not follow"
    ) as caught:
        statuses(fleet.records())
    as_kept(str(caught.value))


def test_a_backup_that_reads_back_differently_is_an_error(virtual, tmp_path, monkeypatch, as_kept):
    fleet = virtual()
    planned, session = fleet.plan.devices[0], fleet.login(NAME)
    state = read_state(
        session, planned.state, backend=planned.backend, target=planned.target, taken_utc=""
    )
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda _: b"another")

    with pytest.raises(StoreError, match="reads back differently") as caught:
        save_backup(tmp_path / "backups", NAME, state)
    as_kept(str(caught.value))
