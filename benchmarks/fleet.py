"""How large and how fast the virtual fleet is; writes ``benchmarks/FLEET.md``.

``python benchmarks/fleet.py [DEVICES]``. One process serves the devices, another logs in: whole SSH
logins with a key (fresh key exchange, no multiplexing), a terminal, the first prompt, good-bye. The
two are pinned to a core each and run before other programs, where that is allowed: these would only
slow the clock down. The CPU of both per login says when the fleet would be the bottleneck of
somebody else's measurement. Then every platform's answers are parsed in process with a warm memo.
Exit code 1 when a target is missed.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import platform as machine
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from mtughost.app.fleets import virtual_fleet
from mtughost.collect.reads import facts_from_answers
from mtughost.content.book import Book
from mtughost.content.load import load_book
from mtughost.content.root import packaged_content
from mtughost.lab.fleet import FleetSpec, VirtualClock, make_sites
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.inventory import Credential, Device, Role
from mtughost.model.session import Answer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
DEVICES, LOGINS, AT_ONCE = 5000, 3000, 40
MOST_MB, LEAST_PER_S, MOST_PARSE_MS = 2000, 200, 3.0
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
_TICKS = os.sysconf("SC_CLK_TCK")


def serve(devices: int) -> int:
    """Be the process that serves: say when it is up, wait for the end of the input."""
    _pin(0)
    # Shells answer through a process of this machine each: another kind of cost.
    vendors = tuple(n for n in VENDORS if load_book(packaged_content(), n).driver != "exec")
    spec = FleetSpec(sites=devices, seed=1, vendors=vendors, with_aps=False)
    started = time.monotonic()
    with virtual_fleet(spec, name="bench") as running:
        print(
            json.dumps({"project": str(running.project), "up_s": time.monotonic() - started}),
            flush=True,
        )
        sys.stdin.read()
    return 0


def _pin(core: int) -> None:
    """Keep this process to one core, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core]})


@contextmanager
def first(*pids: int) -> Iterator[bool]:
    """Let all threads of processes run before everything else, where that is allowed."""
    tasks = [int(path.name) for pid in pids for path in Path(f"/proc/{pid}/task").iterdir()]
    usual = os.sched_param(0)
    try:
        for task in tasks:
            os.sched_setscheduler(task, os.SCHED_RR, os.sched_param(5))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        for task in tasks:
            with suppress(ProcessLookupError):
                os.sched_setscheduler(task, os.SCHED_OTHER, usual)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used: seconds of CPU, megabytes now."""

    cpu_s: float
    rss_mb: float


def usage(pid: int) -> Usage:
    """Read what a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE_KB / 1024)


async def login(address: str, port: int, options: asyncssh.SSHClientConnectionOptions) -> None:
    """Log in, wait for the first prompt, leave."""
    async with asyncssh.connect(address, port, options=options) as connection:
        process = await connection.create_process(term_type="vt100")
        await process.stdout.read(64)


async def logins(endpoints: list[tuple[str, int]], key: str, count: int) -> float:
    """Log in ``count`` times, some at once; return logins per second of wall time."""
    options = await asyncssh.SSHClientConnectionOptions.construct(
        username="audit",
        client_keys=[key],
        known_hosts=None,
        config=None,
        agent_path=None,
        kex_algs=["curve25519-sha256"],
        encryption_algs=["aes128-ctr"],
        mac_algs=["hmac-sha2-256"],
        compression_algs=None,
    )
    waiting = iter([endpoints[i % len(endpoints)] for i in range(count)])

    async def worker() -> None:
        for address, port in waiting:
            await login(address, port, options)

    started = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return count / (time.monotonic() - started)


def endpoints_of(project: Path) -> list[tuple[str, int]]:
    """Read where the devices listen."""
    import yaml  # noqa: PLC0415 - used here only

    text = (project / "inventory" / "hosts.yaml").read_text()
    hosts = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return [(entry["hostname"], entry["port"]) for entry in hosts.values()]


def measure_fleet(devices: int) -> dict[str, float]:
    """Start the serving process and log in to it."""
    with tempfile.TemporaryDirectory(prefix="mtughost-bench-") as state:
        server = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(devices)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": state},
        )
        mine = os.sched_getaffinity(0)
        try:
            assert server.stdout is not None
            up = json.loads(server.stdout.readline())
            project = Path(up["project"])
            _pin(1)
            found, key = endpoints_of(project), str(project / "ssh" / "operator")
            asyncio.run(logins(found, key, 200))
            with first(server.pid, os.getpid()) as alone:
                before, began = usage(server.pid), time.process_time()
                rate = asyncio.run(logins(found, key, LOGINS))
                after = usage(server.pid)
            cpu_ms = (after.cpu_s - before.cpu_s) / LOGINS * 1000
            return {
                "up_s": up["up_s"],
                "rss_mb": after.rss_mb,
                "rate": rate,
                "alone": float(alone),
                "server_ms": cpu_ms,
                "client_ms": (time.process_time() - began) / LOGINS * 1000,
            }
        finally:
            os.sched_setaffinity(0, mine)
            server.communicate(timeout=60)


def virtual_outputs(platform: str) -> list[list[Answer]]:
    """Return what the virtual gateways of eight stores answer to everything that is read."""
    from tests.lab.fleet.conftest import account, answers_of  # noqa: PLC0415 - used here only

    spec = FleetSpec(sites=8, seed=2, vendors=(platform,), with_aps=False)
    sites = make_sites(spec, clock=VirtualClock(), accounts=(account("full"),))
    return [answers_of(site.gateway) for site in sites]


def recorded_outputs(platform: str, book: Book) -> list[list[Answer]]:
    """Return the first recorded case of every parser, as one device's answers."""
    found = {}
    for specs in book.read.values():
        for spec in specs:
            folder = HERE.parent / "tests" / "fixtures" / "parsers" / platform / str(spec.parser)
            for raw in sorted(folder.glob("*.raw"))[:1]:
                name = str(spec.command)
                line = book.commands[name].run
                found[name] = Answer(command_id=name, line=line, text=raw.read_text())
    return [list(found.values())]


def parse_ms(platform: str) -> tuple[float, int, str]:
    """Return CPU milliseconds to parse one device's outputs (memo warm), their size and origin."""
    root = packaged_content()
    book = load_book(root, platform)
    is_virtual = platform in VENDORS
    outputs = virtual_outputs(platform) if is_virtual else recorded_outputs(platform, book)
    roles: tuple[Role, ...] = ("gateway",) if is_virtual else ("ap", "gateway")
    nobody = Credential(realm="", username="")
    devices = [
        Device(name="d", address="", site="s", role=role, platform=platform, credential=nobody)
        for role in roles
    ]
    costs = []
    for turn in range(16):
        for answers in outputs:
            with first(os.getpid()):
                began = time.thread_time()
                for device in devices:
                    facts_from_answers(answers, book, root, device)
                cost = time.thread_time() - began
            if turn:
                costs.append(cost * 1000 / len(devices))
    size = statistics.mean(sum(len(a.text) for a in answers) for answers in outputs)
    origin = "emulation, everything that is read" if is_virtual else "recorded cases of its parsers"
    return statistics.median(costs), int(size), origin


def _conditions(devices: int) -> str:
    return (
        f"`python benchmarks/fleet.py {devices}` wrote this ({dt.datetime.now(dt.UTC):%Y-%m-%d}). "
        f"{os.cpu_count()} cores ({machine.machine()}), Python {machine.python_version()}, "
        f"asyncssh {asyncssh.__version__}. Load average at the end: {os.getloadavg()[0]:.1f}."
    )


def _logins(devices: int, fleet: dict[str, float]) -> str:
    return (
        f"The {devices} devices were up after {fleet['up_s']:.0f} s. {LOGINS} whole logins, "
        f"{AT_ONCE} at once, ran at {fleet['rate']:.0f} a second of wall time, server and "
        f"client pinned to a core each{', before other programs' if fleet['alone'] else ''}; a "
        f"login cost the server {fleet['server_ms']:.1f} ms of CPU and the client (asyncssh) "
        f"{fleet['client_ms']:.1f}."
    )


def main(argv: list[str]) -> int:
    """Measure, write, compare with the targets."""
    if argv[:1] == ["--serve"]:
        return serve(int(argv[1]))
    devices = int(argv[0]) if argv else DEVICES
    fleet = measure_fleet(devices)
    parsing = {name: parse_ms(name) for name in packaged_content().platforms()}
    capacity = 1000 / fleet["server_ms"]
    worst = max(ms for ms, *_ in parsing.values())
    rows = [
        (f"{devices} devices in one process, MB", "<", MOST_MB, fleet["rss_mb"]),
        ("logins a second by its CPU per login", ">=", LEAST_PER_S, capacity),
        ("logins a second by the clock, a core for each side", ">=", LEAST_PER_S, fleet["rate"]),
        ("parsing one device's outputs, slowest platform, CPU ms", "<", MOST_PARSE_MS, worst),
    ]
    reached = [
        value >= target if sign == ">=" else value < target for _, sign, target, value in rows
    ]
    lines = [
        "# The virtual fleet, measured",
        "",
        _conditions(devices),
        "",
        "| what | target | measured | reached |",
        "|---|---|---|---|",
        *(
            f"| {what} | {sign} {target:g} | {value:.1f} | {'yes' if ok else 'NO'} |"
            for (what, sign, target, value), ok in zip(rows, reached, strict=True)
        ),
        "",
        _logins(devices, fleet),
        "",
        "| platform | CPU ms to parse one device's outputs, memo warm | bytes of output | output |",
        "|---|---|---|---|",
        *(f"| {name} | {ms:.2f} | {size} | {what} |" for name, (ms, size, what) in parsing.items()),
        "",
    ]
    (HERE / "FLEET.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
