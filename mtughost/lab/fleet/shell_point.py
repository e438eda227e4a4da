"""Virtual access points whose command line is a plain shell."""

from __future__ import annotations

from collections.abc import Callable

from mtughost.lab.fleet.clock import FleetClock
from mtughost.lab.fleet.device import Account, Identity, Manners
from mtughost.lab.fleet.plans import PointPlan
from mtughost.lab.fleet.shell import ShellRouter


class ShellPoint(ShellRouter):
    """One access point. ``reaches`` says whether full-size packets get through, now."""

    def __init__(
        self,
        identity: Identity,
        plan: PointPlan,
        *,
        clock: FleetClock,
        accounts: tuple[Account, ...] = (),
        manners: Manners | None = None,
        reaches: Callable[[], bool],
    ) -> None:
        self.plan = plan
        self.reaches = reaches
        super().__init__(identity, clock=clock, accounts=accounts, manners=manners)

    def load_saved(self) -> None:
        """Boot: it keeps no state of its own."""

    def state(self) -> object:
        """Return what could be changed: nothing."""
        return {}

    def obey(self, line: str) -> str:
        """Know no line that configures."""
        return f"{line.split(maxsplit=1)[0]}: not found\n"
