"""What an audit does at one device, in this process or in a worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from mtughost.app.project import Project
from mtughost.app.sessions import SessionFactory
from mtughost.collect.visit import Visit, read_device
from mtughost.fleet.inventory import Inventory
from mtughost.fleet.threads import login_proven
from mtughost.model.inventory import Device
from mtughost.model.session import Clock
from mtughost.wire.clock import SystemClock
from mtughost.wire.process import tune_process

#: A worker costs a second of CPU to start, and pickling what it read costs about 3 ms a device:
#: fewer devices are sooner read without.
DEVICES_PER_WORKER = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitSetup:
    """What a worker needs to know. No secret: references are resolved where they are used.

    Attributes:
        project: Content, host keys, settings.
        jumps: The jump hosts on the ways to the selected devices, by name.
        platforms: Those of the selected devices: what reads them is loaded before the first visit.
    """

    project: Project
    jumps: Mapping[str, Device]
    platforms: tuple[str, ...] = ()


class Reader:
    """Reads devices passively."""

    def __init__(self, factory: SessionFactory, clock: Clock) -> None:
        self._factory = factory
        self._clock = clock

    def visit(self, device: Device) -> Visit:
        """Log in, read what the task book reads, log out.

        Raises:
            DeviceError: the login failed, or nothing was answered.
        """
        factory = self._factory
        with closing(factory.open(device)) as session:
            login_proven()
            visit = read_device(
                session, factory.book(device), factory.project.content, device, clock=self._clock
            )
            facts = replace(
                visit.facts,
                login_needed_small_mss=session.small_mss_login,
                login_by_default=factory.uses_default_login(device),
            )
            return replace(visit, facts=facts)


def make_reader(setup: VisitSetup, note: Callable[[str], None]) -> Reader:
    """Make a reader in a worker process."""
    tune_process()
    clock = SystemClock()
    # A worker has nobody at its side: a code is asked for where policy.processes is 1.
    factory = SessionFactory(setup.project, setup.jumps, clock=clock, warn=note, ask=None)
    for platform in setup.platforms:
        factory.prepare(platform)
    return Reader(factory, clock)


def jumps_of(inventory: Inventory) -> dict[str, Device]:
    """Return the jump hosts on the ways to the selected devices, by name."""
    jumps: dict[str, Device] = {}
    waiting = [device.jump for device in inventory.devices]
    while waiting:
        name = waiting.pop()
        if name and name not in jumps:
            jumps[name] = inventory.known[name]
            waiting.append(jumps[name].jump)
    return jumps


def processes_for(devices: int, wanted: int) -> int:
    """Return how many processes read a fleet; 1 is this process alone.

    Args:
        devices: How many there are to read.
        wanted: ``policy.processes``; 0 leaves the choice to us.
    """
    if wanted:
        return wanted
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, devices // DEVICES_PER_WORKER))
