"""The live TCP connections of one capture, in a table of bounded size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mtughost.model.evidence import SynSeen
from mtughost.packets.connection import Endpoint, Flow
from mtughost.packets.half import Half
from mtughost.packets.segment import ACK, RST, SYN, Packet, Segment

#: Unacknowledged packets remembered in all; each takes about 300 bytes.
_MAX_WAITING = 150_000
#: A last acknowledgement or a repeated FIN comes within this time.
_LINGER_NS = 3_000_000_000
_MAX_CLOSING = 1_024

#: The two ends of a connection as one packet sees them: its sender first.
Lane = tuple[Half, Half]


class FlowTable:
    """The live connections of a capture, found by one dictionary look-up per packet.

    Its size is bounded: when it is full, connections that are over and then those that were silent
    longest are judged and leave it.

    Attributes:
        calm: Sender and receiver of connections in which nothing but plain data goes on; the keys
            are source address, destination address and ports as they stand in the packet.
        evicted_live: Connections that had to leave before they were over.
    """

    def __init__(
        self,
        server_ports: frozenset[int],
        on_judged: Callable[[Flow], None],
        on_syn: Callable[[SynSeen], None],
        max_flows: int = 5_000,
    ) -> None:
        self.calm: dict[bytes, Lane] = {}
        self.evicted_live = 0
        self._ports = server_ports
        self._on_judged = on_judged
        self._on_syn = on_syn
        self._max_flows = max_flows
        self._index: dict[bytes, tuple[Flow, bool]] = {}
        self._live: dict[int, tuple[Flow, bytes, bytes]] = {}
        self._closing: deque[Flow] = deque()

    def take(self, packet: Packet, segment: Segment, *, fragmented: bool = False) -> None:
        """Take one TCP segment; ``fragmented`` when it came as IP fragments."""
        data, start = packet.data, packet.start
        key = packet.source + packet.destination + data[start : start + 4]
        found = self._index.get(key)
        flags = segment.flags
        if flags & SYN and not flags & RST:
            found = self._handshake(packet, segment, key, found)
        else:
            if found is None:
                if flags & RST and not segment.payload_bytes:
                    return  # a reset out of the blue is not a connection
                found = self._open(packet, key, self._sender_is_client(data, start))
            found[0].segment(segment, from_client=found[1])
        if found[0].over and not found[0].closing:
            found[0].closing = True
            self._closing.append(found[0])
        if fragmented:
            (found[0].up if found[1] else found[0].down).fragmented += 1
        self._settle(found[0])

    def _settle(self, flow: Flow) -> None:
        """Put the connection on the fast lane, or take it off."""
        _, forth, back = self._live[flow.first_frame]
        if flow.calm_down():
            if forth not in self.calm:
                self.calm[forth] = (flow.up, flow.down)
                self.calm[back] = (flow.down, flow.up)
        elif forth in self.calm:
            del self.calm[forth], self.calm[back]

    def of(self, key: bytes) -> tuple[Flow, bool] | None:
        """Return the live connection of a packet, and whether the client sent that."""
        return self._index.get(key)

    def told(self, key: bytes, mtu_bytes: int, when_ns: int) -> None:
        """Note that the sender of packets with this key was told by ICMP of a smaller MTU."""
        found = self._index.get(key)
        if found is None:
            return
        flow, from_client = found
        (flow.up if from_client else flow.down).be_told(mtu_bytes, when_ns)
        self._settle(flow)

    def _handshake(
        self,
        packet: Packet,
        segment: Segment,
        key: bytes,
        found: tuple[Flow, bool] | None,
    ) -> tuple[Flow, bool]:
        is_syn = not segment.flags & ACK
        if found is not None:
            flow, from_client = found
            new_sequence = is_syn and flow.syn_seq != segment.seq
            if new_sequence or from_client != is_syn:
                # The ports are used again, or the roles were guessed wrongly.
                self._judge(flow)
                found = None
        if found is None:
            found = self._open(packet, key, is_syn)
        seen = found[0].handshake(segment)
        if seen is not None:
            self._on_syn(seen)
        return found

    def _sender_is_client(self, data: bytes, start: int) -> bool:
        """Guess the roles where the handshake is missing: the service's port, else the lower."""
        source, destination = (
            data[start] << 8 | data[start + 1],
            data[start + 2] << 8 | data[start + 3],
        )
        if (source in self._ports) != (destination in self._ports):
            return destination in self._ports
        return destination <= source

    def _open(
        self,
        packet: Packet,
        key: bytes,
        sender_is_client: bool,  # noqa: FBT001 - hot path
    ) -> tuple[Flow, bool]:
        self._judge_closed(packet.when_ns)
        if len(self._live) >= self._max_flows:
            self._evict()
        data, start = packet.data, packet.start
        ports = data[start : start + 4]
        sender = Endpoint(packet.source, ports[0] << 8 | ports[1])
        receiver = Endpoint(packet.destination, ports[2] << 8 | ports[3])
        client, server = (sender, receiver) if sender_is_client else (receiver, sender)
        flow = Flow(client, server, packet)
        back = packet.destination + packet.source + ports[2:] + ports[:2]
        self._index[key] = (flow, sender_is_client)
        self._index[back] = (flow, not sender_is_client)
        keys = (key, back) if sender_is_client else (back, key)
        self._live[packet.frame] = (flow, *keys)
        return self._index[key]

    def _judge_closed(self, now_ns: int) -> None:
        """Judge what has been over for a while: a small table is a fast one."""
        closing = self._closing
        while closing:
            flow = closing[0]
            if now_ns - flow.last_ns < _LINGER_NS and len(closing) < _MAX_CLOSING:
                return
            closing.popleft()
            if self._live.get(flow.first_frame, (None,))[0] is flow:
                self._judge(flow)

    def _evict(self) -> None:
        """Judge what is over, or else the quarter that was silent longest."""
        flows = [flow for flow, _, _ in self._live.values()]
        leaving = [flow for flow in flows if flow.over]
        quarter = max(1, self._max_flows // 4)
        if len(leaving) < quarter:
            alive = sorted((f for f in flows if not f.over), key=lambda flow: flow.last_ns)
            alive = alive[: quarter - len(leaving)]
            self.evicted_live += len(alive)
            leaving += alive
        for flow in leaving:
            self._judge(flow)

    def _judge(self, flow: Flow) -> None:
        _, *keys = self._live.pop(flow.first_frame)
        for key in keys:
            self.calm.pop(key, None)
            self._index.pop(key, None)
        self._on_judged(flow)

    def trim(self) -> None:
        """Bound what all connections together remember of unacknowledged packets.

        Where acknowledgements are not in the capture, nothing is learned from it anyway.
        """
        halves = [half for flow, _, _ in self._live.values() for half in (flow.up, flow.down)]
        if sum(len(half.outstanding) for half in halves) > _MAX_WAITING:
            for half in halves:
                half.forget_old(_MAX_WAITING // (4 * self._max_flows))

    def finish(self) -> None:
        """Judge what is still live; call it after the last packet."""
        for flow, _, _ in list(self._live.values()):
            self._judge(flow)
