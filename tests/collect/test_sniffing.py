"""Captures on command lines: what is sent, in which order, and what is always taken back.

The device here is a script of answers; that the lines do what they say is shown on emulations
(tests/lab/fleet/test_sniffers.py) and with a real kernel's packets (tests/lab/test_bound.py).
"""

from __future__ import annotations

import re

import pytest

from mtughost.collect.capture import capture
from mtughost.content.load import load_book
from mtughost.model.errors import CommandRejectedError, ContentError, DeviceError
from mtughost.model.inventory import Service
from mtughost.model.session import Answer

RADSEC = Service(name="radsec", host="203.0.113.10", port=2083)
PUSH = Service(name="push", host="203.0.113.11", port=443)
FRAME = "020000000002020000000001080045000028000140004006b1e6c000020acb00710a9c40082300000001"
FRAME += "000000005002faf000000000"
TIMES = "   0   54    0.500000   192.0.2.10       ->  203.0.113.10     0  BE   TCP\n"
FORTI_TEXT = "2025-11-22 00:00:07.000250 wan1 out 192.0.2.10.40000 -> 203.0.113.10.2083: syn 1\n"
FORTI_TEXT += "".join(
    f"0x{at:04x}\t {bytes.fromhex(FRAME)[at : at + 16].hex(' ', -2)}\t.\n"
    for at in range(0, 54, 16)
)
EPC_TEXT = "0\n" + "".join(
    f"  {at:04X}:  {bytes.fromhex(FRAME)[at : at + 16].hex(' ', -4).upper()}   .\n"
    for at in range(0, 54, 16)
)


class Clock:
    """Time that only passes when somebody waits."""

    def __init__(self):
        self.slept = []

    def utc_now(self):
        return "2025-11-22T00:00:00+00:00"

    def monotonic_s(self):
        return sum(self.slept)

    def boottime_s(self):
        return sum(self.slept)

    def sleep(self, seconds):
        self.slept.append(seconds)


class Terminal:
    """Answers lines; a line that fits ``breaks`` gets that status."""

    host = "s001-gw1"
    small_mss_login = False

    def __init__(self, answers=(), breaks="", status="rejected"):
        self.lines = []
        self.streamed = []
        self._answers = dict(answers)
        self._breaks, self._status = breaks, status

    def ask(self, commands):
        (command,) = commands
        self.lines.append(command.line)
        assert command.risk == ("passive" if command.line.startswith("show") else "active")
        broken = bool(self._breaks) and re.search(self._breaks, command.line)
        text = next((t for word, t in self._answers.items() if word in command.line), "")
        return (
            Answer(
                command_id=command.command_id,
                line=command.line,
                text=text,
                status=self._status if broken else "complete",
                error="no such thing" if broken else "",
            ),
        )

    def stream(self, command, *, seconds, stdin_close_ends=True):
        assert stdin_close_ends
        self.streamed.append((command.line, seconds))
        return FORTI_TEXT.encode()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def take(content_root, access_point, clock):
    def run(platform, session, *, services=(RADSEC,), interface="wan1", seconds=10.0, book=None):
        return capture(
            session,
            book or load_book(content_root, platform),
            access_point,
            point="gateway-wan",
            interface=interface,
            services=services,
            seconds=seconds,
            clock=clock,
        )

    return run


def name_in(line):
    return re.search(r"MG[0-9a-f]{6}", line)[0]


@pytest.fixture
def epc():
    return Terminal({"buffer brief": TIMES, "buffer dump": EPC_TEXT})


def test_a_sniffer_is_one_line_for_all_services_with_too_big_and_fragments(take):
    session = Terminal()

    raw = take("fortinet", session, services=(RADSEC, PUSH))

    ((line, seconds),) = session.streamed
    assert line == raw.command
    assert line.startswith("diagnose sniffer packet wan1 '(tcp and (port 443 or port 2083))")
    assert "icmp[icmptype] == 3 and icmp[icmpcode] == 4" in line
    assert "ip[6:2] > 0" in line
    assert line.endswith("' 6 1000 a")
    assert seconds == 10
    assert session.lines == []
    assert raw.pcap.endswith(bytes.fromhex(FRAME))
    assert "network processor" in raw.misses


def test_a_capture_in_memory_is_defined_bounded_started_stopped_shown_and_removed(take, epc, clock):
    raw = take("cisco_xe", epc, interface="GigabitEthernet0/0/0")

    name = name_in(epc.lines[0])
    assert [line.replace(name, "X") for line in epc.lines] == [
        "monitor capture X limit duration 15 packet-len 192",
        "monitor capture X limit packets 3000",
        "monitor capture X match any",
        "monitor capture X interface GigabitEthernet0/0/0 both",
        "monitor capture X start",
        "monitor capture X stop",
        "show monitor capture X buffer brief",
        "show monitor capture X buffer dump",
        "no monitor capture X",
    ]
    assert clock.slept == [10]
    assert raw.pcap.endswith(bytes.fromhex(FRAME))
    assert not raw.leaving_known
    assert raw.warnings == ()


def test_two_captures_never_share_a_name(take, epc):
    take("cisco_xe", epc)
    take("cisco_xe", epc)

    assert len({name_in(line) for line in epc.lines}) == 2


@pytest.mark.parametrize("breaks", ["limit", "interface", "start", "stop", "no"])
def test_a_log_line_in_an_answer_that_says_nothing_does_not_end_the_capture(take, epc, breaks):
    epc._breaks, epc._status = breaks, "desync"

    raw = take("cisco_xe", epc)

    assert raw.pcap.endswith(bytes.fromhex(FRAME))
    assert len(raw.warnings) == (breaks == "no")


def test_a_dump_whose_end_is_in_doubt_is_no_evidence(take, epc):
    epc._breaks, epc._status = "dump", "desync"

    with pytest.raises(DeviceError, match="not answered whole"):
        take("cisco_xe", epc)

    assert epc.lines[-1].startswith("no monitor capture MG")


@pytest.mark.parametrize("breaks", ["limit", "match", "interface", "start", "stop", "dump"])
@pytest.mark.parametrize("status", ["rejected", "timeout"])
def test_whatever_goes_wrong_the_capture_is_removed(take, breaks, status):
    session = Terminal({"buffer": ""}, breaks=f"(?<!no )monitor .*{breaks}", status=status)

    with pytest.raises(DeviceError, match="no such thing"):
        take("cisco_xe", session)

    assert session.lines[-1].startswith("no monitor capture MG")


def test_ctrl_c_while_it_waits_removes_the_capture(take, epc, clock, monkeypatch):
    def interrupted(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", interrupted)

    with pytest.raises(KeyboardInterrupt):
        take("cisco_xe", epc)

    assert epc.lines[-1].startswith("no monitor capture MG")


def test_a_capture_that_could_not_be_removed_is_told_and_still_counts(take, epc):
    epc._breaks, epc._status = "^no monitor", "timeout"

    raw = take("cisco_xe", epc)

    assert "may still be on the device" in raw.warnings[0]
    assert "no monitor capture MG" in raw.warnings[0]
    assert raw.pcap.endswith(bytes.fromhex(FRAME))


def test_a_line_that_takes_one_port_is_sent_once_for_each(take):
    session = Terminal({"dump": ""})

    take("cisco_asa", session, services=(RADSEC, PUSH), interface="outside")

    name = name_in(session.lines[0])
    assert [line.replace(name, "X") for line in session.lines] == [
        "capture X interface outside match tcp any any eq 443",
        "capture X interface outside match tcp any any eq 2083",
        "show capture X dump",
        "no capture X",
    ]
    assert all(len(line) <= 80 for line in session.lines)


def test_a_refusal_quotes_the_device(take):
    with pytest.raises(CommandRejectedError) as refused:
        take("cisco_asa", Terminal(breaks="match"), interface="outside")

    assert "no such thing" in refused.value.answer


def test_an_interface_that_would_be_more_than_a_name_is_refused_before_sending(take, epc):
    with pytest.raises(ContentError):
        take("cisco_xe", epc, interface="Gi0/0 both\nreload")

    assert epc.lines == []


def test_a_capture_that_ended_at_its_limit_says_so(take, content_root):
    book = load_book(content_root, "fortinet")
    spec = book.capture.model_copy(update={"max_packets": 1})

    raw = take("fortinet", Terminal(), book=book.model_copy(update={"capture": spec}))

    assert raw.warnings == ("it ended at its limit of 1 packets",)


def test_packets_that_the_device_did_not_print_whole_prove_nothing_by_their_absence(take):
    raw = take("vyos", _Printing("1763769600.5 IP a > b\n\t0x0010:  4500\n"), interface="eth0")

    assert raw.misses == "the device did not print every packet"
    assert "printed with a gap" in raw.warnings[0]


class _Printing(Terminal):
    def __init__(self, text):
        super().__init__()
        self._text = text

    def stream(self, command, *, seconds, stdin_close_ends=True):
        return self._text.encode()
