"""Guarded change on virtual command lines: the oracle is the device's own state."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mtughost.change.asking import must
from mtughost.change.journal import RunJournal
from tests.change.conftest import choice_of, plan_header


def _load(name):
    key = f"mtughost_test_{name}"
    if key not in sys.modules:
        path = Path(__file__).with_name(f"{name}.py")
        spec = importlib.util.spec_from_file_location(key, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module
        spec.loader.exec_module(module)
    return sys.modules[key]


virtual = _load("virtual")
CASES = sorted(virtual.CASES)
#: One per way of guarding: no timer, a timer that reboots, a timer, a commit that arms.
KINDS = [
    "fortinet-policy",
    "fortinet-policy-cfg-save",
    "cisco_xe-interface",
    "juniper_junos-device",
    "vyos-interfaces",
    "mikrotik_routeros-interface",
]
TIMED = KINDS[1:]
#: Name of the line with which a change takes effect, where that is not one of its own.
LAST = {"juniper_junos": "commit", "vyos": "commit.2", "mikrotik_routeros": ".apply.2"}


@pytest.fixture
def rig_of(people, tmp_path):
    def make(case, **more):
        return virtual.VirtualRig(case, people, tmp_path, choice_of, plan_header, **more)

    return make


@pytest.mark.parametrize("case", CASES)
def test_before_change_undo_before_is_a_circle_by_equality(rig_of, case):
    rig = rig_of(case)
    planned = rig.plan().devices[0]
    session = rig.open_session("")
    around = planned.guard

    for line in (*around.enter, *planned.commands, *around.commit, *around.leave):
        must(session, line)
    changed = rig.device.effective()
    for line in around.take_back:
        must(session, line)

    assert changed != rig.original
    assert rig.device.state() == rig.original


@pytest.mark.parametrize("case", CASES)
def test_a_change_is_confirmed_and_saved_behind_an_undo_that_was_armed_and_shown_first(
    rig_of, case
):
    rig = rig_of(case)

    result = rig.run(rig.plan())

    assert result.outcome == "confirmed", result
    after = rig.device.state()
    assert after != rig.original
    # The device's own word: what changed while no undo was ready. Saving follows confirm; without
    # a timer it is the changing lines themselves, which the approver accepts by name.
    unguarded = rig.platform == "fortinet" and not rig.guard
    saves = {"cisco_xe": {"write memory"}, "vyos": {"save"}}
    saves["ubiquiti_edgerouter"] = {"save", "commit"}
    expected = saves.get(rig.platform, {"next"} if unguarded else set())
    assert set(rig.device.breaches) == expected
    rig.device.clock.advance(7200)
    assert rig.device.state() == after
    rig.device.reboot()
    rig.device.clock.advance(600)
    assert rig.device.state() == after


@pytest.mark.parametrize("case", KINDS)
def test_the_signed_plan_says_what_a_revert_costs_and_is_applied(rig_of, case):
    rig = rig_of(case)
    plan = rig.plan()

    assert rig.apply(plan).outcome == "confirmed"
    guard = plan.devices[0].autorevert
    assert (guard.method, guard.cost, plan.accept_no_autorevert) == {
        "fortinet-policy": ("tool-inverse", "none", True),
        "fortinet-policy-cfg-save": ("device-timer", "reboot", False),
        "cisco_xe-interface": ("device-timer", "none", False),
        "juniper_junos-device": ("confirmed-commit", "none", False),
        "vyos-interfaces": ("confirmed-commit", "reboot", False),
        "mikrotik_routeros-interface": ("device-timer", "reboot", False),
    }[case]


@pytest.mark.parametrize("case", KINDS)
def test_a_change_that_does_not_help_is_undone(rig_of, case):
    rig = rig_of(case)
    rig.service = lambda _: replace(virtual.GOOD, full_size_reply=False, summary="1492 were lost")

    result = rig.run(rig.plan())

    assert result.outcome == "reverted"
    assert "1492 were lost" in result.reason
    assert rig.device.state() == rig.original
    rig.device.clock.advance(7200)
    assert rig.device.state() == rig.original


def cut_off_at(rig, is_last):
    """Cut the management path from the first line on for which ``is_last`` holds."""
    cut = []

    def before(command):
        if cut:
            return "eof"
        if is_last(command.command_id):
            cut.append(command)
            return "lost-answer"
        return ""

    rig.before = before
    return cut


@pytest.mark.parametrize("case", TIMED)
def test_a_management_path_cut_by_the_change_is_undone_by_the_device_itself(rig_of, case):
    rig = rig_of(case)
    last = LAST.get(rig.platform, ".apply.4")
    cut = cut_off_at(rig, lambda name: name.endswith(last))

    result = rig.run(rig.plan())
    rig.device.clock.advance(1200)

    assert cut
    assert result.outcome == "needs-human"
    assert rig.device.state() == rig.original or rig.platform == "fortinet"
    rig.before = lambda _: ""
    assert rig.device.is_up
    assert rig.device.effective() == rig.effective


@pytest.mark.parametrize("case", TIMED)
def test_a_path_that_comes_back_with_the_devices_own_undo_is_seen_as_reverted(rig_of, case):
    rig = rig_of(case)
    last = LAST.get(rig.platform, ".apply.4")
    cut = cut_off_at(rig, lambda name: name.endswith(last))
    plan, broken = rig.plan(), rig.before
    # The path is cut for as long as the change is active.
    rig.before = lambda c: broken(c) if rig.device.effective() != rig.effective or not cut else ""

    result = rig.run(plan)

    assert cut
    assert result.outcome == "reverted", result
    assert rig.device.state() == rig.original


class KilledError(BaseException):
    """The tool died."""


def killed(monkeypatch, rig, plan, dies):
    """Run until ``dies`` says so of a record that was just written; whether it came to that."""
    wrote = RunJournal.write

    def write(self, event, *args, **more):
        done = wrote(self, event, *args, **more)
        if dies(event):
            raise KilledError
        return done

    with monkeypatch.context() as patched:
        patched.setattr(RunJournal, "write", write)
        try:
            rig.run(plan)
        except KilledError:
            return True
    return False


def end_of(rig):
    """Resume; return the outcome, after the device's own state was held against it."""
    result = rig.resume()
    outcome = result.outcome if result else "ended before"
    resumed = rig.device.effective()
    rig.device.clock.advance(7200)
    if outcome == "confirmed" or "persisted" in rig.recorded():
        assert rig.device.effective() == resumed != rig.effective
    else:
        assert outcome in {"ended before", "reverted", "refused"}, result
        assert rig.device.state() == rig.original
    return outcome


#: Records after which a device must end before, and those after which it must end as planned.
BACK = ["arm-intent", "armed", "unguarded", "commit-intent", "apply-intent", "applied", "verified"]
FORTH = ["confirmed", "persist-intent"]


@pytest.mark.parametrize("case", KINDS)
def test_killed_at_a_record_a_device_ends_exactly_before_or_after(
    people, tmp_path, case, monkeypatch
):
    reached = set()
    for event in (*BACK, *FORTH):
        directory = tmp_path / event
        directory.mkdir()
        rig = virtual.VirtualRig(case, people, directory, choice_of, plan_header)
        if killed(monkeypatch, rig, rig.plan(), event.__eq__):
            reached.add(event)
            assert end_of(rig) in ({"confirmed"} if event in FORTH else {"reverted", "refused"})

    assert reached >= {"arm-intent", "applied", "verified", *FORTH}


@pytest.mark.nightly
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_record_a_device_ends_exactly_before_or_after(
    people, tmp_path, case, monkeypatch
):
    outcomes = []
    for number in range(1, 60):
        directory = tmp_path / str(number)
        directory.mkdir()
        rig = virtual.VirtualRig(case, people, directory, choice_of, plan_header)
        left = iter(range(number - 1, -1, -1))
        if not killed(monkeypatch, rig, rig.plan(), lambda _, left=left: next(left) == 0):
            break
        outcomes.append(end_of(rig))

    assert len(outcomes) > 15
    assert {"ended before", "reverted", "confirmed"} <= set(outcomes)
