"""One TCP connection, seen at the device and on the WAN side of its gateway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from mtughost.lab.compose import BuiltSite
from mtughost.lab.frames import RST, Frame, Tcp
from mtughost.model.errors import LabError

#: Where the conversation ended, as far as packets can tell.
Stage = Literal["no-syn", "no-syn-ack", "upload-unacknowledged", "ended-acknowledged", "round-trip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """MSS of both SYNs at one point, ``None`` where none was seen."""

    syn_mss_bytes: int | None
    syn_ack_mss_bytes: int | None


class Conversation:
    """One connection, seen at the device and on the WAN side of the gateway.

    Args:
        near: Frames at the device's own interface.
        far: Frames on the WAN side of its gateway.
        site: Whose connection it is.
        port: The client's own port, which tells it from others.
    """

    def __init__(
        self, near: Sequence[Frame], far: Sequence[Frame], site: BuiltSite, port: int
    ) -> None:
        service = site.service
        if service is None:
            raise LabError(f"site {site.label} has no service")
        self._service = service
        self._addresses = {str(ip_address(each)) for each in site.addresses}
        self._near = _first_connection(near, port)
        self._near_all = near
        # NAT may change the port but not the initial sequence number.
        starts = {tcp.sequence for _, tcp in self._near if tcp.is_syn}
        outside = {f.tcp.source_port for f in far if f.tcp and f.tcp.sequence in starts}
        self._far_all = far
        self._far = [
            (frame, frame.tcp)
            for frame in far
            if frame.tcp and {frame.tcp.source_port, frame.tcp.target_port} & outside
        ]
        # A service that moved port numbers into the set would count everything.
        if service.port in outside:
            raise LabError("the client's port equals the service's")

    def at_device(self) -> Handshake:
        """Return the MSS of both SYNs at the device."""
        return _handshake(self._near)

    def at_wan(self) -> Handshake:
        """Return the MSS of both SYNs on the WAN side."""
        return _handshake(self._far)

    def _sent(self) -> list[tuple[Frame, Tcp]]:
        return [
            (frame, tcp)
            for frame, tcp in self._near
            if tcp.target_port == self._service.port and tcp.payload_bytes
        ]

    def upload(self) -> tuple[int, ...]:
        """Return the lengths of the client's data frames, first transmissions only."""
        seen: set[int] = set()
        lengths = []
        for frame, tcp in self._sent():
            if tcp.sequence not in seen:
                lengths.append(frame.length)
            seen.add(tcp.sequence)
        return tuple(lengths)

    def resent(self) -> tuple[int, ...]:
        """Return the lengths of its retransmitted ones."""
        seen: set[int] = set()
        lengths = []
        for frame, tcp in self._sent():
            if tcp.sequence in seen:
                lengths.append(frame.length)
            seen.add(tcp.sequence)
        return tuple(lengths)

    def dont_fragment(self) -> bool | None:
        """Return whether the client's data had DF set."""
        sent = self._sent()
        return any(frame.dont_fragment for frame, _ in sent) if sent else None

    def fragments_on_wan(self) -> int:
        """Count fragments of this connection on the WAN side, both ways."""
        ours = {
            (frame.source, frame.target, frame.identification)
            for frame, _ in self._far
            if frame.is_fragment
        }
        return sum(
            (frame.source, frame.target, frame.identification) in ours
            for frame in self._far_all
            if frame.is_fragment
        )

    def icmp_at_device(self) -> tuple[int, ...]:
        """Return the next-hop MTUs that the device was told."""
        return tuple(
            frame.next_hop_mtu
            for frame in self._near_all
            if frame.next_hop_mtu is not None and frame.quoted_target in self._addresses
        )

    def icmp_at_wan(self) -> tuple[int, ...]:
        """Return the next-hop MTUs that reached the gateway's WAN side."""
        return tuple(
            frame.next_hop_mtu
            for frame in self._far_all
            if frame.next_hop_mtu is not None and frame.quoted_target in self._addresses
        )

    def download_gap(self) -> bool:
        """Say whether packets of the service were missing at the device to the end."""
        got = sorted(
            (tcp.sequence, tcp.sequence + tcp.payload_bytes)
            for _, tcp in self._near
            if tcp.source_port == self._service.port and tcp.payload_bytes
        )
        taken = [tcp.acknowledged for _, tcp in self._near if tcp.target_port == self._service.port]
        return bool(got) and max(end for _, end in got) > max(taken, default=0)

    def resets(self) -> bool:
        """Say whether the far end reset the connection."""
        return any(
            tcp.flags & RST for _, tcp in self._near if tcp.source_port == self._service.port
        )

    def stage(self, *, works: bool) -> Stage:
        """Say where the conversation ended."""
        if works:
            return "round-trip"
        if not any(tcp.is_syn for _, tcp in self._near):
            return "no-syn"
        if not any(tcp.is_syn_ack for _, tcp in self._near):
            return "no-syn-ack"
        heard = max(
            tcp.acknowledged for _, tcp in self._near if tcp.source_port == self._service.port
        )
        lost = [tcp for _, tcp in self._sent() if tcp.sequence + tcp.payload_bytes > heard]
        sent_again = len({tcp.sequence for tcp in lost}) < len(lost)
        return "upload-unacknowledged" if sent_again else "ended-acknowledged"


def _first_connection(frames: Sequence[Frame], port: int) -> list[tuple[Frame, Tcp]]:
    """Return the client's first connection from ``port``; it may use the same port again."""
    found: list[tuple[Frame, Tcp]] = []
    start: int | None = None
    for frame in frames:
        tcp = frame.tcp
        if tcp is None or port not in {tcp.source_port, tcp.target_port}:
            continue
        if tcp.is_syn and start is not None and tcp.sequence != start:
            break
        if tcp.is_syn:
            start = tcp.sequence
        found.append((frame, tcp))
    return found


def _handshake(packets: Sequence[tuple[Frame, Tcp]]) -> Handshake:
    syn = next((tcp.mss_bytes for _, tcp in packets if tcp.is_syn), None)
    syn_ack = next((tcp.mss_bytes for _, tcp in packets if tcp.is_syn_ack), None)
    return Handshake(syn_mss_bytes=syn, syn_ack_mss_bytes=syn_ack)
