"""Attempts: where one begins and ends in a log, and which of its lines decides."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mtughost.collect.push_errors.inspection import inspector_of
from mtughost.collect.push_errors.lines import LogLine, prepared, seconds
from mtughost.collect.push_errors.rules import RULES, quiet
from mtughost.collect.push_errors.verdicts import EXACT, FALLBACK, Judge, Stage, Verdict
from mtughost.model.device import FailureClass

#: radsecproxy waits this long for each step of a handshake (tls.c: ``sslconnecttimeout``); its log
#: has whole seconds, so one second may be missing.
_HANDSHAKE_WAIT_S = 5
_LOG_GRAIN_S = 1
_MAX_TEXT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a text says, and the line that decided.

    Attributes:
        failure: The class; ``unclassified`` when nothing in the text is known.
        line: Number of the deciding line in the text, from 1; ``None`` when none decided.
        text: That line, cleaned of control characters and cut.
        alert: Name of the TLS alert, or ``""``.
        judge: Who raised the alert or rejected the certificate.
        inspector: Name of the TLS inspection in the issuer (its line decides then), or ``""``.
        when: Time that the log gives the line, as printed, or ``""``.
    """

    failure: FailureClass
    line: int | None = None
    text: str = ""
    alert: str = ""
    judge: Judge = ""
    inspector: str = ""
    when: str = ""


def decide_log(lines: Iterable[LogLine]) -> tuple[Decision, ...]:
    """Return one decision for each attempt that the lines tell of, oldest first.

    Logs may be printed newest first. An attempt that ended without known words is
    ``unclassified``. A log with times can tell a stall from a reset where a single line cannot:
    radsecproxy gives up on a silent handshake after five seconds.
    """
    decided: list[Decision] = []
    attempt = _Attempt()
    for line in prepared(lines):
        text = line.text
        if not text or quiet(text):
            attempt.overhear(line)
            continue
        lowered = text.lower()
        if _begins(text, lowered, attempt):
            attempt.close(decided)
            attempt = _Attempt(begun_s=seconds(line.when) if line.when else None)
        attempt.read(line, lowered)
        if "ssl connect to" in lowered and _BARE_FAILURE.search(text):
            attempt.end_bare(line, decided[-1] if decided else None)
        if _ends(text) or attempt.succeeded:
            attempt.close(decided)
            attempt = _Attempt()
    attempt.close(decided)
    return tuple(decided)


# -- where attempts begin and end -----------------------------------------------------------------

_TRYING = re.compile(r"\*\s{1,8}Trying ")
_BEGINS = re.compile(
    r"tlsconnect: trying to open TLS connection to server"
    r"|^createlistener: "
    r"|\(TLS\) Trying new outgoing proxy connection"
    r"|CTRL-EVENT-EAP-STARTED"
    r"|^\S{1,200} cloud-push "
    r"|^\(\d{1,9}\) Received Access-Request "
)
_NEEDLES = (
    "trying to open tls",
    "createlistener: ",
    "trying new outgoing",
    "ctrl-event-eap-started",
    "received access-request ",
)
_BARE_FAILURE = re.compile(
    r"tlsconnect: SSL connect to \S{1,255} ?(?:\(.{1,300}\) )?failed\s{0,4}$"
)
_ENDS = re.compile(
    r"^curl: \(\d{1,3}\)"
    r"|tlsconnect: SSL connect to \S{1,255} ?(?:\(.{1,300}\) )?failed\s{0,4}$"
    r"|tlsconnect: TLS connection to .{1,300} failed: "
    r"|tlsconnect: certificate verification failed for "
)


def _begins(text: str, lowered: str, attempt: _Attempt) -> bool:
    if _TRYING.match(text):
        # The next address of one transfer is not a new transfer.
        return attempt.stage.connected or not attempt.stage.trying
    if text.startswith("CONNECTED("):
        # Into a pipe s_client prints its errors before this line, so only a second one begins.
        return attempt.said_connected
    return any(needle in lowered for needle in _NEEDLES) and bool(_BEGINS.search(text))


def _ends(text: str) -> bool:
    return text.startswith(("curl: (", "tlsconnect: ")) and bool(_ENDS.search(text))


# -- one attempt ----------------------------------------------------------------------------------

_CONNECTED = re.compile(
    r"^\* {1,3}(?:Connected to|SSL connection using) |^CONNECTED\(|^Connection up"
)
_HELLO_SENT = re.compile(
    r"\(OUT\), TLS handshake, Client hello|ALPN[:,] (?:server|offer|curl offers)"
    r"|^\* {1,2}(?:GnuTLS ciphers|Initializing NSS)|SSL_connect:.{0,20}write client hello"
    r"|send TLS [\d.]{1,3} Handshake, ClientHello"
)
_HANDSHAKE_DONE = re.compile(
    r"SSL connection using |tlsconnect: TLS connection to .{1,300} up\s{0,4}$"
    r"|^SSL handshake has read |^Protocol version: TLS|^> [A-Z]{3,7} "
)
_S_CLIENT = re.compile(r"^CONNECTED\(|^SSL_connect:before ")
_S_CLIENT_SUMMARY = re.compile(r"^SSL handshake has read |^Protocol version: |^---$")
_BEFORE_CONNECTING: frozenset[FailureClass] = frozenset(
    {
        "connection-refused",
        "network-unreachable",
        "connect-timeout",
        "connect-failed",
        "name-lookup",
        "timeout",
    }
)
_UNTRUSTED: frozenset[FailureClass] = frozenset({"certificate-untrusted", "certificate-rejected"})


@dataclass(slots=True)
class _Attempt:
    """One connection attempt, as far as the text tells."""

    begun_s: float | None = None
    decision: Decision | None = None
    rank: int = 0
    stage: Stage = field(default_factory=Stage)
    said_connected: bool = False
    s_client: LogLine | None = None
    summarised: bool = False
    issuer: LogLine | None = None

    @property
    def succeeded(self) -> bool:
        """Whether an answer of the application came: what follows belongs to something else."""
        return self.decision is not None and self.decision.failure == "none" and self.rank == EXACT

    def overhear(self, line: LogLine) -> None:
        """Keep the issuer's line if it names an inspecting device; alone it decides nothing."""
        if self.issuer is None and inspector_of(line.text):
            self.issuer = line

    def read(self, line: LogLine, lowered: str) -> None:
        """Take one line into account."""
        self._advance(line, lowered)
        for needles, pattern, judge in RULES:
            for needle in needles:
                if needle in lowered:
                    break
            else:
                continue
            match = pattern.search(line.text)
            verdict = judge(match, self.stage) if match else None
            if verdict is not None:
                self._weigh(verdict, line)
                return

    def _advance(self, line: LogLine, lowered: str) -> None:
        text, stage = line.text, self.stage
        if not stage.trying and _TRYING.match(text):
            stage.trying = True
        if not stage.connected and "connect" in lowered and _CONNECTED.search(text):
            stage.connected = True
            self._forget_earlier_addresses()
        if not stage.hello_sent and _HELLO_SENT.search(text):
            stage.hello_sent = True
        if not stage.handshake_done and _HANDSHAKE_DONE.search(text):
            stage.handshake_done = True
        if _S_CLIENT.match(text):
            self.s_client = self.s_client or line
            self.said_connected = self.said_connected or text.startswith("CONNECTED(")
        elif self.s_client is not None and _S_CLIENT_SUMMARY.match(text):
            self.summarised = True

    def _forget_earlier_addresses(self) -> None:
        if self.decision is not None and self.decision.failure in _BEFORE_CONNECTING:
            self.decision, self.rank = None, 0

    def _weigh(self, verdict: Verdict, line: LogLine) -> None:
        if verdict.rank <= self.rank:
            return
        self.rank = verdict.rank
        self.decision = Decision(
            failure=verdict.failure,
            line=line.line,
            text=line.text.strip()[:_MAX_TEXT],
            alert=verdict.alert,
            judge=verdict.judge,
            when=line.when,
        )

    def end_bare(self, line: LogLine, before: Decision | None) -> None:
        """Judge radsecproxy's "SSL connect failed" without a reason: silence, or a lost word."""
        if self.decision is not None:
            return
        now_s = seconds(line.when) if line.when else None
        waited_s = None if now_s is None or self.begun_s is None else now_s - self.begun_s
        if waited_s is None and before is not None and before.failure == "handshake-stall":
            # Without the line that begins it: it lasted as long as the one before, or longer.
            earlier_s = seconds(before.when) if before.when else None
            waited_s = None if now_s is None or earlier_s is None else now_s - earlier_s
        stalled = waited_s is not None and waited_s >= _HANDSHAKE_WAIT_S - _LOG_GRAIN_S
        self._weigh(Verdict("handshake-stall" if stalled else "unclassified", FALLBACK), line)

    def close(self, decided: list[Decision]) -> None:
        """Hand over the decision, if there is one."""
        if self.decision is None and self.s_client is not None and not self.summarised:
            # s_client has no time-out of its own: where it says nothing after the hello, it
            # waited until somebody ended it.
            self._weigh(Verdict("handshake-stall"), self.s_client)
        if self.decision is not None:
            decided.append(self._inspected(self.decision))

    def _inspected(self, decision: Decision) -> Decision:
        if self.issuer is None or decision.failure not in _UNTRUSTED:
            return decision
        return replace(
            decision,
            failure="tls-inspection",
            line=self.issuer.line,
            text=self.issuer.text.strip()[:_MAX_TEXT],
            inspector=inspector_of(self.issuer.text),
            when=self.issuer.when,
        )
