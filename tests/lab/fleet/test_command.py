"""``mtughost lab fleet``: up, audited by the ordinary commands, listed, taken down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mtughost.lab.fleet.vendors import VENDORS


@pytest.fixture
def run(tmp_path):
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}

    def command(*argv):
        return subprocess.run(
            [sys.executable, "-m", "mtughost", *argv],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    command.env = env
    return command


@pytest.fixture
def fleet(run):
    sites = str(2 * len(VENDORS))
    process = subprocess.Popen(
        [sys.executable, "-m", "mtughost", "lab", "fleet", "--sites", sites, "--seed", "3"],
        env=run.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    project = ""
    for line in process.stdout:
        if line.startswith("project: "):
            project = line.removeprefix("project: ").strip()
        if line.startswith("next:"):
            break
    yield process, project
    run("lab", "down", "fleet")
    process.wait(10)
    process.stdout.close()


def test_a_fleet_is_audited_like_real_stores_and_taken_down(run, fleet, tmp_path):
    process, project = fleet
    out = tmp_path / "audit.json"

    done = run("--project", project, "audit", "--json", str(out))

    report = json.loads(out.read_text())
    assert done.returncode == 10, done.stdout + done.stderr
    assert {host["status"] for host in report["hosts"]} == {"ok"}
    assert len(report["hosts"]) == 4 * len(VENDORS)
    verdicts = {site["site"]: site["verdict"] for site in report["sites"]}
    undecided = {name for name, verdict in verdicts.items() if verdict == "unknown"}
    assert set(verdicts.values()) - {"unknown"} == {"fault", "ok"}
    # Only where the vendor's documents leave open which interface rewrites the MSS.
    assert undecided <= sites_of(project, "paloalto_panos")
    assert not any("duplicate" in f["id"] for s in report["sites"] for f in s["findings"])
    # What the access point says of itself is the emulation's own truth.
    broken = {
        site["site"]
        for site in report["sites"]
        if any(finding["id"].startswith("clamp-") for finding in site["findings"])
    }
    assert broken == {name for name, verdict in verdicts.items() if verdict == "fault"}
    basis = {e["basis"] for s in report["sites"] for f in s["findings"] for e in f["evidence"]}
    assert basis == {"emulation"}
    assert sites_read_by_two_processes(run, project, tmp_path) == report["sites"]
    assert "fleet: running" in run("lab", "list").stdout
    assert run("lab", "path", "fleet").stdout.strip() == project
    assert run("lab", "fleet", "--sites", "1").returncode != 0
    assert run("lab", "down", "fleet").returncode == 0
    assert process.wait(10) != 0


def sites_of(project, platform):
    hosts = yaml.safe_load(Path(project, "inventory/hosts.yaml").read_text(encoding="utf-8"))
    return {h["data"]["site"] for h in hosts.values() if h["platform"] == platform}


def sites_read_by_two_processes(run, project, tmp_path):
    settings = Path(project, "mtughost.toml")
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("[policy]\n", "[policy]\nprocesses = 2\n"), encoding="utf-8")
    out = tmp_path / "two.json"
    done = run("--project", project, "audit", "--json", str(out))
    settings.write_text(text, encoding="utf-8")

    assert "processes = 2" not in text
    assert done.returncode == 10, done.stdout + done.stderr
    return json.loads(out.read_text())["sites"]


def test_a_vendor_that_does_not_exist_is_a_usage_error(run):
    done = run("lab", "fleet", "--sites", "1", "--vendor", "carpets")

    assert done.returncode == 2
    assert "Known: " in done.stderr
