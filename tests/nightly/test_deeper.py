"""Tests that look closer at night: more examples, every bit, every record."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
pytestmark = [
    pytest.mark.timeout(3000),
    pytest.mark.skipif(not FULL, reason="only in the full run: by day a part of it runs"),
]

#: Files whose examples follow the Hypothesis profile: twenty times as many under ``nightly``.
PROPERTIES = ("tests/diagnose/test_properties.py", "tests/remedy/test_transitions.py")
#: Files that know a full run: all bits of a journal, all kill points of a change.
EXHAUSTIVE = ("tests/change/test_journal.py", "tests/change/test_resume.py")


def run_again(checkout, folder, *words):
    """Run tests in a process of their own; return how many passed, and everything they said."""
    report = folder / "report.xml"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=2400"]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "HYPOTHESIS_"))}
    done = subprocess.run(
        [*argv, f"--junit-xml={report}", "-m", "not nightly", *words],
        cwd=checkout,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - our own file
    return int(suite.get("tests")) - int(suite.get("skipped")), done


@pytest.mark.nightly(basis="generated values")
@pytest.mark.parametrize("path", PROPERTIES)
def test_properties_hold_over_twenty_times_as_many_examples(path, checkout, folder, note):
    seed = os.environ["MTUGHOST_SEED"]

    passed, done = run_again(
        checkout, folder, path, "--hypothesis-profile=nightly", f"--hypothesis-seed={seed}"
    )

    note("tests", f"{passed}, those with examples: 20 times as many as by day")
    assert done.returncode == 0, done.stdout[-8000:]
    assert passed


@pytest.mark.lab
@pytest.mark.nightly(basis="real program")
@pytest.mark.parametrize("path", EXHAUSTIVE)
def test_what_is_sampled_by_day_is_exhausted_at_night(path, checkout, folder, note):
    passed, done = run_again(checkout, folder, path)

    note("tests", passed)
    assert done.returncode == 0, done.stdout[-8000:]
    assert passed
