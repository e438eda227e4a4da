"""Which project a command works on: named ones, and never one that merely lies about."""

from __future__ import annotations

import pytest

from mtughost.cli.main import hoisted


@pytest.fixture
def project(command, tmp_path, make_inventory):
    """A project of one store, made by ``init``."""
    folder = tmp_path / "mine"
    assert command("init", folder).code == 0
    (folder / "inventory" / "hosts.yaml").write_text((make_inventory() / "hosts.yaml").read_text())
    for name in ("groups", "defaults"):
        (folder / "inventory" / f"{name}.yaml").unlink()
    return folder


ONE = "1 sites, 1 devices"


@pytest.mark.parametrize(
    "words",
    [
        ("--project", "{}", "inventory", "check"),
        ("inventory", "check", "--project", "{}"),
        ("inventory", "--project={}", "check"),
        ("inventory", "check", "--inventory", "{}/inventory"),
    ],
    ids=["before", "behind", "between", "inventory alone"],
)
def test_the_project_may_be_named_anywhere_on_the_line(command, project, words):
    done = command(*(word.format(project) for word in words))

    assert done.code == 0
    assert ONE in done.out


def test_the_inventory_option_wins_over_the_projects_own(command, project, make_inventory):
    other = make_inventory("other", "{}\n")
    done = command("inventory", "check", "--project", project, "--inventory", other)

    assert f"{project}" not in done.out
    assert str(other) in done.out + done.err


def test_the_environment_names_a_project_too(shell, project):
    done = shell("inventory", "check", MTUGHOST_PROJECT=str(project))

    assert ONE in done.stdout


def test_a_hostile_directory_changes_nothing_until_it_is_trusted(shell, project, env):
    trusted = f"{env['XDG_STATE_HOME']}/other"
    elsewhere = shell("inventory", "check", XDG_STATE_HOME=trusted)
    standing = shell("inventory", "check", cwd=project, XDG_STATE_HOME=trusted)

    assert standing.stdout == elsewhere.stdout
    assert ONE not in standing.stdout
    assert list((project / "state").iterdir()) == []

    assert shell("trust", project, XDG_STATE_HOME=trusted).returncode == 0
    afterwards = shell("inventory", "check", cwd=project, XDG_STATE_HOME=trusted)
    assert ONE in afterwards.stdout


def test_a_broken_project_in_a_hostile_directory_is_not_even_read(shell, project, env):
    (project / "mtughost.toml").write_text("[policy\n")
    (project / "tasks" / "linux.yaml").write_text("colour: red\n")
    (project / "mtughost").mkdir()
    (project / "mtughost" / "__init__.py").write_text("raise SystemExit('hostile code ran')\n")
    done = shell("inventory", "check", cwd=project, XDG_STATE_HOME=f"{env['XDG_STATE_HOME']}/other")

    assert done.returncode == 0, done.stderr
    assert "hostile" not in done.stderr


def test_words_behind_two_dashes_belong_to_somebody_else():
    line = ["lab", "exec", "x", "--", "mtughost", "--project", "p", "-q"]

    assert hoisted(["audit", "-q", "--project", "p"]) == ["-q", "--project", "p", "audit"]
    assert hoisted(line) == line
    assert hoisted(["audit", "--inventory"]) == ["--inventory", "", "audit"]
