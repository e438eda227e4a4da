"""An audit that is interrupted or killed loses nothing, and goes on where it was.

Some devices of a real fleet wait at a gate in their shell, so that an audit can be stopped when it
is known who has finished, who is being read and who waits. The devices' own logs count the logins.
"""

from __future__ import annotations

import json
import re
import signal
import time
from contextlib import closing

import pytest

from mtughost.lab import SiteSpec
from mtughost.store import RunStore
from mtughost.wire.clock import SystemClock

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

GATE = """#!/bin/sh
: > /run/reached
while [ ! -e /run/go ]; do sleep 0.05; done
exec /bin/sh "$@"
"""
FINISHED = ("s001-ap1", "s001-gw1", "s002-ap1", "s002-gw1")
READING = ("s003-ap1", "s003-gw1", "s004-ap1", "s004-gw1")
WAITING = ("s005-ap1", "s005-gw1", "s006-ap1", "s006-gw1")
EVERYBODY = (*FINISHED, *READING, *WAITING)


def interrupted_story(labs, papers):
    """Ctrl-C, then the rest; kill -9, then the rest."""
    with labs(*[SiteSpec(scenario="plain")] * 6, settled=False) as operator:
        settings = operator.project / "mtughost.toml"
        settings.write_text(settings.read_text() + "[policy]\noverall = 4\n")
        for name in READING:
            operator.write(name, "/usr/local/bin/gate", GATE)
            operator.on(name, "sed -i '1s,/bin/sh$,/usr/local/bin/gate,' /etc/passwd")
        return {
            "ctrl-c": stopped_audit(operator, signal.SIGINT),
            "kill -9": stopped_audit(operator, signal.SIGKILL),
        }


STORIES = (interrupted_story,)


def stopped_audit(operator, number):
    """Stop an audit while four devices are being read; let the rest follow."""
    seen = {}
    before = logins(operator)
    for name in READING:
        operator.on(name, "rm -f /run/go /run/reached")
    with operator.typing("audit") as audit:
        run_id = audit.wait_for("run 20").split()[1]
        wait_at_gates(operator)
        audit.signal(number)
        for name in READING:
            operator.on(name, ": > /run/go")
        seen["stopped"] = audit.end()
    seen["run_id"] = run_id
    seen["kept"] = stored(operator, run_id)
    seen["report before"] = operator("report", "--run", run_id)
    seen["resumed"] = operator("audit", "--run", run_id, "--json", "-")
    seen["whole"] = stored(operator, run_id)
    seen["logins"] = {name: count - before[name] for name, count in logins(operator).items()}
    seen["once more"] = operator("audit", "--run", run_id, "--json", "-")
    seen["logins after"] = {name: n - before[name] for name, n in logins(operator).items()}
    seen["another selection"] = operator("audit", "--run", run_id, "--site", "s001")
    return seen


def wait_at_gates(operator):
    """Wait until every gated device is being read."""
    deadline_s = time.monotonic() + 60
    for name in READING:
        while not operator.on(name, "ls /run").split().count("reached"):
            assert time.monotonic() < deadline_s, f"the audit never came to {name}"
            time.sleep(0.05)


def logins(operator):
    return {name: operator.logins(name) for name in EVERYBODY}


def stored(operator, run_id):
    """Return how the store says that each device ended."""
    path = operator.project / "state" / "runs.sqlite"
    with closing(RunStore.open(path, clock=SystemClock())) as store:
        run = store.load_run(run_id)
    return {host.status.host: (host.status.status, len(host.answers)) for host in run.hosts}


@pytest.fixture
def ctrl_c(stories):
    return stories.interrupted["ctrl-c"]


@pytest.fixture
def killed(stories):
    return stories.interrupted["kill -9"]


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(ctrl_c):
    assert ctrl_c["stopped"].returncode == 130
    assert f"go on with: mtughost audit --run {ctrl_c['run_id']}" in ctrl_c["stopped"].stderr
    assert "interrupted; what had finished is kept" in ctrl_c["stopped"].stderr
    assert "Traceback" not in ctrl_c["stopped"].stderr


def test_after_ctrl_c_everybody_asked_is_accounted_for(ctrl_c):
    kept = {name: status for name, (status, _) in ctrl_c["kept"].items()}

    assert kept == dict.fromkeys((*FINISHED, *READING), "ok") | dict.fromkeys(WAITING, "skipped")
    assert all(count > 20 for status, count in ctrl_c["kept"].values() if status == "ok")


def test_going_on_after_ctrl_c_asks_only_who_was_skipped(ctrl_c):
    assert ctrl_c["resumed"].returncode == 11, ctrl_c["resumed"].stderr
    assert "reading: 4" in ctrl_c["resumed"].stderr
    assert ctrl_c["logins"] == dict.fromkeys(EVERYBODY, 1)


def test_kill_9_keeps_who_had_finished_and_nothing_half(killed):
    assert killed["stopped"].returncode == -signal.SIGKILL
    assert set(killed["kept"]) == set(FINISHED)
    assert all(status == "ok" and count > 20 for status, count in killed["kept"].values())


def test_going_on_after_kill_9_asks_nobody_twice_who_had_finished(killed):
    assert killed["resumed"].returncode == 11, killed["resumed"].stderr
    assert "reading: 8" in killed["resumed"].stderr
    expected = dict.fromkeys(EVERYBODY, 1) | dict.fromkeys(READING, 2)
    assert killed["logins"] == expected


@pytest.mark.parametrize("how", ["ctrl-c", "kill -9"])
def test_the_report_of_a_run_that_went_on_is_whole(stories, how):
    seen = stories.interrupted[how]
    document = json.loads(seen["resumed"].stdout)

    assert document["run_id"] == seen["run_id"]
    assert [host["host"] for host in document["hosts"]] == list(EVERYBODY)
    assert document["counts"]["hosts"] == {"asked": 12, "ok": 12, "failed": 0, "skipped": 0}
    assert {status for status, _ in seen["whole"].values()} == {"ok"}


@pytest.mark.parametrize("how", ["ctrl-c", "kill -9"])
def test_a_run_that_did_not_finish_has_no_report_and_says_what_to_do(stories, how):
    before = stories.interrupted[how]["report before"]

    assert before.returncode == 3
    assert re.search(r"has no report.*mtughost audit --run", before.stderr)


@pytest.mark.parametrize("how", ["ctrl-c", "kill -9"])
def test_a_finished_run_is_not_asked_again_and_another_selection_is_refused(stories, how):
    seen = stories.interrupted[how]

    assert seen["once more"].returncode == 11
    assert seen["logins after"] == seen["logins"]
    assert seen["another selection"].returncode == 2
    assert "asked for other devices" in seen["another selection"].stderr
