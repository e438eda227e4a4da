"""What a run over the fleet hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from mtughost.model.errors import DeviceError
from mtughost.model.findings import HostStatus
from mtughost.model.inventory import Device

T = TypeVar("T")
Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOutcome(Generic[T]):
    """How one device ended.

    Attributes:
        device: The device.
        status: ``ok``, ``failed``, or ``skipped`` (never tried, or given up at Ctrl-C).
        value: What the visit returned, only when ok.
        error: The typed error of a failed or skipped device; ``None`` also where an untyped
            exception, a bug of ours, ended the visit.
        reason: One readable line, empty when ok.
        tries: How often a connection was tried.
        duration_s: Monotonic, over all tries.
    """

    device: Device
    status: Status
    value: T | None = None
    error: DeviceError | None = None
    reason: str = ""
    tries: int = 0
    duration_s: float = 0.0

    @property
    def host_status(self) -> HostStatus:
        """Return what the store and the reports keep."""
        bug = "internal-error" if self.status == "failed" else ""
        return HostStatus(
            host=self.device.name,
            site=self.device.site,
            role=self.device.role,
            status=self.status,
            error=self.reason,
            error_kind=self.error.kind if self.error is not None else bug,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSummary:
    """The account of a run: ``asked = ok + failed + skipped``, always.

    Attributes:
        hosts: One for each device that was asked for, in the order asked.
        interrupted: Whether Ctrl-C or a stop ended it early.
        stopped_realms: Credentials that were stopped because devices refused them.
        duration_s: Monotonic.
    """

    hosts: tuple[HostStatus, ...] = field(default=())
    interrupted: bool = False
    stopped_realms: tuple[str, ...] = ()
    duration_s: float = 0.0

    @property
    def asked(self) -> int:
        """How many devices were asked for."""
        return len(self.hosts)

    @property
    def ok(self) -> int:
        """How many answered."""
        return self._count("ok")

    @property
    def failed(self) -> int:
        """How many failed."""
        return self._count("failed")

    @property
    def skipped(self) -> int:
        """How many were not tried, or given up."""
        return self._count("skipped")

    def _count(self, status: Status) -> int:
        return sum(1 for host in self.hosts if host.status == status)
