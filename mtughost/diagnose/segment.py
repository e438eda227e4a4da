"""What is lost on the segment between access point and gateway, before any router can speak.

A packet that left one end of the segment and never reached the other was lost in between: no clamp,
no fragment and no ICMP of anybody further on has to do with it. So whatever is lost here is no
evidence about the rest of the path.
"""

from __future__ import annotations

from dataclasses import dataclass

from mtughost.diagnose.wire import SMALL_PACKET_BYTES, Seen, Wire, went_on
from mtughost.model.evidence import DIRECTIONS, Direction, Point
from mtughost.model.findings import Evidence

#: A sender that repeats itself less may just have been overtaken by its acknowledgement.
MIN_REPEATS = 2
#: After this time without anything more, what did not come will not come.
SETTLED_S = 1.0

_ENDS: dict[Direction, tuple[Point, Point]] = {
    "up": ("ap", "gateway-lan"),
    "down": ("gateway-lan", "ap"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentLoss:
    """Packets of one direction that leave one end of the segment and never arrive at the other.

    Attributes:
        size_bytes: Smallest packet that is lost like this.
        both_ends: Whether captures at both ends show it, or only the one at the gateway.
        by_size: Whether something smaller with content did get across.
    """

    direction: Direction
    size_bytes: int
    both_ends: bool
    by_size: bool
    cites: tuple[Evidence, ...]


def segment_losses(wire: Wire) -> tuple[SegmentLoss, ...]:
    """Return what the wire shows to be lost on the segment, upwards first."""
    found = (_of_both_ends(wire, d) or _of_one_end(wire, d) for d in DIRECTIONS)
    return tuple(loss for loss in found if loss is not None)


def seen_to_cross(wire: Wire, direction: Direction, size_bytes: int) -> bool:
    """Say whether packets of this size were seen at the end of the segment where they arrive."""
    _, far = _ENDS[direction]
    return any(
        (_largest(s, direction) or 0) >= size_bytes for s in wire.flows if s.capture.point == far
    )


def seen_behind(wire: Wire, gateway: str, size_bytes: int) -> bool:
    """Say whether packets from below so large were seen to have crossed the segment.

    The gateway shows them on one of its sides, cut them into fragments, or loses its own.
    """
    shown = any(
        max(s.flow.largest_seen_up_bytes or 0, s.flow.stalled_up_bytes or 0) >= size_bytes
        for s in wire.flows
        if s.capture.point in {"gateway-lan", "gateway-wan"}
    )
    own = [p for p in wire.pings if p.host == gateway and p.df is not False]
    lost = [p for p in own if not (p.answered or p.local_error) and p.packet_bytes <= size_bytes]
    return shown or bool(wire.fragments_up) or (bool(lost) and any(p.answered for p in own))


def lost_before_wan(wire: Wire) -> bool:
    """Say whether the client's large packets never come by our WAN side, which was watched.

    What leaves there and is sent again is lost further on; what never leaves is not the path's.
    """
    stalled = [s for s in wire.stalled_up if s.capture.point == "gateway-wan"]
    return bool(stalled) and all(_gap_up(s) for s in stalled)


def _of_both_ends(wire: Wire, direction: Direction) -> SegmentLoss | None:
    near, far = _ENDS[direction]
    sent = {
        s.flow.client_port: s
        for s in wire.flows
        if s.capture.point == near and _repeats(s, direction) and not went_on(s.flow)
    }
    pairs = [
        (sent[s.flow.client_port], s)
        for s in wire.flows
        if s.capture.point == far
        and s.flow.client_port in sent
        and _never_came(s, direction, _size(sent[s.flow.client_port], direction) or 0)
    ]
    if not pairs:
        return None
    size = min(_size(here, direction) or 0 for here, _ in pairs)
    by_size = any(_smaller(here, there, direction) for here, there in pairs)
    if size <= SMALL_PACKET_BYTES and not by_size:
        return None  # not even something small gets across: that is no matter of size
    return SegmentLoss(
        direction=direction,
        size_bytes=size,
        both_ends=True,
        by_size=by_size,
        cites=tuple(
            quoted
            for here, there in pairs
            for quoted in (
                here.cite(
                    "stall",
                    f"packets of {_size(here, direction)} bytes leave here again and again, "
                    f"at {near}",
                    direction,
                ),
                there.cite("stall", f"they never arrive, at {far}", direction),
            )
        ),
    )


def _of_one_end(wire: Wire, direction: Direction) -> SegmentLoss | None:
    """Judge by the gateway's LAN side alone, where nobody captured at the access point.

    Upwards a gap that stays open says that the missing packets never came as far as this; downwards
    packets that leave here again and again are not acknowledged by the only device behind it.
    """
    if wire.at("ap"):
        return None
    here = [s for s in wire.flows if s.capture.point == "gateway-lan" and not went_on(s.flow)]
    if direction == "up":
        chosen = [s for s in here if _gap_up(s)]
        sizes = [s.flow.smallest_lost_up_bytes for s in chosen]
        text = "a gap in the access point's flight stays open at gateway-lan already"
    else:
        chosen = [s for s in here if _repeats(s, direction) and s.flow.smallest_lost_down_bytes]
        sizes = [s.flow.stalled_down_bytes for s in chosen]
        text = "packets of the service leave here again and again, at gateway-lan"
    size = min((each for each in sizes if each is not None), default=None)
    if size is None:
        return None
    return SegmentLoss(
        direction=direction,
        size_bytes=size,
        both_ends=False,
        by_size=True,
        cites=tuple(s.cite("stall", text, direction) for s in chosen),
    )


def _smaller(here: Seen, there: Seen, direction: Direction) -> bool:
    """Say whether a smaller packet with content was seen to arrive, or was acknowledged."""
    flow = here.flow
    acked = flow.largest_acked_up_bytes if direction == "up" else flow.largest_acked_down_bytes
    return acked is not None or _largest(there, direction) is not None


def _size(seen: Seen, direction: Direction) -> int | None:
    flow = seen.flow
    return flow.stalled_up_bytes if direction == "up" else flow.stalled_down_bytes


def _largest(seen: Seen, direction: Direction) -> int | None:
    flow = seen.flow
    return flow.largest_seen_up_bytes if direction == "up" else flow.largest_seen_down_bytes


def _repeats(seen: Seen, direction: Direction) -> bool:
    flow = seen.flow
    times = flow.retransmits_up if direction == "up" else flow.retransmits_down
    return times >= MIN_REPEATS and _size(seen, direction) is not None


def _never_came(seen: Seen, direction: Direction, size_bytes: int) -> bool:
    """Say whether this point, which watched from the SYN to the end, saw nothing so large."""
    flow = seen.flow
    if flow.mid_stream or (_largest(seen, direction) or 0) >= size_bytes:
        return False
    if seen.capture.misses:
        return direction == "up" and flow.early_gap_up_bytes is not None
    gap = flow.smallest_lost_up_bytes if direction == "up" else flow.smallest_lost_down_bytes
    ended = flow.closed or bool(flow.reset_by) or flow.silent_s >= SETTLED_S
    return gap is not None or ended


def _gap_up(seen: Seen) -> bool:
    flow = seen.flow
    return (
        not flow.mid_stream
        and flow.smallest_lost_up_bytes is not None
        and flow.stalled_up_bytes is None
        and flow.retransmits_up == 0
    )
