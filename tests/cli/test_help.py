"""What ``--help`` promises, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command

from mtughost import __version__
from mtughost.cli.main import app

#: DESIGN section 9, as far as it is built.
COMMANDS = {
    *("audit", "diagnose", "report", "diff", "plan", "approve", "apply", "resume", "status"),
    *("pcap", "parse", "explain", "init", "trust", "enroll", "inventory check", "demo"),
    *("doctor", "new platform", "new parser"),
    *("lab up", "lab down", "lab list", "lab path", "lab exec", "lab run"),
}
#: Slow to import, or with a way to a device: nothing that --help needs.
HEAVY = ("netmiko", "paramiko", "asyncssh", "nornir", "keyring", "textfsm", "jinja2", "sqlite3")


def leaves(command, path=()):
    """Yield every command that does something, with its words."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


LEAVES = dict(leaves(get_command(app)))


def test_every_command_of_the_design_exists():
    assert {" ".join(path) for path in LEAVES} >= COMMANDS


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_help_of_every_command_says_what_it_does_and_names_its_options(command, path):
    shown = command(*path, "--help")

    assert shown.code == 0
    assert shown.err == ""
    declared = LEAVES[path]
    assert declared.help
    for parameter in declared.params:
        if parameter.param_type_name == "option":
            assert any(name in shown.out for name in parameter.opts), parameter.name
            assert parameter.help, f"{path} {parameter.name} is not explained"


def test_without_words_the_help_is_shown(command):
    shown = command()

    assert shown.code == 0
    assert "Usage: mtughost" in shown.out
    assert all(path[0] in shown.out for path in LEAVES)


def test_help_and_version_load_no_ssh_library(env, tmp_path):
    script = tmp_path / "loaded.py"
    script.write_text(
        "import sys\n"
        "from mtughost.cli.main import run\n"
        "codes = [run(['--help']), run(['audit', '--help']), run(['--version'])]\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('codes', codes, 'loaded', loaded)\n"
    )
    argv = [sys.executable, script]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.splitlines()[-1] == "codes [0, 0, 0] loaded []", done.stderr
    assert f"mtughost {__version__}" in done.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mtughost au", {"audit"}),
        ("mtughost lab ", {"up", "down", "exec"}),
        ("mtughost audit --pro", {"--probe"}),
        ("mtughost audit --probe ", {"none", "path", "service"}),
    ],
)
def test_the_shell_completes_commands_options_and_values(shell, line, expected):
    place = str(len(line.split(" ")) - 1)
    done = shell(_MTUGHOST_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=place)

    assert done.returncode == 0, done.stderr
    assert expected <= set(done.stdout.split())
    assert done.stderr == ""


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_can_be_shown(shell, kind):
    # --show-completion asks which shell started it; under make that is one without completion.
    done = shell(_MTUGHOST_COMPLETE=f"source_{kind}")

    assert done.returncode == 0
    assert "_MTUGHOST_COMPLETE" in done.stdout
