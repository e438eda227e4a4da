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
    beyond,
    clamps,
    failover,
    fragments,
    hello,
    icmp,
    identity,
    layers,
    management,
    mtu,
    radius,
    reach,
    saved,
    silence,
    versions,
)

Rule = Callable[[Case], Outcome]
SiteRule = Callable[[SiteEvidence], Outcome]

#: Rules about the way that a flow takes now.
ACTIVE_RULES: Final[dict[str, Rule]] = {
    "dns-failure": reach.dns_failure,
    "no-syn-ack": reach.no_syn_ack,
    "clock-skew": reach.clock_skew,
    "certificate-invalid": reach.certificate_invalid,
    "tls-inspection": identity.tls_inspection,
    "credential-rejected": reach.credential_rejected,
    "payload-dropped": silence.payload_dropped,
    "server-hang": silence.server_hang,
    "plain-loss": silence.plain_loss,
    "duplicate-address": identity.duplicate_address,
    "asymmetric-state": identity.asymmetric_state,
    "clamp-scope": clamps.clamp_scope,
    "clamp-missing": clamps.clamp_missing,
    "clamp-one-direction": clamps.clamp_one_direction,
    "clamp-one-family": clamps.clamp_one_family,
    "clamp-too-high": clamps.clamp_too_high,
    "clamp-field-misread": versions.clamp_field_misread,
    "clamp-not-effective": clamps.clamp_not_effective,
    "clamp-semantics-changed": versions.clamp_semantics_changed,
    "clamp-unsupported": versions.clamp_unsupported,
    "clamp-wrong-egress": clamps.clamp_wrong_egress,
    "tunnel-overhead": clamps.tunnel_overhead,
    "vlan-mtu-not-learned": mtu.vlan_mtu_not_learned,
    "icmp-not-sent": icmp.icmp_not_sent,
    "icmp-lost-upstream": icmp.icmp_lost_upstream,
    "icmp-lost-at-nat": icmp.icmp_lost_at_nat,
    "icmp-ignored": icmp.icmp_ignored,
    "ptb-misdelivered": beyond.ptb_misdelivered,
    "fragments-dropped": fragments.fragments_dropped,
    "radius-fragments-dropped": radius.radius_fragments_dropped,
    "radsec-proxy-leg": radius.radsec_proxy_leg,
    "capwap-path": radius.capwap_path,
    "l2-mtu-mismatch": layers.l2_mtu_mismatch,
    "pppoe-mtu-half-done": layers.pppoe_mtu_half_done,
    "path-mtu-asymmetric": layers.path_mtu_asymmetric,
    "isp-path-mtu-low": mtu.isp_path_mtu_low,
    "mss-rewritten-upstream": beyond.mss_rewritten_upstream,
    "large-hello-dropped": hello.large_hello_dropped,
    "fix-not-persisted": saved.fix_not_persisted,
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
