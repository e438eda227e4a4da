"""How the fleet went from run to run: one stacked bar for each, drawn and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mtughost.model.findings import SiteVerdict
from mtughost.report.safe_text import for_html
from mtughost.report.svg_shapes import Sheet
from mtughost.report.words import VERDICT_ORDER, VERDICT_WORDS, count_of

_WIDTH: Final = 960
_TOP, _BASE, _BOTTOM = 26, 166, 196
_LEFT: Final = 8
_WIDEST_BAR: Final = 56
#: Dates that do not run into each other.
_DATES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """One run.

    Attributes:
        verdicts: Sites by verdict.
    """

    run_id: str
    started_utc: str
    verdicts: Mapping[SiteVerdict, int]

    @property
    def sites(self) -> int:
        """How many sites it judged."""
        return sum(self.verdicts.values())

    def words(self) -> str:
        """Return the run in words, without what there is none of."""
        said = [
            f"{self.verdicts[verdict]} {VERDICT_WORDS[verdict]}"
            for verdict in VERDICT_ORDER
            if self.verdicts.get(verdict)
        ]
        return f"{count_of(self.sites, 'site')}: {', '.join(said) or 'none judged'}"


def trend_picture(points: Sequence[TrendPoint], *, ident: str) -> str:
    """Return one well-formed ``<svg>`` element, the oldest run on the left.

    Args:
        points: Oldest first, at least one.
        ident: Prefix for the ids of title and description: letters, digits and hyphens.
    """
    sheet = Sheet()
    most = max((point.sites for point in points), default=0) or 1
    step = (_WIDTH - 2 * _LEFT) / len(points)
    width = min(_WIDEST_BAR, int(step * 0.7) or 1)
    every = -(-len(points) // _DATES)
    for number, point in enumerate(points):
        middle = int(_LEFT + step * (number + 0.5))
        _bar(sheet, point, middle, width, most)
        if (len(points) - 1 - number) % every == 0:
            sheet.write(middle, _BOTTOM - 12, point.started_utc[5:10], "pp-small")
    first, last = points[0], points[-1]
    said = f"{first.started_utc}: {first.words()}. {last.started_utc}: {last.words()}."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pp pp-trend" role="img" '
        f'viewBox="0 0 {_WIDTH} {_BOTTOM}" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">Sites by verdict, run by run</title>'
        f'<desc id="{ident}-d">{for_html(said, lines=False)}</desc>{sheet.text()}</svg>'
    )


def _bar(sheet: Sheet, point: TrendPoint, middle: int, width: int, most: int) -> None:
    y = _BASE
    for verdict in reversed(VERDICT_ORDER):
        number = point.verdicts.get(verdict, 0)
        if number:
            # One site of thousands still shows.
            height = max(2, round(number * (_BASE - _TOP) / most))
            y -= height
            sheet.block(middle - width // 2, y, width, height, f"pp-block {verdict}")
    worst = point.verdicts.get("fault", 0)
    if worst:
        sheet.write(middle, y - 6, str(worst), "pp-mtu")
