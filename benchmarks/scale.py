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
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
SIZES = (500, 1000, 5000, 20000)
PROGRAM = [sys.executable, "-m", "mtughost"]
SAMPLE_S = 0.2
START_S = 1800.0
#: Devices that one process serves: each listener is an open file, of which it may have 20,000.
A_PROCESS = 10_000
#: Devices that make every worker load every platform once: what that costs is no device's.
WARM_UP = 40
#: What was promised: peak at 1,000 devices, and how far the cost of a device may drift.
MOST_MB, MOST_DRIFT = 250.0, 1.10
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
    samples: list[Sample] = field(default_factory=list)

    @property
    def peak_mb(self) -> float:
        """Most at any moment."""
        return max(sample.total_mb for sample in self.samples)


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
            workers = tuple(memory_mb(worker, own=True) for worker in children(process.pid))
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
    return found


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


def children(pid: int) -> list[int]:
    """Return the children of a process, its worker processes here."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def lines_of(audits: Sequence[Audit], start: Audit, busy: float) -> list[str]:
    """Return the document."""
    costs = [(item.cpu_s - start.cpu_s) / (item.devices - WARM_UP) * 1000 for item in audits]
    drift = max(costs) / min(costs) - 1
    thousand = next((item for item in audits if item.devices == 1000), None)
    rows = [
        f"| {item.devices} | {item.wall_s:.0f} | {item.cpu_s:.1f} | {cost:.1f} | {item.first_s:.1f}"
        f" | {item.peak_mb:.0f} | {max(s.parent_mb for s in item.samples):.0f} |"
        f" {item.peak_mb * 1024 / item.devices:.0f} |"
        for item, cost in zip(audits, costs, strict=True)
    ]
    verdict = [
        f"| cost of a device, largest over smallest | <= {MOST_DRIFT:.2f} | {drift + 1:.2f} |"
    ]
    if thousand:
        verdict.insert(
            0, f"| peak at 1,000 devices, MB | < {MOST_MB:.0f} | {thousand.peak_mb:.0f} |"
        )
    words = f"""\
# One audit by the size of the fleet, measured

`python benchmarks/scale.py` wrote this ({dt.datetime.now(dt.UTC):%Y-%m-%d}). {os.cpu_count()} cores
({platform.machine()}), Python {platform.python_version()}. Load average when it began: {busy:.1f}.
Half of the devices are gateways of all vendors in turn, half are Linux access points (34 commands
each); the fleet is other processes on the same cores. Memory is resident memory of the client and
what its workers have to themselves. CPU per device is the client's and its workers', without the
{start.cpu_s:.1f} s that an audit of the first {WARM_UP} costs: starting, and every
platform's book and parsers in every worker.

| devices | wall s | CPU s | ms each | first verdict, s | peak MB | parent, MB | kB each |"""
    return [
        *words.split("\n"),
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "| what | target | measured |",
        "|---|---|---|",
        *verdict,
        "",
        "## Memory over time",
        *[line for item in audits for line in ("", *plot(item))],
    ]


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
