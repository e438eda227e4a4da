"""Does the service work, and if not, how does it fail? From the AP's words and from the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtughost.diagnose.ages import is_recent
from mtughost.diagnose.evidence import SiteEvidence, cite, told
from mtughost.diagnose.flows import Flow
from mtughost.diagnose.segment import SegmentLoss, segment_losses
from mtughost.diagnose.services import match_state
from mtughost.diagnose.wire import SMALL_PACKET_BYTES, Wire, went_on
from mtughost.model.basis import Known, value_or_none
from mtughost.model.device import STALLS, VAGUE, DeviceFacts, FailureClass
from mtughost.model.evidence import Direction, FlowSeen
from mtughost.model.findings import Evidence

State = Literal["working", "failing", "unknown"]

#: A connection that is open and idle this long in the middle of a handshake waits in vain: what a
#: service sends again comes sooner.
SILENT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """How one service of one AP fares.

    Attributes:
        state: ``working`` only when the AP says so after a full handshake and a round trip, and
            nothing on the wire says otherwise.
        failure: Class of the failure by the AP's own words, ``none`` when it said nothing.
        text: The AP's words.
        cites: Where it said so.
        up_lost: Size decides upwards: large packets are lost, smaller ones get through.
        down_lost: The same for the service's packets.
        small_lost: Even a small packet after the handshake is never acknowledged.
        silent: Everything was acknowledged both ways, and then nothing came.
        answered: Whether the service answers TCP.
        refuted: Why a loss on the wire is not a matter of size, or ``""``.
        wire_cites: What the wire showed.
        segment: What is lost between AP and gateway already.
    """

    state: State
    failure: FailureClass = "none"
    text: str = ""
    cites: tuple[Evidence, ...] = ()
    up_lost: bool = False
    down_lost: bool = False
    small_lost: bool = False
    silent: bool = False
    refuted: str = ""
    answered: bool = False
    wire_cites: tuple[Evidence, ...] = ()
    segment: tuple[SegmentLoss, ...] = ()

    @property
    def stalls(self) -> bool:
        """Whether the AP's words fit lost large packets.

        Words that name no cause fit, too, where TCP itself is answered: under TLS 1.3 the client
        says "connected", and only the application misses its reply.
        """
        if self.failure in STALLS:
            return True
        vague = self.state == "failing" and self.failure in VAGUE
        return vague and self.answered and bool(self.cites)

    @property
    def size_proven(self) -> bool:
        """Whether the wire proves that size decides in some direction."""
        return self.up_lost or self.down_lost

    def stays_near(self, direction: Direction) -> bool:
        """Whether what is lost in a direction is lost between AP and gateway already."""
        return any(loss.direction == direction for loss in self.segment)

    def lost_beyond(self, direction: Direction) -> bool:
        """Whether the wire proves that large packets of a direction are lost beyond the LAN."""
        lost = self.up_lost if direction == "up" else self.down_lost
        return lost and not self.stays_near(direction)


def examine(evidence: SiteEvidence, flow: Flow, wire: Wire) -> Symptom:
    """Put the AP's words and the wire together."""
    connected, failure, text, cites = _words(evidence, flow)
    up_cites = _up_lost(wire)
    down_cites = tuple(
        s.cite("stall", f"a gap in the service's flight stayed open at {s.capture.point}", "down")
        for s in wire.stalled_down
    )
    small_cites = _small_lost(wire)
    refuted = _refuted(wire)
    segment = segment_losses(wire)
    lost = bool(up_cites or down_cites or small_cites or segment)
    state: State = "unknown"
    if connected is False or (lost and not refuted):
        state = "failing"
    elif connected is True:
        state = "working"
    return Symptom(
        state=state,
        failure=failure if state != "working" else "none",
        text=text,
        cites=cites,
        up_lost=bool(up_cites) and not refuted,
        down_lost=bool(down_cites),
        small_lost=bool(small_cites) and not up_cites,
        # A client that names another failure ended the connection itself.
        silent=_silent(wire) and not lost and failure in STALLS | VAGUE,
        refuted=refuted,
        answered=wire.answered,
        wire_cites=(*up_cites, *down_cites, *small_cites),
        segment=segment,
    )


def _words(
    evidence: SiteEvidence, flow: Flow
) -> tuple[bool | None, FailureClass, str, tuple[Evidence, ...]]:
    facts = evidence.facts_of(flow.ap)
    if facts is None:
        return None, "none", "", ()
    device = evidence.device(flow.ap)
    services = device.services if device is not None else (flow.service,)
    states = value_or_none(facts.cloud) or ()
    state = match_state(flow.service, services, states)
    names = {"", flow.service.name, state.service if state is not None else ""}
    failure, text, cites = _from_log(facts, names)
    if state is None or state.connected is None or not isinstance(facts.cloud, Known):
        # A device that does not state it still tells by what it wrote last, and when.
        if failure == "none" and state is not None and isinstance(facts.cloud, Known):
            said = f"{flow.ap} says of {flow.service.name}: {state.last_error or 'nothing'}"
            cites = (cite("cloud", facts.cloud.source, said),)
            return None, state.last_failure, state.last_error, cites
        return _fails_by_log(facts, names), failure, text, cites
    words = state.last_error or ("connected" if state.connected else "not connected")
    own = cite("cloud", facts.cloud.source, f"{flow.ap} says of {flow.service.name}: {words}")
    if state.connected is not False:
        return state.connected, failure, words, (own,)
    vague = state.last_failure in VAGUE
    if vague and failure != "none":
        return False, failure, text, (own, *cites)
    return False, state.last_failure, words, (own,)


def _fails_by_log(facts: DeviceFacts, names: set[str]) -> bool | None:
    """Return ``False`` where the newest attempt in the log failed within the last hour.

    Never ``True``: a success in a log may be another program's.
    """
    if not isinstance(facts.push_log, Known):
        return None
    mine = [f for f in facts.push_log.value if f.service in names]
    if not mine or mine[-1].failure == "none" or not is_recent(facts, mine[-1].at):
        return None
    return False


def _from_log(
    facts: DeviceFacts, names: set[str]
) -> tuple[FailureClass, str, tuple[Evidence, ...]]:
    """Return the last classified failure that a push or a client left in the log."""
    fact = facts.push_log
    if not isinstance(fact, Known):
        return "none", "", ()
    mine = [f for f in fact.value if f.service in names]
    telling = [f for f in mine if f.failure not in VAGUE] or mine
    if not telling:
        return "none", "", ()
    last = telling[-1]
    return (
        last.failure,
        last.text,
        (cite("push-log", fact.source, last.text, line=last.line, command=last.command or None),),
    )


def _up_lost(wire: Wire) -> tuple[Evidence, ...]:
    cites: list[Evidence] = []
    if wire.size_selective_up:
        # One connection per point is enough; where the gateway drops, nothing is sent again.
        points = {s.capture.point: s for s in reversed(wire.stalled_up)}
        cites += [
            s.cite(
                "stall",
                f"packets of {s.flow.smallest_lost_up_bytes} bytes were sent again "
                f"{s.flow.retransmits_up} times and never acknowledged, at {s.capture.point}",
                "up",
            )
            for s in points.values()
            if s.flow.retransmits_up
        ] or [s.cite("stall", f"a gap of large packets at {p}", "up") for p, s in points.items()]
    bracket = wire.probe_bracket
    if bracket is not None:
        probe = wire.probes[0]
        text = f"a probe of {bracket[0]} bytes was answered, one of {bracket[1]} bytes was not"
        cites.append(told("probe", probe.host, probe.basis, text))
    source = wire.session_source
    if source is not None:
        cites += [
            cite(
                "session",
                source,
                f"{s.unacked_segments} segments of up to {s.send_mss_bytes} bytes wait for an "
                f"acknowledgement, the timer doubled {s.backoff} times",
                line=s.line,
            )
            for s in wire.stuck_sessions
        ]
    return tuple(cites)


def _small_lost(wire: Wire) -> tuple[Evidence, ...]:
    cites = [
        s.cite(
            "stall",
            f"a packet of only {s.flow.stalled_up_bytes} bytes was never acknowledged, "
            f"at {s.capture.point}",
            "up",
        )
        for s in wire.flows
        if s.flow.stalled_up_bytes is not None
        and s.flow.stalled_up_bytes <= SMALL_PACKET_BYTES
        and s.flow.largest_acked_up_bytes is None  # else some content does get through
        and s.flow.syn_ack_mss_bytes is not None
    ]
    source = wire.session_source
    if source is not None:
        cites += [
            cite("session", source, "one lone segment waits for an acknowledgement", line=s.line)
            for s in wire.stuck_small_sessions
        ]
    return tuple(cites)


def _refuted(wire: Wire) -> str:
    """Say why a loss is not a matter of size: the same size got through elsewhere (captures.md)."""
    lost, acked = wire.lost_up_bytes, wire.acked_up_bytes
    if lost is not None and acked is not None and acked >= lost:
        return f"packets of {acked} bytes were acknowledged, although some of {lost} were lost"
    return ""


def _waits(flow: FlowSeen) -> bool:
    """Say whether it is the service's turn, and was long enough.

    After its first flight it is the client's: a connection that was closed there shows no silence
    of the service. One that stays open may wait for the rest of that flight. Where the capture
    ended a moment after the client's last packet, nothing is known of the answer.
    """
    ended = flow.closed or bool(flow.reset_by)
    waited = flow.silent_s >= SILENT_S
    if flow.tls_stage == "server-flight":
        return waited and not ended
    return flow.tls_stage in {"client-hello", "client-flight"} and (waited or ended)


def _silent(wire: Wire) -> bool:
    """Say whether a connection stopped with everything acknowledged, at every point.

    What the service sends again and again at one point did not fall silent there.
    """
    speaking = {s.flow.client_port for s in wire.flows if s.flow.stalled_down_bytes is not None}
    return any(
        s.capture.point != "gateway-wan"
        and s.flow.client_port not in speaking
        and not s.flow.mid_stream
        and _waits(s.flow)
        and not s.flow.tls_alert
        and s.flow.largest_acked_up_bytes is not None
        and s.flow.retransmits_up == 0
        and s.flow.stalled_up_bytes is None
        and s.flow.smallest_lost_down_bytes is None
        and not went_on(s.flow)
        for s in wire.flows
    )
