"""HiveOS logs: which lines are about which service, and what was said last."""

from __future__ import annotations

from mtughost.dialects.hiveos import read_log, read_servers

LOG = """\
2026-04-17 00:40:27 err     last message repeated 7 times
2026-04-17 00:39:45 err     system:  curl -F "filename=@/tmp/a" -m 900 -k "https://x.example:8443/up/" failed to http to server,rc=7168(28)
2026-04-17 00:30:02 info    ah_scd: aaa: radsec is disabled, not start.
2026-04-17 00:30:01 err     radsecproxy: aaa: tlsconnect: SSL connect to cloud (203.0.113.10 port 2083) failed
2026-04-17 00:29:00 notice  root: Connect [0.aerohive.pool.ntp.org] successful
2026-04-17 00:28:00 info    capwap: application: CAPWAP:Ready to do DTLS  connection
2026-04-17 00:27:00 err     telegraf_execd: misc: timed out waiting
"""  # noqa: E501 - lines as the device prints them


def test_only_lines_about_a_service_of_the_cloud_are_kept_and_each_knows_its_own():
    read = read_log(LOG)

    assert [(line, row["SERVICE"]) for line, row in zip(read.lines, read.rows, strict=True)] == [
        (2, "https"),
        (4, "radsec"),
        (6, "capwap"),
    ]
    assert read.unplaced == ()


def test_a_repeated_line_was_last_said_when_its_repetition_was_counted():
    assert read_log(LOG).rows[0]["WHEN"] == "2026-04-17 00:40:27"


def test_the_head_of_a_line_is_taken_off_and_its_words_stay():
    words = read_log(LOG).rows[1]["TEXT"]

    assert words == "tlsconnect: SSL connect to cloud (203.0.113.10 port 2083) failed"


def test_the_far_ends_are_those_that_were_talked_to_last():
    later = LOG.replace("00:30:01", "09:30:01").replace("port 2083", "port 443")

    rows = {row["SERVICE"]: row for row in read_servers(later + LOG).rows}

    assert (rows["radsec"]["SERVER"], rows["radsec"]["PORT"]) == ("203.0.113.10", "443")
    assert rows["radsec"]["SINCE"] == "2026-04-17T09:30:01"
    assert (rows["https"]["SERVER"], rows["https"]["PORT"]) == ("x.example", "8443")


def test_what_is_no_line_of_a_log_is_handed_back_with_its_number():
    read = read_log("2026-04-17 00:30:02 info    capwap: x: CAPWAP up\nwho goes there\n")

    assert read.unplaced == ((2, "who goes there"),)
