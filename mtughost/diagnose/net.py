"""Addresses and route look-ups, as a device's kernel does them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from mtughost.model.device import Address, Family, Interface, Route

MAIN_TABLES = frozenset({"main", "254", "default", ""})
_DEFAULTS = frozenset({"default", "0.0.0.0/0", "::/0"})

#: A site's few addresses are compared a hundred times; making one anew is the larger part.
_REMEMBERED: Final = 4096

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=_REMEMBERED)
def parse_address(text: str) -> IpAddress | None:
    """Return the address, or ``None`` when ``text`` is a name."""
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


@lru_cache(maxsize=_REMEMBERED)
def parse_network(text: str) -> IpNetwork | None:
    """Return the network of a CIDR string or a bare address, or ``None``."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def family_of(text: str) -> Family | None:
    """Return the family of an address literal, ``None`` for names."""
    address = parse_address(text)
    if address is None:
        return None
    return "ipv4" if address.version == 4 else "ipv6"  # noqa: PLR2004 - the IP version


def same_address(left: str, right: str) -> bool:
    """Compare two address literals, or two names without case."""
    one, other = parse_address(left), parse_address(right)
    if one is None or other is None:
        return left.rstrip(".").lower() == right.rstrip(".").lower()
    return one == other


def holds(prefix: str, address: str) -> bool:
    """Say whether ``address`` lies inside ``prefix``."""
    network, parsed = parse_network(prefix), parse_address(address)
    return (
        network is not None
        and parsed is not None
        and network.version == parsed.version
        and parsed in network
    )


def subnet(address: Address) -> str:
    """Return the subnet of an interface address as CIDR."""
    return f"{address.address}/{address.prefix_len}"


def is_global(address: Address) -> bool:
    """Say whether an address can be the source of traffic that leaves the subnet."""
    parsed = parse_address(address.address)
    return parsed is not None and not (
        parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified
    )


def is_default(route: Route) -> bool:
    """Say whether a route is a default route."""
    return route.destination in _DEFAULTS


def in_main(route: Route) -> bool:
    """Say whether a route is consulted without policy rules."""
    return route.table in MAIN_TABLES


def lookup(routes: Iterable[Route], family: Family, destination: str | None) -> Route | None:
    """Return the route that the main table gives: longest prefix, then smallest metric.

    Cached path-MTU exceptions are not routes and are skipped.

    Args:
        routes: Routes of all tables.
        family: Address family.
        destination: Address, or ``None`` for the default route.
    """
    return _longest((r for r in routes if in_main(r)), family, destination)


def lookup_in(
    routes: Iterable[Route], table: str, family: Family, destination: str | None
) -> Route | None:
    """Return the route that one table gives; ``main`` goes by all its names."""
    if table in MAIN_TABLES:
        return lookup(routes, family, destination)
    return _longest((r for r in routes if r.table == table), family, destination)


def _longest(routes: Iterable[Route], family: Family, destination: str | None) -> Route | None:
    best: tuple[int, int] | None = None
    found: Route | None = None
    for route in routes:
        if route.family != family or route.cached:
            continue
        length = _covers(route, destination)
        if length is None:
            continue
        rank = (-length, route.metric)
        if best is None or rank < best:
            best, found = rank, route
    return found


def prefix_length(route: Route) -> int | None:
    """Return the length of a route's prefix, ``None`` where it has none that can be read."""
    if is_default(route):
        return 0
    network = parse_network(route.destination)
    return None if network is None else int(network.prefixlen)


def _covers(route: Route, destination: str | None) -> int | None:
    """Return the length of the route's prefix when it covers ``destination``, else ``None``."""
    if is_default(route):
        return 0
    network = parse_network(route.destination)
    if network is None or destination is None or not holds(route.destination, destination):
        return None
    return int(network.prefixlen)


def default_routes(routes: Iterable[Route], family: Family) -> tuple[Route, ...]:
    """Return all default routes, the main table's first, by metric."""
    chosen = [r for r in routes if r.family == family and not r.cached and is_default(r)]
    return tuple(sorted(chosen, key=lambda r: (not in_main(r), r.metric)))


def cached_mtu(routes: Iterable[Route], destination: str | None) -> int | None:
    """Return the smallest path-MTU exception that the kernel keeps for ``destination``."""
    if destination is None:
        return None
    values = [
        r.mtu_bytes
        for r in routes
        if r.cached and r.mtu_bytes is not None and holds(r.destination, destination)
    ]
    return min(values, default=None)


def interface(interfaces: Sequence[Interface] | None, name: str | None) -> Interface | None:
    """Return the interface called ``name``."""
    return next((i for i in interfaces or () if i.name == name), None)
