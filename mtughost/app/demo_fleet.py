"""The demo where no lab can run: the same commands on virtual devices, without privileges.

What no emulation can prove is left out and said: there is no kernel in between, so no capture, and
what a probe meets is a far end that the emulation let through or not.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtughost.app.demo import FINDINGS, DemoError, Say
from mtughost.app.fleets import RunningFleet, virtual_fleet
from mtughost.app.labs import own_command
from mtughost.lab.fleet import FleetSpec

#: Of this seed each vendor's gateways are whole at some stores and broken at others.
SPEC = FleetSpec(sites=12, seed=3, vendors=("fortinet", "cisco_xe", "juniper_junos"))
#: Whose own timer takes a change back without a reboot.
FREE_UNDO = frozenset({"cisco_xe", "juniper_junos"})
_STEP_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class _Stage:
    fleet: RunningFleet
    out: Path
    say: Say

    def run(self, *argv: str, expect: Sequence[int] = (0,)) -> None:
        """Type one command and let it print."""
        shown = shlex.join(("mtughost", "--project", str(self.fleet.project), *argv))
        self.say(f"\n$ {shown}")
        done = subprocess.run(
            [*own_command(), "--project", str(self.fleet.project), *argv],
            cwd=self.out,
            env={**os.environ, "MTUGHOST_PROJECT": ""},
            timeout=_STEP_TIMEOUT_S,
            check=False,
        )
        if done.returncode not in expect:
            raise DemoError(
                f"{shown} ended with exit code {done.returncode}",
                todo=f"The documents so far are in {self.out}",
            )


def run_fleet_demo(out: Path, reasons: Sequence[str], say: Say) -> int:
    """Run the main job on virtual devices; return 0 when every planted fault was found.

    Args:
        out: Directory for report and JSON; made when missing.
        reasons: Why the lab of real kernels cannot run here, none where it was not wanted.
        say: Prints one line.

    Raises:
        DemoError: a step did not end as it should.
    """
    started_s = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    for reason in reasons:
        say(f"The lab of real kernels cannot run here: {reason}.")
    say(f"Bringing up {SPEC.sites} virtual stores: vendors' command lines, emulated, on loopback.")
    name = f"demo-{secrets.token_hex(3)}"
    with virtual_fleet(SPEC, name=name, say=say) as fleet:
        _main_job(_Stage(fleet, out, say))
    say(
        "\nLeft out here, because it takes real packets: captures, and the proof on the wire. What"
        "\nwas proven was proven on an emulation. The lab does all of it: `mtughost demo --on lab`,"
        "\non a Linux machine that allows namespaces."
    )
    say(f"\nDone in {time.monotonic() - started_s:.0f} s. Open {out / 'report.html'}")
    return 0


def _main_job(stage: _Stage) -> None:
    stage.say("\n-- 1. Audit all stores. It only reads.")
    stage.run(
        "audit", "--html", "report.html", "--json", "audit.json", expect=(FINDINGS,)
    )  # fmt: skip
    broken = _compare(stage)
    stage.say(
        "\n-- 2. Hand over the evidence to whoever runs the gateway: one zip, one page, signed."
    )
    bundle = str(stage.out / f"evidence-{broken}.zip")
    key = str(stage.fleet.project / "ssh" / "operator")
    stage.run(
        "evidence", "--site", broken, "--for", "gateway-provider", "--out", bundle, "--key", key
    )
    stage.run("evidence", "verify", bundle)
    stage.say("\n-- 3. What a person does about the finding.")
    stage.run("explain", _first_finding(stage, broken), "--site", broken)
    _repair(stage, broken)


def _repair(stage: _Stage, broken: str) -> None:
    plan = str(stage.out / f"plan-{broken}.json")
    stage.say("\n-- 4. Plan the repair of one store. Nothing is changed: this is the dry run.")
    stage.run("plan", "--site", broken, "--reason", "RADsec never completes", "--out", plan)
    stage.say("\n-- 5. A second person, with a key of their own, approves exactly this plan.")
    stage.run("approve", plan, "--key", str(stage.fleet.project / "ssh" / "approver"), "--yes")
    stage.say("\n-- 6. Apply: arm the undo, change, prove the service, confirm, save.")
    stage.run("apply", plan)
    stage.say("\n-- 7. Audit again.")
    stage.run("audit", "--json", "audit.json", expect=(FINDINGS,))
    _compare(stage)


def _sites(stage: _Stage) -> dict[str, dict[str, object]]:
    document = json.loads((stage.out / "audit.json").read_text(encoding="utf-8"))
    return {site["site"]: site for site in document["sites"]}


def _compare(stage: _Stage) -> str:
    """Hold every verdict against what the store's emulated gateway does; return a broken store.

    Raises:
        DemoError: a verdict is wrong.
    """
    verdicts = {label: site["verdict"] for label, site in _sites(stage).items()}
    truth = {site.label: "ok" if site.works() else "fault" for site in stage.fleet.sites}
    if verdicts != truth:
        wrong = {
            label: verdicts.get(label) for label in truth if verdicts.get(label) != truth[label]
        }
        raise DemoError(f"wrong verdicts: {wrong}", todo=f"Look at {stage.out / 'audit.json'}")
    broken = [site for site in stage.fleet.sites if truth[site.label] == "fault"]
    stage.say(f"\nAll {len(truth)} verdicts are right: {len(broken)} stores fail.")
    # On others an undo by the device itself costs a reboot, which somebody must accept by name.
    return next(site.label for site in broken if site.gateway.platform in FREE_UNDO)


def _first_finding(stage: _Stage, label: str) -> str:
    findings = _sites(stage)[label]["findings"]
    assert isinstance(findings, list)  # noqa: S101 - narrows the type for mypy
    return str(findings[0]["id"])
