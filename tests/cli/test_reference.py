"""The reference says what ``--help`` says: it is made from the same declarations."""

import shutil
import subprocess

import pytest


def test_the_reference_names_every_command_that_does_something_with_its_options(command):
    shown = command("reference")
    help_of_audit = command("audit", "--help").out

    assert shown.code == 0
    assert "## mtughost evidence verify" in shown.out
    assert "## mtughost evidence\n" in shown.out  # a group that is a command as well
    assert "## mtughost lab\n" not in shown.out  # a group that is none
    section = shown.out.split("## mtughost audit\n")[1].split("\n## ")[0]
    options = [line.split("`")[1].split()[0] for line in section.splitlines() if line[:3] == "- `"]
    assert "--probe" in options
    assert all(option.rstrip(",") in help_of_audit for option in options)


def test_exit_codes_stand_in_both_forms(command):
    assert "- 130: interrupted" in command("reference").out
    assert ".B 130\ninterrupted" in command("reference", "--man").out


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed here")
def test_the_man_page_is_set_without_a_warning_and_shows_dashes_and_dots(command):
    page = command("reference", "--man").out
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww", "-P-cbou"],
        input=page,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert "MTUGHOST(1)" in done.stdout
    assert "--dry-run" in done.stdout
    assert "mtughost - find, prove and fix MTU and MSS black holes" in " ".join(done.stdout.split())
