"""The demo where no lab can run: the same commands on virtual devices, without privileges.

What no emulation can prove is left out and said: there is no kernel in between, so no capture, and
what a probe meets is a far end that the emulation let through or not.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from mtughost.app.demo_stage import FINDINGS, DemoError, Say, Stage
from mtughost.app.fleets import RunningFleet, virtual_fleet
from mtughost.app.labs import own_command
from mtughost.lab.fleet import FleetSpec

#: Of this seed each vendor's gateways are whole at some stores and broken at others.
SPEC = FleetSpec(sites=12, seed=3, vendors=("fortinet", "cisco_xe", "juniper_junos"))
#: Whose own timer takes a change back without a reboot.
FREE_UNDO = frozenset({"cisco_xe", "juniper_junos"})
AUDIT = "audit.json"


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
        _main_job(_stage(fleet, out, say), fleet)
    say(
        "\nLeft out here, because it takes real packets: captures, and the proof on the wire. What"
        "\nwas proven was proven on an emulation. The lab does all of it: `mtughost demo --on lab`,"
        "\non a Linux machine that allows namespaces."
    )
    say(f"\nDone in {time.monotonic() - started_s:.0f} s. Open {out / 'report.html'}")
    return 0


def _stage(fleet: RunningFleet, out: Path, say: Say) -> Stage:
    return Stage(
        out=out,
        project=fleet.project,
        typed=("mtughost", "--project", str(fleet.project)),
        command=lambda line: [*own_command(), *line[1:]],
        env={**os.environ, "MTUGHOST_PROJECT": ""},
        say=say,
    )


def _main_job(stage: Stage, fleet: RunningFleet) -> None:
    stage.step(1, "Audit all stores. It only reads.")
    stage.run("audit", "--html", "report.html", "--json", AUDIT, expect=(FINDINGS,))
    broken = _compare(stage, fleet)
    stage.hand_over(2, broken, broken)
    stage.step(3, "What a person does about the finding.")
    first = stage.sites(AUDIT)[broken]["findings"][0]["id"]
    stage.run("explain", first, "--site", broken)
    stage.repair(4, broken, broken)
    stage.step(7, "Audit again.")
    stage.run("audit", "--json", AUDIT, expect=(FINDINGS,))
    _compare(stage, fleet)


def _compare(stage: Stage, fleet: RunningFleet) -> str:
    """Hold every verdict against what the store's emulated gateway does; return a broken store.

    Raises:
        DemoError: a verdict is wrong.
    """
    verdicts = {label: site["verdict"] for label, site in stage.sites(AUDIT).items()}
    truth = {site.label: "ok" if site.works() else "fault" for site in fleet.sites}
    if verdicts != truth:
        wrong = {
            label: verdicts.get(label) for label in truth if verdicts.get(label) != truth[label]
        }
        raise DemoError(f"wrong verdicts: {wrong}", todo=f"Look at {stage.out / AUDIT}")
    broken = [site for site in fleet.sites if truth[site.label] == "fault"]
    stage.say(f"\nAll {len(truth)} verdicts are right: {len(broken)} stores fail.")
    # On others an undo by the device itself costs a reboot, which somebody must accept by name.
    return next(site.label for site in broken if site.gateway.platform in FREE_UNDO)
