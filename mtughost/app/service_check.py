"""Prove the service after a change: a full handshake and a round trip, over new logins.

What counts, and why (DESIGN section 1): under TLS 1.3 a client says "connected" while its
certificate is lost, and a resumed session sends no certificate at all. So the proof needs client
data of certificate size that the far end *acknowledged*, on a connection that the access point
opened by itself after the change, and the access point's own word that an answer came back.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from mtughost.app.observing import observe
from mtughost.app.sessions import SessionFactory
from mtughost.app.watch import Watch
from mtughost.change.tools import ServiceCheck, ServiceRequest
from mtughost.collect.push import cloud_push
from mtughost.collect.visit import read_device
from mtughost.diagnose import SiteEvidence
from mtughost.fleet.inventory import Inventory
from mtughost.model.basis import value_or_none
from mtughost.model.device import CloudState, DeviceFacts
from mtughost.model.errors import DeviceError
from mtughost.model.evidence import CaptureEvidence, ProbeEvidence
from mtughost.model.inventory import Device

#: A client flight with a certificate is never smaller; a resumed handshake sends a few hundred.
CERTIFICATE_FLIGHT_BYTES = 1000
#: How long one look captures while it probes.
LOOK_S = 6.0
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Look:
    """What one visit to one access point showed."""

    handshake: bool | None
    round_trip: bool | None
    full_size: bool | None
    words: tuple[str, ...]

    @property
    def proven(self) -> bool:
        return bool(self.handshake and self.round_trip and self.full_size)


class ServiceProver:
    """Looks at the access points of a changed device until the service is proven or time is up."""

    def __init__(
        self, factory: SessionFactory, inventory: Inventory, *, may_push: bool = False
    ) -> None:
        """Prepare.

        Args:
            factory: Opens the logins.
            inventory: Whose access points are looked at.
            may_push: An access point that was connected before the change makes no new connection
                by itself; with this it is told to push to its cloud (disruptive).
        """
        self._factory = factory
        self._inventory = inventory
        self._may_push = may_push

    def __call__(self, request: ServiceRequest) -> ServiceCheck:
        """Return what was seen before ``request.timeout_s`` has passed."""
        clock = self._factory.clock
        end_s = clock.monotonic_s() + request.timeout_s
        aps = [self._inventory.known[name] for name in request.access_points]
        looks: dict[str, _Look] = {}
        while True:
            for ap in aps:
                if not (ap.name in looks and looks[ap.name].proven):
                    newer = self._look(ap, request)
                    looks[ap.name] = _merge(looks.get(ap.name), newer)
            done = all(look.proven for look in looks.values())
            if done or clock.monotonic_s() + LOOK_S + _PAUSE_S >= end_s:
                return _verdict(looks)
            clock.sleep(_PAUSE_S)

    def _look(self, ap: Device, request: ServiceRequest) -> _Look:
        try:
            facts = self._read(ap)
            site = self._inventory.site(ap.site)
            evidence = SiteEvidence(site=site, facts=(facts,))
            watch = Watch(probe=True, capture_s=LOOK_S)
            seen = observe(self._factory, evidence, ap, watch)
        except DeviceError as error:
            return _Look(None, None, None, (str(error),))
        words: list[str] = []
        pushed = self._push(ap, facts, request, words) if self._may_push else None
        states = [s for s in value_or_none(facts.cloud) or () if s.service in request.services]
        return _Look(
            handshake=pushed or _handshake(facts, states, [c for _, c in seen.captures], words),
            round_trip=pushed or _round_trip(facts, states, request, words),
            full_size=_full_size(seen.probes, words),
            words=tuple(f"{ap.name}: {word}" for word in (*words, *seen.trouble)),
        )

    def _push(
        self, ap: Device, facts: DeviceFacts, request: ServiceRequest, words: list[str]
    ) -> bool | None:
        """Force a push where the device's own connection is older than the change."""
        states = [s for s in value_or_none(facts.cloud) or () if s.service in request.services]
        if not all(state.connected for state in states):
            return None
        with closing(self._factory.open(ap)) as session:
            answer = cloud_push(session, self._factory.book(ap))
        if answer.status == "complete" and answer.exit_code == 0:
            words.append(f"a forced cloud push ('{answer.line}') got its answer")
            return True
        words.append(f"a forced cloud push ('{answer.line}') failed: exit {answer.exit_code}")
        return None

    def _read(self, ap: Device) -> DeviceFacts:
        kinds = frozenset({"cloud", "sessions", "clock", "interfaces", "addresses", "routes"})
        with closing(self._factory.open(ap)) as session:
            visit = read_device(
                session,
                self._factory.book(ap),
                self._factory.project.content,
                ap,
                clock=self._factory.clock,
                kinds=kinds,
            )
        return visit.facts


def _merge(older: _Look | None, newer: _Look) -> _Look:
    """Keep a proof of an earlier look: it was after the change as well."""
    if older is None:
        return newer
    return _Look(
        newer.handshake or older.handshake,
        newer.round_trip,
        newer.full_size,
        newer.words,
    )


def _handshake(
    facts: DeviceFacts,
    states: Iterable[CloudState],
    captures: Iterable[CaptureEvidence],
    words: list[str],
) -> bool | None:
    """Look for certificate-sized client data that the far end acknowledged."""
    ends = {(state.server, state.port) for state in states if state.connected}
    for session in value_or_none(facts.sessions) or ():
        if (session.peer, session.peer_port) not in ends or session.acked_bytes is None:
            continue
        if session.acked_bytes >= CERTIFICATE_FLIGHT_BYTES:
            words.append(f"{session.acked_bytes} bytes acknowledged by {session.peer}")
            return True
    servers = {(state.server, state.port) for state in states}
    for capture in captures:
        for flow in capture.flows:
            largest = flow.largest_acked_up_bytes or 0
            ours = (flow.server, flow.server_port) in servers and not flow.mid_stream
            if ours and flow.tls_stage == "established" and largest >= CERTIFICATE_FLIGHT_BYTES:
                words.append(f"a client packet of {largest} bytes was acknowledged")
                return True
    words.append("no certificate-sized client data was seen acknowledged yet")
    return None


def _round_trip(
    facts: DeviceFacts, states: list[CloudState], request: ServiceRequest, words: list[str]
) -> bool | None:
    """Ask for the device's word that it is connected, and since when by its own clock."""
    if not states:
        words.append("it says nothing about the service")
        return None
    offset_s = _clock_offset_s(facts)
    for state in states:
        if not state.connected:
            words.append(f"{state.service}: not connected, {state.last_error or 'no reason given'}")
            return False
        since = _moment(state.last_change_utc)
        changed = _moment(request.changed_utc)
        if since is None or changed is None or offset_s is None:
            words.append(f"{state.service}: connected, since when is unknown")
            return None
        if since.timestamp() - offset_s < changed.timestamp():
            words.append(
                f"{state.service}: connected since before the change, so no new handshake was "
                "seen (apply --push forces one)"
            )
            return None
        words.append(f"{state.service}: connected since {state.last_change_utc}")
    return True


def _clock_offset_s(facts: DeviceFacts) -> float | None:
    """Return how far the device's clock is ahead of ours, in seconds."""
    source = facts.clock_utc.source if hasattr(facts.clock_utc, "source") else None
    theirs = _moment(value_or_none(facts.clock_utc) or "")
    ours = _moment(source.taken_utc or "") if source else None
    return theirs.timestamp() - ours.timestamp() if theirs and ours else None


def _full_size(probes: Iterable[ProbeEvidence], words: list[str]) -> bool | None:
    answers: list[bool | None] = []
    for probe in probes:
        delivered, lost = probe.largest_delivered_bytes, probe.smallest_lost_bytes
        if probe.unavailable:
            words.append(f"probe of {probe.service}: {probe.unavailable}")
            answers.append(None)
        elif lost is not None:
            words.append(f"probe of {probe.service}: a packet of {lost} bytes was lost")
            answers.append(False)
        elif delivered is not None:
            words.append(f"probe of {probe.service}: a packet of {delivered} bytes was answered")
            answers.append(True)
        else:
            answers.append(None)
    if not answers or None in answers:
        return None
    return all(answers)


def _moment(text: str) -> datetime | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else None


def _verdict(looks: dict[str, _Look]) -> ServiceCheck:
    def every(values: list[bool | None]) -> bool | None:
        if False in values:
            return False
        return None if None in values or not values else True

    proven = bool(looks) and all(look.proven for look in looks.values())
    words = tuple(word for look in looks.values() for word in look.words)
    names = ", ".join(looks)
    return ServiceCheck(
        full_handshake=every([look.handshake for look in looks.values()]),
        round_trip_after_change=every([look.round_trip for look in looks.values()]),
        full_size_reply=every([look.full_size for look in looks.values()]),
        summary=f"the service works from {names}" if proven else f"not proven: {'; '.join(words)}",
        evidence=words,
    )
