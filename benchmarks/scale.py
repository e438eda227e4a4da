"""Memory and cost of one audit by the size of the fleet; writes ``benchmarks/SCALE.md``.

``python benchmarks/scale.py [DEVICES...]`` (500 1000 5000 20000 when none). Starts one virtual
fleet of the largest size in processes of its own, then audits so many of its devices from a project
of their own, and samples the resident memory of the client and of all its worker processes. CPU is
the client's alone, with its workers. Exit code 1 when a device was not read.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mtughost.app.project import open_project
from mtughost.store import RunStore
from mtughost.wire.clock import SystemClock

HERE = Path(__file__).resolve().parent
SIZES = (500, 1000, 5000, 20000)
PROGRAM = [sys.executable, "-m", "mtughost"]
SAMPLE_S = 0.2
START_S = 1800.0
#: Devices that one process serves: each listener is an open file, of which it may have 20,000.
A_PROCESS = 10_000
#: Devices that make every worker load every platform once: what that costs is no device's.
WARM_UP = 40
#: What was promised: peak and first verdict at 1,000 devices, how far the cost of a device may
#: drift, and how much memory may still grow for each device in the second half of a run.
MOST_MB, MOST_FIRST_S, MOST_DRIFT, MOST_GROWTH_KB = 250.0, 2.0, 1.10, 2.0
#: Fleets from this size on show whether memory still grows; what fills once has filled by then.
LONG = 3000
#: A site whose verdict is on the terminal.
_RESULT = re.compile(r"^\ds\d+: ", re.MULTILINE)
_GOOD_ENDS = frozenset({0, 10, 11})
_BAR, _MOMENTS = 48, 12


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory at one moment.

    Attributes:
        parent_mb: The client's, all of it.
        workers_mb: What each worker has to itself: program files are one copy for all.
    """

    at_s: float
    parent_mb: float
    workers_mb: tuple[float, ...]

    @property
    def total_mb(self) -> float:
        """All processes together."""
        return self.parent_mb + sum(self.workers_mb)


@dataclass(slots=True)
class Audit:
    """One audit."""

    devices: int
    wall_s: float = 0.0
    cpu_s: float = 0.0
    first_s: float = 0.0
    read: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    @property
    def peak_mb(self) -> float:
        """Most at any moment."""
        return max(sample.total_mb for sample in self.samples)

    def growth_kb(self, part: str) -> float:
        """How much ``parent_mb`` or ``workers_mb`` grew for each device in the second half.

        That is the second half of the time in which there were workers.
        """
        read = [sample for sample in self.samples if len(sample.workers_mb) > 1]
        step = max(1, len(read) // 20)

        def about(middle: int) -> float:
            near = read[max(0, middle - step) : middle + step]
            values = [getattr(sample, part) for sample in near]
            whole = [value if isinstance(value, float) else sum(value) for value in values]
            return statistics.median(whole)

        grown_mb = about(len(read) - step - 1) - about(len(read) // 2)
        return grown_mb * 1024 / (self.devices / 2)


@contextmanager
def fleets(devices: int, work: Path, env: dict[str, str]) -> Iterator[list[Path]]:
    """Run so many virtual devices; yield the project of each process."""
    with ExitStack() as stack:
        started = []
        for number, first in enumerate(range(0, devices, A_PROCESS)):
            sites = min(A_PROCESS, devices - first) // 2
            argv = [*PROGRAM, "lab", "fleet", "--sites", str(sites), "--name", f"scale{number}"]
            log = work / f"fleet{number}.log"
            with log.open("w") as out:
                process = subprocess.Popen(argv, env=env, stdout=out, stderr=out)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            started.append((process, log))
        yield [project_of(process, log) for process, log in started]


def project_of(process: subprocess.Popen[bytes], log: Path) -> Path:
    """Wait until a fleet has started; return its project."""
    until_s = time.monotonic() + START_S
    while not (found := re.search(r"^project: +(\S+)", log.read_text(), re.MULTILINE)):
        if process.poll() is not None or time.monotonic() > until_s:
            raise SystemExit(f"the fleet did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.5)
    return Path(found[1])


def part_of(projects: Sequence[Path], devices: int, where: Path) -> Path:
    """Make one project of several fleets', with its first devices only; names do not collide."""
    shutil.copytree(projects[0], where, ignore=shutil.ignore_patterns("state"))
    inventory: dict[str, dict[str, Any]] = {}
    known: list[str] = []
    for number, project in enumerate(projects):
        keys = f"ssh{number}"
        shutil.copytree(project / "ssh", where / keys)
        text = (project / "inventory" / "hosts.yaml").read_text()
        hosts = yaml.load(text, Loader=yaml.CSafeLoader)
        for name, host in list(hosts.items())[: devices - len(inventory)]:
            host["data"] |= {"site": f"{number}{host['data']['site']}"}
            host["data"] |= {"key_file": f"../{keys}/operator"}
            if "password" in host:
                host["password"] = f"file:../{keys}/password"
            inventory[f"{number}{name}"] = host
        lines = (project / "known_hosts").read_text().splitlines(keepends=True)
        known += [f"{number}{line}" for line in lines]
    (where / "inventory" / "hosts.yaml").write_text(
        yaml.dump(inventory, Dumper=yaml.CSafeDumper, sort_keys=False)
    )
    mine = [line for line in known if line.split(" ", 1)[0] in inventory]
    (where / "known_hosts").write_text("".join(mine))
    return where


def audit(devices: int, project: Path, work: Path, env: dict[str, str]) -> Audit:
    """Audit a project's devices and watch the memory."""
    found = Audit(devices)
    out, log = work / f"{devices}.out", work / f"{devices}.log"
    argv = [*PROGRAM, "--project", str(project), "audit"]
    began_s = time.monotonic()
    with out.open("w") as stdout, log.open("w") as stderr:
        process = subprocess.Popen(argv, env=env, stdout=stdout, stderr=stderr)
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            at_s = time.monotonic() - began_s
            workers = tuple(memory_mb(worker, own=True) for worker in descendants(process.pid))
            found.samples.append(Sample(at_s, memory_mb(process.pid), workers))
            if not found.first_s and _RESULT.search(log.read_text()):
                found.first_s = at_s
            time.sleep(SAMPLE_S)
    found.wall_s = time.monotonic() - began_s
    found.cpu_s = used.ru_utime + used.ru_stime
    process.returncode = os.waitstatus_to_exitcode(status)
    said = out.read_text()
    if process.returncode not in _GOOD_ENDS:
        raise SystemExit(f"the audit ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    counted = re.search(r"asked:\s+(\d+)\s+read", said)
    found.read = int(counted[1]) if counted else 0
    found.reasons = reasons_in(project)
    return found


def reasons_in(project: Path) -> dict[str, int]:
    """Return why devices were not read, with how many each, without names and numbers."""
    with closing(RunStore.open(open_project(project).store_path, clock=SystemClock())) as store:
        run = store.load_run(store.find_run("latest"), bodies=False)
    words = (re.sub(r"\S*\d\S*", "N", host.status.error) for host in run.hosts)
    return dict(Counter(reason for reason in words if reason).most_common(3))


def memory_mb(pid: int, *, own: bool = False) -> float:
    """Return the resident memory of a process, 0 where it has gone.

    Args:
        pid: Its number.
        own: Only what no other process has too.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    named = r"^Private_\w+:\s+(\d+)" if own else r"^Rss:\s+(\d+)"
    return sum(map(int, re.findall(named, text, re.MULTILINE))) / 1024


def descendants(pid: int) -> list[int]:
    """Return the children of a process and theirs: here what workers are forked from, and they."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [found for child in map(int, words) for found in (child, *descendants(child))]


def lines_of(audits: Sequence[Audit], start: Audit, busy: float) -> list[str]:
    """Return the document."""
    costs = [(item.cpu_s - start.cpu_s) / (item.devices - WARM_UP) * 1000 for item in audits]
    rows = [
        f"| {item.devices} | {item.wall_s:.0f} | {item.cpu_s:.1f} | {cost:.1f} | {item.first_s:.1f}"
        f" | {item.peak_mb:.0f} | {max(s.parent_mb for s in item.samples):.0f} |"
        f" {item.peak_mb * 1024 / item.devices:.0f} | {item.devices - item.read} |"
        for item, cost in zip(audits, costs, strict=True)
    ]
    targets = targets_of(audits, costs)
    words = f"""\
# One audit by the size of the fleet, measured

`python benchmarks/scale.py` wrote this ({dt.datetime.now(dt.UTC):%Y-%m-%d}). {os.cpu_count()} cores
({platform.machine()}), Python {platform.python_version()}. Load average when it began: {busy:.1f}.
Half of the devices are gateways of all vendors in turn, half are Linux access points (34 commands
each); the fleet is other processes on the same cores. Memory is resident memory of the client and
what its workers, and what they are forked from, have to themselves. CPU per device is the client's
and its workers', without the {start.cpu_s:.1f} s that an audit of the first {WARM_UP} costs:
starting, and every platform's book and parsers. "Verdict" is when the first one was printed.

| devices | wall s | CPU s | ms each | verdict, s | peak MB | parent, MB | kB each | not read |"""
    return [
        *words.split("\n"),
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "| what | target | measured | reached |",
        "|---|---|---|---|",
        *[
            f"| {what} | <= {most:g} | {value:.2f} | {'yes' if value <= most else 'NO'} |"
            for what, most, value in targets
        ],
        "",
        *textwrap.wrap(" ".join(remarks(audits, targets, busy)), 100, break_on_hyphens=False),
        "",
        "## Memory over time",
        *[line for item in audits for line in ("", *plot(item))],
    ]


def targets_of(audits: Sequence[Audit], costs: Sequence[float]) -> list[tuple[str, float, float]]:
    """Return what was promised and what was measured, as far as the sizes asked for tell."""
    found = [("cost of a device, largest over smallest", MOST_DRIFT, max(costs) / min(costs))]
    thousand = next((item for item in audits if item.devices == 1000), None)
    if thousand:
        found.insert(0, ("peak at 1,000 devices, MB", MOST_MB, thousand.peak_mb))
        found.insert(0, ("first verdict at 1,000 devices, s", MOST_FIRST_S, thousand.first_s))
    largest = audits[-1]
    if largest.devices >= LONG:
        for part, name in (("workers_mb", "the workers"), ("parent_mb", "the parent")):
            what = f"growth of {name} in the second half of {largest.devices}, kB a device"
            found.append((what, MOST_GROWTH_KB, largest.growth_kb(part)))
    return found


def remarks(
    audits: Sequence[Audit], targets: Sequence[tuple[str, float, float]], busy: float
) -> list[str]:
    """Say what was missed, and why as far as it is known."""
    missed = [what for what, most, value in targets if value > most]
    lines = ["Every target is reached."] if not missed else [f"Not reached: {'; '.join(missed)}."]
    if any(what.startswith("first verdict") for what in missed):
        lines.append(
            "Before the first verdict stand half a second of imports, the inventory (0.2 ms of CPU"
            " a device: it is checked whole before anything is sent), the task books, one login"
            " alone with each credential, and a site's two devices."
        )
    if any("the parent" in what for what in missed):
        lines.append(
            "The parent keeps each device of the inventory, its status and each site's packed"
            " report until the end: the account is for all of them."
        )
    for item in audits:
        lines += [
            f"Of {item.devices} devices {number} were not read: {reason}."
            for reason, number in item.reasons.items()
        ]
    if busy > (os.cpu_count() or 1) / 2:
        lines.append("The machine had other work: CPU is inflated by it, walls are rough.")
    return lines


def plot(item: Audit) -> list[str]:
    """Return memory over time as text: ``#`` the client, ``+`` its workers."""
    step = max(1, len(item.samples) // _MOMENTS)
    shown = item.samples[step - 1 :: step]
    scale = _BAR / max(MOST_MB, item.peak_mb)
    bars = []
    for sample in shown:
        parent = round(sample.parent_mb * scale)
        bar = "#" * parent + "+" * (round(sample.total_mb * scale) - parent)
        bars.append(f"{sample.at_s:7.1f} s {sample.total_mb:4.0f} MB {bar}")
    return [f"{item.devices} devices:", "", "```", *bars, "```"]


def main(argv: Sequence[str]) -> int:
    """Measure, write, compare with the targets."""
    sizes = sorted(int(word) for word in argv) or list(SIZES)
    busy = os.getloadavg()[0]
    work = Path(tempfile.mkdtemp(prefix="mtughost-scale-"))
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {
        "PYTHONPATH": str(HERE.parent),
        "PYTHONPYCACHEPREFIX": str(work / "pycache"),
        "XDG_STATE_HOME": str(work / "state"),
        "COLUMNS": "160",
    }
    try:
        with fleets(sizes[-1], work, env) as projects:
            place = two_workers(part_of(projects, WARM_UP, work / "start"))
            audit(WARM_UP, place, work, env)  # compiles the modules
            start = audit(WARM_UP, place, work, env)
            audits = []
            for size in sizes:
                found = audit(size, part_of(projects, size, work / f"p{size}"), work, env)
                say = f"{found.wall_s:.0f} s, {found.cpu_s:.1f} s CPU, {found.peak_mb:.0f} MB"
                print(f"{size}: {say}, {found.read} read", file=sys.stderr, flush=True)
                audits.append(found)
                shutil.rmtree(work / f"p{size}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    (HERE / "SCALE.md").write_text("\n".join(lines_of(audits, start, busy)) + "\n", "utf-8")
    missed = [item.devices for item in audits if item.read != item.devices]
    if missed:
        print(f"not all devices were read: {missed}", file=sys.stderr)
    return 1 if missed else 0


def two_workers(project: Path) -> Path:
    """Let even a small audit start the workers of a large one."""
    settings = project / "mtughost.toml"
    settings.write_text(f"{settings.read_text()}processes = {os.cpu_count()}\n")
    return project


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
