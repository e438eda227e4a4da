"""A fleet half of which is away, with a device that hangs for every worker; and a disk that fills.

The routers are virtual, the run is whole: two worker processes, the run store on disk, exit codes.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess

import pytest
import yaml

from mtughost.app.labs import own_command
from mtughost.lab.fleet import Account, Fleet, FleetSpec, make_sites, write_project
from mtughost.lab.fleet.project import OPERATOR
from mtughost.lab.pki import ssh_key

WELL, AWAY, STUCK = 6, 4, 2
#: No file may grow beyond this: what some devices answered fits into the store, not all.
FULL_BYTES = 150000
STORE, DEVICES_FAILED = 3, 4


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Routers that answer, addresses where nobody listens, and listeners that say nothing."""
    key, other = ssh_key(), ssh_key()
    account = Account(username=OPERATOR, public_key=key.public)
    mute = [socket.create_server(("127.0.0.1", 0)) for _ in range(STUCK)]
    shut = socket.create_server(("127.0.0.1", 0))
    nobody = shut.getsockname()[1]
    shut.close()
    with Fleet() as fleet:
        spec = FleetSpec(sites=WELL, seed=5, vendors=("cisco_xe",), with_aps=False)
        sites = make_sites(spec, clock=fleet.clock, accounts=(account,))
        fleet.start([site.gateway for site in sites])
        root = tmp_path_factory.mktemp("trouble") / "stores"
        write_project(root, fleet, sites, (key, other))
        path = root / "inventory" / "hosts.yaml"
        hosts = yaml.safe_load(path.read_text())
        known = (root / "known_hosts").read_text()
        some_key = known.split("\n", 1)[0].partition(" ")[2]
        ports = [nobody] * AWAY + [sock.getsockname()[1] for sock in mute]
        for number, port in enumerate(ports, WELL + 1):
            name = f"s{number:04}-gw1"
            data = {"site": name.partition("-")[0], "role": "gateway"}
            hosts[name] = {
                "hostname": f"127.0.1.{number}" if port == nobody else "127.0.0.1",
                "port": port,
                "platform": "cisco_xe",
                "groups": ["fleet"],
                "data": data,
            }
            known += f"{name} {some_key}\n"
        path.write_text(yaml.safe_dump(hosts))
        (root / "known_hosts").write_text(known)
        with (root / "mtughost.toml").open("a") as settings:
            settings.write("connect_timeout_s = 1.0\nprocesses = 2\n")
        yield root
    for sock in mute:
        sock.close()


@pytest.fixture(scope="module")
def typed(project):
    """Type a command of this project, with a limit of what a file may hold."""

    def run(*words, most_bytes=resource.RLIM_INFINITY):
        return subprocess.run(
            [*own_command(), "--project", project, *words],
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def audit(typed):
    return typed("audit", "--json", "-")


def test_everybody_asked_is_accounted_for_and_who_is_well_was_read(audit):
    hosts = json.loads(audit.stdout)["hosts"]

    assert [host["status"] for host in hosts] == ["ok"] * WELL + ["failed"] * (AWAY + STUCK)
    assert {host.get("error_kind") for host in hosts[WELL : WELL + AWAY]} == {"unreachable"}
    assert all(host["error"] for host in hosts[WELL:])


def test_each_failure_is_said_at_once_and_the_exit_code_tells(audit):
    assert audit.returncode == DEVICES_FAILED, audit.stderr
    for number in range(WELL + 1, WELL + AWAY + STUCK + 1):
        assert f"s{number:04}-gw1: " in audit.stderr


def test_a_site_that_nobody_could_read_is_unknown_and_never_well(audit):
    verdicts = {site["site"]: site["verdict"] for site in json.loads(audit.stdout)["sites"]}

    assert len(verdicts) == WELL + AWAY + STUCK
    assert {verdicts[f"s{n:04}"] for n in range(WELL + 1, len(verdicts) + 1)} == {"unknown"}


def test_a_full_disk_ends_the_run_keeps_the_finished_part_and_lets_it_go_on(typed):
    well = ("audit", "--site", f"s000[1-{WELL}]")
    full = typed(*well, most_bytes=FULL_BYTES)
    run_id = full.stderr.split("run ", 1)[1].split()[0]
    again = typed(*well, "--run", run_id, "--json", "-")

    assert full.returncode == STORE, full.stderr
    assert "the run store" in full.stderr
    assert "what was recorded before is safe" in full.stderr
    assert "Traceback" not in full.stderr
    left = int(re.search(r"reading: (\d+)", again.stderr)[1])
    assert 0 < left < WELL
    assert {host["status"] for host in json.loads(again.stdout)["hosts"]} == {"ok"}
