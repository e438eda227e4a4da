"""Labs come, stand side by side, and go without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtughost import lab
from mtughost.lab import LabSpec, state
from mtughost.lab.handle import inner_env
from mtughost.model.errors import LabError

pytestmark = pytest.mark.lab


def descendants(pid: int) -> set[int]:
    """Return all processes below ``pid``, itself included."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(text.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if state.start_ticks(pid) is not None}


def wait_gone(pids: set[int], timeout_s: float = 10.0) -> set[int]:
    deadline = time.monotonic() + timeout_s
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive(pids)


def namespaces(pids: set[int]) -> set[str]:
    found = set()
    for pid in pids:
        for kind in ("net", "mnt", "pid"):
            try:
                found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
            except (FileNotFoundError, PermissionError):
                continue
    return found


def everybody_in(wanted: set[str]) -> set[int]:
    """Return every process of the machine that is in one of these namespaces."""
    numbers = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    return {number for number in numbers if namespaces({number}) & wanted}


def test_two_labs_with_the_same_addresses_run_side_by_side(root):
    first = lab.up(LabSpec(name="a", sites=lab.flagship()), root=root)
    second = lab.up(LabSpec(name="b", sites=lab.flagship()), root=root)

    first.in_device("s001-ap1", ["sh", "-c", "echo first > /root/mark"], check=True)
    there = second.in_device("s001-ap1", ["cat", "/root/mark"])

    assert there.returncode != 0
    assert {status.name for status in lab.list_labs(root=root) if status.running} == {"a", "b"}
    lab.down("a", root=root)
    assert second.in_device("s001-gw1", ["hostname"]).stdout == "s001-gw1\n"


def test_nothing_is_left_when_the_holder_is_killed(root):
    mounts = Path("/proc/self/mountinfo").read_text()
    running = lab.up(LabSpec(name="k", sites=lab.flagship()), root=root)
    pid = running.record.pid
    everybody = descendants(pid)
    theirs = namespaces(everybody) - namespaces({os.getpid()})
    assert len(everybody) > 8
    assert len(theirs) > 6
    # Namespaces and their mounts live exactly as long as somebody is in them; the kernel hands
    # their numbers out again, so the proof is that only processes of the lab ever were.
    assert everybody_in(theirs) <= descendants(pid)

    os.kill(pid, signal.SIGKILL)

    assert wait_gone(everybody) == set()
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert [status.running for status in lab.list_labs(root=root)] == [False]
    with pytest.raises(LabError, match="not running"):
        lab.find("k", root=root)
    assert lab.down("k", root=root) is False
    assert list(root.iterdir()) == []


def test_down_leaves_no_file_of_ours_and_every_file_of_others(root):
    running = lab.up(LabSpec(name="f", sites=lab.scale(1)), root=root)
    report = running.project / "state" / "report.html"
    report.parent.mkdir()
    report.write_text("the operator's")

    lab.down("f", root=root)

    left = [path for path in root.rglob("*") if path.is_file()]
    assert left == [report]


def test_down_all_touches_only_what_is_recorded(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    mine = lab.up(LabSpec(name="mine", sites=lab.scale(1)), root=root)
    other = lab.up(LabSpec(name="other", sites=lab.scale(1)), root=elsewhere)
    try:
        assert lab.down_all(root=root) == ("mine",)

        assert not state.is_running(mine.record)
        assert state.is_running(other.record)
    finally:
        lab.down("other", root=elsewhere)


def test_a_recorded_number_that_now_belongs_to_another_program_is_not_killed(root):
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            record = state.Record(
                name="old",
                pid=bystander.pid,
                start_ticks=(state.start_ticks(bystander.pid) or 0) - 1,
                boot_id=state.boot_id(),
                mapped="root",
                created_utc="2026-01-01T00:00:00Z",
                project=str(root / "old" / "project"),
            )
            state.save(root, record)

            assert lab.down("old", root=root) is False

            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_name_is_taken_once(root):
    lab.up(LabSpec(name="n", sites=lab.scale(1)), root=root)

    with pytest.raises(LabError, match="running already"):
        lab.up(LabSpec(name="n", sites=lab.scale(1)), root=root)


def test_a_lab_that_cannot_be_built_leaves_nothing(root, monkeypatch):
    def broken(work):
        raise LabError("planted")

    monkeypatch.setattr("mtughost.lab.runtime.to_json", broken)
    seen = []
    monkeypatch.setattr(
        state,
        "save",
        lambda root, record, save=state.save: (seen.append(record.pid), save(root, record)),
    )

    with pytest.raises(LabError, match="planted"):
        lab.up(LabSpec(name="x", sites=lab.scale(1)), root=root)

    holders = {pid for pid in seen if pid is not None}
    assert len(holders) == 1
    assert wait_gone(holders) == set()
    assert list(root.iterdir()) == []


def test_a_killed_up_takes_its_half_built_lab_along(root):
    code = (
        "import os, signal, sys, pathlib\n"
        "from mtughost import lab\n"
        "def stop(text):\n"
        "    if 'network namespaces' in text: os.kill(os.getpid(), signal.SIGKILL)\n"
        "lab.up(lab.LabSpec(name='h', sites=lab.scale(6)), progress=stop,\n"
        "       root=pathlib.Path(sys.argv[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], env=inner_env(), capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    record = state.load(root, "h")

    assert record.pid is not None
    assert wait_gone({record.pid}) == set()
    assert [status.running for status in lab.list_labs(root=root)] == [False]


def test_a_command_in_the_lab_dies_with_it(root):
    running = lab.up(LabSpec(name="c", sites=lab.scale(1)), root=root)
    with subprocess.Popen(running.command(["sleep", "60"]), env=inner_env()) as inside:
        time.sleep(0.3)
        assert inside.poll() is None

        lab.down("c", root=root)

        assert inside.wait(timeout=10) != 0


def test_one_flagship_site_is_up_in_under_5_seconds_and_eight_in_under_15(root):
    start = time.monotonic()
    lab.up(LabSpec(name="one", sites=lab.flagship()), root=root)
    one_s = time.monotonic() - start
    start = time.monotonic()
    lab.up(LabSpec(name="eight", sites=lab.retail_chain()[:8]), root=root)
    eight_s = time.monotonic() - start

    assert one_s < 5
    assert eight_s < 15


def test_forty_eight_plain_devices_are_up_in_seconds(root):
    start = time.monotonic()
    running = lab.up(LabSpec(name="big", sites=lab.scale(24)), root=root)

    assert time.monotonic() - start < 15
    assert len(running.hosts) == 48
    assert running.in_device("s024-gw1", ["hostname"]).stdout == "s024-gw1\n"


def test_an_unknown_site_device_or_lab_is_named(root):
    running = lab.up(LabSpec(name="u", sites=lab.scale(1)), root=root)

    with pytest.raises(LabError, match="no site 's999'"):
        running.site("s999")
    with pytest.raises(LabError, match="no device 'nobody'"):
        running.in_device("nobody", ["true"])
    with pytest.raises(LabError, match="no lab 'v'"):
        lab.find("v", root=root)
