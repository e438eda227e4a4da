"""What a terminal showed, and whose answer each line is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.collect.screen import lines_shown
from mtughost.collect.transcript import matching, split
from mtughost.content.load import load_book
from mtughost.content.root import packaged_content

IOS = load_book(packaged_content(), "cisco_xe")
LINUX = load_book(packaged_content(), "linux")


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ("plain text\r\n", ["plain text", ""]),
        ("\x1b[1;32mgreen\x1b[0m light", ["green light"]),
        (" --More-- \b\b\b\b\b\b\b\b\b\b          \b\b\b\b\b\b\b\b\b\bnext", ["next"]),
        ("--More-- \r         \rnext line here", ["next line here"]),
        ("show verz\b \bsion", ["show version"]),
        ("\x1b]0;title\x07gw# ", ["gw# "]),
        ("[admin@gw] > \r\x1b[K[admin@gw] > /ip\n", ["[admin@gw] > /ip", ""]),
        ("abc\x1b[2Dx", ["axc"]),
        ("one\rtwo\rthree", ["one", "two", "three"]),
        ("a\tb", ["a\tb"]),
    ],
)
def test_a_line_is_what_a_terminal_showed_in_the_end(raw, seen):
    assert [text.rstrip() for text, _ in lines_shown(raw)] == [text.rstrip() for text in seen]


@given(st.text(alphabet="ab \t\r\b\x1b[K2D;m\n", max_size=200))
def test_any_text_has_a_screen_with_as_many_lines(text):
    shown = lines_shown(text)

    assert len(shown) >= 1
    assert all("\x1b" not in seen and "\b" not in seen for seen, _ in shown)


def test_hostile_text_takes_no_time():
    began = time.monotonic()

    split(
        "R1#sh ver\n" + "-- [Q quit|" * 50_000 + "\n" + "\x1b[" * 100_000 + "\n" + "R1#" * 50_000,
        IOS,
    )

    assert time.monotonic() - began < 3.0


@pytest.mark.parametrize(
    ("typed", "ids"),
    [
        ("show ip interface", ("ip-interfaces",)),
        ("do sh ip int", ("ip-interfaces",)),
        ("sh ipv6 int", ("ipv6-interfaces",)),
        ("sh ip int brief", ()),
        ("show ip route", ("routes",)),
        ("", ()),
    ],
)
def test_a_line_is_recognised_as_that_command_line_would(typed, ids):
    assert matching(IOS, typed) == ids


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("ip a", "addresses"),
        ("ip addr show", "addresses"),
        ("sudo nft list ruleset", "nft-json"),
        ("ip6tables-save", "state-running6"),
        ("rm -rf /", None),
    ],
)
def test_a_shells_line_is_recognised_without_its_options(typed, first):
    assert next(iter(matching(LINUX, typed)), None) == first


def test_mail_quotes_are_taken_off():
    text = "> R1#show version\n> Cisco IOS XE Software\n> R1#\n"

    (piece,) = split(text, IOS).pieces

    assert (piece.typed, piece.text) == ("show version", "Cisco IOS XE Software\n")


def test_lines_that_look_like_a_prompt_of_somebody_else_end_nothing():
    text = "R1#show version\nBanner: press enter#\nother#prompt\nCisco IOS XE\nR1#\n"

    (piece,) = split(text, IOS).pieces

    assert piece.text == "Banner: press enter#\nother#prompt\nCisco IOS XE\n"


def test_in_the_answer_that_is_a_log_no_log_line_is_taken_out():
    text = (
        "root@ap:~# tail -n 200 /var/log/radsecproxy.log\n"
        "Nov 21 12:00:00 ap radsecproxy[12]: connection lost\n"
        "root@ap:~# uname -srm\nLinux 6.1.0 x86_64\n"
        "Nov 21 12:00:00 ap kernel[1]: eth0 up\nroot@ap:~# \n"
    )

    log, kernel = split(text, LINUX).pieces

    assert log.text.count("\n") == 1
    assert (kernel.text, kernel.dropped) == ("Linux 6.1.0 x86_64\n", 1)


def test_text_without_any_prompt_is_one_piece():
    (piece,) = split("MTU is 1492 bytes\n", IOS).pieces

    assert (piece.typed, piece.command_ids, piece.ended) == ("", (), False)
