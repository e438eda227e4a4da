"""Command lines against an SSH server with an IOS-like prompt, well-behaved and hostile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field, replace

import pytest
from netmiko.exceptions import ReadTimeout

from mtughost.model.errors import (
    CommandRejectedError,
    DeviceTimeoutError,
    DeviceUnreachableError,
)
from mtughost.wire.netmiko_lean import LeanConnection
from mtughost.wire.profile import DriverProfile, Mode

IOS = DriverProfile(
    kind="cli",
    netmiko_type="cisco_ios",
    paging_off="terminal length 0",
    prompt=r"[A-Za-z][\w.-]{0,62}[#>]",
    error_patterns=(r"^% ?(Invalid|Incomplete|Ambiguous|Unrecognized|Authorization)",),
)
PROVEN = replace(IOS, pipeline_proven=True)
CHANGING = replace(IOS, modes=(Mode(name="exec", prompt=r"(?P<stem>[A-Za-z][\w.-]{0,62})#"),))


@dataclass
class Box:
    """The state and the vices of one emulated device.

    Attributes:
        answers: What each command prints.
        stalls: Seconds to wait in the middle of an answer, at the mark ``@@``.
        lines: Every line that was typed, for the test to look at.
        turns: How often the device had to wait for input.
    """

    prompt: str = "AP-1-a#"
    greeting: str = "\r\nAuthorised staff only #\r\n\r\n"
    answers: dict[str, str] = field(default_factory=dict)
    stalls: float = 0.3
    echo: bool = True
    early_echo: bool = False
    pager: bool = False
    paging_off_fails: bool = False
    shells: int = 100
    lines: list[str] = field(default_factory=list)
    sessions: int = 0

    async def serve(self, process) -> None:
        self.sessions += 1
        if self.sessions > self.shells:
            process.exit(1)
            return
        with contextlib.suppress(OSError):  # the client left
            await _Console(self, process).run()


class _Console:
    def __init__(self, box: Box, process) -> None:
        self.box, self.process = box, process
        self.prompt = box.prompt

    async def run(self) -> None:
        self.process.stdout.write(self.box.greeting + self.prompt)
        if self.box.early_echo:
            self.typed = asyncio.Queue()
            self.typist = asyncio.create_task(self._echo_at_once())
        while True:
            line = await (self.typed.get() if self.box.early_echo else self._line())
            if line is None:
                return
            if not await self._obey(line):
                return
            self.process.stdout.write(self.prompt)

    async def _line(self) -> str | None:
        typed = ""
        while True:
            char = await self.process.stdin.read(1)
            if not char:
                return None
            if char in "\r\n":
                break
            typed += char
        if self.box.echo:
            self.process.stdout.write(typed)
        self.process.stdout.write("\r\n")
        self.box.lines.append(typed)
        return typed

    async def _echo_at_once(self) -> None:
        """Echo like a terminal's line discipline: when a key is pressed, not when it is read."""
        with contextlib.suppress(OSError):
            while (line := await self._line()) is not None:
                self.typed.put_nowait(line)
        self.typed.put_nowait(None)

    async def _obey(self, line: str) -> bool:
        box, out = self.box, self.process.stdout
        vice = {"hang up": self._hang_up, "flood": self._flood, "drip": self._drip}.get(line)
        if vice is not None:
            await vice()
            return False
        if line == "rename":
            self.prompt = "AP-1-a>"
        for index, part in enumerate(box.answers.get(line, "").split("@@")):
            if index:
                await asyncio.sleep(box.stalls)
            out.write(part.replace("\n", "\r\n"))
        if line and line not in self._known():
            out.write("% Invalid input detected at '^' marker.\r\n")
        if line == "show long" and box.pager:
            out.write(" --More-- ")
            await self.process.stdin.read(1)
        return True

    def _known(self) -> set[str]:
        paging = set() if self.box.paging_off_fails else {"terminal length 0"}
        return {"rename", *paging, *self.box.answers}

    async def _hang_up(self) -> None:
        self.process.stdout.write("half an ans")
        await asyncio.sleep(0.05)
        self.process.channel.get_connection().abort()

    async def _flood(self) -> None:
        while True:
            self.process.stdout.write("flood " * 1000 + "\r\n")
            await self.process.stdout.drain()

    async def _drip(self) -> None:
        while True:
            self.process.stdout.write("x")
            await asyncio.sleep(0.05)


SHOWS = {
    "show version": "IOS Version 15.2\nuptime is 3 weeks\n",
    "show interfaces": "".join(f"Gi0/{i} is up, MTU 1500 bytes\n" for i in range(200)),
    "show empty": "",
    "show clock": "12:00:01 UTC\n",
}


@pytest.fixture
def box():
    return Box(answers=dict(SHOWS))


@pytest.fixture
def cli(net, async_server, box):
    opened = []

    def make(profile=IOS, **changes):
        for name, value in changes.items():
            setattr(box, name, value)
        server = async_server(process_factory=box.serve, line_editor=False)
        device = net.add(f"sw{len(opened)}", server.port, key=server.host_key)
        opened.append(net.open(device, profile))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


@pytest.mark.parametrize("profile", [IOS, PROVEN], ids=["one-by-one", "pipelined"])
def test_every_command_gets_its_own_answer(cli, command, profile):
    answers = cli(profile).ask([command(line) for line in SHOWS])

    assert [a.text for a in answers] == list(SHOWS.values())
    assert {a.status for a in answers} == {"complete"}
    assert all(a.exit_code is None for a in answers)


def test_only_paging_is_typed_before_the_first_question(cli, box):
    cli()

    assert box.lines == ["terminal length 0"]


def test_a_pipelined_batch_types_each_line_once(cli, box, command):
    cli(PROVEN).ask([command(line) for line in SHOWS])

    assert box.lines == ["terminal length 0", *SHOWS, ""]


def test_preparation_lines_are_typed_in_order_after_paging(cli, box):
    box.answers["terminal width 511"] = ""
    cli(replace(IOS, prep_lines=("terminal width 511",)))

    assert box.lines == ["terminal length 0", "terminal width 511"]


def test_a_refused_paging_command_ends_the_session(cli):
    with pytest.raises(CommandRejectedError, match="terminal length 0"):
        cli(paging_off_fails=True)


def test_a_platform_without_paging_command_is_learned_from_two_equal_prompts(cli, command):
    session = cli(replace(IOS, paging_off=""))

    assert session.ask([command("show clock")])[0].text == SHOWS["show clock"]


def test_a_command_that_the_device_refuses_is_rejected_with_its_words(cli, command):
    first, second = cli().ask([command("show nonsense"), command("show clock")])

    assert first.status == "rejected"
    assert "Invalid input" in first.error
    assert second.text == SHOWS["show clock"]


@pytest.mark.parametrize("profile", [IOS, PROVEN], ids=["one-by-one", "pipelined"])
@pytest.mark.parametrize("at", ["show version", "show clock"])
def test_a_prompt_inside_the_output_neither_cuts_nor_shifts_an_answer(
    cli, box, command, profile, at
):
    box.answers[at] = "before\nAP-1-a#\nafter\n"
    answers = cli(profile).ask([command(line) for line in SHOWS])

    assert {a.line: a.text for a in answers} == {**SHOWS, at: box.answers[at]}
    assert {a.status for a in answers} == {"complete"}


@pytest.mark.parametrize("profile", [IOS, PROVEN], ids=["one-by-one", "pipelined"])
def test_a_pause_right_after_a_prompt_inside_the_output_never_gives_a_wrong_answer(
    cli, box, command, profile
):
    box.answers["show version"] = "before\nAP-1-a#@@\nafter\n"
    answers = cli(profile).ask([command(line) for line in SHOWS])

    expected = {**SHOWS, "show version": "before\nAP-1-a#\nafter\n"}
    for answer in answers:
        assert answer.status in ("complete", "desync")
        assert answer.status == "desync" or answer.text == expected[answer.line]
    assert answers[-1].status == "complete"


@pytest.mark.parametrize("profile", [IOS, PROVEN], ids=["one-by-one", "pipelined"])
@pytest.mark.parametrize("vicious", ["before\nAP-1-a#@@\nafter\n", "a\nAP-1-a#@@\nAP-1-a#@@\nb\n"])
def test_a_device_that_echoes_early_never_gets_a_wrong_answer_accepted(
    cli, box, command, profile, vicious
):
    box.answers["show version"] = vicious
    session = cli(profile, early_echo=True, stalls=0.1)
    answers = session.ask([command(line, timeout_s=1) for line in SHOWS])

    expected = {**SHOWS, "show version": vicious.replace("@@", "")}
    assert all(a.status != "complete" or a.text == expected[a.line] for a in answers)


def test_a_longer_pause_than_the_fence_is_a_desync(cli, box, command):
    box.answers["show version"] = "before\nAP-1-a#@@\nafter\n"
    (answer,) = cli(stalls=0.8).ask([command("show version")])

    assert answer.status == "desync"


def test_a_log_line_inside_the_output_stays_inside(cli, box, command):
    box.answers["show version"] = "IOS\n*Mar 1: %LINK-3-UPDOWN: Gi0/1 down\nuptime\n"
    answers = cli(PROVEN).ask([command(line) for line in SHOWS])

    assert answers[0].text == box.answers["show version"]
    assert answers[1].text == SHOWS["show interfaces"]


def test_a_device_that_does_not_echo_is_not_believed(cli):
    with pytest.raises(DeviceTimeoutError, match="no prompt that can be trusted"):
        cli(echo=False)


def test_a_pager_that_was_left_on_is_reported_and_never_fed(cli, box, command):
    box.answers["show long"] = "page one\n"
    session = cli(pager=True)
    long, clock = session.ask([command("show long"), command("show clock")])

    assert long.status == "desync"
    assert "pager" in long.error
    assert clock.text == SHOWS["show clock"]


def test_a_prompt_that_changes_is_a_desync(cli, box, command):
    box.answers["rename"] = ""
    (answer,) = cli().ask([command("rename", risk="active")])

    assert answer.status == "desync"
    assert "prompt changed from 'AP-1-a#' to 'AP-1-a>'" in answer.error


def test_a_question_of_the_device_is_not_answered(cli, box, command):
    box.answers["reload"] = "Proceed with reload? [confirm]@@@@@@@@"
    (answer,) = cli(CHANGING).ask([command("reload", risk="change", timeout_s=0.5)])

    assert answer.status == "timeout"
    assert "[confirm]" in answer.error
    assert box.lines.count("") == 0


@pytest.mark.parametrize("vice", ["flood", "drip"])
@pytest.mark.parametrize("profile", [IOS, PROVEN], ids=["one-by-one", "pipelined"])
def test_endless_output_ends_at_its_cap_or_deadline_and_the_rest_still_answers(
    cli, command, vice, profile
):
    session = cli(profile)
    began = time.monotonic()
    bad, good = session.ask([command(vice, timeout_s=1, max_bytes=200_000), command("show clock")])

    assert bad.status == {"flood": "output-limit", "drip": "timeout"}[vice]
    assert good.text == SHOWS["show clock"]
    assert time.monotonic() - began < 8


def test_a_device_that_allows_one_shell_only_ends_the_session_after_a_fault(cli, command):
    session = cli(shells=1)
    bad, good = session.ask([command("drip", timeout_s=0.3), command("show clock")])

    assert bad.status == "timeout"
    assert good.status == "eof"


@pytest.mark.parametrize("profile", [IOS, PROVEN], ids=["one-by-one", "pipelined"])
def test_a_connection_that_breaks_is_noticed_at_once_and_ends_every_answer(cli, command, profile):
    session = cli(profile)
    began = time.monotonic()
    answers = session.ask([command(line) for line in ("show clock", "hang up", "show version")])

    assert [a.status for a in answers][1:] == ["eof", "eof"]
    assert time.monotonic() - began < 1


def test_nothing_follows_a_change_that_was_refused(cli, box, command):
    answers = cli(CHANGING).ask(
        [command("bad line", risk="change"), command("show clock", risk="change")]
    )

    assert [a.status for a in answers] == ["rejected", "not-sent"]
    assert "show clock" not in box.lines


def test_a_login_that_was_not_opened_for_a_change_sends_none(cli, box, command):
    session = cli()

    with pytest.raises(CommandRejectedError, match="not opened for a change"):
        session.ask([command("show clock"), command("configure terminal", risk="change")])

    assert box.lines == ["terminal length 0"]


def test_a_mode_that_the_task_book_does_not_declare_is_never_asked_for(cli, box, command):
    line = replace(command("configure terminal", risk="change"), mode="config")

    with pytest.raises(CommandRejectedError, match="may not lead to the mode 'config'"):
        cli(CHANGING).ask([line])

    assert box.lines == ["terminal length 0"]


def test_an_account_that_may_change_nothing_is_refused_before_anything_is_sent(cli, box):
    box.prompt = "AP-1-a>"

    with pytest.raises(CommandRejectedError, match="nothing can be changed"):
        cli(CHANGING)

    assert box.lines == ["terminal length 0"]


def test_a_session_for_a_change_is_over_once_a_line_did_not_complete(cli, box, command):
    session = cli(CHANGING)
    (late,) = session.ask([command("drip", timeout_s=0.3)])
    (after,) = session.ask([command("show clock")])

    assert late.status == "timeout"
    assert after.status == "not-sent"
    assert "show clock" not in box.lines


def test_netmikos_own_methods_neither_write_nor_hang_on_our_connection(cli, box, command):
    session = cli()
    connection = session._connection

    assert connection.find_prompt() == connection.set_base_prompt() == "AP-1-a#"
    assert connection.send_command("show clock") == "12:00:01 UTC"
    assert connection.clear_buffer() == ""
    with pytest.raises(ReadTimeout):
        connection.read_until_pattern("never", read_timeout=0.1)
    assert box.lines == ["terminal length 0", "show clock"]
    assert session.ask([command("show version")])[0].status == "complete"


def test_a_server_without_shells_is_unreachable(net, async_server):
    server = async_server()
    device = net.add("sw1", server.port, key=server.host_key)

    with pytest.raises((DeviceUnreachableError, DeviceTimeoutError)):
        net.open(device, IOS)


def test_pages_are_turned_where_the_book_names_the_key(cli, box, command):
    box.answers["show long"] = "page one\n"
    session = cli(replace(IOS, pager_key=" "), pager=True)
    long, clock = session.ask([command("show long"), command("show clock")])

    assert (long.status, long.text) == ("complete", "page one\n")
    assert clock.text == SHOWS["show clock"]


def test_the_switches_of_a_line_editor_that_brackets_pasted_text_leave_no_trace():
    connection = LeanConnection(host="r", netmiko_type="vyos", return_key="\n", ansi=False)
    connection.base_prompt = "vyos@r:~$ "

    connection.raw += b"uname -n\r\n\x1b[?2004l\rr\r\n\x1b[?2004hvyos@r:~$ "

    assert connection.text() == "uname -n\nr\nvyos@r:~$ "
    assert connection.rests()
