"""Take in what somebody pasted, mailed or told, and judge the site again with it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date

from mtughost import __version__
from mtughost.app.handed_in import checked_told, facts_of_outputs, stand_in
from mtughost.app.inventory import open_inventory
from mtughost.app.pasted import Left, read_kinds, take_apart
from mtughost.app.project import Project
from mtughost.app.stored import evidence_of_stored, load_site
from mtughost.content.root import ContentRoot
from mtughost.diagnose import diagnose_site
from mtughost.model.errors import UsageError
from mtughost.model.findings import AuditReport
from mtughost.model.inventory import Device, Site
from mtughost.store import Ingested, RunStore
from mtughost.wire.clock import SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One thing that somebody handed in.

    Attributes:
        host: Inventory name, or a name for a device that is in no inventory (then with ``site``
            and ``platform``).
        told: ``KEY=VALUE`` items.
        command: The command that gave ``text``, or ``auto``.
        text: Its output, or a transcript of several; ``None`` when only values are told.
        on: ISO 8601 day; today when empty.
    """

    host: str
    by: str
    how: str
    on: str = ""
    site: str = ""
    platform: str = ""
    role: str = "gateway"
    command: str = "auto"
    text: str | None = None
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was recorded and what follows from it.

    Attributes:
        facts: Kinds of fact that the output gave.
        left: Commands of a transcript that were not taken, with the reason.
        report: The newest run that holds the site, judged again; ``None`` without such a run.
    """

    items: tuple[Ingested, ...]
    facts: tuple[str, ...]
    left: tuple[Left, ...]
    report: AuditReport | None


def ingest(project: Project, handover: Handover) -> Taken:
    """Record what was handed in, with who, when and how, and judge the site again.

    Nothing is sent to any device. Later audits and diagnoses use it, too.

    Raises:
        UsageError: it is not known who said it, about which device, or what the output is.
        InventoryError: the inventory is wrong.
    """
    clock = SystemClock()
    day = _day(handover.on or clock.utc_now()[:10])
    if not handover.by.strip() or not handover.how.strip():
        raise UsageError("say who handed it in and how", todo="Give --by and --how")
    if handover.text is None and not handover.told:
        raise UsageError("nothing was handed in", todo="Give a file, or --told KEY=VALUE")
    sites = open_inventory(project).sites
    base = _base(handover, sites, day)
    items = [
        replace(base, told_key=key, told_value=value)
        for key, value in (checked_told(text) for text in handover.told)
    ]
    facts: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()
    if handover.text is not None:
        outputs, left, facts = _outputs(handover, base, _device(base, sites), project.content)
        items += outputs
    with closing(RunStore.open(project.store_path, clock=clock)) as store:
        for item in items:
            store.record_ingested(item)
        report = _judge_again(project, store, base.site, sites)
    return Taken(items=tuple(items), facts=facts, left=left, report=report)


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UsageError(f"--on is a day such as 2026-11-20, not {text!r}") from None


def _base(handover: Handover, sites: Sequence[Site], day: str) -> Ingested:
    found = [d for site in sites for d in site.devices if d.name == handover.host]
    site = found[0].site if found else handover.site
    if not handover.host or not site:
        raise UsageError(
            f"the inventory holds no device {handover.host!r}",
            todo="Name a device of the inventory, or give --site and --platform with a new name",
        )
    if found and handover.site not in {"", site}:
        raise UsageError(f"{handover.host} belongs to site {site}, not {handover.site}")
    if site not in {s.name for s in sites}:
        raise UsageError(f"the inventory holds no site {site}")
    platform = found[0].platform if found else handover.platform or "linux"
    return Ingested(
        host=handover.host,
        site=site,
        role=found[0].role if found else handover.role,
        platform=platform,
        by=handover.by.strip(),
        on=day,
        how=handover.how.strip(),
    )


def _device(base: Ingested, sites: Sequence[Site]) -> Device:
    found = [d for site in sites for d in site.devices if d.name == base.host]
    return found[0] if found else stand_in(base)


def _outputs(
    handover: Handover, base: Ingested, device: Device, content: ContentRoot
) -> tuple[tuple[Ingested, ...], tuple[Left, ...], tuple[str, ...]]:
    pasted = take_apart(handover.text or "", handover.command, device, content)
    items = tuple(
        replace(base, command_id=each.command_id, line=each.line, text=each.text)
        for each in pasted.outputs
    )
    return items, pasted.left, read_kinds(facts_of_outputs(items, device, content))


def _judge_again(
    project: Project, store: RunStore, site: str, sites: Sequence[Site]
) -> AuditReport | None:
    """Judge the newest run that holds the site again, with everything that was handed in."""
    wanted = [item for item in sites if item.name == site]
    for info in store.runs():
        if info.state != "complete":
            continue
        stored = load_site(store, info.run_id, wanted[0]) if wanted else None
        if stored is None:
            continue
        evidence = evidence_of_stored(stored, project.content)
        return AuditReport(
            run_id=info.run_id,
            started_utc=info.meta.started_utc,
            tool=f"mtughost {__version__}",
            content_digest=project.content.digest,
            hosts=tuple(host.status for host in stored.hosts),
            sites=(diagnose_site(evidence),),
        )
    return None
