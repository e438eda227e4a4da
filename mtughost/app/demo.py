"""The main job on an embedded lab, step by step, with the commands that a person would type."""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtughost import lab
from mtughost.app.labs import inside, lab_environment
from mtughost.lab import Lab, LabSpec, host
from mtughost.model.errors import MtughostError, UsageError

Say = Callable[[str], None]
#: The store of the first story; everything that is planted is written down in the lab's own spec.
SITE = "s001"
PLANTED = "clamp-scope"
#: What ``--on`` may say.
PLACES = ("auto", "lab", "fleet")
FINDINGS = 10


class DemoError(MtughostError):
    """A step of the demo did not end as it should."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """The running lab and where documents go."""

    lab: Lab
    out: Path
    say: Say

    def run(self, *argv: str, expect: Sequence[int] = (0,)) -> int:
        """Type one command inside the lab and let it print."""
        self.say(f"\n$ {shlex.join(argv)}")
        done = subprocess.run(
            self.lab.command(inside(argv), cwd=self.out),
            env=lab_environment(self.lab.project),
            check=False,
        )
        if done.returncode not in expect:
            raise DemoError(
                f"{shlex.join(argv)} ended with exit code {done.returncode}, "
                f"expected {' or '.join(map(str, expect))}",
                todo=f"The documents so far are in {self.out}",
            )
        return done.returncode

    def site(self, file: str, name: str) -> dict[str, Any]:
        """Return one site of an audit's JSON."""
        document = json.loads((self.out / file).read_text(encoding="utf-8"))
        found: dict[str, Any] = next(s for s in document["sites"] if s["site"] == name)
        return found


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
    return _run_lab_demo(out, keep=keep, say=say)


def _run_lab_demo(out: Path, *, keep: bool, say: Say) -> int:
    started_s = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    spec = LabSpec(name=f"demo-{secrets.token_hex(3)}", sites=lab.retail_chain())
    say(f"Bringing up a lab of {len(spec.sites)} stores: real kernels, OpenSSH, RADsec.")
    made = lab.up(spec, progress=say)
    try:
        made.settle()
        say(f"The lab is up after {time.monotonic() - started_s:.1f} s.")
        _main_job(_Stage(made, out, say))
    finally:
        if keep:
            say(f"\nThe lab goes on: mtughost lab exec {spec.name} -- mtughost audit")
            say(f"Take it down with: mtughost lab down {spec.name}")
        else:
            lab.down(spec.name)
    say(f"\nDone in {time.monotonic() - started_s:.0f} s. Open {out / 'before.html'}")
    say(f"and, after the repair, {out / 'after.html'}")
    return 0


def _main_job(stage: _Stage) -> None:
    stage.say("\n-- 1. Audit all stores. Reads, captures 12 s, at most 3 connections per service.")
    watch = ("--probe", "service", "--capture", "12")
    stage.run(
        "mtughost", "audit", *watch, "--html", "before.html", "--json", "before.json",
        expect=(FINDINGS,),
    )  # fmt: skip
    _demand(stage, "before.json", verdict="fault", finding=PLANTED)
    stage.say(
        "\n-- 2. Hand over the evidence to whoever runs the gateway: one zip, one page, signed."
    )
    author = str(stage.lab.project / "ssh" / "operator")
    bundle = str(stage.out / f"evidence-{stage.lab.name}.zip")
    stage.run(
        "mtughost", "evidence", "--site", SITE, "--for", "gateway-provider", "--out", bundle,
        "--key", author,
    )  # fmt: skip
    stage.run("mtughost", "evidence", "verify", bundle)
    plan = str(stage.out / f"plan-{stage.lab.name}.json")
    stage.say("\n-- 3. Plan the repair of one store. Nothing is changed: this is the dry run.")
    stage.run(
        "mtughost", "plan", "--site", SITE, "--reason", "RADsec never completes", "--out", plan
    )  # fmt: skip
    stage.say("\n-- 4. A second person, with a key of their own, approves exactly this plan.")
    key = str(stage.lab.project / "ssh" / "approver")
    stage.run("mtughost", "approve", plan, "--key", key, "--yes")
    stage.say("\n-- 5. Apply: arm the undo, change, prove the service, confirm, save.")
    stage.run("mtughost", "apply", plan)
    stage.say("\n-- 6. Audit again.")
    stage.run(
        "mtughost", "audit", *watch, "--html", "after.html", "--json", "after.json",
        expect=(FINDINGS,),
    )  # fmt: skip
    _demand(stage, "after.json", verdict="ok", finding="")


def _demand(stage: _Stage, file: str, *, verdict: str, finding: str) -> None:
    """Compare the audit with what was planted."""
    site = stage.site(file, SITE)
    confirmed = {f["id"] for f in site["findings"] if f["grade"] == "confirmed"}
    if site["verdict"] != verdict or (finding and finding not in confirmed):
        raise DemoError(
            f"{SITE}: expected {verdict} {finding}, got {site['verdict']} {sorted(confirmed)}",
            todo=f"Look at {stage.out / file}",
        )
