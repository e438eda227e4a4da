"""Group inheritance exactly as Nornir resolves it, remembering where each value came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mtughost.fleet.files import Files
from mtughost.fleet.problems import Place, Problems, some, suggest
from mtughost.fleet.schema import DefaultsEntry
from mtughost.model.yaml_lines import KeyPath

MAX_GROUP_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Layer:
    """One entry that a host takes values from; the nearest layer wins."""

    entry: DefaultsEntry
    place: Place


class Found(NamedTuple):
    """A resolved value.

    Attributes:
        value: What the nearest layer says; ``None`` where none says anything.
        place: Where it stands.
        key: Key path below the place.
        level: How near: 0 is the host itself.
    """

    value: object
    place: Place
    key: KeyPath
    level: int


class Layers:
    """The layers of one host: itself, its groups depth first, the defaults."""

    def __init__(
        self, host: str, layers: Sequence[Layer], group_names: tuple[str, ...] = ()
    ) -> None:
        self.host = host
        self.group_names = group_names
        self._layers = layers
        #: What each key of ``data`` resolves to, where any layer has it: the nearest one wins.
        self._data: dict[str, Found] = {}
        for level in range(len(layers) - 1, -1, -1):
            data, place = layers[level].entry.data, layers[level].place
            if data is not None:
                for name in data.model_fields_set:
                    self._data[name] = Found(getattr(data, name), place, ("data", name), level)

    @property
    def place(self) -> Place:
        """Where the host itself stands."""
        return self._layers[0].place

    def attribute(self, name: str) -> Found:
        """Resolve one of Nornir's own attributes: the first layer where it is not nothing."""
        for level, layer in enumerate(self._layers):
            if (value := getattr(layer.entry, name)) is not None:
                return Found(value, layer.place, (name,), level)
        return Found(None, self.place, (name,), len(self._layers))

    def data(self, name: str) -> Found:
        """Resolve one key of ``data``: the first layer that has it, even as nothing."""
        found = self._data.get(name)
        return found or Found(None, self.place, ("data", name), len(self._layers))


def group_order(files: Files, problems: Problems) -> dict[str, tuple[str, ...]]:
    """Return, for each group, itself and its parents in the order of inheritance.

    The order is that of ``nornir.core.inventory.InventoryElement.extended_groups``: depth first,
    each group once. Unknown parents and circles are noted and left out.
    """
    orders: dict[str, tuple[str, ...]] = {}
    for name in files.groups:
        _walk(name, files, problems, orders, ())
    return orders


def _walk(
    name: str,
    files: Files,
    problems: Problems,
    orders: dict[str, tuple[str, ...]],
    above: tuple[str, ...],
) -> tuple[str, ...]:
    if name in orders:
        return orders[name]
    entry, place = files.groups[name]
    order = [name]
    for index, parent in enumerate(_known_groups(entry, place, files, problems)):
        if parent in (*above, name):
            circle = (*above, name, parent)[(*above, name).index(parent) :]
            problems.add(
                place, ("groups", index), f"groups inherit in a circle: {' > '.join(circle)}"
            )
            continue
        if len(above) > MAX_GROUP_DEPTH:
            problems.add(place, ("groups", index), f"more than {MAX_GROUP_DEPTH} groups deep")
            continue
        for step in _walk(parent, files, problems, orders, (*above, name)):
            if step not in order:
                order.append(step)
    orders[name] = tuple(order)
    return orders[name]


def _known_groups(
    entry: DefaultsEntry | None, place: Place, files: Files, problems: Problems
) -> list[str]:
    known: list[str] = []
    for index, name in enumerate(getattr(entry, "groups", None) or []):
        if name in files.groups:
            known.append(name)
        else:
            problems.add(
                place,
                ("groups", index),
                f"unknown group {name}",
                suggest(name, files.groups) + f"Known groups: {some(files.groups)}",
            )
    return known


def host_layers(
    host: str, files: Files, orders: dict[str, tuple[str, ...]], problems: Problems
) -> Layers | None:
    """Return the layers of one host, or ``None`` when a layer has problems of its own."""
    entry, place = files.hosts[host]
    names: list[str] = []
    for group in _known_groups(entry, place, files, problems):
        names += [step for step in orders[group] if step not in names]
    chosen = [(entry, place), *(files.groups[name] for name in names), files.defaults]
    layers = [Layer(found, where) for found, where in chosen if found is not None]
    if len(layers) != len(chosen):
        return None
    return Layers(host, layers, tuple(names))
