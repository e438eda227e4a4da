"""The fast lane says what the slow way says; memory is bounded whatever comes; nothing raises."""

from __future__ import annotations

import gzip
import io
import os
import re
import struct
from dataclasses import asdict
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtughost.packets import judge as verdict_of
from mtughost.packets import summarise
from mtughost.packets.connection import Flow

SYN, ACK, PSH = 2, 16, 8
HEAD = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)


def look(raw):
    return summarise(
        raw,
        host="tap",
        point="ap",
        interface="",
        basis="recorded output",
        command="",
        seconds=0.0,
        services=(),
    )


def slowly(raw):
    with patch.object(Flow, "calm_down", lambda _: False):
        return look(raw)


# -- the fast lane -------------------------------------------------------------------------------

STEP = st.tuples(
    st.sampled_from(["client", "server"]),
    st.sampled_from([0, 0, 1, 100, 536, 1448, 1448, 1448, 3000]),
    st.sampled_from(["next", "next", "next", "next", "again", "skip", "late"]),
    st.sampled_from(["all", "all", "all", "old", "none"]),
    st.sampled_from([0.0, 0.000_3, 0.01, 0.4]),
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    steps=st.lists(STEP, min_size=1, max_size=60),
    v6=st.booleans(),
    timestamps=st.booleans(),
    record=st.sampled_from([b"", b"\x17\x03\x03\x3f\x00", b"\x16\x03\x03\x02\x00\x01\x00\x01\xfc"]),
)
def test_the_fast_lane_changes_nothing(wire, steps, v6, timestamps, record):
    ends = {"client": "2001:db8::1", "server": "2001:db8::2"} if v6 else {}
    capture = wire(timestamps=timestamps, **ends).handshake()
    sent = {"client": 1, "server": 1}
    known = {"client": 1, "server": 1}
    for side, size, where, heard, pause_s in steps:
        other = "server" if side == "client" else "client"
        start = {"next": sent[side], "again": max(1, sent[side] - size), "skip": sent[side] + 1448}
        at = start.get(where, max(1, sent[side] - 2 * 1448))
        if heard == "all":
            known[side] = sent[other]
        ack = max(1, known[side] - 1448) if heard == "old" else known[side]
        payload = (record + bytes(size))[:size]
        capture.wait(pause_s).send(side, at, ack, ACK | PSH if size else ACK, payload)
        sent[side] = max(sent[side], at + size)
    raw = capture.pcap()

    fast, slow = (asdict(evidence) for evidence in (look(raw), slowly(raw)))
    assert fast["flows"] == slow["flows"]
    assert fast == slow


def test_the_fast_lane_is_really_used(wire):
    capture = wire().handshake().send("client", 1, 1, ACK, 400).send("server", 1, 401, ACK, 1448)
    for n in range(1, 50):
        capture.send("server", 1 + 1448 * n, 401, ACK, 1448).send("client", 401, 1 + 1448 * (n + 1))
    calls = []
    plain = Flow.segment

    def counted(self, *arguments, **more):
        calls.append(1)
        return plain(self, *arguments, **more)

    with patch.object(Flow, "segment", counted):
        flow = look(capture.pcap()).flows[0]

    assert flow.largest_acked_down_bytes == 1500
    assert len(calls) < 15


# -- bounds --------------------------------------------------------------------------------------


class Flood(io.RawIOBase):
    """A capture of endless different connections, made as it is read."""

    def __init__(self, wire, count):
        self._frame = wire().send("client", 0, 0, SYN, mss=1460).frames[0][1]
        self._number, self._count = -1, count

    def read(self, size=-1):
        if self._number < 0:
            self._number = 0
            return HEAD
        out = []
        for number in range(self._number, min(self._number + 5_000, self._count)):
            frame = self._frame[:26] + struct.pack("!I", 0x0B000000 + number) + self._frame[30:]
            out.append(struct.pack("<IIII", number // 1000, 0, len(frame), len(frame)) + frame)
        self._number += len(out)
        return b"".join(out)


def test_a_flood_of_connections_stays_in_bounds_and_says_what_was_left_out(wire):
    evidence = look(Flood(wire, 25_000))

    assert evidence.packets == evidence.connections == 25_000
    assert len(evidence.flows) == 10_000
    words = " ".join(evidence.warnings)
    assert "connections were judged before their end" in words
    assert "connections with trouble are not listed" in words
    assert "SYNs and SYN-ACKs are counted but not listed" in words
    assert verdict_of([evidence]).verdict in {"unknown", "not-mtu"}


def memory_kb(name):
    """Return one figure of proc_pid_status(5)."""
    (line,) = re.findall(
        rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE
    )
    return int(line)


@pytest.mark.nightly(basis="generated captures")
@pytest.mark.timeout(1800)
def test_ten_million_connections_stay_in_bounds(wire, record_property):
    count = 10_000_000 if os.environ.get("MTUGHOST_NIGHTLY") == "full" else 300_000
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of earlier tests (proc(5))
    before_kb = memory_kb("VmRSS")

    evidence = look(Flood(wire, count))

    grown_mb = (memory_kb("VmHWM") - before_kb) / 1024
    record_property("connections", f"{evidence.connections}, {grown_mb:.0f} MB at the peak")
    assert evidence.connections == count
    assert grown_mb < 200


def test_unacknowledged_packets_are_forgotten_in_time(wire):
    one_way = wire().handshake()
    for n in range(5_000):
        one_way.send("client", 1 + 1448 * n, 1, ACK, 1448)

    flow = look(one_way.pcap()).flows[0]

    assert (flow.largest_seen_up_bytes, flow.smallest_lost_up_bytes) == (1500, None)


def test_a_connection_that_left_the_table_and_comes_back_is_taken_for_mid_stream(wire):
    capture = wire().handshake().send("client", 1, 1, ACK, 100).send("server", 1, 101)
    at = capture.now_s
    for number in range(6_000):
        other = wire(client=f"10.30.{number // 250}.{number % 250}", now_s=at + 1 + number / 1e4)
        capture.frames += other.send("client", 0, 0, SYN, mss=1460).frames
    capture.now_s += 5
    capture.send("client", 101, 1, ACK, 100).send("server", 1, 201)

    flows = [f for f in look(capture.pcap()).flows if f.client == "10.20.0.10"]

    assert [flow.mid_stream for flow in flows] == [False, True]


# -- hostile files -------------------------------------------------------------------------------


def seeds(wire, story, pack):
    """Return captures of every kind that the readers know."""
    plain = story(wire()).pcap()
    v6 = wire(client="2001:db8::1", server="2001:db8::2").handshake().pcap()
    odd = wire().handshake()
    odd.icmp("10.0.0.1", 1400, odd.segment("client", 1, 1, ACK, bytes(1448)))
    odd.raw(pack["ipv4"]("10.0.0.1", "10.0.0.2", 17, bytes(600), df=False, ident=4, more=True))
    odd.raw(pack["ipv4"]("10.0.0.1", "10.0.0.2", 17, bytes(600), df=False, ident=4, offset=296))
    request = struct.pack("!HHHHBBH", 4000, 1812, 328, 0, 1, 1, 320) + bytes(316)
    odd.raw(pack["ipv4"]("10.0.0.1", "10.0.0.2", 17, request))
    air = b"\x88\x01\0\0" + bytes(20) + b"\0\0" + b"\xaa\xaa\x03\0\0\0\x88\x8e\x02\x03\x00\x75"
    air += b"\x02\x01\x0a" + bytes(130)
    wifi = HEAD[:20] + struct.pack("<I", 127)
    for frame in (b"\0\0\x08\0\0\0\0\0" + air, b"\0\0\x08\0\0\0\0\0\xc0" + bytes(30)):
        wifi += struct.pack("<IIII", 1, 1, len(frame), len(frame)) + frame
    block = struct.pack("<IIIHHq", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1) + struct.pack("<I", 28)
    block += struct.pack("<IIHHII", 1, 20, 1, 0, 0, 20)
    frame = story(wire()).frames[0][1]
    padded = frame + bytes(-len(frame) % 4)
    size = 32 + len(padded)
    head = struct.pack("<IIIIIII", 6, size, 0, 0, 0, len(frame), len(frame))
    ng = block + head + padded + struct.pack("<I", size)
    return [plain, v6, odd.pcap(), wifi, ng, gzip.compress(plain)]


def mutate(raw, data):
    """Flip, cut, repeat and insert, as damage and malice do."""
    out = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 8))):
        if not out:
            break
        place = data.draw(st.integers(0, len(out) - 1))
        kind = data.draw(st.sampled_from(["byte", "cut", "long", "repeat", "insert"]))
        if kind == "byte":
            out[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del out[place : place + data.draw(st.integers(1, 40))]
        elif kind == "long":
            out[place : place + 4] = data.draw(
                st.sampled_from([b"\xff" * 4, bytes(4), b"\0\0\0\x80", b"\xff\xff\0\0"])
            )
        elif kind == "repeat":
            out += out[place : place + 200]
        else:
            out[place:place] = data.draw(st.binary(max_size=24))
    return bytes(out)


def never_raises_nor_confirms(raw, wire_sizes):
    evidence = summarise(
        raw,
        host="tap",
        point="ap",
        interface="",
        basis="recorded output",
        command="",
        seconds=0.0,
        services=(),
        passphrase="obviously-fake",
    )
    report = verdict_of([evidence, evidence])
    assert report.sentence
    assert evidence.packets or evidence.warnings
    for flow in evidence.flows:
        lost = flow.smallest_lost_up_bytes
        assert lost is None or 0 <= (flow.largest_acked_up_bytes or 0) < lost < wire_sizes


FUZZ = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None
)


@settings(FUZZ, max_examples=150)
@given(data=st.data(), which=st.integers(0, 5))
def test_no_mutated_capture_makes_the_verdict_raise(wire, story, pack, data, which):
    never_raises_nor_confirms(mutate(seeds(wire, story, pack)[which], data), 1 << 18)


@pytest.mark.nightly(basis="generated captures")
@pytest.mark.timeout(1800)
@settings(FUZZ, max_examples=20_000 if os.environ.get("MTUGHOST_NIGHTLY") == "full" else 1_000)
@given(data=st.data(), which=st.integers(0, 5))
def test_no_capture_mutated_for_long_makes_the_verdict_raise(wire, story, pack, data, which):
    never_raises_nor_confirms(mutate(seeds(wire, story, pack)[which], data), 1 << 18)


@settings(FUZZ, max_examples=60)
@given(raw=st.binary(max_size=400), magic=st.sampled_from([b"", HEAD[:4], HEAD, b"\x1f\x8b\x08\0"]))
def test_no_other_file_makes_the_verdict_raise(raw, magic):
    never_raises_nor_confirms(magic + raw, 1 << 18)


def test_fragments_that_overlap_are_not_put_together_and_said_so(wire, pack):
    capture = wire().handshake(df=False)
    segment = capture.segment("client", 1, 1, ACK, bytes(1448), df=False)[20:]
    for at, end, more in ((0, 800, True), (400, 1200, True), (1200, 1480, False)):
        part = segment[at:end]
        ends = ("10.20.0.10", "203.0.113.10")
        capture.raw(pack["ipv4"](*ends, 6, part, df=False, ident=9, more=more, offset=at))

    evidence = look(capture.send("server", 1, 1449).pcap())

    assert any("overlapping fragments (first at frame 4)" in text for text in evidence.warnings)
    assert evidence.flows[0].largest_acked_up_bytes is None


@pytest.mark.nightly(basis="generated captures")
@pytest.mark.timeout(1000)
def test_coverage_guided_fuzzing_finds_no_capture_that_raises(fuzzed, checkout):
    fuzzed(Path(__file__).parent / "atheris_capture.py", checkout / "tests/fixtures/captures")
