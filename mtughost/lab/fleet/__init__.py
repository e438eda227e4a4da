"""The virtual fleet: SSH servers on loopback that behave like vendors' command lines.

State-based: what is set, the next ``show`` shows. The grammars, texts and semantics follow the
vendors' documents and recorded output, never our parsers. It needs no privileges and no namespaces.
"""

from __future__ import annotations

from mtughost.lab.fleet import needs as _needs  # noqa: F401 - before anything of the package
from mtughost.lab.fleet.clock import LoopClock, VirtualClock
from mtughost.lab.fleet.device import Account, Cli, Manners, VirtualDevice
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.project import write_project
from mtughost.lab.fleet.server import Fleet
from mtughost.lab.fleet.sites import FleetSpec, VirtualSite, make_sites

__all__ = [
    "Account",
    "Cli",
    "Fleet",
    "FleetSpec",
    "Handshake",
    "LoopClock",
    "Manners",
    "VirtualClock",
    "VirtualDevice",
    "VirtualSite",
    "make_sites",
    "write_project",
]
