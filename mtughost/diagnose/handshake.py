"""The handshake packet of a flow, as each hook of the gateway sees it (before or after NAT)."""

from __future__ import annotations

from collections.abc import Callable

from mtughost.diagnose.flows import Flow
from mtughost.diagnose.match import DNAT_PRIORITY, SNAT_PRIORITY, Packet
from mtughost.diagnose.passage import Stage, Walk
from mtughost.diagnose.path import path_mss_mtu
from mtughost.diagnose.walk import walk
from mtughost.model.basis import Known
from mtughost.model.clamps import Hook
from mtughost.model.device import MSS_OVERHEAD_BYTES, DeviceFacts
from mtughost.model.evidence import Direction

_PacketAt = Callable[[Hook, int], Packet]

#: Ports that a client's kernel chooses: Linux 32768-60999 (ip_local_port_range), others
#: 49152-65535 (RFC 6335 section 6).
EPHEMERAL = (32768, 65535)


def walk_handshake(
    gateway: DeviceFacts | None, flow: Flow, direction: Direction, start_bytes: int
) -> Walk | None:
    """Walk the packet that rules one direction through the gateway.

    Args:
        gateway: Facts of the gateway, ``None`` where it was not read.
        flow: The flow.
        direction: ``up`` walks the SYN-ACK, ``down`` the SYN.
        start_bytes: MSS that the packet arrives with.

    Returns:
        ``None`` where the gateway's rules, or the interfaces concerned, are unknown.
    """
    if gateway is None or not isinstance(gateway.clamps, Known):
        return None
    mtu = path_mss_mtu(gateway, flow, direction)
    path_mss = mtu - MSS_OVERHEAD_BYTES[flow.family] if mtu is not None else None
    stages = syn_ack_stages(flow) if direction == "up" else syn_stages(flow)
    return walk(gateway.clamps.value, stages, start_bytes, path_mss)


def syn_stages(flow: Flow) -> tuple[Stage, ...]:
    """Return the hooks that the AP's SYN passes: in on the VLAN, out on the egress."""
    ap: tuple[str, ...] = (flow.sender.address,) if flow.sender.address is not None else ()
    server = (flow.server,) if flow.server is not None else ()
    wan = (flow.wan_address,) if flow.wan_address is not None else ()

    def packet(hook: Hook, priority: int) -> Packet:
        sources = ap
        if hook in {"postrouting", "egress"} and (hook == "egress" or priority >= SNAT_PRIORITY):
            # Whether this flow is translated is not part of what was read: both are possible.
            sources = (*ap, *wan) if ap and wan else ()
        return Packet(
            family=flow.family,
            protocol="tcp",
            in_interface=flow.lan,
            out_interface=flow.egress,
            sources=sources,
            destinations=server,
            source_ports=EPHEMERAL,
            destination_ports=(flow.service.port, flow.service.port),
            handshake="syn",
        )

    return _stages(packet, flow.lan, flow.egress)


def syn_ack_stages(flow: Flow) -> tuple[Stage, ...]:
    """Return the hooks that the SYN-ACK passes: in on the egress, out on the VLAN.

    Before the translation is undone (prerouting, up to the DNAT priority) it may still be
    addressed to the gateway's own WAN address.
    """
    ap: tuple[str, ...] = (flow.sender.address,) if flow.sender.address is not None else ()
    server = (flow.server,) if flow.server is not None else ()
    wan = (flow.wan_address,) if flow.wan_address is not None else ()

    def packet(hook: Hook, priority: int) -> Packet:
        destinations = ap
        if hook == "ingress" or (hook == "prerouting" and priority <= DNAT_PRIORITY):
            destinations = (*ap, *wan) if ap and wan else ()
        return Packet(
            family=flow.family,
            protocol="tcp",
            in_interface=flow.egress,
            out_interface=flow.lan,
            sources=server,
            destinations=destinations,
            source_ports=(flow.service.port, flow.service.port),
            destination_ports=EPHEMERAL,
            handshake="syn-ack",
        )

    return _stages(packet, flow.egress, flow.lan)


def _stages(packet: _PacketAt, way_in: str | None, way_out: str | None) -> tuple[Stage, ...]:
    hooks: tuple[tuple[Hook, str | None], ...] = (
        ("ingress", way_in),
        ("prerouting", None),
        ("forward", None),
        ("postrouting", None),
        ("egress", way_out),
    )
    return tuple(
        Stage(hook=hook, packet=_at(packet, hook), device=device) for hook, device in hooks
    )


def _at(packet: _PacketAt, hook: Hook) -> Callable[[int], Packet]:
    return lambda priority: packet(hook, priority)
