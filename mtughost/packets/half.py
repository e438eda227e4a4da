"""One direction of one TCP connection: what was sent, what arrived, what never did.

The rules come from what real captures teach:

* a lost size needs a segment that was sent at least twice and never acknowledged, *and* something
  smaller that got through behind it, *and* no delivery of that size before or after;
* a packet larger than the peer's MSS allows is offload, not a size on the wire;
* the same segment twice within a moment is a second tap or a mirrored port, not a retransmission;
* a segment that was sent again in smaller packets says nothing about its own delivery.

Where the loss happened *before* this point, the lost packets are not seen at all: then the gap that
the receiver keeps asking for bounds their size.
"""

from __future__ import annotations

from collections import deque

from mtughost.packets.ranges import Fate, Gap, Sent
from mtughost.packets.segment import FIN, RST, SYN, Segment

#: Copies of one frame with the same IP id: two taps, or both sides of a router.
DUPLICATE_SAME_ID_NS = 100_000_000
#: Without an IP id (0 or IPv6) only near-identical times tell a copy from a retransmission.
DUPLICATE_NO_ID_NS = 2_000_000
#: A segment that comes later than this after the ones behind it was not just reordered.
REORDERED_NS = 3_000_000
#: What is sent this long after an ICMP message was not on its way when the message came.
HEARD_NS = 150_000_000
_NEARLY_FULL_BYTES = 24

#: What Ethernet carries, for connections whose handshake is not in the capture.
USUAL_MSS = 1460

FOREVER = 1 << 62

_WRAP = 1 << 32
_HALF_WRAP = 1 << 31
_MASK = _WRAP - 1
#: No window is larger than this (RFC 7323); what lies further away is garbage.
_MAX_JUMP = 1 << 30
MAX_OUTSTANDING = 4096
_MAX_GAPS = 256
#: Copies come a few packets after the original; each one kept costs 300 bytes per connection.
_RECENT = 16
_AGAIN_FRAMES = 4


class Half:
    """Everything sent by one end of a connection.

    Attributes:
        next: First sequence number after everything seen, unwrapped.
        acked: Highest acknowledgement from the peer, unwrapped.
        peer_mss: MSS that the peer announced, as this point saw it.
        offload_bytes: Largest packet that must be an offload artefact, 0 for none.
        indifferent_to: Data in order before this position tells nobody anything.
        told_bytes: Smallest MTU that ICMP told this end of, 0 for none.
        fragmented: Packets that came as IP fragments and were put together.
        defied: Larger packets that it sent all the same, when it must have heard.
        obeyed: Full packets that kept to it.
    """

    __slots__ = (
        "ack32",
        "acked",
        "again_frames",
        "defied",
        "df_value",
        "duplicates",
        "fates",
        "fin",
        "first_segment_seen",
        "fragmented",
        "gaps",
        "indifferent_to",
        "largest",
        "largest_frame",
        "largest_seen",
        "last_ack",
        "next",
        "next32",
        "obeyed",
        "offload_bytes",
        "options",
        "outstanding",
        "overhead",
        "peer_mss",
        "recent",
        "resent_smaller",
        "retransmits",
        "sack_frame",
        "sack_high",
        "syn_mss",
        "syn_seen",
        "told_bytes",
        "told_ns",
    )

    def __init__(self) -> None:
        self.first_segment_seen = False
        self.next = 0
        self.next32 = 0
        self.acked = 0
        self.ack32 = 0
        self.syn_seen = False
        self.syn_mss: int | None = None
        self.peer_mss: int | None = None
        self.outstanding: deque[Sent] = deque()
        self.fates: dict[int, Fate] = {}  # by the frame of the range
        self.recent: deque[Sent] = deque(maxlen=_RECENT)
        self.gaps: list[Gap] = []
        self.largest = 0
        self.largest_frame = 0
        self.largest_seen = 0
        self.retransmits = 0
        self.again_frames: list[int] = []
        self.duplicates = 0
        self.resent_smaller: tuple[int, int] | None = None
        self.offload_bytes = 0
        self.overhead = 0
        self.options = 0
        self.df_value: bool | None = None
        self.sack_high = 0
        self.sack_frame = 0
        self.last_ack = (-1, 0, 0, -1)  # position, IP id, time, window
        self.fin = False
        self.indifferent_to = 0
        self.fragmented = 0
        self.told_bytes = 0
        self.told_ns = 0
        self.defied = 0
        self.obeyed = 0

    @property
    def calm(self) -> bool:
        """Whether data in order and its acknowledgement need no more than counting."""
        return self.first_segment_seen and not self.gaps and not self.told_bytes

    def begin(self, seq: int) -> None:
        """Anchor the sequence numbers: with the SYN's, or mid-stream with the first seen."""
        self.first_segment_seen = True
        # Far from zero, so that unwrapped numbers stay positive whatever comes.
        self._advance(seq + _WRAP)
        self.acked, self.ack32 = self.next, self.next32

    def _advance(self, position: int) -> None:
        self.next, self.next32 = position, position & _MASK

    def unwrap(self, seq: int) -> int | None:
        """Return the 64-bit position of ``seq`` near the newest one, ``None`` for garbage."""
        ahead = (seq - self.next + _HALF_WRAP) % _WRAP - _HALF_WRAP
        return self.next + ahead if -_MAX_JUMP < ahead < _MAX_JUMP else None

    def be_told(self, mtu_bytes: int, when_ns: int) -> None:
        """Note an ICMP "too big" about packets of this end."""
        if not self.told_bytes or mtu_bytes < self.told_bytes:
            self.told_bytes, self.told_ns = mtu_bytes, when_ns
            self.defied = self.obeyed = 0

    @property
    def honoured(self) -> bool | None:
        """Whether ICMP changed what this end sends; ``None`` where nothing shows it."""
        if self.defied:
            return False
        return True if self.obeyed else None

    # -- sending ---------------------------------------------------------------------------

    def send(self, segment: Segment) -> bool:
        """Take a data segment of this end; ``False`` when it is a second copy of a frame."""
        start = self.unwrap(segment.seq)
        if start is None:
            return True
        end = start + segment.payload_bytes
        if start >= self.next:
            if start > self.next and len(self.gaps) < _MAX_GAPS:
                self.gaps.append(Gap(self.next, start, segment.when_ns, segment.frame))
            self._append(start, end, segment)
            self._advance(end)
        elif not self._send_again(start, end, segment):
            return False
        self.remember(start, end, segment)
        return True

    def remember(self, start: int, end: int, segment: Segment) -> None:
        """Keep a frame for a while, so that a second copy of it is known again."""
        self.recent.append(
            Sent(start, end, 0, segment.when_ns, segment.frame, segment.ip_id, segment.ack)
        )

    def _size(self, segment: Segment) -> int:
        """Return the IP size, or 0 where it cannot have been on the wire like this."""
        size = segment.ip_bytes
        limit = self.peer_mss if self.peer_mss is not None else USUAL_MSS
        if segment.payload_bytes + segment.options_bytes > limit:
            self.offload_bytes = max(self.offload_bytes, size)
            return 0
        if size > self.largest_seen:
            self.largest_seen, self.df_value = size, segment.df
        if self.told_bytes:
            if size <= self.told_bytes:
                # Smaller packets prove nothing; TCP fills them up to the last byte or option.
                self.obeyed += size > self.told_bytes - _NEARLY_FULL_BYTES
            elif segment.when_ns - self.told_ns > HEARD_NS:
                self.defied += 1
        self.overhead = size - segment.payload_bytes
        self.options = segment.options_bytes
        return size

    def _append(self, start: int, end: int, segment: Segment) -> Sent:
        size = self._size(segment)
        sent = Sent(start, end, size, segment.when_ns, segment.frame, segment.ip_id, segment.ack)
        queue = self.outstanding
        if queue and start < queue[-1].start:
            place = next(i for i, other in enumerate(queue) if other.start > start)
            queue.insert(place, sent)
        else:
            queue.append(sent)
        if len(queue) > MAX_OUTSTANDING:
            self._forget(queue.popleft())  # acknowledgements are not in this capture
        return sent

    def forget_old(self, kept: int) -> None:
        """Forget the oldest unacknowledged packets."""
        while len(self.outstanding) > kept:
            self._forget(self.outstanding.popleft())

    def _fate(self, sent: Sent) -> Fate:
        fate = self.fates.get(sent.frame)
        if fate is None:
            fate = self.fates[sent.frame] = Fate(1, sent.when_ns, sent.frame, sent.frame)
        return fate

    def _forget(self, sent: Sent) -> None:
        if self.fates:
            self.fates.pop(sent.frame, None)

    def is_copy(self, start: int, end: int, segment: Segment) -> bool:
        """Say whether the same frame was captured a moment ago (two taps, mirrored port)."""
        for old in reversed(self.recent):
            if old.start != start or old.end != end:
                continue
            if old.ip_id != segment.ip_id:
                return False
            limit = DUPLICATE_SAME_ID_NS if old.ip_id else DUPLICATE_NO_ID_NS
            return old.ack == segment.ack and segment.when_ns - old.when_ns <= limit
        return False

    def _send_again(self, start: int, end: int, segment: Segment) -> bool:
        if self.is_copy(start, end, segment):
            self.duplicates += 1
            return False
        if segment.payload_bytes == 1 and end <= self.acked:
            return True  # a keep-alive carries one byte that was acknowledged long ago
        if end > self.next:
            self._advance(end)
        opened_ns = self._fill_gaps(start, end)
        if opened_ns is not None:
            if segment.when_ns - opened_ns > REORDERED_NS:
                self._again(segment)
            self._append(start, end, segment)
            return True
        self._again(segment)
        self._resend(start, end, segment)
        return True

    def _again(self, segment: Segment) -> None:
        self.retransmits += 1
        if len(self.again_frames) < _AGAIN_FRAMES:
            self.again_frames.append(segment.frame)

    def _fill_gaps(self, start: int, end: int) -> int | None:
        """Take ``[start, end)`` out of the gaps: reordered, or a retransmission first seen now.

        Returns:
            When the first of the gaps opened, ``None`` when none was touched.
        """
        touched = [gap.since_ns for gap in self.gaps if gap.start < end and gap.end > start]
        if not touched:
            return None
        rest: list[Gap] = []
        for gap in self.gaps:
            if gap.end <= start or gap.start >= end:
                rest.append(gap)
                continue
            if gap.start < start:
                rest.append(Gap(gap.start, start, gap.since_ns, gap.frame))
            if gap.end > end:
                rest.append(Gap(end, gap.end, gap.since_ns, gap.frame))
        self.gaps = rest
        return min(touched)

    def _resend(self, start: int, end: int, segment: Segment) -> None:
        size = self._size(segment)
        carried: Sent | None = None
        replaced = False
        for sent in self.outstanding:
            if sent.start >= end:
                break
            if sent.end <= start:
                continue
            if sent.start == start and sent.end == end:
                fate = self._fate(sent)
                fate.count += 1
                fate.last_frame = segment.frame
                return
            if sent.start <= start and end <= sent.end and not sent.size:
                # A super-frame went out as packets of this size, so this is their second time.
                carried = sent
            elif sent.start == start and end < sent.end and size and not self.resent_smaller:
                self.resent_smaller = (sent.size, size)
            replaced = True
        old = self._fate(carried) if carried is not None else None
        if replaced:
            # Cut up differently now: what arrives of these bytes proves nothing of the old sizes.
            self._cut_out(start, end)
        if end > self.acked:
            again = self._append(start, end, segment)
            if old is not None:
                fate = self._fate(again)
                fate.count += old.count
                fate.first_ns, fate.first_frame = old.first_ns, old.first_frame

    def _cut_out(self, start: int, end: int) -> None:
        kept: deque[Sent] = deque()
        for sent in self.outstanding:
            if sent.end <= start or sent.start >= end:
                kept.append(sent)
            else:
                self._forget(sent)
        self.outstanding = kept

    # -- being acknowledged ----------------------------------------------------------------

    def acknowledge(self, segment: Segment) -> None:
        """Take the acknowledgement that a segment of the *peer* carries."""
        position = self.unwrap(segment.ack)
        if position is None:
            return
        if position > self.acked:
            self.acked, self.ack32 = position, position & _MASK
            self.arrived(position)
            if position > self.next:
                self._advance(position)  # acknowledged, though never seen here
            if self.gaps:
                self.gaps = [gap for gap in self.gaps if gap.end > position]
        elif position == self.acked and self.outstanding and self._is_duplicate_ack(segment):
            self._fate(self.outstanding[0]).dup_acks += 1
        self.last_ack = (position, segment.ip_id, segment.when_ns, segment.window)
        if segment.sack:
            self._selective(segment)

    def arrived(self, position: int) -> None:
        """Credit everything that was sent before ``position``."""
        queue = self.outstanding
        while queue and queue[0].end <= position:
            sent = queue.popleft()
            self._credit(sent)
            self._forget(sent)

    def _is_duplicate_ack(self, segment: Segment) -> bool:
        """Apply RFC 5681 section 2, and refuse a second copy of the same frame."""
        position, ip_id, when_ns, window = self.last_ack
        copied = ip_id == segment.ip_id and (
            ip_id or segment.when_ns - when_ns <= DUPLICATE_NO_ID_NS
        )
        return (
            position == self.acked
            and not segment.payload_bytes
            and segment.window == window
            and not segment.flags & (FIN | SYN | RST)
            and not copied
        )

    def _credit(self, sent: Sent) -> None:
        if sent.size > self.largest:
            fate = self.fates.get(sent.frame)
            self.largest = sent.size
            self.largest_frame = fate.last_frame if fate is not None else sent.frame

    def _selective(self, segment: Segment) -> None:
        for left, right in segment.sack:
            low, high = self.unwrap(left), self.unwrap(right)
            # A block at or below the acknowledgement reports a duplicate (RFC 2883).
            if low is None or high is None or high <= self.acked:
                continue
            if high > self.sack_high:
                self.sack_high, self.sack_frame = high, segment.frame
            for sent in self.outstanding:
                if sent.start >= high:
                    break
                if low <= sent.start and sent.end <= high:
                    fate = self._fate(sent)
                    if not fate.sacked:
                        fate.sacked = True
                        self._credit(sent)
