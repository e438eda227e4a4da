"""Guarded repair: records a second, planning 500 sites, a night, resuming 200 devices.

``python benchmarks/change.py`` writes ``benchmarks/CHANGE.md``. The gateways are virtual and live
in the process (``mtughost/lab/fleet/shell_gateway.py``): what is measured is the tool, without SSH.
The last rows are measured over real SSH on loopback (``resume_ssh.py``). Exit code 1 when resuming
takes too long under the caps that a project has unless it says otherwise.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
RECORDS, SITES, OPEN = 2000, 500, 200
#: Logins at once: what a project allows unless it says otherwise, and more.
CAPS, MOST_S = (20, 60), 60.0


def load(path: Path, name: str) -> Any:
    """Load a module of the tests: the fleet on virtual time lives there."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Took:
    """How long something took."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        """Both, for the table."""
        return f"{self.wall_s:.1f} ({self.cpu_s:.1f} of CPU)"


def timed(action: Callable[[], Any]) -> tuple[Took, Any]:
    """Return how long an action took and what it gave."""
    started_s, cpu_s = time.perf_counter(), time.process_time()
    result = action()
    return Took(time.perf_counter() - started_s, time.process_time() - cpu_s), result


def journal_rate(worlds: Any, folder: Path) -> float:
    """Return fsynced records a second on this disk."""
    from mtughost.change.journal import Journal  # noqa: PLC0415

    with Journal.open(folder / "rate" / "journal.mtj", worlds.Time()) as journal:
        pen = journal.run("run-1", "sha256:0", worlds.WRITER)
        pen.write("run-open")
        took, _ = timed(
            lambda: [pen.write("armed", "s001-gw1", token="0" * 16, n=n) for n in range(RECORDS)]
        )
    return RECORDS / took.wall_s


def plan_sites(tests: Any, shop: Any, builder: Any) -> Any:
    """Choose a fix for each site by the proof, read its gateway, render, and build the plan."""
    from dataclasses import replace  # noqa: PLC0415

    from mtughost.model.findings import Finding, FixHint, SiteReport  # noqa: PLC0415
    from mtughost.remedy.choose import choose_fix  # noqa: PLC0415

    evidence = shop.make(shop.rules(tests))
    finding = Finding(
        id="clamp-scope",
        grade="confirmed",
        owner="gateway",
        summary="it matches another VLAN",
        fix=FixHint(change="clamp-scope", summary="widen it", host="gw1"),
    )
    devices = []
    for number in range(SITES):
        report = SiteReport(site=f"s{number:03}", verdict="fault", flows=(), findings=(finding,))
        choice = choose_fix(report, evidence)
        devices.append(builder.device(replace(choice, device=report.site), f"s{number:03}-gw1"))
    return builder.plan(devices)


def open_fleet(worlds: Any, plan: Any, folder: Path) -> Any:
    """Leave devices open as a tool does that was killed in the middle of each."""
    from mtughost.change.apply import keep_plan  # noqa: PLC0415
    from mtughost.change.course import Course  # noqa: PLC0415
    from mtughost.change.device_run import DeviceRun  # noqa: PLC0415
    from mtughost.model.plans import content_digest, plan_bytes  # noqa: PLC0415

    fleet = worlds.world_of(folder / "resume", plan)
    keep_plan(fleet.directory, plan_bytes(plan))

    def die(_: object) -> None:
        raise worlds.Killed

    fleet.service_hook = die
    with fleet.journal() as journal:
        pen = journal.run("run-1", content_digest(plan), worlds.WRITER)
        pen.write("run-open")
        for device in plan.devices:
            try:
                DeviceRun(Course(plan, device, pen, fleet.tools)).run()
            except worlds.Killed:
                continue
    fleet.journal_options = {}
    return fleet


def main() -> int:
    """Measure and write the table; return the exit code."""
    from mtughost.content.load import load_book  # noqa: PLC0415
    from mtughost.content.root import ContentRoot  # noqa: PLC0415

    tests = load(HERE.parent / "tests/change/conftest.py", "mtughost_bench_change")
    shops = load(HERE.parent / "tests/remedy/conftest.py", "mtughost_bench_shop")
    root = ContentRoot(HERE.parent)
    builder = tests.worlds.Builder(SimpleNamespace(root=root, book=load_book(root, "linux")))
    out = 'iifname "vlan30" oifname "wan0" tcp flags syn counter tcp option maxseg size set rt mtu'
    back = 'iifname "wan0" oifname "vlan30" tcp flags syn counter tcp option maxseg size set rt mtu'
    shop = SimpleNamespace(rules=lambda _: shops.nft_ruleset(out, back), make=shops.make_shop)
    with tempfile.TemporaryDirectory(prefix="mtughost-bench-") as name:
        folder = Path(name)
        rate = journal_rate(tests.worlds, folder)
        plan_s, plan = timed(lambda: plan_sites(tests, shop, builder))
        small = builder.plan(plan.devices[:OPEN])
        night = tests.worlds.world_of(folder / "night", small)
        night.journal_options = {}
        night_s, results = timed(night.run)
        fleet = open_fleet(tests.worlds, small, folder)
        resume_s, ended = timed(fleet.resume)
    assert len(plan.devices) == SITES
    assert {result.outcome for result in results} == {"confirmed"}
    assert {result.outcome for result in ended} == {"reverted"}
    assert len(ended) == OPEN
    over_ssh = load(HERE / "resume_ssh.py", "mtughost_bench_resume_ssh")
    planned_s, resumed = over_ssh.measure(OPEN, CAPS, tests)
    rows = [
        ("journal records a second, each fsynced", f"{rate:.0f}", "at least 200"),
        (f"planning {SITES} sites, s", str(plan_s), "under 30"),
        (f"a night over {OPEN} devices, s of the tool's own time", str(night_s), "none"),
        (f"resuming {OPEN} devices left open in the middle, s", str(resume_s), "under 60"),
        (f"reading and planning {OPEN} gateways over SSH, s", f"{planned_s:.1f}", "none"),
        *(
            (
                f"resuming {OPEN} gateways over SSH, {one.logins} logins at once, s",
                f"{one.wall_s:.1f} ({one.cpu_s:.0f} of CPU, {one.served_s:.0f} of the gateways')",
                f"under {MOST_S:.0f}",
            )
            for one in resumed
        ),
    ]
    busy = ", ".join(f"{value:.0f}" for value in os.getloadavg())
    machine = (
        f"- machine: {os.cpu_count()} cores, Linux {platform.release()}, Python "
        f"{platform.python_version()}; shared with other work (load {busy})"
    )
    lines = [
        "# Guarded repair: how fast the tool itself is",
        "",
        "Written by `python benchmarks/change.py`. The gateways are virtual and in the process: no",
        "SSH, no device and no waiting is in these figures; the journal and the backups are on a",
        "real disk, every record synced. A real night takes as long as its devices take.",
        "",
        "The rows that say so were measured over real SSH on loopback, virtual IOS-XE and Junos in",
        "a process of their own: all gateways changed and armed when the tool died, all taken back",
        "by their own state. Most of that time is silence that is waited for behind each line.",
        "",
        machine,
        "",
        "| what | measured | target |",
        "|--|--|--|",
        *(f"| {what} | {figure} | {target} |" for what, figure, target in rows),
    ]
    (HERE / "CHANGE.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines[12:]))
    return 0 if resumed[0].wall_s < MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
