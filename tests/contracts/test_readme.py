"""Every command of the README is run, in its order, as a newcomer would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

#: Commands that look at sites end with 10 where they find something, and the tour plants faults.
LOOKING = re.compile(r"\bmtughost (audit|diagnose|report|pcap)\b")
#: Run by .ci/run itself, from a fresh clone: they would run this very test again.
SET_UP = {"make demo", "make test"}


def console_commands(text):
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def python_programs(text):
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", text, re.DOTALL)
    return dict(blocks)


@pytest.fixture(scope="module")
def readme(checkout):
    return (checkout / "README.md").read_text(encoding="utf-8")


def test_the_set_up_commands_are_make_targets_that_ci_runs(readme, checkout):
    targets = (checkout / "Makefile").read_text(encoding="utf-8")
    ci = (checkout / ".ci" / "run").read_text(encoding="utf-8")
    shown = [command for command in console_commands(readme) if command.startswith("make")]

    assert set(shown) == SET_UP
    assert all(f"\n{command.split()[1]}: " in targets for command in shown)
    assert all(re.search(rf"^.*&& {command}$", ci, re.MULTILINE) for command in shown)


@pytest.mark.lab
@pytest.mark.timeout(420)
def test_every_other_command_of_the_readme_works_in_its_order(readme, checkout, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    launcher = programs / "mtughost"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mtughost "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    (work / "tests").symlink_to(checkout / "tests")
    environment = work / ".venv" / "bin"
    environment.mkdir(parents=True)
    python = environment / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    for name, program in python_programs(readme).items():
        (work / name).write_text(program, encoding="utf-8")
    env = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    env.pop("MTUGHOST_PROJECT", None)
    commands = [command for command in console_commands(readme) if command not in SET_UP]
    codes = {}
    try:
        for command in commands:
            done = subprocess.run(
                command, shell=True, cwd=work, env=env, check=False, capture_output=True, text=True
            )
            codes[command] = done.returncode
            expected = {0, 10} if LOOKING.search(command) else {0}
            assert done.returncode in expected, f"{command}\n{done.stdout}\n{done.stderr}"
    finally:
        subprocess.run([launcher, "lab", "down", "--all"], env=env, check=False)

    assert len(codes) > 15
    assert all(any(name in command for command in commands) for name in python_programs(readme))
    assert codes["mtughost lab exec tour -- mtughost audit"] == 10
    assert codes["mtughost lab exec tour -- mtughost audit --site s001"] == 0
    assert "<svg" in Path(work / "report.html").read_text(encoding="utf-8")
