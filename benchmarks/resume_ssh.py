"""Resuming 200 gateways over real SSH on loopback: the part of ``change.py`` that needs devices.

One process serves virtual gateways (vendors' command lines with their own timers in real time),
another is the tool: it plans and changes all of them, dies before any is confirmed, and resumes.
Every login is a whole one: fresh key exchange, host key checked, a terminal. Both share this
machine's cores, so the server's CPU is measured too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtughost.app.applying import resume_runs
from mtughost.app.fleets import virtual_fleet
from mtughost.app.inventory import open_inventory
from mtughost.app.papers import journal_path
from mtughost.app.planning import prepare_devices
from mtughost.app.project import Project, open_project
from mtughost.app.sessions import SessionFactory
from mtughost.change.apply import keep_plan
from mtughost.change.course import Course
from mtughost.change.device_run import DeviceRun
from mtughost.change.journal import Journal
from mtughost.change.tools import Tools
from mtughost.lab.fleet import FleetSpec
from mtughost.model.plans import Plan, PlannedDevice, content_digest, plan_bytes
from mtughost.wire.clock import SystemClock

#: Two ways of arming: a timer behind ``configure terminal revert``, and ``commit confirmed``.
VENDORS = ("cisco_xe", "juniper_junos")
#: Long enough that no gateway goes back by itself before resume comes to it.
WINDOW_S = 1800
_TICKS = os.sysconf("SC_CLK_TCK")


class ToolDiedError(BaseException):
    """The tool's process ends here, as far as this device can tell."""


def serve(sites: int) -> int:
    """Be the process that serves; answer each line of input with how all gateways stand."""
    spec = FleetSpec(
        sites=sites, seed=5, vendors=VENDORS, with_aps=False, stories=("till-vlan-only",)
    )
    with virtual_fleet(spec, name="bench-change") as running:
        before = [site.gateway.state() for site in running.sites]
        print(json.dumps({"project": str(running.project)}), flush=True)
        for _ in sys.stdin:
            states = [site.gateway.state() for site in running.sites]
            same = sum(now == then for now, then in zip(states, before, strict=True))
            armed = sum(site.gateway.undo_is_ready for site in running.sites)
            print(json.dumps({"before": same, "armed": armed}), flush=True)
    return 0


@dataclass(frozen=True)
class Server:
    """The serving process."""

    process: subprocess.Popen[str]
    project: Project

    def stand(self) -> dict[str, int]:
        """Return how many gateways are exactly as before, and how many hold an armed undo."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        found: dict[str, int] = json.loads(self.process.stdout.readline())
        return found

    def cpu_s(self) -> float:
        """Return the CPU time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def server(sites: int) -> Iterator[Server]:
    """Start the serving process, end it in the end."""
    with tempfile.TemporaryDirectory(prefix="mtughost-bench-") as state:
        process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(sites)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": state},
        )
        try:
            assert process.stdout is not None
            project = Path(json.loads(process.stdout.readline())["project"])
            yield Server(process, open_project(project, env=dict(os.environ)))
        finally:
            process.terminate()
            process.wait(30)


def with_caps(project: Project, logins: int) -> Project:
    """Return the project with another limit of logins at once."""
    policy = project.settings.policy.model_copy(update={"overall": logins, "per_realm": logins})
    settings = project.settings.model_copy(update={"policy": policy})
    return replace(project, settings=settings)


def choices_of(project: Project, virtual: Any, choice_of: Any) -> list[Any]:
    """Return a clamp for the access points' VLAN of every gateway."""
    cases = {"cisco_xe": "cisco_xe-interface", "juniper_junos": "juniper_junos-device"}
    made = []
    for name, device in open_inventory(project).known.items():
        edits = virtual.CASES[cases[device.platform]][2]()
        target = edits[0].settings[0].section
        made.append(replace(choice_of(edits, "clamp-missing", "config", target), device=name))
    return made


def leave_open(project: Project, plan: Plan, writer: Any, logins: int) -> None:
    """Change every device and die before anything is proven, as ``kill -9`` leaves them."""
    clock, inventory = SystemClock(), open_inventory(project)
    path = journal_path(project)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    keep_plan(path.parent, plan_bytes(plan))

    def die(_: object) -> Any:
        raise ToolDiedError

    with (
        closing(SessionFactory(project, inventory.known, clock=clock)) as factory,
        Journal.open(path, clock) as journal,
        ThreadPoolExecutor(logins) as pool,
    ):
        tools = Tools(
            open_session=factory.open_to_change,
            verify_service=die,
            host_keys=factory.fingerprints,
            clock=clock,
            backups=path.parent / "backups",
        )
        run_id = f"run-{journal.next_seq}"
        pen = journal.run(run_id, content_digest(plan), writer)
        pen.write("run-open")

        def one(device: Any) -> None:
            try:
                DeviceRun(Course(plan, device, pen, tools)).run()
            except ToolDiedError:
                return

        list(pool.map(one, plan.devices))


@dataclass(frozen=True)
class Resumed:
    """How long all gateways took under one cap, and what CPU that cost both sides."""

    logins: int
    wall_s: float
    cpu_s: float
    served_s: float


def measure(sites: int, caps: tuple[int, ...], tests: Any) -> tuple[float, list[Resumed]]:
    """Return how long planning took, and resuming under each cap."""
    virtual = tests.load_beside("virtual")
    found = []
    with server(sites) as running:
        project = with_caps(running.project, max(caps))
        started_s = time.monotonic()
        devices = prepare_devices(
            project,
            open_inventory(project),
            choices_of(project, virtual, tests.choice_of),
            window_s=WINDOW_S,
            clock=SystemClock(),
        )
        planning_s = time.monotonic() - started_s
        assert all(isinstance(one, PlannedDevice) for one in devices), devices
        plan = tests.worlds.build_plan(tests.worlds.header(), devices)
        for logins in caps:
            leave_open(project, plan, tests.worlds.WRITER, max(caps))
            stand = running.stand()
            assert stand == {"before": 0, "armed": sites}, stand
            served_s, cpu_s = running.cpu_s(), time.process_time()
            started_s = time.monotonic()
            (result,) = resume_runs(with_caps(running.project, logins))
            found.append(
                Resumed(
                    logins,
                    time.monotonic() - started_s,
                    time.process_time() - cpu_s,
                    running.cpu_s() - served_s,
                )
            )
            ended = Counter(device.outcome for device in result.devices)
            assert ended == {"reverted": sites}, ended
            assert running.stand() == {"before": sites, "armed": 0}, running.stand()
    return planning_s, found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        sys.exit(serve(int(sys.argv[2])))
