"""What every virtual access point is, whatever its command line."""

from __future__ import annotations

from collections.abc import Callable

from mtughost.lab.fleet.clock import FleetClock
from mtughost.lab.fleet.device import Account, Identity, Manners, VirtualDevice
from mtughost.lab.fleet.plans import PointPlan


class Point(VirtualDevice):
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

    @property
    def address(self) -> str:
        """Its own address."""
        return self.plan.address.partition("/")[0]


class IdlePoint(Point):
    """An access point that nobody can change."""

    def load_saved(self) -> None:
        """Boot: it keeps no state of its own."""

    def state(self) -> object:
        """Return what could be changed: nothing."""
        return {}
