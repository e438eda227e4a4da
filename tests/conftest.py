"""What all tests share: the lab's availability, the shared samples, a clock that tests own."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

#: Twenty times Hypothesis's own number of examples; `make nightly` runs property tests with it.
settings.register_profile("nightly", max_examples=2000, deadline=None)
# No limit of time for one example: a busy machine is no finding.
settings.register_profile("mtughost", deadline=None)
settings.load_profile("mtughost")

CHECKOUT = Path(__file__).resolve().parent.parent
REQUIRE_LAB = os.environ.get("MTUGHOST_REQUIRE_LAB") == "1"


@cache
def why_no_lab() -> str:
    """Return the reason why network namespaces cannot be used here, or ``""``."""
    from mtughost.lab.host import missing_for_lab  # noqa: PLC0415  # only lab tests need it

    return "; ".join(missing_for_lab())


def pytest_configure():
    """Take Ctrl-C as usual even where whoever started us ignores it (``su``, a job with ``&``).

    An ignored signal stays ignored in every program started from here, and tests send it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item):
    """Skip lab tests where no lab can run; where labs are required, that is a failure."""
    if item.get_closest_marker("lab") is None:
        return
    reason = why_no_lab()
    if reason and REQUIRE_LAB:
        pytest.fail(f"MTUGHOST_REQUIRE_LAB is set and no lab can run here: {reason}")
    if reason:
        pytest.skip(f"no lab can run here: {reason}")


@pytest.fixture(scope="session")
def module_at():
    """Return a function that loads a module of helpers by its path: tests are no packages."""

    def load(place: Path) -> ModuleType:
        name = f"mtughost_test_{place.parent.name}_{place.stem}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, place)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    return load


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the root of the checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with shared samples and captures, or skip."""
    path = Path(os.environ.get("MTUGHOST_SHARED") or CHECKOUT.parent / "shared")
    if not (path / "samples").is_dir():
        pytest.skip("real samples are not here: set MTUGHOST_SHARED to the folder that holds them")
    return path


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Make a value (of JSON) once for all processes of a parallel run; the others wait for it."""
    home = tmp_path_factory.getbasetemp()
    home = home.parent if "PYTEST_XDIST_WORKER" in os.environ else home

    def made(name, make):
        path = home / f"{name}.json"
        with (home / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                path.write_text(json.dumps(make()), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))

    return made


@pytest.fixture
def fuzzed(tmp_path, record_property):
    """Return a function that fuzzes one of our targets by coverage and fails on what it finds.

    A target is a program (``atheris_*.py``); it is given a folder of inputs to begin with. A full
    run takes ten minutes, a sample twenty seconds.
    """
    pytest.importorskip("atheris", reason="atheris is not installed")
    seconds = 600 if os.environ.get("MTUGHOST_NIGHTLY") == "full" else 20

    def run(target: Path, seeds: Path) -> None:
        found = tmp_path / "corpus"
        found.mkdir()
        bounds = (f"-max_total_time={seconds}", f"-artifact_prefix={tmp_path}/")
        done = subprocess.run(
            [sys.executable, target, *bounds, found, seeds],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        (runs,) = re.findall(r"^Done (\d+) runs in", done.stderr, re.MULTILINE)
        covered = re.findall(r" cov: (\d+) ", done.stderr)
        record_property("inputs", f"{runs} in {seconds} s; edges covered: {covered[-1]}")
        assert int(covered[-1]) > int(covered[0]), "no new code was reached: is it instrumented?"

    return run
