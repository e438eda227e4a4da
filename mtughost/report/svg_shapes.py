"""The few shapes that the path picture is drawn from."""

from __future__ import annotations

from typing import Final, Literal

from mtughost.report.safe_text import for_html, inert
from mtughost.report.summary import Outcome as PathOutcome

Point = tuple[int, int]
#: How a line looks; ``plain`` says nothing about it.
Outcome = PathOutcome | Literal["plain"]

#: Colours for use outside our page; the page's own CSS has the same classes with its themes.
STANDALONE_STYLE: Final = (
    ".pp{font-family:system-ui,sans-serif;font-size:13px}"
    ".pp text{fill:#1c2530}.pp .pp-small{fill:#56616e;font-size:12px}.pp .pp-mtu{font-weight:600}"
    ".pp-box{fill:#fff;stroke:#8a94a0}.pp-pipe{fill:#e6edf3;stroke:#9fb0c0}"
    ".pp-pipe-unknown{fill:none;stroke-dasharray:5 4}"
    ".pp-line{fill:none;stroke-width:2.5}.pp-after{stroke-dasharray:2 6;opacity:.55}"
    ".pp-line.pp-lost{stroke:#b3261e}.pp-line.pp-at-risk{stroke:#8a5a00}"
    ".pp-line.pp-fits{stroke:#1d6b42}.pp-line.pp-unknown{stroke:#56616e;stroke-dasharray:7 5}"
    ".pp-mark{fill:#fff;stroke-width:2.5}.pp text.pp-lost{fill:#b3261e;font-weight:600}"
    ".pp text.pp-at-risk{fill:#8a5a00;font-weight:600}"
    ".pp-mark.pp-lost{stroke:#b3261e}.pp-mark.pp-at-risk{stroke:#8a5a00}"
    ".pp-mark.pp-fits{stroke:#1d6b42}.pp-mark.pp-unknown{stroke:#56616e}"
    ".pp-line.pp-plain{stroke:#46525f;stroke-width:1.6}.pp-line.pp-life{stroke:#9fb0c0;stroke-width:1.25}"
)


def label(text: str, max_chars: int) -> str:
    """Return ``text`` cut to what a box holds; the full text is in the description."""
    shown = inert(text)
    return shown if len(shown) <= max_chars else shown[: max_chars - 1] + "\u2026"


class Sheet:
    """Collects SVG elements. Every text goes through :func:`for_html`."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def text(self) -> str:
        """Return the elements."""
        return "".join(self._parts)

    def write(self, x: int, y: int, words: str, css: str, *, anchor: str = "middle") -> None:
        """Write one line of text."""
        if words:
            self._parts.append(
                f'<text x="{x}" y="{y}" text-anchor="{anchor}" class="{css}">'
                f"{for_html(words, lines=False)}</text>"
            )

    def box(self, x: int, y: int, width: int, height: int, words: tuple[str, str, str]) -> None:
        """Draw a device: kind, name, figure."""
        self._parts.append(
            f'<rect class="pp-box" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
        )
        shown = [(word, css) for word, css in zip(words, _BOX_CSS, strict=True) if word]
        top = y + height // 2 - 9 * (len(shown) - 1) + 5
        for step, (word, css) in enumerate(shown):
            self.write(x + width // 2, top + 19 * step, word, css)

    def pipe(self, x: int, y: int, width: int, height: int, *, known: bool) -> None:
        """Draw a stretch of the path; dashed when its MTU is unknown."""
        css = "pp-pipe" if known else "pp-pipe pp-pipe-unknown"
        self._parts.append(
            f'<rect class="{css}" x="{x}" y="{y}" width="{width}" height="{height}"/>'
        )

    def lane(self, begin: Point, end: Point, outcome: Outcome, *, stop: Point | None) -> None:
        """Draw one direction with its start, its arrow head and, where it stops, the mark."""
        css = f"pp-line pp-{outcome}"
        self._parts.append(
            f'<circle class="pp-mark pp-{outcome}" cx="{begin[0]}" cy="{begin[1]}" r="4"/>'
        )
        if stop is None:
            self._line(_towards(begin, end, 4), end, css)
            self._head(begin, end, css)
            return
        self._line(_towards(begin, stop, 4), _towards(stop, begin, 12), css)
        self._line(_towards(stop, end, 14), end, f"{css} pp-after")
        if outcome != "lost":
            self._head(begin, end, css)
        self._mark(stop, outcome)

    def arrow(self, begin: Point, end: Point, outcome: Outcome, *, lost: bool) -> None:
        """Draw one packet between two lifelines; a lost one ends in a cross before its end."""
        css = f"pp-line pp-{outcome}"
        if not lost:
            self._line(begin, end, css)
            self._head(begin, end, css)
            return
        x, y = _towards(end, begin, 16)
        self._line(begin, (x, y), css)
        cross = f"M{x - 5} {y - 5}L{x + 5} {y + 5}M{x + 5} {y - 5}L{x - 5} {y + 5}"
        self._parts.append(f'<path class="{css}" d="{cross}"/>')

    def block(self, x: int, y: int, width: int, height: int, css: str) -> None:
        """Draw a part of a bar."""
        self._parts.append(
            f'<rect class="{css}" x="{x}" y="{y}" width="{width}" height="{height}"/>'
        )

    def lifeline(self, x: int, begin: int, end: int) -> None:
        """Draw one end of a conversation through time."""
        self._line((x, begin), (x, end), "pp-line pp-life")

    def _line(self, begin: Point, end: Point, css: str) -> None:
        self._parts.append(f'<path class="{css}" d="M{begin[0]} {begin[1]}L{end[0]} {end[1]}"/>')

    def _head(self, begin: Point, end: Point, css: str) -> None:
        x, y = end
        back_x, back_y = _towards(end, begin, 11)
        side_x, side_y = (0, 6) if begin[1] == end[1] else (6, 0)
        self._parts.append(
            f'<path class="{css} pp-head" d="M{back_x - side_x} {back_y - side_y}L{x} {y}'
            f'L{back_x + side_x} {back_y + side_y}"/>'
        )

    def _mark(self, at: Point, outcome: Outcome) -> None:
        x, y = at
        css = f"pp-mark pp-{outcome}"
        self._parts.append(f'<circle class="{css}" cx="{x}" cy="{y}" r="11"/>')
        if outcome == "lost":
            cross = f"M{x - 5} {y - 5}L{x + 5} {y + 5}M{x + 5} {y - 5}L{x - 5} {y + 5}"
        else:
            cross = f"M{x} {y - 6}L{x} {y + 1}M{x} {y + 4}L{x} {y + 6}"
        self._parts.append(f'<path class="pp-line pp-{outcome}" d="{cross}"/>')


_BOX_CSS: Final = ("pp-small", "pp-name", "pp-mtu")


def _towards(begin: Point, end: Point, distance: int) -> Point:
    """Return the point ``distance`` from ``begin`` on the way to ``end`` (axis-parallel)."""
    if begin[0] == end[0]:
        return begin[0], begin[1] + (distance if end[1] > begin[1] else -distance)
    return begin[0] + (distance if end[0] > begin[0] else -distance), begin[1]
