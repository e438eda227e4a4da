"""Handshakes built here; their MICs are computed with OpenSSL's PBKDF2 and HMAC by this test."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from mtughost.packets import judge as verdict_of
from mtughost.packets import summarise

AP, STATION = bytes.fromhex("02aa00000001"), bytes.fromhex("02bb00000002")
SSID, PASSPHRASE = b"lab-store", "obviously-fake-psk"
A_NONCE, S_NONCE = bytes(range(32)), bytes(range(32, 64))
INFO = {1: 0x0088, 2: 0x0108, 3: 0x13C8, 4: 0x0308}
RSN_PSK = bytes.fromhex("30140100000fac040100000fac040100000fac020000")
RSN_1X = bytes.fromhex("30140100000fac040100000fac040100000fac010000")
RADIOTAP = b"\x00\x00\x08\x00\x00\x00\x00\x00"
PRISM = struct.pack("<II", 0x44, 144) + bytes(136)
AVS = struct.pack(">II", 0x80211001, 64) + bytes(56)
PPI = struct.pack("<BBHI", 0, 0, 8, 105)


def confirmation_key(version, passphrase=PASSPHRASE, a_nonce=A_NONCE):
    master = hashlib.pbkdf2_hmac("sha1", passphrase.encode(), SSID, 4096, 32)
    data = min(AP, STATION) + max(AP, STATION) + min(a_nonce, S_NONCE) + max(a_nonce, S_NONCE)
    label = b"Pairwise key expansion"
    if version == 3:
        text = struct.pack("<H", 1) + label + data + struct.pack("<H", 384)
        return hmac.new(master, text, "sha256").digest()[:16]
    return hmac.new(master, label + b"\0" + data + b"\0", "sha1").digest()[:16]


def signed(body, version, key):
    if version == 3:
        mac = CMAC(AES(key))
        mac.update(body)
        mic = mac.finalize()
    else:
        mic = hmac.new(key, body, "md5" if version == 1 else "sha1").digest()[:16]
    return body[:81] + mic + body[97:]


def eapol(number, *, counter=1, version=2, passphrase=PASSPHRASE, nonce=None, element=RSN_PSK):
    nonce = nonce or (A_NONCE if number in {1, 3} else S_NONCE if number == 2 else bytes(32))
    details = element if number == 2 else bytes(56) if number == 3 else b""
    key = struct.pack("!BHHQ", 2, INFO[number] | version, 16, counter) + nonce + bytes(32)
    key += bytes(16) + struct.pack("!H", len(details)) + details
    body = b"\x02\x03" + struct.pack("!H", len(key)) + key
    if number == 1:
        return body
    return signed(body, version, confirmation_key(version, passphrase))


def data_frame(body, *, up, retry=False, qos=True, ethertype=0x888E):
    flags = (1 if up else 2) | (8 if retry else 0)
    addresses = AP + STATION + AP if up else STATION + AP + AP
    header = bytes([0x88 if qos else 0x08, flags]) + b"\0\0" + addresses + b"\0\0"
    header += b"\0\0" if qos else b""
    return header + b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", ethertype) + body


def beacon():
    return b"\x80\0\0\0" + b"\xff" * 6 + AP + AP + b"\0\0" + bytes(12) + b"\0\x09" + SSID


def farewell(reason):
    return b"\xc0\0\0\0" + STATION + AP + AP + b"\0\0" + struct.pack("<H", reason)


def message(number, *, retry=False, **more):
    return data_frame(eapol(number, **more), up=number in {2, 4}, retry=retry)


def pcap(frames, *, linktype=105, prefix=b"", step_s=0.01):
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, linktype)]
    for number, frame in enumerate(frames):
        micros = round(number * step_s * 1e6)
        data = prefix + frame
        out.append(
            struct.pack("<IIII", 1_700_000_000 + micros // 10**6, micros % 10**6, *[len(data)] * 2)
        )
        out.append(data)
    return b"".join(out)


def look(frames, *, passphrase="", ssid="", **more):
    evidence = summarise(
        pcap(frames, **more),
        host="air",
        point="ap",
        interface="",
        basis="recorded output",
        command="",
        seconds=0.0,
        services=(),
        passphrase=passphrase,
        ssid=ssid,
    )
    return evidence, verdict_of([evidence])


WHOLE = [beacon(), *(message(n, counter=1 if n < 3 else 2) for n in (1, 2, 3, 4))]


@pytest.mark.parametrize(
    ("linktype", "prefix"), [(105, b""), (127, RADIOTAP), (119, PRISM), (163, AVS), (192, PPI)]
)
def test_a_complete_handshake_is_read_under_every_radio_header(linktype, prefix):
    evidence, report = look(WHOLE, linktype=linktype, prefix=prefix)

    assert [(m.number, m.frame) for m in evidence.wifi[0].messages] == [
        (1, 2),
        (2, 3),
        (3, 4),
        (4, 5),
    ]
    assert (evidence.wifi[0].ssid, evidence.wifi[0].completed) == ("lab-store", (5,))
    assert report.verdict == "ok"


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    ("passphrase", "fits", "fails"), [(PASSPHRASE, (3,), ()), ("something-else", (), (3,))]
)
def test_the_mic_tells_whether_a_passphrase_is_right_in_every_version(
    version, passphrase, fits, fails
):
    frames = [beacon(), message(1, version=version), message(2, version=version)]

    evidence, _ = look(frames, passphrase=passphrase)

    assert (evidence.wifi[0].mic_fits, evidence.wifi[0].mic_fails) == (fits, fails)


def test_a_message_two_is_paired_by_counter_and_by_time_before_its_mic_is_called_bad():
    other = bytes([9]) * 32
    wrong_counter = [beacon(), message(1, counter=5, nonce=other), message(2, counter=6)]
    too_late = [beacon(), message(1, nonce=other), message(2)]

    for frames, step_s in ((wrong_counter, 0.01), (too_late, 600)):
        evidence, report = look(frames, passphrase="something-else", step_s=step_s)
        assert (evidence.wifi[0].mic_fits, evidence.wifi[0].mic_fails) == ((), ())
        assert report.findings == ()


def test_message_three_is_the_better_partner():
    frames = [beacon(), message(1, nonce=bytes([9]) * 32), message(2), message(3, counter=2)]

    assert look(frames, passphrase=PASSPHRASE)[0].wifi[0].mic_fits == (3,)


def rounds(count, **more):
    frames = [beacon()]
    for counter in range(1, count + 1):
        frames += [message(1, counter=counter), message(2, counter=counter, **more)]
    return frames


@pytest.mark.parametrize("end", [[], [farewell(15)], [farewell(2)]])
def test_answers_that_are_never_accepted_are_a_rejection_whose_cause_stays_open(end):
    _, report = look(rounds(3) + end)

    assert [(f.id, f.grade) for f in report.findings] == [("credential-rejected", "possible")]
    assert "look the same" in report.sentence
    assert "--passphrase-ref" in report.next_test.summary
    assert report.verdict == "unknown"


def test_with_the_right_passphrase_the_station_is_not_to_blame():
    _, report = look([*rounds(3), farewell(15)], passphrase=PASSPHRASE)

    assert report.findings == ()
    assert [item.id for item in report.ruled_out] == ["credential-rejected"]
    assert "Read the log of" in report.next_test.summary


@pytest.mark.parametrize(("count", "grade"), [(1, "likely"), (2, "confirmed")])
def test_a_station_with_another_passphrase_is_confirmed_by_its_second_try(count, grade):
    _, report = look(rounds(count, passphrase="what-the-station-has"), passphrase=PASSPHRASE)

    assert [(f.id, f.grade) for f in report.findings] == [("credential-rejected", grade)]
    assert report.verdict == "not-mtu"


def test_layer_two_repeats_are_no_second_try():
    frames = [beacon(), message(1), message(2), message(2, retry=True), message(2, retry=True)]

    assert look(frames)[1].findings == ()


def test_another_reason_to_send_a_station_away_blames_no_key():
    assert look([*rounds(3), farewell(8)])[1].findings == ()


def test_a_network_with_certificates_has_no_passphrase_to_check():
    frames = [beacon(), message(1, element=RSN_1X), message(2, element=RSN_1X)]

    evidence, _ = look(frames, passphrase="something-else")

    assert (evidence.wifi[0].suite, evidence.wifi[0].mic_fails) == ("802.1X", ())


def test_eap_failure_is_a_rejection():
    failure = b"\x02\x00\x00\x04\x04\x07\x00\x04"

    _, report = look([beacon(), data_frame(failure, up=False)])

    assert [f.id for f in report.findings] == ["credential-rejected"]


def test_a_name_can_be_given_where_no_frame_shows_it():
    evidence, _ = look(WHOLE[1:], passphrase=PASSPHRASE, ssid="lab-store")

    assert evidence.wifi[0].mic_fits == (2,)


def test_frames_with_a_bad_checksum_are_counted_and_not_read():
    flagged = b"\x00\x00\x09\x00\x02\x00\x00\x00\x40"

    evidence, _ = look(WHOLE, linktype=127, prefix=flagged)

    assert evidence.wifi == ()
    assert any("failed their checksum" in text for text in evidence.warnings)


def test_ip_in_open_frames_is_read_like_any_other(wire):
    capture = wire().handshake()
    frames = [
        data_frame(frame[14:], up=frame[26:30] == bytes([10, 20, 0, 10]), ethertype=0x0800)
        for _, frame, _ in capture.frames
    ]

    assert look(frames)[0].flows[0].syn_mss_bytes == 1460


def test_eapol_on_a_wire_is_read_too():
    frames = [
        (AP + STATION if n in {2, 4} else STATION + AP) + b"\x88\x8e" + eapol(n, counter=n // 3)
        for n in (1, 2, 3, 4)
    ]

    wifi = look(frames, linktype=1)[0].wifi

    assert [[m.number for m in seen.messages] for seen in wifi] == [[1, 2, 3, 4]]


def test_thousands_of_stations_are_bounded_and_counted():
    frames = [
        message(1).replace(STATION, bytes.fromhex("02cc") + struct.pack("!I", number))
        for number in range(2_100)
    ]

    evidence, _ = look(frames)

    assert len(evidence.wifi) == 2_048
    assert any("52 messages of further stations" in text for text in evidence.warnings)
