"""The demo where the lab of real kernels cannot run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from mtughost.app.demo import run_demo
from mtughost.model.errors import UsageError


def test_where_the_lab_cannot_run_the_demo_does_its_job_on_virtual_devices_and_says_so(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    # Whatever this machine has, this run finds no server of RADIUS and no tcpdump.
    for name in ("sh", "ssh-keygen"):
        (programs / name).symlink_to(shutil.which(name))
    argv = [sys.executable, "-P", "-m", "mtughost", "demo", "--out", str(tmp_path / "out")]
    env = {**os.environ, "PATH": str(programs), "XDG_STATE_HOME": str(tmp_path / "state")}

    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "The lab of real kernels cannot run here: the lab needs programs" in done.stdout
    # Before the repair and after it, held against what the emulated gateways do.
    before, after = re.findall(r"All 12 verdicts are right: (\d) stores fail", done.stdout)
    assert int(after) == int(before) - 1
    assert "confirmed" in done.stdout
    assert "Left out here" in done.stdout
    assert "<svg" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert list((tmp_path / "out").glob("evidence-*.zip"))
    assert list((tmp_path / "state").rglob("lab.json")) == []


def test_a_demo_on_something_else_is_refused(tmp_path):
    with pytest.raises(UsageError, match="auto, lab, fleet"):
        run_demo(tmp_path, on="moon", say=print)
