"""How text reaches a rich console: always as ``Text``, never as markup, inert, ASCII on demand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.console import ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mtughost.model.findings import SiteVerdict
from mtughost.report import words
from mtughost.report.safe_text import ascii_only, for_terminal

#: Colour only repeats what the word says.
VERDICT_STYLE: Final[dict[SiteVerdict, str]] = {
    "fault": "bold red",
    "latent": "yellow",
    "unknown": "cyan",
    "not-mtu": "magenta",
    "ok": "green",
}


@dataclass(frozen=True, slots=True)
class Ink:
    """Makes console text for one output.

    Attributes:
        ascii: The output cannot encode more than ASCII.
    """

    ascii: bool

    @classmethod
    def of(cls, options: ConsoleOptions) -> Ink:
        """Return the ink for a console as it prints now."""
        return cls(ascii=options.ascii_only)

    def words(self, text: str, *, lines: bool = False) -> str:
        """Return inert words."""
        shown = for_terminal(text, lines=lines)
        return ascii_only(shown) if self.ascii else shown

    def text(self, text: str, style: str = "", *, lines: bool = False) -> Text:
        """Return inert text in a style. Long words fold, nothing is cut off."""
        return Text(self.words(text, lines=lines), style=style, overflow="fold")

    def verdict(self, verdict: SiteVerdict) -> Text:
        """Return the word for a verdict."""
        return self.text(words.VERDICT_WORDS[verdict], VERDICT_STYLE[verdict])

    def table(self, *headers: str, figures: Iterable[str] = (), caption: str = "") -> Table:
        """Return an empty table whose cells fold; ``figures`` names right-aligned columns."""
        right = frozenset(figures)
        table = Table(
            box=box.ASCII2 if self.ascii else box.SIMPLE_HEAD,
            pad_edge=False,
            header_style="bold",
            caption=self.text(caption, "dim") if caption else None,
            caption_justify="left",
        )
        for header in headers:
            table.add_column(
                self.text(header),
                justify="right" if header in right else "left",
                overflow="fold",
            )
        return table

    def labelled(self, label: str, value: RenderableType) -> Table:
        """Return ``label  value`` with the value folding under itself."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=14, overflow="fold")
        grid.add_column(ratio=1, overflow="fold")
        grid.add_row(self.text(label, "dim"), value)
        return grid

    def indented(self, *parts: RenderableType) -> Padding:
        """Return the parts two columns in."""
        return Padding(Group(*parts), (0, 0, 0, 2))
