"""The main job, step by step, with the commands that a person would type: on a lab, or without."""

from __future__ import annotations

from pathlib import Path

from mtughost.app.demo_lab import run_lab_demo
from mtughost.app.demo_stage import Say
from mtughost.lab import host
from mtughost.model.errors import UsageError

#: What ``--on`` may say.
PLACES = ("auto", "lab", "fleet")


def run_demo(out: Path, *, keep: bool = False, on: str = "auto", say: Say) -> int:
    """Run the main job; return 0 when it found, repaired and proved what was planted.

    Args:
        out: Directory for report, JSON and plan; made when missing.
        keep: Leave the lab running.
        on: ``lab``, ``fleet``, or ``auto`` for the lab where it can run.
        say: Prints one line.

    Raises:
        LabError: the lab cannot run here; it says what is missing.
        UsageError: ``on`` is something else.
        DemoError: a step did not end as it should.
    """
    if on not in PLACES:
        raise UsageError(f"--on is {', '.join(PLACES)}, not {on}")
    out = out.absolute()
    reasons = host.missing_for_lab() if on == "auto" else ()
    if on == "fleet" or reasons:
        from mtughost.app.demo_fleet import run_fleet_demo  # noqa: PLC0415 - an optional package

        return run_fleet_demo(out, reasons, say)
    return run_lab_demo(out, keep=keep, say=say)
