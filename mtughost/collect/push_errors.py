"""What the words of a TLS client mean: curl, OpenSSL's s_client, radsecproxy, FreeRADIUS.

A stall and an alert are told apart, and an alert keeps its name and who raised it. Text that is not
known stays ``unclassified``: nothing is guessed. The texts are those that the programs print
(curl 7.88 and 8, OpenSSL 1.1 and 3, radsecproxy 1.9 and 1.11, FreeRADIUS 3.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from mtughost.model.device import FailureClass
from mtughost.model.tls_names import ALERT_NAMES, alert_name

Judge = Literal["", "device", "far end"]

_ALERT_NUMBERS = {name: number for number, name in ALERT_NAMES.items()}
_CLOSE_NOTIFY = 0

#: X509_V_ERR_* numbers (openssl/x509_vfy.h).
_VERIFY_ERRORS: dict[int, FailureClass] = {
    9: "certificate-not-yet-valid",
    10: "certificate-expired",
    **dict.fromkeys((2, 18, 19, 20, 21, 27, 62, 64), "certificate-untrusted"),
}
_ALERT_CLASSES: dict[str, FailureClass] = {
    "certificate_expired": "certificate-expired",
    "unknown_ca": "certificate-untrusted",
}

#: How much a line decides: a certificate's fault outranks the reset that follows it.
_PLAIN, _EXACT = 1, 2

#: radsecproxy waits this long for each step of a handshake (tls.c: ``sslconnecttimeout``); its log
#: has whole seconds, so one second may be missing.
_HANDSHAKE_WAIT_S = 5
_LOG_GRAIN_S = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a text says, and the line that decided.

    Attributes:
        failure: The class; ``unclassified`` when nothing in the text is known.
        line: Number of the deciding line in the text, from 1; ``None`` when none decided.
        text: That line.
        alert: Name of the TLS alert, or ``""``.
        judge: Who raised the alert or rejected the certificate.
        when: Time that the log gives the line, as printed, or ``""``.
    """

    failure: FailureClass
    line: int | None = None
    text: str = ""
    alert: str = ""
    judge: Judge = ""
    when: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a log whose time was read already; ``when`` as printed, or ``""``."""

    text: str
    when: str = ""
    line: int | None = None


def classify(text: str) -> FailureClass:
    """Return the class of the newest attempt in ``text``: one line, a log or a verbose output."""
    return decide(text).failure


def decide(text: str) -> Decision:
    """Return the class of the newest attempt in ``text`` with the line that decided.

    Args:
        text: One line, a log, or everything that a verbose client printed.
    """
    attempts = decide_log(_lines_of(text))
    return attempts[-1] if attempts else Decision(failure="unclassified")


_CTIME = re.compile(r"([A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?: \d{4})?):? (.*)")


def _lines_of(text: str) -> Iterable[LogLine]:
    for number, raw in enumerate(text.splitlines(), start=1):
        match = _CTIME.fullmatch(raw)
        if match:
            yield LogLine(text=match[2], when=match[1], line=number)
        else:
            yield LogLine(text=raw, line=number)


def decide_log(lines: Iterable[LogLine]) -> tuple[Decision, ...]:
    """Return one decision for each attempt that the lines tell of, oldest first.

    An attempt that ended without known words is ``unclassified``. A log with times can tell a
    stall from a reset where a single line cannot: radsecproxy gives up on a silent handshake after
    five seconds.
    """
    decided: list[Decision] = []
    attempt = _Attempt()
    for line in lines:
        if _BEGINS.search(line.text):
            attempt.close(decided)
            attempt = _Attempt(begun_s=_seconds(line.when))
        attempt.read(line)
        if _BARE_FAILURE.search(line.text):
            attempt.end_bare(line, decided[-1] if decided else None)
        if _ENDS.search(line.text):
            attempt.close(decided)
            attempt = _Attempt()
    attempt.close(decided)
    return tuple(decided)


# -- one attempt ----------------------------------------------------------------------------------

_BEGINS = re.compile(
    r"^\*\s+Trying "  # curl
    r"|^CONNECTED\("  # openssl s_client
    r"|trying to open TLS connection to server|^createlistener: "  # radsecproxy
)
_BARE_FAILURE = re.compile(r"tlsconnect: SSL connect to \S+ \(.* port \d+\) failed\s*$")
_ENDS = re.compile(
    r"^curl: \(\d+\)"
    r"|tlsconnect: SSL connect to \S+ \(.* port \d+\) failed\s*$"
    r"|tlsconnect: TLS connection to .* failed: "
)
_TRYING = re.compile(r"^\*\s+Trying ")
_CONNECTED = re.compile(r"^\* (?:Connected to|\s*SSL connection using) |^CONNECTED\(")
_HELLO_SENT = re.compile(r"\(OUT\), TLS handshake, Client hello|ALPN:? offer")
_HANDSHAKE_DONE = re.compile(
    r"SSL connection using |tlsconnect: TLS connection to .* up\s*$"
    r"|^New, TLSv1(?:\.\d)?, Cipher is (?!\(NONE\))"
)


@dataclass(slots=True)
class _Attempt:
    """One connection attempt, as far as the text tells."""

    begun_s: float | None = None
    decision: Decision | None = None
    rank: int = 0
    trying: bool = False
    connected: bool = False
    hello_sent: bool = False
    handshake_done: bool = False

    def read(self, line: LogLine) -> None:
        text = line.text
        self.trying = self.trying or bool(_TRYING.search(text))
        self.connected = self.connected or bool(_CONNECTED.search(text))
        self.hello_sent = self.hello_sent or bool(_HELLO_SENT.search(text))
        self.handshake_done = self.handshake_done or bool(_HANDSHAKE_DONE.search(text))
        for pattern, judge in _RULES:
            match = pattern.search(text)
            verdict = judge(match, self) if match else None
            if verdict is not None:
                if verdict.rank > self.rank:
                    self.rank = verdict.rank
                    self.decision = Decision(
                        failure=verdict.failure,
                        line=line.line,
                        text=text.strip(),
                        alert=verdict.alert,
                        judge=verdict.judge,
                        when=line.when,
                    )
                return

    def end_bare(self, line: LogLine, before: Decision | None) -> None:
        """Judge radsecproxy's "SSL connect failed" without a reason: silence, or a lost word."""
        if self.decision is not None:
            return
        now_s = _seconds(line.when)
        waited_s = None if now_s is None or self.begun_s is None else now_s - self.begun_s
        if waited_s is None and before is not None and before.failure == "handshake-stall":
            # Without the line that begins it: it lasted as long as the one before, or longer.
            earlier_s = _seconds(before.when)
            waited_s = None if now_s is None or earlier_s is None else now_s - earlier_s
        stalled = waited_s is not None and waited_s >= _HANDSHAKE_WAIT_S - _LOG_GRAIN_S
        self.decision = Decision(
            failure="handshake-stall" if stalled else "unclassified",
            line=line.line,
            text=line.text.strip(),
            when=line.when,
        )

    def close(self, decided: list[Decision]) -> None:
        """Hand over the decision, if there is one."""
        if self.decision is not None:
            decided.append(self.decision)


def _seconds(when: str) -> float | None:
    """Read ctime's form or ISO 8601. Only differences are ever used: the zone does not matter."""
    for form in ("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S"):
        try:
            # A leap year, so that the form without a year can hold 29 February.
            text, full = (when, form) if "%Y" in form else (f"{when} 2024", f"{form} %Y")
            return datetime.strptime(text, full).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


# -- lines ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Verdict:
    failure: FailureClass
    rank: int = _PLAIN
    alert: str = ""
    judge: Judge = ""


_Rule = Callable[[re.Match[str], _Attempt], _Verdict | None]


def _always(failure: FailureClass, rank: int = _PLAIN, judge: Judge = "") -> _Rule:
    verdict = _Verdict(failure, rank, "", judge)
    return lambda _match, _attempt: verdict


def _alert(number: int, judge: Judge) -> _Verdict | None:
    if number == _CLOSE_NOTIFY or number not in ALERT_NAMES:
        return None
    name = alert_name(number)
    # What the device itself rejects, it explains in words right after: those decide.
    rank = _EXACT if judge == "far end" else _PLAIN
    return _Verdict(_ALERT_CLASSES.get(name, "tls-alert"), rank, name, judge)


def _curl_alert(match: re.Match[str], _attempt: _Attempt) -> _Verdict | None:
    # curl prints level << 8 | description.
    return _alert(int(match[2]) & 0xFF, "far end" if match[1] == "IN" else "device")


def _numbered_alert(match: re.Match[str], _attempt: _Attempt) -> _Verdict | None:
    return _alert(int(match[1]), "far end")


def _named_alert(match: re.Match[str], _attempt: _Attempt) -> _Verdict | None:
    words = match["name"].strip().lower().replace(" ", "_")
    written = match.groupdict().get("way") in ("write", "send")
    number = _ALERT_NUMBERS.get(words)
    return None if number is None else _alert(number, "device" if written else "far end")


def _verify_error(match: re.Match[str], _attempt: _Attempt) -> _Verdict | None:
    failure = _VERIFY_ERRORS.get(int(match[1]))
    return None if failure is None else _Verdict(failure, _EXACT, "", "device")


def _http_status(match: re.Match[str], _attempt: _Attempt) -> _Verdict | None:
    status = int(match[1])
    if status < 200:  # noqa: PLR2004 - interim answers
        return None
    if status < 400:  # noqa: PLR2004 - success and redirection
        return _Verdict("none", _EXACT)
    refused = status in (401, 403, 407)
    return _Verdict("credential-rejected" if refused else "http-error", _EXACT)


def _radius_answer(match: re.Match[str], _attempt: _Attempt) -> _Verdict:
    return _Verdict("none" if match[1] == "Accept" else "credential-rejected", _EXACT)


def _timed_out(_match: re.Match[str], attempt: _Attempt) -> _Verdict | None:
    """Judge a time-out by what the client had done before; alone it does not say which one."""
    if attempt.handshake_done:
        return _Verdict("no-reply-after-handshake")
    if attempt.hello_sent:
        return _Verdict("handshake-stall")
    return _Verdict("connect-timeout") if attempt.trying and not attempt.connected else None


def _connect_timed_out(match: re.Match[str], attempt: _Attempt) -> _Verdict | None:
    if attempt.hello_sent or attempt.handshake_done:
        return _timed_out(match, attempt)
    return _Verdict("connect-timeout")


#: First match of a line decides it; within an attempt the higher rank wins, then the earlier line.
_RULES: Sequence[tuple[re.Pattern[str], _Rule]] = (
    (re.compile(r"\((IN|OUT)\), TLS alert, .*\((\d+)\)"), _curl_alert),
    (re.compile(r"SSL alert number (\d+)"), _numbered_alert),
    (re.compile(r"(?:sslv3|tlsv1|tlsv13) alert (?P<name>[a-z ]+)"), _named_alert),
    (re.compile(r"Alert (?P<way>read|write):(?:fatal|warning):(?P<name>[\w ]+)"), _named_alert),
    (
        re.compile(r"(?P<way>recv|send) TLS [\d.]+ Alert, (?:fatal|warning) (?P<name>\w+)"),
        _named_alert,
    ),
    (re.compile(r"verify error: ?num=(\d+)"), _verify_error),
    (re.compile(r"Verif(?:y return code|ication error): (\d+)"), _verify_error),
    (
        re.compile(r"certificate has expired", re.IGNORECASE),
        _always("certificate-expired", _EXACT, "device"),
    ),
    (
        re.compile(r"certificate (?:is )?not yet valid", re.IGNORECASE),
        _always("certificate-not-yet-valid", _EXACT, "device"),
    ),
    (
        re.compile(
            r"self[- ]signed certificate|unable to get (?:local )?issuer|unable to verify the first"
            r"|no alternative certificate subject name|certificate subject name .* does not match"
            r"|tlsconnect: certificate verification failed for",
            re.IGNORECASE,
        ),
        _always("certificate-untrusted", _EXACT, "device"),
    ),
    (re.compile(r"^< HTTP/[\d.]+ (\d{3})"), _http_status),
    (re.compile(r"requested URL returned error: (\d{3})"), _http_status),
    (re.compile(r"(?:Received |got |\bpassing )Access-(Accept|Reject)"), _radius_answer),
    (
        re.compile(
            r"could not resolve|can't resolve|name or service not known|temporary failure in name"
            r"|resolving timed out",
            re.IGNORECASE,
        ),
        _always("name-lookup", _EXACT),
    ),
    (
        re.compile(r"connection refused|connect:errno=111", re.IGNORECASE),
        _always("connection-refused"),
    ),
    (
        re.compile(
            r"connection reset by peer|unexpected eof while reading|SSL_ERROR_SYSCALL in connection"
            r"|SSL Connect error: hang up|errno=104",
            re.IGNORECASE,
        ),
        _always("connection-reset"),
    ),
    (
        re.compile(r"timeout during SSL_connect|SSL connection timeout", re.IGNORECASE),
        _always("handshake-stall"),
    ),
    (
        re.compile(r"no server response, .* dead|missing response to Access-Request"),
        _always("no-reply-after-handshake"),
    ),
    (
        re.compile(r"timed out after \d+ (?:ms|milliseconds)|operation timed out", re.IGNORECASE),
        _timed_out,
    ),
    (
        re.compile(r"Failed to connect to .*: (?:Timeout was reached|Connection timed out)"),
        _always("connect-timeout"),
    ),
    (
        re.compile(r"connection timed out(?! after)|connect:errno=110", re.IGNORECASE),
        _connect_timed_out,
    ),
)
