"""One connection at all points that saw it, as the rules ask for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mtughost.model.captures import PointPair
from mtughost.model.device import MSS_OVERHEAD_BYTES
from mtughost.model.evidence import Direction, FlowSeen
from mtughost.model.findings import Evidence, FlowKey
from mtughost.packets.points import Connection, View

#: A packet that crosses every path, IPv6 included.
SMALL_BYTES = 1280


@dataclass(frozen=True, slots=True)
class Case:
    """One connection and what is known of the points that saw it."""

    connection: Connection
    pairs: tuple[PointPair, ...]

    @property
    def near(self) -> FlowSeen:
        """What the point nearest to the client saw."""
        return self.connection.near

    @property
    def far(self) -> FlowSeen:
        """What the point nearest to the server saw."""
        return self.connection.far

    @property
    def name(self) -> str:
        """Name the service."""
        server = f"[{self.far.server}]" if ":" in self.far.server else self.far.server
        return f"{server}:{self.far.server_port}"

    def lost(self, direction: Direction) -> int | None:
        """Return the smallest lost size in one direction, unless that size was delivered."""
        sizes = [size for v in self.connection.views if (size := lost_of(v.flow, direction))]
        return min(sizes) if sizes and min(sizes) > self.delivered(direction) else None

    def delivered(self, direction: Direction) -> int:
        """Return the largest packet that was acknowledged, 0 for none."""
        flows = (view.flow for view in self.connection.views)
        return max(
            (f.largest_acked_up_bytes if direction == "up" else f.largest_acked_down_bytes) or 0
            for f in flows
        )

    def limit(self, direction: Direction) -> int | None:
        """Return the MSS that rules one direction, as it reached the sender; ``None`` unknown."""
        return self.near.syn_ack_mss_bytes if direction == "up" else self.far.syn_mss_bytes

    def full(self, direction: Direction) -> int:
        """Return the size from which a packet counts as full."""
        mss = self.limit(direction)
        full = (mss if mss is not None else 1460) + MSS_OVERHEAD_BYTES[self.near.family]
        return min(full - 40, SMALL_BYTES + 100)

    def key(self, direction: Direction) -> FlowKey:
        """Name the flow for a finding."""
        return FlowKey(
            service=self.name,
            ap=self.near.client,
            gateway="",
            egress="",
            family=self.near.family,
            direction=direction,
        )

    def cites(self, kind: str, words: Callable[[FlowSeen], str]) -> tuple[Evidence, ...]:
        """Quote every point that has something to say."""
        return tuple(
            cite(view, kind, text) for view in self.connection.views if (text := words(view.flow))
        )

    def changed(self, kind: str) -> bool:
        """Whether a handshake packet of this kind was rewritten between two points."""
        names = {view.capture.host for view in self.connection.views}
        return any(
            change.kind == kind
            for pair in self.pairs
            if {pair.near, pair.far} <= names
            for change in pair.changes
        )

    def sender(self, direction: Direction) -> str:
        """Name the end that sends in one direction."""
        return self.near.client if direction == "up" else self.name


def cite(view: View, kind: str, value: str, frame: int | None = None) -> Evidence:
    """Quote one point."""
    if frame is None and view.flow.frames:
        frame = view.flow.frames[-1]
    return Evidence(
        kind=kind,
        basis=view.capture.basis,
        host=view.capture.host,
        value=value,
        command=view.capture.command or None,
        frame=frame,
    )


def lost_of(flow: FlowSeen, direction: Direction) -> int | None:
    """Return the smallest lost size that one point states."""
    return flow.smallest_lost_up_bytes if direction == "up" else flow.smallest_lost_down_bytes


def told_bytes(case: Case, direction: Direction) -> int | None:
    """Return the smallest MTU that ICMP told the sender of."""
    flows = [view.flow for view in case.connection.views]
    told = [f.told_up_bytes if direction == "up" else f.told_down_bytes for f in flows]
    return min((mtu for mtu in told if mtu), default=None)
