"""Speed and memory as ratios, side by side in one run; writes ``benchmarks/RESULTS.md``.

``python benchmarks/run.py [ROUNDS]``. Brings up a lab of 48 plain devices, lets the contenders of
:mod:`clients` and ``mtughost audit`` take turns, and compares every answer that cannot change by
itself with the device's own. Exit code 1 when a target is missed. Needs what a lab needs.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mtughost import lab
from mtughost.app.inventory import open_inventory
from mtughost.app.labs import lab_environment, own_command
from mtughost.app.project import open_project
from mtughost.lab import Lab, LabSpec
from mtughost.store import RunStore, StoredRun
from mtughost.wire.clock import SystemClock

HERE = Path(__file__).resolve().parent
ROUNDS = 7
SITES = 24
#: Answers that differ from one moment to the next.
VOLATILE = frozenset(
    {"uptime", "clock", "ip-counters", "tcp-sessions", "route-cache-v4", "route-cache-v6"}
)
GOOD_ENDS = frozenset({0, 10, 11})
_MARK = "=== mtughost benchmark ==="


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process cost, start-up included."""

    wall_s: float
    cpu_s: float
    rss_mb: float


@dataclass(slots=True)
class Contender:
    """One line of the table."""

    title: str
    argv: list[str]
    costs: list[Cost] = field(default_factory=list)
    wrong: int = 0
    checked: int = 0

    def median(self, name: str) -> float:
        """Return the median of one figure."""
        return statistics.median(getattr(cost, name) for cost in self.costs)


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the verdict."""

    what: str
    limit: float
    measured: float
    unit: str = ""

    @property
    def reached(self) -> bool:
        """Whether the figure keeps the limit."""
        return self.measured <= self.limit


class Bench:
    """One run of the benchmark, with its own scratch directory and labs."""

    def __init__(self, work: Path, rounds: int) -> None:
        self.work = work
        self.rounds = rounds
        # All with compiled modules, as installed programs have them; the first round warms up.
        self.env = {key: value for key, value in os.environ.items() if key not in _BYTECODE}
        self.env["PYTHONPYCACHEPREFIX"] = str(work / "pycache")
        self.env["PYTHONPATH"] = str(HERE.parent)

    @contextmanager
    def lab(self, sites: Sequence[Any]) -> Iterator[Lab]:
        """Bring up a lab for a while."""
        name = f"bench-{secrets.token_hex(3)}"
        try:
            yield lab.up(LabSpec(name=name, sites=tuple(sites)))
        finally:
            lab.down(name)

    def client(self, mode: str) -> list[str]:
        """Return the command line of one contender."""
        out = self.work / f"{mode}.json"
        return [
            sys.executable,
            str(HERE / "clients.py"),
            mode,
            str(self.work / "targets.json"),
            str(out),
        ]

    def spend(self, where: Lab | None, argv: list[str]) -> Cost:
        """Run one process, in a lab or here, and say what it cost."""
        env, command = self.env, argv
        if where is not None:
            env, command = lab_environment(where.project) | self.env, where.command(argv)
            env["MTUGHOST_PROJECT"] = str(where.project)
        began_s = time.monotonic()
        with (self.work / "log").open("wb") as log:
            process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in GOOD_ENDS:
            words = (self.work / "log").read_text("utf-8", "replace")[-2000:]
            raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}:\n{words}")
        return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

    def read_fleet(self) -> list[Contender]:
        """Let all contenders read 48 devices, in turns."""
        audit = [*own_command(), "audit", "--quiet"]
        contenders = [
            Contender("bare logins, paramiko", self.client("logins")),
            Contender("the same commands as one script, paramiko", self.client("scripts")),
            Contender("`mtughost audit`", audit),
            Contender("`mtughost audit` without canary and ramp", self.client("without-ramp")),
            Contender("nornir + nornir_netmiko, no parsing", self.client("plain-nornir")),
        ]
        with self.lab(lab.scale(SITES)) as fleet:
            self.spend(fleet, audit)
            first = _last_run(fleet)
            targets = _targets(fleet, first)
            (self.work / "targets.json").write_text(json.dumps(targets), "utf-8")
            truth = {host["name"]: _truth(fleet, host) for host in targets["hosts"]}
            for number in range(self.rounds + 1):
                for contender in contenders:
                    cost = self.spend(fleet, contender.argv)
                    if number:
                        contender.costs.append(cost)
                        self._check(fleet, contender, truth)
                _say(f"round {number} of {self.rounds}" if number else "warmed up")
        return contenders

    def _check(self, fleet: Lab, contender: Contender, truth: dict[str, dict[str, str]]) -> None:
        if "mtughost" in contender.title:
            run = _last_run(fleet)
            answers = {h.status.host: {a.command_id: a.text for a in h.answers} for h in run.hosts}
        elif "nornir" in contender.title:
            answers = json.loads((self.work / "plain-nornir.json").read_text("utf-8"))
        else:
            return
        for host, texts in truth.items():
            for command_id, text in texts.items():
                contender.checked += 1
                said = answers.get(host, {}).get(command_id, "")
                contender.wrong += said.split() != text.split()

    def labs_up(self, sites: Sequence[Any]) -> list[float]:
        """Bring a lab up until all of its devices have booted, three times."""
        took: list[float] = []
        for _ in range(3):
            began_s = time.monotonic()
            with self.lab(sites):
                took.append(time.monotonic() - began_s)
        return took

    def probes(self) -> list[float]:
        """Probe one service with bisect, three times."""
        took: list[float] = []
        with self.lab(lab.flagship()) as made:
            made.settle()
            targets = {"project": str(made.project)}
            (self.work / "targets.json").write_text(json.dumps(targets), "utf-8")
            for _ in range(3):
                self.spend(made, self.client("probe"))
                found = json.loads((self.work / "probe.json").read_text("utf-8"))
                assert not found["unavailable"], found
                took.append(found["took_s"])
        return took

    def helps(self) -> list[float]:
        """Start ``mtughost --help``."""
        argv = [*own_command(), "--help"]
        self.spend(None, argv)
        return [self.spend(None, argv).wall_s for _ in range(10)]


_BYTECODE = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONPATH"})


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _last_run(fleet: Lab) -> StoredRun:
    path = open_project(fleet.project).store_path
    with closing(RunStore.open(path, clock=SystemClock())) as store:
        run = store.load_run(store.find_run("latest"))
    bad = [host.status for host in run.hosts if host.status.status != "ok"]
    if bad:
        raise SystemExit(f"{len(bad)} devices were not read, such as: {bad[0]}")
    return run


def _targets(fleet: Lab, run: StoredRun) -> dict[str, Any]:
    """Return the devices, each with the commands that an audit sent to it."""
    devices = open_inventory(open_project(fleet.project)).known
    return {
        "project": str(fleet.project),
        "username": "root",
        "key_file": str(fleet.project / "ssh" / "operator"),
        "hosts": [
            {
                "name": host.status.host,
                "address": devices[host.status.host].address,
                "port": devices[host.status.host].port,
                "commands": [{"id": a.command_id, "line": a.line} for a in host.answers],
            }
            for host in run.hosts
        ],
    }


def _truth(fleet: Lab, host: dict[str, Any]) -> dict[str, str]:
    """Ask the device itself, without SSH; only what succeeds and does not change by itself."""
    asked = [command for command in host["commands"] if command["id"] not in VOLATILE]
    lines = ["export LC_ALL=C"]
    lines += [f"({command['line']}) 2>/dev/null </dev/null; echo '{_MARK}'$?" for command in asked]
    said = fleet.in_device(host["name"], ["sh"], text_in="\n".join(lines) + "\n").stdout
    truth: dict[str, str] = {}
    for command in asked:
        text, _, said = said.partition(_MARK)
        code, _, said = said.partition("\n")
        if code == "0":
            truth[command["id"]] = text
    return truth


def _spread(values: Sequence[float], digits: int = 2) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:.{digits}f} / {middle:.{digits}f} / {high:.{digits}f}"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _machine() -> str:
    names = ("paramiko", "netmiko", "nornir", "nornir-netmiko")
    parts = [f"{name} {version(name)}" for name in names]
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), Linux {platform.release()}, "
        f"Python {platform.python_version()}, {', '.join(parts)}. "
        "The devices run on the same cores."
    )


def _fleet_table(contenders: Sequence[Contender]) -> list[str]:
    rows = [
        _row(
            [
                "contender",
                "wall s",
                "client CPU s",
                "peak MB",
                "wall / bare logins",
                "answers wrong / checked",
            ]
        ),
        "|---|---|---|---|---|---|",
    ]
    bare = contenders[0]
    for item in contenders:
        wall, cpu = ([getattr(c, name) for c in item.costs] for name in ("wall_s", "cpu_s"))
        rss = max(cost.rss_mb for cost in item.costs)
        ratio = item.median("wall_s") / bare.median("wall_s")
        checked = f"{item.wrong} / {item.checked}" if item.checked else "-"
        rows.append(
            _row([item.title, _spread(wall), _spread(cpu), f"{rss:.0f}", f"{ratio:.2f}", checked])
        )
    return rows


def _why(bare: Contender, script: Contender, audit: Contender) -> list[str]:
    floor = script.median("wall_s") / bare.median("wall_s")
    above = audit.median("wall_s") / script.median("wall_s")
    return [
        "In a lab the devices' own programs run on the cores of the client. The same commands as",
        f"one script by bare paramiko, parsing and keeping nothing, take {floor:.2f} times the",
        "wall time of bare logins: no reader can be below that here. The audit takes",
        f"{above:.2f} times that.",
    ]


def _write(path: Path, lines: Sequence[str]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n", "utf-8")
    fresh.replace(path)


def main(argv: Sequence[str]) -> int:
    """Measure everything, write the results, print the verdict."""
    rounds = int(argv[0]) if argv else ROUNDS
    busy = os.getloadavg()[0]
    work = Path(tempfile.mkdtemp(prefix="mtughost-bench-"))
    try:
        bench = Bench(work, rounds)
        contenders = bench.read_fleet()
        _say("labs, probe, help")
        steps: dict[str, Callable[[], list[float]]] = {
            "one flagship site up": lambda: bench.labs_up(lab.flagship()),
            "eight sites up": lambda: bench.labs_up(lab.retail_chain()[:8]),
            "one service probe with bisect": bench.probes,
            "`mtughost --help`": bench.helps,
        }
        single = {}
        for what, measure in steps.items():
            single[what] = measure()
            _say(f"{what}: {_spread(single[what])} s")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    bare, script, audit, _, plain = contenders
    wall, cpu = audit.median("wall_s"), audit.median("cpu_s")
    middle = {what: statistics.median(values) for what, values in single.items()}
    flagship, eight, probe, usage = middle
    targets = [
        Target("audit of 48 devices, wall / bare logins", 1.5, wall / bare.median("wall_s")),
        Target("audit, client CPU / plain nornir", 0.5, cpu / plain.median("cpu_s")),
        Target("audit, peak memory", 200, max(c.rss_mb for c in audit.costs), "MB"),
        Target("audit, wrong answers", 0, audit.wrong),
        Target(flagship, 5, middle[flagship], "s"),
        Target(eight, 15, middle[eight], "s"),
        Target(probe, 10, middle[probe], "s"),
        Target(usage, 0.3, middle[usage], "s"),
    ]
    verdict = [_row(["what", "target", "measured", "reached"]), "|---|---|---|---|"]
    verdict += [
        _row(
            [t.what, f"<= {t.limit:g} {t.unit}", f"{t.measured:.2f}", "yes" if t.reached else "NO"]
        )
        for t in targets
    ]
    _write(
        HERE / "RESULTS.md",
        [
            "# Speed and memory, measured",
            "",
            f"`make bench` wrote this ({time.strftime('%Y-%m-%d', time.gmtime())}). {_machine()}",
            "Figures are minimum / median / maximum of whole processes with their start-up;",
            f"contenders took turns in {rounds} rounds after one to warm up; 20 logins at once.",
            f"Load average when it began: {busy:.1f}.",
            "",
            *verdict,
            "",
            f"## Reading {2 * SITES} devices",
            "",
            *_fleet_table(contenders),
            "",
            *_why(bare, script, audit),
            "",
            "## Single figures",
            "",
            *[f"- {what}: {_spread(values)} s" for what, values in single.items()],
        ],
    )
    print("\n".join(verdict))
    return 0 if all(target.reached for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
