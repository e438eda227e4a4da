"""Observations on the wire: SYNs, stalls, ICMP, fragments, probes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtughost.model.basis import Basis
from mtughost.model.device import Family

Point = Literal["ap", "gateway-lan", "gateway-wan"]
#: ``up`` is from the AP to the service (ruled by the MSS in the SYN-ACK), ``down`` the way back.
Direction = Literal["up", "down"]
DIRECTIONS: tuple[Direction, Direction] = ("up", "down")


@dataclass(frozen=True, slots=True, kw_only=True)
class SynSeen:
    """One SYN or SYN-ACK seen at one point.

    Attributes:
        mss_bytes: Value of the MSS option; ``None`` when the capture was cut before it or the
            option is absent (RFC 9293 then means 536 for IPv4).
        df: Whether DF was set (IPv6: always ``True``).
        frame: Frame number in the capture, from 1.
    """

    kind: Literal["syn", "syn-ack"]
    source: str
    source_port: int
    destination: str
    destination_port: int
    family: Family
    mss_bytes: int | None
    df: bool
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpTooBigSeen:
    """One "fragmentation needed" (ICMP 3/4) or "packet too big" (ICMPv6 2)."""

    reporter: str
    to: str
    next_hop_mtu_bytes: int
    quoted_source: str
    quoted_destination: str
    quoted_bytes: int
    family: Family
    frame: int


TlsStage = Literal[
    "none", "client-hello", "server-flight", "client-flight", "established", "alert", "unknown"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSeen:
    """What one point saw of one TCP connection, client first.

    Sizes are IP packet sizes in bytes (headers included), so that they compare with an MTU.

    Attributes:
        largest_acked_up_bytes: Largest client packet that the server acknowledged.
        smallest_lost_up_bytes: Smallest client packet size that was sent at least twice, never
            acknowledged, while something smaller got through.
        largest_acked_down_bytes: The same for the server's packets.
        smallest_lost_down_bytes: Server packets that never reached this point (a gap that stayed).
        retransmits_up: How often the client sent the same bytes again.
        df_up: DF on the client's data packets, ``None`` when none was seen.
        mid_stream: The capture began after the handshake: MSS unknown.
        frames: Frame numbers that prove the sizes.
        stalled_up_bytes: Smallest client packet that was sent at least twice and never
            acknowledged, *whatever else got through*. Without ``smallest_lost_up_bytes`` nothing
            separates a size from plain silence.
        stalled_down_bytes: The same for the server's packets.
        resent_smaller_up_bytes: The client sent the same bytes again in smaller packets (size
            before, size after): path MTU discovery or black-hole detection at work.
        resent_smaller_down_bytes: The same for the server.
        application_up: TLS application data, or its TLS 1.3 equivalent, went up.
        application_down: The same downwards, after the client's last flight was acknowledged.
        tls_resumed: The handshake was abbreviated, so no certificate was sent; ``None`` when it
            was not seen.
    """

    client: str
    client_port: int
    server: str
    server_port: int
    family: Family
    syn_mss_bytes: int | None = None
    syn_ack_mss_bytes: int | None = None
    largest_acked_up_bytes: int | None = None
    smallest_lost_up_bytes: int | None = None
    largest_acked_down_bytes: int | None = None
    smallest_lost_down_bytes: int | None = None
    retransmits_up: int = 0
    retransmits_down: int = 0
    df_up: bool | None = None
    df_down: bool | None = None
    tls_stage: TlsStage = "unknown"
    tls_version: str = ""
    tls_alert: str = ""
    reset_by: Literal["", "client", "server"] = ""
    closed: bool = False
    mid_stream: bool = False
    frames: tuple[int, ...] = ()
    stalled_up_bytes: int | None = None
    stalled_down_bytes: int | None = None
    resent_smaller_up_bytes: tuple[int, int] | None = None
    resent_smaller_down_bytes: tuple[int, int] | None = None
    application_up: bool = False
    application_down: bool = False
    tls_resumed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureEvidence:
    """Everything that one capture at one point showed.

    Attributes:
        fragments_up: IP fragments towards the service.
        fragments_down: IP fragments from the service.
        truncated: The file ended in the middle of a packet.
        sha256: Of the capture's bytes.
        too_big: Messages that can be believed.
        doubted_too_big: Messages that must not lower a path MTU (receive offload at the far side,
            IPv6 below 1280, a quoted packet that would have fitted); ``warnings`` says why.
        incomplete_datagrams: Frame of the first fragment seen of each datagram that stayed
            incomplete.
    """

    host: str
    point: Point
    interface: str
    basis: Basis
    command: str
    seconds: float
    packets: int
    flows: tuple[FlowSeen, ...] = ()
    syns: tuple[SynSeen, ...] = ()
    too_big: tuple[IcmpTooBigSeen, ...] = ()
    fragments_up: int = 0
    fragments_down: int = 0
    truncated: bool = False
    warnings: tuple[str, ...] = ()
    sha256: str = ""
    doubted_too_big: tuple[IcmpTooBigSeen, ...] = ()
    incomplete_datagrams: tuple[int, ...] = ()


ProbeOutcome = Literal["reply", "alert", "timeout", "reset", "closed", "refused", "unreachable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStep:
    """One connection of the service probe.

    Attributes:
        hello_bytes: Length of the whole TLS record that was sent.
        packet_bytes: IP packet that it fills, as one segment (headers 52 with TCP timestamps);
            larger hellos need several segments and are marked by ``segments`` > 1.
        outcome: ``reply`` means that a TLS ServerHello came back.
    """

    hello_bytes: int
    packet_bytes: int
    segments: int
    outcome: ProbeOutcome
    detail: str = ""
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeEvidence:
    """The service probe from one device: ClientHellos of chosen length, through its own TCP.

    Attributes:
        via: ``direct-tcpip``, or the shell command used where forwarding is off.
        unavailable: Why no connection could be tried, or ``""``.
        leaves: What the probe leaves behind on the device, in words, with how long.
    """

    host: str
    service: str
    family: Family
    basis: Basis
    via: str
    steps: tuple[ProbeStep, ...]
    unavailable: str = ""
    leaves: tuple[str, ...] = ()

    @property
    def largest_delivered_bytes(self) -> int | None:
        """Largest single-segment packet that was answered, or ``None``."""
        answered = {"reply", "alert"}
        sizes = [s.packet_bytes for s in self.steps if s.segments == 1 and s.outcome in answered]
        return max(sizes, default=None)

    @property
    def smallest_lost_bytes(self) -> int | None:
        """Smallest single-segment packet that timed out, or ``None``.

        A size that was answered once, or a larger one that was, is not a lost size.
        """
        delivered = self.largest_delivered_bytes or 0
        sizes = [
            s.packet_bytes
            for s in self.steps
            if s.segments == 1 and s.outcome == "timeout" and s.packet_bytes > delivered
        ]
        return min(sizes, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PingEvidence:
    """A sized ping that leaves no path-MTU entry behind (DF clear), or one with DF set.

    Attributes:
        packet_bytes: IP packet size.
        df: Whether DF was set.
        answered: Whether any reply came.
        too_big_mtu_bytes: Next-hop MTU of an ICMP error or local error, if one came.
        local_error: The device's own kernel refused (its interface or a cached route).
    """

    host: str
    target: str
    packet_bytes: int
    df: bool
    answered: bool
    basis: Basis
    command: str
    too_big_mtu_bytes: int | None = None
    local_error: bool = False
    source: str = ""
