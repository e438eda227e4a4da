"""The command as a shell starts it, and as a function; no device is involved."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtughost.app.labs import own_command
from mtughost.cli.main import run

HOST = """\
s001-ap1:
  hostname: 127.0.0.1
  port: {port}
  platform: linux
  username: audit
  data:
    site: s001
    role: ap
    password_ref: "env:NO_SUCH_SECRET"
    services:
      - {{name: radsec, host: 203.0.113.10, port: 2083}}
"""


@pytest.fixture
def env(tmp_path_factory, checkout) -> dict[str, str]:
    """An environment of its own: nobody's project, nobody's state."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    state = tmp_path_factory.mktemp("state")
    return {
        **kept,
        "XDG_STATE_HOME": str(state),
        "PYTHONPATH": str(checkout),
        "TERM": "xterm-256color",
    }


@pytest.fixture
def shell(env, tmp_path):
    """Type a command line in a directory where nothing is."""

    def typed(*words, cwd=None, **more):
        argv = [*own_command(), *map(str, words)]
        return subprocess.run(
            argv,
            env={**env, **more},
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return typed


@dataclass(frozen=True)
class Printed:
    code: int
    out: str
    err: str


@pytest.fixture
def command(env, monkeypatch, capsys, tmp_path):
    """Run a command line in this process: quicker, and all the same to argument parsing."""
    for name in ("MTUGHOST_PROJECT", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", env["XDG_STATE_HOME"])
    monkeypatch.chdir(tmp_path)

    def called(*words):
        code = run([str(word) for word in words])
        out, err = capsys.readouterr()
        return Printed(code, out, err)

    return called


@pytest.fixture
def make_inventory(tmp_path):
    """Write an inventory; each file's text is given, a device that refuses connections if not."""

    def make(name: str = "stores", hosts: str = HOST.format(port=1), **files: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, text in {"hosts": hosts, **files}.items():
            (folder / f"{file}.yaml").write_text(text)
        return folder

    return make
