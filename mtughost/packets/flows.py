# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""TCP connections of one capture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal

from mtughost.model.device import Family
from mtughost.model.evidence import FlowSeen, SynSeen, TlsStage
from mtughost.packets.bracket import bracket_of
from mtughost.packets.half import FOREVER, Half
from mtughost.packets.ranges import Bracket
from mtughost.packets.segment import ACK, FIN, RST, SYN, Packet, Segment
from mtughost.packets.tls import TlsProgress

_MAX_PROOF_FRAMES = 24
#: Unacknowledged packets remembered in all; each takes about 300 bytes.
_MAX_WAITING = 150_000


@lru_cache(maxsize=4096)
def address_text(packed: bytes) -> str:
    """Return an address in words; the same few come again and again."""
    return str(ip_address(packed))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a connection, as raw address bytes and port."""

    address: bytes
    port: int

    @property
    def text(self) -> str:
        """The address in words."""
        return address_text(self.address)


class Flow:
    """One TCP connection, client first."""

    __slots__ = (
        "client",
        "down",
        "family",
        "first_frame",
        "mid_stream",
        "opened_ns",
        "refused",
        "reset_by",
        "server",
        "syn_frames",
        "syn_seq",
        "syn_ttl",
        "syns_sent",
        "tls",
        "up",
    )

    def __init__(self, client: Endpoint, server: Endpoint, packet: Packet) -> None:
        self.client = client
        self.server = server
        self.family: Family = "ipv4" if packet.family == 4 else "ipv6"
        self.up = Half()
        self.down = Half()
        self.tls: TlsProgress | None = None
        self.mid_stream = True
        self.reset_by: Literal["", "client", "server"] = ""
        self.syn_seq: int | None = None
        self.syn_frames: list[int] = []
        self.syn_ttl = 0
        self.syns_sent = 0
        self.refused = False
        self.first_frame = packet.frame
        self.opened_ns = packet.when_ns

    # -- packets -----------------------------------------------------------------------------

    def handshake(self, segment: Segment) -> SynSeen | None:
        """Take a SYN or SYN-ACK; ``None`` for a second copy of the same frame."""
        answer = bool(segment.flags & ACK)
        half, peer = (self.down, self.up) if answer else (self.up, self.down)
        if half.first_segment_seen and half.is_copy(segment.seq, -1, segment):
            return None
        if not half.first_segment_seen:
            half.begin((segment.seq + 1) % (1 << 32))
        half.remember(segment.seq, -1, segment)
        half.syn_seen = True
        half.syn_mss = segment.mss
        peer.peer_mss = segment.mss
        if not answer:
            self.mid_stream = False
            self.syn_seq = segment.seq
            self.syn_ttl = segment.ttl
            self.syns_sent += 1
        if len(self.syn_frames) < _MAX_PROOF_FRAMES:
            self.syn_frames.append(segment.frame)
        source, destination = (self.server, self.client) if answer else (self.client, self.server)
        return SynSeen(
            kind="syn-ack" if answer else "syn",
            source=source.text,
            source_port=source.port,
            destination=destination.text,
            destination_port=destination.port,
            family=self.family,
            mss_bytes=segment.mss,
            df=segment.df,
            frame=segment.frame,
            sequence=segment.seq,
            ttl=segment.ttl,
            when_ns=segment.when_ns,
        )

    def segment(self, segment: Segment, *, from_client: bool) -> None:
        """Take any segment that is not a SYN."""
        half, peer = (self.up, self.down) if from_client else (self.down, self.up)
        if self.tls is not None and not self.tls.done:
            self._catch_up(self.tls)
        if not half.first_segment_seen:
            half.begin(segment.seq)
        flags = segment.flags
        if flags & ACK and peer.first_segment_seen:
            peer.acknowledge(segment)
        elif flags & ACK and not flags & RST:
            peer.begin(segment.ack)
        if segment.payload_bytes and half.send(segment) and not flags & RST:
            self._follow_tls(segment, half, peer, from_client=from_client)
        if flags & FIN:
            half.fin = True
        if flags & RST and not self.reset_by:
            self.reset_by = "client" if from_client else "server"
            self.refused = not from_client and not self.down.syn_seen and not self.mid_stream

    def _follow_tls(self, segment: Segment, half: Half, peer: Half, *, from_client: bool) -> None:
        tls = self.tls
        if tls is None:
            if not (self.up.first_segment_seen and self.down.first_segment_seen):
                return  # data before anything of the other side: only in damaged captures
            up, down = self.up, self.down
            tls = self.tls = TlsProgress(
                up.acked if half is down else self._data_start(up, segment),
                down.acked if half is up else self._data_start(down, segment),
            )
        if tls.done:
            return
        start = half.unwrap(segment.seq)
        if start is None:
            return
        captured = segment.data[segment.start : segment.end]
        if from_client:
            tls.from_client(start, segment.payload_bytes, captured, half.acked)
        else:
            acked = peer.unwrap(segment.ack)
            tls.from_server(start, segment.payload_bytes, captured, acked or peer.acked)

    @staticmethod
    def _data_start(half: Half, segment: Segment) -> int:
        """Return where the data of this direction begins: after the SYN, or here mid-stream."""
        if half.syn_seen:
            return half.acked
        return half.unwrap(segment.seq) or half.acked

    def calm_down(self) -> bool:
        """Say whether plain segments need nothing but their figures kept, and up to where."""
        up, down, tls = self.up, self.down, self.tls
        if tls is None or not (up.calm and down.calm):
            return False
        for half, stream in ((up, tls.client), (down, tls.server)):
            if tls.done or stream.broken:
                half.indifferent_to = FOREVER
            elif stream.position == half.next:
                half.indifferent_to = half.next + stream.indifferent_bytes
            else:
                half.indifferent_to = 0
        return True

    def _catch_up(self, tls: TlsProgress) -> None:
        """Tell TLS of the bytes that went by on the fast lane."""
        for half, stream in ((self.up, tls.client), (self.down, tls.server)):
            if stream.position < half.next <= half.indifferent_to < FOREVER:
                stream.catch_up(half.next)

    @property
    def last_ns(self) -> int:
        """When the last acknowledgement of either end was seen, or else the first packet."""
        return max(self.opened_ns, self.up.last_ack[2], self.down.last_ack[2])

    @property
    def over(self) -> bool:
        """Whether both ends said goodbye, or one broke it off."""
        return bool(self.reset_by) or (self.up.fin and self.down.fin)

    @property
    def uneventful(self) -> bool:
        """Whether nothing happened that could be trouble, as a look at few fields shows."""
        tls = self.tls
        return (
            self.down.syn_seen
            and not self.reset_by
            and not (self.up.fates or self.down.fates or self.up.gaps or self.down.gaps)
            and not (self.up.told_bytes or self.down.told_bytes)
            and not (tls is not None and tls.alert)
        )

    # -- judgement -----------------------------------------------------------------------------

    def stage(self) -> TlsStage:
        """Return the TLS stage; mid-stream captures that show no hello are ``unknown``."""
        tls = self.tls
        stage: TlsStage = tls.stage() if tls is not None else "none"
        if self.mid_stream and stage != "established" and not (tls and tls.saw_hello):
            return "unknown"
        return stage

    def seen(self, end_ns: int) -> FlowSeen:
        """Judge the connection at the end of the capture."""
        up, down = bracket_of(self.up, end_ns), bracket_of(self.down, end_ns)
        tls = self.tls
        return FlowSeen(
            client=self.client.text,
            client_port=self.client.port,
            server=self.server.text,
            server_port=self.server.port,
            family=self.family,
            syn_mss_bytes=self.up.syn_mss,
            syn_ack_mss_bytes=self.down.syn_mss,
            largest_acked_up_bytes=up.largest_delivered,
            smallest_lost_up_bytes=up.smallest_lost,
            largest_acked_down_bytes=down.largest_delivered,
            smallest_lost_down_bytes=down.smallest_lost,
            retransmits_up=self.up.retransmits,
            retransmits_down=self.down.retransmits,
            df_up=self.up.df_value,
            df_down=self.down.df_value,
            tls_stage=self.stage(),
            tls_version=tls.version if tls else "",
            tls_alert=tls.alert if tls else "",
            reset_by=self.reset_by,
            closed=self.up.fin or self.down.fin,
            mid_stream=self.mid_stream,
            frames=self._frames(up, down),
            stalled_up_bytes=up.stalled,
            stalled_down_bytes=down.stalled,
            resent_smaller_up_bytes=self.up.resent_smaller,
            resent_smaller_down_bytes=self.down.resent_smaller,
            application_up=bool(tls and tls.application_up),
            application_down=bool(tls and tls.application_down),
            tls_resumed=tls.resumed if tls else None,
            syns_sent=self.syns_sent,
            refused=self.refused,
            largest_seen_up_bytes=self.up.largest_seen or None,
            largest_seen_down_bytes=self.down.largest_seen or None,
            told_up_bytes=self.up.told_bytes or None,
            told_down_bytes=self.down.told_bytes or None,
            honoured_up=self.up.honoured,
            honoured_down=self.down.honoured,
            client_hello_bytes=(tls.hello_bytes or None) if tls else None,
            answered=self.down.syn_seen
            or self.down.largest_seen > 0
            or (self.up.last_ack[0] >= 0 and not self.refused),
            syn_sequence=self.syn_seq,
            syn_ttl=self.syn_ttl,
            silent_s=(end_ns - self.last_ns) / 1e9,
            fragmented_up=self.up.fragmented,
            fragmented_down=self.down.fragmented,
        )

    def _frames(self, up: Bracket, down: Bracket) -> tuple[int, ...]:
        proof = {*self.syn_frames[:2], *up.frames, *down.frames}
        return tuple(sorted(proof or {self.first_frame}))[:_MAX_PROOF_FRAMES]


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
