"""What a lab shall be: the values a caller gives to :func:`mtughost.lab.up`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtughost.lab.modes import CATALOGUE
from mtughost.lab.scenarios import Scenario
from mtughost.model.errors import LabError

TlsVersion = Literal["1.2", "1.3"]
ClampStyle = Literal["nft", "iptables", "iptables-legacy", "fw4", "vyos"]

#: Sites of one lab share 172.31.0.0/16 with one /24 each.
MAX_SITES = 250
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSpec:
    """One site.

    Attributes:
        scenario: Label of :data:`mtughost.lab.modes.CATALOGUE`.
        tls: The one TLS version that this site's AP speaks.
        style: How clamps and NAT of the gateway are written.
        behind_gateway: The AP has no management address: it is reached through the gateway as
            jump host, at its LAN address, which is the same in every store.
        forwarding: Whether the AP's SSH server allows TCP forwarding.
        tunnel: What carries the tunnel of the second topology.
        variant: The scenario with other figures; ``None`` as catalogued.
        renumber: Seed of names and LAN addresses of this site alone; ``None`` for the lab's.
        noise: Seed of unrelated rules and of the order of all on the gateway; 0 for none.
        gateway: ``PLATFORM[:VERSION]`` of a virtual vendor's gateway that the kernel obeys, ``""``
            for a Linux gateway.
    """

    scenario: str
    tls: TlsVersion = "1.2"
    style: ClampStyle = "nft"
    behind_gateway: bool = False
    forwarding: bool = True
    tunnel: Literal["veth", "openvpn"] = "veth"
    variant: Scenario | None = None
    renumber: int | None = None
    noise: int = 0
    gateway: str = ""

    @property
    def plan(self) -> Scenario:
        """The scenario itself."""
        return self.variant or CATALOGUE[self.scenario]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSpec:
    """One lab.

    Attributes:
        name: Names the lab and its state directory.
        sites: In inventory order.
        renumber: ``None`` for the documented names and addresses, else a seed for others.
        state_dir: Where this lab's record and project go; default: user's state directory.
    """

    name: str = "lab"
    sites: tuple[SiteSpec, ...] = ()
    renumber: int | None = None
    state_dir: Path | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise LabError(
                f"lab name {self.name!r} is not usable",
                todo="Use lower-case letters, digits, dot, dash and underscore",
            )
        if not 1 <= len(self.sites) <= MAX_SITES:
            raise LabError(f"a lab has 1 to {MAX_SITES} sites, not {len(self.sites)}")
        for site in self.sites:
            if site.scenario not in CATALOGUE:
                raise LabError(
                    f"unknown scenario {site.scenario!r}",
                    todo=f"Known: {', '.join(sorted(CATALOGUE))}",
                )


def sites_of(scenarios: Iterable[str], **options: object) -> tuple[SiteSpec, ...]:
    """Return one :class:`SiteSpec` per label, all with the same ``options``."""
    return tuple(SiteSpec(scenario=name, **options) for name in scenarios)  # type: ignore[arg-type]


def flagship() -> tuple[SiteSpec, ...]:
    """Return Site A alone: the clamp of the wrong scope."""
    return (SiteSpec(scenario="clamp-scope"),)


def retail_chain() -> tuple[SiteSpec, ...]:
    """Return the chain of stores that ``demo`` audits: Site A first, every scenario once."""
    return (
        SiteSpec(scenario="clamp-scope"),
        SiteSpec(scenario="healthy-clamp-both"),
        SiteSpec(scenario="healthy-icmp", tls="1.3"),
        SiteSpec(scenario="clamp-missing", tls="1.3", behind_gateway=True, forwarding=False),
        SiteSpec(scenario="clamp-syn-only", style="iptables"),
        SiteSpec(scenario="vlan-mtu-not-learned"),
        SiteSpec(scenario="ap-mtu-lowered", tls="1.3"),
        SiteSpec(scenario="icmp-ignored", tls="1.3"),
        SiteSpec(scenario="latent-far-end"),
        SiteSpec(scenario="port-blocked", style="iptables"),
        SiteSpec(scenario="certificate-expired", tls="1.3"),
    )


def scale(sites: int = 24) -> tuple[SiteSpec, ...]:
    """Return ``sites`` stores of one AP and one gateway that only answer SSH."""
    return tuple(SiteSpec(scenario="plain") for _ in range(sites))
