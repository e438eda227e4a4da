"""Commands that print until a key interrupts them, against a server with a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field, replace

import pytest

from mtughost.model.errors import (
    CommandRejectedError,
    DeviceTimeoutError,
    DeviceUnreachableError,
    OutputLimitError,
    SessionDesyncError,
)
from mtughost.wire.profile import DriverProfile, Mode

PROMPT = "FGT-1 # "
FORTI = DriverProfile(
    kind="cli",
    prompt=r"[A-Za-z][\w.-]{0,62} [#$] ?",
    pager=r"(?i)-+more-+",
    pager_key=" ",
    error_patterns=(r"^command parse error", r"^Unknown action"),
    interrupt_key="\x03",
)
SNIFF = "diagnose sniffer packet wan1"


@dataclass
class Sniffer:
    """A terminal whose one command prints rows until Ctrl-C, with the vices that are set.

    Attributes:
        rows: What it prints, again and again, every ``pause_s``.
        ends_after: Rows after which it ends by itself, 0 for never.
        is_deaf: Ctrl-C does not end it.
        hangs_up: The connection ends in the middle.
        pages: It stops for a key after the first row.
        running: Whether the command runs now: what a client must not leave behind.
    """

    rows: str = "0x0000   0000 0000 0001        ......\r\n"
    pause_s: float = 0.02
    ends_after: int = 0
    is_deaf: bool = False
    hangs_up: bool = False
    pages: bool = False
    echo: str = SNIFF
    running: bool = False
    typed: list[str] = field(default_factory=list)

    async def serve(self, process) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            process.stdout.write(PROMPT)
            while (line := await self._line(process)) is not None:
                self.typed.append(line)
                process.stdout.write((self.echo if line == SNIFF else line) + "\r\n")
                if line == SNIFF:
                    await self._sniff(process)
                elif line:
                    process.stdout.write("Unknown action 0\r\n")
                process.stdout.write(PROMPT)

    async def _line(self, process) -> str | None:
        typed = ""
        while (char := await process.stdin.read(1)) not in {"\r", "\n"}:
            if not char:
                return None
            typed += char
        return typed

    async def _sniff(self, process) -> None:
        self.running = True
        try:
            await self._print(process)
        finally:
            self.running = False

    async def _print(self, process) -> None:
        key, count = asyncio.ensure_future(process.stdin.read(1)), 0
        while True:
            process.stdout.write(self.rows)
            count += 1
            if self.pages and count == 1:
                process.stdout.write("--More--")
                assert await key == " "
                process.stdout.write("\r        \r")
                key = asyncio.ensure_future(process.stdin.read(1))
            if self.hangs_up and count == 3:
                process.channel.get_connection().abort()
            if self.ends_after and count == self.ends_after:
                key.cancel()
                return
            done, _ = await asyncio.wait({key}, timeout=self.pause_s)
            if done and (not await key or (await key == "\x03" and not self.is_deaf)):
                process.stdout.write("\r\n7 packets received by filter\r\n")
                return
            if done:
                key = asyncio.ensure_future(process.stdin.read(1))


@pytest.fixture
def sniffer():
    return Sniffer()


@pytest.fixture
def stream(net, async_server, sniffer, command):
    server = async_server(process_factory=sniffer.serve, line_editor=False)

    def run(seconds=0.3, profile=FORTI, line=SNIFF, **limits):
        device = net.add("gw1", server.port, key=server.host_key)
        with contextlib.closing(net.open(device, profile)) as session:
            return session.stream(command(line, risk="active", **limits), seconds=seconds).decode()

    return run


def gone(sniffer):
    deadline = time.monotonic() + 3
    while sniffer.running and time.monotonic() < deadline:
        time.sleep(0.02)
    return not sniffer.running


def test_a_sniffer_is_interrupted_after_its_time_and_its_rows_are_whole(stream, sniffer):
    began = time.monotonic()

    text = stream(seconds=0.3)

    assert 0.3 <= time.monotonic() - began < 3
    rows = text.splitlines()
    assert rows[0] == "0x0000   0000 0000 0001        ......"
    assert rows[-1] == "7 packets received by filter"
    assert text.count("0x0000") > 3
    assert SNIFF not in text
    assert PROMPT.strip() not in text
    assert not sniffer.running


def test_a_sniffer_that_ends_by_itself_is_not_interrupted(stream, sniffer):
    sniffer.ends_after = 2

    text = stream(seconds=30)

    assert text.count("0x0000") == 2
    assert "received" not in text


def test_a_sniffer_that_does_not_end_is_hung_up_on(stream, sniffer):
    sniffer.is_deaf = True

    with pytest.raises(DeviceTimeoutError, match="did not end within"):
        stream(seconds=0.1)

    assert gone(sniffer)


def test_a_sniffer_that_prints_too_much_is_interrupted_and_is_no_evidence(stream, sniffer):
    sniffer.rows *= 200

    with pytest.raises(OutputLimitError):
        stream(seconds=30, max_bytes=20_000)

    assert not sniffer.running


def test_a_connection_that_breaks_is_no_evidence_and_ends_the_sniffer(stream, sniffer):
    sniffer.hangs_up = True

    with pytest.raises(DeviceUnreachableError):
        stream(seconds=5)

    assert gone(sniffer)


def test_a_refused_sniffer_is_an_error_with_the_devices_words(stream):
    with pytest.raises(CommandRejectedError, match="Unknown action 0"):
        stream(line="diagnose snifer")


def test_pages_are_turned_while_it_runs(stream, sniffer):
    sniffer.pages = True

    text = stream(seconds=0.2)

    assert "More" not in text
    assert text.count("0x0000") > 2


def test_a_pagers_words_inside_a_packet_are_left_alone(stream, sniffer):
    row = "0x0000   2d2d 6d6f 7265 2d2d        --more--"
    sniffer.rows = f"\r\n{row}"  # without a line end: it stays the last line for a while

    text = stream(seconds=0.2)

    assert text.count("--more--") >= 5


@pytest.mark.parametrize(
    "profile",
    [
        replace(FORTI, interrupt_key=""),
        replace(FORTI, modes=(Mode(name="exec", prompt=r"(?P<stem>FGT-1) # ?"),)),
    ],
    ids=["no key", "opened for a change"],
)
def test_nothing_endless_is_started_in_a_login_that_could_not_end_it(stream, sniffer, profile):
    with pytest.raises(CommandRejectedError, match="until it is interrupted"):
        stream(profile=profile)

    assert SNIFF not in sniffer.typed


def test_an_echo_that_is_not_in_place_makes_the_text_worthless(stream, sniffer):
    sniffer.echo = "diagnose something else"

    with pytest.raises(SessionDesyncError):
        stream(seconds=0.1)
