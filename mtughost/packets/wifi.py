# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""802.11 frames: which stations came how far in the 4-way handshake, and who sent them away.

A sensor in the air misses frames, and repeats on layer 2 carry the Retry bit and the same replay
counter. So a handshake is a sequence of messages between one station and one access point, and what
is missing from it may just not have been heard.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from mtughost.model.evidence import EapolSeen, WifiHandshake
from mtughost.packets.eapol import (
    KeyFrame,
    elements,
    is_eap_failure,
    mic_fits,
    pairwise_master_key,
    parse_key,
    suite_name,
)
from mtughost.packets.links import EAPOL, IPV4, IPV6

_BARE, _PRISM, _RADIOTAP, _AVS, _PPI = 105, 119, 127, 163, 192
WIFI_LINKS = frozenset({_BARE, _PRISM, _RADIOTAP, _AVS, _PPI})

_MANAGEMENT, _DATA = 0, 2
_TO_AP, _FROM_AP, _RETRY, _PROTECTED, _ORDER = 0x01, 0x02, 0x08, 0x40, 0x80
_ASSOCIATION, _REASSOCIATION, _PROBE_RESPONSE, _BEACON = 0, 2, 5, 8
_DISASSOCIATION, _AUTHENTICATION, _DEAUTHENTICATION = 10, 11, 12
_SAE = 3
#: Fixed fields before the elements, by subtype.
_ELEMENTS_AT = {_ASSOCIATION: 4, _REASSOCIATION: 10, _PROBE_RESPONSE: 12, _BEACON: 12}
_SNAP = b"\xaa\xaa\x03\x00\x00\x00"
_RADIOTAP_BAD_FCS = 0x40

_MAX_PAIRS = 2048
_MAX_MESSAGES = 128
_MAX_NETWORKS = 4096
#: Message 1 is answered within a second; the access point gives up after a few.
_PATIENCE_NS = 10_000_000_000


@dataclass(slots=True)
class _Message:
    frame: int
    when_ns: int
    retry: bool
    key: KeyFrame


@dataclass(slots=True)
class _Pair:
    messages: list[_Message] = field(default_factory=list)
    unlisted: int = 0
    sent_away: tuple[int, int, str] | None = None  # frame, reason, by whom
    eap_failures: list[int] = field(default_factory=list)
    sae: bool = False


def _bare_start(linktype: int, data: bytes) -> int | None:
    """Return where the 802.11 header begins; ``None`` for damaged frames."""
    if linktype == _BARE:
        return 0
    if len(data) < 8 or (linktype == _RADIOTAP and _bad_checksum(data)):
        return None
    starts: tuple[int, ...]
    if linktype in {_RADIOTAP, _PPI}:
        starts = (data[2] | data[3] << 8,)
    elif linktype == _AVS:
        starts = (int.from_bytes(data[4:8], "big"),)
    else:
        starts = tuple(struct.unpack_from(order + "I", data, 4)[0] for order in "<>")
    return next((start for start in starts if 8 <= start <= len(data)), None)


def _bad_checksum(data: bytes) -> bool:
    """Say whether a radiotap header flags a frame that failed its checksum."""
    at, present = 4, 0x8000_0000
    length = data[2] | data[3] << 8
    first = struct.unpack_from("<I", data, 4)[0]
    while present & 0x8000_0000 and at + 4 <= min(length, len(data)):
        present = struct.unpack_from("<I", data, at)[0]
        at += 4
    if first & 1:
        at = (at + 7) // 8 * 8 + 8
    return bool(first & 2 and at < len(data) and data[at] & _RADIOTAP_BAD_FCS)


class WifiTable:
    """Collects the handshakes of all stations, in bounded memory.

    Attributes:
        damaged: Frames whose checksum failed or that were cut in their header.
        unlisted: Pairs of station and access point beyond the limit.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self.unlisted = 0
        self._pairs: dict[tuple[bytes, bytes], _Pair] = {}
        self._names: dict[bytes, bytes] = {}

    def take(self, linktype: int, data: bytes, when_ns: int, frame: int) -> tuple[int, int] | None:
        """Take one frame; return (offset, IPV4 or IPV6) where it carries IP in clear."""
        at = _bare_start(linktype, data)
        if at is None or len(data) < at + 24:
            self.damaged += at is None
            return None
        control, flags = data[at], data[at + 1]
        kind, subtype = control >> 2 & 3, control >> 4
        if kind == _MANAGEMENT:
            self._management(data, at, subtype, frame)
            return None
        if kind != _DATA or subtype & 4 or flags & _PROTECTED:
            return None
        body = at + 24
        if flags & _TO_AP and flags & _FROM_AP:
            body += 6
        if subtype & 8:
            body += 6 if flags & _ORDER else 2
        if data[body : body + 6] != _SNAP or len(data) < body + 8:
            return None
        ethertype = data[body + 6] << 8 | data[body + 7]
        body += 8
        if ethertype == EAPOL:
            first, second = data[at + 4 : at + 10], data[at + 10 : at + 16]
            ap, station = (first, second) if flags & _TO_AP else (second, first)
            self._eapol(data, body, (ap, station), (when_ns, frame, bool(flags & _RETRY)))
        return (body, ethertype) if ethertype in {IPV4, IPV6} else None

    def take_ethernet(self, data: bytes, at: int, when_ns: int, frame: int) -> None:
        """Take an EAPOL frame of a wired capture; who sends messages 1 and 3 is the AP."""
        key = parse_key(data, at)
        destination, source = data[:6], data[6:12]
        ends = (
            (source, destination) if key is None or key.number in {1, 3} else (destination, source)
        )
        self._eapol(data, at, ends, (when_ns, frame, False))

    def _eapol(
        self, data: bytes, at: int, ends: tuple[bytes, bytes], when: tuple[int, int, bool]
    ) -> None:
        pair = self._pair(ends)
        if pair is None:
            return
        when_ns, frame, retry = when
        if is_eap_failure(data, at) and len(pair.eap_failures) < _MAX_MESSAGES:
            pair.eap_failures.append(frame)
        key = parse_key(data, at)
        if key is None:
            return
        if len(pair.messages) < _MAX_MESSAGES:
            pair.messages.append(_Message(frame, when_ns, retry, key))
        else:
            pair.unlisted += 1

    def _pair(self, ends: tuple[bytes, bytes]) -> _Pair | None:
        pair = self._pairs.get(ends)
        if pair is None:
            if len(self._pairs) >= _MAX_PAIRS:
                self.unlisted += 1
                return None
            pair = self._pairs[ends] = _Pair()
        return pair

    def _management(self, data: bytes, at: int, subtype: int, frame: int) -> None:
        receiver, sender, ap = (data[at + n : at + n + 6] for n in (4, 10, 16))
        if subtype in _ELEMENTS_AT:
            if ap not in self._names and len(self._names) < _MAX_NETWORKS:
                found = dict(elements(data, at + 24 + _ELEMENTS_AT[subtype]))
                if found.get(0, b"").strip(b"\0"):
                    self._names[ap] = found[0]
            return
        station = sender if receiver == ap else receiver
        if subtype == _AUTHENTICATION and len(data) >= at + 26:
            if data[at + 24] == _SAE and (pair := self._pair((ap, station))) is not None:
                pair.sae = True
        elif subtype in {_DEAUTHENTICATION, _DISASSOCIATION} and len(data) >= at + 26:
            # Without any message of a handshake it says nothing about one.
            pair = self._pairs.get((ap, station))
            if pair is not None and pair.messages and not data[at + 1] & _PROTECTED:
                by = "ap" if sender == ap else "station"
                pair.sent_away = frame, data[at + 24] | data[at + 25] << 8, by

    # -- results -------------------------------------------------------------------------------

    def seen(self, passphrase: str = "", ssid: str = "") -> tuple[WifiHandshake, ...]:
        """Return every pair that exchanged messages.

        Args:
            passphrase: Checked against the MIC of message 2 when given.
            ssid: Name of the network where the capture does not show it.
        """
        return tuple(
            self._handshake(ends, pair, passphrase, ssid)
            for ends, pair in self._pairs.items()
            if pair.messages or pair.eap_failures or pair.sae
        )

    def _handshake(
        self, ends: tuple[bytes, bytes], pair: _Pair, passphrase: str, ssid: str
    ) -> WifiHandshake:
        ap, station = ends
        name = self._names.get(ap, ssid.encode())
        suites = [m.key.suite for m in pair.messages if m.key.suite is not None]
        suite = suite_name(suites[0] if suites else None) or ("SAE" if pair.sae else "")
        fits: tuple[int, ...] = ()
        fails: tuple[int, ...] = ()
        if passphrase and name and not suite:
            fits, fails = _check(pair, ends, pairwise_master_key(passphrase, name))
        away = pair.sent_away
        return WifiHandshake(
            station=station.hex(":"),
            ap=ap.hex(":"),
            ssid=name.decode("utf-8", "replace"),
            messages=tuple(
                EapolSeen(number=m.key.number, counter=m.key.counter, frame=m.frame, retry=m.retry)
                for m in pair.messages
            ),
            unlisted=pair.unlisted,
            suite=suite,
            completed=_completed(pair.messages),
            accepted=_accepted(pair.messages),
            mic_fits=fits,
            mic_fails=fails,
            sent_away_frame=away[0] if away else None,
            sent_away_reason=away[1] if away else None,
            sent_away_by="" if away is None else "ap" if away[2] == "ap" else "station",
            eap_failures=tuple(pair.eap_failures),
        )


def _accepted(messages: list[_Message]) -> tuple[int, ...]:
    """Return the frames of message 3: the access point accepted a message 2."""
    return tuple(m.frame for m in messages if m.key.number == 3)


def _completed(messages: list[_Message]) -> tuple[int, ...]:
    """Return the frames of message 4 that answer a message 3 by its replay counter."""
    counters = {m.key.counter for m in messages if m.key.number == 3}
    return tuple(m.frame for m in messages if m.key.number == 4 and m.key.counter in counters)


def _check(
    pair: _Pair, ends: tuple[bytes, bytes], master: bytes
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Check every message 2 against the nonces that can belong to it.

    Message 3 repeats the nonce that the access point really used, so it is the better partner; a
    message 1 counts with the same replay counter and close before. A MIC is called bad only where
    such a partner is there; without one nothing is known.
    """
    fits: list[int] = []
    fails: list[int] = []
    for message in pair.messages:
        if message.key.number != 2:
            continue
        nonces = _partners(pair.messages, message)
        others = dict.fromkeys(m.key.nonce for m in pair.messages if m.key.number in {1, 3})
        judged = {
            nonce: mic_fits(master, *ends, nonce, message.key.nonce, message.key)
            for nonce in dict.fromkeys([*nonces, *list(others)[:8]])
        }
        if True in judged.values():
            fits.append(message.frame)
        elif nonces and all(judged[nonce] is False for nonce in nonces):
            fails.append(message.frame)
    return tuple(fits), tuple(fails)


def _partners(messages: list[_Message], second: _Message) -> list[bytes]:
    third = [
        m.key.nonce
        for m in messages
        if m.key.number == 3
        and m.key.counter == second.key.counter + 1
        and 0 <= m.when_ns - second.when_ns <= _PATIENCE_NS
    ]
    first = [
        m.key.nonce
        for m in messages
        if m.key.number == 1
        and m.key.counter == second.key.counter
        and 0 <= second.when_ns - m.when_ns <= _PATIENCE_NS
    ]
    return third or first
