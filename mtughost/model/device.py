"""What was read from one device: identity, interfaces, addresses, routes, clamps, cloud state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtughost.model.basis import NOT_COLLECTED, Fact
from mtughost.model.clamps import ClampSemantics, Ruleset
from mtughost.model.inventory import Role

Family = Literal["ipv4", "ipv6"]
FAMILIES: tuple[Family, Family] = ("ipv4", "ipv6")

#: Bytes of the fixed IP and TCP headers: MSS = MTU - this (RFC 9293 3.7.1, RFC 8200 8.3).
MSS_OVERHEAD_BYTES: dict[Family, int] = {"ipv4": 40, "ipv6": 60}


def mss_for_mtu(mtu_bytes: int, family: Family) -> int:
    """Return the largest MSS whose full segment fits ``mtu_bytes`` (1492 -> 1452 and 1432)."""
    return mtu_bytes - MSS_OVERHEAD_BYTES[family]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who answered.

    Attributes:
        hostname: The name that the device gives itself.
        model: Model or machine type, or ``""``.
        os_name: Operating system's name.
        os_version: Version as printed.
        serial: Serial number, or ``""``.
        uptime_s: Seconds since boot, or ``None``.
    """

    hostname: str
    model: str = ""
    os_name: str = ""
    os_version: str = ""
    serial: str = ""
    uptime_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Privilege:
    """What the account may see.

    Attributes:
        sees_firewall: Whether the transcript proves that the whole packet filter is visible.
        sees_interfaces: The same for interfaces and routes.
        detail: The words that prove it (``uid 0, CAP_NET_ADMIN``).
    """

    sees_firewall: bool
    sees_interfaces: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One interface.

    Attributes:
        name: As the device prints it.
        mtu_bytes: IP MTU in bytes, or ``None`` where the device did not print a number.
        up: Operational state, ``None`` when unknown.
        kind: ``ethernet``, ``vlan``, ``bridge``, ``tunnel``, ``ppp``, ``loopback`` or the
            platform's own word.
        parent: Interface below, or ``""``.
        master: Bridge or bond that it is a port of, or ``""``.
        mac: Hardware address, or ``""``.
        line: Line of the answer.
    """

    name: str
    mtu_bytes: int | None
    up: bool | None = None
    kind: str = ""
    parent: str = ""
    master: str = ""
    mac: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One address on one interface."""

    interface: str
    address: str
    prefix_len: int
    family: Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route.

    Attributes:
        destination: CIDR, or ``default``.
        mtu_bytes: Route MTU where one is set, else ``None``.
        advmss_bytes: MSS that the device advertises on this route, else ``None``.
        mtu_locked: Whether the route ignores path MTU discovery (``mtu lock``).
        table: Routing table's name.
        cached: Whether this is a path-MTU exception learned from ICMP, with ``expires_s``.
    """

    destination: str
    family: Family
    interface: str
    via: str = ""
    mtu_bytes: int | None = None
    advmss_bytes: int | None = None
    mtu_locked: bool = False
    metric: int = 0
    table: str = "main"
    cached: bool = False
    expires_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """One rule of policy routing: which routing table a packet is looked up in.

    Attributes:
        priority: Smaller ones are asked first.
        source: CIDR that the packet's source must lie in, ``""`` for any.
        destination: The same for its destination.
        in_interface: Interface by which it must have come, ``""`` for any. ``lo`` means packets of
            the device itself.
        table: Table to look up, ``""`` where the rule forbids the packet.
        opaque: Conditions that cannot be evaluated from what was read, as the device prints them
            (firewall marks, ports, users).
        text: The rule as the device prints it.
    """

    priority: int
    family: Family
    table: str
    source: str = ""
    destination: str = ""
    in_interface: str = ""
    opaque: tuple[str, ...] = ()
    text: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Whose hardware address a device has for one of its neighbours (ARP, neighbour discovery).

    Attributes:
        state: As the device prints it (``REACHABLE``, ``STALE``, ``FAILED``).
    """

    address: str
    mac: str
    interface: str
    state: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSession:
    """One live TCP connection of the device itself, as its kernel counts it.

    Attributes:
        send_mss_bytes: Largest payload that the device sends now (``mss`` of ``ss -i``; TCP
            options are already taken off).
        advertised_mss_bytes: Without TCP options (``advmss`` of ``ss -i``).
        path_mtu_bytes: What the kernel believes.
        unacked_segments: Segments in flight.
        backoff: How often the retransmission timer doubled.
        retransmits_now: Retransmissions of the segment now in flight.
        acked_bytes: Bytes that the peer has acknowledged since the connection began, ``None``
            where the kernel does not say (``bytes_acked`` of ``ss -i``).
    """

    local: str
    peer: str
    peer_port: int
    state: str
    send_mss_bytes: int | None = None
    advertised_mss_bytes: int | None = None
    path_mtu_bytes: int | None = None
    unacked_segments: int = 0
    backoff: int = 0
    retransmits_now: int = 0
    retransmits_total: int = 0
    acked_bytes: int | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpSettings:
    """Kernel settings and counters that decide about path MTU discovery.

    Attributes:
        sends_df: Whether TCP of this host sets DF (``ip_no_pmtu_disc`` is 0).
        mtu_probing: Whether TCP heals itself slowly (``tcp_mtu_probing`` > 0; RFC 4821).
        fragments_created: Packets fragmented since boot, ``None`` when unknown.
        fragments_failed: Packets that could not be fragmented since boot.
    """

    sends_df: bool | None = None
    mtu_probing: bool | None = None
    fragments_created: int | None = None
    fragments_failed: int | None = None


#: What a cloud push or the RADsec client said, in one word (classified from its text). Where a
#: text tells less, the wider class stands: ``timeout`` (of an unnamed step), ``connect-failed``,
#: ``handshake-failed``, ``certificate-rejected``.
FailureClass = Literal[
    "none",
    "handshake-stall",
    "no-reply-after-handshake",
    "connect-timeout",
    "connection-refused",
    "connection-reset",
    "name-lookup",
    "tls-alert",
    "certificate-expired",
    "certificate-untrusted",
    "certificate-not-yet-valid",
    "certificate-name-mismatch",
    "certificate-rejected",
    "client-certificate-missing",
    "tls-inspection",
    "not-tls",
    "handshake-failed",
    "timeout",
    "connect-failed",
    "network-unreachable",
    "radius-timeout",
    "clock-not-set",
    "station-key-mismatch",
    "http-error",
    "credential-rejected",
    "unclassified",
]

#: Failures that a lost large packet can cause.
STALLS: frozenset[FailureClass] = frozenset({"handshake-stall", "no-reply-after-handshake"})
#: Words that leave open where it failed, or that are not about the service: other evidence decides.
VAGUE: frozenset[FailureClass] = frozenset(
    {"none", "unclassified", "timeout", "radius-timeout", "station-key-mismatch"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudState:
    """What the device itself says about its cloud connection.

    Attributes:
        service: Name of the service as the device names it.
        server: Address or name the device really uses, or ``""``.
        port: Port the device really uses, or ``None``.
        connected: ``True`` only after a full handshake *and* an application round trip.
        last_failure: Class of the last failure.
        last_error: The device's words.
        last_change_utc: When the state last changed, by the device's clock, or ``""``.
        transport: ``udp`` where no MSS limits it (CAPWAP): such a service is never judged as TCP.
        ports: All ports that the device may use, where it names several; ``port`` is one of them.
        proxy: Address of the device that holds the connection in this one's place (an elected
            RADsec proxy), or ``""``. It may be the device's own.
        path_mtu_bytes: What the device found out about the way (CAPWAP), ``None`` when unknown.
    """

    service: str
    server: str = ""
    port: int | None = None
    connected: bool | None = None
    last_failure: FailureClass = "none"
    last_error: str = ""
    last_change_utc: str = ""
    transport: Literal["tcp", "udp"] = "tcp"
    ports: tuple[int, ...] = ()
    proxy: str = ""
    path_mtu_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushFailure:
    """One failure that a push, a fetch or a client left in a log.

    Attributes:
        failure: Its class. ``none`` stands only last, for a success after all failures.
        service: The log's or the device's own name for what failed, ``""`` where it says none.
        when: As printed.
        at: ``when`` in ISO 8601, without a zone where the log prints local time, and as
            ``--MM-DDTHH:MM:SS`` where it prints no year; ``""`` where it cannot be read.
        command: The line that was sent to read the log.
    """

    failure: FailureClass
    text: str
    service: str = ""
    when: str = ""
    at: str = ""
    command: str = ""
    line: int | None = None


#: What a platform may be able to do or tell, by the kinds of ``NextTest``.
ABILITIES: frozenset[str] = frozenset(
    {
        "interfaces",
        "routes",
        "clamps",
        "cloud",
        "sessions",
        "capture",
        "service-probe",
        "ping",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """Everything read from one device. What was not read or not proven is ``Unknown``.

    Attributes:
        clock_utc: The device's clock, ISO 8601 with a zone: UTC, or local time with its offset.
        dhcp_mtu_bytes: DHCP option 26 as received (AP) or handed out (gateway), where visible.
        policy: Rules of policy routing.
        neighbours: Whom the device sees on its links.
        saved_clamps: The packet filter as it will be after a reboot.
        clamp_semantics: What this platform's clamps do, all versions, from its task book.
        login_needed_small_mss: The login only worked with a small MSS on our own socket.
        login_by_default: It took the account that its vendor ships.
        abilities: Which of :data:`ABILITIES` its task book has on this role: nobody is asked for
            anything else.
    """

    host: str
    site: str
    role: Role
    platform: str
    identity: Fact[Identity] = NOT_COLLECTED
    privilege: Fact[Privilege] = NOT_COLLECTED
    interfaces: Fact[tuple[Interface, ...]] = NOT_COLLECTED
    addresses: Fact[tuple[Address, ...]] = NOT_COLLECTED
    routes: Fact[tuple[Route, ...]] = NOT_COLLECTED
    sessions: Fact[tuple[TcpSession, ...]] = NOT_COLLECTED
    clamps: Fact[Ruleset] = NOT_COLLECTED
    icmp: Fact[IcmpSettings] = NOT_COLLECTED
    cloud: Fact[tuple[CloudState, ...]] = NOT_COLLECTED
    push_log: Fact[tuple[PushFailure, ...]] = NOT_COLLECTED
    dhcp_mtu_bytes: Fact[int] = NOT_COLLECTED
    clock_utc: Fact[str] = NOT_COLLECTED
    policy: Fact[tuple[PolicyRule, ...]] = NOT_COLLECTED
    neighbours: Fact[tuple[Neighbour, ...]] = NOT_COLLECTED
    saved_clamps: Fact[Ruleset] = NOT_COLLECTED
    clamp_semantics: Fact[tuple[ClampSemantics, ...]] = NOT_COLLECTED
    login_needed_small_mss: bool = False
    login_by_default: bool = False
    abilities: frozenset[str] = ABILITIES
