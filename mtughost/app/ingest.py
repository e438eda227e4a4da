"""Take in what somebody pasted, mailed or told, and judge the site again with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date

from mtughost import __version__
from mtughost.app.handed_in import checked_told, facts_of_outputs, stand_in, with_handed_in
from mtughost.app.inventory import open_inventory
from mtughost.app.project import Project
from mtughost.app.stored import evidence_of_stored, stored_sites
from mtughost.content.book import Book
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.diagnose import diagnose_site
from mtughost.model.basis import Known
from mtughost.model.clamps import Ruleset
from mtughost.model.device import DeviceFacts
from mtughost.model.errors import UsageError
from mtughost.model.findings import AuditReport
from mtughost.model.inventory import Device, Site
from mtughost.store import Ingested, RunStore
from mtughost.wire.clock import SystemClock

_PROMPT = re.compile(r"^\S*[#$>%]\s*$")
_QUOTED = re.compile(r"^> ?", re.MULTILINE)
#: Kinds whose commands print what others print, too: they must be named.
_NEVER_GUESSED = frozenset({"saved-clamps"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One thing that somebody handed in.

    Attributes:
        host: Inventory name, or a name for a device that is in no inventory (then with ``site``
            and ``platform``).
        told: ``KEY=VALUE`` items.
        command: The command that gave ``text``, or ``auto``.
        text: Its output; ``None`` when only values are told.
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
        report: The newest run that holds the site, judged again; ``None`` without such a run.
    """

    items: tuple[Ingested, ...]
    facts: tuple[str, ...]
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
    if handover.text is not None:
        output, facts = _output(handover, base, _device(base, sites), project.content)
        items.append(output)
    with closing(RunStore.open(project.store_path, clock=clock)) as store:
        for item in items:
            store.record_ingested(item)
        report = _judge_again(project, store, base.site, sites)
    return Taken(items=tuple(items), facts=facts, report=report)


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


def _output(
    handover: Handover, base: Ingested, device: Device, content: ContentRoot
) -> tuple[Ingested, tuple[str, ...]]:
    book = load_book(content, device.platform)
    text = cleaned(handover.text or "", handover.command)
    tried: list[tuple[tuple[int, int], Ingested, tuple[str, ...]]] = []
    for command_id in candidates(book, device, handover.command):
        item = replace(base, command_id=command_id, line=book.commands[command_id].run, text=text)
        facts = facts_of_outputs([item], device, content)
        names = _read(facts)
        if names:
            tried.append(((-len(names), _doubts(facts)), item, names))
    best = sorted(tried, key=lambda each: each[0])
    wanted = [each for each in best if each[0] == best[0][0]]
    if len(wanted) > 1:
        family = "ip6tables" if "ip6tables-save" in text[:80] else "iptables"
        wanted = [each for each in wanted if each[1].line.startswith(f"{family}-")] or wanted
    if not wanted:
        raise UsageError(
            f"no reader of {device.platform} understands this output"
            + ("" if handover.command == "auto" else f" as that of '{handover.command}'"),
            todo="Name the command as it was typed; hand in its output alone and whole",
        )
    if len(wanted) > 1:
        lines = ", ".join(f"'{each[1].line}'" for each in wanted)
        raise UsageError("this output fits several commands", todo=f"Name one of: {lines}")
    _, item, names = wanted[0]
    return item, names


def cleaned(text: str, command: str = "") -> str:
    """Return output without mail quotes, the typed line and the prompt behind it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    lines = text.split("\n")
    if any(lines) and all(line.startswith(">") for line in lines if line.strip()):
        lines = _QUOTED.sub("", text).split("\n")
    typed = command if command != "auto" else ""
    echo = re.compile(r"^\S*[#$>%] ?\S+|^\S+@\S+:\S*[#$] ")
    is_typed = bool(typed) and lines[0].rstrip().endswith(typed)
    # A comment of iptables-save begins with "# " and is no prompt.
    if (is_typed or echo.match(lines[0])) and not lines[0].startswith("#"):
        lines = lines[1:]
    while lines and (not lines[-1].strip() or _PROMPT.match(lines[-1])):
        lines.pop()
    return "\n".join([*lines, ""])


def candidates(book: Book, device: Device, command: str) -> list[str]:
    """Return the entries of the book that a command may be: by name, by line, without options."""
    asked = {
        command_id: kind
        for kind, entries in book.read.items()
        for entry in entries
        if not entry.roles or device.role in entry.roles
        for command_id in entry.command_ids
    }
    if command == "auto":
        return [name for name, kind in asked.items() if kind not in _NEVER_GUESSED]
    wanted = command.split()
    exact = [n for n in asked if n == command or book.commands[n].run.split() == wanted]
    if exact:
        return exact
    plain = _plain(wanted)
    found = [n for n in asked if _plain(book.commands[n].run.split()) == plain]
    if not found:
        lines = ", ".join(f"'{book.commands[n].run}'" for n in asked)
        raise UsageError(
            f"the task book {book.platform} does not read {command!r}", todo=f"It reads: {lines}"
        )
    return found


def _plain(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.startswith("-") and word != "2>&1"]


def _read(facts: DeviceFacts) -> tuple[str, ...]:
    """Return the kinds of fact that an output gave; what the book alone says does not count."""
    told = {"privilege", "clamp_semantics"}
    names = (
        name
        for name in DeviceFacts.__dataclass_fields__
        if name not in told and isinstance(fact := getattr(facts, name), Known) and fact.value != ()
    )
    return tuple(name for name in names if not _is_empty(facts, name))


def _is_empty(facts: DeviceFacts, name: str) -> bool:
    value = getattr(facts, name).value
    if isinstance(value, Ruleset):
        return not value.chains
    if name == "icmp":
        return all(getattr(value, field) is None for field in type(value).__dataclass_fields__)
    return False


def _doubts(facts: DeviceFacts) -> int:
    return len(facts.clamps.value.notes) if isinstance(facts.clamps, Known) else 0


def _judge_again(
    project: Project, store: RunStore, site: str, sites: Sequence[Site]
) -> AuditReport | None:
    """Judge the newest run that holds the site again, with everything that was handed in."""
    wanted = [item for item in sites if item.name == site]
    for info in store.runs():
        if info.state != "complete":
            continue
        stored = stored_sites(store.load_run(info.run_id), wanted)
        if not stored:
            continue
        evidence = with_handed_in(
            evidence_of_stored(stored[0], project.content), store.ingested(), project.content
        )
        return AuditReport(
            run_id=info.run_id,
            started_utc=info.meta.started_utc,
            tool=f"mtughost {__version__}",
            content_digest=project.content.digest,
            hosts=tuple(host.status for host in stored[0].hosts),
            sites=(diagnose_site(evidence),),
        )
    return None
