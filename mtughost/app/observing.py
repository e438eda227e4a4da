"""Watch and probe one access point: captures at up to three points while the probe runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from threading import Event

from mtughost.app.sessions import SessionFactory
from mtughost.app.watch import Watch
from mtughost.collect.capture import RawCapture, capture
from mtughost.collect.ping import ping_ceiling
from mtughost.collect.probe import USUAL_MTU_BYTES, probe_service
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.flows import Flow, derive_flows
from mtughost.fleet.runner import login_proven
from mtughost.model.basis import value_or_none
from mtughost.model.errors import DeviceError
from mtughost.model.evidence import CaptureEvidence, PingEvidence, Point, ProbeEvidence
from mtughost.model.inventory import Device, Service
from mtughost.model.session import Session
from mtughost.packets.summary import summarise

#: tcpdump needs a moment to open its socket before the first SYN may be sent.
CAPTURE_LEAD_S = 1.0
#: How long the lines that start a capture in a device's memory may take.
START_S = 30.0
_LOOK_S = 0.05
_POINTS: tuple[Point, ...] = ("ap", "gateway-lan", "gateway-wan")


@dataclass(slots=True)
class Observed:
    """What one visit with traffic brought home."""

    captures: list[tuple[RawCapture, CaptureEvidence]] = field(default_factory=list)
    probes: list[ProbeEvidence] = field(default_factory=list)
    pings: list[PingEvidence] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    @contextmanager
    def forgiving(self) -> Iterator[None]:
        """Keep a device's failure as a remark and go on."""
        try:
            yield
        except DeviceError as error:
            self.trouble.append(str(error))


@dataclass(frozen=True, slots=True)
class _Tap:
    device: Device
    point: Point
    interface: str


def observe(factory: SessionFactory, evidence: SiteEvidence, ap: Device, watch: Watch) -> Observed:
    """Capture at the AP and at both sides of its gateway, and probe meanwhile.

    A device that fails here costs only its own observation: what the others saw is kept.

    Args:
        factory: Opens the logins, one per device.
        evidence: What the passive visits brought; it says which interfaces matter.
        ap: The access point or appliance whose service is watched.
        watch: What may be sent.
    """
    flows = [flow for flow in derive_flows(evidence).flows if flow.ap == ap.name]
    services = tuple({flow.service: None for flow in flows}) or ap.services
    observed = Observed()
    watch = _possible(factory, ap, watch, observed)
    with ExitStack() as stack:
        logins = _Logins(factory, stack)
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=len(_POINTS) + 1))
        running: list[tuple[_Tap, Future[RawCapture]]] = []
        if watch.capture_s:
            taps = tuple(_able(factory, _taps(evidence, ap, flows), observed))
            in_memory = [tap for tap in taps if _is_in_memory(factory, tap)]
            at_once = [tap for tap in taps if tap not in in_memory]
            for group in (in_memory, at_once):
                waits: list[tuple[Event, Future[RawCapture]]] = []
                for tap in group:
                    with observed.forgiving():
                        session, begun = _login_for(tap, factory, logins), Event()
                        todo = (factory, session, tap, services, watch, begun.set)
                        waits.append((begun, pool.submit(_capture, *todo)))
                        running.append((tap, waits[-1][1]))
                _await(waits, factory)
        if watch.probe:
            if running:
                factory.clock.sleep(CAPTURE_LEAD_S)
            with observed.forgiving():
                _probe(factory, logins.to(ap), evidence, ap, services, watch, observed)
        if watch.path:
            with observed.forgiving():
                observed.pings += _ping(factory, logins.to(ap), ap, flows)
            _ping_beyond(factory, logins, evidence, flows, observed)
        for tap, future in running:
            with observed.forgiving():
                raw, seen = _read(tap, future.result(), services)
                observed.captures.append((raw, seen))
                observed.trouble += [f"{raw.host} {raw.interface}: {x}" for x in raw.warnings]
    return observed


def _possible(factory: SessionFactory, ap: Device, watch: Watch, observed: Observed) -> Watch:
    """Return what the access point's platform can do of it: sized pings, where it has no probe."""
    spec = factory.book(ap).probe
    probes = spec is not None and (spec.via != "none" or bool(spec.shell))
    pings = spec is not None and spec.ping is not None
    if watch.probe and not probes:
        observed.trouble.append(_cannot(factory, ap, "probe a service"))
        watch = replace(watch, probe=False, path=True)
    if watch.path and not pings:
        observed.trouble.append(_cannot(factory, ap, "send sized pings"))
        watch = replace(watch, path=False)
    return watch


def _able(factory: SessionFactory, taps: Iterable[_Tap], observed: Observed) -> Iterator[_Tap]:
    for tap in taps:
        book = factory.book(tap.device)
        if book.capture is None:
            why = f": {book.no_capture}" if book.no_capture else ""
            told = _cannot(factory, tap.device, "capture") + why
            # Its two points are one device.
            if told not in observed.trouble:
                observed.trouble.append(told)
        else:
            yield tap


def _is_in_memory(factory: SessionFactory, tap: _Tap) -> bool:
    """Say whether a capture takes several lines to start: the others wait for it."""
    spec = factory.book(tap.device).capture
    return spec is not None and bool(spec.show)


def _await(waits: Sequence[tuple[Event, Future[RawCapture]]], factory: SessionFactory) -> None:
    """Wait until every capture runs, or has failed."""
    deadline_s = factory.clock.monotonic_s() + START_S
    for begun, future in waits:
        while not begun.wait(_LOOK_S) and not future.done():
            if factory.clock.monotonic_s() > deadline_s:
                return


def _login_for(tap: _Tap, factory: SessionFactory, logins: _Logins) -> Session:
    """Return a login: a shell's carries several things at once, a command line's only one."""
    is_shell = factory.book(tap.device).driver == "exec"
    return logins.to(tap.device, "" if is_shell else tap.interface)


def _cannot(factory: SessionFactory, device: Device, what: str) -> str:
    return f"{device.name}: the task book {factory.book(device).platform} cannot {what}"


class _Logins:
    """One login per device and purpose, closed with the stack."""

    def __init__(self, factory: SessionFactory, stack: ExitStack) -> None:
        self._factory = factory
        self._stack = stack
        self._open: dict[tuple[str, str], Session] = {}

    def to(self, device: Device, purpose: str = "") -> Session:
        key = (device.name, purpose)
        if key not in self._open:
            session = self._stack.enter_context(closing(self._factory.open(device)))
            login_proven()
            self._open[key] = session
        return self._open[key]


def _taps(evidence: SiteEvidence, ap: Device, flows: Sequence[Flow]) -> Iterator[_Tap]:
    """Yield where to listen, each place once: at the AP, and on both sides of its gateway."""
    seen: set[tuple[str, str]] = set()
    for flow in flows:
        places: tuple[tuple[str, Point, str | None], ...] = (
            (ap.name, "ap", flow.sender.interface),
            (flow.gateway, "gateway-lan", flow.lan),
            (flow.gateway, "gateway-wan", flow.egress if flow.active else None),
        )
        for host, point, interface in places:
            device = evidence.device(host)
            readable = device is not None and evidence.facts_of(host) is not None
            if device is None or not readable or not interface or (host, interface) in seen:
                continue
            seen.add((host, interface))
            yield _Tap(device, point, interface)


def _capture(
    factory: SessionFactory,
    session: Session,
    tap: _Tap,
    services: Sequence[Service],
    watch: Watch,
    started: Callable[[], None],
) -> RawCapture:
    return capture(
        session,
        factory.book(tap.device),
        tap.device,
        point=tap.point,
        interface=tap.interface,
        services=services,
        seconds=watch.capture_s,
        clock=factory.clock,
        started=started,
    )


def _read(
    tap: _Tap, raw: RawCapture, services: Sequence[Service]
) -> tuple[RawCapture, CaptureEvidence]:
    seen = summarise(
        raw.pcap,
        host=tap.device.name,
        point=tap.point,
        interface=tap.interface,
        basis=raw.basis,
        command=raw.command,
        seconds=raw.seconds,
        services=services,
        misses=raw.misses,
        misses_later=raw.misses_later,
        leaving_known=raw.leaving_known,
    )
    return raw, seen


def _ping(
    factory: SessionFactory, session: Session, ap: Device, flows: Sequence[Flow]
) -> list[PingEvidence]:
    """Ping each service's server with falling sizes, DF clear."""
    found: list[PingEvidence] = []
    largest = {flow.server: flow.sender.limit_bytes or USUAL_MTU_BYTES for flow in flows}
    for server, limit in largest.items():
        if server is not None:
            found += ping_ceiling(session, factory.book(ap), ap, target=server, largest_bytes=limit)
    return found


def _ping_beyond(
    factory: SessionFactory,
    logins: _Logins,
    evidence: SiteEvidence,
    flows: Sequence[Flow],
    observed: Observed,
) -> None:
    """Ping each service's server from its gateway with falling sizes and DF: the way beyond it.

    Only there where its own packets go the same way as the access point's.
    """
    seen: set[tuple[str, str]] = set()
    for flow in flows:
        device, facts = evidence.device(flow.gateway), evidence.facts_of(flow.gateway)
        if device is None or facts is None or flow.server is None:
            continue
        spec = factory.book(device).probe
        links = value_or_none(facts.interfaces) or ()
        mtu = next((link.mtu_bytes for link in links if link.name == flow.egress), None)
        is_usual = flow.active and not flow.by_policy and (device.name, flow.server) not in seen
        if spec is None or spec.ping_df is None or mtu is None or not is_usual:
            continue
        seen.add((device.name, flow.server))
        with observed.forgiving():
            observed.pings += ping_ceiling(
                logins.to(device),
                factory.book(device),
                device,
                target=flow.server,
                largest_bytes=mtu,
                df=True,
            )


def _probe(  # one connection is described by all of these
    factory: SessionFactory,
    session: Session,
    evidence: SiteEvidence,
    ap: Device,
    services: Sequence[Service],
    watch: Watch,
    observed: Observed,
) -> None:
    mtu_bytes = {
        flow.service: flow.sender.limit_bytes
        for flow in derive_flows(evidence).flows
        if flow.ap == ap.name
    }
    for service in services:
        observed.probes.append(
            probe_service(
                session,
                factory.book(ap),
                ap,
                service,
                bisect=watch.bisect,
                ap_mtu_bytes=mtu_bytes.get(service),
                clock=factory.clock,
            )
        )
