"""How a run ended, and how all runs stand, for a terminal: what needs a person comes last.

Devices that ended alike stand together: of 200 stores nobody reads 190 equal lines.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from mtughost.report.safe_text import for_terminal

#: From what needs no look to what needs one first; the last lines are what stays on the screen.
ORDER: Final = (
    *("confirmed", "planned", "not-started", "skipped", "refused"),
    *("armed", "applying", "applied", "verified", "confirming", "reverted", "needs-human"),
)
#: So many devices that ended alike have a line each.
_EACH: Final = 3
_WIDTH: Final = 78


class Ended(Protocol):
    """How one device ended."""

    @property
    def device(self) -> str:
        """Inventory name."""

    @property
    def outcome(self) -> str:
        """One of :data:`ORDER`."""

    @property
    def reason(self) -> str:
        """One sentence."""

    @property
    def detail(self) -> tuple[str, ...]:
        """Drift, answers, evidence."""


def counted(outcomes: Iterable[str]) -> str:
    """Return ``200 devices: 192 confirmed, 5 skipped, 3 reverted``."""
    found = Counter(outcomes)
    known = [name for name in ORDER if name in found]
    total = found.total()
    told = ", ".join(f"{found[name]} {name}" for name in (*known, *sorted(set(found) - set(known))))
    return f"{total} device{'' if total == 1 else 's'}: {told}"


def run_lines(devices: Sequence[Ended]) -> Iterator[str]:
    """Yield how every device of a run ended, and the sum."""
    for group in _alike(devices):
        first = group[0]
        if len(group) > _EACH and not first.detail:
            yield for_terminal(f"{first.outcome}, {len(group)} devices: {first.reason}")
            yield from _names([one.device for one in group])
            continue
        for one in group:
            yield for_terminal(f"{one.device}: {one.outcome}: {one.reason}")
            yield from (for_terminal(f"  {line}") for line in one.detail)
    if len(devices) > 1:
        yield counted(one.outcome for one in devices)


def _alike(devices: Sequence[Ended]) -> list[list[Ended]]:
    """Put together what ended alike, in the order of :data:`ORDER`."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Ended]] = {}
    for one in devices:
        groups.setdefault((one.outcome, one.reason, one.detail), []).append(one)
    return sorted(groups.values(), key=lambda group: _rank(group[0].outcome))


def _rank(outcome: str) -> int:
    return ORDER.index(outcome) if outcome in ORDER else len(ORDER)


def _names(names: Sequence[str]) -> Iterator[str]:
    text = ", ".join(for_terminal(name) for name in names)
    yield from textwrap.wrap(
        text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


class Stands(Protocol):
    """Where one device of a run stands."""

    @property
    def run_id(self) -> str:
        """The run."""

    @property
    def device(self) -> str:
        """Inventory name."""

    @property
    def state(self) -> str:
        """One of :data:`ORDER`."""

    @property
    def last_event(self) -> str:
        """The journal's last word on it."""

    @property
    def last_utc(self) -> str:
        """When that was."""

    @property
    def reason(self) -> str:
        """One sentence."""


def status_lines(found: Sequence[Stands]) -> Iterator[str]:
    """Yield where every device of every run stands, run by run, each with its sum."""
    for run_id in dict.fromkeys(one.run_id for one in found):
        mine = [one for one in found if one.run_id == run_id]
        groups: dict[tuple[str, str], list[Stands]] = {}
        for one in mine:
            groups.setdefault((one.state, one.reason), []).append(one)
        for group in sorted(groups.values(), key=lambda group: _rank(group[0].state)):
            first = group[0]
            if len(group) > _EACH:
                yield for_terminal(f"{run_id} {first.state}, {len(group)} devices: {first.reason}")
                yield from _names([one.device for one in group])
                continue
            for one in group:
                yield for_terminal(
                    f"{run_id} {one.device}: {one.state} ({one.last_event} {one.last_utc})"
                    + (f": {one.reason}" if one.reason else "")
                )
        if len(mine) > 1:
            yield for_terminal(f"{run_id}: {counted(one.state for one in mine)}")
