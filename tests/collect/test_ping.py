from __future__ import annotations

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.collect.ping import parse_ping, ping
from mtughost.content.load import load_book
from mtughost.content.root import packaged_content
from mtughost.model.errors import UsageError
from mtughost.model.session import Answer

HEAD = "PING 203.0.113.10 (203.0.113.10) 1472(1500) bytes of data.\n"
REPLY = "1480 bytes from 203.0.113.10: icmp_seq=1 ttl=61 time=0.213 ms\n"
TAIL = "\n--- 203.0.113.10 ping statistics ---\n"


def parsed(text, *, status="complete", stderr="", df=True):
    answer = Answer(
        command_id="ping", line="ping ...", text=text, stderr=stderr, status=status, exit_code=1
    )
    return parse_ping(
        answer, host="ap1", target="203.0.113.10", packet_bytes=1500, df=df, basis="real program"
    )


@pytest.mark.parametrize(
    ("text", "answered", "too_big", "local"),
    [
        (
            HEAD + REPLY + TAIL + "2 packets transmitted, 2 received, 0% packet loss",
            True,
            None,
            False,
        ),
        (HEAD + TAIL + "2 packets transmitted, 0 received, 100% packet loss", False, None, False),
        (
            HEAD
            + "From 10.20.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1492)\n"
            + "ping: local error: message too long, mtu=1492\n"
            + TAIL
            + "2 packets transmitted, 0 received, +2 errors, 100% packet loss",
            False,
            1492,
            True,
        ),
        (
            HEAD
            + "From 10.20.0.1 icmp_seq=1 Frag needed and DF set (mtu = 0)\n"
            + TAIL
            + "1 packets transmitted, 0 received, +1 errors, 100% packet loss",
            False,
            None,
            False,
        ),
        (
            (
                "PING 2001:db8::1(2001:db8::1) 1452 data bytes\n"
                "From 2001:db8::fe icmp_seq=1 Packet too big: mtu=1492\n"
                "1 packets transmitted, 0 received, +1 errors, 100% packet loss"
            ),
            False,
            1492,
            False,
        ),
        (
            (
                "PING 2001:db8::1(2001:db8::1) 1472 data bytes\n"
                "ping: local error: message too long, mtu: 1492\n"
                "1 packets transmitted, 0 received, +1 errors, 100% packet loss"
            ),
            False,
            1492,
            True,
        ),
        (
            "PING 10.0.0.1 (10.0.0.1): 1472 data bytes\nping: sendto: Message too long\n",
            False,
            None,
            True,
        ),
        (
            (
                "PING 10.0.0.1 (10.0.0.1): 56 data bytes\n"
                "64 bytes from 10.0.0.1: seq=0 ttl=64 time=0.1 ms\n"
                "2 packets transmitted, 2 packets received, 0% packet loss"
            ),
            True,
            None,
            False,
        ),
    ],
)
def test_every_form_of_ping_is_read(text, answered, too_big, local):
    evidence = parsed(text)

    assert (evidence.answered, evidence.too_big_mtu_bytes, evidence.local_error) == (
        answered,
        too_big,
        local,
    )


def test_an_error_on_the_error_stream_counts_too():
    text = HEAD + TAIL + "1 packets transmitted, 0 received, 100% packet loss"

    evidence = parsed(text, stderr="ping: local error: message too long, mtu=1492")

    assert (evidence.local_error, evidence.too_big_mtu_bytes) == (True, 1492)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/bin/sh: 1: ping: not found",
        "ping: cloud.invalid: Name or service not known",
        "ping: socket: Operation not permitted",
        "ping: invalid option -- 'M'",
        HEAD,
    ],
)
def test_an_answer_that_tells_nothing_is_no_evidence(text):
    assert parsed(text) is None


def test_a_cut_off_answer_is_no_evidence():
    assert parsed(HEAD + REPLY, status="timeout") is None


@given(st.text())
def test_text_of_any_kind_never_raises(text):
    parsed(text)


needs_ping = pytest.mark.skipif(shutil.which("ping") is None, reason="ping is not installed")


@needs_ping
@pytest.mark.parametrize("df", [False, True])
def test_a_real_ping_on_loopback_is_answered(linux_book, access_point, local_session, df):
    session = local_session()

    evidence = ping(session, linux_book, access_point, target="127.0.0.1", packet_bytes=1500, df=df)

    if evidence is None:
        pytest.skip("this account may not ping here")
    assert evidence.answered
    assert (evidence.packet_bytes, evidence.df, evidence.basis) == (1500, df, "real program")
    assert f"-M {'do' if df else 'dont'}" in session.asked[0]
    assert "-s 1472 " in session.asked[0]


@needs_ping
def test_ipv6_takes_the_longer_header_off(linux_book, access_point, local_session):
    session = local_session()

    ping(session, linux_book, access_point, target="::1", packet_bytes=1500, df=False)

    assert "-s 1452 " in session.asked[0]


def test_where_the_book_does_not_know_what_ping_does_with_df_the_evidence_says_so(
    access_point,
):
    class Session:
        def ask(self, commands):
            text = (
                "PING 203.0.113.10 (203.0.113.10): 1472 data bytes\n\n"
                "--- 203.0.113.10 ping statistics ---\n"
                "2 packets transmitted, 0 received, 100% packet loss\n"
            )
            return [Answer(command_id="ping", line=command.line, text=text) for command in commands]

    book = load_book(packaged_content(), "extreme_hiveos")

    seen = ping(Session(), book, access_point, target="203.0.113.10", packet_bytes=1500, df=False)

    assert seen.command == "ping 203.0.113.10 count 2 size 1472"
    assert (seen.df, seen.answered) == (None, False)


def test_a_book_without_a_ping_is_refused(linux_book, access_point, local_session):
    book = linux_book.model_copy(update={"probe": None})

    with pytest.raises(UsageError, match="no ping with DF clear"):
        ping(local_session(), book, access_point, target="::1", packet_bytes=1500, df=False)


@needs_ping
@pytest.mark.lab
def test_a_real_kernel_says_where_df_is_too_big(
    linux_book, access_point, local_session, fresh_network
):
    """In a namespace of its own: an interface of 1400 makes the local error."""
    setup = (
        "ip link set lo up; ip link add a0 type veth peer name b0; ip link set a0 mtu 1400 up; "
        "ip link set b0 up; ip address add 192.0.2.1/24 dev a0"
    )
    session = local_session(prefix=fresh_network(setup))

    evidence = ping(
        session, linux_book, access_point, target="192.0.2.9", packet_bytes=1500, df=True
    )

    assert (evidence.answered, evidence.local_error) == (False, True)
    assert evidence.too_big_mtu_bytes == 1400


#: Recorded output of vendors, and whether an answer came: read by hand.
RECORDED = {
    "ios/ping__9.txt": True,
    "ios/ping__12.txt": False,
    "ios/ping__13.txt": False,
    "ios/ping__17.txt": True,
    "ios/ping_8_8_8_8_timeout_2_size_100_repeat_5__2.txt": False,
    "fortios/execute_ping__2.txt": False,
    "fortios/execute_ping__3.txt": False,
    "junos/ping__1.txt": True,
    "junos/ping__3.txt": True,
    "routeros/ping__2.txt": True,
}


@pytest.mark.parametrize(("name", "answered"), RECORDED.items())
def test_recorded_pings_of_vendors_say_whether_an_answer_came(shared, name, answered):
    found = parsed((shared / "samples" / "gateways" / name).read_text())

    assert (found.answered, found.too_big_mtu_bytes, found.local_error) == (answered, None, False)


@pytest.mark.parametrize(
    ("status", "local"),
    [
        ("timeout", False),
        ("fragmentation needed and DF set", False),
        ("packet too large and cannot be fragmented", True),
    ],
)
def test_routeros_says_how_a_ping_was_lost(status, local):
    rows = "".join(f"    {n} 203.0.113.10{'':30}{status}\n" for n in range(2))
    found = parsed(
        f"  SEQ HOST{'':37}SIZE TTL TIME  STATUS\n{rows}    sent=2 received=0 packet-loss=100%\n"
    )

    assert (found.answered, found.too_big_mtu_bytes, found.local_error) == (False, None, local)
