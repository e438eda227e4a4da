"""The rules, one function per finding, in an explicit registry.

Every rule is pure: a case goes in, findings and rule-outs come out. Its docstring gives its
observables, its discriminator and its number in the catalogue of failures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mtughost.diagnose.case import Case, Outcome
from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.rules import (
    clamps,
    failover,
    fragments,
    icmp,
    management,
    mtu,
    reach,
    silence,
)

Rule = Callable[[Case], Outcome]
SiteRule = Callable[[SiteEvidence], Outcome]

#: Rules about the way that a flow takes now.
ACTIVE_RULES: Final[dict[str, Rule]] = {
    "dns-failure": reach.dns_failure,
    "no-syn-ack": reach.no_syn_ack,
    "clock-skew": reach.clock_skew,
    "certificate-invalid": reach.certificate_invalid,
    "credential-rejected": reach.credential_rejected,
    "payload-dropped": silence.payload_dropped,
    "server-hang": silence.server_hang,
    "plain-loss": silence.plain_loss,
    "clamp-scope": clamps.clamp_scope,
    "clamp-missing": clamps.clamp_missing,
    "clamp-one-direction": clamps.clamp_one_direction,
    "clamp-one-family": clamps.clamp_one_family,
    "clamp-too-high": clamps.clamp_too_high,
    "clamp-not-effective": clamps.clamp_not_effective,
    "clamp-wrong-egress": clamps.clamp_wrong_egress,
    "tunnel-overhead": clamps.tunnel_overhead,
    "vlan-mtu-not-learned": mtu.vlan_mtu_not_learned,
    "icmp-not-sent": icmp.icmp_not_sent,
    "icmp-lost-upstream": icmp.icmp_lost_upstream,
    "icmp-lost-at-nat": icmp.icmp_lost_at_nat,
    "icmp-ignored": icmp.icmp_ignored,
    "fragments-dropped": fragments.fragments_dropped,
    "isp-path-mtu-low": mtu.isp_path_mtu_low,
}

#: Rules about a way that the flow would take if the active one went down.
STANDBY_RULES: Final[dict[str, Rule]] = {
    "failover-path-smaller": failover.failover_path_smaller,
}

#: Rules about the site as a whole.
SITE_RULES: Final[dict[str, SiteRule]] = {
    "management-path-hole": management.management_path_hole,
}

#: Findings that are not about MTU or MSS.
NOT_MTU: Final = frozenset(
    {
        "dns-failure",
        "no-syn-ack",
        "clock-skew",
        "certificate-invalid",
        "tls-inspection",
        "credential-rejected",
        "payload-dropped",
        "server-hang",
        "plain-loss",
        "duplicate-address",
        "asymmetric-state",
    }
)
