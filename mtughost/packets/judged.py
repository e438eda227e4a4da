"""Connections that were judged: a bounded list of them, and figures about the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mtughost.model.evidence import FlowSeen
from mtughost.packets.connection import Endpoint, Flow

#: A result takes about a kilobyte.
_MAX_TROUBLED = 10_000
_MAX_QUIET = 1_000
_MAX_PAIRS = 50_000

_Pair = tuple[bytes, bytes]


class JudgedFlows:
    """Keeps every connection with trouble and the first ones without, up to a limit.

    Attributes:
        connections: How many were judged in all.
        unlisted_quiet: Of those without trouble, how many are not listed.
        unlisted_troubled: Of those with trouble, how many are not listed.
        copies: Segments that were captured more than once.
        offload_bytes: Largest packet that must be an offload artefact, 0 for none.
    """

    def __init__(self, ports: frozenset[int], now_ns: Callable[[], int]) -> None:
        self.connections = 0
        self.unlisted_quiet = 0
        self.unlisted_troubled = 0
        self.copies = 0
        self.offload_bytes = 0
        self.servers: set[bytes] = set()
        self._ports = ports
        self._now_ns = now_ns
        self._listed: list[tuple[int, _Pair, FlowSeen]] = []
        self._quiet = 0
        self._sent: dict[_Pair, int] = {}
        self._delivered: dict[_Pair, int] = {}
        self.forgotten_pairs = False

    def take(self, flow: Flow) -> None:
        """Judge a connection that leaves the table."""
        for source, destination, half in (
            (flow.client, flow.server, flow.up),
            (flow.server, flow.client, flow.down),
        ):
            self.copies += half.duplicates
            self.offload_bytes = max(self.offload_bytes, half.offload_bytes)
            pair = source.address, destination.address
            if not self._room_for(pair):
                continue
            sent = max(half.largest_seen, half.offload_bytes)
            self._sent[pair] = max(self._sent.get(pair, 0), sent)
            self._delivered[pair] = max(self._delivered.get(pair, 0), half.largest)
        if self._ports and flow.server.port not in self._ports:
            return
        self.connections += 1
        if len(self.servers) < _MAX_PAIRS:
            self.servers.add(flow.server.address)
        self._list(flow)

    def _room_for(self, pair: _Pair) -> bool:
        if pair in self._sent or len(self._sent) < _MAX_PAIRS:
            return True
        self.forgotten_pairs = True
        return False

    def _list(self, flow: Flow) -> None:
        if self._quiet >= _MAX_QUIET and flow.uneventful:
            self.unlisted_quiet += 1
            return
        seen = flow.seen(self._now_ns())
        if in_trouble(seen):
            if len(self._listed) - self._quiet >= _MAX_TROUBLED:
                self.unlisted_troubled += 1
                return
        elif self._quiet >= _MAX_QUIET:
            self.unlisted_quiet += 1
            return
        else:
            self._quiet += 1
        pair = flow.client.address, flow.server.address
        self._listed.append((flow.first_frame, pair, seen))

    def largest_sent(self, source: Endpoint | bytes, destination: Endpoint | bytes) -> int:
        """Return the largest packet seen from one address to another, 0 for none."""
        first = source.address if isinstance(source, Endpoint) else source
        second = destination.address if isinstance(destination, Endpoint) else destination
        return self._sent.get((first, second), 0)

    def flows(self) -> tuple[FlowSeen, ...]:
        """Return the listed connections in order of appearance.

        One delivery of the same size on the same path refutes a size-selective loss, so a lost
        size that another connection of the same pair delivered is taken back. Where too many pairs
        came by to remember what each delivered, nothing is taken for proven.
        """
        self._listed.sort(key=lambda item: item[0])
        return tuple(self._refuted(pair, seen) for _, pair, seen in self._listed)

    def _refuted(self, pair: _Pair, seen: FlowSeen) -> FlowSeen:
        up = self._delivered.get(pair)
        down = self._delivered.get(pair[::-1])
        lost_up, lost_down = seen.smallest_lost_up_bytes, seen.smallest_lost_down_bytes
        if lost_up is not None and (up is None or up >= lost_up):
            seen = replace(seen, smallest_lost_up_bytes=None)
        if lost_down is not None and (down is None or down >= lost_down):
            seen = replace(seen, smallest_lost_down_bytes=None)
        return seen


def in_trouble(flow: FlowSeen) -> bool:
    """Say whether a connection shows anything that a verdict could rest on."""
    lost = (
        flow.smallest_lost_up_bytes
        or flow.smallest_lost_down_bytes
        or flow.stalled_up_bytes
        or flow.stalled_down_bytes
    )
    told = flow.told_up_bytes or flow.told_down_bytes
    unanswered = flow.syns_sent and flow.syn_ack_mss_bytes is None and not flow.closed
    return bool(lost or told or flow.tls_alert or unanswered or flow.refused or flow.reset_by)
