"""How much of the engine of changes its own tests walk through, branch by branch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.nightly(basis="the project's own fast tests, without kernel labs"),
    pytest.mark.timeout(1500),
]

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = ("mtughost/remedy", "mtughost/change")
LEAST_PERCENT = 95.0


@pytest.mark.skipif(not FULL, reason="runs tests that `make test` runs too")
def test_the_tests_of_changes_take_nearly_every_branch_of_them(folder, note):
    """Without kernel labs and long runs: what one machine without privileges can repeat."""
    tests = [f"tests/{Path(room).name}" for room in ROOMS]
    kept = folder / "coverage.json"
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    own |= {"COVERAGE_FILE": str(folder / "coverage")}
    del own["MTUGHOST_NIGHTLY"]
    argv = [sys.executable, "-m", "pytest", "-q", "-m", "not nightly and not lab", *tests]
    argv += [*(f"--cov={room}" for room in ROOMS), "--cov-branch", f"--cov-report=json:{kept}"]

    done = subprocess.run(argv, cwd=CHECKOUT, env=own, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-4000:]
    found = json.loads(kept.read_text(encoding="utf-8"))
    total = found["totals"]
    note("tests", done.stdout.strip().splitlines()[-1].strip("= "))
    for name in ("branches", "lines"):
        all_of = total["num_branches" if name == "branches" else "num_statements"]
        note(f"{name} covered", f"{total[f'covered_{name}']} of {all_of}")
    percent = 100 * total["covered_branches"] / total["num_branches"]
    note("branch coverage", f"{percent:.1f} %, at least {LEAST_PERCENT:.0f} % is demanded")
    least = min(
        (one["summary"]["percent_covered"], name)
        for name, one in found["files"].items()
        if one["summary"]["num_statements"]
    )
    note("least covered module", f"{least[1]}, {least[0]:.0f} %")
    assert percent >= LEAST_PERCENT
