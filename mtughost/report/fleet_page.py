"""The fleet on one page: by verdict, cause, owner, provider; trend; what to ask whom.

It reads without script. A small script, allowed by its hash, sorts and filters the table of sites.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from mtughost.model.findings import AuditReport, Owner, SiteReport, SiteVerdict
from mtughost.report import words
from mtughost.report.html import headline
from mtughost.report.json_report import counts_of
from mtughost.report.pages import render_page
from mtughost.report.safe_text import inert
from mtughost.report.summary import by_urgency, headline_of, not_read, sentence_of
from mtughost.report.trend import TrendPoint, trend_picture

#: Files of ``templates/report`` that the page is made from.
FLEET_TEMPLATES: Final = ("fleet.html.j2", "fleet.css.j2", "fleet.js.j2", "audit.css.j2")
#: Names in a cell; the table below has them all.
_NAMES_SHOWN: Final = 12
#: Longer sentences stand in the audit's own page; here thousands must fit.
_SENTENCE_CHARS: Final = 240
_NOT_READ_SHOWN: Final = 200
_RECIPIENT: Final[dict[Owner, str]] = {
    "ap": "ap-vendor",
    "host": "ap-vendor",
    "cloud": "ap-vendor",
    "gateway": "gateway-provider",
    "provider": "gateway-provider",
    "isp": "isp",
}
NOT_KNOWN: Final = "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What a finding id means, from its runbook.

    Attributes:
        words: The runbook's heading.
        ask: What to write to whoever must act; placeholders in words.
    """

    words: str = ""
    ask: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetInput:
    """What the page is made from.

    Attributes:
        trend: Oldest first; this run is the last one.
        before: Verdicts of the run before, by site; empty where there is none.
        before_utc: When it began.
        causes: By finding id.
        created_utc: When the page is made.
    """

    report: AuditReport
    trend: tuple[TrendPoint, ...]
    before: Mapping[str, SiteVerdict]
    before_utc: str
    causes: Mapping[str, Cause]
    created_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One site."""

    site: str
    verdict: SiteVerdict
    finding: str
    grade: str
    owner: str
    isp: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Sites with something in common, by verdict.

    Attributes:
        counts: In the order of :data:`mtughost.report.words.VERDICT_ORDER`.
    """

    name: str
    meaning: str
    total: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask one owner, for all sites that need the same."""

    owner: str
    meaning: str
    isp: str
    finding: str
    cause: Cause
    number: int
    names: tuple[str, ...]
    recipient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Sites that went from one verdict to another since the run before."""

    before: SiteVerdict
    after: SiteVerdict
    number: int
    names: tuple[str, ...]


def render_fleet(source: FleetInput, templates: Mapping[str, str]) -> str:
    """Return the whole page.

    Args:
        source: What it shows.
        templates: Text of each file in :data:`FLEET_TEMPLATES`, by name.

    Raises:
        ContentError: a template is missing or wrong; names the file and line.
    """
    report = source.report
    rows = tuple(_row(site) for site in by_urgency(report))
    missing = not_read(report)
    return render_page(
        "fleet.html.j2",
        css="fleet.css.j2",
        script="fleet.js.j2",
        templates=templates,
        names=FLEET_TEMPLATES,
        source=source,
        report=report,
        rows=rows,
        headline=headline(report),
        counts=counts_of(report),
        requests=requests_of(report, source.causes),
        changes=changes_of(report, source.before),
        groups=tuple(_groups(rows, source.causes)),
        contrasts=report.fleet.contrasts if report.fleet else (),
        missing=missing[:_NOT_READ_SHOWN],
        missing_more=max(0, len(missing) - _NOT_READ_SHOWN),
        # Markup is sound here: trend.py passes every text through for_html.
        trend=Markup(trend_picture(source.trend, ident="trend")) if source.trend else None,  # noqa: S704
        words=words,
    )


def _row(site: SiteReport) -> Row:
    top = headline_of(site)
    return Row(
        site=site.site,
        verdict=site.verdict,
        finding=top.id if top else "",
        grade=top.grade if top else "",
        owner=words.OWNER_WORDS[top.owner] if top and site.verdict != "ok" else "",
        isp=site.isp,
        sentence=inert(sentence_of(site), max_chars=_SENTENCE_CHARS),
    )


def requests_of(report: AuditReport, causes: Mapping[str, Cause]) -> tuple[Request, ...]:
    """Group what must be done by owner, provider of the circuit and finding: most sites first.

    Other owners than the ISP serve the whole fleet, so that one message is enough.
    """
    found: dict[tuple[Owner, str, str], list[str]] = defaultdict(list)
    for site in by_urgency(report):
        top = headline_of(site)
        if top is not None and site.verdict != "ok":
            isp = (site.isp or NOT_KNOWN) if top.owner == "isp" else ""
            found[top.owner, isp, top.id].append(site.site)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        Request(
            owner=words.OWNER_WORDS[owner],
            meaning=words.OWNER_MEANING[owner],
            isp=isp,
            finding=finding,
            cause=causes.get(finding, Cause()),
            number=len(names),
            names=tuple(names[:_NAMES_SHOWN]),
            recipient=_RECIPIENT[owner],
        )
        for (owner, isp, finding), names in ordered
    )


def changes_of(report: AuditReport, before: Mapping[str, SiteVerdict]) -> tuple[Change, ...]:
    """Return how verdicts moved since the run before; sites of one run only do not count."""
    found: dict[tuple[SiteVerdict, SiteVerdict], list[str]] = defaultdict(list)
    for site in report.sites:
        was = before.get(site.site)
        if was is not None and was != site.verdict:
            found[was, site.verdict].append(site.site)
    order = words.VERDICT_ORDER
    ordered = sorted(found.items(), key=lambda item: tuple(map(order.index, reversed(item[0]))))
    return tuple(
        Change(before=was, after=now, number=len(names), names=tuple(sorted(names)[:_NAMES_SHOWN]))
        for (was, now), names in ordered
    )


def _groups(
    rows: Sequence[Row], causes: Mapping[str, Cause]
) -> Iterable[tuple[str, tuple[Group, ...]]]:
    failing = [row for row in rows if row.verdict != "ok"]

    def cause_words(name: str) -> str:
        return causes.get(name, Cause()).words

    yield "By cause", _group(failing, lambda row: row.finding or "no finding", cause_words)
    yield "By owner", _group(failing, lambda row: row.owner or NOT_KNOWN, lambda _: "")
    yield "By provider", _group(rows, lambda row: row.isp or NOT_KNOWN, lambda _: "")


def _group(
    rows: Iterable[Row], key: Callable[[Row], str], meaning: Callable[[str], str]
) -> tuple[Group, ...]:
    counted: dict[str, Counter[SiteVerdict]] = defaultdict(Counter)
    for row in rows:
        counted[key(row)][row.verdict] += 1
    made = [
        Group(
            name=name,
            meaning=meaning(name),
            total=counts.total(),
            counts=tuple(counts[verdict] for verdict in words.VERDICT_ORDER),
        )
        for name, counts in counted.items()
    ]
    return tuple(sorted(made, key=lambda item: (-item.counts[0], -item.total, item.name)))
