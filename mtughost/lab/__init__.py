"""The foundry: labs of real kernels, packet filters and servers in network namespaces."""

from __future__ import annotations

from mtughost.lab.handle import Lab
from mtughost.lab.measure import Truth, truth, truths, with_reboot
from mtughost.lab.modes import CATALOGUE, MODES
from mtughost.lab.runtime import LabStatus, down, down_all, find, list_labs, up
from mtughost.lab.scenarios import SCENARIOS, Scenario
from mtughost.lab.snapshots import Snapshot, snapshot
from mtughost.lab.spec import LabSpec, SiteSpec, flagship, retail_chain, scale, sites_of

__all__ = [
    "CATALOGUE",
    "MODES",
    "SCENARIOS",
    "Lab",
    "LabSpec",
    "LabStatus",
    "Scenario",
    "SiteSpec",
    "Snapshot",
    "Truth",
    "down",
    "down_all",
    "find",
    "flagship",
    "list_labs",
    "retail_chain",
    "scale",
    "sites_of",
    "snapshot",
    "truth",
    "truths",
    "up",
    "with_reboot",
]
