"""A line that a terminal draws anew is read once, and nothing can hide behind another line."""

from __future__ import annotations

import pytest

from mtughost.wire.netmiko_lean import LeanConnection
from mtughost.wire.text import unpainted

PROMPT = "[admin@shop] > "


@pytest.mark.parametrize(
    ("drawn", "read"),
    [
        ("/ip\r/ip address\r\nrow\r\n", "/ip address\nrow\n"),
        (f"\r{PROMPT}\r{PROMPT}", PROMPT),
        (f"x\r\n\r{PROMPT}", f"x\n{PROMPT}"),
        # What is not part of what was drawn over it stays visible.
        ("secret clamp\rrow\r\n", "secret clamp\nrow\n"),
        ("one\r\r\ntwo\n\rthree", "one\ntwo\nthree"),
    ],
)
def test_only_what_is_drawn_again_whole_is_left_out(drawn, read):
    assert unpainted(drawn) == read


def test_colours_and_the_prompt_in_front_of_an_echo_go():
    connection = LeanConnection(
        host="gw", netmiko_type="mikrotik_routeros", return_key="\r\n", ansi=True
    )
    connection.base_prompt = PROMPT
    echo = f"print\r\x1b[m\x1b[36m{PROMPT}\x1b[mprint\x1b[K\r\n"
    connection.raw = bytearray(f"{echo}row\r\n\r{PROMPT}\x1b[K\r{PROMPT}\x1b[K".encode())

    assert connection.text() == f"print\nrow\n{PROMPT}"
    assert connection.rests()
