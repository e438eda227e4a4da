"""RouterOS's guard: a job that removes itself and loads a backup, whatever happens meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.change.asking import must
from mtughost.model.errors import CommandRejectedError, PlanRefusedError
from tests.change.conftest import choice_of, load_beside, plan_header

virtual = load_beside("virtual")


@pytest.fixture
def rig(people, tmp_path):
    return virtual.VirtualRig(
        "mikrotik_routeros-interface", people, tmp_path, choice_of, plan_header
    )


def send(rig, *groups):
    session = rig.open_session("")
    for line in (line for group in groups for line in group):
        must(session, line)


def jobs(rig):
    return [job["name"] for job in rig.device.menus["system scheduler"]]


def test_the_backup_is_made_before_the_job_and_never_holds_one(rig):
    planned = rig.plan().devices[0]

    send(rig, planned.guard.arm, planned.guard.arm, planned.commands)
    assert jobs(rig) == ["mtughost-undo"]
    assert rig.device.backups["mtughost-undo"]["system scheduler"] == []
    rig.device.clock.advance(180)

    assert (rig.device.reboots, jobs(rig)) == (1, [])
    assert rig.device.state() == rig.original
    # It does not come back with the backup and reboot again.
    rig.device.clock.advance(7200)
    assert rig.device.reboots == 1


def test_a_reboot_in_the_window_does_not_lose_the_undo(rig):
    planned = rig.plan().devices[0]
    send(rig, planned.guard.arm, planned.commands)

    rig.device.clock.advance(60)
    rig.device.reboot()
    assert rig.device.effective() != rig.effective
    rig.device.clock.advance(400)

    assert rig.device.state() == rig.original


def test_a_confirmed_change_leaves_neither_job_nor_backup(rig):
    planned = rig.plan().devices[0]

    send(rig, planned.guard.arm, planned.commands, planned.guard.confirm, planned.guard.clean)

    assert jobs(rig) == []
    assert rig.device.menus["file"] == []
    rig.device.clock.advance(7200)
    assert rig.device.reboots == 0


def test_a_device_mode_that_forbids_the_scheduler_stops_before_any_change(rig, as_kept):
    planned = rig.plan().devices[0]
    rig.device.forbids_jobs = True

    with pytest.raises(CommandRejectedError, match="device-mode") as caught:
        send(rig, planned.guard.arm, planned.commands)
    as_kept(str(caught.value))
    assert rig.device.state() == rig.original


def test_version_6_is_refused_because_its_export_holds_passwords(people, tmp_path, as_kept):
    old = virtual.VirtualRig(
        "mikrotik_routeros-interface",
        people,
        tmp_path,
        choice_of,
        plan_header,
        version="6.49.10 (long-term)",
    )

    with pytest.raises(PlanRefusedError, match=r"7\.0") as caught:
        old.plan()
    as_kept(str(caught.value))


def test_a_change_that_does_not_help_is_taken_back_without_the_reboot_that_the_job_would_cost(rig):
    rig.service = lambda _: replace(virtual.GOOD, full_size_reply=False)

    result = rig.run(rig.plan())

    assert result.outcome == "reverted"
    assert (rig.device.state(), rig.device.reboots, jobs(rig)) == (rig.original, 0, [])
    rig.device.clock.advance(7200)
    assert (rig.device.state(), rig.device.reboots) == (rig.original, 0)


def test_a_job_is_not_ended_before_the_way_back_is_proven(rig):
    rig.service = lambda _: replace(virtual.GOOD, full_size_reply=False)
    rig.before = lambda c: "eof" if ".undo" in c.command_id else ""

    result = rig.run(rig.plan())

    assert result.outcome == "reverted"
    assert (rig.device.state(), rig.device.reboots, jobs(rig)) == (rig.original, 1, [])
