"""What a diagnosis may say about a measured site: labels are checked, then become expectations.

Nothing here knows what the tool said, and nothing comes from its parsers.

**The label is checked** (:func:`label_problem`): the verdict that was measured, the MSS of both
SYNs on both sides of the gateway, where ICMP was seen, how the connection ended. A site that does
not do what it was built for is thrown out and counted.

**The acceptable first findings** (:func:`allowed`) are, with access to everything, the scenario's
own: each planted defect whose repair alone makes the site work. Without access to the gateway,
sites that differ only behind the gateway's LAN port look the same. What the AP can see is whether
large packets die and in which direction, whether it sets DF, whether ICMP arrives, and the MSS that
reaches it. Every cause that gives the same picture is then as right as any other: saying "no clamp
takes effect" of a clamp of the wrong scope is not a mistake of somebody who cannot see the gateway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtughost.lab.measure import Truth
from mtughost.lab.scenarios import Scenario

Reach = Literal["all", "ap-only"]

#: Causes that lie behind the gateway's LAN port, or in it: from the AP they look the same.
_BEHIND = frozenset(
    {
        "clamp-missing",
        "clamp-scope",
        "clamp-one-direction",
        "clamp-one-family",
        "clamp-too-high",
        "clamp-field-misread",
        "clamp-not-effective",
        "clamp-wrong-egress",
        "tunnel-overhead",
        "vlan-mtu-not-learned",
        "l2-mtu-mismatch",
        "path-mtu-asymmetric",
        "isp-path-mtu-low",
    }
)
_SILENT_ICMP = frozenset({"icmp-not-sent", "icmp-lost-upstream", "icmp-lost-at-nat"})
_FRAGMENTS = frozenset({"fragments-dropped"})
#: Bytes of headers beside an MSS.
HEADERS = {"ipv4": 40, "ipv6": 60, "dual": 60}
#: Worth a remark, never a fault.
_REMARKS = frozenset({"mss-rewritten-upstream"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a right answer looks like.

    Attributes:
        verdicts: Right ones.
        first: Right first findings; empty where there must be none.
        remarks: Findings that do not count.
        may_abstain: Whether "unknown" is the honest answer with this access.
    """

    verdicts: frozenset[str]
    first: frozenset[str]
    remarks: frozenset[str]
    may_abstain: bool


def label_problem(scenario: Scenario, truth: Truth) -> str:
    """Return why a measured site is not what its label says, or ``""``."""
    if truth.verdict != scenario.outcome:
        return f"measured {truth.verdict}, built for {scenario.outcome}"
    return _syn_problem(scenario, truth) or _icmp_problem(scenario, truth) or _end(scenario, truth)


def _syn_problem(scenario: Scenario, truth: Truth) -> str:
    near, far = truth.at_device, truth.at_wan
    if None in {far.syn_mss_bytes, far.syn_ack_mss_bytes, near.syn_ack_mss_bytes}:
        return ""
    syn = near.syn_mss_bytes != far.syn_mss_bytes
    syn_ack = near.syn_ack_mss_bytes != far.syn_ack_mss_bytes
    dead = scenario.clamp_state != "works" or scenario.clamp in {"none", "pos-both", "standby-both"}
    other = scenario.clamp_families not in {"both", scenario.family}
    if (dead or other) and (syn or syn_ack):
        return "a clamp acts that must not"
    if scenario.clamp == "ap-syn" and syn_ack:
        return "the SYN-ACK is clamped"
    if scenario.clamp == "ap-syn-ack" and syn:
        return "the SYN is clamped"
    return ""


def _icmp_problem(scenario: Scenario, truth: Truth) -> str:
    if truth.works or scenario.outcome != "fault":
        return ""
    if scenario.icmp_at_gateway == "drop" and (truth.icmp_at_device or not truth.icmp_at_wan):
        return "ICMP was not stopped at the gateway"
    if scenario.icmp_upstream == "drop" and (truth.icmp_at_device or truth.icmp_at_wan):
        return "ICMP came from upstream"
    if scenario.host_ignores_icmp and not truth.icmp_at_device:
        return "no ICMP reached the host"
    if not scenario.gateway_sends_icmp and truth.icmp_at_device:
        return "the gateway's ICMP reached the host"
    return ""


def _end(scenario: Scenario, truth: Truth) -> str:
    ends = {
        "closed": truth.stage == "no-syn-ack" and truth.resets,
        "nameless": truth.stage == "no-syn",
        "mute": truth.stage == "ended-acknowledged",
    }
    if not ends.get(scenario.far_end, True):
        return f"the connection ended with {truth.stage}"
    dropped = scenario.payload_blocked or scenario.split_hello == "drop"
    if dropped and truth.stage != "upload-unacknowledged":
        return f"the connection ended with {truth.stage}"
    return ""


def allowed(scenario: Scenario, truth: Truth, reach: Reach) -> Allowed:
    """Return what may be said about a site whose label holds.

    Args:
        scenario: What was built, as drawn.
        truth: What was measured.
        reach: What the diagnosis could log in to.
    """
    own = frozenset(scenario.findings)
    if reach == "all":
        return Allowed(
            verdicts=frozenset({truth.verdict}),
            first=own,
            remarks=_REMARKS,
            may_abstain=_only_downwards(scenario, truth),
        )
    return Allowed(
        verdicts=_verdicts_from_ap(truth),
        first=own | _same_from_ap(truth),
        remarks=_REMARKS,
        may_abstain=True,
    )


def _only_downwards(scenario: Scenario, truth: Truth) -> bool:
    """Say whether a site works only because the service sends nothing large today.

    Its connection then shows neither large packets nor fragments nor ICMP on the way back, and
    whether large ones would be lost, or their sender told, nobody can see before they are sent.
    """
    syn_ack = truth.at_device.syn_ack_mss_bytes
    covered = syn_ack is not None and syn_ack <= scenario.path_mtu_bytes - HEADERS[scenario.family]
    clamped = truth.at_device.syn_ack_mss_bytes != truth.at_wan.syn_ack_mss_bytes
    return truth.verdict == "latent" and covered and clamped and not truth.fragments_on_wan


def _verdicts_from_ap(truth: Truth) -> frozenset[str]:
    """A service that works may do so by luck that only shows behind the gateway.

    One whose whole answer is lost looks, from the AP, like one that does not answer.
    """
    if _all_silent(truth):
        return frozenset({truth.verdict, "not-mtu"})
    if truth.works and not _login_hole(truth):
        return frozenset({truth.verdict, "ok"})
    return frozenset({truth.verdict})


def _all_silent(truth: Truth) -> bool:
    """Say whether the AP's bytes were acknowledged, and nothing at all came back."""
    silent = truth.stage == "ended-acknowledged" and not truth.download_gap
    return truth.verdict == "fault" and silent


def _login_hole(truth: Truth) -> bool:
    return truth.login_works is False and bool(truth.login_small_works)


def _same_from_ap(truth: Truth) -> frozenset[str]:
    if truth.verdict == "latent":
        return _BEHIND
    if truth.verdict != "fault" or _login_hole(truth):
        return frozenset()
    if truth.icmp_at_device:
        # The AP sees what it is told: only whether a clamp should have spared it stays open.
        return frozenset({"icmp-ignored", "clamp-missing", "tunnel-overhead"})
    hang = frozenset({"server-hang"}) if _all_silent(truth) else frozenset()
    return _BEHIND | hang | (_SILENT_ICMP if truth.dont_fragment else _FRAGMENTS)
