"""Nornir: inventory, selection, runner. The names below are what other rooms use."""

from mtughost.fleet.inventory import Inventory, MtughostInventory, load_inventory
from mtughost.fleet.outcome import FleetSummary, HostOutcome
from mtughost.fleet.ramp import RampPolicy
from mtughost.fleet.runner import run_fleet
from mtughost.fleet.selection import select
from mtughost.fleet.threads import RampRunner, login_proven

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
