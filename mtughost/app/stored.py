"""The evidence of a stored run, as it was: facts are derived again from the raw answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from pydantic import TypeAdapter

from mtughost.app.handed_in import with_handed_in
from mtughost.collect.reads import facts_from_answers
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.diagnose.evidence import FarEnd, SiteEvidence
from mtughost.diagnose.flows import derive_flows
from mtughost.model.device import DeviceFacts
from mtughost.model.evidence import CaptureEvidence, PingEvidence, Point, ProbeEvidence
from mtughost.model.inventory import Device, Service, Site
from mtughost.store import RunStore
from mtughost.store.values import Ingested, StoredCapture, StoredHost, StoredPart

_PROBE = TypeAdapter(ProbeEvidence)
_PING = TypeAdapter(PingEvidence)
_FAR_END = TypeAdapter(FarEnd)
#: Kind of the probes that hold what was seen at other sites.
FAR_ENDS = "far-ends"
_POINT: TypeAdapter[Point] = TypeAdapter(Point)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSite:
    """What a run kept about one site, and what people handed in about it.

    Attributes:
        far_ends: What the same far ends offered other sites of the run, as JSON values.
        handed_in: Oldest first.
    """

    site: Site
    hosts: tuple[StoredHost, ...]
    captures: tuple[StoredCapture, ...]
    probes: tuple[Mapping[str, object], ...]
    far_ends: tuple[Mapping[str, object], ...] = ()
    handed_in: tuple[Ingested, ...] = ()


def stored_sites(
    run: StoredPart, sites: Iterable[Site], handed_in: Iterable[Ingested] = ()
) -> tuple[StoredSite, ...]:
    """Split a run by site; sites that it did not ask for are left out.

    Args:
        run: With bodies: all of it, or what it kept of these sites.
        sites: From the inventory.
        handed_in: Everything that people ever handed in, oldest first.
    """
    told = tuple(handed_in)
    offers: Mapping[str, Any] = {}
    for probe in run.probes:
        if probe.get("kind") == FAR_ENDS:
            offers = cast("Mapping[str, Any]", probe["by_site"])
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
                    probes=tuple(item for item in run.probes if item.get("host") in names),
                    far_ends=tuple(offers.get(site.name, ())),
                    handed_in=tuple(item for item in told if item.site == site.name),
                )
            )
    return tuple(found)


def far_ends_probe(by_site: Mapping[str, Iterable[FarEnd]]) -> dict[str, object]:
    """Return what is stored of far ends: each site's were seen at other sites of the run."""
    said = {name: [asdict(item) for item in found] for name, found in by_site.items()}
    return {"kind": FAR_ENDS, "by_site": said}


def load_site(store: RunStore, run_id: str, site: Site) -> StoredSite | None:
    """Return what a run kept about one site, ``None`` where it did not ask for it.

    Raises:
        StoreError: the store cannot be read.
    """
    part = store.load_part(run_id, [device.name for device in site.devices])
    return next(iter(stored_sites(part, [site], store.ingested())), None)


def facts_of_stored(host: StoredHost, device: Device, content: ContentRoot) -> DeviceFacts:
    """Derive one device's facts from its raw answers."""
    facts, _unplaced = facts_from_answers(
        host.answers, load_book(content, device.platform), content, device
    )
    return replace(
        facts,
        login_needed_small_mss=bool(host.extra.get("small_mss_login")),
        login_by_default=bool(host.extra.get("default_login")),
    )


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
    read = with_handed_in(
        SiteEvidence(site=stored.site, facts=tuple(facts), failed=tuple(failed)),
        stored.handed_in,
        content,
    )
    services = _services(read)
    return replace(
        read,
        captures=tuple(_capture(item, services) for item in stored.captures),
        probes=tuple(_PROBE.validate_python(p) for p in _of_kind(stored.probes, "service")),
        pings=tuple(_PING.validate_python(p) for p in _of_kind(stored.probes, "ping")),
        far_ends=tuple(_FAR_END.validate_python(dict(item)) for item in stored.far_ends),
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
        stored.open(),
        host=stored.host,
        point=_POINT.validate_python(stored.point),
        interface=stored.interface,
        basis=meta["basis"],
        command=meta["command"],
        seconds=meta["seconds"],
        services=services,
        misses=meta.get("misses", ""),
        misses_later=meta.get("misses_later", False),
        leaving_known=meta.get("leaving_known", True),
    )
