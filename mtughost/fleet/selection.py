"""Which devices a command is about: ``--site`` and ``--filter``.

Nothing selected is an error, and so is a site pattern that matches nothing beside others that do:
a misspelt store must not look like an audited one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from mtughost.fleet.inventory import Inventory
from mtughost.fleet.problems import some, suggest
from mtughost.model.errors import UsageError
from mtughost.model.inventory import Device, Site

_KEYS: dict[str, Callable[[Inventory, Site, Device], tuple[str, ...]]] = {
    "host": lambda _inventory, _site, device: (device.name,),
    "site": lambda _inventory, _site, device: (device.site,),
    "role": lambda _inventory, _site, device: (device.role,),
    "platform": lambda _inventory, _site, device: (device.platform,),
    "group": lambda inventory, _site, device: inventory.groups.get(device.name, ()),
    "address": lambda _inventory, _site, device: (device.address,),
    "jump": lambda _inventory, _site, device: (device.jump,),
    "managed_by": lambda _inventory, _site, device: (device.managed_by,),
    "region": lambda _inventory, _site, device: (device.region,),
    "isp": lambda _inventory, site, _device: (site.info.isp,),
    "lab": lambda _inventory, _site, device: (device.lab,),
}


@dataclass(frozen=True, slots=True)
class _Term:
    key: str
    pattern: str
    negated: bool

    def holds(self, values: tuple[str, ...]) -> bool:
        return any(fnmatchcase(value, self.pattern) for value in values) != self.negated


def select(inventory: Inventory, *, sites: Sequence[str] = (), where: str = "") -> Inventory:
    """Return the part of an inventory that is meant.

    Args:
        inventory: The whole inventory.
        sites: Site names or globs; a site is meant when any of them matches. Empty means all.
        where: ``KEY=GLOB`` or ``KEY!=GLOB``, separated by commas:
            ``role=ap,platform=linux,site=s0*``. Different keys must all hold; of several terms
            ``KEY=`` with the same key, one must hold.

    Returns:
        The same inventory with only the selected sites and devices. Jump hosts stay known.

    Raises:
        UsageError: a filter that cannot be read, a site pattern without a match, or nothing left.
    """
    terms = _read_filter(where)
    _check_sites(inventory, sites)
    chosen: list[Site] = []
    for site in inventory.sites:
        if sites and not any(fnmatchcase(site.name, pattern) for pattern in sites):
            continue
        devices = tuple(d for d in site.devices if _holds(inventory, site, d, terms))
        if devices:
            chosen.append(replace(site, devices=devices))
    if not chosen:
        asked = [*(f"--site {name}" for name in sites), *([f"--filter {where}"] if where else [])]
        raise UsageError(
            f"nothing in the inventory matches {' '.join(asked) or 'the selection'}",
            todo=_what_exists(inventory),
        )
    return replace(inventory, sites=tuple(chosen))


def _holds(inventory: Inventory, site: Site, device: Device, terms: Sequence[_Term]) -> bool:
    wanted: dict[str, bool] = {}
    for term in terms:
        holds = term.holds(_KEYS[term.key](inventory, site, device))
        if term.negated and not holds:
            return False
        if not term.negated:
            wanted[term.key] = wanted.get(term.key, False) or holds
    return all(wanted.values())


def _read_filter(text: str) -> list[_Term]:
    terms: list[_Term] = []
    for part in text.split(",") if text.strip() else ():
        key, equals, pattern = part.partition("=")
        negated = key.endswith("!")
        key = key.removesuffix("!").strip()
        if not equals or key not in _KEYS:
            raise UsageError(
                f"--filter: expected KEY=VALUE, got {part.strip()!r}",
                todo=f"{suggest(key, _KEYS)}Keys: {', '.join(_KEYS)}",
            )
        terms.append(_Term(key, pattern.strip(), negated))
    return terms


def _check_sites(inventory: Inventory, sites: Sequence[str]) -> None:
    names = [site.name for site in inventory.sites]
    for pattern in sites:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"no site matches {pattern!r}",
                todo=suggest(pattern, names) + f"Sites: {some(names)}",
            )


def _what_exists(inventory: Inventory) -> str:
    devices = inventory.devices
    names = {
        "Sites": {device.site for device in devices},
        "Roles": {str(device.role) for device in devices},
        "Platforms": {device.platform for device in devices},
    }
    return ". ".join(f"{title}: {some(sorted(found))}" for title, found in names.items())
