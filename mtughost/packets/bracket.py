"""What one direction proves at the end: [largest delivered, smallest lost], and the frames."""

from __future__ import annotations

from mtughost.packets.half import USUAL_MSS, Half
from mtughost.packets.ranges import Bracket

#: A packet that was sent once may just be on its way.
MIN_SENT = 2
#: A loss must have lasted this long: two retransmissions of any stack.
SETTLED_NS = 500_000_000
GAP_SETTLED_NS = 1_000_000_000


def bracket_of(half: Half, end_ns: int) -> Bracket:
    """Judge this direction at the end of the capture (``end_ns``: time of its last frame)."""
    lost: list[tuple[int, tuple[int, ...]]] = []
    stalled: list[tuple[int, int, int]] = []
    for sent in half.outstanding if half.fates else ():
        fate = half.fates.get(sent.frame)
        if (
            fate is None
            or fate.sacked
            or not sent.size
            or fate.count < MIN_SENT
            or end_ns - fate.first_ns < SETTLED_NS
        ):
            continue
        stalled.append((sent.size, fate.first_frame, fate.last_frame))
        if half.sack_high >= sent.end or fate.dup_acks:
            frames = (fate.first_frame, fate.last_frame, half.sack_frame)
            lost.append((sent.size, frames))
    lost += _lost_in_gaps(half, end_ns)
    smallest: int = 0
    proof: tuple[int, ...] = ()
    if lost and half.largest:
        smallest, proof = min(lost)
    if half.largest >= smallest:
        smallest, proof = 0, ()  # that very size was delivered: not a matter of size
    lost_frame = proof[0] if proof else None
    if stalled:
        lost_frame = lost_frame or min(stalled)[1]
        proof = (*proof, *min(stalled)[1:])
    return Bracket(
        largest_delivered=half.largest or None,
        smallest_lost=smallest or None,
        stalled=min(stalled)[0] if stalled else None,
        frames=tuple(sorted({f for f in (*proof, *half.again_frames, half.largest_frame) if f})),
        lost_frame=lost_frame,
    )


def _lost_in_gaps(half: Half, end_ns: int) -> list[tuple[int, tuple[int, ...]]]:
    """Bound the size of packets that never came here: no larger than the MSS, nor the gap."""
    found: list[tuple[int, tuple[int, ...]]] = []
    most = (half.peer_mss if half.peer_mss is not None else USUAL_MSS) - half.options
    for gap in half.gaps:
        # The receiver must have spoken after the gap opened, and still ask for it.
        missed = half.acked <= gap.start and half.last_ack[2] >= gap.since_ns
        if missed and half.overhead and end_ns - gap.since_ns >= GAP_SETTLED_NS:
            found.append((min(gap.end - gap.start, most) + half.overhead, (gap.frame,)))
    return found
