"""The keyboard and the screen of a virtual device."""

from __future__ import annotations

import pytest

from mtughost.lab.fleet.clock import VirtualClock
from mtughost.lab.fleet.device import Account, Cli, Identity, Manners, Terminal, VirtualDevice
from mtughost.lab.fleet.words import candidates, split


class Echo(Cli):
    prompt = "box> "

    def run(self, line):
        if line == "bye":
            self.ended = True
        return "".join(f"{line} {n}\n" for n in range(5)) if line == "five" else f"{line}!\n"


class Box(VirtualDevice):
    def command_line(self, account):
        return Echo(self, account)

    def load_saved(self):
        pass

    def state(self):
        return None


def terminal(**manners):
    who = Identity(name="box", hostname="box", version="1", model="m", serial="s")
    device = Box(who, clock=VirtualClock(), manners=Manners(**manners))
    return Terminal(device.command_line(Account(username="me")))


def test_what_is_typed_is_echoed_and_answered_before_the_next_prompt():
    screen = terminal()

    assert screen.greet() == "box> "
    assert screen.feed("hi\r") == "hi\r\nhi!\r\nbox> "


def test_carriage_return_and_line_feed_together_are_one_line_end():
    screen = terminal()

    assert screen.feed("a\r\nb\n") == "a\r\na!\r\nbox> b\r\nb!\r\nbox> "


def test_backspace_and_control_c_edit_the_line():
    screen = terminal()

    assert screen.feed("ab\x7fc\r").endswith("ac!\r\nbox> ")
    assert screen.feed("junk\x03") == "junk\r\nbox> "
    assert screen.cli.device.heard[-1].line == "ac"


def test_the_pager_stops_and_the_next_key_belongs_to_it():
    screen = terminal(page_rows=2)

    assert screen.feed("five\r") == "five\r\nfive 0\r\nfive 1\r\n--More-- "
    assert screen.feed("\r") == "\r         \rfive 2\r\n--More-- "
    assert screen.feed("x") == ""
    assert screen.feed(" ") == "\r         \rfive 3\r\nfive 4\r\nbox> "
    screen.feed("five\r")
    assert screen.feed("q") == "\r         \rbox> "


def test_log_lines_come_between_lines_of_output_and_repeat_with_the_seed():
    first, second = (terminal(noise=0.5).feed("five\r") for _ in range(2))

    assert first == second
    assert "%SYS-6-NOTICE" in first
    assert [line for line in first.split("\r\n") if line.startswith("five ")] == [
        f"five {n}" for n in range(5)
    ]


def test_after_the_end_nothing_is_taken_any_more():
    screen = terminal()

    assert screen.feed("bye\rmore\r") == "bye\r\nbye!\r\n"
    assert [heard.line for heard in screen.cli.device.heard] == ["bye"]


def test_virtual_time_runs_what_is_due_in_order():
    clock, seen = VirtualClock(), []
    clock.call_later(2, lambda: seen.append(("b", clock.now_s())))
    clock.call_later(1, lambda: seen.append(("a", clock.now_s())))
    clock.call_later(3, lambda: seen.append("never")).cancel()

    clock.advance(5)

    assert seen == [("a", 1.0), ("b", 2.0)]
    assert clock.now_s() == 5


@pytest.mark.parametrize(
    ("line", "words"),
    [('set a "b c" d', ["set", "a", "b c", "d"]), ("  x  ", ["x"]), ('a ""', ["a", ""])],
)
def test_words_are_split_with_quotes(line, words):
    assert split(line) == words


def test_an_abbreviation_may_be_ambiguous_and_a_whole_word_never_is():
    assert candidates("sh", ("show", "shutdown", "set")) == ["show", "shutdown"]
    assert candidates("show", ("show", "shower")) == ["show"]
