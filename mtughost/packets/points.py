"""Several captures of the same traffic: which packets are the same, who is nearer, whose clock.

A connection is found again by the client's initial sequence number and the server's port: addresses
and the client's port change at NAT, 32 random bits do not. Which point is nearer to the clients
shows in the SYN's time to live, or else in the time between SYN and SYN-ACK, which is longer there
and needs no common clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Literal

from mtughost.model.captures import MssChange, PointPair
from mtughost.model.evidence import CaptureEvidence, FlowSeen, SynSeen

#: (kind, initial sequence number, server port, family)
_SynKey = tuple[str, int, int, str]
#: Routers differ less than this in how long they take.
_SAME_ROUND_TRIP_NS = 50_000


@dataclass(frozen=True, slots=True)
class View:
    """One connection at one point."""

    capture: CaptureEvidence
    flow: FlowSeen


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection at all points that saw it, nearest to the client first."""

    views: tuple[View, ...]

    @property
    def near(self) -> FlowSeen:
        """What the point nearest to the client saw."""
        return self.views[0].flow

    @property
    def far(self) -> FlowSeen:
        """What the point nearest to the server saw."""
        return self.views[-1].flow


def _handshakes(capture: CaptureEvidence) -> dict[_SynKey, SynSeen]:
    """Return the first copy of every handshake packet."""
    found: dict[_SynKey, SynSeen] = {}
    for syn in capture.syns:
        port = syn.destination_port if syn.kind == "syn" else syn.source_port
        found.setdefault((syn.kind, syn.sequence, port, syn.family), syn)
    return found


def match_points(captures: Sequence[CaptureEvidence]) -> tuple[PointPair, ...]:
    """Put every two captures together that hold the same handshakes."""
    tables = [_handshakes(capture) for capture in captures]
    pairs = []
    for (one, first), (other, second) in combinations(zip(captures, tables, strict=True), 2):
        common = [key for key in first if key in second]
        if not any(key[0] == "syn" for key in common):
            continue
        nearer, how = _nearer(first, second, common)
        if nearer == 1:
            one, other, first, second = other, one, second, first  # noqa: PLW2901 - near first
        pairs.append(
            PointPair(
                near=one.host,
                far=other.host,
                matched=len(common),
                ordered_by=how,
                clock_offset_s=_offset_s(first, second, common),
                changes=_changes(first, second, common),
            )
        )
    return tuple(pairs)


def _nearer(
    first: dict[_SynKey, SynSeen], second: dict[_SynKey, SynSeen], common: list[_SynKey]
) -> tuple[int, Literal["", "ttl", "round-trip"]]:
    """Say which of two points is nearer to the clients, 0 or 1, and what tells it."""
    hops = median(first[k].ttl - second[k].ttl for k in common if k[0] == "syn")
    if hops:
        return (0 if hops > 0 else 1), "ttl"
    longer = _round_trip_ns(first) - _round_trip_ns(second)
    if abs(longer) > _SAME_ROUND_TRIP_NS:
        return (0 if longer > 0 else 1), "round-trip"
    return 0, ""


def _round_trip_ns(table: dict[_SynKey, SynSeen]) -> float:
    answers = {
        (s.destination, s.destination_port, s.source, s.source_port): s.when_ns
        for s in table.values()
        if s.kind == "syn-ack"
    }
    times = [
        answers[ends] - s.when_ns
        for s in table.values()
        if s.kind == "syn"
        and (ends := (s.source, s.source_port, s.destination, s.destination_port)) in answers
    ]
    return median(times) if times else 0.0


def _offset_s(
    near: dict[_SynKey, SynSeen], far: dict[_SynKey, SynSeen], common: list[_SynKey]
) -> float | None:
    """Estimate how far the clocks differ, as NTP does: transit times cancel out both ways."""
    out, back = (
        [far[k].when_ns - near[k].when_ns for k in common if k[0] == kind]
        for kind in ("syn", "syn-ack")
    )
    if not out or not back:
        return None
    return round((median(out) + median(back)) / 2e9, 6)


def _changes(
    near: dict[_SynKey, SynSeen], far: dict[_SynKey, SynSeen], common: list[_SynKey]
) -> tuple[MssChange, ...]:
    found: dict[tuple[str, int | None, int | None], list[SynSeen]] = {}
    for key in common:
        sent, arrived = (near[key], far[key]) if key[0] == "syn" else (far[key], near[key])
        # An option that the snaplen cut is unknown, not rewritten.
        if sent.mss_bytes is None or arrived.mss_bytes is None:
            continue
        if sent.mss_bytes != arrived.mss_bytes:
            found.setdefault((key[0], sent.mss_bytes, arrived.mss_bytes), []).append(arrived)
    return tuple(
        MssChange(
            kind="syn" if kind == "syn" else "syn-ack",
            sent_bytes=sent_bytes,
            arrived_bytes=arrived_bytes,
            handshakes=len(syns),
            frame=syns[0].frame,
        )
        for (kind, sent_bytes, arrived_bytes), syns in found.items()
    )


def join_connections(
    captures: Sequence[CaptureEvidence], pairs: Iterable[PointPair]
) -> tuple[Connection, ...]:
    """Put the views of each connection together, in the order of the points."""
    rank = _ranks(captures, pairs)
    views: dict[tuple[object, ...], list[View]] = {}
    for number, capture in enumerate(captures):
        for place, flow in enumerate(capture.flows):
            key: tuple[object, ...] = (flow.syn_sequence, flow.server_port, flow.family)
            if flow.syn_sequence is None:
                key = (number, place)
            views.setdefault(key, []).append(View(capture, flow))
    return tuple(
        Connection(tuple(sorted(seen, key=lambda view: rank[view.capture.host])))
        for seen in views.values()
    )


def _ranks(captures: Sequence[CaptureEvidence], pairs: Iterable[PointPair]) -> dict[str, int]:
    """Count for each capture how many others are nearer to the clients."""
    rank = {capture.host: 0 for capture in captures}
    for pair in pairs:
        rank[pair.far] += 1
    return rank
