"""Rows about the cloud to facts: several commands, several ports, local clocks, newest attempts."""

from __future__ import annotations

import pytest

from mtughost.collect.cloud_rows import clock, cloud, push_log
from mtughost.collect.rows import SourcedRow
from mtughost.model.basis import Unknown
from mtughost.model.inventory import Credential, Device, Service


def row(command="show x", line=1, **columns):
    return SourcedRow(columns=columns, line=line, command=command)


def device(port=2083):
    return Device(
        name="ap",
        address="10.0.0.2",
        site="s",
        role="ap",
        credential=Credential(realm="r", username="u"),
        services=(Service(name="radsec", host="203.0.113.10", port=port),),
    )


def test_what_several_commands_say_of_one_service_is_put_together():
    rows = [
        row("show idm", SERVICE="radsec", PROXY="10.0.0.3"),
        row("show radius", SERVICE="RadSec", PORTS="80 443", PROXY="10.0.0.9"),
    ]

    (state,) = cloud(rows, device(443))

    assert (state.proxy, state.port, state.ports) == ("10.0.0.3", 443, (80, 443))


def test_two_services_of_one_name_in_one_answer_stay_two():
    rows = [row(line=1, SERVICE="a", PORT="1"), row(line=2, SERVICE="a", PORT="2")]

    assert [state.port for state in cloud(rows, device())] == [1, 2]


def test_of_several_ports_none_of_which_the_inventory_knows_the_first_is_used():
    (state,) = cloud([row(SERVICE="radsec", PORTS="80 443")], device(2083))

    assert (state.port, state.ports) == (80, (80, 443))


@pytest.mark.parametrize(
    ("columns", "connected"),
    [
        ({"UP": "RUN_STATE"}, True),
        ({"DOWN": "DISC_REQ"}, False),
        ({"UP": "yes", "DOWN": "no"}, None),
        ({"CONNECTED": "no"}, False),
        ({}, None),
    ],
)
def test_the_devices_own_words_for_up_and_down_count(columns, connected):
    (state,) = cloud([row(SERVICE="capwap", **columns)], device())

    assert state.connected is connected


def test_an_address_of_zeros_is_nobody():
    (state,) = cloud([row(SERVICE="capwap", SERVER="0.0.0.0", PROXY="::")], device())  # noqa: S104

    assert (state.server, state.proxy) == ("", "")


def attempt(text, when, service="radsec", line=1):
    return row(TEXT=text, WHEN=when, SERVICE=service, line=line)


STALL = "timeout during SSL_connect"


def test_each_services_attempts_are_told_apart_and_carry_their_time():
    rows = [
        attempt("curl: (60) x", "2026-04-17 10:00:00", "https", line=1),
        attempt(STALL, "2026-04-17 09:00:00", line=2),
    ]

    found = push_log(rows, device())

    assert [(f.service, f.failure, f.at, f.line) for f in found] == [
        ("https", "certificate-rejected", "2026-04-17T10:00:00", 1),
        ("radsec", "handshake-stall", "2026-04-17T09:00:00", 2),
    ]


def test_a_success_after_the_failures_stands_last():
    good = "Query PPSK success for sta 0200, username: u"
    begun = "tlsconnect: trying to open TLS connection to server x (203.0.113.10 port 2083)"
    failed = "tlsconnect: SSL connect to x (203.0.113.10 port 2083) failed"
    newest_first = [
        attempt(good, "2026-04-17 10:00:00"),
        attempt(failed, "2026-04-17 09:00:05", line=2),
        attempt(begun, "2026-04-17 09:00:00", line=3),
    ]

    found = push_log(newest_first, device())

    assert [(f.failure, f.line) for f in found] == [("handshake-stall", 2), ("none", 1)]
    assert push_log(newest_first[:1], device()) == ()


@pytest.mark.parametrize(
    ("when", "at"),
    [
        ("2026-04-17 10:00:00", "2026-04-17T10:00:00"),
        ("Fri Apr 17 10:00:00 2026", "2026-04-17T10:00:00"),
        ("Apr 17 10:00:00", "--04-17T10:00:00"),
        ("10:00:00.123456", ""),
        ("yesterday", ""),
    ],
)
def test_printed_times_are_kept_in_one_form_and_a_missing_year_is_not_invented(when, at):
    (found,) = push_log([attempt(STALL, when)], device())

    assert found.at == at


SUMMER = {"SUMMER": "Yes", "SUMMER_START": "03-08 01:59:59", "SUMMER_END": "11-01 01:59:59"}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"CLOCK_LOCAL": "2026-04-17  17:56:31", "ZONE": "GMT-5:00", **SUMMER}, "T17:56:31-04:00"),
        ({"CLOCK_LOCAL": "2026-01-17 17:56:31", "ZONE": "GMT-5:00", **SUMMER}, "T17:56:31-05:00"),
        ({"CLOCK_LOCAL": "2026-04-17 17:56:31", "ZONE": "GMT+5:30"}, "T17:56:31+05:30"),
        (
            {
                "CLOCK_LOCAL": "2026-01-17 12:00:00",
                "ZONE": "GMT+10:00",
                "SUMMER": "Yes",
                "SUMMER_START": "10-04 02:00:00",
                "SUMMER_END": "04-05 03:00:00",
            },
            "T12:00:00+11:00",
        ),
    ],
)
def test_a_local_clock_keeps_its_distance_from_utc(columns, expected):
    rows = [row(**{key: value}) for key, value in columns.items()]

    assert clock(rows, device()).endswith(expected)


@pytest.mark.parametrize("zone", ["", "MEZ", "GMT+99:00"])
def test_a_local_clock_without_a_zone_that_is_understood_is_unknown(zone):
    assert isinstance(clock([row(CLOCK_LOCAL="2026-04-17 17:56:31", ZONE=zone)], device()), Unknown)
