"""An audit as one self-contained HTML page: no script, no network, a policy that forbids both."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from mtughost.model.evidence import Direction
from mtughost.model.findings import (
    AuditReport,
    Evidence,
    Finding,
    FlowReport,
    HostStatus,
    Owner,
    SiteReport,
)
from mtughost.report import words
from mtughost.report.json_report import counts_of
from mtughost.report.pages import render_page
from mtughost.report.summary import (
    PathView,
    SiteSummary,
    by_urgency,
    not_read,
    paths_of,
    proof_of,
    summarise,
)
from mtughost.report.svg import path_picture, path_sentences, path_title

#: Files of ``templates/report`` that the page is made from.
TEMPLATE_NAMES: Final = (
    "audit.html.j2",
    "audit_site.html.j2",
    "audit_source.html.j2",
    "audit_picture.html.j2",
    "audit.css.j2",
)

#: Above this many sites, healthy ones get no picture: the page must still open on a phone.
_PICTURES_FOR_ALL: Final = 60

#: Further paths of one site that are drawn besides the worst.
_MORE_PICTURES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureView:
    """One path picture with its words."""

    title: str
    sentences: tuple[str, ...]
    lying: Markup
    standing: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRow:
    """One row of the coverage table."""

    flow: FlowReport
    way: str
    limited_by: str
    family: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteView:
    """One section of the page."""

    anchor: str
    site: SiteReport
    summary: SiteSummary
    verdict: str
    meaning: str
    owner: str
    proof: Evidence | None
    picture: PictureView | None
    more_pictures: tuple[PictureView, ...]
    rows: tuple[FlowRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionView:
    """What one owner must do at which sites."""

    owner: str
    meaning: str
    finding: str
    verdicts: tuple[str, ...]
    sites: tuple[tuple[str, str], ...]


def render_audit(report: AuditReport, templates: Mapping[str, str]) -> str:
    """Return the whole page.

    Args:
        report: The audit.
        templates: Text of each file in :data:`TEMPLATE_NAMES`, by name.

    Raises:
        ContentError: a template is missing or wrong; names the file and line.
    """
    ordered = by_urgency(report)
    draw_all = len(report.sites) <= _PICTURES_FOR_ALL
    sites = tuple(
        _site_view(site, number, draw=draw_all or site.verdict != "ok")
        for number, site in enumerate(ordered, start=1)
    )
    return render_page(
        "audit.html.j2",
        css="audit.css.j2",
        templates=templates,
        names=TEMPLATE_NAMES,
        report=report,
        sites=sites,
        counts=counts_of(report),
        headline=headline(report),
        actions=_actions(sites),
        missing=not_read(report),
        bases=_bases(report),
        words=words,
    )


def headline(report: AuditReport) -> str:
    """Return the whole audit in one or two sentences."""
    verdicts = Counter(site.verdict for site in report.sites)
    total = len(report.sites)
    said: list[str] = []
    if verdicts["fault"]:
        verb = "loses" if verdicts["fault"] == 1 else "lose"
        said.append(f"{verdicts['fault']} of {words.count_of(total, 'site')} {verb} large packets.")
    if verdicts["latent"]:
        said.append(f"{verdicts['latent']} {_works(verdicts['latent'])} only by luck.")
    if verdicts["not-mtu"]:
        said.append(f"{verdicts['not-mtu']} {_has(verdicts['not-mtu'])} a fault of another kind.")
    if verdicts["unknown"]:
        said.append(f"{verdicts['unknown']} not settled.")
    if not said and total:
        said.append(f"{words.count_of(total, 'site')}: full-size packets fit in both directions.")
    failed = sum(host.status != "ok" for host in report.hosts)
    if failed:
        said.append(f"{words.count_of(failed, 'device')} not read.")
    return " ".join(said) or "No site was audited."


def _works(number: int) -> str:
    return "works" if number == 1 else "work"


def _has(number: int) -> str:
    return "has" if number == 1 else "have"


def _bases(report: AuditReport) -> tuple[tuple[str, int], ...]:
    found = Counter(
        item.basis
        for site in report.sites
        for finding in site.findings
        for item in finding.evidence
    )
    return tuple(sorted(found.items()))


def anchor_of(name: str, number: int) -> str:
    """Return a fragment id that holds no device text beyond letters, digits and hyphens."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"site-{number}-{slug}" if slug else f"site-{number}"


def _site_view(site: SiteReport, number: int, *, draw: bool) -> SiteView:
    summary = summarise(site)
    top = summary.headline
    anchor = anchor_of(site.site, number)
    pictures = pictures_of(site, anchor=anchor) if draw else ()
    return SiteView(
        anchor=anchor,
        site=site,
        summary=summary,
        verdict=words.VERDICT_WORDS[site.verdict],
        meaning=words.VERDICT_MEANING[site.verdict],
        owner=words.OWNER_MEANING[top.owner] if top else "",
        proof=proof_of(top) if top else None,
        picture=pictures[0] if pictures else None,
        more_pictures=pictures[1:],
        rows=tuple(_row(flow) for flow in _ordered_flows(site)),
    )


def _ordered_flows(site: SiteReport) -> tuple[FlowReport, ...]:
    found: list[FlowReport] = []
    for view in paths_of(site):
        found.extend(flow for flow in (view.up, view.down) if flow is not None)
    return tuple(found)


_RESULT: Final = {True: "proven", False: "counterexample", None: "unknown"}


def _row(flow: FlowReport) -> FlowRow:
    direction: Direction = flow.key.direction
    return FlowRow(
        flow=flow,
        way=words.DIRECTION_WORDS[direction],
        limited_by=words.LIMITED_BY[direction],
        family=words.FAMILY_WORDS[flow.key.family],
        result=_RESULT[flow.covered],
    )


def pictures_of(
    site: SiteReport, *, anchor: str, standalone: bool = False
) -> tuple[PictureView, ...]:
    """Return the pictures of a site's worst paths, the worst first.

    Args:
        site: The site.
        anchor: Begins the ids inside the pictures, so that a page may hold several sites.
        standalone: Bring the pictures' colours along.
    """
    return tuple(
        _picture(view, f"{anchor}-p{index}", standalone=standalone)
        for index, view in enumerate(paths_of(site)[: 1 + _MORE_PICTURES], start=1)
    )


def _picture(view: PathView, ident: str, *, standalone: bool) -> PictureView:
    # Markup is sound here: svg.py passes every text through for_html.
    lying = path_picture(view, ident=f"{ident}l", standalone=standalone)
    standing = path_picture(view, ident=f"{ident}s", layout="standing", standalone=standalone)
    return PictureView(
        title=path_title(view),
        sentences=path_sentences(view),
        lying=Markup(lying),  # noqa: S704
        standing=Markup(standing),  # noqa: S704
    )


def _actions(sites: tuple[SiteView, ...]) -> tuple[ActionView, ...]:
    """Group the headline findings by owner and id, so that one call serves many sites."""
    groups: dict[tuple[Owner, str], list[SiteView]] = defaultdict(list)
    for view in sites:
        top: Finding | None = view.summary.headline
        if top is not None and view.site.verdict != "ok":
            groups[top.owner, top.id].append(view)
    return tuple(
        ActionView(
            owner=words.OWNER_WORDS[owner],
            meaning=words.OWNER_MEANING[owner],
            finding=finding,
            verdicts=tuple(dict.fromkeys(view.verdict for view in found)),
            sites=tuple((view.site.site, view.anchor) for view in found),
        )
        for (owner, finding), found in sorted(groups.items(), key=lambda item: -len(item[1]))
    )


__all__ = ["TEMPLATE_NAMES", "HostStatus", "anchor_of", "headline", "pictures_of", "render_audit"]
