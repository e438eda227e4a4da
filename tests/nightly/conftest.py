"""The long runs: how much of them, from which seed, and what is written down about them.

``MTUGHOST_NIGHTLY`` says ``full`` or ``sample``, ``MTUGHOST_SEED`` repeats a run's choices. Only a
full run of everything writes ``RESULTS.md``.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"

Note = Callable[[str, object], None]


def pytest_configure(config):
    """Choose the seed once; the processes of a parallel run inherit it."""
    os.environ.setdefault("MTUGHOST_SEED", str(random.SystemRandom().randrange(1, 1_000_000)))
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(), "mtughost-nightly-reporter")


@pytest.fixture
def chance(request) -> random.Random:
    """Return this test's own chance: the same seed makes the same choices."""
    # Variety, not secrecy.
    return random.Random(f"{os.environ['MTUGHOST_SEED']} {request.node.name}")  # noqa: S311


@pytest.fixture
def note(record_property) -> Note:
    """Note a figure, or a table of several lines, for the terminal and for RESULTS.md."""
    started_s = time.monotonic()

    def write(name: str, value: object) -> None:
        print(f"{time.monotonic() - started_s:.0f} s {name}: {value}")  # noqa: T201
        record_property(name, str(value))

    return write


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a short path of its own: labs keep sockets below it."""
    with TemporaryDirectory(prefix="mtughost-nightly-") as name:
        yield Path(name)


class Reporter:
    """Collects what the long tests noted."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float, dict[str, str]]] = []

    def pytest_report_header(self):
        """Say how to repeat this run."""
        how_much = "full" if FULL else "sample"
        return f"long runs: {how_much}, MTUGHOST_SEED={os.environ['MTUGHOST_SEED']}"

    def pytest_runtest_logreport(self, report):
        """Keep what a test noted; a setup that failed is a test that failed."""
        ended = report.when == "call" or (report.when == "setup" and not report.passed)
        if ended and "nightly" in report.keywords:
            noted = dict(report.user_properties)
            self.rows.append((report.nodeid, report.outcome, report.duration, noted))

    def pytest_terminal_summary(self, terminalreporter):
        """Print the figures."""
        if not self.rows:
            return
        terminalreporter.section(f"long runs, MTUGHOST_SEED={os.environ['MTUGHOST_SEED']}")
        for name, outcome, seconds, noted in self.rows:
            terminalreporter.write_line(f"{outcome} {seconds:.0f} s {name}")
            for key, value in noted.items():
                if "\n" not in value:
                    terminalreporter.write_line(f"    {key}: {value}")

    def pytest_sessionfinish(self, session):
        """Write RESULTS.md when everything in this folder ran."""
        ran = {Path(row[0].partition("::")[0]).name for row in self.rows}
        everything = {path.name for path in HERE.glob("test_*.py")}
        chosen = session.config.option.keyword or session.config.option.deselect
        if FULL and everything <= ran and not chosen:
            RESULTS.write_text(results(self.rows), encoding="utf-8")


def results(rows: list[tuple[str, str, float, dict[str, str]]]) -> str:
    """Return the document."""
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}"
    lines = [
        "# Results of the long runs",
        "",
        "Written by `make nightly`. Everything marked *real program* ran on a real kernel, real",
        "packet filters, OpenSSH, FreeRADIUS and radsecproxy in network namespaces; no vendor's",
        "device was touched. Times were taken while the machine did other work too.",
        "",
        f"- date: {dt.datetime.now(dt.UTC):%Y-%m-%d} UTC",
        f"- seed: `MTUGHOST_SEED={os.environ['MTUGHOST_SEED']}`",
        f"- machine: {machine}, Python {platform.python_version()}",
        "",
        "| test | result | seconds | basis | figures |",
        "|--|--|--|--|--|",
    ]
    tables: list[str] = []
    for name, outcome, seconds, noted in rows:
        figures = {k: v for k, v in noted.items() if "\n" not in v and k != "basis"}
        written = "; ".join(f"{key}: {value}" for key, value in figures.items())
        test = name.replace("|", "/").removeprefix("tests/")
        basis = noted.get("basis", "see the test")
        lines.append(f"| `{test}` | {outcome} | {seconds:.0f} | {basis} | {written} |")
        for key, value in noted.items():
            if "\n" in value:
                tables += ["", f"## {key}", "", value]
    return "\n".join([*lines, *tables]) + "\n"
