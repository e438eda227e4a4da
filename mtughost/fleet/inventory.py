"""The inventory: Nornir SimpleInventory files, checked whole, as frozen values.

``load_inventory`` gives mtughost's own values; :class:`MtughostInventory` gives Nornir's hosts
from the same files and checks, for people who write Nornir tasks of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nornir.core.inventory import (
    ConnectionOptions,
    Defaults,
    Group,
    Groups,
    Host,
    Hosts,
    ParentGroups,
)
from nornir.core.inventory import Inventory as NornirInventory

from mtughost.fleet.devices import DeviceMaker
from mtughost.fleet.files import Files, read_files
from mtughost.fleet.links import check_endpoints, check_jumps, make_sites, pair_peers
from mtughost.fleet.problems import Problems
from mtughost.fleet.resolve import Layers, group_order, host_layers
from mtughost.fleet.schema import DefaultsEntry, HostEntry
from mtughost.fleet.text import is_reference
from mtughost.model.errors import UsageError
from mtughost.model.inventory import Device, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A whole inventory, or the part of it that was selected.

    Attributes:
        directory: The folder that it was read from.
        sites: The selected sites with their selected devices, in the order of the file.
        known: Every device of the whole inventory by name, jump hosts included, also where only a
            part is selected: a jump host is needed to reach the others.
        groups: Names of the groups of each host, nearest first.
        warnings: What is allowed but should be looked at, one readable line each.
        digest: ``sha256:...`` over the three files.
    """

    directory: str
    sites: tuple[Site, ...]
    known: Mapping[str, Device]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    digest: str = ""

    @property
    def devices(self) -> tuple[Device, ...]:
        """Return the selected devices, site by site. Jump hosts are never among them."""
        return tuple(device for site in self.sites for device in site.devices)

    def site(self, name: str) -> Site:
        """Return one selected site.

        Raises:
            UsageError: no such site is selected.
        """
        for site in self.sites:
            if site.name == name:
                return site
        raise UsageError(f"no site is called {name}")

    def jump_chain(self, device: Device) -> tuple[Device, ...]:
        """Return the jump hosts on the way to ``device``, the first one to dial first."""
        chain: list[Device] = []
        while device.jump:
            device = self.known[device.jump]
            chain.insert(0, device)
        return tuple(chain)


def load_inventory(directory: Path, *, known_platforms: Collection[str] | None = None) -> Inventory:
    """Read and check hosts.yaml, groups.yaml and defaults.yaml.

    Args:
        directory: The folder that holds them; only hosts.yaml must exist.
        known_platforms: Names of the task books; ``None`` leaves ``platform`` unchecked.

    Raises:
        InventoryError: everything that is wrong, each with file, line, host, key and what was
            expected; ``str()`` of it is the readable list.
    """
    return _load(directory, known_platforms)[0]


def _load(directory: Path, known_platforms: Collection[str] | None) -> tuple[Inventory, Files]:
    problems = Problems()
    files = read_files(directory, problems)
    layers = _layers(files, problems)
    maker = DeviceMaker(
        base=directory.absolute(), known_platforms=known_platforms, problems=problems
    )
    made = {name: maker.make(layer) for name, layer in layers.items()}
    devices = {name: device for name, device in made.items() if device is not None}
    check_endpoints(devices, layers, problems)
    if len(layers) == len(files.hosts):
        # A host that could not be read at all must not look like a missing one.
        check_jumps(devices, layers, problems)
    devices = pair_peers(devices, layers, problems)
    sites = make_sites(devices, layers, problems)
    problems.raise_all()
    inventory = Inventory(
        directory=str(directory),
        sites=sites,
        known=devices,
        groups={name: layer.group_names for name, layer in layers.items()},
        warnings=(*maker.warnings, *_unused(files)),
        digest=files.digest,
    )
    return inventory, files


def _layers(files: Files, problems: Problems) -> dict[str, Layers]:
    orders = group_order(files, problems)
    found = {name: host_layers(name, files, orders, problems) for name in files.hosts}
    return {name: layer for name, layer in found.items() if layer is not None}


def _unused(files: Files) -> list[str]:
    entries = [*files.hosts.values(), *files.groups.values(), files.defaults]
    return [
        f"{place.path}:{place.line(('connection_options',))}: {place.owner or 'defaults'}: "
        "connection_options are for other tools, mtughost does not use them"
        for entry, place in entries
        if entry is not None and entry.connection_options
    ]


class MtughostInventory:
    """Nornir inventory plugin ``mtughost_inventory``: the same files, the same checks.

    A literal password is handed on; a *reference* is not resolved here and stays out of
    ``Host.password``, so that no library can send the text ``env:NAME`` to a device.

    Args:
        directory: Folder with hosts.yaml, groups.yaml and defaults.yaml.
        known_platforms: Names of the task books; ``None`` leaves ``platform`` unchecked.
    """

    def __init__(
        self, directory: str | Path = "inventory", known_platforms: Collection[str] | None = None
    ) -> None:
        self._directory = Path(directory).expanduser()
        self._known_platforms = known_platforms

    def load(self) -> NornirInventory:
        """Return Nornir's own inventory.

        Raises:
            InventoryError: as :func:`load_inventory`.
        """
        _, files = _load(self._directory, self._known_platforms)
        entry = files.defaults[0]
        defaults = Defaults(**_attributes(entry)) if entry else Defaults()
        groups = Groups()
        for name, (group, _) in files.groups.items():
            groups[name] = Group(name=name, defaults=defaults, **_attributes(group))
        for name, (group, _) in files.groups.items():
            groups[name].groups = _parents(group, groups)
        hosts = Hosts()
        for name, (host, _) in files.hosts.items():
            hosts[name] = Host(name=name, defaults=defaults, **_attributes(host))
            hosts[name].groups = _parents(host, groups)
        return NornirInventory(hosts=hosts, groups=groups, defaults=defaults)


def _parents(entry: HostEntry | None, groups: Groups) -> ParentGroups:
    return ParentGroups([groups[name] for name in (entry.groups if entry else None) or []])


def _attributes(entry: DefaultsEntry | None) -> dict[str, Any]:
    if entry is None:
        return {}
    literal = entry.password is not None and not is_reference(entry.password)
    options = entry.connection_options or {}
    return {
        "hostname": entry.hostname,
        "port": entry.port,
        "username": entry.username,
        "password": entry.password if literal else None,
        "platform": entry.platform,
        "data": entry.data.model_dump(exclude_unset=True) if entry.data else {},
        "connection_options": {
            name: ConnectionOptions(**option.model_dump()) for name, option in options.items()
        },
    }
