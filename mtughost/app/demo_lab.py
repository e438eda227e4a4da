"""The demo on an embedded lab: real kernels, real OpenSSH, real RADsec."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from mtughost import lab
from mtughost.app.demo_stage import FINDINGS, DemoError, Say, Stage
from mtughost.app.labs import inside, lab_environment
from mtughost.lab import Lab, LabSpec

#: The store of the first story; everything that is planted is written down in the lab's own spec.
SITE = "s001"
PLANTED = "clamp-scope"
WATCH = ("--probe", "service", "--capture", "12")


def run_lab_demo(out: Path, *, keep: bool, say: Say) -> int:
    """Run the main job in a lab; return 0 when what was planted was found, repaired and proved.

    Args:
        out: Directory for report, JSON and plan; made when missing.
        keep: Leave the lab running.
        say: Prints one line.

    Raises:
        LabError: the lab cannot run here; it says what is missing.
        DemoError: a step did not end as it should.
    """
    started_s = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    spec = LabSpec(name=f"demo-{secrets.token_hex(3)}", sites=lab.retail_chain())
    say(f"Bringing up a lab of {len(spec.sites)} stores: real kernels, OpenSSH, RADsec.")
    made = lab.up(spec, progress=say)
    try:
        made.settle()
        say(f"The lab is up after {time.monotonic() - started_s:.1f} s.")
        _main_job(_stage(made, out, say), spec.name)
    finally:
        if keep:
            say(f"\nThe lab goes on: mtughost lab exec {spec.name} -- mtughost audit")
            say(f"Take it down with: mtughost lab down {spec.name}")
        else:
            lab.down(spec.name)
    say(f"\nDone in {time.monotonic() - started_s:.0f} s. Open {out / 'before.html'}")
    say(f"and, after the repair, {out / 'after.html'}")
    return 0


def _stage(made: Lab, out: Path, say: Say) -> Stage:
    return Stage(
        out=out,
        project=made.project,
        typed=("mtughost",),
        command=lambda line: made.command(inside(line), cwd=out),
        env=lab_environment(made.project),
        say=say,
    )


def _main_job(stage: Stage, name: str) -> None:
    stage.step(1, "Audit all stores. Reads, captures 12 s, at most 3 connections per service.")
    _audit(stage, "before")
    _demand(stage, "before.json", verdict="fault", finding=PLANTED)
    stage.hand_over(2, SITE, name)
    stage.repair(3, SITE, name)
    stage.step(6, "Audit again.")
    _audit(stage, "after")
    _demand(stage, "after.json", verdict="ok", finding="")


def _audit(stage: Stage, name: str) -> None:
    files = ("--html", f"{name}.html", "--json", f"{name}.json")
    stage.run("audit", *WATCH, *files, expect=(FINDINGS,))


def _demand(stage: Stage, file: str, *, verdict: str, finding: str) -> None:
    """Compare the audit with what was planted."""
    site = stage.sites(file)[SITE]
    confirmed = {f["id"] for f in site["findings"] if f["grade"] == "confirmed"}
    if site["verdict"] != verdict or (finding and finding not in confirmed):
        raise DemoError(
            f"{SITE}: expected {verdict} {finding}, got {site['verdict']} {sorted(confirmed)}",
            todo=f"Look at {stage.out / file}",
        )
