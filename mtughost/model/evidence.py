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
        sequence: Initial sequence number: with the far end's address it finds the same packet in
            another capture, also behind NAT.
        ttl: Time to live or hop limit: the point nearer to the sender sees the larger one.
        when_ns: Capture time, nanoseconds since 1970.
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
    sequence: int = 0
    ttl: int = 0
    when_ns: int = 0


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
        syns_sent: SYNs of the client, repeats included.
        refused: The SYN was answered by a reset.
        largest_seen_up_bytes: Largest client packet that passed this point, delivered or not.
        largest_seen_down_bytes: The same for the server's packets.
        told_up_bytes: Smallest MTU that a believable ICMP "too big" told the client of.
        told_down_bytes: The same for the server.
        honoured_up: Whether the client kept to that MTU; ``None`` where nothing shows it.
        honoured_down: The same for the server.
        client_hello_bytes: Length of the ClientHello, ``None`` when it was not seen whole.
        answered: Anything but a reset came from the server.
        syn_sequence: Initial sequence number of the client, ``None`` where its SYN was not seen.
        syn_ttl: Time to live of the SYN, 0 where it was not seen.
        silent_s: How long nothing more came before the capture ended, or the connection left it.
        lost_up_frame: Frame of the smallest lost or stalled client packet; ``None`` without one.
        lost_down_frame: The same for the server's; where it never came by, the frame behind it.
        fragmented_up: Client packets that passed this point as IP fragments, all of which came.
        fragmented_down: The same for the server's packets.
        early_gap_up_bytes: In a capture that does not show every packet: size of client packets
            that never came by although later ones of that direction did and are shown.
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
    syns_sent: int = 0
    refused: bool = False
    largest_seen_up_bytes: int | None = None
    largest_seen_down_bytes: int | None = None
    told_up_bytes: int | None = None
    told_down_bytes: int | None = None
    honoured_up: bool | None = None
    honoured_down: bool | None = None
    client_hello_bytes: int | None = None
    answered: bool = False
    syn_sequence: int | None = None
    syn_ttl: int = 0
    silent_s: float = 0.0
    lost_up_frame: int | None = None
    lost_down_frame: int | None = None
    fragmented_up: int = 0
    fragmented_down: int = 0
    early_gap_up_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RadiusSeen:
    """What one point saw of RADIUS over UDP between one client and one server.

    Attributes:
        requests: Different requests.
        answered: Of those, how many got an answer.
        repeats: Requests that were sent again.
        fragmented: Datagrams in either direction that came as IP fragments.
        largest_answered_bytes: Largest request that was answered, as the IP packet it was before
            it was fragmented.
        unanswered_fragmented: Requests that came as fragments, were sent again and never answered.
        smallest_unanswered_bytes: Smallest request that was sent again and never answered.
        unanswered_whole: Requests in one packet that were sent again and never answered.
        missing_fragments: Frames of first fragments whose rest never came by this point.
        frames: Frames of the unanswered requests.
    """

    client: str
    server: str
    port: int
    requests: int
    answered: int
    repeats: int
    fragmented: int = 0
    largest_answered_bytes: int | None = None
    unanswered_fragmented: int = 0
    smallest_unanswered_bytes: int | None = None
    unanswered_whole: int = 0
    missing_fragments: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EapolSeen:
    """One message of a Wi-Fi 4-way handshake.

    Attributes:
        counter: Replay counter; repeats on layer 2 carry the same one and the Retry bit.
    """

    number: int
    counter: int
    frame: int
    retry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WifiHandshake:
    """The 4-way handshakes of one station with one access point, as the air showed them.

    Attributes:
        ssid: Name of the network, or ``""`` where no frame gave it.
        unlisted: Messages beyond the limit.
        suite: Key management that no passphrase opens (802.1X, SAE), or ``""``.
        accepted: Frames of message 3: the access point accepted a message 2.
        completed: Frames of message 4 that answer a message 3.
        mic_fits: Frames of message 2 that were made with the given passphrase.
        mic_fails: Frames of message 2, safely paired with their nonce, that were not.
        sent_away_frame: Last deauthentication or disassociation.
        sent_away_by: Who sent that.
        eap_failures: Frames with EAP-Failure.
    """

    station: str
    ap: str
    ssid: str = ""
    messages: tuple[EapolSeen, ...] = ()
    unlisted: int = 0
    suite: str = ""
    accepted: tuple[int, ...] = ()
    completed: tuple[int, ...] = ()
    mic_fits: tuple[int, ...] = ()
    mic_fails: tuple[int, ...] = ()
    sent_away_frame: int | None = None
    sent_away_reason: int | None = None
    sent_away_by: Literal["", "ap", "station"] = ""
    eap_failures: tuple[int, ...] = ()


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
        complete_datagrams: How many fragmented datagrams were whole at this point.
        connections: All connections, those included that ``flows`` has no room for.
        radius: RADIUS over UDP.
        wifi: 4-way handshakes in the air.
        offload_bytes: Largest packet that is an artefact of offload in the capturing host, or 0.
        copies: Segments that were captured more than once.
        misses: Which packets it does not show although they pass, ``""`` for none. Nothing here
            rests on the absence of a packet then.
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
    complete_datagrams: int = 0
    connections: int = 0
    radius: tuple[RadiusSeen, ...] = ()
    wifi: tuple[WifiHandshake, ...] = ()
    offload_bytes: int = 0
    copies: int = 0
    misses: str = ""


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
        df: Whether DF was set, ``None`` where nobody knows what the device's ``ping`` does.
        answered: Whether any reply came.
        too_big_mtu_bytes: Next-hop MTU of an ICMP error or local error, if one came.
        local_error: The device's own kernel refused (its interface or a cached route).
    """

    host: str
    target: str
    packet_bytes: int
    df: bool | None
    answered: bool
    basis: Basis
    command: str
    too_big_mtu_bytes: int | None = None
    local_error: bool = False
    source: str = ""
