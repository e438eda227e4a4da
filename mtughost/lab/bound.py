"""A vendor's gateway in a foundry store: its command line, and packets through a real kernel.

The store is the same as with a Linux gateway: AP, till, ISP and cloud are real programs. The
gateway's SSH server is the virtual fleet's, and what is configured there becomes MTUs and rules of
the gateway's network namespace (:mod:`mtughost.lab.fleet.kernel`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from mtughost.lab.addressing import Numbering
from mtughost.lab.plan import Bound, File
from mtughost.lab.scenarios import SCENARIOS, ClampScope, Scenario
from mtughost.model.errors import LabError, UsageError

if TYPE_CHECKING:
    from mtughost.lab.fleet.vendors import Vendor
    from mtughost.lab.spec import SiteSpec

#: The account with which the operator logs in to a vendor's gateway.
OPERATOR = "audit"
#: How long a bound gateway's reboot takes: shorter than a real one's, long enough to be noticed.
BOOT_S = 2.0
#: On which interfaces people put a clamp of each scope; what it then covers is the vendor's matter.
_PLACES: Mapping[ClampScope, tuple[str, ...]] = {
    "none": (),
    "any-both": ("ap", "pos", "wan"),
    "ap-both": ("ap", "wan"),
    "pos-both": ("pos",),
    "ap-syn": ("wan",),
    "ap-syn-ack": ("ap",),
}
#: What a scenario may plant outside the gateway, or in what every vendor can be configured to.
_ALLOWED = frozenset(
    {
        *("name", "summary", "outcome", "findings", "clamp", "clamp_mss_bytes", "vlan_mtu_bytes"),
        *("ap_mtu_bytes", "wan_mtu_bytes", "ap_sends_df", "fragments_upstream", "far_end"),
        *("host_ignores_icmp", "service_blocked", "fragments_downstream", "hidden_mtu_bytes"),
        *("down_mtu_bytes", "icmp_upstream", "l2_ceiling_bytes", "upstream_mss_bytes"),
        *("payload_blocked", "clock_offset_days", "management_ceiling_bytes", "loss_percent"),
    }
)
_NAT = """#!/usr/sbin/nft -f
flush ruleset

table ip nat {{
\tchain postrouting {{
\t\ttype nat hook postrouting priority srcnat; policy accept;
\t\toifname "{wan}" masquerade
\t}}
}}
"""


def wanted(gateway: str) -> tuple[str, str]:
    """Split ``PLATFORM[:VERSION]`` and complete the version.

    Raises:
        UsageError: no such vendor.
    """
    platform, _, version = gateway.partition(":")
    vendor = vendors().get(platform)
    if vendor is None:
        raise UsageError(
            f"there is no virtual gateway {platform!r}",
            todo=f"Known: {', '.join(sorted(vendors()))}",
        )
    return platform, version or vendor.versions[-1]


def vendors() -> Mapping[str, Vendor]:
    """Return the vendors whose gateways can be bound; asyncssh is needed only from here on."""
    from mtughost.lab.fleet.vendors import VENDORS  # noqa: PLC0415 - an optional package

    return VENDORS


def check(spec: SiteSpec) -> None:
    """Refuse what a vendor's gateway cannot be given.

    Raises:
        UsageError: no such vendor.
        LabError: the scenario plants something that only a Linux gateway of this lab has.
    """
    platform, _ = wanted(spec.gateway)
    usual, scenario = Scenario(name="", summary=""), spec.plan
    odd = [
        field.name.replace("_bytes", "").replace("_", " ")
        for field in fields(scenario)
        if field.name not in _ALLOWED
        and not (field.name == "family" and vendors()[platform].speaks6)
        and getattr(scenario, field.name) != getattr(usual, field.name)
    ]
    odd += [word for word in ("behind_gateway", "noise") if getattr(spec, word)]
    if scenario.clamp not in _PLACES:
        odd.append(f"clamp {scenario.clamp}")
    if spec.style != "nft":
        odd.append(f"style {spec.style}")
    if odd:
        raise LabError(
            f"a virtual {spec.gateway} cannot play {scenario.name!r}: {', '.join(odd)}",
            todo=f"It can play, for example: {', '.join(_playable())}",
        )


def _playable() -> list[str]:
    usual = Scenario(name="", summary="")
    rest = [f.name for f in fields(usual) if f.name not in _ALLOWED]
    return [
        name
        for name, scenario in SCENARIOS.items()
        if all(getattr(scenario, each) == getattr(usual, each) for each in rest)
        and scenario.clamp in _PLACES
    ]


def bound_gateway(
    numbers: Numbering, index: int, spec: SiteSpec, *, host_key: bytes, public_key: str
) -> Bound:
    """Return a store's vendor gateway, to be served by the lab's holder."""
    platform, version = wanted(spec.gateway)
    scenario, site, names = spec.plan, numbers.site(index), numbers.names
    mss = scenario.clamp_mss_bytes or scenario.wan_mtu_bytes - 40
    six = {
        "ap_address6": f"{site.ap_gateway6}/64",
        "wan_address6": f"{site.wan_gateway6}/64",
        "wan_next_hop6": str(site.wan_isp6),
    }
    return Bound(
        name=numbers.site_labels[index - 1] + numbers.gateway_suffix,
        platform=platform,
        version=version,
        serial=f"{vendors()[platform].serial_head}{index:08d}",
        address=str(site.gateway_management),
        host_key=host_key,
        username=OPERATOR,
        public_key=public_key,
        ports={"ap": names.ap_vlan, "pos": names.pos_vlan, "wan": names.wan},
        plan={
            "ap_address": f"{site.ap_gateway}/24",
            "pos_address": f"{site.pos_gateway}/24",
            "wan_address": f"{site.wan_gateway}/30",
            "wan_next_hop": str(site.wan_isp),
            "wan_mtu_bytes": scenario.wan_mtu_bytes,
            "ap_mtu_bytes": scenario.vlan_mtu_bytes,
            **(six if scenario.speaks6 else {}),
        },
        clamps=tuple((where, mss) for where in _PLACES[scenario.clamp]),
    )


def wan_hint(spec: SiteSpec) -> str:
    """Return the name of a vendor's WAN where the operator has to say it, else ``""``.

    Not every book of a vendor that speaks IPv6 here reads IPv6 routes.
    """
    if not spec.gateway or not spec.plan.speaks6:
        return ""
    vendor = vendors()[wanted(spec.gateway)[0]]
    return "" if vendor.shows_routes6 else vendor.names["wan"]


def gateway_files(numbers: Numbering) -> dict[str, File]:
    """Return the saved rules of the namespace: NAT only, the rest is the vendor's."""
    text = _NAT.format(wan=numbers.names.wan)
    return {"/etc/nftables.conf": File(content=text.encode(), mode=0o755)}


def plain_links(scenario: Scenario) -> Scenario:
    """Return a scenario whose gateway has usual MTUs: the vendor's configuration sets them."""
    return replace(scenario, vlan_mtu_bytes=1500)
