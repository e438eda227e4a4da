from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtughost.collect.hello import client_hello, parse_reply
from mtughost.collect.probe import _Run, _Sizes, probe_service
from mtughost.collect.probe_dial import (
    Attempt,
    SocketState,
    judged,
    shell_values,
    socket_state,
)
from mtughost.content.render import render_command
from mtughost.model.evidence import ProbeEvidence
from mtughost.model.inventory import Service

SERVER_HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"


class Far:
    """A far end on loopback that answers as told, hello by hello."""

    def __init__(self, answer, family=socket.AF_INET):
        host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        self._listener = socket.create_server((host, 0), family=family)
        self.port = self._listener.getsockname()[1]
        self.hellos = []
        self._answer = answer
        self._done = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            hello = connection.recv(65536)
            while len(hello) < 5 + int.from_bytes(hello[3:5], "big"):
                hello += connection.recv(65536)
            self.hellos.append(hello)
            answer = self._answer(hello)
            if answer == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif answer == "silence":
                self._done.wait(20)
            else:
                connection.sendall(answer)

    def close(self):
        self._done.set()
        self._listener.close()


@pytest.fixture
def far():
    made = []

    def make(answer, **more):
        made.append(Far(answer, **more))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def probe(linux_book, access_point, clock):
    def run(session, service, *, bisect=False, mtu=1500, book=None):
        return probe_service(
            session,
            book or linux_book,
            access_point,
            service,
            bisect=bisect,
            ap_mtu_bytes=mtu,
            clock=clock,
        )

    return run


def steps(evidence):
    return [(step.hello_bytes, step.outcome) for step in evidence.steps]


# -- through forwarding: real sockets on loopback -------------------------------------------------


def test_a_service_that_answers_costs_two_connections(probe, far, local_session, service_at):
    server, session = far(lambda _hello: SERVER_HELLO), local_session()

    evidence = probe(session, service_at(server.port))

    assert [step.outcome for step in evidence.steps] == ["reply", "reply"]
    assert session.opened == 2
    assert evidence.smallest_lost_bytes is None
    assert (evidence.via, evidence.basis, evidence.unavailable) == (
        "direct-tcpip",
        "real program",
        "",
    )


def test_the_hellos_are_whole_records_of_the_lengths_that_are_reported(
    probe, far, local_session, service_at
):
    server = far(lambda _hello: SERVER_HELLO)

    evidence = probe(local_session(), service_at(server.port))

    assert [len(hello) for hello in server.hellos] == [s.hello_bytes for s in evidence.steps]
    assert evidence.steps[0].hello_bytes == 300


def test_the_header_size_comes_from_the_devices_own_socket(probe, far, local_session, service_at):
    if shutil.which("ss") is None:
        pytest.skip("ss (iproute2) is not installed")
    server = far(lambda _hello: SERVER_HELLO)

    full = probe(local_session(), service_at(server.port)).steps[1]

    assert full.packet_bytes == 1500
    assert full.packet_bytes - full.hello_bytes in {40, 52}
    assert "the device sends segments of up to" in full.detail


def test_an_alert_is_an_answer_with_a_name(probe, far, local_session, service_at):
    server = far(lambda _hello: ALERT)

    evidence = probe(local_session(), service_at(server.port))

    assert [step.outcome for step in evidence.steps] == ["alert", "alert"]
    assert "handshake_failure" in evidence.steps[0].detail
    assert evidence.largest_delivered_bytes == 1500


def test_a_full_packet_that_is_not_answered_is_tried_twice_and_no_more(
    probe, far, local_session, service_at
):
    server = far(lambda hello: SERVER_HELLO if len(hello) <= 300 else "silence")
    session = local_session()

    evidence = probe(session, service_at(server.port))

    assert [step.outcome for step in evidence.steps] == ["reply", "timeout", "timeout"]
    assert session.opened == 3
    assert evidence.smallest_lost_bytes == 1500
    assert any("2 closed socket(s)" in text for text in evidence.leaves)


def test_silence_to_the_small_control_too_means_that_size_plays_no_part(
    probe, far, local_session, service_at, monkeypatch
):
    monkeypatch.setattr("mtughost.collect.probe._CONTROL_WAIT_S", 0.3)
    server, session = far(lambda _hello: "silence"), local_session()

    evidence = probe(session, service_at(server.port), bisect=True)

    assert steps(evidence) == [(300, "timeout"), (300, "timeout")]
    assert evidence.largest_delivered_bytes is None


def test_the_bisect_finds_the_byte_on_real_sockets_in_less_than_ten_seconds(
    probe, far, local_session, service_at, clock
):
    server = far(lambda hello: SERVER_HELLO if len(hello) <= 1394 else "silence")
    begun = clock.monotonic_s()

    evidence = probe(local_session(), service_at(server.port), bisect=True)

    header = evidence.steps[0].packet_bytes - evidence.steps[0].hello_bytes
    assert evidence.largest_delivered_bytes == 1394 + header
    assert evidence.smallest_lost_bytes == 1395 + header
    assert clock.monotonic_s() - begun < 10


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        (b"220 mail ready\r\n", "closed", "without TLS"),
        (b"", "closed", "closed without an answer"),
        ("reset", "reset", "reset by peer"),
    ],
)
def test_what_is_no_tls_answer_is_not_counted_as_one(
    probe, far, local_session, service_at, answer, outcome, words
):
    server = far(lambda _hello: answer)

    evidence = probe(local_session(), service_at(server.port), bisect=True)

    assert [step.outcome for step in evidence.steps] == [outcome]
    assert words in evidence.steps[0].detail
    assert evidence.largest_delivered_bytes is None


def test_a_closed_port_is_refused_at_the_first_connection(probe, local_session, service_at):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    evidence = probe(local_session(), service_at(port))

    assert [step.outcome for step in evidence.steps] == ["refused"]


def test_a_far_end_that_answers_in_pieces_is_waited_for(probe, local_session, service_at, far):
    server = far(lambda _hello: SERVER_HELLO[:3])
    pieces = probe(local_session(), service_at(server.port)).steps[0]

    assert pieces.outcome == "closed"


def test_an_ipv6_service_counts_the_longer_header(probe, far, local_session, service_at):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        server = far(lambda _hello: SERVER_HELLO, family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 loopback here")

    evidence = probe(local_session(), service_at(server.port, "::1"))

    assert evidence.family == "ipv6"
    assert evidence.steps[1].packet_bytes == 1500
    assert evidence.steps[1].packet_bytes - evidence.steps[1].hello_bytes in {60, 72}


# -- without forwarding ---------------------------------------------------------------------------


def test_where_forwarding_is_refused_the_devices_shell_sends_the_hello(
    probe, far, local_session, service_at
):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    server = far(lambda hello: SERVER_HELLO if len(hello) <= 1400 else "silence")

    evidence = probe(local_session(forwarding=False), service_at(server.port))

    assert evidence.via == "probe-bash"
    assert [step.outcome for step in evidence.steps] == ["reply", "timeout", "timeout"]
    assert [len(hello) for hello in server.hellos] == [s.hello_bytes for s in evidence.steps]


def test_no_byte_of_the_hello_is_changed_by_the_shell(
    probe, far, local_session, service_at, monkeypatch
):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    entropy = (b"%d%s\\x41\\045'\"$`!\n\r\t\0\xff&|;" * 9)[:96]
    monkeypatch.setattr("mtughost.collect.hello.os.urandom", lambda _count: entropy)
    server = far(lambda _hello: ALERT)

    evidence = probe(local_session(forwarding=False), service_at(server.port))

    expected = [client_hello(step.hello_bytes, entropy=entropy) for step in evidence.steps]
    assert server.hellos == expected


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(ALERT, "alert"), ("reset", "reset"), (b"", "timeout"), (b"220 mail ready\r\n", "closed")],
)
def test_the_shells_words_become_the_same_outcomes(
    probe, far, local_session, service_at, answer, outcome
):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    server = far(lambda _hello: answer)

    evidence = probe(local_session(forwarding=False), service_at(server.port))

    assert evidence.steps[0].outcome == outcome


def test_a_shell_without_the_program_makes_the_probe_unavailable_with_the_reasons(
    probe, local_session, service_at, tmp_path
):
    evidence = probe(local_session(forwarding=False, path=str(tmp_path)), service_at(9))

    assert evidence.steps == ()
    assert "port forwarding is refused" in evidence.unavailable
    assert "probe-bash is not on the device" in evidence.unavailable


def test_a_book_without_a_probe_makes_it_unavailable(probe, local_session, service_at, linux_book):
    book = linux_book.model_copy(update={"probe": None})
    session = local_session()

    evidence = probe(session, service_at(9), book=book)

    assert "has no probe" in evidence.unavailable
    assert session.opened == 0
    assert session.asked == []


@given(
    total=st.integers(360, 9000),
    host=st.sampled_from(["203.0.113.10", "radsec.example.net", "a" * 60 + "." + "b" * 60]),
)
def test_a_hello_passes_through_the_shell_byte_for_byte(linux_book, total, host):
    service = Service(name="radsec", host=host, port=2083)

    values = shell_values(service, total, 1.0)
    line = render_command(linux_book, "probe-bash", values).line

    fixed = bytes(int(octal, 8) for octal in "".join(values["hello"]).split("x")[1:])
    assert len(fixed) + values["zeros"] == total
    assert parse_reply(fixed[:5] + b"\x02\x00").kind == "server-hello"  # a TLS handshake record
    assert fixed[:3] == client_hello(total)[:3]
    assert "\n" not in line


# -- the algorithm, over every path ---------------------------------------------------------------


@dataclass
class VirtualClock:
    now_s: float = 0.0

    def monotonic_s(self):
        return self.now_s


@dataclass
class Path:
    """A path of one MTU, in virtual time: larger packets vanish, and single ones by bad luck."""

    clock: VirtualClock
    mtu_bytes: int
    header_bytes: int = 52
    send_mss_bytes: int | None = 1448
    unlucky: set[int] = field(default_factory=set)
    round_trip_s: float = 0.02
    via: str = "test"
    count: int = 0
    reads_split: bool = True

    def attempt(self, hello_bytes, wait_s):
        number, self.count = self.count, self.count + 1
        mss = self.send_mss_bytes or hello_bytes
        fits = min(hello_bytes, mss) + self.header_bytes <= self.mtu_bytes
        fits &= self.reads_split or hello_bytes <= mss
        lost = not fits or number in self.unlucky
        took_s = wait_s if lost else self.round_trip_s
        self.clock.now_s += took_s
        socket_ = None
        if self.send_mss_bytes is not None:
            socket_ = SocketState(
                send_mss_bytes=self.send_mss_bytes,
                advertised_mss_bytes=1448,
                timestamps=None,
                path_mtu_bytes=1500,
                retransmits=0,
            )
        outcome = "timeout" if lost else "reply"
        return Attempt(outcome=outcome, duration_s=took_s, socket=socket_)


def over(path, *, bisect=True, mtu=1500, split=0):
    sizes = _Sizes(Service(name="radsec", host="203.0.113.10", port=2083), 52, mtu)
    run = _Run(path, sizes, path.clock, split_hello_bytes=split)
    run.all(bisect=bisect)
    return ProbeEvidence(
        host="ap",
        service="radsec",
        family="ipv4",
        basis="emulation",
        via="test",
        steps=tuple(run.steps),
    )


@given(mtu=st.integers(360, 1499), rtt_s=st.floats(0.0001, 0.3))
def test_the_bisect_finds_the_exact_byte_of_every_path_in_time(mtu, rtt_s):
    clock = VirtualClock()

    evidence = over(Path(clock, mtu, round_trip_s=rtt_s))

    delivered, lost = evidence.largest_delivered_bytes, evidence.smallest_lost_bytes
    assert clock.now_s < 10
    assert delivered <= mtu < lost
    if rtt_s < 0.05:
        assert (delivered, lost) == (mtu, mtu + 1)


@given(mtu=st.integers(1500, 9000))
def test_a_path_that_carries_the_devices_packets_loses_nothing(mtu):
    evidence = over(Path(VirtualClock(), mtu))

    assert [step.outcome for step in evidence.steps] == ["reply", "reply"]
    assert (evidence.largest_delivered_bytes, evidence.smallest_lost_bytes) == (1500, None)


def test_a_clamped_connection_is_probed_with_the_largest_packet_that_it_sends():
    evidence = over(Path(VirtualClock(), 1492, send_mss_bytes=1440))

    assert [(s.packet_bytes, s.segments, s.outcome) for s in evidence.steps] == [
        (352, 1, "reply"),
        (1492, 1, "reply"),
    ]


def test_where_the_socket_cannot_be_read_the_books_header_is_used():
    evidence = over(Path(VirtualClock(), 1492, send_mss_bytes=None))

    assert (evidence.largest_delivered_bytes, evidence.smallest_lost_bytes) == (1492, 1493)


@settings(max_examples=200)
@given(mtu=st.integers(600, 1499), unlucky=st.sets(st.integers(1, 14), max_size=1))
def test_one_lost_packet_never_becomes_the_edge(mtu, unlucky):
    evidence = over(Path(VirtualClock(), mtu, unlucky=unlucky))

    delivered, lost = evidence.largest_delivered_bytes, evidence.smallest_lost_bytes
    assert delivered <= mtu
    assert lost is None or lost > mtu or lost - delivered > 1


def test_an_answer_to_the_repetition_ends_the_probe_without_a_lost_size():
    evidence = over(Path(VirtualClock(), 1500, unlucky={1}))

    assert [step.outcome for step in evidence.steps] == ["reply", "timeout", "reply"]
    assert evidence.smallest_lost_bytes is None


def test_without_a_bisect_at_most_three_connections_are_made():
    evidence = over(Path(VirtualClock(), 1492), bisect=False)

    assert len(evidence.steps) == 3


# -- reading the socket ---------------------------------------------------------------------------

SS = """ESTAB      0      0       10.20.0.10:52370   203.0.113.10:2083
\t bbr wscale:10,10 mss:1448 pmtu:1500 advmss:1448 bytes_sent:9000 bytes_acked:9001
ESTAB      0      1448    10.20.0.10:52372   203.0.113.10:2083
\t ts sack cubic mss:1440 pmtu:1492 advmss:1448 bytes_sent:5792 bytes_retrans:4344 retrans:1/3
ESTAB      0      0       10.20.0.10:443   203.0.113.10:52083
\t cubic mss:536 pmtu:576 advmss:536 bytes_sent:1448
"""


def test_the_probes_socket_is_told_from_others_by_what_it_sent():
    state = socket_state(SS, 2083, 1448)

    assert state == SocketState(
        send_mss_bytes=1440,
        advertised_mss_bytes=1448,
        timestamps=True,
        path_mtu_bytes=1492,
        retransmits=3,
    )


@pytest.mark.parametrize("text", ["", "State Recv-Q\n", SS.replace("bytes_sent", "sent")])
def test_an_output_without_the_probes_socket_tells_nothing(text):
    assert socket_state(text, 2083, 1448) is None


def test_a_reply_that_is_over_too_early_counts_as_closed():
    assert judged(parse_reply(b"\x16\x03")) == (
        "closed",
        "the connection was closed without an answer",
    )


# -- a hello in two packets -----------------------------------------------------------------------


def outcomes(evidence):
    return [(step.hello_bytes, step.segments, step.outcome) for step in evidence.steps]


def test_after_a_full_packet_one_hello_in_two_is_sent():
    evidence = over(Path(VirtualClock(), 1500), bisect=False, split=1900)

    assert outcomes(evidence) == [(300, 1, "reply"), (1448, 1, "reply"), (1900, 2, "reply")]
    assert evidence.largest_delivered_bytes == 1500


@pytest.mark.parametrize(("bisect", "times"), [(False, 1), (True, 2)])
def test_two_packets_that_are_not_answered_are_no_lost_size(bisect, times):
    evidence = over(Path(VirtualClock(), 1500, reads_split=False), bisect=bisect, split=1900)

    assert outcomes(evidence)[2:] == [(1900, 2, "timeout")] * times
    assert evidence.smallest_lost_bytes is None


@pytest.mark.parametrize(
    "path",
    [
        {"mtu_bytes": 1492},  # a lost full packet explains a lost pair
        {"mtu_bytes": 9000, "send_mss_bytes": 8948},  # it would be one packet
    ],
)
def test_where_it_could_tell_nothing_it_is_not_sent(path):
    evidence = over(Path(VirtualClock(), **path), bisect=False, split=1900)

    assert {step.segments for step in evidence.steps} == {1}


@pytest.mark.parametrize(("mtu", "segments"), [(1500, [1, 1, 2]), (9000, [1, 1]), (None, [1, 1])])
def test_without_a_look_at_the_socket_only_a_usual_interface_makes_two_packets_of_it(mtu, segments):
    path = Path(VirtualClock(), 9000, send_mss_bytes=None)
    evidence = over(path, bisect=False, mtu=mtu, split=1900)

    assert [step.segments for step in evidence.steps] == segments


def test_the_tool_sends_what_the_book_declares(linux_book):
    assert linux_book.probe.split_hello_bytes == 1900
