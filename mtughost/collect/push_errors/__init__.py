"""What the words of a push, a fetch or a RADIUS client mean: a class, and the line that proves it.

A stall and an alert are told apart: silence after "TCP connection up" points to a hole, words of
the far end point away from it. Of several attempts the newest decides, whichever way round the log
is printed. Text that nothing is known about stays ``unclassified``: nothing is guessed, and a
text that tells less is given the wider class (``timeout`` where it does not say of what).

Lines are cut and cleaned of control characters first, and every pattern runs in linear time, so
that hostile text of any size costs only its length.
"""

from __future__ import annotations

from mtughost.collect.push_errors.attempts import Decision, decide_log
from mtughost.collect.push_errors.lines import LogLine, lines_of, moment
from mtughost.model.device import FailureClass

__all__ = ["Decision", "LogLine", "classify", "decide", "decide_log", "moment"]


def classify(text: str) -> FailureClass:
    """Return the class of the newest attempt in ``text``: one line, a log or a verbose output."""
    return decide(text).failure


def decide(text: str) -> Decision:
    """Return the class of the newest attempt in ``text`` with the line that decided.

    Args:
        text: One line, a log (newest first or last), or everything that a verbose client printed.
    """
    attempts = decide_log(lines_of(text))
    return attempts[-1] if attempts else Decision(failure="unclassified")
