"""What the benchmark measured, as values and as tables. Measures nothing itself."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process cost, start-up included."""

    wall_s: float
    cpu_s: float
    rss_mb: float


@dataclass(slots=True)
class Contender:
    """One line of the table."""

    title: str
    argv: list[str]
    costs: list[Cost] = field(default_factory=list)
    wrong: int = 0
    checked: int = 0

    def median(self, name: str) -> float:
        """Return the median of one figure."""
        return float(statistics.median(getattr(cost, name) for cost in self.costs))


@dataclass(slots=True)
class Reading:
    """All contenders on one network."""

    title: str
    contenders: list[Contender]

    @property
    def wall_ratio(self) -> float:
        """Wall time of the audit in bare logins."""
        return self._audit("wall_s") / self.contenders[0].median("wall_s")

    @property
    def cpu_ratio(self) -> float:
        """Client CPU of the audit in plain nornir."""
        return self._audit("cpu_s") / self.contenders[-1].median("cpu_s")

    def _audit(self, name: str) -> float:
        return self.contenders[2].median(name)


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the verdict."""

    what: str
    limit: float
    measured: float
    unit: str = ""

    @property
    def reached(self) -> bool:
        """Whether the figure keeps the limit."""
        return self.measured <= self.limit


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return minimum, median and maximum."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:.{digits}f} / {middle:.{digits}f} / {high:.{digits}f}"


def row(cells: Sequence[object]) -> str:
    """Return one line of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _fleet_table(contenders: Sequence[Contender]) -> list[str]:
    rows = [
        row(
            [
                "contender",
                "wall s",
                "client CPU s",
                "peak MB",
                "wall / bare logins",
                "answers wrong / checked",
            ]
        ),
        "|---|---|---|---|---|---|",
    ]
    bare = contenders[0]
    for item in contenders:
        wall, cpu = ([getattr(c, name) for c in item.costs] for name in ("wall_s", "cpu_s"))
        rss = max(cost.rss_mb for cost in item.costs)
        ratio = item.median("wall_s") / bare.median("wall_s")
        checked = f"{item.wrong} / {item.checked}" if item.checked else "-"
        rows.append(
            row([item.title, spread(wall), spread(cpu), f"{rss:.0f}", f"{ratio:.2f}", checked])
        )
    return rows


def reading_lines(reading: Reading) -> list[str]:
    """Return the table of one network and what it says."""
    bare, script, audit, eager, plain = reading.contenders
    wall = [c.median("wall_s") / bare.median("wall_s") for c in (script, eager, audit)]
    words = (
        f"The audit takes **{reading.wall_ratio:.2f}** times the wall time of bare logins, "
        f"**{reading.cpu_ratio:.2f}** of the client CPU of plain nornir and "
        f"{audit.median('wall_s') / plain.median('wall_s'):.2f} of its wall time. In bare logins: "
        f"the same commands as one script {wall[0]:.2f}, the audit with all logins at once "
        f"{wall[1]:.2f}, with canary and ramp {wall[2]:.2f}."
    )
    return [f"### Over {reading.title}", "", *_fleet_table(reading.contenders), "", words]


WHY = """\
On the lab's own network nothing waits for anything but the processor: a login takes no round trips
worth the name, and the devices start some 25 processes each on the client's own cores, so that wall
time is the sum of both sides' work. With a round trip before every device a reader's time is mostly
the number of times that it waits for an answer, as on a real network; the devices' processes and
the relay still run on the same cores."""


def network_targets(reading: Reading) -> list[Target]:
    """Return what was promised about reading a fleet."""
    audit = reading.contenders[2]
    over = f"audit over {reading.title}"
    return [
        Target(f"{over}: wall / bare logins", 1.5, reading.wall_ratio),
        Target(f"{over}: client CPU / plain nornir", 0.5, reading.cpu_ratio),
        Target(f"{over}: peak memory", 200, max(c.rss_mb for c in audit.costs), "MB"),
        Target(f"{over}: wrong answers", 0, audit.wrong),
    ]


def single_targets(single: dict[str, list[float]]) -> list[Target]:
    """Return what was promised about single figures, in the order of the steps."""
    limits = (5, 15, 10, 0.3)
    return [
        Target(what, limit, statistics.median(values), "s")
        for (what, values), limit in zip(single.items(), limits, strict=True)
    ]


def verdict_lines(targets: Sequence[Target]) -> list[str]:
    """Return the table of all targets."""
    lines = [row(["what", "target", "measured", "reached"]), "|---|---|---|---|"]
    for t in targets:
        limit = f"<= {t.limit:g} {t.unit}".rstrip()
        lines.append(row([t.what, limit, f"{t.measured:.2f}", "yes" if t.reached else "NO"]))
    return lines
