"""The service probe: ClientHellos of chosen length through the device's own TCP (DESIGN section 6).

At most three connections without a bisect: a small hello as control, one that fills the largest
packet that the device sends there, and then either one repetition, if that timed out, or one hello
that needs two segments, where the task book has one. The bisect then narrows the sizes down within
one segment. The probe judges nothing: it returns what was answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from mtughost.collect.basis import basis_of
from mtughost.collect.hello import smallest_hello
from mtughost.collect.probe_dial import (
    Attempt,
    Dialer,
    ForwardDialer,
    ProgramMissingError,
    ShellDialer,
    SocketState,
)
from mtughost.content.book import Book
from mtughost.model.device import Family
from mtughost.model.evidence import ProbeEvidence, ProbeStep
from mtughost.model.inventory import Device, Service
from mtughost.model.session import Clock, ForwardingRefusedError, Session

#: Small enough for any path (IPv6 demands 1280), large enough for every hello we build.
CONTROL_HELLO_BYTES = 300
#: What Ethernet carries; a larger interface MTU does not make the service's path larger.
USUAL_MTU_BYTES = 1500
#: PPPoE (RFC 2516), by far the most common MTU below 1500: tried first, so that two connections
#: settle most bisects.
LIKELY_MTU_BYTES = 1492

_BUDGET_S = 9.5
_CONTROL_WAIT_S = 3.0
_TIMESTAMPS_BYTES = 12
_IPV6_EXTRA_BYTES = 20
_FIXED_HEADERS_BYTES = 40
#: Linux gives an orphaned socket eight retransmissions: 0.2 s doubled eight times.
_ORPHAN_S = 100


def probe_service(
    session: Session,
    book: Book,
    device: Device,
    service: Service,
    *,
    bisect: bool,
    ap_mtu_bytes: int | None,
    clock: Clock,
) -> ProbeEvidence:
    """Probe one service from one device. Takes less than 10 s.

    Args:
        session: An open login on the device.
        book: Its task book; ``probe:`` says what may be used.
        device: The device.
        service: What to connect to.
        bisect: Whether to narrow down ``[largest delivered, smallest lost]`` to one byte.
        ap_mtu_bytes: MTU of the device's own interface, ``None`` when unknown (1500 is used).
        clock: Time.

    Returns:
        The steps in order. ``unavailable`` says why there are none; a control that times out too
        means that size plays no part.

    Raises:
        DeviceError: the login was lost.
    """
    spec = book.probe
    if spec is None:
        return _unavailable(device, service, "the platform's task book has no probe")
    dialers: list[Dialer] = []
    if spec.via == "direct-tcpip":
        dialers.append(ForwardDialer(session, book, service, clock))
    dialers += [
        ShellDialer(session, book, service, clock, command_id=command_id)
        for command_id in spec.shell
    ]
    reasons = []
    for dialer in dialers:
        sizes = _Sizes(service, spec.header_bytes, ap_mtu_bytes)
        run = _Run(dialer, sizes, clock, split_hello_bytes=spec.split_hello_bytes)
        try:
            run.all(bisect=bisect)
        except ForwardingRefusedError as error:
            reasons.append(f"port forwarding is refused ({error})")
            continue
        except ProgramMissingError as error:
            reasons.append(f"the program of {error} is not on the device")
            continue
        return ProbeEvidence(
            host=device.name,
            service=service.name,
            family=sizes.family,
            basis=basis_of(device),
            via=dialer.via,
            steps=tuple(run.steps),
            leaves=(*spec.leaves, *_left_behind(run.steps)),
        )
    why = "; ".join(reasons) or "the task book allows no way to connect from this device"
    return _unavailable(device, service, why)


def _unavailable(device: Device, service: Service, why: str) -> ProbeEvidence:
    return ProbeEvidence(
        host=device.name,
        service=service.name,
        family=_family(service.host),
        basis=basis_of(device),
        via="",
        steps=(),
        unavailable=why,
    )


def _family(host: str) -> Family:
    try:
        return "ipv6" if ip_address(host).version == 6 else "ipv4"  # noqa: PLR2004 - IP version
    except ValueError:
        return "ipv4"  # a name: the device chooses, and IPv4 headers are the smaller claim


def _left_behind(steps: list[ProbeStep]) -> tuple[str, ...]:
    """Add to the book's general words what these very steps left."""
    left = []
    if lost := sum(step.outcome == "timeout" for step in steps):
        left.append(
            f"{lost} closed socket(s) still retransmitting their hello, for up to about "
            f"{_ORPHAN_S} s (net.ipv4.tcp_orphan_retries: 8 unless set; with 3 about 7 s)"
        )
    if any("path MTU" in step.detail for step in steps):
        left.append(
            "a path-MTU entry in the device's route cache, for up to 600 s, if it was not there "
            "before"
        )
    return tuple(left)


@dataclass(slots=True)
class _Sizes:
    """From hello lengths to packet sizes; exact once the device's socket was read.

    Attributes:
        own_mtu_bytes: MTU of the device's own interface, ``None`` where it is not known.
        mtu_bytes: Packet that the largest hello should fill.
    """

    service: Service
    header_bytes: int
    own_mtu_bytes: int | None
    mtu_bytes: int = field(init=False)
    family: Family = field(init=False)
    send_mss_bytes: int | None = None

    def __post_init__(self) -> None:
        self.mtu_bytes = min(self.own_mtu_bytes or USUAL_MTU_BYTES, USUAL_MTU_BYTES)
        self.family = _family(self.service.host)
        if self.family == "ipv6":
            self.header_bytes += _IPV6_EXTRA_BYTES

    def learn(self, socket: SocketState | None) -> None:
        """Take what the kernel says: the send MSS, and whether timestamps are in the headers."""
        if socket is None:
            return
        self.send_mss_bytes = socket.send_mss_bytes
        fixed = _FIXED_HEADERS_BYTES + (_IPV6_EXTRA_BYTES if self.family == "ipv6" else 0)
        options = {
            mtu - fixed - (socket.advertised_mss_bytes or 0)
            for mtu in (socket.path_mtu_bytes, self.mtu_bytes)
            if mtu is not None
        }
        if socket.timestamps or _TIMESTAMPS_BYTES in options:
            self.header_bytes = fixed + _TIMESTAMPS_BYTES
        elif 0 in options:
            self.header_bytes = fixed

    @property
    def largest_packet_bytes(self) -> int:
        """The largest packet that the device sends to this service as one segment."""
        if self.send_mss_bytes is None:
            return self.mtu_bytes
        return min(self.mtu_bytes, self.send_mss_bytes + self.header_bytes)

    @property
    def control_bytes(self) -> int:
        """Length of the control hello."""
        return max(CONTROL_HELLO_BYTES, smallest_hello(self.service.host))

    def hello_bytes(self, packet_bytes: int) -> int:
        """Return the length of the hello that fills a packet of this size."""
        return packet_bytes - self.header_bytes

    def segments(self, hello_bytes: int, socket: SocketState | None) -> int:
        """Return how many segments the hello took."""
        mss = socket.send_mss_bytes if socket else self._segment_bytes
        return 1 if mss is None else max(1, -(-hello_bytes // mss))

    def is_split(self, hello_bytes: int) -> bool:
        """Say whether a hello certainly needs more than one segment."""
        return self.segments(hello_bytes, None) > 1

    @property
    def _segment_bytes(self) -> int | None:
        """The most that one segment can carry: by the device's socket, else by its MTU."""
        if self.send_mss_bytes is not None or self.own_mtu_bytes is None:
            return self.send_mss_bytes
        return self.own_mtu_bytes - self.header_bytes


class _Run:
    """One probe over one way to connect."""

    def __init__(
        self, dialer: Dialer, sizes: _Sizes, clock: Clock, *, split_hello_bytes: int = 0
    ) -> None:
        self.steps: list[ProbeStep] = []
        self._split_hello_bytes = split_hello_bytes
        self._dialer = dialer
        self._sizes = sizes
        self._clock = clock
        self._end_s = clock.monotonic_s() + _BUDGET_S
        self._control_s = 0.0

    def all(self, *, bisect: bool) -> None:
        """Control and full packet; then two packets, or the repetition and the bisect."""
        if not self._control():
            return
        largest = self._sizes.largest_packet_bytes
        smallest = self._sizes.control_bytes + self._sizes.header_bytes
        wait_s = min(max(4 * self._control_s + 0.5, 1.0), 2.5)
        if largest <= smallest:
            return
        whole = self._answered(largest, wait_s)
        if whole:
            self._several_segments(wait_s, tries=2 if bisect else 1)
        # The first one may have been lost by chance.
        elif whole is False and self._answered(largest, wait_s) is False and bisect:
            self._bisect(smallest, largest)

    def _several_segments(self, wait_s: float, *, tries: int) -> None:
        """Send a hello that no single segment can hold, after a full one was answered."""
        hello_bytes = self._split_hello_bytes
        if not hello_bytes or not self._sizes.is_split(hello_bytes):
            return
        for _ in range(tries):
            if self._is_answered(hello_bytes, wait_s) is not False:
                return

    def _control(self) -> bool:
        """Send the small hello; again after a time-out, so that one lost packet decides nothing."""
        for _ in range(2):
            attempt = self._dialer.attempt(self._sizes.control_bytes, _CONTROL_WAIT_S)
            self._sizes.learn(attempt.socket)
            self._note(self._sizes.control_bytes, attempt)
            if attempt.outcome != "timeout":
                self._control_s = attempt.duration_s
                return attempt.outcome in ("reply", "alert")
        return False

    def _answered(self, packet_bytes: int, wait_s: float) -> bool | None:
        """Say whether a hello that fills this packet was answered; ``None``: not a clear case."""
        return self._is_answered(self._sizes.hello_bytes(packet_bytes), wait_s)

    def _is_answered(self, hello_bytes: int, wait_s: float) -> bool | None:
        attempt = self._dialer.attempt(hello_bytes, wait_s)
        self._note(hello_bytes, attempt)
        if attempt.outcome in ("reply", "alert"):
            return True
        return False if attempt.outcome == "timeout" else None

    def _note(self, hello_bytes: int, attempt: Attempt) -> None:
        socket = attempt.socket
        words = [attempt.detail] if attempt.detail else []
        if socket is not None:
            words.append(f"the device sends segments of up to {socket.send_mss_bytes} bytes")
            if socket.path_mtu_bytes and socket.path_mtu_bytes < self._sizes.mtu_bytes:
                words.append(f"it believes in a path MTU of {socket.path_mtu_bytes}")
            if socket.retransmits:
                words.append(f"{socket.retransmits} retransmissions")
        self.steps.append(
            ProbeStep(
                hello_bytes=hello_bytes,
                packet_bytes=hello_bytes + self._sizes.header_bytes,
                segments=self._sizes.segments(hello_bytes, socket),
                outcome=attempt.outcome,
                detail="; ".join(words),
                duration_s=round(attempt.duration_s, 3),
            )
        )

    def _bisect(self, delivered: int, lost: int) -> None:
        """Narrow the bracket to one byte; stop at the time limit or at anything unclear."""
        wait_s = min(max(3 * self._control_s + 0.35, 0.5), 1.5)
        twice = {lost}  # sizes whose loss was seen twice
        while self._clock.monotonic_s() + wait_s < self._end_s:
            if lost - delivered > 1:
                size = _next_size(delivered, lost)
            elif lost not in twice:
                size = lost  # one lost packet must not become the edge
            else:
                return
            answered = self._answered(size, wait_s)
            if answered is None:
                return
            if not answered:
                if size == lost:
                    twice.add(size)
                lost = size
            else:
                delivered = size
                if size == lost:
                    lost = min(seen for seen in twice if seen > delivered)


def _next_size(delivered: int, lost: int) -> int:
    if delivered < LIKELY_MTU_BYTES < lost:
        return LIKELY_MTU_BYTES
    if delivered == LIKELY_MTU_BYTES:
        return LIKELY_MTU_BYTES + 1
    return (delivered + lost) // 2
