"""kill -9 at every journal record, then resume: the device itself says where it stands."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtughost.change.resume import open_devices, resume, statuses
from mtughost.model.errors import PlanRefusedError, StoreError
from mtughost.remedy.transitions import TERMINAL

pytestmark = pytest.mark.lab
CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("killed_run.py")
#: Records of a run without trouble, in order; see test_apply.
RECORDS = 23


@pytest.fixture(scope="module")
def server():
    old_path = filter(None, [os.environ.get("PYTHONPATH")])
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *old_path])},
    )
    yield process
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
def killed_at(rig, server):
    def kill(plan, number, when="after") -> int:
        given = SimpleNamespace(input=rig.given(plan), host_key=rig.host_key)
        (rig.directory / "given.pickle").write_bytes(pickle.dumps(given))
        job = {
            "enter": rig.box.enter,
            "directory": str(rig.directory),
            "number": number,
            "when": when,
        }
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        return int(server.stdout.readline())

    return kill


def resumed(rig):
    with rig.journal() as journal:
        results = resume(journal=journal, writer=rig.writer, tools=rig.tools)
        return results, journal.records


def sample():
    full = os.environ.get("MTUGHOST_NIGHTLY") == "full"
    points = [(number, when) for number in range(RECORDS) for when in ("before", "after")]
    # "after" record n and "before" record n + 1 differ by what was sent between the two.
    return points if full else [(n, when) for n, when in points if n >= 7 or when == "after"]


@pytest.mark.parametrize(("number", "when"), sample())
def test_after_kill_9_the_device_ends_exactly_before_or_exactly_after(
    rig, killed_at, choices, number, when
):
    rig.box.run("nft -f /etc/nftables.conf")
    plan = rig.plan(choices["clamp-scope-nft"][0]())
    before = rig.box.snapshot()

    died = killed_at(plan, number, when)
    results, records = resumed(rig)
    after = rig.box.snapshot()

    assert died == -signal.SIGKILL
    assert open_devices(records) == ()
    running = '"vlan20"' in after["nft -s list ruleset"]
    if after == before:
        assert all(r.outcome in {"reverted", "refused"} for one in results for r in one.devices)
    else:
        assert running
        assert '"vlan20"' in rig.box.run("cat /etc/nftables.conf")
        ended = [s.state for s in statuses(records)]
        assert ended == ["confirmed"]
    assert resumed(rig)[0] == ()


def test_resume_twice_and_killed_in_between_still_ends(rig, killed_at, choices):
    rig.box.run("nft -f /etc/nftables.conf")
    plan = rig.plan(choices["clamp-scope-nft"][0]())
    before = rig.box.snapshot()
    killed_at(plan, 12)
    lost = []

    def lose_first_revert(command):
        if command.command_id == "detached-nft.revert" and not lost:
            lost.append(command)
            return "lost-answer"
        return ""

    rig.before = lose_first_revert

    results, records = resumed(rig)

    assert results[0].devices[0].outcome == "reverted"
    assert rig.box.snapshot() == before
    assert statuses(records)[0].state in TERMINAL


def test_resume_after_the_device_rebooted_finds_the_state_before(rig, killed_at, choices):
    rig.box.run("nft -f /etc/nftables.conf")
    plan = rig.plan(choices["clamp-scope-nft"][0]())
    before = rig.box.snapshot()
    killed_at(plan, 12)
    # A boot empties /run and loads the saved rules; nothing was saved.
    rig.box.run(
        "kill -9 -- -$(cat /run/mtughost/*/pid); rm -r /run/mtughost; nft -f /etc/nftables.conf"
    )

    results, _ = resumed(rig)

    assert results[0].devices[0].outcome == "reverted"
    assert rig.box.snapshot() == before


def test_resume_calls_a_person_where_the_device_is_neither_before_nor_after(
    rig, killed_at, choices
):
    rig.box.run("nft -f /etc/nftables.conf")
    plan = rig.plan(choices["clamp-scope-nft"][0]())
    killed_at(plan, 12)
    rig.box.run(
        "kill -9 -- -$(cat /run/mtughost/*/pid); rm -r /run/mtughost; "
        "nft add rule inet clamp forward tcp dport 9 drop"
    )

    results, records = resumed(rig)

    assert results[0].devices[0].outcome == "needs-human"
    assert results[0].exit_code == 7
    assert "dport 9" in "\n".join(results[0].devices[0].detail)
    assert open_devices(records) == ()


def test_a_new_run_is_refused_while_an_old_one_has_not_ended(rig, killed_at, choices):
    rig.box.run("nft -f /etc/nftables.conf")
    plan = rig.plan(choices["clamp-scope-nft"][0]())
    killed_at(plan, 12)

    with pytest.raises(PlanRefusedError, match="has not ended for s001-gw1"):
        rig.apply(plan, run_id="run-2")


def test_resume_refuses_another_plan_in_place_of_the_kept_one(rig, killed_at, choices):
    rig.box.run("nft -f /etc/nftables.conf")
    plan = rig.plan(choices["clamp-scope-nft"][0]())
    killed_at(plan, 12)
    kept = next((rig.directory / "plans").iterdir())
    kept.write_bytes(kept.read_bytes().replace(b"RADsec of s001 fails", b"RADsec of s001 fairs"))

    with pytest.raises(PlanRefusedError, match="not the plan of the interrupted run"):
        resumed(rig)


@dataclass
class Said:
    seq: int
    ev: str
    dev: str = "s001-gw1"
    run_id: str = "run-1"
    t_wall_utc: str = "2026-01-01T00:00:00Z"
    data: dict = field(default_factory=dict)


def test_a_journal_that_tells_an_impossible_story_is_refused():
    with pytest.raises(StoreError, match="must not follow"):
        statuses([Said(0, "apply-intent")])
