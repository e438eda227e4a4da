"""Put what people handed in (pasted output, told values) beside what was read over logins.

A device that answered speaks for itself: handed-in output only fills what it did not say. Every
citation keeps who, when and how.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, Final, Literal

from mtughost.collect.reads import facts_from_answers
from mtughost.content.book import Book
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.diagnose.evidence import SiteEvidence, ToldMtu
from mtughost.model.basis import Known, Source, Unknown
from mtughost.model.clamps import Ruleset
from mtughost.model.device import DeviceFacts
from mtughost.model.errors import UsageError
from mtughost.model.inventory import Credential, Device, Role
from mtughost.model.session import Answer
from mtughost.store import Ingested

#: Links whose MTU may be told.
LINKS: Final[dict[str, Literal["wan", "lan", "path"]]] = {
    "wan.mtu": "wan",
    "lan.mtu": "lan",
    "path.mtu": "path",
}
#: Everything that may be told, with what it means.
TOLD_KEYS: Final[dict[str, str]] = {
    "wan.mtu": "MTU of the gateway's WAN interface, in bytes",
    "lan.mtu": "MTU of the gateway's interface towards the access points, in bytes",
    "path.mtu": "MTU of the circuit or the path beyond, in bytes",
    "gateway.wan": "name of the gateway's WAN interface",
    "gateway.ap_vlan": "name of the gateway's interface towards the access points",
    "filter.complete": "yes: the packet filter that was handed in is the whole one",
}
_MTU_RANGE = (576, 65535)
_LEGACY = "legacy iptables"
_ROLES: dict[str, Role] = {"ap": "ap", "gateway": "gateway", "appliance": "appliance"}


def checked_told(text: str) -> tuple[str, str]:
    """Return key and value of ``KEY=VALUE``.

    Raises:
        UsageError: an unknown key, or a value that cannot be meant.
    """
    key, sign, value = (part.strip() for part in text.partition("="))
    if not sign or key not in TOLD_KEYS or not value:
        raise UsageError(
            f"{text!r} is not KEY=VALUE",
            todo="Known keys: " + "; ".join(f"{k} ({v})" for k, v in TOLD_KEYS.items()),
        )
    low, high = _MTU_RANGE
    if key in LINKS and not (value.isascii() and value.isdigit() and low <= int(value) <= high):
        raise UsageError(f"{key} is a number of bytes from {low} to {high}, not {value!r}")
    if key == "filter.complete" and value != "yes":
        raise UsageError("filter.complete can only be told as yes; without it nothing is assumed")
    return key, value


def with_handed_in(
    evidence: SiteEvidence, items: Iterable[Ingested], content: ContentRoot
) -> SiteEvidence:
    """Return the site's evidence with everything that was handed in about it.

    Args:
        evidence: What was read.
        items: Everything that was ever handed in, oldest first; of several about one thing the
            last counts.
        content: Task books and parsers.

    Raises:
        ContentError: the task book of a handed-in output does not exist any more.
    """
    mine = [item for item in items if item.site == evidence.site.name]
    for host in dict.fromkeys(item.host for item in mine if item.host):
        evidence = _with_host(evidence, [i for i in mine if i.host == host], content)
    mtus = {
        (item.host, LINKS[item.told_key]): ToldMtu(
            gateway="" if item.told_key == "path.mtu" else item.host,
            link=LINKS[item.told_key],
            mtu_bytes=int(item.told_value),
            note=item.note,
        )
        for item in mine
        if item.told_key in LINKS
    }
    return replace(evidence, told=(*evidence.told, *mtus.values())) if mtus else evidence


def _with_host(
    evidence: SiteEvidence, items: Sequence[Ingested], content: ContentRoot
) -> SiteEvidence:
    said = {item.told_key: item for item in items if item.told_key}
    device = evidence.device(items[-1].host)
    known = device is not None
    device = device or stand_in(items[-1])
    if "gateway.wan" in said:
        device = replace(device, wan=(said["gateway.wan"].told_value,))
    if "gateway.ap_vlan" in said:
        device = replace(device, ap_vlan=said["gateway.ap_vlan"].told_value)
    others = tuple(d for d in evidence.site.devices if d.name != device.name)
    devices = (
        tuple(device if d.name == device.name else d for d in evidence.site.devices)
        if known
        else (*others, device)
    )
    evidence = replace(evidence, site=replace(evidence.site, devices=devices))
    outputs = [item for item in items if item.command_id]
    if not outputs:
        return evidence
    found = facts_of_outputs(outputs, device, content, complete=said.get("filter.complete"))
    old = evidence.facts_of(device.name)
    if old is None:
        return replace(evidence, facts=(*evidence.facts, found))
    return evidence.with_facts(_filled(old, found))


def stand_in(item: Ingested) -> Device:
    """Return a device of no inventory, of which only handed-in output is known."""
    return Device(
        name=item.host,
        address="",
        platform=item.platform,
        site=item.site,
        role=_ROLES.get(item.role, "gateway"),
        credential=Credential(realm="", username=""),
    )


def facts_of_outputs(
    outputs: Sequence[Ingested],
    device: Device,
    content: ContentRoot,
    *,
    complete: Ingested | None = None,
) -> DeviceFacts:
    """Derive facts from handed-in output.

    Args:
        outputs: Of one device, oldest first.
        device: Whose output it is.
        content: Task books and parsers.
        complete: Who said that the packet filter is the whole one, where somebody did.
    """
    book = load_book(content, device.platform)
    answers = [
        Answer(
            command_id=item.command_id,
            line=item.line,
            text=item.text,
            exit_code=0,
            status="rejected" if refused_line(book, item.text) else "complete",
            started_utc=item.on,
        )
        for item in outputs
    ]
    # Programs show rules to privileged accounts only: output that holds some proves the right.
    shown = [item for item in outputs if item.text.strip()]
    vouched = (complete or shown[-1]).note if complete or shown else ""
    facts, _ = facts_from_answers(
        answers, book, content, device, basis="recorded output", vouched=vouched
    )
    if complete is not None and isinstance(facts.clamps, Known):
        facts = replace(facts, clamps=_whole(facts.clamps, complete))
    notes = {item.line: item.note for item in outputs}
    changed: dict[str, Any] = {
        item.name: Known(fact.value, _noted(fact.source, notes))
        for item in fields(facts)
        if isinstance(fact := getattr(facts, item.name), Known)
    }
    return replace(facts, **changed)


def refused_line(book: Book, text: str) -> str:
    """Return the first line with which the device refused a command, or ``""``."""
    patterns = [re.compile(pattern) for pattern in book.error_patterns]
    for line in text.split("\n"):
        if any(pattern.search(line) for pattern in patterns):
            return line.strip()
    return ""


def _whole(fact: Known[Ruleset], by: Ingested) -> Known[Ruleset]:
    """Believe that nothing hides behind the old kernel interface, on somebody's word."""
    notes = tuple(note for note in fact.value.notes if not note.startswith(_LEGACY))
    source = replace(fact.source, note=f"whole filter: {by.note}")
    return Known(replace(fact.value, notes=notes), source)


def _noted(source: Source, notes: dict[str, str]) -> Source:
    own = notes.get(source.command or "", "")
    told = "; ".join(text for text in (own, source.note) if text)
    return replace(source, note=told)


def _filled(old: DeviceFacts, found: DeviceFacts) -> DeviceFacts:
    changed: dict[str, Any] = {
        item.name: value
        for item in fields(old)
        if isinstance(getattr(old, item.name), Unknown)
        and isinstance(value := getattr(found, item.name), Known)
    }
    return replace(old, **changed)
