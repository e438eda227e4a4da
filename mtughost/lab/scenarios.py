"""The labelled scenarios: what is planted at a site. Data only.

The label says what was *built*. What the site then *does* is measured
(:mod:`mtughost.lab.measure`); no verdict and no test may be derived from a scenario's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: ``retail`` = AP, gateway, ISP, cloud; ``tunnel`` = host, gateway, tunnel of 1446, far end;
#: ``plain`` = AP and gateway that only answer SSH.
Topology = Literal["retail", "tunnel", "plain"]
#: Which handshake packets of which VLAN the gateway's clamp matches.
ClampScope = Literal["none", "any-both", "ap-both", "pos-both", "ap-syn", "ap-syn-ack"]
FarEnd = Literal["normal", "small-mss", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way to build a site.

    Attributes:
        name: Label, kebab-case.
        summary: One sentence for people.
        topology: Which wiring.
        clamp: Which SYNs the gateway clamps.
        clamp_mss_bytes: ``0`` clamps to the path MTU of the routes, else to this value.
        vlan_mtu_bytes: MTU of the gateway's interface towards the AP (or host).
        ap_mtu_bytes: MTU of the AP's (or host's) own interface.
        wan_mtu_bytes: MTU of the WAN link, or of the tunnel.
        ap_sends_df: Whether the AP's TCP sets DF (``ip_no_pmtu_disc`` 0).
        fragments_upstream: What the network behind the ISP does to fragments from the site.
        gateway_sends_icmp: Whether the gateway lets its own "fragmentation needed" out.
        host_ignores_icmp: Whether the AP or host drops "fragmentation needed" on arrival.
        far_end: Which of the cloud's service addresses the site uses.
        service_blocked: Whether the service's TCP port is silently dropped upstream.
        dhcp_mtu_bytes: MTU that the gateway's DHCP server hands out (option 26), ``0`` for none.
    """

    name: str
    summary: str
    topology: Topology = "retail"
    clamp: ClampScope = "none"
    clamp_mss_bytes: int = 0
    vlan_mtu_bytes: int = 1500
    ap_mtu_bytes: int = 1500
    wan_mtu_bytes: int = 1492
    ap_sends_df: bool = False
    fragments_upstream: Literal["drop", "pass"] = "drop"
    gateway_sends_icmp: bool = True
    host_ignores_icmp: bool = False
    far_end: FarEnd = "normal"
    service_blocked: bool = False
    dhcp_mtu_bytes: int = 0


_ALL = (
    Scenario(
        name="healthy-clamp-both",
        summary="the gateway clamps SYN and SYN-ACK of every VLAN",
        clamp="any-both",
    ),
    Scenario(
        name="healthy-icmp",
        summary="no clamp, but the AP sets DF and path MTU discovery works",
        ap_sends_df=True,
    ),
    Scenario(
        name="clamp-scope",
        summary="Site A: the clamp matches the POS VLAN only, fragments are dropped upstream",
        clamp="pos-both",
    ),
    Scenario(
        name="clamp-missing",
        summary="no clamp at all, fragments are dropped upstream",
    ),
    Scenario(
        name="clamp-syn-only",
        summary="the popular one-line clamp: rewrites the SYN on its way out only",
        clamp="ap-syn",
    ),
    Scenario(
        name="vlan-mtu-not-learned",
        summary="Site A after the gateway's VLAN MTU was lowered: the AP was never told",
        clamp="pos-both",
        vlan_mtu_bytes=1492,
    ),
    Scenario(
        name="ap-mtu-lowered",
        summary="Site A repaired on both sides: VLAN and AP at 1492",
        clamp="pos-both",
        vlan_mtu_bytes=1492,
        ap_mtu_bytes=1492,
        dhcp_mtu_bytes=1492,
    ),
    Scenario(
        name="icmp-ignored",
        summary="second story: a tunnel of 1446, and a host that ignores ICMP about it",
        topology="tunnel",
        wan_mtu_bytes=1446,
        ap_sends_df=True,
        host_ignores_icmp=True,
    ),
    Scenario(
        name="healthy-tunnel",
        summary="the same tunnel with a host that honours ICMP",
        topology="tunnel",
        wan_mtu_bytes=1446,
        ap_sends_df=True,
    ),
    Scenario(
        name="icmp-not-sent",
        summary="the AP sets DF, the gateway's filter swallows its own ICMP",
        ap_sends_df=True,
        gateway_sends_icmp=False,
    ),
    Scenario(
        name="latent-far-end",
        summary="no clamp; works only because the far end happens to use MSS 1400",
        far_end="small-mss",
    ),
    Scenario(
        name="latent-fragments",
        summary="no clamp; works only because fragments happen to pass",
        fragments_upstream="pass",
    ),
    Scenario(
        name="port-blocked",
        summary="clamped well, but the service's port is silently dropped upstream",
        clamp="any-both",
        service_blocked=True,
    ),
    Scenario(
        name="certificate-expired",
        summary="clamped well, but the service's certificate has expired",
        clamp="any-both",
        far_end="expired",
    ),
    Scenario(
        name="plain",
        summary="an AP and a gateway that only answer SSH",
        topology="plain",
    ),
)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
