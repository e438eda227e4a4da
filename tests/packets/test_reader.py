from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtughost.packets import read_capture

NS = 1_000_000_000
PACKETS = [
    (1_700_000_000 * NS + 168_451_894, b"first packet"),
    (1_700_000_001 * NS + 2_000, b""),
    (1_700_000_001 * NS + 3_000, b"x" * 700),
]


def pcap(packets=PACKETS, *, order="<", magic=0xA1B2C3D4, linktype=1):
    unit = 1 if magic == 0xA1B23C4D else 1000
    extra = b"\0" * 8 if magic == 0xA1B2CD34 else b""
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, linktype)
    for when, data in packets:
        header = struct.pack(
            order + "IIII", when // NS, when % NS // unit, len(data), len(data) + 5
        )
        out += header + extra + data
    return out


def block(kind, body, order="<"):
    body += b"\0" * (-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order="<"):
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order="<", *, linktype=1, resolution=None, offset_s=None, snaplen=0):
    options = b""
    if resolution is not None:
        options += struct.pack(order + "HHB3x", 9, 1, resolution)
    if offset_s is not None:
        options += struct.pack(order + "HHq", 14, 8, offset_s)
    if options:
        options += struct.pack(order + "HH", 0, 0)
    return block(1, struct.pack(order + "HHI", linktype, 0, snaplen) + options, order)


def enhanced(index, units, data, order="<", wire=None):
    wire = len(data) + 5 if wire is None else wire
    head = struct.pack(order + "IIIII", index, units >> 32, units & 0xFFFFFFFF, len(data), wire)
    return block(6, head + data, order)


def pcapng(packets=PACKETS, order="<"):
    out = section(order) + interface(order, resolution=9)
    return out + b"".join(enhanced(0, when, data, order) for when, data in packets)


def read(data):
    reader = read_capture(data)
    return [(when, packet) for when, _, _, packet in reader], reader


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34])
def test_a_pcap_of_every_byte_order_and_precision_gives_the_same_packets(order, magic):
    packets, reader = read(pcap(order=order, magic=magic))

    unit = 1 if magic == 0xA1B23C4D else 1000
    assert packets == [(when // unit * unit, data) for when, data in PACKETS]
    assert (reader.format, reader.truncated, reader.warnings) == ("pcap", False, [])


def test_the_length_on_the_wire_and_the_link_type_come_with_every_packet():
    records = list(read_capture(pcap(linktype=0x14000071)))  # 113 with an FCS length above it

    assert [(link, wire) for _, link, wire, _ in records] == [(113, 17), (113, 5), (113, 705)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pcapng_file_gives_the_same_packets_in_both_byte_orders(order):
    packets, reader = read(pcapng(order=order))

    assert packets == PACKETS
    assert (reader.format, reader.truncated, reader.warnings) == ("pcapng", False, [])


def test_interfaces_of_a_pcapng_file_keep_their_own_link_type_and_time_unit():
    data = (
        section()
        + interface(linktype=1)
        + interface(linktype=113, resolution=0x80 | 10, offset_s=100)
        + enhanced(0, 1_700_000_000_000_001, b"a")
        + enhanced(1, 5 * 1024 + 512, b"b")
    )

    records = list(read_capture(data))

    assert [(when, link) for when, link, _, _ in records] == [
        (1_700_000_000_000_001_000, 1),
        (105_500_000_000, 113),
    ]


def test_a_second_section_starts_with_interfaces_and_byte_order_of_its_own():
    data = pcapng(PACKETS[:1]) + pcapng(PACKETS[1:], order=">")

    assert read(data)[0] == PACKETS


def test_simple_and_obsolete_packet_blocks_are_read_and_other_blocks_skipped():
    old = struct.pack("<HHIIII", 0, 0, 0, 7, 3, 3) + b"old"
    data = (
        section()
        + interface(resolution=9, snaplen=4)
        + block(5, b"interface statistics")
        + block(3, struct.pack("<I", 9) + b"simp")
        + block(2, old)
        + block(0x0BAD, b"custom")
    )

    assert [packet for _, packet in read(data)[0]] == [b"simp", b"old"]


def test_a_packet_of_an_interface_that_was_never_described_is_skipped_and_counted():
    packets, reader = read(pcapng(PACKETS[:1]) + enhanced(7, 1, b"lost"))

    assert packets == PACKETS[:1]
    assert "1 packet blocks name no interface" in reader.warnings[0]


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_a_gzipped_capture_reads_like_the_plain_one(make):
    raw = make()
    middle = len(raw) // 2

    whole, _ = read(gzip.compress(raw))
    members, reader = read(gzip.compress(raw[:middle]) + gzip.compress(raw[middle:]) + b"\0" * 9)

    assert whole == members == read(raw)[0]
    assert not reader.truncated


@settings(max_examples=400)
@given(data=st.data(), make=st.sampled_from([pcap, pcapng]), zipped=st.booleans())
def test_a_file_cut_at_any_byte_keeps_what_came_before_and_never_raises(data, make, zipped):
    raw = gzip.compress(make()) if zipped else make()
    whole, _ = read(raw)
    cut = data.draw(st.integers(0, len(raw) - 1))

    packets, reader = read(raw[:cut])

    assert packets == whole[: len(packets)]
    # The whole part of a plain file is exact: only what the cut touched may be missing.
    if not zipped:
        complete = [n for n in range(len(PACKETS) + 1) if len(make(PACKETS[:n])) <= cut]
        assert len(packets) == max(complete, default=0)
        assert reader.truncated == (cut > 0 and not _ends_at_a_boundary(make, cut))
    elif cut > 0:
        assert reader.truncated


def _ends_at_a_boundary(make, cut):
    boundaries = {len(make(PACKETS[:n])) for n in range(len(PACKETS) + 1)}
    if make is pcapng:
        boundaries.add(len(section()))
    return cut in boundaries


@settings(max_examples=300)
@given(data=st.data(), make=st.sampled_from([pcap, pcapng]))
def test_no_flipped_byte_makes_the_reader_raise(data, make):
    raw = bytearray(make())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=6)):
        raw[place] ^= data.draw(st.integers(1, 255))

    packets, _ = read(bytes(raw))

    assert sum(len(packet) for _, packet in packets) <= len(raw)


def test_a_packet_that_claims_more_than_any_packet_ends_the_reading_with_a_warning():
    raw = pcap(PACKETS[:1]) + struct.pack("<IIII", 0, 0, 1 << 30, 1 << 30) + b"rest"

    packets, reader = read(raw)

    assert [packet for _, packet in packets] == [b"first packet"]
    assert reader.truncated
    assert "packet 2 claims 1073741824 bytes" in reader.warnings[0]


def test_two_lengths_of_a_block_that_differ_end_the_reading_with_a_warning():
    raw = bytearray(pcapng())
    raw[-1] ^= 1

    packets, reader = read(bytes(raw))

    assert packets == PACKETS[:2]
    assert "the two lengths of block 5 differ" in reader.warnings[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the capture is empty"),
        (b"\xd4\xc3", "ends in its header"),
        (b"\xd4\xc3\xb2\xa1\x02\0", "ends in its header"),
        (b"motd: welcome\n", "not a pcap or pcapng file (it begins with 6d6f7464)"),
    ],
)
def test_a_file_without_packets_says_what_it_is(data, words):
    packets, reader = read(data)

    assert packets == []
    assert words in reader.warnings[0]


class Drip(io.RawIOBase):
    """A file that hands out a few bytes at a time, as pipes do."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def read(self, size=-1):
        return self._data.read(min(size, 7))


@pytest.mark.parametrize("raw", [pcap(), pcapng(), gzip.compress(pcapng())])
def test_a_file_that_drips_gives_the_same_packets_and_digest(raw):
    packets, reader = read(Drip(raw))

    assert [packet for _, packet in packets] == [packet for _, packet in PACKETS]
    assert reader.sha256() == hashlib.sha256(raw).hexdigest()


def test_the_digest_covers_the_whole_file_also_behind_damage():
    raw = pcap(PACKETS[:1]) + b"\xff" * 64 + b"x" * 3_000_000

    reader = read_capture(io.BytesIO(raw))
    list(reader)

    assert reader.sha256() == hashlib.sha256(raw).hexdigest()


class Endless(io.RawIOBase):
    """A large capture that is never in memory as a whole."""

    def __init__(self, head, record, count):
        self._head, self._record, self._left = head, record, count

    def read(self, size=-1):
        if self._head:
            head, self._head = self._head, b""
            return head
        batch = min(self._left, max(1, size // len(self._record)))
        self._left -= batch
        return self._record * batch


def test_memory_stays_bounded_however_large_the_capture_is():
    record = struct.pack("<IIII", 1, 1, 1500, 1500) + bytes(1500)
    source = Endless(pcap([]), record, 40_000)  # 60 MB
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_capture(source))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == 40_000
    assert peak_bytes < 8_000_000
