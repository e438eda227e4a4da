"""Sentences, orders of logs, hostile text. The corpus of real programs has a file of its own."""

from __future__ import annotations

import re
import re._constants as sre
import re._parser as sre_parser
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.collect.push_errors import (
    Decision,
    LogLine,
    attempts,
    classify,
    decide,
    decide_log,
    inspection,
    lines,
    rules,
)
from mtughost.model.device import STALLS, VAGUE

# -- single lines ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        # curl
        ("curl: (28) Connection timed out after 3001 milliseconds", "timeout"),
        ("curl: (28) SSL connection timeout", "handshake-stall"),
        (
            "curl: (28) Failed to connect to x port 443 after 9 ms: Timeout was reached",
            "connect-timeout",
        ),
        ("curl: (28) Resolving timed out after 2000 milliseconds", "name-lookup"),
        ("curl: (28) Operation timed out after 9 milliseconds with 0 bytes received", "timeout"),
        (
            "curl: (28) Operation timed out after 9 milliseconds with 7 bytes received",
            "no-reply-after-handshake",
        ),
        ("curl: (7) Failed to connect to x port 443: Couldn't connect to server", "connect-failed"),
        ("curl: (7) Failed to connect to x port 443: Connection refused", "connection-refused"),
        ("curl: (22) The requested URL returned error: 503", "http-error"),
        ("curl: (22) The requested URL returned error: 401", "credential-rejected"),
        ("curl: (35) something new", "handshake-failed"),
        ("curl: (52) Empty reply from server", "connection-reset"),
        ("curl: (3) URL using bad/illegal format", "unclassified"),
        ("curl: (60) SSL certificate problem: certificate has expired", "certificate-expired"),
        ("curl: (60) Cert verify failed: BADCERT_FUTURE", "certificate-not-yet-valid"),
        ("curl: (60) Cert verify failed: BADCERT_CN_MISMATCH", "certificate-name-mismatch"),
        ("* SSL_connect failed with error -188: ASN no signer error", "certificate-untrusted"),
        ("curl: (35) gnutls_handshake() failed: Certificate is required",
         "client-certificate-missing"),
        # HiveOS: wait's status, curl's code << 8
        ("ah_trans_upload_by_curl error rc = 7168", "timeout"),
        ('curl -F "x" -m 900 "https://c:443/" failed to http to server,rc=7168(28)', "timeout"),
        ("ah_trans_upload_by_curl error rc = 8960", "handshake-failed"),
        ("ah_trans_upload_by_curl error rc = 15360", "certificate-rejected"),
        ("ah_trans_upload_by_curl error rc = 1536", "name-lookup"),
        ("ah_trans_upload_by_curl error rc = 1792", "connect-failed"),
        ("ah_trans_upload_by_curl error rc = 14336", "unclassified"),
        ("CAPWAP statistic send event fail, rc = -2", "unclassified"),
        ("ah_capwap_get_host_ip: Got host IP failed.", "name-lookup"),
        ("Missing certificate, RadSec proxy can not work.", "client-certificate-missing"),
        ("Connect 0.aerohive.pool.ntp.org failed, try next server", "unclassified"),
        # other access points
        ("Last fail reason       :dns error", "name-lookup"),
        ("Provisioning failed: did not receive a response from Activate server after 91 seconds",
         "timeout"),
        ("AP health IE version:0, network_status:6(NTP Date & Time Sync Failure)", "clock-not-set"),
        ("AP health IE version:0, network_status:0(NTP Date & Time Sync Failure)", "unclassified"),
        ("Status:      Server Reject (http://unifi:8080/inform)", "http-error"),
        # radsecproxy, FreeRADIUS, radclient
        ("tlsconnect: SSL connect to cloud (203.0.113.10 port 2083) failed", "unclassified"),
        ("sslconnecttimeout: timeout during SSL_connect", "handshake-stall"),
        ("sslaccepttimeout: timeout during SSL_accept", "handshake-stall"),
        ("clientwr: no server response, cloud dead?", "no-reply-after-handshake"),
        ("Connection failed: Connection timed out", "connect-timeout"),
        ("resolvehostport: can't resolve cloud.invalid port 2083", "name-lookup"),
        ("(0) Received Access-Reject Id 7 from 127.0.0.1:1812", "credential-rejected"),
        ("(0) Received Access-Accept Id 7 from 127.0.0.1:1812", "none"),
        ("(0) No reply from server for ID 7 socket 3", "radius-timeout"),
        ("(TLS) Alert read:fatal:unknown CA", "certificate-untrusted"),
        ("(TLS) recv TLS 1.2 Alert, fatal certificate_expired", "certificate-expired"),
        ("(TLS) send TLS 1.3 Alert, fatal certificate_required", "client-certificate-missing"),
        ("(TLS) Alert write:fatal:handshake failure", "tls-alert"),
        ("(TLS) recv TLS 1.2 Alert, warning close_notify", "unclassified"),
        # hostapd, wpa_supplicant
        ("ap0: RADIUS No response from Authentication server 127.0.0.1:1812 - failover",
         "radius-timeout"),
        ("RADIUS PSK response for 02:00:00:00:00:01 (fail)", "credential-rejected"),
        ("RADIUS PSK response for 02:00:00:00:00:01 (success)", "none"),
        ("STA 02:00:00:00:00:01 WPA: invalid MIC in msg 2/4 of 4-Way Handshake",
         "station-key-mismatch"),
        ("WPA: 4-Way Handshake failed - pre-shared key may be incorrect", "unclassified"),
        ("STA 02:00:00:00:00:01 WPA: sending 1/4 msg of 4-Way Handshake", "unclassified"),
        # nothing known
        ("no answer to an Access-Request", "unclassified"),
        ("first attempt is running", "unclassified"),
        ("none", "unclassified"),
        ("", "unclassified"),
    ],
)  # fmt: skip
def test_a_single_line_is_named_only_as_far_as_it_tells(line, failure):
    assert classify(line) == failure


def test_an_alert_names_itself_and_who_raised_it():
    heard = decide("* TLSv1.3 (IN), TLS alert, bad certificate (554):")
    raised = decide("* TLSv1.3 (OUT), TLS alert, internal error (592):")

    assert (heard.failure, heard.alert, heard.judge) == (
        "tls-alert", "bad_certificate", "far end"
    )  # fmt: skip
    assert (raised.alert, raised.judge) == ("internal_error", "device")


def test_words_about_no_step_stay_open_and_words_about_a_step_do_not():
    assert classify("curl: (28) SSL connection timeout") in STALLS
    assert classify("ah_trans_upload_by_curl error rc = 7168") in VAGUE
    assert classify("ah_trans_upload_by_curl error rc = 8960") not in STALLS | VAGUE


# -- which attempt decides ------------------------------------------------------------------------

EXPIRED = "curl: (60) SSL certificate problem: certificate has expired"
STALL = "curl: (28) SSL connection timeout"


def test_of_several_attempts_in_one_log_the_newest_counts():
    log = f"2026-11-20T10:00:00Z {EXPIRED}\n2026-11-20T11:00:00Z {STALL}\n"

    assert [d.failure for d in decide_log(lines.lines_of(log))] == [
        "certificate-expired",
        "handshake-stall",
    ]
    assert decide(log).line == 2


def test_a_log_that_prints_the_newest_first_is_turned_round():
    log = (
        f"2026-11-20 11:00:00 err     push: {STALL}\n"
        f"2026-11-20 10:30:00 info    push: nothing of note\n"
        f"2026-11-20 10:00:00 err     push: {EXPIRED}\n"
    )

    decision = decide(log)

    assert (decision.failure, decision.line) == ("handshake-stall", 1)
    assert decision.when == "2026-11-20 11:00:00"


def test_hiveos_lines_of_one_second_are_newest_first():
    log = f"2026-11-20 11:00:00 err     l7d: {STALL}\n2026-11-20 11:00:00 err     l7d: {EXPIRED}\n"

    assert classify(log) == "handshake-stall"


def test_a_clock_that_jumps_once_does_not_turn_a_log_round():
    log = (
        f"2026-11-20 20:00:00 err     push: {EXPIRED}\n"
        "2026-11-20 17:00:00 info    ntp: clock set\n"
        "2026-11-20 17:00:05 info    push: again\n"
        f"2026-11-20 17:01:00 err     push: {STALL}\n"
    )

    assert classify(log) == "handshake-stall"


def test_lines_without_a_time_move_with_the_line_before_them():
    newest_first = (
        "2026-11-20T11:00:00Z cloud-push https://cloud.example/\n"
        "* connect to 203.0.113.10 port 443 failed: Connection refused\n"
        "2026-11-20T10:00:00Z cloud-push https://cloud.example/\n"
        f"{EXPIRED}\n"
    )

    assert classify(newest_first) == "connection-refused"


def test_an_answer_closes_the_attempt_and_a_later_failure_is_the_newest():
    log = (
        "Sat Nov 21 12:00:00 2026: Access-Accept for user a from cloud to lo (127.0.0.1)\n"
        "Sat Nov 21 12:05:00 2026: SSL Connection failed: Connection reset by peer\n"
        "Sat Nov 21 12:05:00 2026: tlsconnect: SSL connect to cloud (c port 2083) failed\n"
    )

    assert classify(log) == "connection-reset"
    assert classify("\n".join(reversed(log.splitlines()))) == "connection-reset"


def test_the_address_that_was_refused_first_does_not_decide_about_the_next():
    text = (
        "*   Trying [2001:db8::1]:443...\n"
        "* connect to 2001:db8::1 port 443 failed: Connection refused\n"
        "*   Trying 203.0.113.10:443...\n"
        "* Connected to cloud.example (203.0.113.10) port 443 (#0)\n"
        "* ALPN: offers h2,http/1.1\n"
        "* SSL connection timeout\n"
        "* Closing connection 0\n"
        "curl: (28) SSL connection timeout\n"
    )

    assert [d.failure for d in decide_log(lines.lines_of(text))] == ["handshake-stall"]


def test_s_client_that_says_nothing_after_connecting_was_waiting():
    assert decide("CONNECTED(00000003)\n").failure == "handshake-stall"
    assert classify("CONNECTED(00000003)\n---\nSSL handshake has read 9 bytes\n") == "unclassified"


def test_a_quick_failure_without_words_is_not_called_a_stall():
    log = (
        "Sat Nov 21 12:14:37 2026: createlistener: listening for udp on 127.0.0.1:1812\n"
        "Sat Nov 21 12:14:37 2026: tlsconnect: SSL connect to cloud (127.0.0.1 port 1) failed\n"
        "Sat Nov 21 12:14:45 2026: tlsconnect: SSL connect to cloud (127.0.0.1 port 1) failed\n"
    )

    assert [d.failure for d in decide_log(lines.lines_of(log))] == ["unclassified"] * 2


def test_a_stall_that_follows_a_stall_is_one_too():
    log = (
        "Sat Nov 21 12:14:37 2026: createlistener: listening for udp on 127.0.0.1:1812\n"
        "Sat Nov 21 12:14:42 2026: tlsconnect: SSL connect to cloud (127.0.0.1 port 1) failed\n"
        "Sat Nov 21 12:14:52 2026: tlsconnect: SSL connect to cloud (127.0.0.1 port 1) failed\n"
    )

    assert [d.failure for d in decide_log(lines.lines_of(log))] == ["handshake-stall"] * 2


def test_times_that_were_read_already_tell_a_stall_too():
    log = [
        LogLine(text="createlistener: listening for udp", when="2026-11-21T12:14:37Z"),
        LogLine(
            text="tlsconnect: SSL connect to c (h port 2083) failed", when="2026-11-21T12:14:42Z"
        ),
    ]

    assert [decision.failure for decision in decide_log(log)] == ["handshake-stall"]


@pytest.mark.parametrize(
    "head",
    [
        "Nov 21 12:14:37 ap1 radsecproxy[77]: ",
        "Sat Nov 21 12:14:37 2026 daemon.err radsecproxy[77]: ",
        "Sat Nov 21 12:14:37 2026: ",
        "Sat Nov 21 12:14:37 2026 : Error: ",
        "2026-11-21T12:14:37.123+01:00 ap1 radsecproxy[77]: ",
        "<30>Nov 21 12:14:37 ap1 radsecproxy: ",
        "1795272682.069758: ",
        "12:14:37.123456 ",
        "radsecproxy  |  ",
        "",
    ],
)
def test_the_head_of_a_log_line_is_taken_off(head):
    decision = decide(f"{head}curl: (60) SSL: hostname mismatch")

    assert decision.failure == "certificate-name-mismatch"
    assert decision.text.startswith("curl: (60)")


# -- who inspects ---------------------------------------------------------------------------------


def test_a_known_inspectors_certificate_is_named_as_a_hint():
    text = (
        "*  issuer: CN=Zscaler Intermediate Root CA,O=Zscaler Inc.\n"
        "curl: (60) SSL certificate problem: unable to get local issuer certificate\n"
    )

    decision = decide(text)

    assert (decision.failure, decision.inspector) == ("tls-inspection", "Zscaler")
    assert decision.line == 1  # the issuer's line is what proves it


def test_an_inspectors_name_alone_is_no_failure():
    assert classify("*  issuer: CN=Zscaler Intermediate Root CA,O=Zscaler Inc.\n") == "unclassified"


# -- hostile text ---------------------------------------------------------------------------------


@given(st.text())
def test_text_of_any_kind_never_raises(text):
    assert isinstance(decide(text), Decision)


@given(st.lists(st.sampled_from(["* TLS", "alert", "failed", "Certificate", "cloud", "(0)"])))
def test_words_without_a_known_sentence_are_unclassified(words):
    assert classify(" ".join(words)) == "unclassified"


def test_names_that_the_far_end_chose_decide_nothing():
    text = (
        "*  subject: CN=certificate has expired\n"
        "*  issuer: CN=Connection refused\n"
        " 0 s:CN = curl: (28) SSL connection timeout\n"
        "subject=CN = self-signed certificate\n"
        "< X-Note: connection reset by peer\n"
    )

    assert classify(text) == "unclassified"


def test_control_characters_neither_hide_nor_reach_the_deciding_line():
    text = "ok\x0b\x0c\n\x1b[31mcurl: (60) SSL certificate\x08\x00 problem: certificate has "
    text += "expired\r\n"

    decision = decide(text)

    assert (decision.failure, decision.line) == ("certificate-expired", 2)
    assert decision.text.isprintable()


PATTERNS = {
    **{f"rule {i}": pattern for i, (_, pattern, _) in enumerate(rules.RULES)},
    **{
        f"{module.__name__}.{name}": value
        for module in (attempts, inspection, lines, rules)
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    },
}
_REPEATS = {sre.MAX_REPEAT, sre.MIN_REPEAT}
_FORBIDDEN = {sre.GROUPREF, sre.ASSERT, sre.ASSERT_NOT, sre.GROUPREF_EXISTS}


def _operations(tree, depth=0):
    """Yield every operation of a parsed pattern with how many repeats it stands in."""
    for operation, argument in tree:
        yield operation, argument, depth
        inner = depth + (operation in _REPEATS and argument[1] > 1)
        for part in argument if isinstance(argument, (tuple, list)) else [argument]:
            for branch in part if isinstance(part, list) else [part]:
                if isinstance(branch, sre_parser.SubPattern):
                    yield from _operations(branch, inner)


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_runs_in_linear_time(name):
    """Bounded repeats only, never one inside another, no looking round, no going back."""
    for operation, argument, depth in _operations(sre_parser.parse(PATTERNS[name].pattern)):
        assert operation not in _FORBIDDEN
        if operation in _REPEATS:
            assert argument[1] != sre.MAXREPEAT, "unbounded"
            assert depth == 0 or argument[1] == 1, "nested"


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_is_one_for_an_automaton(name):
    re2 = pytest.importorskip("re2", reason="google-re2 is not installed")

    assert re2.compile(PATTERNS[name].pattern)


@given(st.sampled_from(rules.RULES), st.data())
def test_no_pattern_matches_without_one_of_its_needles(rule, data):
    needles, pattern, _ = rule

    text = data.draw(st.from_regex(pattern))

    # Case folding beyond ASCII (the long s, the Kelvin sign) is no matter of logs.
    assert not text.isascii() or any(needle in text.lower() for needle in needles)


@pytest.mark.parametrize(
    "line",
    [
        "a" * 1_000_000,
        "certificate " * 83_000,
        "Failed to connect to " * 50_000,
        "tlsconnect: SSL connect to (" * 36_000,
        "2026-11-21 10:00:00 err     x: alert alert alert certificate subject name\n" * 14_000,
        "curl: (28) x\n" * 77_000,
        "\n" * 1_000_000,
    ],
    ids=lambda line: line[:20].strip() or "empty",
)
def test_a_megabyte_takes_bounded_computing_time(line):
    began = time.process_time()
    classify(line)

    assert time.process_time() - began < 6


# -- real texts of access points ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "failure"),
    [
        ("radsec/radsecproxy_reset__1.txt", "connection-reset"),
        ("hiveos/log_flash_curl_https_upload_timeout__1.txt", "timeout"),
        ("hiveos/debug_auth_ppsk_external__1.txt", "none"),
        ("unifi_ap/messages_reporter_fail__1.txt", "http-error"),
        ("unifi_ap/info_server_reject__1.txt", "http-error"),
        ("unifi_ap/info_connected__1.txt", "unclassified"),
        ("client/wpa_supplicant_wrong_key__1.txt", "unclassified"),
        ("hostapd/logread_4way_ok__1.txt", "unclassified"),
        ("hiveos/show_version__1.txt", "unclassified"),
        ("hiveos/show_cmds__1.txt", "unclassified"),
    ],
)
def test_real_output_of_access_points_is_read(shared, sample, failure):
    text = (shared / "samples" / "aps" / sample).read_text(errors="replace")

    assert classify(text) == failure, decide(text)


def test_real_output_that_is_no_push_is_not_taken_for_one(shared):
    texts = {
        path.name: path.read_text(errors="replace")
        for path in (shared / "samples" / "gateways").rglob("*.txt")
    }

    assert len(texts) > 50
    assert {name: classify(text) for name, text in texts.items()} == dict.fromkeys(
        texts, "unclassified"
    )
