"""What goes to standard output, what to standard error, and in which colour."""

from __future__ import annotations

import json
import os
import pty
import subprocess

import pytest

from mtughost.app.labs import own_command

CAPTURE = "tests/fixtures/captures/site-a.pcap"
ESCAPE = "\x1b["
FINDINGS, USAGE = 10, 2


@pytest.fixture
def audit(shell, make_inventory):
    """Audit a store whose only device refuses connections."""
    folder = make_inventory()

    def run(*words):
        done = shell(*words, "--inventory", folder)
        assert done.returncode == 4, done.stderr
        return done

    return run


def test_json_on_stdout_is_json_and_nothing_else(audit):
    done = audit("audit", "--json", "-")

    document = json.loads(done.stdout)
    assert document["schema"] == "mtughost/audit/v1"
    assert document["counts"]["hosts"] == {"asked": 1, "ok": 0, "failed": 1, "skipped": 0}
    assert "reading: 1" in done.stderr
    assert "s001" in done.stderr


def test_quiet_leaves_the_result_and_no_progress(audit):
    loud, quiet = audit("audit"), audit("audit", "--quiet", "--json", "-")

    assert "reading: 1" in loud.stderr
    assert "s001-ap1" in loud.stdout
    assert ESCAPE not in loud.stdout + loud.stderr
    assert quiet.stderr == ""
    assert json.loads(quiet.stdout)["sites"][0]["site"] == "s001"


def test_the_documents_are_whole_and_private_and_shown_again_from_the_store(
    audit, shell, tmp_path, make_inventory
):
    page, document = tmp_path / "out" / "report.html", tmp_path / "report.json"
    audit("audit", "--html", page, "--json", document)
    again = shell("report", "--json", "-")

    assert page.read_text().lower().startswith("<!doctype html>")
    assert {path.stat().st_mode & 0o777 for path in (page, document)} == {0o600}
    assert again.returncode == 4
    assert json.loads(again.stdout) == json.loads(document.read_text())
    assert not list(tmp_path.glob(".*"))


PARSE = ("parse", "-", "--platform", "linux", "--command", "uname -n")


@pytest.mark.parametrize("words", [("pcap", CAPTURE, "--json", "-"), PARSE])
def test_offline_commands_print_json_too(shell, checkout, words):
    done = shell(*(checkout / word if word == CAPTURE else word for word in words))

    assert done.returncode in {0, FINDINGS}
    json.loads(done.stdout)
    assert done.stderr == ""


def on_a_terminal(env, *words):
    """Run a command whose output is a terminal; return what that terminal got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*own_command(), *map(str, words)],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # the last one on the other side has gone
            break
        if not more:
            break
        seen += more
    os.close(ours)
    assert process.wait(30) == FINDINGS
    return seen.decode()


def test_colour_is_for_terminals_and_no_color_is_obeyed(env, checkout):
    coloured = on_a_terminal(env, "pcap", checkout / CAPTURE)
    plain = on_a_terminal({**env, "NO_COLOR": "1"}, "pcap", checkout / CAPTURE)

    assert ESCAPE in coloured
    assert "\x1b[3" not in plain
    assert "site-a.pcap: 34 packets" in plain


def test_stored_runs_are_listed_and_make_a_fleet_page(audit, shell, tmp_path):
    for _ in range(2):
        audit("audit")
    page = tmp_path / "fleet.html"

    listed = shell("report", "--list")
    shell("report", "--fleet", page)

    lines = listed.stdout.splitlines()
    assert [word for line in lines[1:] for word in line.split() if word == "audit"] == ["audit"] * 2
    assert "0 of 1 read" in listed.stdout
    assert listed.returncode == 0
    assert "Run by run" in page.read_text()
    assert page.stat().st_mode & 0o777 == 0o600


def test_what_collectors_read_is_readable_for_them(audit, shell, tmp_path):
    audit("audit")
    metrics, junit, csv = (tmp_path / name for name in ("m.prom", "j.xml", "s.csv"))
    before = os.umask(0o077)
    try:
        shell("report", "--metrics", metrics, "--junit", junit, "--csv", csv)
    finally:
        os.umask(before)

    assert {path.stat().st_mode & 0o777 for path in (metrics, junit)} == {0o644}
    assert csv.stat().st_mode & 0o777 == 0o600


def test_a_document_is_written_into_a_pipe_without_replacing_it(shell, checkout, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True)
    done = shell("pcap", checkout / CAPTURE, "--json", pipe)
    said, _ = reader.communicate(timeout=30)

    assert done.returncode == FINDINGS, done.stderr
    assert json.loads(said)["schema"].startswith("mtughost/")
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("target", "reason"),
    [("", "Is a directory"), ("file/report.json", "its folder is a file")],
)
def test_where_no_document_can_be_written_the_user_is_told_so(
    shell, checkout, tmp_path, target, reason
):
    (tmp_path / "file").touch()
    done = shell("pcap", checkout / CAPTURE, "--json", tmp_path / target)

    assert done.returncode == USAGE
    assert f"{tmp_path / target} cannot be written: {reason}" in done.stderr
    assert "Name another file" in done.stderr


def test_an_audit_tells_remarks_on_the_inventory_briefly_and_the_check_tells_all(shell, tmp_path):
    project = tmp_path / "stores"
    (project / "inventory").mkdir(parents=True)
    (project / "mtughost.toml").write_text("")
    rest = "platform: linux, username: u, password: 'env:NOT_SET', data: {role: ap, site: "
    hosts = [
        f"s{n:03}-ap1: {{hostname: 127.0.0.1, port: {n}, {rest}s{n:03}}}}}\n" for n in range(1, 41)
    ]
    (project / "inventory" / "hosts.yaml").write_text("".join(hosts))

    audit = shell("--project", project, "audit", "--site", "nowhere")  # nothing is dialled
    check = shell("--project", project, "inventory", "check")

    assert audit.stderr.count("no services") == 4, audit.stderr
    assert "and 37 more: no services" in audit.stderr
    assert check.stdout.count("no services") == 40
