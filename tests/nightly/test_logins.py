"""A thousand logins in one process leave nothing behind in it."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mtughost.app.fleets import virtual_fleet
from mtughost.app.project import init_project
from mtughost.lab.fleet import FleetSpec

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
pytestmark = pytest.mark.timeout(3600)

CYCLES = 1000 if FULL else 60
HERE = Path(__file__).parent


@pytest.fixture
def openssh(module_at, tmp_path):
    """A project with one device, which is a real OpenSSH server on this machine."""
    farm = module_at(HERE.parent / "wire" / "conftest.py").SshdFarm(tmp_path)
    server = farm.start()
    project = tmp_path / "project"
    init_project(project, env={"XDG_STATE_HOME": str(tmp_path)})
    hosts = """
        {name}:
          hostname: 127.0.0.1
          port: {port}
          platform: linux
          username: {user}
          data: {{site: {name}, role: gateway, key_file: {key}}}
    """
    # One address twice is an error: the unknown one is the same machine by another of its own.
    text = "".join(
        textwrap.dedent(hosts).format(
            name=name, port=server.port, user=getpass.getuser(), key=server.user_key
        ).replace("127.0.0.1", address)
        for name, address in (("good", "127.0.0.1"), ("unknown", "localhost"))
    )  # fmt: skip
    (project / "inventory" / "hosts.yaml").write_text(text, encoding="utf-8")
    for name in ("groups.yaml", "defaults.yaml"):
        (project / "inventory" / name).unlink()
    key = server.host_key
    (project / "known_hosts").write_text(f"good {key.key_type} {key.base64}\n", encoding="utf-8")
    yield project, "good", "unknown"
    farm.stop()


@pytest.fixture
def command_line(tmp_path, monkeypatch):
    """A project with virtual routers; one of them has no recorded key."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    spec = FleetSpec(sites=2, vendors=("cisco_xe",), with_aps=False)
    with virtual_fleet(spec, name="logins") as fleet:
        good, unknown = (site.gateway.identity.name for site in fleet.sites)
        known = fleet.project / "known_hosts"
        lines = known.read_text(encoding="utf-8").splitlines(keepends=True)
        known.write_text("".join(line for line in lines if not line.startswith(unknown)))
        yield fleet.project, good, unknown


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("openssh", marks=pytest.mark.nightly(basis="real program")),
        pytest.param("command_line", marks=pytest.mark.nightly(basis="emulated command line")),
    ],
)
def test_logins_leave_no_descriptor_no_thread_and_less_than_20_mb(kind, request, note):
    project, good, unknown = request.getfixturevalue(kind)
    argv = [sys.executable, HERE / "cycles.py", project, str(CYCLES), good, unknown]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=3400)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    before, after = seen["before"], seen["after"]
    note("logins", CYCLES)
    note("refused besides", seen["refused"])
    note("descriptors left", round(after["descriptors"] - before["descriptors"]))
    note("threads left", round(after["threads"] - before["threads"]))
    note("growth, MB", round(after["resident_mb"] - before["resident_mb"], 1))

    assert seen["refused"] > CYCLES / 10
    assert after["descriptors"] == before["descriptors"]
    assert after["threads"] == before["threads"] == 1
    assert after["resident_mb"] - before["resident_mb"] < 20
