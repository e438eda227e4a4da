"""RADIUS over UDP (RFC 2865): requests that are sent again, and whether the large ones get answers.

EAP-TLS carries certificates in RADIUS, so an Access-Request may need two IP fragments. Two that
both arrive and are answered are healthy; a request that is sent again and again while smaller ones
are answered is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from mtughost.model.evidence import RadiusSeen
from mtughost.packets.segment import Packet

#: Authentication, accounting, change of authorisation, and the ports used before RFC 2865.
RADIUS_PORTS = frozenset({1812, 1813, 1645, 1646, 3799})

_REQUESTS = frozenset({1, 4, 40, 43})
_UDP_BYTES = 8
_HEADER_BYTES = 20
_LEAST_BYTES, _MOST_BYTES = 20, 4096
_MAX_PEERS = 4096
_MAX_OPEN = 4096
_MAX_FRAMES = 16
#: Copies of one frame come this close together; repeats of a request after a second at least.
_COPY_NS = 100_000_000


@dataclass(slots=True)
class _Request:
    """One request by identifier and authenticator; ``size`` is the IP packet before fragmenting."""

    size: int
    fragmented: bool
    last_ns: int
    frames: list[int]
    repeats: int = 0
    answered: bool = False


@dataclass(slots=True)
class _Peers:
    client: bytes
    server: bytes
    port: int
    requests: int = 0
    repeats: int = 0
    answered: int = 0
    largest_answered: int = 0
    unanswered: list[_Request] = field(default_factory=list)
    fragmented: int = 0
    first_fragments: list[int] = field(default_factory=list)
    open: dict[bytes, _Request] = field(default_factory=dict)


class RadiusTable:
    """Follows requests and answers of each client and server, in bounded memory."""

    def __init__(self) -> None:
        self._peers: dict[bytes, _Peers] = {}

    def take(self, packet: Packet) -> None:
        """Take a UDP datagram, or the first fragment of one."""
        data, at = packet.data, packet.start
        if packet.end - at < _UDP_BYTES + _HEADER_BYTES:
            return
        source, destination = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
        to_server = destination in RADIUS_PORTS
        if not to_server and source not in RADIUS_PORTS:
            return
        udp_bytes = data[at + 4] << 8 | data[at + 5]
        code, ident = data[at + 8], data[at + 9]
        length = data[at + 10] << 8 | data[at + 11]
        if not _LEAST_BYTES <= length <= min(_MOST_BYTES, udp_bytes - _UDP_BYTES):
            return
        fragmented = packet.payload_bytes < udp_bytes
        size = packet.ip_bytes - packet.payload_bytes + udp_bytes
        peers = self._of(packet, destination if to_server else source, to_server=to_server)
        if peers is None:
            return
        if fragmented:
            peers.fragmented += 1
            if len(peers.first_fragments) < _MAX_FRAMES:
                peers.first_fragments.append(packet.frame)
        ports = data[at : at + 2] if to_server else data[at + 2 : at + 4]
        if to_server and code in _REQUESTS:
            authenticator = data[at + 12 : at + 28]
            self._request(peers, ports + bytes([ident]), authenticator, packet, (size, fragmented))
        elif not to_server:
            self._answer(peers, ports + bytes([ident]))

    def _of(self, packet: Packet, port: int, *, to_server: bool) -> _Peers | None:
        ends = packet.source, packet.destination
        client, server = ends if to_server else ends[::-1]
        key = client + server + port.to_bytes(2, "big")
        peers = self._peers.get(key)
        if peers is None:
            if len(self._peers) >= _MAX_PEERS:
                return None
            peers = self._peers[key] = _Peers(client, server, port)
        return peers

    @staticmethod
    def _request(
        peers: _Peers, key: bytes, authenticator: bytes, packet: Packet, shape: tuple[int, bool]
    ) -> None:
        known = peers.open.get(key + authenticator)
        if known is not None:
            if packet.when_ns - known.last_ns > _COPY_NS:
                known.repeats += 1
                peers.repeats += 1
                if len(known.frames) < _MAX_FRAMES:
                    known.frames.append(packet.frame)
            known.last_ns = packet.when_ns
            return
        peers.requests += 1
        if len(peers.open) >= _MAX_OPEN:
            oldest = next(iter(peers.open))
            _settle(peers, peers.open.pop(oldest))
        size, fragmented = shape
        peers.open[key + authenticator] = _Request(size, fragmented, packet.when_ns, [packet.frame])

    @staticmethod
    def _answer(peers: _Peers, key: bytes) -> None:
        for name, request in reversed(peers.open.items()):
            if name.startswith(key):
                request.answered = True
                _settle(peers, peers.open.pop(name))
                return

    def seen(self, incomplete_frames: frozenset[int]) -> tuple[RadiusSeen, ...]:
        """Return what each client and server exchanged.

        Args:
            incomplete_frames: First frames of datagrams that stayed incomplete at this point.
        """
        found = []
        for peers in self._peers.values():
            for request in peers.open.values():
                _settle(peers, request)
            peers.open.clear()
            large = [r for r in peers.unanswered if r.fragmented and r.repeats]
            other = [r for r in peers.unanswered if not r.fragmented and r.repeats]
            missing = [frame for frame in peers.first_fragments if frame in incomplete_frames]
            found.append(
                RadiusSeen(
                    client=str(ip_address(peers.client)),
                    server=str(ip_address(peers.server)),
                    port=peers.port,
                    requests=peers.requests,
                    answered=peers.answered,
                    repeats=peers.repeats,
                    fragmented=peers.fragmented,
                    largest_answered_bytes=peers.largest_answered or None,
                    unanswered_fragmented=len(large),
                    smallest_unanswered_bytes=min((r.size for r in large + other), default=None),
                    unanswered_whole=len(other),
                    missing_fragments=tuple(missing),
                    frames=tuple(sorted({f for r in large + other for f in r.frames}))[
                        :_MAX_FRAMES
                    ],
                )
            )
        return tuple(found)


def _settle(peers: _Peers, request: _Request) -> None:
    if request.answered:
        peers.answered += 1
        peers.largest_answered = max(peers.largest_answered, request.size)
    elif len(peers.unanswered) < _MAX_OPEN:
        peers.unanswered.append(request)
