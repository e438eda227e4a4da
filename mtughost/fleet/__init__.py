"""Nornir: inventory, selection, runner. The names below are what other rooms use.

They are loaded when first asked for: who begins a worker's process early must not wait for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtughost.fleet.inventory import Inventory, MtughostInventory, load_inventory
    from mtughost.fleet.outcome import FleetSummary, HostOutcome
    from mtughost.fleet.ramp import RampPolicy
    from mtughost.fleet.runner import run_fleet
    from mtughost.fleet.selection import select
    from mtughost.fleet.threads import RampRunner, login_proven

_PLACES = {
    "FleetSummary": "outcome",
    "HostOutcome": "outcome",
    "Inventory": "inventory",
    "MtughostInventory": "inventory",
    "RampPolicy": "ramp",
    "RampRunner": "threads",
    "load_inventory": "inventory",
    "login_proven": "threads",
    "run_fleet": "runner",
    "select": "selection",
}

__all__ = [
    "FleetSummary",
    "HostOutcome",
    "Inventory",
    "MtughostInventory",
    "RampPolicy",
    "RampRunner",
    "load_inventory",
    "login_proven",
    "run_fleet",
    "select",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"mtughost.fleet.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
