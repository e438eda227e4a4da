"""The demo where no lab can run: the same commands on virtual devices, without privileges.

What no emulation can prove is left out and said: there is no kernel in between, so no capture, no
probe, and no repair, because a repair is kept only when packets prove the service.
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
        "\nLeft out here, because it takes real packets: captures and probes, and plan, approve and"
        "\napply, whose last step proves the service on the wire. The lab does all of it: run"
        "\n`mtughost demo --on lab` on a Linux machine that allows namespaces."
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
    broken = [label for label, verdict in truth.items() if verdict == "fault"]
    stage.say(f"\nAll {len(truth)} verdicts are right: {len(broken)} stores were made to fail.")
    return broken[0]


def _first_finding(stage: _Stage, label: str) -> str:
    findings = _sites(stage)[label]["findings"]
    assert isinstance(findings, list)  # noqa: S101 - narrows the type for mypy
    return str(findings[0]["id"])
