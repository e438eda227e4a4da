"""kill -9 of the real ``mtughost apply`` at every journal record and at any instant, then resume.

The kernel of the device is the judge: afterwards its packet filter and what it would load at its
next boot are exactly as before or exactly as planned. What the tool had acknowledged is never lost.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import pytest

from mtughost import lab
from mtughost.app.labs import lab_environment, own_command
from mtughost.lab import Lab, LabSpec

pytestmark = [pytest.mark.lab, pytest.mark.nightly(basis="real program"), pytest.mark.timeout(3000)]

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
DYING = Path(__file__).with_name("dying.py")
SAVED = "/etc/nftables.conf"
#: One more than what is killed at once: the first site shows what an undisturbed run does.
SITES = 6 if FULL else 3
#: Generous: other long runs may share the machine.
COMMAND_S = 400.0


@dataclass(frozen=True)
class Kill:
    """When to kill ``apply``, and perhaps ``resume`` after it."""

    number: int = -1
    when: str = "after"
    after_s: float | None = None
    resume_at: int = -1

    def __str__(self):
        if self.after_s is not None:
            return f"{self.after_s:.2f} s after the first record of a device"
        again = f", resume after its record {self.resume_at}" if self.resume_at >= 0 else ""
        return f"{self.when} record {self.number}{again}"


@dataclass
class Ended:
    """What one kill led to; ``wrong`` is empty when all promises held."""

    kill: Kill
    at_kill: str = ""
    side: str = ""
    acknowledged: int = 0
    resume_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Store:
    """One site, with an operator's project of its own, so that several runs do not meet."""

    def __init__(self, running: Lab, label: str, folder: Path) -> None:
        self.lab = running
        self.site = running.site(label)
        self.project = Path(shutil.copytree(running.project, folder / label / "project"))
        self.plan = folder / label / "plan" / "plan.json"
        self.before = self.state()

    def command(self, *words: str) -> list[str]:
        return [*own_command(), *words]

    def run(self, argv, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        env = lab_environment(self.project)
        done = self.lab.exec(argv, env=env, timeout_s=COMMAND_S)
        assert code in {None, done.returncode}, f"{argv}: {done.returncode}\n{done.stderr}"
        return done

    def make_plan(self) -> None:
        words = ("plan", "--site", self.site.label, "--reason", "long run", "--out", str(self.plan))
        self.run(self.command(*words))

    def approve(self) -> None:
        key = str(self.project / "ssh" / "approver")
        self.run(self.command("approve", str(self.plan), "--key", key, "--yes"))

    def state(self) -> tuple[str, str]:
        """Return what filters packets now, and what would after a boot."""
        asks = (["nft", "-s", "list", "ruleset"], ["cat", SAVED])
        return tuple(self.lab.in_device(self.site.gateway, a, check=True).stdout for a in asks)

    def put_back(self) -> None:
        """Make the site as broken as it was, and its access point as disconnected."""
        write = ["sh", "-c", f"cat > {SAVED}"]
        self.lab.in_device(self.site.gateway, write, text_in=self.before[1], check=True)
        self.lab.reboot(self.site.gateway)
        self.lab.reboot(self.site.device)
        assert self.state() == self.before
        until_s = time.monotonic() + 60
        status = ["cat", "/run/cloud/status"]
        while "connected: no" not in self.lab.in_device(self.site.device, status).stdout:
            assert time.monotonic() < until_s, "the access point does not say that it fails"
            time.sleep(0.5)

    def journal(self) -> list[dict]:
        path = self.project / "state" / "change" / "journal.mtj"
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        return [json.loads(line.split(b" ", 1)[1]) for line in whole.splitlines()]

    def heads(self) -> list[tuple[int, str]]:
        return [(record["seq"], record["hash"]) for record in self.journal()]

    # -- one kill ------------------------------------------------------------------------------

    def live(self, kill: Kill, after: tuple[str, str]) -> Ended:
        """Approve, apply, die, resume; say what the device says."""
        ended = Ended(kill)
        self.approve()
        known = self.heads()
        look = lab.snapshot(self.lab, self.site.gateway)
        if kill.after_s is None:
            self.die_at(kill, ended, known)
        else:
            self.die_after(kill.after_s, ended, known)
        ended.at_kill = self.name_of(self.state(), after)
        kept = self.heads()
        if kept[: len(known)] != known:
            ended.wrong.append("older records were lost")
        self.resume(kill, ended, kept)
        ended.side = self.name_of(self.state(), after)
        if ended.side not in {"before", "after"}:
            ended.wrong.append(f"the device is neither as before nor as planned: {self.state()}")
        if ended.side == "before":
            ended.wrong += [
                line
                for line in look.differences(lab.snapshot(self.lab, self.site.gateway))
                # Killed between proof and tidying, resume leaves its papers until the next boot,
                # and the sleeper, which finds its token taken, until its window ends.
                if kill.resume_at < 0 or "run/mtughost/" not in line
            ]
        self.compare_words(ended, len(known))
        self.put_back()
        return ended

    def name_of(self, state, after) -> str:
        names = {
            self.before: "before",
            after: "after",
            (after[0], self.before[1]): "changed and not saved",
        }
        return names.get(state, "between two lines")

    def dying(self, number: int, when: str, *words: str):
        log = self.plan.with_name("acknowledged")
        log.unlink(missing_ok=True)
        argv = [sys.executable, str(DYING), str(number), when, str(log), *words]
        done = self.run(argv, code=None)
        lines = log.read_text().splitlines() if log.exists() else []
        return done, [(int(seq), digest) for seq, digest in map(str.split, lines)]

    def die_at(self, kill: Kill, ended: Ended, known) -> None:
        done, acknowledged = self.dying(kill.number, kill.when, "apply", str(self.plan))
        if not killed(done.returncode):
            ended.wrong.append(f"apply was not killed: {done.returncode} {done.stderr}")
        if len(acknowledged) != kill.number + (kill.when == "after"):
            ended.wrong.append(f"{len(acknowledged)} records were acknowledged")
        ended.acknowledged = len(acknowledged)
        if self.heads() != [*known, *acknowledged]:
            ended.wrong.append("the journal does not hold exactly what was acknowledged")

    def die_after(self, seconds: float, ended: Ended, known) -> None:
        """Kill the unmodified command from outside."""
        argv = self.lab.command(self.command("apply", str(self.plan)))
        env = lab_environment(self.project)
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        # Without a buffer: what it read ahead would be lost to `communicate`.
        with subprocess.Popen(argv, env=env, bufsize=0, **pipes) as process:
            # From when the run says that it begins with the device's wave.
            told = b""
            while line := process.stderr.readline():
                told += line
                if line.startswith(b"wave: "):
                    break
            try:
                _, rest = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                # The program that enters the lab has one child: the command.
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
                for child in children.split():
                    os.kill(int(child), signal.SIGKILL)
                _, rest = process.communicate(timeout=COMMAND_S)
        lines = (told + rest).decode().splitlines()
        name = f"{self.site.gateway} "
        steps = [line[len(name) :].partition(":")[0] for line in lines if line.startswith(name)]
        new = [r["ev"] for r in self.journal()[len(known) :] if r["dev"] == self.site.gateway]
        ended.acknowledged = len(steps)
        # The console is told of some records, and of each after it was on the disk.
        rest_of_them = iter(new)
        if not all(step in rest_of_them for step in steps):
            ended.wrong.append(f"told {steps}, but the journal holds {new}")

    def resume(self, kill: Kill, ended: Ended, kept) -> None:
        start_s = time.monotonic()
        if kill.resume_at >= 0:
            done, acknowledged = self.dying(kill.resume_at, "after", "resume")
            if not killed(done.returncode):
                ended.wrong.append(f"resume was not killed: {done.returncode} {done.stdout}")
            kept = [*kept, *acknowledged]
        done = self.run(self.command("resume"), code=None)
        ended.resume_s = time.monotonic() - start_s
        if done.returncode not in {0, 5, 6}:
            ended.wrong.append(f"resume ended with {done.returncode}: {done.stdout} {done.stderr}")
        if self.heads()[: len(kept)] != kept:
            ended.wrong.append("resume lost records")
        again = self.run(self.command("resume"), code=None)
        if again.returncode != 0 or "no device was left open" not in again.stdout:
            ended.wrong.append(f"a second resume: {again.returncode} {again.stdout}")

    def compare_words(self, ended: Ended, known: int) -> None:
        """What the tool says of this run must be what the kernel says."""
        runs = {record["run_id"] for record in self.journal()[known:]}
        lines = self.run(self.command("status"), code=None).stdout.splitlines()
        said = [line for line in lines if line.partition(" ")[0] in runs]
        confirmed = any(f"{self.site.gateway}: confirmed" in line for line in said)
        if confirmed != (ended.side == "after"):
            ended.wrong.append(f"said {said}, but the device is {ended.side}")


def killed(code: int) -> bool:
    """Whether a command that was carried into a lab ended by SIGKILL."""
    return code in {-signal.SIGKILL, 128 + signal.SIGKILL}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    sites = lab.sites_of(["clamp-scope"] * SITES)
    running = lab.up(LabSpec(name="killed", sites=sites), root=folder / "labs")
    try:
        running.settle()
        found = [Store(running, site.label, folder) for site in running.sites]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(Store.make_plan, found))
        yield found
    finally:
        lab.down_all(root=folder / "labs")


@dataclass
class Undisturbed:
    """A run that nobody kills: what it leads to and how long it takes."""

    after: tuple[str, str]
    records: int
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(stores) -> Undisturbed:
    first = stores[0]
    first.approve()
    start_s = time.monotonic()
    first.run(first.command("apply", str(first.plan)))
    assert first.state()[0] != first.before[0]
    assert first.state()[1] != first.before[1]
    # Interfaces have the same names in every store of a lab, so one "after" serves all.
    assert len({store.before for store in stores}) == 1
    return Undisturbed(first.state(), len(first.journal()), time.monotonic() - start_s)


@pytest.fixture
def live_all(stores, undisturbed, note):
    """Let the stores share the kills; return what each led to."""

    def live(kills) -> list[Ended]:
        free: SimpleQueue[Store] = SimpleQueue()
        for store in stores[1:]:
            free.put(store)

        def one(kill: Kill) -> Ended:
            store = free.get()
            try:
                return store.live(kill, undisturbed.after)
            finally:
                free.put(store)

        with ThreadPoolExecutor(len(stores) - 1) as pool:
            found = list(pool.map(one, kills))
        note("kills", len(found))
        note("when killed", counted(ended.at_kill for ended in found))
        note("in the end", counted(ended.side for ended in found))
        note("records acknowledged", sum(ended.acknowledged for ended in found))
        note("slowest resume", f"{max(ended.resume_s for ended in found):.0f} s")
        wrong = [f"{ended.kill}: {ended.wrong}" for ended in found if ended.wrong]
        note("promises broken", len(wrong))
        assert not wrong, "\n".join(wrong)
        return found

    return live


def counted(words) -> str:
    return ", ".join(f"{number} {word}" for word, number in sorted(Counter(words).items()))


def test_killed_at_every_journal_record_the_device_ends_before_or_after(
    live_all, undisturbed, chance
):
    points = [Kill(n, when) for n in range(undisturbed.records) for when in ("before", "after")]

    # A sample: one before the device is touched, one after.
    sampled = [chance.choice(points[:18]), chance.choice(points[18:])]
    found = live_all(points if FULL else sampled)

    if FULL:
        assert {ended.side for ended in found} == {"before", "after"}
        assert len({ended.at_kill for ended in found}) == 4, "kills fell into every state"


@pytest.mark.skipif(not FULL, reason="only in the full run")
def test_killed_from_outside_at_any_instant_the_device_ends_before_or_after(
    live_all, undisturbed, chance
):
    live_all([Kill(after_s=chance.uniform(0.0, undisturbed.seconds)) for _ in range(20)])


@pytest.mark.skipif(not FULL, reason="only in the full run")
def test_killed_and_resume_killed_too_the_device_ends_before_or_after(
    live_all, undisturbed, chance
):
    touched = range(9, undisturbed.records - 4)

    live_all([Kill(chance.choice(touched), resume_at=at) for at in range(4) for _ in range(2)])
