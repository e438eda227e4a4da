"""Labs with an operator in front: commands are typed where the devices can be reached."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self

import pytest

from mtughost import lab
from mtughost.app.labs import lab_environment, own_command
from mtughost.lab import Lab, LabSpec, SiteSpec, Snapshot, snapshot

Done = subprocess.CompletedProcess[str]
#: Labs that are up at the same time.
AT_ONCE = 6

#: What ``plan`` does, with a window that a test can wait for.
_PLAN = """
import sys
from pathlib import Path
from mtughost.app.planning import PlanRequest, make_plan
from mtughost.app.project import open_project
site, window_s, out = sys.argv[1:]
request = PlanRequest(sites=(site,), reason="test", window_s=int(window_s), out=Path(out))
sys.exit(0 if make_plan(open_project(), request).plan else 5)
"""


class Typed:
    """A command that is still running: its lines as they come, and its own process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[str] = []

    def wait_for(self, words: str) -> str:
        """Read progress lines until one holds ``words``; return it."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line.rstrip("\n"))
            if words in line:
                return line
        raise AssertionError(f"ended without {words!r}: {self.lines}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command itself, not to what carried it into the lab."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) == 1, "the program that enters the lab has one child"
        os.kill(int(children[0]), number)

    def end(self, timeout_s: float = 120.0) -> Done:
        """Wait for the end; return everything that was printed."""
        out, rest = self._process.communicate(timeout=timeout_s)
        text = "\n".join([*self.lines, rest])
        return subprocess.CompletedProcess(
            self._process.args, self._process.returncode, stdout=out, stderr=text
        )


class Operator:
    """A person at the keyboard of the machine that reaches the lab's devices."""

    def __init__(self, running: Lab, project: Path | None = None) -> None:
        self.lab = running
        self.project = project or running.project
        self.env = lab_environment(self.project)

    def __call__(self, *words: str, timeout_s: float = 200.0) -> Done:
        """Type one command and wait for its end."""
        return self.lab.exec([*own_command(), *words], env=self.env, timeout_s=timeout_s)

    def ran(self, *words: str, code: int = 0) -> Done:
        """Type one command that must end with ``code``."""
        done = self(*words)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    @contextmanager
    def typing(self, *words: str) -> Iterator[Typed]:
        """Type one command and go on while it runs; it never outlives the block."""
        process = subprocess.Popen(
            self.lab.command([*own_command(), *words]),
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running = Typed(process)
        try:
            yield running
        finally:
            if process.poll() is None:
                running.signal(signal.SIGKILL)
                process.wait(20)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def audit(self, *words: str) -> dict[str, Any]:
        """Audit and return the JSON."""
        done = self("--quiet", "audit", *words, "--json", "-")
        assert done.returncode in {0, 4, 10, 11}, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def plan(self, site: str, out: Path, window_s: int = 180) -> Path:
        """Plan with a chosen window."""
        argv = [sys.executable, "-c", _PLAN, site, str(window_s), str(out)]
        done = self.lab.exec(argv, env=self.env, timeout_s=120)
        assert done.returncode == 0, done.stderr
        return out

    def approve(self, plan: Path, key: str = "approver") -> Done:
        """Sign with one of the lab's keys."""
        return self("approve", str(plan), "--key", str(self.project / "ssh" / key), "--yes")

    def look(self, *devices: str) -> dict[str, Snapshot]:
        """Take snapshots beside SSH."""
        return {name: snapshot(self.lab, name) for name in devices or self.lab.hosts}

    def on(self, device: str, script: str) -> str:
        """Run a shell script on a device, beside SSH; return what it printed."""
        return self.lab.in_device(device, ["sh", "-c", script], check=True).stdout

    def write(self, device: str, path: str, text: str) -> None:
        """Put an executable file on a device."""
        script = 'cat > "$1" && chmod 755 "$1"'
        argv = ["sh", "-c", script, "sh", path]
        self.lab.in_device(device, argv, text_in=text, check=True)

    def logins(self, device: str, words: str = "Accepted ") -> int:
        """Count the logins that a device's SSH server ever accepted."""
        return self.on(device, "cat /var/log/sshd.log").count(words)


def differences(
    before: dict[str, Snapshot], after: dict[str, Snapshot]
) -> dict[str, Sequence[str]]:
    """Return what changed, by device; nothing at all is an empty dictionary."""
    assert before.keys() == after.keys()
    found = {name: before[name].differences(after[name]) for name in before}
    return {name: lines for name, lines in found.items() if lines}


@contextmanager
def a_lab(
    *sites: SiteSpec, settled: bool = True, renumber: int | None = None
) -> Iterator[Operator]:
    """Bring a lab up in a directory of its own; take it down whatever happens."""
    root = Path(mkdtemp(prefix="mtughost-app-"))
    try:
        running = lab.up(LabSpec(name="app", sites=sites, renumber=renumber), root=root)
        if settled:
            running.settle()
        yield Operator(running)
    finally:
        lab.down_all(root=root)
        shutil.rmtree(root)


@pytest.fixture(scope="session")
def labs():
    """How a test gets a lab, and how it compares devices."""
    return a_lab


@pytest.fixture(scope="session")
def changed():
    """What differs between two looks at devices."""
    return differences


class Stories:
    """Things that take long and mostly wait, lived side by side; each test awaits its own."""

    def __init__(self, *stories: Callable[..., Any], given: Sequence[Any] = ()) -> None:
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE)
        self._futures: dict[str, Future[Any]] = {
            story.__name__.removesuffix("_story"): self._pool.submit(story, *given)
            for story in stories
        }

    def __getattr__(self, name: str) -> Any:
        return self._futures[name].result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Each takes its lab down, also one that no test awaited.
        self._pool.shutdown(wait=True)


@pytest.fixture(scope="session")
def papers(tmp_path_factory) -> Path:
    """Where plans and reports of the stories go."""
    return tmp_path_factory.mktemp("papers")


@pytest.fixture(scope="session")
def stories(request, papers):
    """Live the stories of all chosen modules side by side: most of their time is waiting.

    A module lists its own in ``STORIES``; each takes (labs, papers), and what it returns is an
    attribute by its name without ``_story``.
    """
    chosen = [item for item in request.session.items if item.path.parent == Path(__file__).parent]
    modules = dict.fromkeys(getattr(item, "module", None) for item in chosen)
    lived = [story for module in modules for story in getattr(module, "STORIES", ())]
    with Stories(*lived, given=(a_lab, papers)) as running:
        yield running
