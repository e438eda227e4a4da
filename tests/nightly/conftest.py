"""The long runs: how much of them, from which seed, and what is written down about them.

``MTUGHOST_NIGHTLY`` says ``full`` or ``sample``, ``MTUGHOST_SEED`` repeats a run's choices. A full
run writes what it found into ``results.json`` and ``RESULTS.md``, test by test.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
KEPT = HERE / "results.json"

Note = Callable[[str, object], None]


def pytest_configure(config):
    """Choose the seed once; the processes of a parallel run inherit it."""
    os.environ.setdefault("MTUGHOST_SEED", str(random.SystemRandom().randrange(1, 1_000_000)))
    # A plugin's hook, not this file's: that would be called for the tests below this folder only.
    config.pluginmanager.register(Basis(), "mtughost-nightly-basis")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(), "mtughost-nightly-reporter")


class Basis:
    """Writes down what a long test's result rests on; one that does not say so fails."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        """Look at the mark, wherever the test lies."""
        for mark in item.iter_markers("nightly"):
            if "basis" not in mark.kwargs:
                pytest.fail("pytest.mark.nightly needs basis=...: what the result rests on")
            item.user_properties.append(("basis", mark.kwargs["basis"]))


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
        """Keep what a test noted; a setup that failed is a test that failed.

        What was skipped has shown nothing: its row of an earlier run stays.
        """
        ended = report.when == "call" or (report.when == "setup" and report.failed)
        if ended and not report.skipped and "nightly" in report.keywords:
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
        """Keep what a full run found; rows of tests that did not run stay as they were."""
        if FULL and self.rows:
            rows = kept_rows(json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {})
            when, where = this_run()
            for name, outcome, seconds, noted in self.rows:
                found = {"outcome": outcome, "seconds": round(seconds), "noted": noted}
                rows[name] = {**found, "when": when, **where}
            rows = dict(sorted(rows.items()))
            KEPT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            RESULTS.write_text(results(rows), encoding="utf-8")


def kept_rows(rows: dict[str, Any]) -> dict[str, Any]:
    """Drop the rows of tests that are no more."""

    def exists(name: str) -> bool:
        path, _, test = name.partition("::")
        file = HERE.parents[1] / path
        return file.exists() and f"def {test.partition('[')[0]}(" in file.read_text("utf-8")

    return {name: row for name, row in rows.items() if exists(name)}


def this_run() -> tuple[str, dict[str, str]]:
    """Return the day of this run, and the commit, seed and machine that it ran with."""
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{dt.datetime.now(dt.UTC):%Y-%m-%d}", {
        "commit": head.stdout.strip() or "unknown",
        "seed": os.environ["MTUGHOST_SEED"],
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}",
    }


def results(rows: dict[str, Any]) -> str:
    """Return the document."""
    machines = sorted({row["machine"] for row in rows.values()})
    lines = [
        "# Results of the long runs",
        "",
        "Written by `make nightly`, or by a full run of a part of it; each row says when and on",
        "which commit its test ran last. Everything marked *real program* ran on a real kernel,",
        "real packet filters, OpenSSH, FreeRADIUS and radsecproxy in network namespaces; no",
        "vendor's device was touched. Times were taken while the machine did other work too.",
        "",
        *(f"- machine: {machine}" for machine in machines),
        "",
        "| test | result | seconds | basis | figures | date | commit | `MTUGHOST_SEED` |",
        "|--|--|--|--|--|--|--|--|",
    ]
    tables: list[str] = []
    for test, cases in by_test(rows).items():
        lines.append(f"| {' | '.join(cells(test, cases))} |")
        for row in cases:
            for key, value in row["noted"].items():
                if "\n" in value:
                    tables += ["", f"## {key}", "", value]
    return "\n".join([*lines, *tables]) + "\n"


def by_test(rows: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows under the name of their test; one with parameters has several."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, row in rows.items():
        test, _, case = name.removeprefix("tests/").partition("[")
        noted = {f"{case.rstrip(']')}: {k}" if case else k: v for k, v in row["noted"].items()}
        found.setdefault(test, []).append({**row, "noted": {**noted, "basis": basis_of(row)}})
    return found


def basis_of(row: dict[str, Any]) -> str:
    """Return what a row rests on."""
    return str(row["noted"]["basis"])


def cells(test: str, cases: list[dict[str, Any]]) -> list[str]:
    """Return one row of the table: what differs between a test's cases stands side by side."""

    def all_of(key: str) -> str:
        return ", ".join(sorted({str(row[key]) for row in cases}))

    outcomes = Counter(row["outcome"] for row in cases)
    figures = [
        f"{key}: {value}"
        for row in cases
        for key, value in row["noted"].items()
        if "\n" not in value and not key.endswith("basis")
    ]
    return [
        f"`{test}`",
        ", ".join(f"{n} {how}" for how, n in outcomes.items())
        if len(cases) > 1
        else all_of("outcome"),
        str(sum(row["seconds"] for row in cases)),
        ", ".join(sorted({basis_of(row) for row in cases})),
        "; ".join(figures).replace("|", "/"),
        all_of("when"),
        all_of("commit"),
        all_of("seed"),
    ]
