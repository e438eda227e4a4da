"""What one line says: a class and how much it decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mtughost.model.device import FailureClass
from mtughost.model.tls_names import ALERT_NAMES, alert_name

Judge = Literal["", "device", "far end"]

#: How much a line decides: exact words outrank plain ones (a certificate's fault the reset that
#: follows it), and both outrank a bare exit code.
FALLBACK, PLAIN, EXACT = 1, 2, 3

_CLOSE_NOTIFY = 0
ALERT_NUMBERS = {name: number for number, name in ALERT_NAMES.items()}
_ALERT_CLASSES: dict[str, FailureClass] = {
    "certificate_expired": "certificate-expired",
    "unknown_ca": "certificate-untrusted",
    "certificate_required": "client-certificate-missing",
}


@dataclass(slots=True)
class Stage:
    """How far an attempt came."""

    trying: bool = False
    connected: bool = False
    hello_sent: bool = False
    handshake_done: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one line says."""

    failure: FailureClass
    rank: int = PLAIN
    alert: str = ""
    judge: Judge = ""


#: A pattern's match and the stage so far to a verdict; ``None`` says nothing.
Reading = Callable[[re.Match[str], Stage], Verdict | None]
#: Lower-case words without one of which the pattern cannot match, the pattern, its reading.
Rule = tuple[tuple[str, ...], re.Pattern[str], Reading]


def always(failure: FailureClass, rank: int = PLAIN, judge: Judge = "") -> Reading:
    """Return a reading that needs no look at the match."""
    verdict = Verdict(failure, rank, "", judge)
    return lambda _match, _stage: verdict


def rule(
    needles: str,
    pattern: str,
    reading: Reading | FailureClass,
    rank: int = PLAIN,
    judge: Judge = "",
) -> Rule:
    """Make a rule; needles are parted by bars, a class instead of a reading stands for itself."""
    made = always(reading, rank, judge) if isinstance(reading, str) else reading
    return tuple(needles.split("|")), re.compile(pattern, re.IGNORECASE), made


def alert_verdict(number: int, judge: Judge) -> Verdict | None:
    """Return what an alert says; a normal close says nothing."""
    if number == _CLOSE_NOTIFY or number not in ALERT_NAMES:
        return None
    name = alert_name(number)
    # What the device itself rejects, it explains in words beside it: those decide.
    rank = EXACT if judge == "far end" else FALLBACK
    return Verdict(_ALERT_CLASSES.get(name, "tls-alert"), rank, name, judge)
