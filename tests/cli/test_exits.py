"""Exit codes (DESIGN section 9): a script must be able to rely on every one of them."""

from __future__ import annotations

import io
import os
import re
import subprocess
from pathlib import Path

import pytest

from mtughost.app.labs import own_command
from mtughost.cli.context import Globals
from mtughost.cli.exits import exit_code_of, run_guarded
from mtughost.model.errors import NeedsHumanError, PlanRefusedError
from mtughost.model.findings import AuditReport, HostStatus, SiteReport

CODES = {"ok": 0, "unknown": 11, "fault": 10, "latent": 10, "not-mtu": 10}


def report_of(*verdicts, failed=0, skipped=0):
    statuses = ["failed"] * failed + ["skipped"] * skipped + ["ok"]
    return AuditReport(
        run_id="20261121T090000Z-aaaaaa",
        started_utc="2026-11-21T09:00:00Z",
        tool="mtughost",
        content_digest="sha256:0",
        hosts=tuple(
            HostStatus(host=f"h{n}", site="s1", role="ap", status=status)
            for n, status in enumerate(statuses)
        ),
        sites=tuple(SiteReport(site=f"s{n}", verdict=v) for n, v in enumerate(verdicts)),
    )


@pytest.mark.parametrize(
    ("report", "code"),
    [
        *((report_of(verdict), code) for verdict, code in CODES.items()),
        (report_of("ok", "unknown"), 11),
        (report_of("ok", "unknown", "latent"), 10),
        (report_of("unknown", failed=1), 4),
        (report_of("ok", skipped=1), 4),
        (report_of("ok", "fault", failed=1, skipped=1), 10),
    ],
)
def test_an_audit_ends_with_the_worst_that_it_found(report, code):
    assert exit_code_of(report) == code


@pytest.mark.parametrize(
    "words",
    [
        ("no-such-command",),
        ("audit", "--no-such-option"),
        ("audit", "--probe", "everything"),
        ("audit", "--capture", "long"),
        ("explain",),
        ("explain", "no-such-finding"),
        ("plan", "--site", "s001"),
        ("--project", "/no/such/directory", "audit"),
        ("audit", "--inventory", "/no/such/directory"),
        ("audit", "--site", "no-such-store"),
        ("audit", "--filter", "colour=red"),
        ("audit", "--filter", "role=jump"),
        ("pcap", "/no/such/file"),
        ("parse", "/no/such/file", "--platform", "linux", "--command", "uname -n"),
        ("parse", "-", "--platform", "linux", "--command", "rm -rf /"),
        ("trust", "."),
        ("lab", "up", "--style", "ipfw"),
        ("enroll", "no-such-device"),
    ],
    ids=" ".join,
)
def test_a_command_line_that_cannot_be_meant_is_2_with_one_readable_line(
    command, words, monkeypatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("some output\n"))
    done = command(*words)

    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.startswith("mtughost: ")
    assert len(done.err.splitlines()) == 1


WRONG = {
    "unknown key": ("  platfrom: linux\n", r"hosts\.yaml:12: s001-ap1: platfrom: "),
    "unknown platform": ("  platform: ciscoo\n", r"hosts\.yaml:12: s001-ap1: platform: .*linux"),
    "missing jump host": (
        "    jump: nowhere\n",
        r"hosts\.yaml:\d+: s001-ap1: data\.jump: .*nowhere",
    ),
    "two readings": ("    vdom: no\n", r"hosts\.yaml:12: "),
    "not YAML": ("  data: [\n", r"hosts\.yaml:\d+: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_inventory_is_3_with_file_line_host_and_key_before_anything_is_sent(
    command, make_inventory, env, case
):
    line, expected = WRONG[case]
    text = HOSTS_WITHOUT_PLATFORM if case == "unknown platform" else HOSTS
    folder = make_inventory(hosts=text + line)

    for words in (("audit",), ("inventory", "check"), ("enroll",), ("diagnose", "s001")):
        done = command(*words, "--inventory", folder)

        assert done.code == 3, done.err
        assert done.out == ""
        assert re.search(expected, done.err), done.err
    assert not list(Path(env["XDG_STATE_HOME"]).rglob("*.log"))


HOSTS = """\
s001-ap1:
  hostname: 127.0.0.1
  port: 1
  platform: linux
  username: audit
  data:
    site: s001
    role: ap
    password_ref: "env:NO_SUCH_SECRET"
    services:
      - {name: radsec, host: 203.0.113.10, port: 2083}
"""
HOSTS_WITHOUT_PLATFORM = HOSTS.replace("  platform: linux\n", "  groups: [retail]\n")
TWIN = HOSTS.replace("s001-ap1", "s002-ap1").replace("site: s001", "site: s002")


def test_the_same_address_port_and_jump_host_twice_is_3_and_names_both(command, make_inventory):
    done = command("audit", "--inventory", make_inventory(hosts=HOSTS + TWIN))

    assert done.code == 3
    assert re.search(r"hosts\.yaml:\d+: s002-ap1: hostname: .*s001-ap1", done.err)


def test_all_problems_of_an_inventory_are_told_at_once(command, make_inventory):
    both = HOSTS + "  colour: red\n" + TWIN + "  shape: round\n"
    done = command("audit", "--inventory", make_inventory(hosts=both))

    assert done.code == 3
    assert re.findall(r"(s\d+-ap1: \w+): unknown key", done.err) == [
        "s001-ap1: colour",
        "s002-ap1: shape",
    ]


def test_a_missing_host_file_is_3(command, tmp_path):
    (tmp_path / "empty").mkdir()
    done = command("inventory", "check", "--inventory", tmp_path / "empty")

    assert done.code == 3
    assert "hosts.yaml" in done.err


def test_a_wrong_setting_is_3_with_file_and_key(command, tmp_path):
    project = tmp_path / "mine"
    assert command("init", project).code == 0
    (project / "mtughost.toml").write_text("[policy]\noverall = 1000\n")
    done = command("inventory", "check", "--project", project)

    assert done.code == 3
    assert f"{project / 'mtughost.toml'}: policy.overall: " in done.err


def test_a_wrong_task_book_is_3_with_file_line_and_key(command, tmp_path):
    project = tmp_path / "mine"
    assert command("init", project).code == 0
    book = project / "tasks" / "linux.yaml"
    lines = book.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("commands:"))
    lines.insert(at, "colour: red")
    book.write_text("\n".join(lines) + "\n")
    done = command("inventory", "check", "--project", project)

    assert done.code == 3
    assert re.search(rf"linux\.yaml:{at + 1}: colour: ", done.err), done.err


def test_devices_that_failed_and_no_finding_is_4(shell, make_inventory):
    done = shell("audit", "--inventory", make_inventory())

    assert done.returncode == 4, done.stderr
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("s001-ap1: ")]
    assert "no TCP connection to 127.0.0.1 port 1" in line


@pytest.mark.parametrize(("error", "code"), [(PlanRefusedError, 5), (NeedsHumanError, 7)])
def test_an_error_of_ours_owns_its_exit_code(error, code, capsys):
    def fail():
        raise error("the device drifted", todo="Plan again")

    assert run_guarded(fail) == code
    assert capsys.readouterr().err == "mtughost: the device drifted. Plan again\n"


def test_a_bug_is_1_with_a_crash_log_that_only_its_owner_reads_and_that_holds_no_secret(
    env, capsys, monkeypatch
):
    monkeypatch.setenv("XDG_STATE_HOME", env["XDG_STATE_HOME"])

    def broken():
        password = "hunter2-not-real"
        return len(password) // 0

    assert run_guarded(broken) == 1
    shown = capsys.readouterr()
    (log,) = Path(env["XDG_STATE_HOME"], "mtughost", "crash").iterdir()
    assert shown.err == f"mtughost: this is a bug of ours. Please report {log}\n"
    assert log.stat().st_mode & 0o777 == 0o600
    text = log.read_text()
    assert "ZeroDivisionError" in text
    assert text.startswith("mtughost ")
    assert "hunter2" not in text


def test_ctrl_c_is_130_and_says_so(capsys):
    def stopped():
        raise KeyboardInterrupt

    assert run_guarded(stopped) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "clamp-scope"),
        ("pcap", "{}/tests/fixtures/captures/site-a.pcap", "--json", "-"),
    ],
    ids=["text", "json"],
)
def test_a_reader_that_goes_away_is_no_error(env, tmp_path, checkout, words):
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [*own_command(), *(word.format(checkout) for word in words)],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=env,
        cwd=tmp_path,
        text=True,
    )
    os.close(writing)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 0
    assert errors == ""


#: What a device may have as a description: a clipboard write, a cleared screen, turned text.
HOSTILE = "+description \x1b]52;c;eA==\x07 \x1b[2J \x9b2J \u202e x"


def test_neither_an_error_nor_a_remark_that_quotes_a_device_acts_on_the_terminal(capsys):
    def refuse():
        shared = Globals()
        shared.say(f"gw1: {HOSTILE}")
        shared.out.print(HOSTILE, markup=False)
        raise PlanRefusedError(f"gw1 has drifted:\n{HOSTILE}", todo="Plan again")

    assert run_guarded(refuse) == 5
    told = capsys.readouterr()

    for stream in told:
        assert r"\x1b]52;c;eA==\x07 \x1b[2J \x9b2J \u202e x" in stream
        assert not set(stream) & set("\x1b\x07\x9b\u202e")
    assert told.err.endswith("\nPlan again\n")
