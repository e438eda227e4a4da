"""Everything that a run kept about one site, redacted as one: names agree over all of it."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from mtughost.evidence.capture import redact_stream
from mtughost.evidence.frames import Keeps
from mtughost.evidence.redact import Name, Redactor
from mtughost.model.inventory import Credential, Device, Service, Site, SiteInfo
from mtughost.store.values import Ingested, StoredCapture, StoredHost

NO_CREDENTIAL = Credential(realm="", username="")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRecord:
    """What is known about one site, raw.

    Attributes:
        site: From the inventory.
        hosts: Visits with their raw answers.
        captures: As they came from the devices.
        probes: Probes and pings, as JSON values.
        far_ends: What the same far ends offered other sites, as JSON values.
        handed_in: What people pasted, mailed or told, with who, when and how.
    """

    site: Site
    hosts: tuple[StoredHost, ...]
    captures: tuple[StoredCapture, ...] = ()
    probes: tuple[Mapping[str, object], ...] = ()
    far_ends: tuple[Mapping[str, object], ...] = ()
    handed_in: tuple[Ingested, ...] = ()

    def texts(self) -> Iterable[str]:
        """Yield every text that a device said."""
        for host in self.hosts:
            yield host.status.error
            for answer in host.answers:
                yield answer.text
                yield answer.stderr
        yield from (item.text for item in self.handed_in)


def names_of(site: Site) -> tuple[Name, ...]:
    """Return the identifiers that the inventory knows of a site."""
    info = site.info
    named = [("site", site.name), ("isp", info.isp), ("circuit", info.circuit)]
    named += [("modem", info.modem), ("ticket", info.ticket)]
    named += [("contact", contact) for contact in info.contacts]
    for device in site.devices:
        named += [("host", device.name), ("host", device.jump), ("host", device.ha_peer)]
        named += [("controller", device.managed_by)]
        named += [("fqdn", device.address)] if not _is_address(device.address) else []
        named += [
            ("service", service.host)
            for service in device.services
            if not _is_address(service.host)
        ]
    return tuple(Name(kind=kind, value=value) for kind, value in named if value)


def other_names(record: SiteRecord) -> tuple[Name, ...]:
    """Return the identifiers that came along: other stores, people, devices of no inventory."""
    named = [("site", str(item["site"])) for item in record.far_ends]
    named += [("contact", item.by) for item in record.handed_in]
    named += [("host", item.host) for item in record.handed_in]
    return tuple(Name(kind=kind, value=value) for kind, value in named if value)


def service_addresses(site: Site) -> frozenset[str]:
    """Return the far ends: they are the vendor's, known to all, and what a ticket is about."""
    return frozenset(
        service.host
        for device in site.devices
        for service in device.services
        if _is_address(service.host)
    )


def redact_record(record: SiteRecord, redactor: Redactor) -> SiteRecord:
    """Return the record with stand-ins and without secrets; credentials are left out.

    Args:
        record: Raw.
        redactor: Must have learned from every text that goes into the same bundle.

    Raises:
        EvidenceError: a capture is of a kind that cannot be redacted.
    """
    keeps = Keeps(
        packed=frozenset(ipaddress.ip_address(text).packed for text in redactor.kept_values),
        addresses="address" in redactor.keep,
        macs="mac" in redactor.keep,
    )
    return SiteRecord(
        site=_site(record.site, redactor),
        hosts=tuple(_host(host, redactor) for host in record.hosts),
        captures=tuple(_capture(item, redactor, keeps) for item in record.captures),
        probes=tuple(
            cast("Mapping[str, object]", redactor.value(probe, where="probes"))
            for probe in record.probes
        ),
        far_ends=tuple(
            cast("Mapping[str, object]", redactor.value(item, where="far ends"))
            for item in record.far_ends
        ),
        handed_in=tuple(_handed_in(item, redactor) for item in record.handed_in),
    )


def _handed_in(item: Ingested, redactor: Redactor) -> Ingested:
    def word(text: str) -> str:
        return str(redactor.value(text, where=f"handed in by {item.by}"))

    text = redactor.text(item.text, where=f"{item.host}/{item.command_id} handed in")
    return replace(
        item,
        host=word(item.host),
        site=word(item.site),
        by=word(item.by),
        how=word(item.how),
        line=word(item.line),
        told_value=word(item.told_value),
        text=text,
        sha256=hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest(),
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _site(site: Site, redactor: Redactor) -> Site:
    def word(text: str) -> str:
        return str(redactor.value(text, where="site"))

    info = SiteInfo(
        isp=word(site.info.isp),
        circuit=word(site.info.circuit),
        modem=word(site.info.modem),
        timezone=site.info.timezone,
        ticket=word(site.info.ticket),
        contacts=tuple(word(contact) for contact in site.info.contacts),
    )
    devices = tuple(_device(device, word) for device in site.devices)
    return Site(name=word(site.name), devices=devices, info=info)


def _device(device: Device, word: Any) -> Device:
    return replace(
        device,
        name=word(device.name),
        address=word(device.address),
        site=word(device.site),
        credential=NO_CREDENTIAL,
        jump=word(device.jump),
        services=tuple(
            Service(name=s.name, host=word(s.host), port=s.port, tls=s.tls) for s in device.services
        ),
        ha_peer=word(device.ha_peer),
        managed_by=word(device.managed_by),
    )


def _host(host: StoredHost, redactor: Redactor) -> StoredHost:
    name = str(redactor.value(host.status.host, where="hosts"))
    status = replace(
        host.status,
        host=name,
        site=str(redactor.value(host.status.site, where="hosts")),
        error=redactor.text(host.status.error, where="hosts"),
    )
    answers = tuple(
        replace(
            answer,
            line=redactor.text(answer.line, where=f"{name}/{answer.command_id}"),
            text=redactor.text(answer.text, where=f"{name}/{answer.command_id}"),
            stderr=redactor.text(answer.stderr, where=f"{name}/{answer.command_id}"),
        )
        for answer in host.answers
    )
    return replace(host, status=status, answers=answers)


def _capture(item: StoredCapture, redactor: Redactor, keeps: Keeps) -> StoredCapture:
    fresh = redact_stream(item.open, redactor.stand_ins, keeps=keeps, name=item.name)
    return replace(
        item,
        host=str(redactor.value(item.host, where="captures")),
        body=fresh.body,
        meta=cast("Mapping[str, object]", redactor.value(item.meta, where="captures")),
    )
