"""The fleet as a whole, on a terminal: latent sites, then contrasts with their figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mtughost.report.safe_text import inert


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLines:
    """What is told about a fleet.

    Attributes:
        latent: Site and finding.
        contrasts: One sentence each.
    """

    latent: Sequence[tuple[str, str]]
    contrasts: Sequence[str]
    judged: int
    unknown: int


def fleet_text(view: FleetLines) -> str:
    """Return the view as plain lines, empty where there is nothing to tell."""
    return "\n".join(inert(line) for line in _lines(view))


def _lines(view: FleetLines) -> Iterator[str]:
    if view.latent:
        yield "these sites work today, by luck:"
        yield from (f"  {site}: {finding or 'see its notes'}" for site, finding in view.latent)
    if view.contrasts:
        yield f"what failing sites share ({view.judged} judged, {view.unknown} not):"
        yield from (f"  {sentence}" for sentence in view.contrasts)
