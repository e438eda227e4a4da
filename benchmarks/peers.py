"""mtughost beside its peers, in turns and in one run; writes ``benchmarks/PEERS.md``.

``python benchmarks/peers.py PEERS_PYTHON [DEVICES[@RTT_MS]...]`` (50 and 1,000, each with a round
trip of 50 ms and without one, and 5,000 with one, when none: three quarters of an hour). Virtual
routers with 43 kB of output each run in a process of their own; every contender reads the same
seven commands of all of them and parses the answers, through the relay of :mod:`delay` where there
is a round trip. Every answer of every contender is compared with the routers' own. Exit code 1 when
an answer of mtughost's was wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import yaml
from answers import digest_of
from peers_page import (
    ANSIBLE_MOST,
    DEFAULT,
    EAGER,
    FLOOR,
    OTHERS_MOST,
    PIPELINED,
    TRIED,
    TRIED_WITH,
    WORKERS,
    Cost,
    Part,
    document,
)
from scale import descendants, memory_mb

from mtughost.app.inventory import open_inventory
from mtughost.app.project import open_project
from mtughost.collect.reads import facts_from_answers
from mtughost.content.load import load_book
from mtughost.store import RunStore
from mtughost.wire.clock import SystemClock

HERE = Path(__file__).resolve().parent
RTT_MS = 50
#: Devices, and round trips in milliseconds.
ASKED = ((50, (RTT_MS, 0)), (1000, (RTT_MS, 0)), (5000, (RTT_MS,)))
#: Below the ports that the system gives to clients, also for thousands.
FIRST_PORT = 20000
SAMPLE_S = 0.1
CONTENT = ("tasks", "parsers", "templates", "runbooks")
GOOD_ENDS = frozenset({0, 10, 11})


class Bench:
    """One run."""

    def __init__(self, work: Path, python: str) -> None:
        self.work = work
        self.python = python
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {
            "PYTHONPYCACHEPREFIX": str(work / "pycache"),
            "XDG_STATE_HOME": str(work / "state"),
        }
        self.own_env = self.env | {"PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"}
        self.no_ansible = self._no_ansible()
        self.bad_ends: list[str] = []

    def _no_ansible(self) -> str:
        """Return why Ansible cannot take its turn, or nothing."""
        program = Path(self.python).with_name("ansible-doc")
        if not program.exists():
            return "Ansible did not install (`benchmarks/ansible.txt`)"
        env = self.env | {"HOME": str(self.work), "LC_ALL": "C.UTF-8"}
        argv = [str(program), "-t", "module", "-l", "cisco.ios"]
        said = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        if "cisco.ios.ios_command" in said.stdout:
            return ""
        last = (said.stderr.strip() or "it is not listed").splitlines()[-1]
        return f"Ansible has no cisco.ios.ios_command: {last}"

    @contextmanager
    def routers(self, number: int) -> Iterator[Path]:
        """Run so many routers; yield their project."""
        place = Path(tempfile.mkdtemp(prefix="routers", dir=self.work))
        argv = [sys.executable, str(HERE / "routers.py"), str(number), str(place)]
        with piped(argv, self.own_env):
            yield place

    @contextmanager
    def network(self, place: Path, rtt_ms: int) -> Iterator[tuple[Path, dict[str, int]]]:
        """Put a round trip before every router; yield the project there, and what is counted."""
        counted: dict[str, int] = {}
        if not rtt_ms:
            yield place, counted
            return
        far = self.work / f"{place.name}-{rtt_ms}"
        if not far.exists():
            shutil.copytree(place, far, ignore=shutil.ignore_patterns("state"))
        targets = json.loads((place / "targets.json").read_text("utf-8"))
        inventory_file = far / "inventory" / "hosts.yaml"
        inventory = yaml.load(inventory_file.read_text("utf-8"), Loader=yaml.CSafeLoader)
        ports = []
        for port, host in enumerate(targets["hosts"], FIRST_PORT):
            ports.append([port, host["address"], host["port"]])
            host |= {"address": "127.0.0.1", "port": port}
            inventory[host["name"]] |= {"hostname": "127.0.0.1", "port": port}
        (far / "targets.json").write_text(json.dumps(targets), "utf-8")
        inventory_file.write_text(yaml.dump(inventory, Dumper=yaml.CSafeDumper), "utf-8")
        argv = [sys.executable, str(HERE / "delay.py"), str(rtt_ms)]
        with piped(argv, self.own_env, json.dumps(ports) + "\n", counted):
            yield far, counted

    def audit(self, title: str, near: Path, rtt_ms: int, changes: dict[str, str]) -> Cost:
        """Measure mtughost with settings of its own."""
        with self.network(near, rtt_ms) as (place, counted):
            project = self.work / "project"
            shutil.rmtree(project, ignore_errors=True)
            shutil.copytree(place, project)
            settings = (project / "mtughost.toml").read_text("utf-8").split("[policy]")[0]
            policy = changes.get("policy", "")
            (project / "mtughost.toml").write_text(f"{settings}[policy]\n{policy}", "utf-8")
            if "book" in changes:
                for folder in CONTENT:
                    shutil.copytree(HERE.parent / folder, project / folder)
                book = project / "tasks" / "cisco_xe.yaml"
                text = book.read_text("utf-8")
                book.write_text(text.replace("pipeline: unproven", changes["book"]), "utf-8")
            argv = [sys.executable, "-m", "mtughost", "--project", str(project), "audit"]
            cost = self.spend(title, argv, self.own_env, place)
        opened = open_project(project)
        with closing(RunStore.open(opened.store_path, clock=SystemClock())) as store:
            run = store.load_run(store.find_run("latest"))
        said = {
            h.status.host: {a.command_id: digest_of(a.text) for a in h.answers} for h in run.hosts
        }
        return judged(cost, place, said, counted)

    def peer(self, mode: str, title: str, near: Path, rtt_ms: int, workers: int) -> Cost:
        """Measure a peer."""
        with self.network(near, rtt_ms) as (place, counted):
            out = self.work / "out.json"
            out.unlink(missing_ok=True)
            targets = str(place / "targets.json")
            script = [str(HERE / "peer.py"), mode]
            if mode == "ansible":
                script = [str(HERE / "ansible_peer.py")]
            argv = [self.python, *script, targets, str(workers), str(out)]
            cost = self.spend(f"{title}, {workers} at once", argv, self.env, place)
        return judged(cost, place, json.loads(out.read_text("utf-8")), counted)

    def spend(self, title: str, argv: list[str], env: dict[str, str], place: Path) -> Cost:
        """Run one process to its end and say what it and its children cost."""
        devices = len(json.loads((place / "targets.json").read_text("utf-8"))["hosts"])
        began_s, peak_mb = time.monotonic(), 0.0
        with (self.work / "log").open("w+") as log:
            process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
            while True:
                ended, status, used = os.wait4(process.pid, os.WNOHANG)
                if ended:
                    break
                own = sum(memory_mb(child, own=True) for child in descendants(process.pid))
                peak_mb = max(peak_mb, memory_mb(process.pid) + own)
                time.sleep(SAMPLE_S)
            wall_s = time.monotonic() - began_s
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode not in GOOD_ENDS:
                log.seek(0)
                raise BadEndError(f"{title} ended with {process.returncode}", log.read()[-2000:])
        cpu_s = used.ru_utime + used.ru_stime
        print(f"  {title}: {wall_s:.1f} s, {cpu_s / devices * 1000:.1f} ms", file=sys.stderr)
        return Cost(title, devices, wall_s, cpu_s, peak_mb)

    def compare(self, near: Path, rtt_ms: int, best: int) -> Iterator[Cost]:
        """Let all contenders take their turn on one network; rows compare with the first two."""
        eager = f"overall = {WORKERS}\nper_realm = {WORKERS}\n"
        proven = {"policy": eager, "book": "pipeline: proven"}
        own = "`mtughost audit`"
        yield self.peer("floor", FLOOR, near, rtt_ms, WORKERS)
        yield self.peer("nornir", "nornir + nornir_netmiko", near, rtt_ms, best)
        yield self.audit(f"{own}, {DEFAULT}", near, rtt_ms, {})
        yield self.audit(f"{own}, {EAGER.format(WORKERS)}", near, rtt_ms, {"policy": eager})
        yield self.audit(f"{own}, {PIPELINED.format(WORKERS)}", near, rtt_ms, proven)
        devices = len(json.loads((near / "targets.json").read_text("utf-8"))["hosts"])
        for mode, title, workers in self.others(devices, best):
            try:
                yield self.peer(mode, title, near, rtt_ms, workers)
            except BadEndError as error:
                # A peer that cannot do it is a result, too; the others still take their turn.
                print(f"  {error}\n{error.log}", file=sys.stderr)
                self.bad_ends.append(
                    f"With {devices} routers at {rtt_ms} ms {error}: it has no row."
                )

    def others(self, devices: int, best: int) -> Iterator[tuple[str, str, int]]:
        """Yield who else takes a turn with so many routers: mode, title, workers."""
        if devices > OTHERS_MOST:
            return
        yield "asyncssh", "asyncssh", WORKERS
        yield "scrapli", "scrapli (ssh2) in threads", WORKERS
        yield "netmiko", "netmiko in threads", best
        if devices <= ANSIBLE_MOST and not self.no_ansible:
            yield "ansible", "Ansible network_cli (paramiko), no parsing", devices


class BadEndError(Exception):
    """A contender did not come to a good end.

    Attributes:
        log: The last of what it said.
    """

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


@contextmanager
def piped(
    argv: list[str], env: dict[str, str], first: str = "", counted: dict[str, int] | None = None
) -> Iterator[None]:
    """Run a helper until the block ends; what it says then goes into ``counted``."""
    process = subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(first)
        process.stdin.flush()
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"{argv[1]} did not start")
        yield
    finally:
        process.stdin.close()
        said = process.stdout.read()
        process.wait()
        if counted is not None and said:
            counted |= json.loads(said)


def judged(
    cost: Cost, place: Path, said: dict[str, dict[str, str]], counted: dict[str, int]
) -> Cost:
    """Compare a contender's answers with the routers' own."""
    for host in json.loads((place / "targets.json").read_text("utf-8"))["hosts"]:
        mine = said.get(host["name"], {})
        cost.wrong += sum(mine.get(name) != digest for name, digest in host["answers"].items())
    if counted:
        cost.turns = counted["turns"] / cost.devices
    return cost


def parse_ms(project: Path) -> float:
    """Return the CPU that parsing one router's stored answers takes, the memo warm."""
    opened = open_project(project)
    devices = open_inventory(opened).known
    with closing(RunStore.open(opened.store_path, clock=SystemClock())) as store:
        hosts = store.load_run(store.find_run("latest")).hosts
    book = load_book(opened.content, "cisco_xe")
    took = []
    for host in hosts * 2:
        began = time.thread_time()
        facts_from_answers(host.answers, book, opened.content, devices[host.status.host])
        took.append((time.thread_time() - began) * 1000)
    return statistics.median(took[len(hosts) :])


def wanted(word: str) -> tuple[int, tuple[int, ...]]:
    """Return what ``1000`` or ``1000@50`` asks for: devices, and round trips in milliseconds."""
    devices, _, rtt_ms = word.partition("@")
    return int(devices), (int(rtt_ms or RTT_MS),)


def keep(bench: Bench, parts: Sequence[Part], parse: float, busy: float) -> None:
    """Write down what was measured so far, as soon as it can be compared."""
    if parse:
        now = (busy, os.getloadavg()[0])
        lines = document(parts, parse, now, bench.no_ansible, bench.bad_ends)
        (HERE / "PEERS.md").write_text("\n".join(lines) + "\n", "utf-8")


def main(argv: Sequence[str]) -> int:
    """Measure everything, write the results."""
    python, asked = argv[0], [wanted(word) for word in argv[1:]] or ASKED
    busy = os.getloadavg()[0]
    work = Path(tempfile.mkdtemp(prefix="mtughost-peers-"))
    parts: list[Part] = []
    parse = 0.0
    try:
        bench = Bench(work, python)
        with ExitStack() as stack:
            trial = stack.enter_context(bench.routers(TRIED_WITH))
            bench.audit("warm-up, whose figures do not count", trial, RTT_MS, {})
            tried = {n: bench.peer("nornir", "trial", trial, RTT_MS, n) for n in TRIED}
        best = min(tried, key=lambda n: tried[n].wall_s)
        print(f"best number of workers: {best}", file=sys.stderr)
        for devices, rtts_ms in asked:
            with bench.routers(devices) as near:
                for rtt_ms in rtts_ms:
                    print(f"{devices} routers, {rtt_ms} ms", file=sys.stderr)
                    parts.append((devices, rtt_ms, []))
                    for cost in bench.compare(near, rtt_ms, best):
                        parts[-1][2].append(cost)
                        if "mtughost" in cost.title:
                            parse = parse or parse_ms(work / "project")
                        # After each: a run of an hour that is ended early was not for nothing.
                        keep(bench, parts, parse, busy)
                    keep(bench, parts, parse, busy)  # with what came to a bad end after the last
    finally:
        shutil.rmtree(work, ignore_errors=True)
    own = [c for _, _, costs in parts for c in costs if "mtughost" in c.title]
    return 1 if any(cost.wrong for cost in own) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
