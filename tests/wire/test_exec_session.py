"""Shell sessions against a real OpenSSH server."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from mtughost.wire.profile import WirePolicy

QUICK = WirePolicy(connect_timeout_s=3, banner_timeout_s=2, kex_timeout_s=2, auth_timeout_s=3)

SHELLS = {
    "dash": "/bin/dash -c",
    "bash": "/bin/bash -c",
    "busybox-ash": "/bin/busybox ash -c",
}


@pytest.fixture(params=SHELLS)
def shell_session(request, net, sshd_farm):
    runner = SHELLS[request.param]
    if not Path(runner.split()[0]).exists():
        pytest.skip(f"{request.param} is not installed")
    server = sshd_farm.start(f'ForceCommand exec {runner} "$SSH_ORIGINAL_COMMAND"')
    opened = net.open(net.add_sshd("ap1", server))
    yield opened
    opened.close()


def test_every_command_of_a_batch_gets_its_own_answer_in_every_shell(shell_session, command):
    answers = shell_session.ask(
        [
            command("echo one; echo two"),
            command("printf 'no line end'"),
            command("true"),
            command("echo \"it's 'quoted'\"; echo oops >&2; exit 3"),
            command("cat"),
            command("echo last", ok_exit_codes=(0,)),
        ]
    )

    assert [a.text for a in answers] == [
        "one\ntwo\n",
        "no line end",
        "",
        "it's 'quoted'\n",
        "",
        "last\n",
    ]
    assert [a.exit_code for a in answers] == [0, 0, 0, 3, 0, 0]
    assert [a.status for a in answers] == ["complete"] * 3 + ["rejected"] + ["complete"] * 2
    assert answers[3].stderr == "oops\n"
    assert "exit code 3: oops" in answers[3].error
    assert all(a.started_utc.endswith("Z") and a.duration_s >= 0 for a in answers)


def test_a_syntax_error_or_an_exit_spoils_only_its_own_command(shell_session, command):
    answers = shell_session.ask(
        [
            command("echo 'unbalanced"),
            command("exit 7"),
            command("cd /; x=1; exec >/dev/null; echo hidden"),
            command("echo ${x-unset}"),
        ]
    )

    assert [a.status for a in answers] == ["rejected", "rejected", "complete", "complete"]
    assert answers[1].exit_code == 7
    assert answers[3].text == "unset\n"


def test_an_exit_code_that_the_book_expects_is_an_answer(session, command):
    (answer,) = session.ask([command("exit 4", ok_exit_codes=(0, 4))])

    assert (answer.status, answer.exit_code) == ("complete", 4)


def test_a_command_that_prints_the_process_list_does_not_print_a_marker(session, command):
    answers = session.ask([command("ps ax -o args; cat /proc/*/cmdline"), command("echo after")])

    assert answers[0].status in ("complete", "rejected")  # processes come and go under /proc
    assert "_mg_a=" in answers[0].text
    assert answers[1].text == "after\n"


def test_a_late_command_times_out_and_the_others_still_answer(session, command):
    began = time.monotonic()
    answers = session.ask(
        [
            command("echo before"),
            command("echo partial; sleep 60", timeout_s=0.5),
            command("echo after"),
            command("echo end"),
        ]
    )

    assert [a.status for a in answers] == ["complete", "timeout", "complete", "complete"]
    assert [a.text for a in answers] == ["before\n", "partial\n", "after\n", "end\n"]
    assert time.monotonic() - began < 3


def test_a_command_that_timed_out_is_not_left_running(session, command):
    marker = f"31{os.getpid()}"
    session.ask([command(f"sleep {marker}", timeout_s=0.3)])
    time.sleep(0.3)

    (answer,) = session.ask([command("ps ax -o args")])

    assert f"sleep {marker}" not in answer.text.splitlines()


def test_a_flood_is_cut_at_its_cap_and_the_others_still_answer(session, command):
    answers = session.ask(
        [command("yes flood", max_bytes=100_000), command("echo after")],
    )
    (just_over,) = session.ask([command("printf 12345", max_bytes=4)])

    assert [a.status for a in answers] == ["output-limit", "complete"]
    assert (just_over.status, just_over.text) == ("output-limit", "1234")
    assert len(answers[0].text) <= 100_000
    assert answers[1].text == "after\n"


def test_a_drip_does_not_extend_the_deadline(session, command):
    began = time.monotonic()
    (answer,) = session.ask(
        [command("while :; do echo x; sleep 0.1; done", timeout_s=1.0)],
    )

    assert answer.status == "timeout"
    assert 0.9 < time.monotonic() - began < 2


def test_a_closed_login_is_noticed_at_once_and_ends_every_answer(session, command):
    began = time.monotonic()
    answers = session.ask(
        [
            command("echo before"),
            # the server's process for this connection is the shell's parent
            command("echo partial; kill -9 $PPID; sleep 3"),
            command("echo after"),
        ]
    )

    assert answers[0].status in ("complete", "eof")
    assert [a.status for a in answers[1:]] == ["eof", "eof"]
    assert time.monotonic() - began < 2


def test_a_login_that_is_closed_before_the_first_answer_is_a_lost_connection(
    net, sshd_farm, command
):
    server = sshd_farm.start("ForceCommand kill -9 $PPID; sleep 3")
    session = net.open(net.add_sshd("ap1", server))
    answers = session.ask([command("echo one"), command("echo two")])
    session.close()

    assert {a.status for a in answers} == {"eof"}


def test_only_passive_commands_share_a_script_and_others_are_sent_once(session, command, tmp_path):
    count = tmp_path / "count"
    answers = session.ask(
        [
            command("echo a"),
            command(f"echo x >> {count}; sleep 30", risk="active", timeout_s=0.3),
            command("echo b"),
        ]
    )

    assert [a.status for a in answers] == ["complete", "timeout", "complete"]
    assert count.read_text() == "x\n"


def test_nothing_follows_a_change_that_did_not_complete(session, command, tmp_path):
    touched = tmp_path / "touched"
    answers = session.ask(
        [
            command("true", risk="change"),
            command("false", risk="change"),
            command(f"touch {touched}", risk="change"),
            command("echo passive"),
        ]
    )

    assert [a.status for a in answers] == ["complete", "rejected", "not-sent", "not-sent"]
    assert not touched.exists()


def test_a_long_batch_is_cut_into_scripts_and_stays_in_order(session, command):
    lines = [f"echo {i} {'x' * 300}" for i in range(120)]
    answers = session.ask([command(line) for line in lines])

    assert [a.text.split()[0] for a in answers] == [str(i) for i in range(120)]


def test_foreign_bytes_stay_readable_and_line_ends_are_normalised(session, command):
    (answer,) = session.ask([command(r"printf 'a\r\nmtu 1500\rmtu 9000\n\377\303\274\n'")])

    assert answer.text == "a\nmtu 1500\nmtu 9000\n\ufffd\u00fc\n"


def test_profile_scripts_that_print_do_not_become_an_answer(net, sshd_farm, command):
    server = sshd_farm.start('ForceCommand echo welcome; exec sh -c "$SSH_ORIGINAL_COMMAND"')
    session = net.open(net.add_sshd("ap1", server))

    (answer,) = session.ask([command("echo one")])

    session.close()
    assert answer.text == "one\n"


def test_a_server_that_is_no_shell_is_a_desync_with_its_words(net, sshd_farm, command):
    server = sshd_farm.start("ForceCommand echo 'this account is restricted'")
    session = net.open(net.add_sshd("ap1", server))

    answers = session.ask([command("echo one"), command("echo two")])

    session.close()
    assert [a.status for a in answers] == ["desync", "desync"]
    assert "this account is restricted" in answers[0].error


@pytest.mark.parametrize(
    ("instead", "status"),
    [("sleep 60", "timeout"), ("yes no end of words", "output-limit")],
)
def test_what_answers_nothing_costs_one_deadline_and_not_one_per_command(
    net, sshd_farm, command, instead, status
):
    server = sshd_farm.start(f"ForceCommand exec {instead}")
    session = net.open(net.add_sshd("ap1", server), policy=replace(QUICK, channel_timeout_s=0.5))
    began = time.monotonic()
    answers = session.ask([command(f"echo {n}", max_bytes=100_000) for n in range(20)])
    later = session.ask([command("echo later")])
    session.close()

    assert {a.status for a in (*answers, *later)} == {status}
    assert time.monotonic() - began < 3


def test_after_three_commands_in_a_row_without_an_answer_no_more_are_waited_for(session, command):
    began = time.monotonic()
    answers = session.ask([command("sleep 60", timeout_s=0.3) for _ in range(12)])
    (later,) = session.ask([command("echo later")])

    assert {a.status for a in answers} == {"timeout"}
    assert "not asked" in answers[-1].error
    assert time.monotonic() - began < 4
    assert later.text == "later\n"


def test_large_output_arrives_whole(session, command):
    (answer,) = session.ask([command("seq 1 300000")])

    assert answer.text == "".join(f"{i}\n" for i in range(1, 300001))


def test_a_connection_that_goes_silent_ends_at_its_deadlines(net, sshd_farm, command):
    server = sshd_farm.start()
    session = net.open(net.add_sshd("ap1", server), policy=replace(QUICK, channel_timeout_s=0.5))
    session.ask([command("true")])
    children = server.children()
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        answers = session.ask([command("echo a", timeout_s=0.5), command("echo b", timeout_s=0.5)])
    finally:
        for pid in children:
            os.kill(pid, signal.SIGCONT)
    session.close()

    assert {a.status for a in answers} <= {"timeout", "eof"}
    assert time.monotonic() - began < 2


class ShellOnly(asyncssh.SSHServerSession):
    """Refuses exec; runs what is typed into a shell without a terminal."""

    def __init__(self, requests) -> None:
        self.requests, self.typed = requests, b""

    def connection_made(self, chan):
        self.chan = chan

    def exec_requested(self, command):
        self.requests.append("exec")
        return False

    def shell_requested(self):
        self.requests.append("shell")
        return True

    def data_received(self, data, datatype):
        self.typed += data

    def eof_received(self):
        done = subprocess.run(["sh"], input=self.typed, capture_output=True, check=False)
        self.chan.write(b"Welcome\n" + done.stdout)
        self.chan.write_stderr(done.stderr)
        self.chan.exit(done.returncode)
        return True


def test_where_exec_is_refused_a_shell_without_terminal_is_used(net, async_server, command):
    requests = []

    class Server(async_server.PasswordServer):
        def session_requested(self):
            return ShellOnly(requests)

    server = async_server(server_factory=Server, encoding=None)
    session = net.open(net.add("ap1", server.port, key=server.host_key))
    first = session.ask([command("echo one; echo err >&2"), command("cat; exit 3")])
    second = session.ask([command("echo two")])
    session.close()

    assert [(a.text, a.exit_code) for a in first] == [("one\n", 0), ("", 3)]
    assert first[0].stderr == "err\n"
    assert second[0].text == "two\n"
    assert requests == ["exec", "shell", "shell"]


def test_where_neither_exec_nor_shell_is_allowed_every_command_is_rejected(
    net, async_server, command
):
    server = async_server()
    session = net.open(net.add("ap1", server.port, key=server.host_key))
    (answer,) = session.ask([command("echo one")])
    session.close()

    assert answer.status == "rejected"
    assert "neither an exec nor a shell" in answer.error
