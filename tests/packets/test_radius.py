from __future__ import annotations

import struct

import pytest

from mtughost.packets import judge as verdict_of
from mtughost.packets import summarise

AP, SERVER = "10.20.0.10", "203.0.113.20"


def radius(code, ident, size, *, port=40_000, answer=False, tag=0):
    ports = (1812, port) if answer else (port, 1812)
    body = struct.pack("!BBH", code, ident, size) + bytes([tag]) * 16 + bytes(size - 20)
    return struct.pack("!HHHH", *ports, 8 + size, 0) + body


def send(wire, pack, datagram, *, up=True, ident=1, keep=(True, True)):
    """Send a datagram, in fragments of 1480 bytes where it is larger."""
    ends = (AP, SERVER) if up else (SERVER, AP)
    parts = [(at, datagram[at : at + 1480]) for at in range(0, len(datagram), 1480)]
    for (at, part), kept in zip(parts, keep, strict=False):
        if kept:
            more = at + len(part) < len(datagram)
            wire.raw(pack["ipv4"](*ends, 17, part, df=False, ident=ident, more=more, offset=at))
    return wire


def dead_requests(wire, pack, *, keep=(True, True), tries=3, small=True):
    capture = wire()
    if small:
        send(capture, pack, radius(1, 1, 300))
        capture.wait(0.05)
        send(capture, pack, radius(11, 1, 200, answer=True), up=False)
    for attempt in range(tries):
        send(capture.wait(3), pack, radius(1, 2, 1700, tag=7), ident=50 + attempt, keep=keep)
    return capture


def seen(capture, name="tap"):
    return summarise(
        capture.pcap(),
        host=name,
        point="ap",
        interface="",
        basis="recorded output",
        command="",
        seconds=0.0,
        services=(),
    )


def test_a_request_in_two_fragments_that_is_answered_is_healthy(wire, pack):
    capture = send(wire(), pack, radius(1, 1, 1700))
    capture.wait(0.05)
    send(capture, pack, radius(11, 1, 200, answer=True), up=False)

    evidence = seen(capture)
    report = verdict_of([evidence])

    assert (evidence.radius[0].answered, evidence.radius[0].largest_answered_bytes) == (1, 1728)
    assert report.findings == ()


def test_fragmented_requests_without_an_answer_while_small_ones_get_one_are_lost_by_size(
    wire, pack
):
    report = verdict_of([seen(dead_requests(wire, pack))])

    assert (report.verdict, report.findings[0].id) == ("fault", "radius-fragments-dropped")
    assert report.findings[0].grade == "likely"
    assert "1728 bytes" in report.sentence
    assert "they pass this point whole" in report.sentence


def test_first_fragments_without_their_rest_show_the_loss_before_this_point(wire, pack):
    evidence = seen(dead_requests(wire, pack, keep=(True, False), small=False))
    report = verdict_of([evidence])

    assert evidence.radius[0].missing_fragments == (1, 2, 3)
    assert [finding.id for finding in report.findings] == ["radius-fragments-dropped"]
    assert "only their first fragments come by" in report.sentence


def test_whole_at_one_point_and_cut_at_another_is_confirmed(wire, pack):
    before = seen(dead_requests(wire, pack), "before")
    behind = seen(dead_requests(wire, pack, keep=(True, False)), "behind")

    assert {f.grade for f in verdict_of([before, behind]).findings} == {"confirmed"}


def test_a_dead_server_is_no_matter_of_size(wire, pack):
    capture = dead_requests(wire, pack, small=False)
    for _ in range(3):
        send(capture.wait(3), pack, radius(1, 9, 300, tag=3))

    assert verdict_of([seen(capture)]).findings == ()


def test_a_request_that_was_sent_once_may_still_be_answered(wire, pack):
    assert verdict_of([seen(dead_requests(wire, pack, tries=1))]).findings == ()


def test_copies_of_a_mirrored_port_are_no_repeats(wire, pack):
    capture = wire()
    for _ in range(2):
        send(capture, pack, radius(1, 1, 300))

    assert seen(capture).radius[0].repeats == 0


@pytest.mark.parametrize("length", [0, 19, 5000, 65_535])
def test_a_datagram_whose_length_field_lies_is_no_request(wire, pack, length):
    datagram = bytearray(radius(1, 1, 300))
    datagram[10:12] = struct.pack("!H", length)

    assert seen(send(wire(), pack, bytes(datagram))).radius == ()
