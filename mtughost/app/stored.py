"""The evidence of a stored run, as it was: facts are derived again from the raw answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from mtughost.collect.reads import facts_from_answers
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.flows import derive_flows
from mtughost.model.device import DeviceFacts
from mtughost.model.evidence import CaptureEvidence, PingEvidence, Point, ProbeEvidence
from mtughost.model.inventory import Device, Service, Site
from mtughost.store.values import StoredCapture, StoredHost, StoredRun

_PROBE = TypeAdapter(ProbeEvidence)
_PING = TypeAdapter(PingEvidence)
_POINT: TypeAdapter[Point] = TypeAdapter(Point)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSite:
    """What a run kept about one site."""

    site: Site
    hosts: tuple[StoredHost, ...]
    captures: tuple[StoredCapture, ...]
    probes: tuple[Mapping[str, object], ...]


def stored_sites(run: StoredRun, sites: Iterable[Site]) -> tuple[StoredSite, ...]:
    """Split a run by site; sites that it did not ask for are left out."""
    found = []
    for site in sites:
        names = {device.name for device in site.devices}
        hosts = tuple(host for host in run.hosts if host.status.host in names)
        if hosts:
            found.append(
                StoredSite(
                    site=site,
                    hosts=hosts,
                    captures=tuple(item for item in run.captures if item.host in names),
                    probes=tuple(item for item in run.probes if item["host"] in names),
                )
            )
    return tuple(found)


def facts_of_stored(host: StoredHost, device: Device, content: ContentRoot) -> DeviceFacts:
    """Derive one device's facts from its raw answers."""
    facts, _unplaced = facts_from_answers(
        host.answers, load_book(content, device.platform), content, device
    )
    return replace(facts, login_needed_small_mss=bool(host.extra.get("small_mss_login")))


def evidence_of_stored(stored: StoredSite, content: ContentRoot) -> SiteEvidence:
    """Return the evidence of one site: the same answers and packets give the same values.

    Raises:
        ContentError: the content holds no task book for a device's platform.
    """
    devices = {device.name: device for device in stored.site.devices}
    facts, failed = [], []
    for host in stored.hosts:
        if host.status.status == "ok":
            facts.append(facts_of_stored(host, devices[host.status.host], content))
        else:
            failed.append(host.status)
    read = SiteEvidence(site=stored.site, facts=tuple(facts), failed=tuple(failed))
    services = _services(read)
    return replace(
        read,
        captures=tuple(_capture(item, services) for item in stored.captures),
        probes=tuple(_PROBE.validate_python(p) for p in _of_kind(stored.probes, "service")),
        pings=tuple(_PING.validate_python(p) for p in _of_kind(stored.probes, "ping")),
    )


def _services(evidence: SiteEvidence) -> tuple[Service, ...]:
    """Return what the devices really use, else what the inventory says."""
    used = tuple({flow.service: None for flow in derive_flows(evidence).flows})
    said = {service: None for device in evidence.site.devices for service in device.services}
    return used or tuple(said)


def _of_kind(probes: Iterable[Mapping[str, object]], kind: str) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in probe.items() if key != "kind"}
        for probe in probes
        if probe.get("kind") == kind
    ]


def _capture(stored: StoredCapture, services: Sequence[Service]) -> CaptureEvidence:
    from mtughost.packets.summary import summarise  # noqa: PLC0415  # only where captured

    meta: dict[str, Any] = dict(stored.meta)
    return summarise(
        stored.pcap,
        host=stored.host,
        point=_POINT.validate_python(stored.point),
        interface=stored.interface,
        basis=meta["basis"],
        command=meta["command"],
        seconds=meta["seconds"],
        services=services,
    )
