"""Draws sites from a seed: any mode with other figures, names, dialects and surroundings.

The figures are chosen so that the mode's label *should* hold; whether it does is measured
(:mod:`mtughost.lab.expect`). The same seed and number give the same site, whatever else is drawn.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from mtughost.lab import host
from mtughost.lab.expect import HEADERS
from mtughost.lab.modes import CATALOGUE
from mtughost.lab.scenarios import Fate, Scenario
from mtughost.lab.spec import ClampStyle, SiteSpec, TlsVersion

#: MTUs that access networks and tunnels really have.
_USUAL_MTUS = (1492, 1492, 1480, 1476, 1460, 1454, 1440, 1430, 1420, 1400, 1380)
#: The far end that shrinks its MSS sends packets of this size, and the usual one answers a TLS 1.3
#: hello with almost as much: where either must get through whole, the WAN takes it.
_FAR_END_PACKET = 1440
_LAN_MTU = 1500
_HEALTHY_SHARE = 0.35


@dataclass(frozen=True, slots=True)
class Abilities:
    """What this machine can show.

    Attributes:
        legacy: The old kernel interface of iptables.
        shifted_clock: Programs can be given another time (libfaketime).
    """

    legacy: bool
    shifted_clock: bool


def abilities() -> Abilities:
    """Find out what this machine can show."""
    return Abilities(
        legacy=host.has_legacy_iptables(), shifted_clock=shutil.which("faketime") is not None
    )


def draw_site(seed: int, number: int, can: Abilities) -> SiteSpec:
    """Return one site.

    Args:
        seed: Of the whole run.
        number: Of this site in it.
        can: What this machine can show; other modes are left out.
    """
    dice = random.Random(f"{seed} {number}")  # noqa: S311 - variety, not secrecy
    usable = [
        each
        for each in CATALOGUE.values()
        if each.topology != "plain" and (can.shifted_clock or not each.clock_offset_days)
    ]
    healthy = dice.random() < _HEALTHY_SHARE
    chosen = dice.choice([each for each in usable if (each.outcome == "ok") == healthy])
    styles: list[ClampStyle] = ["nft", "nft", "iptables", "fw4", "vyos"]
    if can.legacy:
        styles.append("iptables-legacy")
    scenario = vary(chosen, dice)
    tls: TlsVersion = dice.choice(("1.2", "1.3"))
    # Where the only login led over the planted hole nothing could be read: another kind of site.
    holed = scenario.management_ceiling_bytes or scenario.l2_ceiling_bytes
    direct = bool(holed) or scenario.topology != "retail"
    return SiteSpec(
        scenario=chosen.name,
        variant=scenario,
        tls="1.3" if scenario.large_hello else tls,
        style=dice.choice(styles),
        behind_gateway=not direct and dice.random() < 0.15,  # noqa: PLR2004 - some
        forwarding=dice.random() < 0.8,  # noqa: PLR2004 - most
        renumber=dice.randrange(1, 1 << 30),
        noise=dice.choice((0, dice.randrange(1, 1 << 30), dice.randrange(1, 1 << 30))),
    )


def vary(scenario: Scenario, dice: random.Random) -> Scenario:
    """Return a scenario with other figures and surroundings, of the same kind."""
    steps: tuple[Callable[[Scenario, random.Random], Scenario], ...] = (
        _other_family,
        _other_mtus,
        _other_service,
        _other_discovery,
        _fixed_clamp,
        _jumbo_lan,
        _loss,
    )
    for step in steps:
        scenario = step(scenario, dice)
    return scenario


def _mtu(dice: random.Random, low: int = 1300, high: int = 1496) -> int:
    usual = [mtu for mtu in _USUAL_MTUS if low <= mtu <= high]
    return dice.choice(usual) if usual and dice.random() < 0.5 else dice.randint(low, high)  # noqa: PLR2004


def _clamps_only(scenario: Scenario) -> bool:
    """Whether nothing but the clamp, its place and the usual service make this mode."""
    return (
        scenario.topology == "retail"
        and scenario.family == "ipv4"
        and scenario.far_end == "normal"
        and scenario.clamp_families == "both"
        and scenario.fragments_upstream == "drop"
        and scenario.fragments_downstream == "pass"
        and not scenario.ap_sends_df
        and not scenario.standby_mtu_bytes
        and not scenario.hidden_mtu_bytes
        and not scenario.l2_ceiling_bytes
        and not scenario.down_mtu_bytes
        and not scenario.upstream_mss_bytes
        and not scenario.dhcp_mtu_bytes
        and not scenario.payload_blocked
        and not scenario.service_blocked
        and not scenario.clock_offset_days
        and scenario.vlan_mtu_bytes == scenario.ap_mtu_bytes
        and scenario.wan_mtu_bytes < _LAN_MTU
    )


def _other_family(scenario: Scenario, dice: random.Random) -> Scenario:
    """Reach the service by IPv6 instead, where routers only tell; make them silent."""
    if not _clamps_only(scenario) or dice.random() > 0.2:  # noqa: PLR2004 - some
        return scenario
    findings = scenario.findings
    if scenario.outcome == "fault" and not scenario.management_ceiling_bytes:
        findings = (*findings, "icmp-not-sent")
    return replace(scenario, family="ipv6", gateway_sends_icmp=False, findings=findings)


def _other_mtus(scenario: Scenario, dice: random.Random) -> Scenario:
    if scenario.far_end == "jumbo":
        lan = dice.randint(4000, 9000)
        wan = lan if scenario.outcome == "ok" else dice.randint(1400, 1500)
        return replace(scenario, ap_mtu_bytes=lan, vlan_mtu_bytes=lan, wan_mtu_bytes=wan)
    if scenario.topology == "tunnel":
        return replace(scenario, wan_mtu_bytes=_mtu(dice, 1280, 1476))
    if scenario.hidden_mtu_bytes:
        return _other_hidden(scenario, dice)
    if scenario.wan_mtu_bytes < _LAN_MTU:
        scenario = _other_wan(scenario, _wan_mtu(scenario, dice))
    return _other_limits(scenario, dice)


def _wan_mtu(scenario: Scenario, dice: random.Random) -> int:
    answered_whole = scenario.clamp == "ap-syn-ack" and scenario.outcome == "latent"
    if scenario.far_end == "small-mss" or answered_whole:
        return _mtu(dice, _FAR_END_PACKET)
    return _mtu(dice, 1400 if scenario.l2_ceiling_bytes or scenario.down_mtu_bytes else 1300)


def _other_wan(scenario: Scenario, wan: int) -> Scenario:
    """Move what follows the WAN's MTU with it."""
    return replace(
        scenario,
        wan_mtu_bytes=wan,
        vlan_mtu_bytes=wan if scenario.vlan_mtu_bytes < _LAN_MTU else scenario.vlan_mtu_bytes,
        ap_mtu_bytes=wan if scenario.ap_mtu_bytes < _LAN_MTU else scenario.ap_mtu_bytes,
        dhcp_mtu_bytes=wan if scenario.dhcp_mtu_bytes else 0,
    )


def _other_limits(scenario: Scenario, dice: random.Random) -> Scenario:
    wan = scenario.wan_mtu_bytes

    def drawn(now: int, low: int, high: int) -> int:
        return dice.randint(low, high) if now else 0

    return replace(
        scenario,
        l2_ceiling_bytes=drawn(scenario.l2_ceiling_bytes, 1290, wan - 30),
        down_mtu_bytes=drawn(scenario.down_mtu_bytes, 1280, wan - 30),
        standby_mtu_bytes=drawn(scenario.standby_mtu_bytes, 1280, min(wan, 1480) - 10),
        upstream_mss_bytes=drawn(scenario.upstream_mss_bytes, *_upstream_mss(scenario)),
    )


def _upstream_mss(scenario: Scenario) -> tuple[int, int]:
    """A large hello must need two packets, and the small one of a control must fit one."""
    return (560, 660) if scenario.large_hello else (1100, scenario.wan_mtu_bytes - 60)


def _other_hidden(scenario: Scenario, dice: random.Random) -> Scenario:
    """Hide the narrow link behind a usual access, or behind one that is itself clamped for."""
    if scenario.outcome == "ok" or dice.random() < 0.6:  # noqa: PLR2004 - most
        return replace(scenario, hidden_mtu_bytes=_mtu(dice))
    wan = _mtu(dice, 1440)
    return replace(
        scenario,
        wan_mtu_bytes=wan,
        hidden_mtu_bytes=dice.randint(1300, wan - 20),
        clamp="any-both",
        findings=tuple(
            "clamp-too-high" if name == "clamp-missing" else name for name in scenario.findings
        ),
    )


def _other_service(scenario: Scenario, dice: random.Random) -> Scenario:
    """Let the service's certificate be large, too, where that changes nothing."""
    upload = scenario.clamp in {"none", "pos-both", "any-both", "ap-both", "ap-syn"}
    if not _clamps_only(scenario) or not upload or dice.random() > 0.25:  # noqa: PLR2004 - some
        return scenario
    if scenario.clamp_state == "works" and scenario.clamp in {"any-both", "ap-both"}:
        lost: tuple[Fate, ...] = ("drop", "pass")
        return replace(scenario, far_end="large", fragments_downstream=dice.choice(lost))
    return replace(scenario, far_end="large")


def _other_discovery(scenario: Scenario, dice: random.Random) -> Scenario:
    """Set DF on the AP, and let the gateway swallow the ICMP that would then help it."""
    if not _clamps_only(scenario) or dice.random() > 0.4:  # noqa: PLR2004 - some
        return scenario
    findings = scenario.findings
    if scenario.outcome == "fault" and not scenario.management_ceiling_bytes:
        findings = (*findings, "icmp-not-sent")
    return replace(scenario, ap_sends_df=True, gateway_sends_icmp=False, findings=findings)


def _fixed_clamp(scenario: Scenario, dice: random.Random) -> Scenario:
    """Write the clamp's value out, where it is not a matter of the route."""
    headers = HEADERS[scenario.family]
    fits = scenario.path_mtu_bytes - headers
    if scenario.clamp == "none":
        return scenario
    if scenario.findings[:1] == ("clamp-too-high",) and scenario.clamp_mss_bytes:
        if "clamp-field-misread" in scenario.findings:
            wan = _mtu(dice, 1300, _LAN_MTU - headers)
            return replace(scenario, wan_mtu_bytes=wan, clamp_mss_bytes=wan)
        over = dice.randint(4, _LAN_MTU - scenario.path_mtu_bytes)
        return replace(scenario, clamp_mss_bytes=fits + over)
    plain = not (
        scenario.l2_ceiling_bytes or scenario.hidden_mtu_bytes or scenario.standby_mtu_bytes
    )
    if plain and scenario.far_end != "jumbo" and dice.random() < 0.35:  # noqa: PLR2004 - some
        return replace(scenario, clamp_mss_bytes=fits - dice.choice((0, 0, 8, 12, 40)))
    return scenario


def _jumbo_lan(scenario: Scenario, dice: random.Random) -> Scenario:
    """Let the LAN carry more than anybody needs."""
    plain = scenario.topology == "retail" and not scenario.l2_ceiling_bytes
    usual = scenario.ap_mtu_bytes == scenario.vlan_mtu_bytes == _LAN_MTU
    if not plain or not usual or scenario.clamp != "any-both" or dice.random() > 0.1:  # noqa: PLR2004
        return scenario
    if scenario.clamp_state != "works" or scenario.clamp_families != "both":
        return scenario
    lan = dice.choice((2000, 4000, 9000))
    return replace(scenario, ap_mtu_bytes=lan, vlan_mtu_bytes=lan)


def _loss(scenario: Scenario, dice: random.Random) -> Scenario:
    if scenario.loss_percent:
        return replace(scenario, loss_percent=dice.randint(1, 4))
    if scenario.outcome == "ok" and scenario.topology == "retail" and dice.random() < 0.1:  # noqa: PLR2004
        return replace(scenario, loss_percent=1)
    return scenario
