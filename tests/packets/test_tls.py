from __future__ import annotations

import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.packets.tls import RecordStream, TlsProgress

ACK, PSH = 16, 8
VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}
BOTH = pytest.mark.parametrize("version", list(VERSIONS))


def handshake_flights(flights):
    """Cut a real connection into named flights: hello, server flight, client flight, rest."""
    flights = list(flights)
    return flights[:1], flights[:2], flights[:3], flights


@pytest.fixture
def stage_of(wire, judge, on_the_wire):
    def run(flights, **more):
        return judge(on_the_wire(wire().handshake(), flights, **more)).flows[0]

    return run


@BOTH
def test_every_flight_of_a_real_handshake_names_its_stage(talk, stage_of, version):
    hello, server, client, whole = handshake_flights(talk(VERSIONS[version]).flights())

    assert stage_of(hello).tls_stage == "client-hello"
    assert stage_of(server).tls_stage == "server-flight"
    assert stage_of(client).tls_stage == "client-flight"
    assert stage_of(whole).tls_stage == "established"


@BOTH
def test_a_whole_connection_shows_version_application_data_and_no_resumption(
    talk, stage_of, version
):
    flow = stage_of(talk(VERSIONS[version]).flights())

    assert (flow.tls_version, flow.tls_alert, flow.tls_resumed) == (version, "", False)
    assert (flow.application_up, flow.application_down) == (True, True)


@BOTH
@pytest.mark.parametrize("mss", [300, 536, 1000])
def test_the_stage_does_not_depend_on_how_the_bytes_are_cut_into_segments(
    talk, stage_of, version, mss
):
    flow = stage_of(talk(VERSIONS[version]).flights(), mss=mss)

    assert (flow.tls_stage, flow.tls_version) == ("established", version)


@BOTH
@pytest.mark.parametrize("keep", [256, 400])
def test_a_snaplen_that_cuts_payload_still_leaves_the_stage(talk, stage_of, version, keep):
    hello, server, client, whole = handshake_flights(talk(VERSIONS[version]).flights())

    stages = [stage_of(part, keep=keep).tls_stage for part in (hello, server, client, whole)]

    assert stages == ["client-hello", "server-flight", "client-flight", "established"]


@BOTH
def test_a_resumed_connection_says_that_no_certificate_was_sent(talk, stage_of, version):
    first = talk(VERSIONS[version])
    list(first.flights())
    again = talk(VERSIONS[version], session=first.client.session, contexts=first.contexts)

    flow = stage_of(again.flights())

    assert again.client.session_reused
    assert (flow.tls_stage, flow.tls_resumed) == ("established", True)


@BOTH
def test_a_client_flight_that_is_lost_is_not_called_established(
    talk, wire, judge, on_the_wire, version
):
    flights = list(talk(VERSIONS[version]).flights())[:3]
    capture = on_the_wire(wire().handshake(df=False), flights[:2])
    up, down = 1 + len(flights[0][1]), 1 + len(flights[1][1])
    flight = flights[2][1]
    for at in range(0, len(flight), 1000):
        capture.send("client", up + at, down, ACK | PSH, flight[at : at + 1000], df=False)
    capture.wait(0.01).send("server", down, up, sack=((up + 1000, up + len(flight)),))
    for _ in range(3):
        capture.wait(0.4).send("client", up, down, ACK, flight[:1000], df=False)

    flow = judge(capture).flows[0]

    assert flow.tls_stage == "client-flight"
    assert flow.smallest_lost_up_bytes == 1052
    assert flow.application_up is False


@BOTH
def test_the_tail_of_a_server_flight_behind_a_gap_is_a_server_flight(talk, wire, judge, version):
    flights = list(talk(VERSIONS[version]).flights())
    hello, answer = flights[0][1], flights[1][1]
    capture = wire().handshake().send("client", 1, 1, ACK | PSH, hello)
    tail = 1 + 1000
    capture.send("server", 1, 1 + len(hello))
    capture.send("server", tail, 1 + len(hello), ACK | PSH, answer[1000:])

    assert judge(capture).flows[0].tls_stage == "server-flight"


@BOTH
def test_the_tail_of_a_client_flight_behind_a_gap_is_a_client_flight(
    talk, wire, judge, on_the_wire, version
):
    """As seen on the far side of the hop that drops the large packets."""
    flights = list(talk(VERSIONS[version]).flights())[:3]
    capture = on_the_wire(wire().handshake(), flights[:2])
    up, down = 1 + len(flights[0][1]), 1 + len(flights[1][1])
    capture.send("client", up + 1000, down, ACK | PSH, flights[2][1][1000:])

    assert judge(capture).flows[0].tls_stage == "client-flight"


def test_a_round_trip_of_a_connection_that_was_there_before_is_established(wire, judge):
    request, answer = record(23, bytes(100)), record(23, bytes(60))
    capture = wire().send("client", 500, 900, ACK | PSH, request)
    capture.send("server", 900, 500 + len(request), ACK | PSH, answer)

    flow = judge(capture).flows[0]

    assert (flow.mid_stream, flow.tls_stage) == (True, "established")
    assert (flow.application_up, flow.application_down) == (True, True)


def test_a_flight_without_an_answer_that_began_before_the_capture_is_unknown(wire, judge):
    flight = record(22, bytes(1980))
    capture = wire()
    for _ in range(3):
        capture.send("client", 189, 2349, ACK, flight[:1448]).wait(0.4)

    flow = judge(capture).flows[0]

    assert (flow.tls_stage, flow.stalled_up_bytes) == ("unknown", 1500)


def record(kind, body, version=0x0303):
    return struct.pack("!BHH", kind, version, len(body)) + body


HELLO = record(22, b"\x01\0\0\x02\x03\x03", 0x0301)


@pytest.mark.parametrize(
    ("body", "name"),
    [(b"\x02\x2d", "certificate_expired"), (b"\x02\x30", "unknown_ca"), (b"\x02\xfe", "alert 254")],
)
def test_an_alert_in_clear_is_named(stage_of, body, name):
    flow = stage_of([("client", HELLO), ("server", record(21, body))])

    assert (flow.tls_stage, flow.tls_alert) == ("alert", name)


def test_an_alert_of_the_client_counts_too(stage_of):
    flow = stage_of([("client", HELLO + record(21, b"\x02\x2a"))])

    assert (flow.tls_stage, flow.tls_alert) == ("alert", "bad_certificate")


def test_an_encrypted_alert_before_the_end_of_the_handshake_is_an_alert_without_a_name(stage_of):
    flow = stage_of([("client", HELLO), ("server", record(21, bytes(26)))])

    assert (flow.tls_stage, flow.tls_alert) == ("alert", "encrypted alert")


def test_a_proper_close_is_no_alert(stage_of):
    flow = stage_of([("client", HELLO), ("server", record(21, b"\x01\x00"))])

    assert flow.tls_alert == ""


@BOTH
def test_the_encrypted_close_of_an_established_connection_is_no_alert(talk, stage_of, version):
    connection = talk(VERSIONS[version])
    flights = list(connection.flights())
    with pytest.raises(ssl.SSLWantReadError):
        connection.client.unwrap()
    flights.append(("client", connection.to_server.read()))

    flow = stage_of(flights)

    assert (flow.tls_stage, flow.tls_alert) == ("established", "")


def test_a_protocol_that_is_not_tls_has_no_stage(stage_of):
    flow = stage_of([("client", b"EHLO ap1\r\n"), ("server", b"250 hello\r\n")])

    assert (flow.tls_stage, flow.tls_version) == ("none", "")


def test_the_ssl2_form_of_a_hello_is_understood(stage_of):
    old = struct.pack("!HB", 0x8000 | 60, 1) + bytes(59)

    assert stage_of([("client", old)]).tls_stage == "client-hello"


def test_a_hello_retry_request_is_not_the_server_hello():
    progress = TlsProgress(1, 1)
    retry_random = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    body = b"\x03\x03" + retry_random + b"\0\x13\x01\0\0\0"
    retry = record(22, b"\x02" + len(body).to_bytes(3, "big") + body)
    progress.from_client(1, len(HELLO), HELLO, 1)
    progress.from_server(1, len(retry), retry, 1 + len(HELLO))
    progress.from_client(1 + len(HELLO), len(HELLO), HELLO, 1 + len(HELLO))

    assert progress.version == ""
    assert progress.stage() != "client-flight"


@given(
    lengths=st.lists(st.integers(0, 3000), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 1500), min_size=1, max_size=30),
    order=st.randoms(use_true_random=False),
)
def test_records_are_found_whatever_the_segmentation_and_order(lengths, cuts, order):
    data = b"".join(record(23, bytes(length)) for length in lengths)
    segments, at, turn = [], 0, 0
    while at < len(data):
        step = max(cuts[turn % len(cuts)], len(data) // 50 + 1)
        segments.append((1 + at, data[at : at + step]))
        at, turn = at + step, turn + 1
    repeated = segments + segments[:3]
    order.shuffle(repeated)

    stream = RecordStream(1)
    found = [
        length for start, part in repeated for _, length, _ in stream.take(start, len(part), part)
    ]

    assert found == lengths


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=12))
def test_no_bytes_make_the_record_reader_raise(talks):
    progress = TlsProgress(1, 1)
    at = {True: 1, False: 1}
    for from_client, data in talks:
        if from_client:
            progress.from_client(at[True], len(data), data, at[False])
        else:
            progress.from_server(at[False], len(data), data, at[True])
        at[from_client] += len(data)

    assert isinstance(progress.stage(), str)
