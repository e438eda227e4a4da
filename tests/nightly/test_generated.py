"""Generated labs: what real clients and captures measured against what an audit said.

The full run draws 400 labs and audits each twice: with every login, and with those of the access
points alone. The sample draws 12. ``MTUGHOST_SEED`` repeats either; the report names the labs in
which they differ, with the command that makes each of them again.
"""

from __future__ import annotations

import os

import pytest

from mtughost.app.lab_generated import Wish, run_generated

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
pytestmark = [pytest.mark.lab, pytest.mark.nightly(basis="real program"), pytest.mark.timeout(7200)]

LABS = 400 if FULL else 12
#: A sample is too small for one in a hundred: it may miss one, and never accuse a healthy site.
WANTED_SHARE = 0.99 if FULL else 0.9


def test_generated_labs_are_told_apart_and_no_healthy_one_is_accused(
    chance, folder, monkeypatch, note
):
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    seed = chance.randrange(1, 1 << 30)
    note("seed", seed)

    whole, near = run_generated(
        Wish(seed=seed, count=LABS, accesses=("all", "ap-only")),
        say=lambda text: note("at", text),
    )

    for matrix in (whole, near):
        words = f"{len(matrix.counted)} labs, {len(matrix.thrown_out)} thrown out"
        note(matrix.access, f"{words}, {matrix.false_faults} false faults, "
             f"{matrix.share_right:.1%} right first findings")  # fmt: skip
        note(f"Generated labs, access: {matrix.access}", matrix.table)
    assert whole.counted
    assert len(whole.thrown_out) <= LABS / 10
    assert (whole.false_faults, near.false_faults) == (0, 0)
    assert whole.share_right >= WANTED_SHARE, whole.table
    # Who sees less may say less, and nothing wrong.
    wrong = [case for case in near.counted if case.score == "wrong"]
    assert len(wrong) <= (1 - WANTED_SHARE) * len(near.counted), near.table
