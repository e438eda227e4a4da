"""``doctor`` says what is there and what is not; ``new`` starts what fails until it is right."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mtughost.content.root import ENGINE_FOLDERS


@pytest.fixture
def project(command, tmp_path):
    directory = tmp_path / "chain"
    assert command("init", str(directory)).code == 0
    return directory


def checks(shown):
    return {(c["name"], c["state"]): c["said"] for c in json.loads(shown.out)["checks"]}


def test_a_machine_and_an_installation_are_described(command):
    shown = command("doctor")

    assert shown.code == 0, shown.out
    for words in ("mtughost", "task books are valid", "sites", "lab"):
        assert words in shown.out


def test_a_project_of_ones_own_is_looked_at(command, project):
    found = checks(command("--project", str(project), "doctor", "--json", "-"))

    assert str(project) in found["project", "ok"]
    assert "project content" in found["content", "ok"] or found["content", "ok"]
    assert "22 of 22 devices have no host key" in found["known_hosts", "note"]
    assert "names 0 signers" in found["signing", "note"]
    # Its inventory is still the lab's, whose key is nowhere.
    assert "does not exist" in found["credentials", "bad"]


def test_a_broken_task_book_ends_with_3_and_its_line(command, project):
    book = project / "tasks" / "fortinet.yaml"
    book.write_text(book.read_text().replace("pipeline: unproven", "pipeline: perhaps"))

    shown = command("--project", str(project), "doctor")

    assert shown.code == 3
    assert "fortinet.yaml" in shown.out
    assert "pipeline" in shown.out


def test_a_platform_says_what_it_can_do_and_on_what_basis(command):
    shown = command("doctor", "--platform", "linux")

    assert shown.code == 0
    assert "detached-restore (device)" in shown.out
    assert "ip -4 route show table all" in shown.out
    assert command("doctor", "--platform", "abacus").code == 3


def test_a_shell_needs_no_prompt(command, project):
    shown = command("--project", str(project), "new", "platform", "shelly", "--driver", "exec")

    assert shown.code == 0, shown.err
    assert "prompt" not in (project / "tasks" / "shelly.yaml").read_text()


def test_a_new_platform_is_a_valid_book_whose_test_fails_until_somebody_wrote_it(command, project):
    shown = command("--project", str(project), "new", "platform", "abacus")

    assert shown.code == 0, shown.err
    told = command("--project", str(project), "doctor", "--platform", "abacus").out
    assert "unconfirmed 1" in told
    assert pytest_of(project) == 1
    case = project / "tests" / "fixtures" / "parsers" / "abacus" / "version"
    (case / "first.raw").write_text("Abacus 7, beads 10\n")
    rows = [{"LINE": 1, "OS_VERSION": "7"}]
    (case / "first.json").write_text(json.dumps({"rows": rows, "unplaced": []}))
    template = project / "parsers" / "abacus" / "version.textfsm"
    rule = "  ^Abacus ${OS_VERSION}, beads \\d+$$ -> Record\n"
    template.write_text(
        template.read_text()
        .replace("OS_VERSION (\\S+)", "OS_VERSION (\\d+)")
        .replace("  ^\\s*$$\n", rule)
    )
    assert pytest_of(project) == 0
    again = command("--project", str(project), "new", "platform", "abacus")
    assert again.code == 2
    assert "exists already" in again.err


def pytest_of(project):
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_parsers.py"]
    return subprocess.run(argv, cwd=project, check=False, capture_output=True).returncode


def test_a_new_parser_has_the_columns_of_its_kind_and_the_sample_as_its_case(
    command, project, tmp_path
):
    sample = tmp_path / "told.txt"
    sample.write_bytes(b"wan1 mtu 1492\r\n")
    argv = ["--command", "show links", "--kind", "interfaces", "--sample", str(sample)]

    shown = command("--project", str(project), "new", "parser", "fortinet", "links2", *argv)

    assert shown.code == 0, shown.err
    template = (project / "parsers" / "fortinet" / "links2.textfsm").read_text()
    assert "# show links" in template
    assert "Value MTU (\\S+)" in template
    raw = project / "tests" / "fixtures" / "parsers" / "fortinet" / "links2" / "first.raw"
    assert raw.read_text() == "wan1 mtu 1492\n"
    assert "- {command: links2, parser: links2}" in shown.out


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["new", "platform", "Ab/acus"], "no plain word"),
        (["new", "parser", "abacus", "x", "--command", "x"], "no task book"),
        (["new", "parser", "linux", "x", "--command", "x", "--kind", "moods"], "no kind of fact"),
        (["new", "parser", "linux", "links-x", "--command", "x", "--sample", "/nope"], "read"),
    ],
)
def test_what_cannot_be_started_says_why(command, project, argv, reason):
    shown = command("--project", str(project), *argv)

    assert shown.code in {2, 3}
    assert reason in shown.err


def test_the_shipped_content_is_not_written_to(command, tmp_path):
    shown = command("new", "platform", "abacus", "--into", str(tmp_path))

    assert shown.code == 2
    assert ", ".join(ENGINE_FOLDERS) in shown.err
