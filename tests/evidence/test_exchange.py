"""The sequence table shows the packets of the failing connection as tcpdump counts them."""

import re
import subprocess

import pytest

from mtughost.evidence.capture import redact_capture
from mtughost.evidence.exchange import MAX_STEPS, exchange_of, failing_flow
from mtughost.evidence.pseudonyms import Pseudonyms
from mtughost.model.inventory import Service
from mtughost.packets.summary import summarise

SERVICES = (Service(name="radsec", host="203.0.113.10", port=2083),)


def seen(data):
    return summarise(
        data, host="ap", point="ap", interface="eth0", basis="recorded output",
        command="", seconds=10.0, services=SERVICES,
    )  # fmt: skip


@pytest.fixture(scope="module")
def path(checkout):
    return checkout / "tests/fixtures/captures/site-a.pcap"


@pytest.fixture(scope="module")
def exchange(path):
    data = path.read_bytes()
    return exchange_of(data, seen(data), "captures/a.pcap")


def test_the_certificate_flight_of_three_frames_is_there(exchange):
    sizes = [step.wire_bytes for step in exchange.steps if step.up]

    assert [1514, 1514, 542] in [sizes[i : i + 3] for i in range(len(sizes))]
    words = [step.words for step in exchange.steps]
    assert words[:3] == ["SYN, MSS 1460", "SYN-ACK, MSS 1460", "ACK"]
    assert any("TLS certificate" in text for text in words)


def test_packets_that_were_sent_again_are_marked(exchange):
    again = [step for step in exchange.steps if step.words.startswith("sent again")]

    assert len(again) >= 3
    assert all(step.bad for step in again)
    assert not any(step.bad for step in exchange.steps[:8])


def test_frames_and_flags_are_those_of_tcpdump(path, exchange):
    text = subprocess.run(
        ["tcpdump", "-nn", "-r", path, "--number"], check=True, capture_output=True, text=True
    ).stdout
    lines = dict(re.findall(r"^\s*(\d+)\s+(.*)$", text, re.MULTILINE))

    for step in exchange.steps:
        line = lines[str(step.frame)]
        length = int(re.search(r"length (\d+)", line).group(1))
        said = re.search(r"(\d+) bytes", step.words)
        assert (int(said.group(1)) if said else 0) == length, (step, line)
        assert ("Flags [S]" in line) == step.words.startswith("SYN, ")


def test_a_redacted_capture_tells_the_same_story(path, exchange):
    fresh = redact_capture(path.read_bytes(), Pseudonyms(b"not-a-real-key-not-a-real-key-00")).data

    told = exchange_of(fresh, seen(fresh), "x")

    assert told.steps == exchange.steps
    assert told.client != exchange.client


def test_a_connection_that_works_is_no_failing_exchange(path):
    data = path.read_bytes()[:24]

    assert failing_flow(seen(data)) is None
    assert exchange_of(data, seen(data), "x") is None


def test_a_long_connection_is_cut_and_says_how_much_is_left(exchange):
    assert len(exchange.steps) <= MAX_STEPS
    assert exchange.left_out >= 0
