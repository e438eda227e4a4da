"""A redacted capture keeps sizes, times and checksums, and nobody's words or addresses."""

import ipaddress
import subprocess
from dataclasses import replace

import pytest

from mtughost.evidence.capture import redact_capture
from mtughost.evidence.frames import Keeps, fixed
from mtughost.evidence.pseudonyms import Pseudonyms
from mtughost.model.errors import EvidenceError
from mtughost.model.inventory import Service
from mtughost.packets.summary import summarise

SERVICES = (Service(name="radsec", host="203.0.113.10", port=2083),)


@pytest.fixture(scope="module")
def site_a(checkout):
    return (checkout / "tests/fixtures/captures/site-a.pcap").read_bytes()


@pytest.fixture(scope="module")
def stand_ins():
    return Pseudonyms(b"not-a-real-key-not-a-real-key-00")


@pytest.fixture(scope="module")
def redacted(site_a, stand_ins):
    return redact_capture(site_a, stand_ins)


def seen(data):
    return summarise(
        data, host="ap", point="ap", interface="eth0", basis="recorded output",
        command="", seconds=10.0, services=SERVICES,
    )  # fmt: skip


def tcpdump(path, data):
    path.write_bytes(data)
    done = subprocess.run(
        ["tcpdump", "-nn", "-tt", "-v", "-r", path], check=True, capture_output=True, text=True
    )
    return done.stdout


def nameless(flow):
    return replace(flow, client="", server="")


def test_every_packet_keeps_its_size_and_time(site_a, redacted):
    assert len(redacted.data) == len(site_a)
    at = 24
    while at < len(site_a):
        assert redacted.data[at : at + 16] == site_a[at : at + 16]
        at += 16 + int.from_bytes(site_a[at + 8 : at + 12], "little")
    assert redacted.packets > 10


def test_tcpdump_finds_every_checksum_as_right_as_before(site_a, redacted, tmp_path):
    before, after = (tcpdump(tmp_path / "a.pcap", data) for data in (site_a, redacted.data))

    assert after.count("\n") == before.count("\n")
    assert after.count("incorrect") == before.count("incorrect")
    assert after.count("bad cksum") == before.count("bad cksum")


def test_what_the_reader_sees_is_the_same_but_for_who_it_was(site_a, redacted):
    before, after = seen(site_a), seen(redacted.data)

    assert before.flows
    assert [nameless(flow) for flow in after.flows] == [nameless(flow) for flow in before.flows]
    assert after.fragments_up == before.fragments_up
    assert {f.client for f in after.flows}.isdisjoint({f.client for f in before.flows})


def test_no_address_of_the_original_is_left_unless_it_is_kept(site_a, stand_ins):
    flow = seen(site_a).flows[0]
    server, client = (ipaddress.ip_address(text).packed for text in (flow.server, flow.client))

    kept = redact_capture(site_a, stand_ins, keeps=Keeps(packed=frozenset({server})))

    assert client in site_a
    assert server in kept.data
    assert client not in kept.data


def test_certificates_and_names_are_gone(site_a, redacted):
    words = (b"example", b"CN=", b"\x55\x04\x03", b"\x55\x04\x0a")

    assert any(word in site_a for word in words)
    assert not any(word in redacted.data for word in words)


def test_a_key_gives_the_same_file_again_and_another_key_another(site_a, redacted, stand_ins):
    other = Pseudonyms(b"another-fake-key-another-fake-00")

    assert redact_capture(site_a, stand_ins) == redacted
    assert redact_capture(site_a, other).data != redacted.data


def test_a_file_that_was_cut_is_still_cut_and_its_last_words_are_gone(site_a, stand_ins):
    cut = site_a[:-7]

    fresh = redact_capture(cut, stand_ins)

    assert fresh.truncated
    assert len(fresh.data) == len(cut)
    assert fresh.data[-40:] == bytes(40)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + bytes(40), b"\xd4\xc3\xb2\xa1"])
def test_what_is_no_capture_is_refused(data, stand_ins):
    with pytest.raises(EvidenceError, match="no pcap file"):
        redact_capture(data, stand_ins)


def test_a_link_type_that_nobody_here_can_redact_is_refused(site_a, stand_ins):
    wifi = site_a[:20] + (105).to_bytes(4, "little") + site_a[24:]

    with pytest.raises(EvidenceError, match="link type 105"):
        redact_capture(wifi, stand_ins)


@pytest.mark.parametrize("size", [20, 21, 60, 1500])
def test_a_corrected_checksum_is_the_one_that_a_full_sum_gives(size):
    before = bytes((i * 7 + 3) % 251 for i in range(size))
    after = bytes((i * 13 + 5) % 253 for i in range(size))

    # Zero has two forms in ones' complement (RFC 1624 section 3).
    assert fixed(checksum(before), before, after) % 0xFFFF == checksum(after) % 0xFFFF


def checksum(data):
    """RFC 1071, word by word."""
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
