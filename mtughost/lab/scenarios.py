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
ClampScope = Literal[
    "none", "any-both", "ap-both", "pos-both", "ap-syn", "ap-syn-ack", "standby-both"
]
#: What the service's address in the cloud does. ``large`` sends a chain of several packets,
#: ``jumbo`` offers MSS 8960, ``mute`` accepts and says nothing, ``closed`` resets, ``foreign`` has
#: a certificate of another authority, ``rejecting`` answers no, ``nameless`` is a name that nobody
#: resolves.
FarEnd = Literal[
    "normal",
    "small-mss",
    "expired",
    "large",
    "jumbo",
    "mute",
    "closed",
    "foreign",
    "rejecting",
    "nameless",
]
#: ``dual``: the service is a name with an address of each family; clients prefer IPv6.
Family = Literal["ipv4", "ipv6", "dual"]
Outcome = Literal["ok", "latent", "fault", "not-mtu"]
#: What becomes of a packet on its way.
Fate = Literal["drop", "pass"]


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
        outcome: What was meant to happen. A site that then does something else is thrown out.
        findings: What a person who knows everything may call it first: every planted defect of
            this site whose repair *alone* makes it work, and nothing else; empty where it is well.
        family: Address family of the service.
        clamp_families: Which families the clamp's rules see.
        clamp_state: ``shadowed`` behind a rule that ends the evaluation, or in a chain that no
            hook ever reaches (``unhooked``).
        clamp_saved: Whether the clamp is in the saved configuration, or only in the running one.
        fragments_downstream: What the access network does to fragments towards the site.
        hidden_mtu_bytes: MTU of a link behind the ISP's access, ``0`` for none smaller.
        down_mtu_bytes: MTU of the way back alone, ``0`` for the same.
        icmp_upstream: What becomes of the ISP's own "fragmentation needed".
        icmp_at_gateway: What the gateway does to "fragmentation needed" from outside.
        l2_ceiling_bytes: A switch between AP and gateway drops longer packets, ``0`` for none.
        upstream_mss_bytes: The ISP rewrites the MSS of both SYNs to this, ``0`` for not.
        payload_blocked: Something upstream drops every packet with content for the service.
        clock_offset_days: How far the AP's clock is off.
        management_ceiling_bytes: Longer packets from AP to operator vanish, ``0`` for none.
        standby_mtu_bytes: MTU of a second WAN that is not in use, ``0`` where there is none.
        loss_percent: Packets lost at random upstream, whatever their size.
        large_hello: The AP's TLS offers a key share so large that its hello needs two packets
            (TLS 1.3 only; needs ``upstream_mss_bytes`` of 660 or less).
        split_hello: What becomes upstream of a hello that does not fit one packet.
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
    fragments_upstream: Fate = "drop"
    gateway_sends_icmp: bool = True
    host_ignores_icmp: bool = False
    far_end: FarEnd = "normal"
    service_blocked: bool = False
    dhcp_mtu_bytes: int = 0
    outcome: Outcome = "ok"
    findings: tuple[str, ...] = ()
    family: Family = "ipv4"
    clamp_families: Literal["both", "ipv4", "ipv6"] = "both"
    clamp_state: Literal["works", "shadowed", "unhooked"] = "works"
    clamp_saved: bool = True
    fragments_downstream: Fate = "pass"
    hidden_mtu_bytes: int = 0
    down_mtu_bytes: int = 0
    icmp_upstream: Fate = "pass"
    icmp_at_gateway: Fate = "pass"
    l2_ceiling_bytes: int = 0
    upstream_mss_bytes: int = 0
    payload_blocked: bool = False
    clock_offset_days: int = 0
    management_ceiling_bytes: int = 0
    standby_mtu_bytes: int = 0
    loss_percent: int = 0
    large_hello: bool = False
    split_hello: Fate = "pass"

    @property
    def speaks6(self) -> bool:
        """Whether the site has IPv6 at all."""
        return self.family != "ipv4"

    @property
    def path_mtu_bytes(self) -> int:
        """Smallest link between the AP and the service, upwards."""
        links = (self.wan_mtu_bytes, self.hidden_mtu_bytes, self.l2_ceiling_bytes)
        return min(mtu for mtu in links if mtu)


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
        outcome="fault",
        findings=("clamp-scope",),
        clamp="pos-both",
    ),
    Scenario(
        name="clamp-missing",
        summary="no clamp at all, fragments are dropped upstream",
        outcome="fault",
        findings=("clamp-missing",),
    ),
    Scenario(
        name="clamp-syn-only",
        summary="the popular one-line clamp: rewrites the SYN on its way out only",
        outcome="fault",
        findings=("clamp-one-direction",),
        clamp="ap-syn",
    ),
    Scenario(
        name="vlan-mtu-not-learned",
        summary="Site A after the gateway's VLAN MTU was lowered: the AP was never told",
        outcome="fault",
        findings=("clamp-scope", "vlan-mtu-not-learned"),
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
        outcome="fault",
        findings=("icmp-ignored", "clamp-missing", "tunnel-overhead"),
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
        outcome="fault",
        findings=("icmp-not-sent", "clamp-missing"),
        ap_sends_df=True,
        gateway_sends_icmp=False,
    ),
    Scenario(
        name="latent-far-end",
        summary="no clamp; works only because the far end happens to use MSS 1400",
        outcome="latent",
        findings=("clamp-missing",),
        far_end="small-mss",
    ),
    Scenario(
        name="latent-fragments",
        summary="no clamp; works only because fragments happen to pass",
        outcome="latent",
        findings=("clamp-missing",),
        fragments_upstream="pass",
    ),
    Scenario(
        name="port-blocked",
        summary="clamped well, but the service's port is silently dropped upstream",
        outcome="not-mtu",
        findings=("no-syn-ack",),
        clamp="any-both",
        service_blocked=True,
    ),
    Scenario(
        name="certificate-expired",
        summary="clamped well, but the service's certificate has expired",
        outcome="not-mtu",
        findings=("certificate-invalid",),
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
