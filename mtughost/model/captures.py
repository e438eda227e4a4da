"""What captures alone say: two points put together, connections judged, one verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtughost.model.evidence import CaptureEvidence
from mtughost.model.findings import Finding, NextTest, RuledOut, SiteVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class MssChange:
    """An MSS option that differs between two points.

    Attributes:
        kind: Which handshake packet.
        sent_bytes: Value at the point nearer to its sender, ``None`` where unknown.
        arrived_bytes: Value at the other point.
        handshakes: In how many connections.
        frame: Frame at the other point, of the first one.
    """

    kind: Literal["syn", "syn-ack"]
    sent_bytes: int | None
    arrived_bytes: int | None
    handshakes: int
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPair:
    """Two captures of the same traffic.

    Attributes:
        near: The capture nearer to the clients.
        far: The capture nearer to the servers.
        matched: Handshake packets that both hold.
        ordered_by: What tells which is nearer: ``ttl``, ``round-trip`` or ``""`` (not known).
        clock_offset_s: What the far clock shows beyond the near one; ``None`` where only one
            direction was matched, so that transit time and offset cannot be told apart.
        changes: MSS values that something between the points rewrote.
    """

    near: str
    far: str
    matched: int
    ordered_by: Literal["", "ttl", "round-trip"]
    clock_offset_s: float | None
    changes: tuple[MssChange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionVerdict:
    """One connection, seen at one point or several.

    Attributes:
        captures: Names of the captures that hold it, nearest to the client first.
        findings: Ids of what was found on it.
        sentence: What it shows about packet sizes.
        frames: Frames that prove it, in the first capture.
    """

    client: str
    client_port: int
    server: str
    server_port: int
    captures: tuple[str, ...]
    verdict: SiteVerdict
    findings: tuple[str, ...]
    sentence: str
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureReport:
    """The verdict of captures alone, with no device access.

    Attributes:
        sentence: The verdict in one sentence.
        notes: What limits it: damage, artefacts, what was not followed.
    """

    verdict: SiteVerdict
    sentence: str
    findings: tuple[Finding, ...]
    ruled_out: tuple[RuledOut, ...]
    next_test: NextTest | None
    notes: tuple[str, ...]
    points: tuple[PointPair, ...]
    connections: tuple[ConnectionVerdict, ...]
    captures: tuple[CaptureEvidence, ...]
