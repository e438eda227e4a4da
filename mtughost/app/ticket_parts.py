"""What a ticket quotes from a redacted record: runbooks, excerpts of answers, what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mtughost.content.load import load_runbook
from mtughost.content.root import ContentRoot
from mtughost.evidence.bundle import answer_path, handed_in_path
from mtughost.evidence.site_redaction import SiteRecord
from mtughost.model.errors import ContentError
from mtughost.model.findings import Evidence, SiteReport
from mtughost.report.ticket import Excerpt
from mtughost.store import StoredRun

_FIGURE = re.compile(r"(?<![\w.])\d{3,4}(?![\w.])")
#: Lines shown before and after the one that proves something: an object of JSON begins there.
_BEFORE, _AFTER = 2, 8


def runbooks_of(content: ContentRoot, report: SiteReport) -> dict[str, str]:
    """Return the runbooks of a site's findings, as far as there are any."""
    found = {}
    for finding in report.findings:
        try:
            found[finding.id] = load_runbook(content, finding.id)
        except ContentError:
            continue
    return found


def excerpts_of(record: SiteRecord, report: SiteReport) -> Iterable[Excerpt]:
    """Yield the lines around those that prove something; what touches becomes one."""
    marked: dict[tuple[str, str], dict[int, Evidence]] = {}
    for finding in report.findings:
        for item in finding.evidence:
            if item.line and item.command:
                marked.setdefault((item.host, item.command), {}).setdefault(item.line, item)
    for (host, command), by_line in marked.items():
        found = _answer(record, host, command)
        if found is None:
            continue
        member, text = found
        lines = text.rstrip("\n").split("\n")
        for group in _touching(sorted(by_line)):
            first, last = max(1, group[0] - _BEFORE), min(len(lines), group[-1] + _AFTER)
            yield Excerpt(
                title=", ".join(dict.fromkeys(by_line[line].kind for line in group)),
                host=host,
                command=command,
                member=member,
                lines=tuple((n, lines[n - 1]) for n in range(first, last + 1)),
                proving=frozenset(_proving(lines, by_line[line]) for line in group),
            )


def _touching(numbers: list[int]) -> Iterable[list[int]]:
    """Split sorted line numbers where their surroundings do not touch."""
    group: list[int] = []
    for number in numbers:
        if group and number - group[-1] > _BEFORE + _AFTER:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _proving(lines: list[str], item: Evidence) -> int:
    """Return the line that holds the figure: what is cited may be the object that it stands in."""
    at = item.line or 1
    figures = _FIGURE.findall(item.value)
    near = range(at, min(len(lines), at + _AFTER) + 1)
    return next(
        (n for n in near if any(figure in _FIGURE.findall(lines[n - 1]) for figure in figures)), at
    )


def _answer(record: SiteRecord, host: str, command: str) -> tuple[str, str] | None:
    """Return path and text of an answer; handed-in output where the device was not read itself."""
    for visited in record.hosts:
        if visited.status.host != host:
            continue
        for number, answer in enumerate(visited.answers, start=1):
            if answer.line == command:
                return answer_path(host, number, answer), answer.text
    for number, item in reversed(list(enumerate(record.handed_in, start=1))):
        if (item.host, item.line) == (host, command) and item.command_id:
            return handed_in_path(number, item), item.text
    return None


def gaps_of(run: StoredRun, record: SiteRecord) -> Iterable[str]:
    """Yield what is missing or was only handed in, so that no recipient has to find out."""
    for item in record.handed_in:
        what = f"the output of {item.line!r}" if item.command_id else "that "
        what += "" if item.command_id else f"{item.told_key} is {item.told_value}"
        yield f"Not read over a login, but handed in: {item.host}, {what} ({item.note})."
    if run.info.state != "complete":
        yield f"The run was {run.info.state}: what came after is missing."
    for host in record.hosts:
        if host.status.status != "ok":
            yield f"{host.status.host} was not read: {host.status.error}"
        cut = [answer for answer in host.answers if answer.status not in {"complete", "rejected"}]
        for answer in cut:
            yield f"{host.status.host}: the answer to {answer.line!r} is {answer.status}."
        refused = [answer.line for answer in host.answers if answer.status == "rejected"]
        if refused:
            yield f"{host.status.host} refused {', '.join(map(repr, refused))}."
