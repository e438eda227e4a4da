# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""EAPOL-Key frames of the 4-way handshake (IEEE 802.11-2020 section 12.7), and their MIC."""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

_EAP, _KEY = 0, 3
_DESCRIPTORS = frozenset({2, 254})  # RSN, WPA
_BODY_BYTES = 95
_PAIRWISE, _ACK, _MIC = 0x0008, 0x0080, 0x0100
_MIC_AT = 81
_EAP_FAILURE = 4

#: Descriptor version -> how the MIC is made.
_HMAC_MD5, _HMAC_SHA1, _AES_CMAC = 1, 2, 3
_LABEL = b"Pairwise key expansion"

#: Authentication and key management suites with a passphrase: PSK, FT-PSK, PSK-SHA256.
PSK_SUITES = frozenset({2, 4, 6})
_SUITE_NAMES = {
    1: "802.1X",
    3: "FT-802.1X",
    5: "802.1X-SHA256",
    8: "SAE",
    9: "FT-SAE",
    11: "802.1X Suite B",
    12: "802.1X Suite B-192",
    18: "OWE",
    24: "SAE",
}
_RSN, _VENDOR = 48, 221
_MICROSOFT_WPA = b"\x00\x50\xf2\x01"


class KeyFrame(NamedTuple):
    """One message of the 4-way handshake.

    Attributes:
        number: 1 to 4.
        version: Key descriptor version: 1 HMAC-MD5, 2 HMAC-SHA1, 3 AES-CMAC, 0 as the suite says.
        body: The whole EAPOL frame, as the MIC covers it.
        suite: Authentication and key management suite of message 2, ``None`` where not given.
    """

    number: int
    version: int
    counter: int
    nonce: bytes
    mic: bytes
    body: bytes
    suite: int | None


def parse_key(data: bytes, at: int) -> KeyFrame | None:
    """Read an EAPOL frame at ``at``; ``None`` when it is no whole message of the handshake."""
    if len(data) < at + 4 or data[at + 1] != _KEY:
        return None
    length = data[at + 2] << 8 | data[at + 3]
    body = data[at : at + 4 + length]
    if length < _BODY_BYTES or len(body) < 4 + length or body[4] not in _DESCRIPTORS:
        return None
    info, _, counter = struct.unpack_from("!HHQ", body, 5)
    if not info & _PAIRWISE:
        return None
    details_bytes = body[97] << 8 | body[98]
    details = body[99 : 99 + details_bytes]
    if info & _ACK:
        number = 3 if info & _MIC else 1
    elif info & _MIC:
        # The Secure bit does not tell: some stations set it in message 2 already.
        number = 2 if details_bytes else 4
    else:
        return None
    suite = _suite(details) if number == 2 else None
    return KeyFrame(number, info & 7, counter, body[17:49], body[_MIC_AT:97], body, suite)


def is_eap_failure(data: bytes, at: int) -> bool:
    """Say whether an EAPOL frame carries EAP-Failure (RFC 3748)."""
    return len(data) >= at + 8 and data[at + 1] == _EAP and data[at + 4] == _EAP_FAILURE


def _suite(details: bytes) -> int | None:
    """Return the key management suite that an RSN or WPA element chooses."""
    for name, value in elements(details, 0):
        if name == _RSN:
            return _chosen(value, 2)
        if name == _VENDOR and value[:4] == _MICROSOFT_WPA:
            return _chosen(value[4:], 2)
    return None


def _chosen(value: bytes, at: int) -> int | None:
    """Skip version, group suite and pairwise suites of an RSN element."""
    if len(value) < at + 6:
        return None
    pairwise = value[at + 4] | value[at + 5] << 8
    at += 6 + 4 * pairwise
    return value[at + 5] if len(value) >= at + 6 else None


def elements(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yield (id, value) of information elements; a cut one ends it."""
    while at + 2 <= len(data):
        value = data[at + 2 : at + 2 + data[at + 1]]
        if len(value) < data[at + 1]:
            return
        yield data[at], value
        at += 2 + data[at + 1]


def suite_name(suite: int | None) -> str:
    """Name a suite that no passphrase opens, or ``""``."""
    if suite is None or suite in PSK_SUITES:
        return ""
    return _SUITE_NAMES.get(suite, f"suite {suite}")


@lru_cache(maxsize=64)
def pairwise_master_key(passphrase: str, ssid: bytes) -> bytes:
    """Derive the PMK of a passphrase (IEEE 802.11-2020 annex J.4); 64 hex digits are the PMK."""
    if len(passphrase) == 64:
        try:
            return bytes.fromhex(passphrase)
        except ValueError:
            pass
    return hashlib.pbkdf2_hmac("sha1", passphrase.encode(), ssid, 4096, 32)


def mic_fits(
    master: bytes, ap: bytes, station: bytes, ap_nonce: bytes, station_nonce: bytes, frame: KeyFrame
) -> bool | None:
    """Check a message's MIC; ``None`` where its version says nothing that is known here."""
    spice = (
        min(ap, station)
        + max(ap, station)
        + min(ap_nonce, station_nonce)
        + max(ap_nonce, station_nonce)
    )
    covered = frame.body[:_MIC_AT] + bytes(16) + frame.body[97:]
    if frame.version == _AES_CMAC:
        seed = struct.pack("<H", 1) + _LABEL + spice + struct.pack("<H", 384)
        mac = CMAC(AES(hmac.digest(master, seed, "sha256")[:16]))
        mac.update(covered)
        return hmac.compare_digest(mac.finalize(), frame.mic)
    key = hmac.digest(master, _LABEL + b"\0" + spice + b"\0", "sha1")[:16]
    if frame.version == _HMAC_SHA1:
        return hmac.compare_digest(hmac.digest(key, covered, "sha1")[:16], frame.mic)
    if frame.version == _HMAC_MD5:
        return hmac.compare_digest(hmac.digest(key, covered, "md5"), frame.mic)
    return None
