"""Which services a device really uses: its own word against the inventory's.

Where the access point names another server or port than the inventory, or another access point as
the one that holds the connection, the access point wins and the difference is reported.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from mtughost.diagnose.ages import is_recent
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.net import family_of, same_address
from mtughost.model.basis import value_or_none
from mtughost.model.device import CloudState, DeviceFacts
from mtughost.model.inventory import Device, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the connection of a service in a device's place.

    Attributes:
        address: Its address, as the device says.
        host: Its inventory name, ``""`` where the site has no such device.
    """

    address: str
    host: str


def services_of(device: Device, facts: DeviceFacts | None, notes: list[str]) -> tuple[Service, ...]:
    """Return the services of a device as the device itself uses them."""
    states = (value_or_none(facts.cloud) or ()) if facts is not None else ()
    used: list[Service] = []
    matched: set[int] = set()
    for service in device.services:
        state = match_state(service, device.services, states)
        if state is None:
            used.append(service)
            continue
        matched.add(id(state))
        used.append(_as_used(device.name, service, state, notes))
    for state in states:
        if id(state) in matched or facts is None:
            continue
        if state.transport == "udp":
            notes.append(_over_udp(device.name, state))
        elif state.server and state.port is not None:
            extra = _unlisted(facts, state, notes)
            used += [extra] if extra is not None else []
    return tuple(used)


def _over_udp(host: str, state: CloudState) -> str:
    where = f" with {state.server} port {state.port}" if state.server and state.port else ""
    known = state.connected and state.path_mtu_bytes is not None
    found = f", over which it found a path MTU of {state.path_mtu_bytes}" if known else ""
    words = {True: "is connected", False: "is not connected", None: "may be connected"}
    return (
        f"{host} {words[state.connected]} by {state.service.upper()} over UDP{where}{found}: no "
        "MSS limits that, and it says nothing about TCP"
    )


def _unlisted(facts: DeviceFacts, state: CloudState, notes: list[str]) -> Service | None:
    name = state.service or f"port-{state.port}"
    where = f"{state.service or 'a service'} at {state.server} port {state.port}"
    from_log = state.connected is None and bool(state.last_change_utc)
    if from_log and not is_recent(facts, state.last_change_utc):
        notes.append(
            f"the log of {facts.host} tells of {where} at {state.last_change_utc}; the "
            "inventory does not list it, so it was not judged"
        )
        return None
    notes.append(f"{facts.host} also talks to {where}, which the inventory does not list")
    return Service(name=name, host=state.server, port=state.port or 0)


def match_state(
    service: Service, services: tuple[Service, ...], states: tuple[CloudState, ...]
) -> CloudState | None:
    """Find what the device says about one service of the inventory, which is TCP."""
    states = tuple(state for state in states if state.transport == "tcp")
    for state in states:
        if state.service.lower() == service.name.lower():
            return state
    others = {other.name.lower() for other in services}
    for state in states:
        if service.port in {state.port, *state.ports} and state.service.lower() not in others:
            return state
    if len(services) == 1 and len(states) == 1 and _may_be(service, states[0]):
        return states[0]
    return None


def _may_be(service: Service, state: CloudState) -> bool:
    """Say whether nothing speaks against a state of another name being the service's.

    A far end that only a log names, another port or another address may be another service's:
    what such a one says would make this one look well.
    """
    if state.connected is None or state.port not in {None, service.port}:
        return False
    if not state.server or same_address(state.server, service.host):
        return True
    # A name and an address may mean the same.
    return (family_of(state.server) is None) != (family_of(service.host) is None)


def _as_used(host: str, service: Service, state: CloudState, notes: list[str]) -> Service:
    server = state.server or service.host
    port = state.port if state.port is not None else service.port
    both_literal = family_of(server) is not None and family_of(service.host) is not None
    both_names = family_of(server) is None and family_of(service.host) is None
    differs = (both_literal or both_names) and not same_address(server, service.host)
    if differs or port != service.port:
        others = [str(other) for other in state.ports if other != port]
        also = f" (it may also use {', '.join(others)})" if others else ""
        notes.append(
            f"{host} itself uses {server} port {port}{also} for {service.name}, the inventory says "
            f"{service.host} port {service.port}; what the device says was used"
        )
    return replace(service, host=server, port=port)


def holder_of(
    evidence: SiteEvidence, device: Device, service: Service, notes: list[str]
) -> Holder | None:
    """Return who holds a service's connection, ``None`` where the device does so itself."""
    facts = evidence.facts_of(device.name)
    states = (value_or_none(facts.cloud) or ()) if facts is not None else ()
    state = next((s for s in states if s.proxy and _names(service, device, s, states)), None)
    if facts is None or state is None or _is_own(device, facts, state.proxy):
        return None
    host = _device_at(evidence, state.proxy)
    who = host or "no device of this site's inventory: add it"
    notes.append(
        f"{device.name} names {state.proxy} as the one that holds its connection to "
        f"{service.name} ({who}); the flow was judged there"
        if host
        else f"{device.name} names {state.proxy} as the one that holds its connection to "
        f"{service.name}, which is {who}"
    )
    return Holder(address=state.proxy, host=host)


def _names(
    service: Service, device: Device, state: CloudState, states: tuple[CloudState, ...]
) -> bool:
    if state.service.lower() == service.name.lower():
        return True
    return match_state(service, device.services, states) is state


def _is_own(device: Device, facts: DeviceFacts, address: str) -> bool:
    try:
        if ipaddress.ip_address(address).is_loopback:
            return True
    except ValueError:
        return False
    own = [a.address for a in value_or_none(facts.addresses) or ()]
    return any(same_address(address, each) for each in (*own, device.address))


def _device_at(evidence: SiteEvidence, address: str) -> str:
    for device in evidence.site.with_role("ap", "appliance"):
        facts = evidence.facts_of(device.name)
        if facts is not None and _is_own(device, facts, address):
            return device.name
        if facts is None and same_address(device.address, address):
            return device.name
    return ""
