"""Labs come and go thirty times, half of them by kill -9 of their holder: nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from mtughost import lab
from mtughost.app.labs import own_command
from mtughost.lab import LabSpec, SiteSpec, state
from mtughost.lab.handle import inner_env

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
pytestmark = [
    pytest.mark.lab,
    pytest.mark.nightly(basis="real program"),
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not FULL, reason="only in the full run"),
]

ROUNDS = 30
#: Labs that run at the same time.
AT_ONCE = 3
WITH_SERVICE = tuple(s.name for s in lab.SCENARIOS.values() if s.topology != "plain")


def everybody(holder: int) -> dict[int, int]:
    """Return number and start time of every process of a lab."""
    found, waiting = {}, [holder]
    while waiting:
        pid = waiting.pop()
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            waiting += [int(c) for t in tasks for c in (t / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks = state.start_ticks(pid)
        if ticks is not None:
            found[pid] = ticks
    return found


def namespaces(pids) -> set[str]:
    """Return the namespaces of these processes that are not ours."""
    found = set()
    for pid in pids:
        for kind in ("net", "mnt", "pid", "uts", "ipc"):
            try:
                name = str(Path(f"/proc/{pid}/ns/{kind}").readlink())
            except (FileNotFoundError, ProcessLookupError):
                continue
            if name != str(Path(f"/proc/self/ns/{kind}").readlink()):
                found.add(name)
    return found


def living(processes: dict[int, int]) -> dict[int, int]:
    return {pid: ticks for pid, ticks in processes.items() if state.start_ticks(pid) == ticks}


def left_of(processes: dict[int, int], timeout_s: float = 60.0) -> dict[int, int]:
    """Wait until these processes are gone; return those that are not."""
    until_s = time.monotonic() + timeout_s
    while living(processes) and time.monotonic() < until_s:
        time.sleep(0.05)
    return living(processes)


def mounts() -> Counter[str]:
    """Return the mounts of this process's view, without their numbers."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return Counter(" ".join(line.split()[3:]) for line in lines)


def sites_by(chance) -> tuple[SiteSpec, ...]:
    names = chance.choices(WITH_SERVICE, k=chance.choice((1, 1, 2, 4)))
    return tuple(
        SiteSpec(
            scenario=name,
            tls=chance.choice(("1.2", "1.3")),
            style=chance.choice(("nft", "iptables")),
        )
        for name in names
    )


def test_thirty_labs_half_of_them_killed_leave_no_process_namespace_mount_or_file(
    folder, chance, note
):
    env = inner_env({"XDG_STATE_HOME": str(folder)})
    root = state.labs_root(env)
    before = mounts()
    killed = set(chance.sample(range(ROUNDS), ROUNDS // 2))
    seen: dict[str, dict[int, int]] = {}
    theirs: set[str] = set()
    slowest_s = 0.0

    for number in range(ROUNDS):
        spec = LabSpec(
            name=f"round-{number}", sites=sites_by(chance), renumber=chance.randrange(1, 10**6)
        )
        start_s = time.monotonic()
        made = lab.up(spec, root=root)
        slowest_s = max(slowest_s, time.monotonic() - start_s)
        seen[made.name] = everybody(made.record.pid)
        assert len(seen[made.name]) > 4
        theirs |= namespaces(seen[made.name])
        if number in killed:
            # By the recorded number and start time, as `down` itself would.
            assert state.is_running(made.record)
            os.kill(made.record.pid, signal.SIGKILL)
        elif number < ROUNDS - AT_ONCE:
            lab.down(made.name, root=root)
    recorded = len(lab.list_labs(root=root))
    done = subprocess.run(
        [*own_command(), "lab", "down", "--all"],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    processes = {name: left_of(pids) for name, pids in seen.items() if left_of(pids)}
    files = [str(path) for path in folder.rglob("*") if not path.is_dir()]
    now = mounts()
    note("labs", f"{ROUNDS}, {len(killed)} with a killed holder")
    note("processes seen", sum(map(len, seen.values())))
    note("namespaces seen", len(theirs))
    note("recorded before down --all", recorded)
    note("left", f"{len(processes)} processes, {len(files)} files, {(now - before).total()} mounts")
    note("slowest up", f"{slowest_s:.1f} s")
    assert done.returncode == 0, done.stderr
    assert recorded >= len(killed)
    # A namespace lives as long as somebody is in it, or it is mounted: neither is the case.
    assert processes == {}
    assert now - before == Counter()
    assert files == []
    assert lab.list_labs(root=root) == ()
