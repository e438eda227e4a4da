"""Every command of the README is run, in its order, as a newcomer would."""

import re
import shutil
import sys
from pathlib import Path

import pytest

#: Commands that look at sites end with 10 where they find something, and the tour plants faults.
LOOKING = re.compile(r"\bmtughost (audit|diagnose|report|pcap)\b")
#: Run by .ci/run itself, from a fresh clone: they would run this very test again.
SET_UP = {"make demo", "make test"}
#: What bash does when somebody types ``mtughost au`` and Tab.
COMPLETE = r"""
source ~/.bashrc
function=$(complete -p mtughost | sed 's/.*-F \([^ ]*\) .*/\1/')
COMP_WORDS=(mtughost au) COMP_CWORD=1
"$function" mtughost au mtughost
echo "${COMPREPLY[@]}"
"""


def python_programs(text):
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", text, re.DOTALL)
    return dict(blocks)


@pytest.fixture(scope="module")
def readme(checkout):
    return (checkout / "README.md").read_text(encoding="utf-8")


def test_the_set_up_commands_are_make_targets_that_ci_runs(readme, checkout, console_commands):
    targets = (checkout / "Makefile").read_text(encoding="utf-8")
    ci = (checkout / ".ci" / "run").read_text(encoding="utf-8")
    shown = [command for command in console_commands(readme) if command.startswith("make")]

    assert set(shown) == SET_UP
    assert all(f"\n{command.split()[1]}: " in targets for command in shown)
    assert all(re.search(rf"^.*&& {command}$", ci, re.MULTILINE) for command in shown)


@pytest.mark.lab
@pytest.mark.timeout(420)
def test_every_other_command_of_the_readme_works_in_its_order(
    readme, checkout, console_commands, newcomer
):
    work = newcomer.work
    (work / "tests").symlink_to(checkout / "tests")
    environment = work / ".venv" / "bin"
    environment.mkdir(parents=True)
    python = environment / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    for name, program in python_programs(readme).items():
        (work / name).write_text(program, encoding="utf-8")
    commands = [command for command in console_commands(readme) if command not in SET_UP]
    codes = {}
    for command in commands:
        done = newcomer.type(command)
        codes[command] = done.returncode
        expected = {0, 10} if LOOKING.search(command) else {0}
        assert done.returncode in expected, f"{command}\n{done.stdout}\n{done.stderr}"

    assert len(codes) > 15
    assert all(any(name in command for command in commands) for name in python_programs(readme))
    assert codes["mtughost lab exec tour -- mtughost audit"] == 10
    assert codes["mtughost lab exec tour -- mtughost audit --site s001"] == 0
    assert "<svg" in Path(work / "report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed here")
def test_installing_the_completion_lets_a_shell_complete(readme, newcomer):
    newcomer.env["HOME"] = str(newcomer.work)
    install = "mtughost --install-completion"
    (newcomer.work / "complete.sh").write_text(COMPLETE, encoding="utf-8")
    # The command looks for the shell that started it, so that shell must still be there.
    installed = newcomer.type(f"bash -c '{install}; true'")
    completed = newcomer.type("bash --norc complete.sh")

    assert f"`{install}`" in readme
    assert "bash completion installed" in installed.stdout, installed.stderr
    assert completed.stdout.split() == ["audit"], completed.stderr
