from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SYN, ACK = 2, 16
PPPOE = struct.pack("!BBHH", 0x11, 0, 7, 1502)


def cooked(protocol=0x0800):
    return struct.pack("!HHHQH", 0, 1, 6, 0, protocol)


def cooked_v2(protocol=0x0800):
    return struct.pack("!HHIHBB", protocol, 0, 2, 1, 0, 6) + bytes(8)


@pytest.mark.parametrize(
    ("linktype", "prefix"),
    [
        (0, b"\x02\0\0\0"),
        (0, b"\0\0\0\x02"),
        (9, b"\xff\x03\x00\x21"),
        (9, b"\x00\x21"),
        (12, b""),
        (14, b""),
        (51, PPPOE + b"\x00\x21"),
        (101, b""),
        (108, b"\0\0\0\x02"),
        (113, cooked()),
        (113, cooked(0x8100) + b"\0\x14\x08\0"),
        (228, b""),
        (276, cooked_v2()),
        (276, cooked_v2(0x8864) + PPPOE + b"\x00\x21"),
    ],
)
def test_every_link_type_leads_to_the_same_flow(wire, story, judge, linktype, prefix):
    expected = judge(story(wire())).flows

    evidence = judge(story(wire()).pcap(linktype=linktype, prefix=prefix))

    assert evidence.flows == expected
    assert evidence.warnings == ()


@pytest.mark.parametrize("prefix", [b"\x18\0\0\0", b"\0\0\0\x1e", b"\x0a\0\0\0"])
def test_ipv6_on_a_loopback_interface_is_read_for_every_system_family_number(wire, judge, prefix):
    capture = wire(client="2001:db8::1", server="2001:db8::2").handshake()

    assert judge(capture.pcap(linktype=0, prefix=prefix)).flows[0].family == "ipv6"


@pytest.mark.parametrize("tags", [(20,), (100, 20)])
def test_vlan_tags_are_looked_through(wire, judge, tags):
    capture = wire().send("client", 0, 0, SYN, mss=1460, tags=tags)

    assert judge(capture).syns[0].mss_bytes == 1460


def test_pppoe_inside_ethernet_is_looked_through(wire, judge):
    capture = wire()
    segment = capture.segment("client", 0, 0, SYN, mss=1452)
    frame = bytes(12) + b"\x88\x64" + PPPOE + b"\x00\x21" + segment
    capture.frames.append((1.0, frame, len(frame)))

    assert judge(capture).syns[0].mss_bytes == 1452


@pytest.mark.parametrize(("linktype", "name"), [(220, "USB"), (249, "249")])
def test_a_link_type_that_is_not_read_is_named_and_its_packets_counted(
    wire, story, judge, linktype, name
):
    evidence = judge(story(wire()).pcap(linktype=linktype))

    assert evidence.flows == ()
    assert "link type that is not read" in evidence.warnings[0]
    assert name in evidence.warnings[0]


def test_link_padding_is_not_payload(wire, judge):
    capture = wire(timestamps=False).handshake()
    short = capture.segment("client", 1, 1, ACK)
    frame = bytes(12) + b"\x08\0" + short + bytes(60 - 14 - len(short))
    capture.frames.append((capture.now_s + 1, frame, 60))

    assert judge(capture).flows[0].stalled_up_bytes is None
    assert judge(capture).flows[0].df_up is None


@pytest.mark.parametrize(
    ("number", "header"),
    [
        (0, b"\x06\x00" + bytes(6)),
        (60, b"\x06\x01" + bytes(14)),
        (43, b"\x06\x00" + bytes(6)),
        (51, b"\x06\x04" + bytes(22)),
        (44, b"\x06\x00\x00\x00\0\0\0\x07"),
    ],
)
def test_ipv6_extension_headers_are_walked(wire, pack, judge, number, header):
    capture = wire(client="2001:db8::1", server="2001:db8::2")
    segment = capture.segment("client", 0, 0, SYN, mss=1440)[40:]
    capture.raw(pack["ipv6"]("2001:db8::1", "2001:db8::2", number, segment, extensions=header))

    assert judge(capture).syns[0].mss_bytes == 1440


def fragments_of(pack, segment, *, ident, size=1472, df=False):
    """Cut the TCP segment of an IPv4 packet into fragments as a router does."""
    body = segment[20:]
    parts = [(at, body[at : at + size]) for at in range(0, len(body), size)]
    return [
        pack["ipv4"](
            "10.20.0.10",
            "203.0.113.10",
            6,
            part,
            df=df,
            ident=ident,
            more=at + len(part) < len(body),
            offset=at,
        )
        for at, part in parts
    ]


def fragmented_story(wire, pack, *, acknowledged):
    capture = wire().handshake(df=False).send("client", 1, 1, ACK, 188, df=False)
    capture.send("server", 1, 189)
    for ident in (700, 701, 702):
        segment = capture.segment("client", 189, 1, ACK, bytes(1448), df=False)
        for packet in fragments_of(pack, segment, ident=ident):
            capture.raw(packet)
        if acknowledged:
            capture.send("server", 1, 1637)
            return capture
        capture.send("client", 1637, 1, ACK, 476, df=False) if ident == 700 else None
        capture.send("server", 1, 189, sack=((1637, 2113),)).wait(0.4)
    return capture


def test_fragments_are_put_together_and_lost_as_the_packet_they_were(wire, pack, judge):
    evidence = judge(fragmented_story(wire, pack, acknowledged=False))
    flow = evidence.flows[0]

    assert (evidence.fragments_up, evidence.fragments_down) == (6, 0)
    assert (flow.largest_acked_up_bytes, flow.smallest_lost_up_bytes) == (528, 1500)
    assert flow.df_up is False


def test_fragments_that_arrive_deliver_the_packet_they_were(wire, pack, judge):
    evidence = judge(fragmented_story(wire, pack, acknowledged=True))

    assert evidence.fragments_up == 2
    assert evidence.flows[0].largest_acked_up_bytes == 1500
    assert evidence.incomplete_datagrams == ()


def test_a_datagram_that_stays_incomplete_is_named_by_its_first_frame(wire, pack, judge):
    capture = wire().handshake(df=False)
    segment = capture.segment("client", 1, 1, ACK, bytes(1448), df=False)
    capture.raw(fragments_of(pack, segment, ident=9)[1])

    assert judge(capture).incomplete_datagrams == (4,)


def test_the_same_fragment_twice_and_in_any_order_changes_nothing(wire, pack, judge):
    capture = wire().handshake(df=False)
    segment = capture.segment("client", 1, 1, ACK, bytes(1448), df=False)
    parts = fragments_of(pack, segment, ident=9, size=480)
    for part in (parts[2], parts[0], parts[2], parts[3], parts[1], parts[1]):
        capture.raw(part)
    capture.send("server", 1, 1449)

    evidence = judge(capture)

    assert evidence.flows[0].largest_acked_up_bytes == 1500
    assert evidence.incomplete_datagrams == ()


def test_ipv6_fragments_are_put_together(wire, pack, judge):
    capture = wire(client="2001:db8::1", server="2001:db8::2").handshake()
    segment = capture.segment("client", 1, 1, ACK, bytes(1428))[40:]
    for at, more in ((0, 1), (1232, 0)):
        part = segment[at : at + 1232]
        header = struct.pack("!BBHI", 6, 0, at | more, 77)
        capture.raw(pack["ipv6"]("2001:db8::1", "2001:db8::2", 44, part, extensions=header))
    capture.send("server", 1, 1429)

    evidence = judge(capture)

    assert evidence.flows[0].largest_acked_up_bytes == 1500
    assert evidence.fragments_up == 2


@settings(max_examples=200)
@given(data=st.data())
def test_no_damaged_frame_makes_the_reader_raise(wire, story, pack, judge, data):
    capture = fragmented_story(wire, pack, acknowledged=False)
    damaged = []
    for when, frame, length in capture.frames:
        broken = bytearray(frame)
        for place in data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=3)):
            broken[place] = data.draw(st.integers(0, 255))
        keep = data.draw(st.one_of(st.none(), st.integers(0, len(frame))))
        damaged.append((when, bytes(broken[:keep]), length))
    capture.frames = damaged

    evidence = judge(capture)

    assert evidence.packets == len(damaged)
