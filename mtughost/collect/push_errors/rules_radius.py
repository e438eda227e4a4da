"""The words of radsecproxy, FreeRADIUS, hostapd, wpa_supplicant and of access points' firmware.

Sources: recorded texts (radsecproxy 1.9, FreeRADIUS 3.2, hostapd and wpa_supplicant 2.10); for the
rest the code of these projects and the vendors' logs that the fact sheet names.
"""

from __future__ import annotations

import re

from mtughost.collect.push_errors.rules_tls import curl_code
from mtughost.collect.push_errors.verdicts import (
    ALERT_NUMBERS,
    EXACT,
    FALLBACK,
    PLAIN,
    Rule,
    Stage,
    Verdict,
    alert_verdict,
    rule,
)


def _named_alert(match: re.Match[str], _stage: Stage) -> Verdict | None:
    written = match["way"].lower() in {"write", "send"}
    number = ALERT_NUMBERS.get(match["name"].strip().lower().replace(" ", "_"))
    return None if number is None else alert_verdict(number, "device" if written else "far end")


def _radius_answer(match: re.Match[str], _stage: Stage) -> Verdict:
    if match[1].lower() == "accept":
        return Verdict("none", EXACT)
    return Verdict("credential-rejected", PLAIN)


def _shifted_exit(match: re.Match[str], stage: Stage) -> Verdict | None:
    # HiveOS prints wait's status: curl's exit code << 8.
    code, rest = divmod(int(match[1]), 256)
    return curl_code(code, stage) if rest == 0 else None


RADIUS_RULES: tuple[Rule, ...] = (
    # FreeRADIUS and hostap name alerts in their own ways
    rule(
        "alert ", r"Alert (?P<way>read|write):(?:fatal|warning):(?P<name>[\w ]{3,40})", _named_alert
    ),
    rule(
        " alert, ",
        r"(?P<way>recv|send) TLS [\d.]{1,3} Alert, (?:fatal|warning) (?P<name>\w{3,40})",
        _named_alert,
    ),
    rule(
        "ssl3 alert: ",
        r"SSL3 alert: (?P<way>read|write) \(.{1,60}\):(?:fatal|warning):(?P<name>[\w ]{3,40})",
        _named_alert,
    ),
    # stalls
    rule("timeout during", r"timeout during SSL_(?:connect|accept)", "handshake-stall"),
    rule(
        "dead|zombie|missing response",
        r"no server response, .{1,255} dead|missing response to Access-Request"
        r"|Marking home server .{1,200} as (?:zombie|dead)",
        "no-reply-after-handshake",
    ),
    rule(
        "response from|un-acked|no reply|reachable|ignore eapol|timed out",
        r"No response from (?:Authentication|RADIUS) server"
        r"|Removing un-ACKed (?:RADIUS )?message due to too many"
        r"|No reply from server for ID|No Authentication servers are reachable"
        r"|Ignore EAPOL-Key timeout while waiting for RADIUS PSK"
        r"|EAPOL test timed out",
        "radius-timeout",
    ),
    rule("resending radius message", r"Resending RADIUS message \(id=", "radius-timeout", FALLBACK),
    rule("i/o", r"\(TLS\) System call \(I/O\) error \(-1\)", "connection-reset"),
    rule("proxy socket", r"Failed opening (?:connection on|new) proxy socket", "handshake-failed"),
    # answers
    rule("access-", r"(?:Received |Sent |got |passing |^)Access-(Accept|Reject) ", _radius_answer),
    rule("(access-", r"code=[23] \(Access-(Accept|Reject)\)", _radius_answer),
    rule("ctrl-event-eap-success", r"CTRL-EVENT-EAP-SUCCESS", "none", EXACT),
    rule("ctrl-event-eap-failure", r"CTRL-EVENT-EAP-FAILURE", "credential-rejected", FALLBACK),
    rule("login incorrect", r"Login incorrect: ", "credential-rejected", PLAIN),
    rule("radius psk response", r"RADIUS PSK response for \S{1,40} \(success\)", "none", EXACT),
    rule(
        "radius psk response",
        r"RADIUS PSK response for \S{1,40} \(fail\)",
        "credential-rejected",
        EXACT,
    ),
    rule("query ppsk success", r"Query PPSK success for sta", "none", EXACT),
    # a station's own key: says nothing about the service
    rule(
        "invalid mic|psk-mismatch",
        r"invalid MIC in msg 2/4|AP-STA-POSSIBLE-PSK-MISMATCH",
        "station-key-mismatch",
        FALLBACK,
    ),
    # access points
    rule(
        "certificate",
        r"^Certificate:\s{1,20}Not exist",
        "client-certificate-missing",
        EXACT,
        "device",
    ),
    rule("rc", r"\brc ?= ?(\d{3,6})\b", _shifted_exit),
    rule("got host ip failed", r"Got host IP failed", "name-lookup"),
    rule("reason", r"\breason\s{0,10}:?\s?dns error", "name-lookup", EXACT),
    rule("resolve", r"Unable To Resolve A/AAAA", "name-lookup", EXACT),
    rule(
        "did not receive a response",
        r"did not receive a response from \w{1,40} server after",
        "timeout",
    ),
    rule("provision timed out", r"provision timed out", "timeout"),
    rule("status:", r"Status:\s{1,8}Timeout \(", "timeout"),
    rule("server reject", r"Server Reject \(http", "http-error"),
    rule(
        "sync failure",
        r"\bnetwork_status:[1-9]\d{0,3}\(NTP Date & Time Sync Failure\)",
        "clock-not-set",
    ),
)
