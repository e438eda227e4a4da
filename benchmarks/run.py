"""Speed and memory as ratios, side by side in one run; writes ``benchmarks/RESULTS.md``.

``python benchmarks/run.py [ROUNDS]``. Brings up a lab of 48 plain devices, lets the contenders of
:mod:`clients` and ``mtughost audit`` take turns, on the lab's own network and through the relay of
:mod:`delay`, and compares every answer that cannot change by itself with the device's own. Exit
code 1 when a target is missed. Needs what a lab needs.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from results import (
    WHY,
    Contender,
    Cost,
    Reading,
    network_targets,
    reading_lines,
    single_targets,
    spread,
    verdict_lines,
)

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
#: Round trip that the relay adds, and its first listening port.
FAR_MS = 50
FAR_PORT = 30000
#: Answers that differ from one moment to the next.
VOLATILE = frozenset(
    {
        "uptime",
        "clock",
        "ip-counters",
        "tcp-sessions",
        "neighbours",
        "route-cache-v4",
        "route-cache-v6",
    }
)
GOOD_ENDS = frozenset({0, 10, 11})
_MARK = "=== mtughost benchmark ==="


@dataclass(frozen=True, slots=True)
class Place:
    """Devices as the contenders find them: their addresses in a project, and what they answer."""

    title: str
    inside: Lab
    project: Path
    targets: Path
    truth: dict[str, dict[str, str]]


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

    def client(self, mode: str, targets: Path) -> list[str]:
        """Return the command line of one contender."""
        out = self.work / f"{mode}.json"
        return [sys.executable, str(HERE / "clients.py"), mode, str(targets), str(out)]

    def spend(self, where: Lab | None, argv: list[str], project: Path | None = None) -> Cost:
        """Run one process, in a lab or here, and say what it cost."""
        env, command = self.env, argv
        if where is not None:
            inside = lab_environment(project or where.project)
            # The caller's own bytecode settings must not come back by this way.
            env = {k: v for k, v in inside.items() if k not in _BYTECODE} | self.env
            command = where.command(argv)
            env["MTUGHOST_PROJECT"] = str(project or where.project)
        began_s = time.monotonic()
        with (self.work / "log").open("wb") as log:
            process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            try:
                _, status, used = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                process.wait()
                raise
        wall_s = time.monotonic() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in GOOD_ENDS:
            words = (self.work / "log").read_text("utf-8", "replace")[-2000:]
            raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}:\n{words}")
        return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

    def read_fleet(self) -> list[Reading]:
        """Let all contenders read 48 devices, in turns, on both networks."""
        with self.lab(lab.scale(SITES)) as fleet:
            near = self._near(fleet)
            readings = [self._read(near)]
            with self._far(near) as far:
                readings.append(self._read(far))
        return readings

    def _near(self, fleet: Lab) -> Place:
        fleet.settle()  # or an answer may still change after it was compared
        self.spend(fleet, [*own_command(), "audit", "--quiet"])
        targets = _targets(fleet.project, _last_run(fleet.project))
        path = self.work / "near.json"
        path.write_text(json.dumps(targets), "utf-8")
        truth = {host["name"]: _truth(fleet, host) for host in targets["hosts"]}
        return Place("the lab's own network (loopback)", fleet, fleet.project, path, truth)

    @contextmanager
    def _far(self, near: Place) -> Iterator[Place]:
        """Put a round trip of :data:`FAR_MS` before every device."""
        project = self.work / "far"
        shutil.copytree(near.project, project, ignore=shutil.ignore_patterns("state"))
        targets = json.loads(near.targets.read_text("utf-8"))
        hosts_file = project / "inventory" / "hosts.yaml"
        inventory = yaml.safe_load(hosts_file.read_text("utf-8"))
        ports = []
        for port, host in enumerate(targets["hosts"], FAR_PORT):
            ports.append((port, host["address"], host["port"]))
            host |= {"address": "127.0.0.1", "port": port}
            inventory[host["name"]] |= {"hostname": "127.0.0.1", "port": port}
        hosts_file.write_text(yaml.safe_dump(inventory), "utf-8")
        path = self.work / "far.json"
        path.write_text(json.dumps(targets | {"project": str(project)}), "utf-8")
        argv = [sys.executable, str(HERE / "delay.py"), str(FAR_MS)]
        with subprocess.Popen(
            near.inside.command(argv),
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as relay:
            assert relay.stdin is not None
            assert relay.stdout is not None
            relay.stdin.write(json.dumps(ports) + "\n")
            relay.stdin.flush()
            if relay.stdout.readline() != "ready\n":
                raise SystemExit("the relay did not start")
            try:
                title = f"a round trip of {FAR_MS} ms"
                yield Place(title, near.inside, project, path, near.truth)
            finally:
                relay.stdin.close()  # that ends it

    def _read(self, place: Place) -> Reading:
        contenders = [
            Contender("bare logins, paramiko", self.client("logins", place.targets)),
            Contender(
                "the same commands as one script, paramiko", self.client("scripts", place.targets)
            ),
            Contender("`mtughost audit`", [*own_command(), "audit", "--quiet"]),
            Contender(
                "`mtughost audit` without canary and ramp",
                self.client("without-ramp", place.targets),
            ),
            Contender(
                "nornir + nornir_netmiko, no parsing", self.client("plain-nornir", place.targets)
            ),
        ]
        for number in range(self.rounds + 1):
            for contender in contenders:
                cost = self.spend(place.inside, contender.argv, place.project)
                if number:
                    contender.costs.append(cost)
                    self._check(place, contender)
            _say(f"{place.title}: round {number} of {self.rounds}")
        return Reading(place.title, contenders)

    def _check(self, place: Place, contender: Contender) -> None:
        if "mtughost" in contender.title:
            run = _last_run(place.project)
            answers = {h.status.host: {a.command_id: a.text for a in h.answers} for h in run.hosts}
        elif "nornir" in contender.title:
            answers = json.loads((self.work / "plain-nornir.json").read_text("utf-8"))
        else:
            return
        for host, texts in place.truth.items():
            for command_id, text in texts.items():
                contender.checked += 1
                said = answers.get(host, {}).get(command_id, "")
                if said.split() != text.split():
                    contender.wrong += 1
                    _say(f"{contender.title}: another answer of {host} to {command_id}")

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
            targets = self.work / "probe-targets.json"
            targets.write_text(json.dumps({"project": str(made.project)}), "utf-8")
            for _ in range(3):
                self.spend(made, self.client("probe", targets))
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


def _last_run(project: Path) -> StoredRun:
    path = open_project(project).store_path
    with closing(RunStore.open(path, clock=SystemClock())) as store:
        run = store.load_run(store.find_run("latest"))
    bad = [host.status for host in run.hosts if host.status.status != "ok"]
    if bad:
        raise SystemExit(f"{len(bad)} devices were not read, such as: {bad[0]}")
    return run


def _targets(project: Path, run: StoredRun) -> dict[str, Any]:
    """Return the devices, each with the commands that an audit sent to it."""
    devices = open_inventory(open_project(project)).known
    return {
        "project": str(project),
        "username": "root",
        "key_file": str(project / "ssh" / "operator"),
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


def _machine() -> str:
    names = ("paramiko", "netmiko", "nornir", "nornir-netmiko")
    parts = [f"{name} {version(name)}" for name in names]
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), Linux {platform.release()}, "
        f"Python {platform.python_version()}, {', '.join(parts)}. "
        "The devices run on the same cores."
    )


def _write(path: Path, lines: Sequence[str]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n", "utf-8")
    fresh.replace(path)


def main(argv: Sequence[str]) -> int:
    """Measure everything, write the results, print the verdict."""
    rounds = int(argv[0]) if argv else ROUNDS
    # As Ctrl-C does: so that the lab is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    busy = os.getloadavg()[0]
    work = Path(tempfile.mkdtemp(prefix="mtughost-bench-"))
    try:
        bench = Bench(work, rounds)
        readings = bench.read_fleet()
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
            _say(f"{what}: {spread(single[what])} s")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    targets = [target for reading in readings for target in network_targets(reading)]
    targets += single_targets(single)
    verdict = verdict_lines(targets)
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
            WHY,
            *[line for reading in readings for line in ("", *reading_lines(reading))],
            "",
            "## Single figures",
            "",
            *[f"- {what}: {spread(values)} s" for what, values in single.items()],
        ],
    )
    print("\n".join(verdict))
    return 0 if all(target.reached for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
