"""Virtual access points of vendors that show and, to us, do nothing else: lines and their answers.

What a line answers follows from the device's state and its surroundings at that moment.
"""

from __future__ import annotations

import datetime as dt
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from mtughost.lab.fleet.device import Account, Cli, Page
from mtughost.lab.fleet.point import IdlePoint

#: UTC at which every virtual access point was switched on.
POWERED_ON = dt.datetime(2026, 11, 21, 12, 0, 0, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a vendor's command line looks.

    Attributes:
        prompt: With ``{}`` for the host name.
        unknown: What it says to a line that it does not know; ``{}`` is the line.
        paging_off: The line that switches the pager off, for this login.
        hidden: Beginnings of lines that an account which sees a part does not know.
        after: What ends every answer.
    """

    prompt: str
    unknown: str
    paging_off: str = ""
    hidden: tuple[str, ...] = ()
    after: str = ""
    page: Page = field(default_factory=Page)


class TablePoint(IdlePoint):
    """One access point. ``reaches`` says whether full-size packets get through, now."""

    layout: Layout

    @property
    def now(self) -> dt.datetime:
        """Its clock, UTC."""
        return POWERED_ON + dt.timedelta(seconds=int(self.clock.now_s()))

    @abstractmethod
    def answers(self) -> Mapping[str, str]:
        """Return what every line answers, now."""

    def command_line(self, account: Account) -> Cli:
        """Return its command line."""
        return TableCli(self, account)


class TableCli(Cli):
    """One login."""

    device: TablePoint

    def __init__(self, device: TablePoint, account: Account) -> None:
        super().__init__(device, account)
        self.page = device.layout.page
        self._pages = True

    @property
    def prompt(self) -> str:
        """Host name and sign."""
        return self.device.layout.prompt.format(self.device.identity.hostname)

    @property
    def page_rows(self) -> int:
        """The pager's setting of this login."""
        return self.device.manners.page_rows if self._pages else 0

    def run(self, line: str) -> str:
        """Answer one line."""
        layout, words = self.device.layout, " ".join(line.split())
        if not words:
            return ""
        if words == layout.paging_off:
            self._pages = False
            return layout.after
        if words in {"exit", "quit"}:
            self.ended = True
            return ""
        hidden = self.account.level == "partial" and words.startswith(layout.hidden)
        known = {} if hidden else self.device.answers()
        return known.get(words, layout.unknown.format(words)) + layout.after
