from __future__ import annotations

import pytest

ACK = 16


def with_message(wire, mtu, *, sizes=(1448,), quoted_bytes=1448, reporter="192.168.1.1"):
    capture = wire().handshake()
    at = 1
    for size in sizes:
        capture.send("client", at, 1, ACK, size)
        at += size
    return capture.icmp(reporter, mtu, capture.segment("client", 1, 1, ACK, bytes(quoted_bytes)))


def test_a_believable_message_is_reported_with_what_it_quotes(wire, judge):
    message = judge(with_message(wire, 1492)).too_big[0]

    assert (message.reporter, message.to, message.next_hop_mtu_bytes) == (
        "192.168.1.1",
        "10.20.0.10",
        1492,
    )
    assert (message.quoted_source, message.quoted_destination, message.quoted_bytes) == (
        "10.20.0.10",
        "203.0.113.10",
        1500,
    )


@pytest.mark.parametrize(
    ("mtu", "sizes", "quoted_bytes", "words"),
    [
        (1500, (1448,), 1593, "receive offload at the far side"),
        (1500, (1448,), 1448, "nothing that was sent exceeds its MTU 1500"),
        (9000, (1448,), 1448, "nothing that was sent exceeds its MTU 9000"),
        (0, (1448,), 1448, "no next-hop MTU"),
        (40, (1448,), 1448, "below 68"),
    ],
)
def test_a_message_that_must_not_lower_the_path_mtu_is_doubted_with_the_reason(
    wire, judge, mtu, sizes, quoted_bytes, words
):
    evidence = judge(with_message(wire, mtu, sizes=sizes, quoted_bytes=quoted_bytes))

    assert evidence.too_big == ()
    assert [message.next_hop_mtu_bytes for message in evidence.doubted_too_big] == [mtu]
    assert any("frame 5" in text and words in text for text in evidence.warnings)


def test_an_unusually_small_mtu_is_believed_and_called_odd(wire, judge):
    evidence = judge(with_message(wire, 296))

    assert [message.next_hop_mtu_bytes for message in evidence.too_big] == [296]
    assert any("296 is unusually small" in text for text in evidence.warnings)


@pytest.mark.parametrize(("mtu", "believed"), [(1280, True), (1492, True), (1279, False)])
def test_ipv6_below_1280_is_flagged_and_not_believed(wire, judge, mtu, believed):
    capture = wire(client="2001:db8::1", server="2001:db8::2").handshake()
    capture.send("client", 1, 1, ACK, 1428)
    capture.icmp("2001:db8::fe", mtu, capture.segment("client", 1, 1, ACK, bytes(1428)))

    evidence = judge(capture)

    assert [m.next_hop_mtu_bytes for m in evidence.too_big] == ([mtu] if believed else [])
    assert [m.next_hop_mtu_bytes for m in evidence.doubted_too_big] == ([] if believed else [mtu])


def test_a_message_without_its_flow_in_the_capture_is_reported_as_it_is(wire, judge):
    capture = wire()
    capture.icmp("10.9.9.9", 1400, capture.segment("client", 1, 1, ACK, bytes(1448)))

    evidence = judge(capture)

    assert [message.next_hop_mtu_bytes for message in evidence.too_big] == [1400]
    assert evidence.flows == ()


def test_the_quoted_header_is_no_flow_and_other_icmp_no_message(wire, pack, judge):
    capture = wire()
    capture.raw(pack["ipv4"]("10.0.0.1", "10.0.0.2", 1, b"\x08\0\0\0\0\0\0\0ping"))
    capture.raw(pack["ipv4"]("10.0.0.1", "10.0.0.2", 1, b"\x03\x01\0\0\0\0\0\0" + bytes(28)))
    capture.raw(pack["ipv4"]("10.0.0.1", "10.0.0.2", 1, b"\x03\x04\0\0\0\0\0\0" + bytes(4)))

    evidence = judge(capture)

    assert (evidence.flows, evidence.too_big, evidence.doubted_too_big) == ((), (), ())
