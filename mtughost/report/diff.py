"""What changed between two audits: verdicts, findings, devices.

A finding that is no longer reported is ``gone`` only where the later audit could judge the site;
otherwise it is ``unsettled``: not seeing a fault is no proof that it is repaired.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from mtughost.model.findings import (
    AuditReport,
    Finding,
    FlowKey,
    HostStatus,
    SiteReport,
    SiteVerdict,
)
from mtughost.report.ink import Ink
from mtughost.report.safe_text import encodable

FindingChange = Literal["new", "gone", "unsettled", "changed"]

_SIGNS: Final[dict[FindingChange, str]] = {
    "new": "+",
    "gone": "-",
    "unsettled": "?",
    "changed": "~",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingDiff:
    """One finding that differs.

    Attributes:
        before: ``None`` when new.
        after: ``None`` when gone or unsettled.
        fields: What differs when changed.
    """

    change: FindingChange
    before: Finding | None
    after: Finding | None
    fields: tuple[str, ...] = ()

    @property
    def finding(self) -> Finding:
        """The newer of the two."""
        found = self.after or self.before
        if found is None:  # pragma: no cover - built only by _finding_diffs
            raise AssertionError
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDiff:
    """One site that differs. A verdict of ``None`` means that the audit did not hold the site."""

    site: str
    before: SiteVerdict | None
    after: SiteVerdict | None
    findings: tuple[FindingDiff, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDiff:
    """One device whose visit ended differently. ``None``: not asked."""

    host: str
    site: str
    before: str | None
    after: str | None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDiff:
    """What changed between two audits."""

    before_run: str
    after_run: str
    sites: tuple[SiteDiff, ...]
    hosts: tuple[HostDiff, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing changed."""
        return not self.sites and not self.hosts


def diff_audits(before: AuditReport, after: AuditReport) -> AuditDiff:
    """Compare two audits by site name, finding id and flow."""
    # By place: of large fleets one site of each audit is in memory at a time.
    old, new = ({s.site: n for n, s in enumerate(r.sites)} for r in (before, after))
    sites = [
        _site_diff(
            before.sites[old[name]] if name in old else None,
            after.sites[new[name]] if name in new else None,
        )
        for name in sorted(old.keys() | new.keys())
    ]
    old_hosts, new_hosts = ({host.host: host for host in r.hosts} for r in (before, after))
    hosts = [
        _host_diff(old_hosts.get(name), new_hosts.get(name))
        for name in sorted(old_hosts.keys() | new_hosts.keys())
    ]
    return AuditDiff(
        before_run=before.run_id,
        after_run=after.run_id,
        sites=tuple(item for item in sites if item is not None),
        hosts=tuple(item for item in hosts if item is not None),
    )


def _site_diff(before: SiteReport | None, after: SiteReport | None) -> SiteDiff | None:
    known = before or after
    if known is None:  # pragma: no cover - callers pass at least one
        return None
    judged = after is not None and after.verdict != "unknown"
    findings = tuple(
        _finding_diffs(
            before.findings if before else (), after.findings if after else (), judged=judged
        )
    )
    old = before.verdict if before else None
    new = after.verdict if after else None
    if old == new and not findings:
        return None
    return SiteDiff(site=known.site, before=old, after=new, findings=findings)


def _finding_diffs(
    before: Sequence[Finding], after: Sequence[Finding], *, judged: bool
) -> Iterator[FindingDiff]:
    # Several findings may share id and flow: they pair up in the report's own order.
    waiting: dict[tuple[str, FlowKey | None], list[Finding]] = defaultdict(list)
    for finding in before:
        waiting[finding.id, finding.flow].append(finding)
    for finding in after:
        same = waiting[finding.id, finding.flow]
        if not same:
            yield FindingDiff(change="new", before=None, after=finding)
            continue
        old = same.pop(0)
        fields = _changed_fields(old, finding)
        if fields:
            yield FindingDiff(change="changed", before=old, after=finding, fields=fields)
    for rest in waiting.values():
        for finding in rest:
            change: FindingChange = "gone" if judged else "unsettled"
            yield FindingDiff(change=change, before=finding, after=None)


def _changed_fields(old: Finding, new: Finding) -> tuple[str, ...]:
    """Return what a reader would call a change: places (line, frame) move with every run."""
    fields = [
        name
        for name in ("grade", "owner", "summary", "fix")
        if getattr(old, name) != getattr(new, name)
    ]
    if _observables(old) != _observables(new):
        fields.append("evidence")
    return tuple(fields)


def _observables(finding: Finding) -> set[tuple[str, str, str]]:
    return {(item.kind, item.host, item.value) for item in finding.evidence}


def _host_diff(before: HostStatus | None, after: HostStatus | None) -> HostDiff | None:
    known = after or before
    old = before.status if before else None
    new = after.status if after else None
    if known is None or old == new:
        return None
    return HostDiff(
        host=known.host,
        site=known.site,
        before=old,
        after=new,
        error=after.error if after else "",
    )


def diff_to_dict(diff: AuditDiff) -> dict[str, Any]:
    """Return the comparison as plain JSON values, schema ``mtughost/diff/v1``."""
    return {
        "schema": "mtughost/diff/v1",
        "before": encodable(diff.before_run),
        "after": encodable(diff.after_run),
        "sites": [
            {
                "site": encodable(site.site),
                "before": site.before,
                "after": site.after,
                "findings": [
                    {
                        "change": item.change,
                        "id": encodable(item.finding.id),
                        "grade": item.finding.grade,
                        "owner": item.finding.owner,
                        "summary": encodable(item.finding.summary),
                        "fields": list(item.fields),
                    }
                    for item in site.findings
                ],
            }
            for site in diff.sites
        ],
        "hosts": [
            {
                "host": encodable(host.host),
                "site": encodable(host.site),
                "before": host.before,
                "after": host.after,
                "error": encodable(host.error),
            }
            for host in diff.hosts
        ],
    }


class DiffView:
    """The comparison on a terminal."""

    def __init__(self, diff: AuditDiff) -> None:
        self.diff = diff

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Print sites, then devices."""
        ink = Ink.of(options)
        diff = self.diff
        yield ink.text(f"{diff.before_run} compared with {diff.after_run}", "bold")
        if diff.empty:
            yield Text("Nothing changed.")
        for site in diff.sites:
            yield Text.assemble(
                ink.text(site.site, "bold"),
                ": ",
                _word(ink, site.before),
                " to ",
                _word(ink, site.after),
            )
            yield ink.indented(*(ink.text(_finding_line(item)) for item in site.findings))
        for host in diff.hosts:
            error = f": {host.error}" if host.error else ""
            told = (
                f"{host.host}: {host.before or 'not asked'} to {host.after or 'not asked'}{error}"
            )
            yield ink.text(told)


def render_diff(diff: AuditDiff) -> RenderableType:
    """Return the comparison as a renderable."""
    return DiffView(diff)


def _word(ink: Ink, verdict: SiteVerdict | None) -> Text:
    return ink.text("not audited", "dim") if verdict is None else ink.verdict(verdict)


def _finding_line(item: FindingDiff) -> str:
    finding = item.finding
    what = f" ({', '.join(item.fields)})" if item.fields else ""
    note = " (not judged this time)" if item.change == "unsettled" else ""
    return (
        f"{_SIGNS[item.change]} {item.change} {finding.id} [{finding.grade}]{what}{note}: "
        f"{finding.summary}"
    )


__all__ = ["AuditDiff", "DiffView", "diff_audits", "diff_to_dict", "render_diff"]
