"""Asking the person at the terminal, on a real pseudo-terminal."""

from __future__ import annotations

import subprocess
import sys

_ASK = """
from mtughost.app.person import ask_at_terminal
print(repr(ask_at_terminal("gate", "Code:\\x1b[2J")))
"""
_ON_A_TERMINAL = "import pty, sys; pty.spawn(sys.argv[1:])"


def typed_once_asked(*argv, answer):
    """Run a command and type an answer when a question stands there; return what was shown."""
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=0
    ) as process:
        shown = ""
        while not shown.endswith("J "):
            shown += process.stdout.read(1)
        process.stdin.write(answer)
        return shown + process.communicate(timeout=30)[0]


def test_the_question_is_shown_harmless_and_the_answer_is_not_shown():
    argv = [sys.executable, "-c", _ON_A_TERMINAL, sys.executable, "-c", _ASK]

    shown = typed_once_asked(*argv, answer="492-039\n")

    assert shown.startswith("gate asks: Code:\\x1b[2J ")
    assert shown.rstrip().endswith("'492-039'")
    assert shown.count("492-039") == 1


def test_without_a_terminal_nobody_is_there():
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )

    assert (done.stdout, done.returncode) == ("None\n", 0)
