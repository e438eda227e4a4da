"""The words of TLS libraries and of curl.

Sources: recorded texts (curl 7.88 with OpenSSL 3.0, GnuTLS 3.7 and NSS 3.87; s_client), and for
mbedTLS, wolfSSL and older versions the words in those projects' code.
"""

from __future__ import annotations

import re

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
from mtughost.model.device import FailureClass

#: X509_V_ERR_* numbers (openssl/x509_vfy.h).
_VERIFY_ERRORS: dict[int, FailureClass] = {
    9: "certificate-not-yet-valid",
    10: "certificate-expired",
    23: "certificate-rejected",
    **dict.fromkeys((2, 18, 19, 20, 21, 24, 27), "certificate-untrusted"),
    **dict.fromkeys((62, 63, 64), "certificate-name-mismatch"),
}
#: Reasons of OpenSSL's ssl library (openssl/sslerr.h), as the low 12 bits of a printed code.
_REASONS: dict[int, tuple[FailureClass, int]] = {
    0x086: ("certificate-rejected", FALLBACK),
    0x09C: ("not-tls", EXACT),
    0x0C7: ("client-certificate-missing", EXACT),
    0x0FC: ("not-tls", EXACT),
    0x10B: ("not-tls", EXACT),
    0x126: ("connection-reset", FALLBACK),
}
#: OpenSSL numbers an alert that it received 1000 + description.
_ALERT_BASE = 1000
_CURL_CODES: dict[int, FailureClass] = {
    5: "name-lookup",
    6: "name-lookup",
    7: "connect-failed",
    22: "http-error",
    28: "timeout",
    35: "handshake-failed",
    51: "certificate-rejected",
    52: "connection-reset",
    60: "certificate-rejected",
    67: "credential-rejected",
    98: "client-certificate-missing",
}
#: GnuTLS's names of alerts (gnutls_alert_get_name) where they are not the registered ones.
_GNUTLS_ALERTS: dict[str, str] = {
    "handshake failed": "handshake_failure",
    "certificate is bad": "bad_certificate",
    "certificate is not supported": "unsupported_certificate",
    "certificate was revoked": "certificate_revoked",
    "certificate is expired": "certificate_expired",
    "unknown certificate": "certificate_unknown",
    "ca is unknown": "unknown_ca",
    "access was denied": "access_denied",
    "error in protocol version": "protocol_version",
    "an extension was expected but was not seen": "missing_extension",
    "an unsupported extension was sent": "unsupported_extension",
    "could not retrieve the specified certificate": "certificate_unobtainable",
    "the server name sent was not recognized": "unrecognized_name",
    "the srp/psk username is missing or not known": "unknown_psk_identity",
    "no supported application protocol could be negotiated": "no_application_protocol",
    "certificate is required": "certificate_required",
}
#: Names of NSS's errors for received alerts (SSLerrs.h) where they are not the registered ones.
_NSS_ALERTS: dict[str, str] = {
    "bad_cert": "bad_certificate",
    "revoked_cert": "certificate_revoked",
    "expired_cert": "certificate_expired",
    "unsupported_cert": "unsupported_certificate",
    "handshake_unexpected": "unexpected_message",
    "bad_mac": "bad_record_mac",
    "rx_certificate_required": "certificate_required",
    "missing_extension": "missing_extension",
}


def _curl_alert(match: re.Match[str], _stage: Stage) -> Verdict | None:
    # curl prints level << 8 | description.
    inbound = match[1].upper() == "IN"
    return alert_verdict(int(match[2]) & 0xFF, "far end" if inbound else "device")


def _numbered_alert(match: re.Match[str], _stage: Stage) -> Verdict | None:
    return alert_verdict(int(match[1]), "far end")


def _named_alert(match: re.Match[str], _stage: Stage) -> Verdict | None:
    words = match["name"].strip().lower()
    written = (match.groupdict().get("way") or "").lower() in {"write", "send"}
    name = _GNUTLS_ALERTS.get(words) or _NSS_ALERTS.get(words) or words.replace(" ", "_")
    number = ALERT_NUMBERS.get(name)
    return None if number is None else alert_verdict(number, "device" if written else "far end")


def _openssl_code(match: re.Match[str], stage: Stage) -> Verdict | None:
    reason = int(match[1], 16)
    if reason > _ALERT_BASE:
        return alert_verdict(reason - _ALERT_BASE, "far end")
    failure, rank = _REASONS.get(reason, (None, 0))
    if failure == "connection-reset" and not stage.handshake_done:
        rank = EXACT - 1
    return None if failure is None else Verdict(failure, rank)


def _verify_error(match: re.Match[str], _stage: Stage) -> Verdict | None:
    failure = _VERIFY_ERRORS.get(int(match[1]))
    return None if failure is None else Verdict(failure, EXACT, "", "device")


def _http_status(match: re.Match[str], _stage: Stage) -> Verdict | None:
    status = int(match[1])
    if status < 200:  # noqa: PLR2004 - interim answers
        return None
    if status < 400:  # noqa: PLR2004 - success and redirection
        return Verdict("none", FALLBACK)
    refused = status in (401, 403, 407)
    return Verdict("credential-rejected" if refused else "http-error", EXACT)


def curl_code(code: int, stage: Stage) -> Verdict | None:
    """Return what a bare exit code of curl says."""
    failure = _CURL_CODES.get(code)
    if failure == "timeout":
        return timed_out(stage)
    return None if failure is None else Verdict(failure, FALLBACK)


def _curl_exit(match: re.Match[str], stage: Stage) -> Verdict | None:
    return curl_code(int(match[1]), stage)


def timed_out(stage: Stage) -> Verdict:
    """Judge a time-out by what the client had done before; alone it does not say which one."""
    if stage.handshake_done:
        return Verdict("no-reply-after-handshake")
    if stage.hello_sent:
        return Verdict("handshake-stall")
    if stage.trying and not stage.connected:
        return Verdict("connect-timeout")
    return Verdict("timeout")


def _transfer_timed_out(match: re.Match[str], stage: Stage) -> Verdict:
    if int(match[1]) > 0:
        return Verdict("no-reply-after-handshake", EXACT)
    return timed_out(stage)


def _timed_out(_match: re.Match[str], stage: Stage) -> Verdict:
    return timed_out(stage)


def _tcp_timed_out(_match: re.Match[str], stage: Stage) -> Verdict:
    if stage.hello_sent or stage.handshake_done:
        return timed_out(stage)
    return Verdict("connect-timeout")


def _end_of_file(_match: re.Match[str], stage: Stage) -> Verdict | None:
    return None if stage.handshake_done else Verdict("connection-reset")


def _rejected(words: str, failure: FailureClass, needle: str) -> Rule:
    return rule(needle, words, failure, EXACT, "device")


TLS_RULES: tuple[Rule, ...] = (
    # alerts
    rule("tls alert, ", r"\((IN|OUT)\), TLS alert, .{0,60}\((\d{1,5})\)", _curl_alert),
    rule("alert number", r"SSL alert number (\d{1,3})", _numbered_alert),
    rule("error:", r"error:(?:0A|14)[0-9A-F]{3}([0-9A-F]{3})\b", _openssl_code),
    rule(
        "alert ",
        r"(?:sslv3|tlsv1|tlsv13) alert (?P<name>[a-z ]{3,40})",
        _named_alert,
    ),
    rule(
        " alert ",
        r"SSL3 alert (?P<way>read|write):(?:fatal|warning):(?P<name>[\w ]{3,40})",
        _named_alert,
    ),
    rule(
        "gnutls_handshake() failed",
        r"gnutls_handshake\(\) failed: (?P<name>[\w ./()]{3,60}?)\.?\s{0,4}$",
        _named_alert,
    ),
    rule("a tls fatal alert has", r"A TLS fatal alert has been received", "tls-alert"),
    rule("_alert)", r"\((?:SSL_ERROR_|SEC_ERROR_)(?P<name>\w{3,40}?)_ALERT\)", _named_alert),
    rule("fatal alert message was received", r"fatal alert message was received", "tls-alert"),
    # the far end's certificate
    rule("verify error:", r"verify error: ?num=(\d{1,3})", _verify_error),
    rule("verif", r"Verif(?:y return code|ication error): (\d{1,3})\b", _verify_error),
    rule("openssl says error", r"OpenSSL says error (\d{1,3}) :", _verify_error),
    rule("verification failed, error", r"verification failed, error (\d{1,3})", _verify_error),
    _rejected(
        r"certificate has expired|certificate expiration date FAILED|BADCERT_EXPIRED"
        r"|SEC_ERROR_EXPIRED_CERTIFICATE|Cert has expired",
        "certificate-expired",
        "expir",
    ),
    _rejected(
        r"certificate (?:is )?not yet valid|certificate activation date FAILED|BADCERT_FUTURE"
        r"|certificate is not yet activated",
        "certificate-not-yet-valid",
        "not yet|activation date|badcert_future",
    ),
    _rejected(
        r"no alternative certificate subject name|certificate subject name .{1,260} does not match"
        r"|(?:hostname|ip address) mismatch|subject name does not match|BADCERT_CN_MISMATCH"
        r"|SSL_ERROR_BAD_CERT_DOMAIN|name does not match the server's certificate"
        r"|certnamecheck: No subjectaltname matching|certificate name check failed"
        r"|Domain suffix mismatch|doma?in name mismatch|subject alt name does not match",
        "certificate-name-mismatch",
        "subject|mismatch|bad_cert_domain|does not match|name check failed",
    ),
    _rejected(
        r"self[- ]signed certificate|unable to get (?:local )?issuer|unable to verify the first"
        r"|BADCERT_NOT_TRUSTED|SEC_ERROR_(?:UNKNOWN_ISSUER|UNTRUSTED_ISSUER|CA_CERT_INVALID)"
        r"|ASN no signer error|certificate issuer is not recognized|Issuer certificate is invalid",
        "certificate-untrusted",
        "self|issuer|unable to verify|badcert|sec_error|signer",
    ),
    rule(
        "certificate",
        r"server certificate verification failed|Certificate verification failed"
        r"|tlsconnect: certificate verification failed for|certificate verify failed",
        "certificate-rejected",
        PLAIN,
        "device",
    ),
    # the device's own certificate
    rule(
        "certificate",
        r"NSS: client certificate not found|peer did not return a certificate"
        r"|No required SSL certificate was sent|Missing certificate, RadSec proxy can not work",
        "client-certificate-missing",
        EXACT,
    ),
    # not TLS
    rule(
        "wrong version|unexpected tls|too_long|record that|ssl routines|non-tls",
        r"wrong version number|unexpected TLS packet|SSL_ERROR_RX_RECORD_TOO_LONG"
        r"|record that exceeded the maximum|SSL routines.{0,60}(?:unknown protocol|http request)"
        r"|Non-TLS data sent to TLS socket",
        "not-tls",
        EXACT,
    ),
    # HTTP
    rule("< http/", r"^< HTTP/[\d.]{1,3} (\d{3})\b", _http_status),
    rule("requested url returned", r"requested URL returned error: (\d{3})\b", _http_status),
    # names
    rule(
        "resolve|name or service|temporary failure|resolving|no address|bad address",
        r"could not resolve|couldn't resolve|can't resolve|name or service not known"
        r"|temporary failure in name|resolving timed out|no address associated with"
        r"|bad address '|unable to resolve",
        "name-lookup",
        EXACT,
    ),
    # TCP
    rule("refused|errno=111", r"connection refused|connect:errno=111", "connection-refused"),
    rule(
        "no route|unreachable|errno=1|permission denied",
        r": ?no route to host|network is unreachable|host is unreachable|network unreachable"
        r"|connect:errno=(?:101|113|13)\b|(?:BIO_connect:|Connection failed: )Permission denied",
        "network-unreachable",
    ),
    rule(
        "failed to connect to",
        r"Failed to connect to .{1,260}: Timeout was reached",
        "connect-timeout",
    ),
    rule(
        "ssl connection timeout|before ssl",
        r"(?:SSL connection timeout|timed out before SSL handshake)",
        "handshake-stall",
    ),
    rule(
        "operation timed out",
        r"operation timed out after \d{1,9} (?:ms|milliseconds) with (\d{1,15}) ",
        _transfer_timed_out,
    ),
    rule("timed out after", r"connection timed out after \d{1,9} (?:ms|milliseconds)", _timed_out),
    rule("operation timed out", r"operation timed out", _timed_out),
    rule("timed out", r"connection timed out", _tcp_timed_out),
    rule("errno=110", r"(?:connect|write|read):errno=110\b", _tcp_timed_out),
    rule(
        "failed to connect to",
        r"Failed to connect to .{1,260}: Couldn't connect to server",
        "connect-failed",
        FALLBACK,
    ),
    # ends
    rule("errno=", r"(?:write|read):errno=(?:104|32)\b", "connection-reset"),
    rule("errno=0", r"(?:write|read):errno=0\b", _end_of_file),
    rule(
        "reset|eof|syscall|hang up|terminated|end of file|pr_|failure:|empty reply|transfer closed"
        "|not connected",
        r"connection reset by peer|unexpected eof while reading|SSL_ERROR_SYSCALL in connection"
        r"|SSL Connect error: hang up|non-properly terminated|Encountered end of file"
        r"|PR_(?:END_OF_FILE|CONNECT_RESET)_ERROR|(?:Send|Recv) failure: (?:Broken pipe|Connection)"
        r"|Empty reply from server|transfer closed with|PR_NOT_CONNECTED_ERROR"
        r"|(?:Network file descriptor|Transport endpoint) is not connected",
        "connection-reset",
    ),
    rule("curl: (", r"^curl: \((\d{1,3})\)", _curl_exit),
)
