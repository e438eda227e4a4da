"""Checks that concern more than one host: endpoints, jump hosts, HA pairs, sites."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import replace

from mtughost.fleet.problems import Place, Problems, suggest
from mtughost.fleet.resolve import Found, Layers
from mtughost.fleet.text import same_address
from mtughost.model.inventory import Device, Site, SiteInfo
from mtughost.model.yaml_lines import KeyPath


def check_endpoints(
    devices: Mapping[str, Device], layers: Mapping[str, Layers], problems: Problems
) -> None:
    """Two hosts with one address, port and jump host are one device written twice.

    The same address behind another jump host, or without one, is another store: their addresses
    overlap as a rule.
    """
    seen: dict[tuple[str, int, str], str] = {}
    for name, device in devices.items():
        first = seen.setdefault((same_address(device.address), device.port, device.jump), name)
        if first == name:
            continue
        through = f" through {device.jump}" if device.jump else ""
        problems.add(
            layers[name].place,
            ("hostname",),
            f"{device.address} port {device.port}{through} is already {first} "
            f"(line {layers[first].place.line(('hostname',))})",
            "Remove one of them, or give each its own address, port or jump host",
        )


def check_jumps(
    devices: Mapping[str, Device], layers: Mapping[str, Layers], problems: Problems
) -> None:
    """A jump host must exist and lead out of the inventory, not in a circle."""
    for name, layer in layers.items():
        found = layer.data("jump")
        jump = found.value
        if not isinstance(jump, str) or not jump:
            continue
        if jump == name:
            problems.add(
                *_where(found, layer), "is its own jump host", 'Give it jump: "" to dial directly'
            )
        elif jump not in layers:
            problems.add(
                *_where(found, layer),
                f"no host is called {jump}",
                suggest(jump, layers) or "Expected the inventory name of the jump host",
            )
    for circle in _circles({name: device.jump for name, device in devices.items()}):
        layer = layers[circle[0]]
        chain = " > ".join([*circle, circle[0]])
        problems.add(*_where(layer.data("jump"), layer), f"jump hosts lead in a circle: {chain}")


def _circles(jumps: Mapping[str, str]) -> list[list[str]]:
    circles: list[list[str]] = []
    done: set[str] = set()
    for start in jumps:
        chain: list[str] = []
        name = start
        while name in jumps and name not in done and name not in chain:
            chain.append(name)
            name = jumps[name]
        if name in chain and len(chain) - chain.index(name) > 1:
            circles.append(chain[chain.index(name) :])
        done.update(chain)
    return circles


def pair_peers(
    devices: Mapping[str, Device], layers: Mapping[str, Layers], problems: Problems
) -> dict[str, Device]:
    """Check HA pairs and return the devices with both members naming each other."""
    paired = dict(devices)
    for name, device in devices.items():
        if not device.ha_peer:
            continue
        found = layers[name].data("ha_peer")
        where = _where(found, layers[name])
        peer = devices.get(device.ha_peer)
        if device.ha_peer == name:
            problems.add(*where, "is its own HA peer")
        elif peer is None:
            if device.ha_peer not in layers:
                todo = suggest(device.ha_peer, layers)
                problems.add(*where, f"no host is called {device.ha_peer}", todo)
        elif peer.site != device.site:
            problems.add(*where, f"{peer.name} stands in site {peer.site}, not in {device.site}")
        elif peer.ha_peer not in {"", name}:
            problems.add(*where, f"{peer.name} names {peer.ha_peer} as its HA peer, not {name}")
        elif paired[peer.name].ha_peer not in {"", name}:
            problems.add(*where, f"{peer.name} already is the peer of {paired[peer.name].ha_peer}")
        else:
            paired[peer.name] = replace(peer, ha_peer=name)
    return paired


_INFO = ("isp", "circuit", "modem", "timezone", "ticket", "contacts")


def make_sites(
    devices: Mapping[str, Device], layers: Mapping[str, Layers], problems: Problems
) -> tuple[Site, ...]:
    """Group devices by site, in inventory order, with what is known about each site."""
    members: dict[str, list[Device]] = {}
    for device in devices.values():
        if device.role != "jump":
            members.setdefault(device.site, []).append(device)
    return tuple(
        Site(name=name, devices=tuple(group), info=_info(group, layers, problems))
        for name, group in members.items()
    )


def _info(group: list[Device], layers: Mapping[str, Layers], problems: Problems) -> SiteInfo:
    """Merge what the devices of one site say about it; two different words are an error."""
    values: dict[str, object] = {}
    said_by: dict[str, str] = {}
    for device in group:
        layer = layers[device.name]
        for key in _INFO:
            found = layer.data(key)
            if not found.value:
                continue
            value = tuple(found.value) if isinstance(found.value, list) else found.value
            if key == "timezone" and not _is_timezone(str(value)):
                problems.add(
                    found.place,
                    found.key,
                    "expected a time zone of the IANA list such as Europe/Berlin",
                )
            if values.setdefault(key, value) != value:
                problems.add(
                    *_where(found, layer),
                    f"site {device.site} has another {key} at {said_by[key]}",
                    "Say it once, or alike for all devices of the site",
                )
            said_by.setdefault(key, device.name)
    return SiteInfo(**values)  # type: ignore[arg-type]  # each checked by the schema


def _is_timezone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # A machine without any time zone data cannot tell.
        return not zoneinfo.available_timezones()
    return True


def _where(found: Found, layer: Layers) -> tuple[Place, KeyPath]:
    """Blame the host itself even where a group gave the value: the host is what is wrong."""
    return layer.place, found.key
