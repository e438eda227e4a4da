# ruff: noqa: PLR2004 - offsets and lengths of binary headers are what this file is about
"""One TCP connection as one point sees it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal

from mtughost.model.device import Family
from mtughost.model.evidence import FlowSeen, SynSeen, TlsStage
from mtughost.packets.bracket import bracket_of
from mtughost.packets.half import FOREVER, Half
from mtughost.packets.ranges import Bracket
from mtughost.packets.segment import ACK, FIN, RST, Packet, Segment
from mtughost.packets.tls import TlsProgress

_MAX_PROOF_FRAMES = 24


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
        "closing",
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
        self.closing = False
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
            lost_up_frame=up.lost_frame,
            lost_down_frame=down.lost_frame,
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
