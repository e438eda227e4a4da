"""Who is visited in an audit, and what a worker must know. What visits is in ``app/reader.py``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mtughost.app.project import Project
from mtughost.fleet.inventory import Inventory
from mtughost.model.inventory import Device

#: What workers are forked from takes a second of CPU to load, and what they read 2 ms a device to
#: travel: fewer devices are sooner read without.
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
