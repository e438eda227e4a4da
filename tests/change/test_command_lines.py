"""Guarded change on virtual command lines: the oracle is the device's own state."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from mtughost.change.asking import must
from mtughost.model.errors import PlanRefusedError
from mtughost.remedy.inverse import rollback_choice
from tests.change.conftest import at_record, choice_of, killed, load_beside, plan_header

virtual = load_beside("virtual")


def plan_text(plan):
    """Return a plan's one device, field by field; its texts and digests are held elsewhere."""
    fields = asdict(plan.devices[0])
    for long in ("pre", "post", "diff_text", "diff_text_digest", "edits"):
        del fields[long]
    lines = []
    for name, value in fields.items():
        if name in ("guard", "state"):
            lines += [f"{name}.{key}: {short(part)}" for key, part in value.items() if part]
        else:
            lines.append(f"{name}: {short(value)}")
    return "\n".join(lines) + "\n"


def short(value):
    """Return a value as one line; a planned line as it is typed, with what must follow."""
    if isinstance(value, dict) and "line" in value:
        return f"{value['line']!r} ({value['id']} {value['mode']} {value['timeout_s']} s)"
    if isinstance(value, (list, tuple)):
        return "; ".join(short(one) for one in value)
    return json.dumps(value) if isinstance(value, dict) else str(value)


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
def test_the_signed_plan_says_what_a_revert_costs_and_is_applied(rig_of, case, as_kept):
    rig = rig_of(case)
    plan = rig.plan()

    result = rig.apply(plan)

    assert result.outcome == "confirmed"
    as_kept(plan_text(plan) + rig.told(result))
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
def test_a_change_that_does_not_help_is_undone(rig_of, case, as_kept):
    rig = rig_of(case)
    rig.service = lambda _: replace(virtual.GOOD, full_size_reply=False, summary="1492 were lost")

    result = rig.run(rig.plan())

    assert result.outcome == "reverted"
    assert "1492 were lost" in result.reason
    as_kept(rig.told(result, last=6))
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
def test_a_management_path_cut_by_the_change_is_undone_by_the_device_itself(rig_of, case, as_kept):
    rig = rig_of(case)
    last = LAST.get(rig.platform, ".apply.4")
    cut = cut_off_at(rig, lambda name: name.endswith(last))

    result = rig.run(rig.plan())
    as_kept(rig.told(result, last=6))
    rig.device.clock.advance(1200)

    assert cut
    assert result.outcome == "needs-human"
    assert rig.device.state() == rig.original or rig.platform == "fortinet"
    rig.before = lambda _: ""
    assert rig.device.is_up
    assert rig.device.effective() == rig.effective


@pytest.mark.parametrize("case", TIMED)
def test_a_path_that_comes_back_with_the_devices_own_undo_is_seen_as_reverted(
    rig_of, case, as_kept
):
    rig = rig_of(case)
    last = LAST.get(rig.platform, ".apply.4")
    cut = cut_off_at(rig, lambda name: name.endswith(last))
    plan, broken = rig.plan(), rig.before
    # The path is cut for as long as the change is active.
    rig.before = lambda c: broken(c) if rig.device.effective() != rig.effective or not cut else ""

    result = rig.run(plan)
    as_kept(rig.told(result, last=6))

    assert cut
    assert result.outcome == "reverted", result
    assert rig.device.state() == rig.original


@pytest.mark.parametrize("case", KINDS)
def test_planning_types_only_what_the_task_book_calls_passive(rig_of, case):
    rig = rig_of(case)
    rig.plan()

    passive = {command.run for command in rig.book.commands.values() if command.risk == "passive"}
    assert {heard.line for heard in rig.device.heard} <= passive
    assert {heard.prompt for heard in rig.device.heard} == {rig.device.login("operator").prompt}
    assert rig.device.breaches == []


def test_a_change_without_a_timer_is_planned_only_where_that_was_accepted(rig_of, as_kept):
    rig = rig_of("fortinet-policy")

    with pytest.raises(PlanRefusedError, match="no timer of Fortinet") as caught:
        rig.plan(accept=False)
    as_kept(str(caught.value))


def test_a_change_that_may_cut_us_off_is_never_planned_without_a_timer(rig_of, as_kept):
    rig = rig_of("fortinet-policy")
    choice = replace(rig.choice(), touches_management=True)

    with pytest.raises(PlanRefusedError, match="may cut the path") as caught:
        rig.plan(choice=choice)
    as_kept(str(caught.value))


def test_a_router_without_an_archive_is_refused_when_planning(rig_of, as_kept):
    rig = rig_of("cisco_xe-interface")
    rig.device.running.archive = rig.device.saved.archive = ""

    with pytest.raises(PlanRefusedError, match="keeps no configuration archive") as caught:
        rig.plan()
    as_kept(str(caught.value))


@pytest.mark.parametrize("case", ["fortinet-policy", "fortinet-policy-cfg-save"])
def test_a_firewall_that_does_not_save_at_once_is_refused_when_planning(rig_of, case, as_kept):
    rig = rig_of(case)
    cli = rig.device.login("operator")
    for line in ("config system global", "set cfg-save manual", "end"):
        cli.type(line)

    with pytest.raises(PlanRefusedError, match="cfg-save") as caught:
        rig.plan()
    as_kept(str(caught.value))


def test_unsaved_changes_of_others_are_refused_when_planning(rig_of, as_kept):
    rig = rig_of("cisco_xe-interface")
    cli = rig.device.login("operator")
    for line in ("configure terminal", "interface GigabitEthernet0/0/0", "ip mtu 1400", "end"):
        cli.type(line)

    with pytest.raises(
        PlanRefusedError, match="saved and the running configuration differ"
    ) as caught:
        rig.plan()
    as_kept(str(caught.value))


@pytest.mark.parametrize(
    ("case", "lines"),
    [
        ("cisco_xe-interface", ["configure terminal revert timer 10", "end"]),
        ("juniper_junos-device", ["configure", "commit confirmed 10", "exit"]),
    ],
)
def test_a_rollback_that_somebody_else_armed_is_left_alone(rig_of, case, lines, as_kept):
    rig = rig_of(case)
    plan = rig.plan()
    cli = rig.device.login("operator")
    for line in lines:
        cli.type(line)

    result = rig.run(plan)
    as_kept(rig.told(result, last=6))

    assert result.outcome == "refused"
    assert "somebody else's change" in result.reason
    assert rig.device.effective() == rig.effective
    assert rig.device.undo_is_ready


def test_somebody_elses_candidate_is_neither_committed_nor_dropped(rig_of, as_kept):
    rig = rig_of("juniper_junos-device")
    plan = rig.plan()
    cli = rig.device.login("operator")
    for line in ("configure", "set system domain-name example.net"):
        cli.type(line)
    candidate = list(rig.device.candidate)

    result = rig.run(plan)
    as_kept(rig.told(result, last=6))

    assert result.outcome == "refused"
    assert "configuration database modified" in result.reason
    assert rig.device.candidate == candidate
    assert rig.device.effective() == rig.effective


def test_drift_between_plan_and_apply_is_refused_with_the_drift(rig_of, as_kept):
    rig = rig_of("juniper_junos-device")
    plan = rig.plan()
    cli = rig.device.login("operator")
    for line in ("configure", "set security flow tcp-mss all-tcp mss 1300", "commit", "exit"):
        cli.type(line)
    now = rig.device.state()

    result = rig.run(plan)
    as_kept(rig.told(result, last=6))

    assert result.outcome == "refused"
    assert "+security flow tcp-mss all-tcp mss 1300" in "\n".join((result.reason, *result.detail))
    assert rig.device.state() == now


@pytest.mark.parametrize("case", ["cisco_xe-interface", "juniper_junos-device"])
def test_a_confirm_after_the_devices_own_undo_is_never_called_confirmed(rig_of, case):
    rig = rig_of(case)

    def late(command):
        # The device goes back between the last look and the confirming line.
        if command.command_id.endswith((".confirm", ".confirm.1")):
            rig.device.clock.advance(200)
        return ""

    rig.before = late

    assert rig.run(rig.plan()).outcome == "reverted"
    assert rig.device.state() == rig.original


def test_somebody_elses_confirm_is_for_a_person_to_judge(rig_of):
    rig = rig_of("cisco_xe-interface")

    def meddle(_):
        rig.device.confirm()
        return replace(virtual.GOOD, full_size_reply=False, summary="lost")

    rig.service = meddle

    assert rig.run(rig.plan()).outcome == "needs-human"


def somebody_types(rig, *lines):
    """Let another operator change the device."""
    cli = rig.device.login("operator")
    for line in lines:
        cli.type(line)
    rig.device.logout(cli)


def once_before(rig, wanted, action):
    """Do something right before one line is typed, once."""
    done = []

    def before(command):
        if command.command_id.endswith(wanted) and not done:
            done.append(command)
            action()
        return ""

    rig.before = before


OTHERS_LINES = (
    "configure",
    "set system domain-name example.net",
    "commit",
    "exit",
)


def test_another_change_while_saving_takes_ours_back_and_calls_a_person(rig_of, as_kept):
    rig = rig_of("edgeos-ipv6")
    plan = rig.plan()
    once_before(rig, ".persist.3", lambda: somebody_types(rig, *OTHERS_LINES))

    result = rig.run(plan)
    as_kept(rig.told(result, last=6))

    assert result.outcome == "needs-human"
    assert "taking it back failed" in result.reason
    assert "saved: neither the state before nor the planned one" in result.detail[0]
    state = rig.device.state()
    for side in ("running", "saved"):
        assert not any("mss-clamp6" in line for line in state[side]), side
        assert any("domain-name example.net" in line for line in state[side]), side


def test_a_section_that_is_neither_before_nor_after_is_looked_at_until_the_window_is_over(
    rig_of, as_kept
):
    rig = rig_of("cisco_xe-interface")
    plan = rig.plan()

    def meddle(_):
        rig.device.confirm()
        somebody_types(
            rig,
            "configure terminal",
            "interface GigabitEthernet0/0/1.20",
            "ip tcp adjust-mss 1300",
            "end",
        )
        return replace(virtual.GOOD, full_size_reply=False, summary="lost")

    rig.service = meddle
    begun_s = rig.device.clock.now_s()

    result = rig.run(plan)
    as_kept(rig.told(result, last=6))

    assert result.outcome == "needs-human"
    assert "its end could not be read: the guard did not settle in time" in result.reason
    assert any("mtughost resume" in line for line in result.detail)
    # The window and a minute, from the moment on at which it went wrong.
    assert 240 <= rig.device.clock.now_s() - begun_s < 300


def held_up(rig, wanted, seconds):
    """Let one line arrive so long after its login was lost."""
    done = []

    def before(command):
        if command.command_id.endswith(wanted) and not done:
            done.append(command)
            return f"late {seconds}"
        return ""

    rig.before = before


@pytest.mark.parametrize("seconds", [1, 28, 120])
@pytest.mark.parametrize(
    ("case", "line", "reboots"),
    [
        ("cisco_xe-interface", ".apply.3", 0),
        # Only the timer catches such a line, so it runs out although that costs a reboot.
        ("mikrotik_routeros-interface", ".apply.2", 1),
    ],
)
def test_a_line_that_was_held_up_on_the_way_is_undone_by_the_device_itself(
    rig_of, as_kept, case, line, reboots, seconds
):
    rig = rig_of(case)
    held_up(rig, line, seconds)

    result = rig.run(rig.plan())
    as_kept(rig.told(result, last=6))

    assert (result.outcome, rig.device.state()) == ("reverted", rig.original)
    assert rig.device.reboots == reboots
    rig.device.clock.advance(7200)
    assert rig.device.state() == rig.original


@pytest.mark.parametrize("seconds", [1, 5, 28])
def test_a_late_line_of_a_change_without_a_timer_is_taken_back_again(rig_of, seconds, as_kept):
    rig = rig_of("edgeos-ipv6")
    held_up(rig, ".apply.4", seconds)

    result = rig.run(rig.plan())
    as_kept(rig.told(result, last=6))
    rig.device.clock.advance(7200)

    assert result.outcome == "reverted"
    assert rig.device.state() == rig.original


@pytest.mark.parametrize("killed_again", [False, True])
def test_a_killed_tools_last_line_is_waited_for_by_resume_too(
    rig_of, as_kept, monkeypatch, killed_again
):
    rig = rig_of("cisco_xe-interface")
    plan = rig.plan()

    class DiedError(BaseException):
        pass

    def before(command):
        if command.command_id.endswith(".apply.3"):
            cli = rig.device.login("operator")
            for line in ("configure terminal", "interface GigabitEthernet0/0/1.20"):
                cli.type(line)
            rig.device.clock.call_later(20, lambda: cli.type(command.line))
            raise DiedError
        return ""

    rig.before = before
    with pytest.raises(DiedError):
        rig.run(plan)
    rig.before = lambda _: ""
    if killed_again:
        assert killed(monkeypatch, rig.resume, lambda event: event == "resumed")

    result = rig.resume()
    as_kept(rig.told(result, last=6))

    assert (result.outcome, rig.device.state()) == ("reverted", rig.original)
    rig.device.clock.advance(7200)
    assert rig.device.state() == rig.original


@pytest.mark.parametrize("case", CASES)
def test_a_confirmed_change_is_rolled_back_by_a_plan_of_its_own(rig_of, case, tmp_path):
    rig = rig_of(case)
    plan = rig.plan()
    assert rig.run(plan).outcome == "confirmed"
    rig.directory = tmp_path / "second"
    rig.directory.mkdir()

    back = rig.plan(choice=rollback_choice(plan.devices[0]))

    assert back.devices[0].post.lines == plan.devices[0].pre.lines
    assert rig.run(back).outcome == "confirmed"
    assert rig.device.effective() == rig.effective


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
        plan = rig.plan()
        if killed(monkeypatch, lambda rig=rig, plan=plan: rig.run(plan), event.__eq__):
            reached.add(event)
            assert end_of(rig) in ({"confirmed"} if event in FORTH else {"reverted", "refused"})

    assert reached >= {"arm-intent", "applied", "verified", *FORTH}


@pytest.mark.nightly(basis="emulation")
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_record_a_device_ends_exactly_before_or_after(
    people, tmp_path, case, monkeypatch
):
    outcomes = []
    for number in range(1, 60):
        directory = tmp_path / str(number)
        directory.mkdir()
        rig = virtual.VirtualRig(case, people, directory, choice_of, plan_header)
        plan = rig.plan()
        if not killed(monkeypatch, lambda rig=rig, plan=plan: rig.run(plan), at_record(number)):
            break
        outcomes.append(end_of(rig))

    assert len(outcomes) > 15
    assert {"ended before", "reverted", "confirmed"} <= set(outcomes)
