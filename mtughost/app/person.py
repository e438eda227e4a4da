"""The person at the terminal, for the one thing that no file holds."""

from __future__ import annotations

import getpass
import os

from mtughost.report.safe_text import inert

_TERMINAL = "/dev/tty"


def ask_at_terminal(host: str, question: str) -> str | None:
    """Ask for a one-time code on the terminal that this process belongs to, as ssh(1) does.

    Args:
        host: Inventory name of who asks.
        question: Its words; they are not trusted.

    Returns:
        What was typed, unseen; ``None`` without a terminal (cron, CI), or where it was closed.
    """
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
        return getpass.getpass(f"{host} asks: {inert(question)} ")
    except (OSError, EOFError):
        return None
