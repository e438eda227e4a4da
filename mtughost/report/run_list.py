"""The stored runs on a terminal, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from mtughost.model.findings import SiteVerdict
from mtughost.report.safe_text import for_terminal
from mtughost.report.words import VERDICT_ORDER, VERDICT_WORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run.

    Attributes:
        asked: Devices that were asked for.
        counts: Devices by status.
        verdicts: Sites by verdict; empty without a report.
    """

    run_id: str
    kind: str
    state: str
    asked: int
    counts: Mapping[str, int]
    verdicts: Mapping[SiteVerdict, int]


def render_runs(lines: Iterable[RunLine]) -> Table | Text:
    """Return the list as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "kind", "state", "devices", "sites"):
        table.add_column(name, overflow="fold", no_wrap=name == "run")
    for line in lines:
        cells = (line.run_id, line.kind, line.state, _devices(line), _sites(line))
        table.add_row(*(Text(for_terminal(cell)) for cell in cells))
    return table if table.row_count else Text("No run is stored yet.")


def _devices(line: RunLine) -> str:
    read = line.counts.get("ok", 0)
    return f"{read} of {line.asked} read"


def _sites(line: RunLine) -> str:
    said = (
        f"{line.verdicts[verdict]} {VERDICT_WORDS[verdict]}"
        for verdict in VERDICT_ORDER
        if line.verdicts.get(verdict)
    )
    return ", ".join(said) or "no report"
