from __future__ import annotations

import shutil
import struct

import pytest

from mtughost.collect.capture import capture, without_preamble
from mtughost.model.errors import CommandRejectedError, ContentError, UsageError
from mtughost.model.inventory import Service
from mtughost.wire.clock import SystemClock

RADSEC = Service(name="radsec", host="203.0.113.10", port=2083)
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)


class Replay:
    """A session whose stream is given: for what a device's shell may put before the capture."""

    host = "s001-ap1"
    small_mss_login = False

    def __init__(self, data):
        self.commands = []
        self.seconds = []
        self._data = data

    def stream(self, command, *, seconds, stdin_close_ends=True):
        assert stdin_close_ends
        self.commands.append(command)
        self.seconds.append(seconds)
        return self._data


@pytest.fixture
def take(linux_book, access_point):
    def run(session, *, services=(RADSEC,), seconds=5.0, interface="eth0", book=None):
        return capture(
            session,
            book or linux_book,
            access_point,
            point="ap",
            interface=interface,
            services=services,
            seconds=seconds,
            clock=SystemClock(),
        )

    return run


def test_the_capture_asks_for_the_services_ports_too_big_messages_and_fragments(take):
    session = Replay(HEADER)
    other = Service(name="push", host="cloud.example", port=8443)

    raw = take(session, services=(other, RADSEC, RADSEC))

    line = session.commands[0].line
    assert line == raw.command
    assert "tcp port (2083 or 8443)" in line
    assert "icmp-unreach" in line
    assert "icmp6 and ip6[40] = 2" in line
    assert "ip[6:2] & 0x3fff != 0" in line
    assert "ip6 proto 44" in line
    assert {"--immediate-mode", "-U", "-w"} < set(line.split())


def test_the_capture_is_bounded_in_packets_bytes_and_seconds(take, linux_book):
    session = Replay(HEADER)

    take(session, seconds=9999.0)

    command, spec = session.commands[0], linux_book.capture
    packets = int(command.line.split(" -c ")[1].split()[0])
    assert 1 <= packets <= spec.max_packets
    assert 24 + packets * (spec.snap_bytes + 16) <= command.max_bytes
    assert session.seconds == [spec.max_seconds]
    assert f"-s {spec.snap_bytes} " in command.line


def test_what_comes_back_carries_point_basis_and_what_is_left_behind(take):
    raw = take(Replay(HEADER))

    assert (raw.host, raw.point, raw.interface, raw.basis) == (
        "s001-ap1",
        "ap",
        "eth0",
        "real program",
    )
    assert raw.pcap == HEADER
    assert raw.leaves
    assert raw.warnings == ()


def test_text_of_a_login_script_before_the_capture_is_cut_off_and_told(take):
    raw = take(Replay(b"Welcome to store 17\r\n" + HEADER + b"rest"))

    assert raw.pcap == HEADER + b"rest"
    assert "21 bytes before the capture: 'Welcome to store 17'" in raw.warnings[0]


def test_an_answer_that_is_no_capture_is_an_error_with_the_devices_words(take):
    with pytest.raises(CommandRejectedError) as refused:
        take(Replay(b"tcpdump: eth9: No such device exists\n"))

    assert "No such device" in refused.value.answer
    assert refused.value.command.startswith("tcpdump -i eth0")


def test_no_packet_at_all_is_an_empty_capture_and_no_error(take):
    assert take(Replay(b"")).pcap == b""


@pytest.mark.parametrize("interface", ["eth0; reboot", "$(id)", "-w/etc/passwd", "eth0 eth1", ""])
def test_an_interface_name_that_a_shell_would_act_on_is_refused_before_sending(take, interface):
    session = Replay(HEADER)

    with pytest.raises(ContentError):
        take(session, interface=interface)

    assert session.commands == []


def test_a_capture_without_services_is_refused(take):
    with pytest.raises(UsageError, match="at least one service"):
        take(Replay(HEADER), services=())


def test_a_book_without_a_capture_is_refused(take, linux_book):
    book = linux_book.model_copy(update={"capture": None})

    with pytest.raises(UsageError, match="has no capture"):
        take(Replay(HEADER), book=book)


@pytest.mark.parametrize(
    "data",
    [
        HEADER,
        struct.pack(">IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1),
        b"\x0a\x0d\x0d\x0a" + bytes(24),
        b"",
        b"x" * 100_000,
    ],
)
def test_captures_of_every_format_and_garbage_stay_as_they_are(data):
    assert without_preamble(data) == (data, ())


@pytest.mark.lab
@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
def test_a_real_tcpdump_streams_the_packets_of_its_filter(take, local_session, fresh_network):
    """In a namespace of its own: one connection to the service's port, one to another."""
    calls = 'for p in 2083 2084; do bash -c "exec 3<>/dev/tcp/127.0.0.1/$p"; done'
    script = f"ip link set lo up; (sleep 1; {calls}) 2>/dev/null & true"
    session = local_session(prefix=fresh_network(script))

    raw = take(session, interface="lo", seconds=3.0)

    ports = {struct.unpack_from("!HH", raw.pcap, at + 16 + 34) for at in _records(raw.pcap)}
    assert ports
    assert all(2083 in pair for pair in ports)


def _records(pcap):
    at = 24
    while at + 16 <= len(pcap):
        yield at
        at += 16 + struct.unpack_from("<I", pcap, at + 8)[0]
