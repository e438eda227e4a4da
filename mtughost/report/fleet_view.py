"""The fleet as a whole, on a terminal: latent sites, then contrasts with their figures."""

from __future__ import annotations

from collections.abc import Iterator

from mtughost.model.findings import AuditReport
from mtughost.report.safe_text import inert
from mtughost.report.summary import headline_of


def fleet_text(report: AuditReport) -> str:
    """Return what the sites say together as plain lines, empty where there is nothing to tell."""
    return "\n".join(inert(line) for line in _lines(report))


def _lines(report: AuditReport) -> Iterator[str]:
    latent = [site for site in report.sites if site.verdict == "latent"]
    if latent:
        yield "these sites work today, by luck:"
    for site in latent:
        top = headline_of(site)
        yield f"  {site.site}: {top.id if top else 'see its notes'}"
    view = report.fleet
    if view is not None and view.contrasts:
        yield f"what failing sites share ({view.judged} judged, {view.unknown} not):"
        yield from (f"  {item.sentence}" for item in view.contrasts)
