"""Commands that the documents show, typed as a newcomer would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


class Newcomer:
    """Types shell lines in a directory of their own, with ``mtughost`` on PATH."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        programs = folder / "bin"
        programs.mkdir()
        self.launcher = programs / "mtughost"
        self.launcher.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -m mtughost "$@"\n', encoding="utf-8"
        )
        self.launcher.chmod(0o755)
        self.work = folder / "work"
        self.work.mkdir()
        self.env = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(checkout),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.env.pop("MTUGHOST_PROJECT", None)
        self._brought_up = False

    def type(self, line: str) -> subprocess.CompletedProcess[str]:
        """Type one line."""
        self._brought_up |= "lab up" in line
        return subprocess.run(
            line,
            shell=True,
            cwd=self.work,
            env=self.env,
            check=False,
            capture_output=True,
            text=True,
        )

    def leave(self) -> None:
        """Take down every lab that was brought up."""
        if self._brought_up:
            subprocess.run([self.launcher, "lab", "down", "--all"], env=self.env, check=False)


@pytest.fixture
def newcomer(tmp_path, checkout):
    somebody = Newcomer(tmp_path, checkout)
    yield somebody
    somebody.leave()


@pytest.fixture(scope="session")
def console_commands():
    """Return a function that finds the commands in a document's console blocks, in order."""

    def find(text: str) -> list[str]:
        blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
        return [line[2:] for block in blocks for line in block.splitlines() if line[:2] == "$ "]

    return find
