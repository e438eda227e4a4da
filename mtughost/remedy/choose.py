"""The smallest sufficient fix, by the coverage proof.

Candidates are tried from small to large: widen the scope of a clamp that is there, add the
direction that is missing beside it, add a clamp both ways for the access points' VLAN, the same
with a fixed value. A candidate counts only if the proof holds for every flow afterwards and no
flow that was covered loses its cover. What is known to change nothing is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.flows import Flow, derive_flows
from mtughost.diagnose.simulate import (
    MtuChange,
    RulesetChange,
    prove_coverage,
    simulate_change,
)
from mtughost.model.basis import value_or_none
from mtughost.model.clamps import Ruleset
from mtughost.model.config import Wanted
from mtughost.model.device import Family
from mtughost.model.findings import Finding, FlowKey, FlowReport, SiteReport
from mtughost.remedy.candidates import Candidate, Need, Offered, candidates, wanted_of
from mtughost.remedy.edits import SetMtu, changed_ruleset
from mtughost.remedy.fix import (
    FixChoice,
    FixRefused,
    change_request,
    clamp_choice,
    config_choice,
    host_choice,
    tunnel_choice,
    unless_managed,
)
from mtughost.remedy.rule_text import ANY_INTERFACE

Prove = Callable[[SiteEvidence], tuple[FlowReport, ...]]
#: Lists changes of a command line's configuration; ``None`` where the platform has none.
Offers = Callable[[str, Sequence[Wanted]], Iterable[Offered] | None]

#: Changes that people ask for and that do not help here, with the reason.
NO_OPS: Final[dict[str, str]] = {
    "vlan-mtu": (
        "the gateway's VLAN MTU is in neither end's segment size: without DHCP option 26 or a "
        "clamp taken from it the AP goes on sending full packets (measured on Linux)"
    ),
    "icmp-permit": (
        "letting 'too big' through helps only ends that obey it, and only until it is lost "
        "again; the MSS is what both ends always obey"
    ),
    "tcp-mtu-probing": (
        "probing repairs one end's own upload after stalls of several seconds each; it does "
        "nothing for the other direction, nor for other hosts"
    ),
    "clamp-syn-only": (
        "a clamp on the way out rewrites the SYN only, which limits what the server sends; the "
        "AP's certificate is limited by the SYN-ACK"
    ),
}
#: The floor of IPv6 (RFC 8200 section 5); below it Linux drops IPv6 from the interface.
MIN_MTU_BYTES: Final = 1280
_MTU_STEP: Final = 8
_SURE: Final = frozenset({"confirmed", "likely"})
_CLAMP_CHANGES: Final = frozenset(
    {
        "clamp-scope",
        "clamp-one-direction",
        "clamp-one-family",
        "clamp-missing",
        "clamp-too-high",
    }
)
_HOST_CHANGES: Final = frozenset({"host-mtu"})
TUNNEL_MTU: Final = "tunnel-mtu"
VLAN_MTU_DHCP: Final = "vlan-mtu-dhcp"
#: What ``--change`` may ask for.
KNOWN: Final = _CLAMP_CHANGES | _HOST_CHANGES | {TUNNEL_MTU, VLAN_MTU_DHCP}


def choose_fix(
    report: SiteReport,
    evidence: SiteEvidence,
    *,
    wanted: str = "",
    prove: Prove = prove_coverage,
    offers: Offers | None = None,
) -> FixChoice | FixRefused:
    """Choose the smallest sufficient fix of a site.

    Args:
        report: What the diagnosis concluded.
        evidence: What it rests on.
        wanted: A change asked for by name; ``""`` leaves the choice to the proof.
        prove: The coverage proof.
        offers: Lists changes of gateways whose configuration is text.
    """
    refused = _refuse_by_name(wanted)
    before = prove(evidence)
    finding = refused or _finding_to_fix(report, before)
    if isinstance(finding, FixRefused):
        return finding
    if wanted == VLAN_MTU_DHCP:
        return _vlan_mtu(finding, evidence, before)
    if wanted == TUNNEL_MTU:
        return _tunnel_fix(finding, evidence, before, prove)
    hint = wanted or (finding.fix.change if finding.fix else finding.id)
    if hint in _HOST_CHANGES or (hint not in _CLAMP_CHANGES and not _has_gateway(evidence)):
        return _host_fix(finding, evidence, before, prove)
    return _clamp_fix(finding, evidence, before, prove, wanted, offers)


def _refuse_by_name(wanted: str) -> FixRefused | None:
    todo = f"Let the tool choose, or ask for one of: {', '.join(sorted(KNOWN))}"
    if wanted in NO_OPS:
        return FixRefused(reason=f"{wanted} would not repair it: {NO_OPS[wanted]}", todo=todo)
    if wanted and wanted not in KNOWN:
        return FixRefused(reason=f"{wanted} is no change that this version knows", todo=todo)
    return None


def _has_gateway(evidence: SiteEvidence) -> bool:
    return bool(evidence.with_role("gateway"))


def _vlan_mtu(
    finding: Finding, evidence: SiteEvidence, before: tuple[FlowReport, ...]
) -> FixRefused:
    """Write the VLAN's MTU with DHCP option 26 down for a person.

    The access point learns it with its next lease, hours from now: no verification inside the
    undo's window could prove it, so this tool does not make that change.
    """
    paths = [row.path_mtu for row in before if row.path_mtu is not None]
    flows = derive_flows(evidence).flows
    if not paths or not flows:
        return FixRefused(reason="the path MTU is unknown, so no MTU can be proven sufficient")
    value, flow = min(paths) // _MTU_STEP * _MTU_STEP, flows[0]
    please = (
        f"on {flow.gateway}, set the MTU of {flow.lan} to {value} and announce it by DHCP "
        f"option 26 (dnsmasq: dhcp-option={flow.lan},26,{value}; IPv6: the MTU option of the "
        f"router advertisement). It reaches every client of {flow.lan} at its next lease; hosts "
        "with a fixed address must be set by hand"
    )
    return FixRefused(
        reason=f"{VLAN_MTU_DHCP} takes effect only when the access points renew their leases, so "
        "it cannot be proven before the undo must be confirmed",
        todo="A clamp takes effect at once; or hand the change request to the gateway's owner",
        change_request=change_request(finding, f"the owner of {flow.gateway}", before, please),
    )


def _finding_to_fix(report: SiteReport, before: tuple[FlowReport, ...]) -> Finding | FixRefused:
    if report.verdict not in {"fault", "latent"}:
        return FixRefused(
            reason=f"{report.site} has the verdict {report.verdict}: nothing to repair"
        )
    sure = [finding for finding in report.findings if finding.grade in _SURE]
    if not sure:
        why = f"no finding of {report.site} is certain enough to change a device"
        return FixRefused(reason=why, todo=report.next_test.summary if report.next_test else "")
    fixable = [finding for finding in sure if finding.fix is not None]
    if not fixable:
        first = sure[0]
        return FixRefused(
            reason=f"{first.id} cannot be repaired on a device of the site: {first.summary}",
            todo=f"It is up to the {first.owner}",
            change_request=_asked(first, before),
        )
    return fixable[0]


def _asked(finding: Finding, before: tuple[FlowReport, ...]) -> str:
    please = finding.fix.summary if finding.fix else f"repair it (see the runbook {finding.id})"
    return change_request(finding, f"the {finding.owner}", before, please)


def _tunnel_fix(
    finding: Finding, evidence: SiteEvidence, before: tuple[FlowReport, ...], prove: Prove
) -> FixChoice | FixRefused:
    """Lower the MTU of the gateway's way out, where clamps that follow it then suffice."""
    needs = _needs(evidence, before)
    if isinstance(needs, FixRefused):
        return needs
    gateway, egress = needs[0].flow.gateway, needs[0].flow.egress or ""
    device, facts = evidence.device(gateway), evidence.facts_of(gateway)
    links = value_or_none(facts.interfaces) if facts else None
    now = next((link.mtu_bytes for link in links or () if link.name == egress), None)
    paths = [r.path_mtu for r in before if r.key.egress == egress and r.path_mtu is not None]
    if device is None or now is None or not paths:
        return FixRefused(reason=f"the MTU of {egress} or of the path behind it is unknown")
    value = min(paths)
    if MIN_MTU_BYTES <= value < now:
        change = MtuChange(host=gateway, interface=egress, mtu_bytes=value)
        after = prove(simulate_change(evidence, change))
        if _sufficient(before, after):
            edit = SetMtu(interface=egress, before_bytes=now, after_bytes=value)
            return unless_managed(device, tunnel_choice(finding, device, edit, before, after))
    return FixRefused(
        reason=f"no MTU of {egress} on {gateway} is proven sufficient",
        todo="Only clamps that follow the path MTU follow it",
    )


def _clamp_fix(
    finding: Finding,
    evidence: SiteEvidence,
    before: tuple[FlowReport, ...],
    prove: Prove,
    wanted: str,
    offers: Offers | None,
) -> FixChoice | FixRefused:
    needs = _needs(evidence, before)
    if isinstance(needs, FixRefused):
        return needs
    device = evidence.device(needs[0].flow.gateway)
    facts = evidence.facts_of(needs[0].flow.gateway)
    if device is None or facts is None:
        return FixRefused(
            reason=f"the gateway {needs[0].flow.gateway or 'of the site'} cannot be changed by us",
            todo=f"Send the change request to the {finding.owner}",
            change_request=_asked(finding, before),
        )
    ruleset = value_or_none(facts.clamps)
    if ruleset is None:
        return FixRefused(reason=f"the packet filter of {device.name} is not known as a whole")
    offered = offers(device.name, wanted_of(needs)) if offers else None
    if offered is not None:
        asked = (one for one in offered if wanted in ("", one.fix.change))
        return _offered_fix(finding, evidence, before, prove, asked)
    for candidate in candidates(ruleset, needs):
        after = _after(candidate, ruleset, device.name, evidence, prove)
        if wanted in ("", candidate.change) and _sufficient(before, after):
            choice = clamp_choice(finding, device, candidate, before, after)
            return unless_managed(device, choice)
    return _without_clamps(finding, evidence, before, prove, wanted)


def _offered_fix(
    finding: Finding,
    evidence: SiteEvidence,
    before: tuple[FlowReport, ...],
    prove: Prove,
    offered: Iterable[Offered],
) -> FixChoice | FixRefused:
    """Return the first change of a configuration that the proof shows sufficient."""
    for one in offered:
        change = RulesetChange(host=one.device.name, ruleset=one.ruleset)
        after = prove(simulate_change(evidence, change))
        if _sufficient(before, after):
            choice = config_choice(finding, one.device, one.fix, before, after)
            return unless_managed(one.device, choice)
    return _no_clamp(finding, before)


def _after(
    candidate: Candidate, ruleset: Ruleset, host: str, evidence: SiteEvidence, prove: Prove
) -> tuple[FlowReport, ...]:
    for edit in candidate.edits:
        ruleset = changed_ruleset(ruleset, edit)
    return prove(simulate_change(evidence, RulesetChange(host=host, ruleset=ruleset)))


def _without_clamps(
    finding: Finding,
    evidence: SiteEvidence,
    before: tuple[FlowReport, ...],
    prove: Prove,
    wanted: str,
) -> FixChoice | FixRefused:
    if wanted:
        return FixRefused(reason=f"{wanted} is not sufficient by the coverage proof")
    tunnel = _tunnel_fix(finding, evidence, before, prove)
    if isinstance(tunnel, FixChoice) or tunnel.change_request:
        return tunnel
    return _no_clamp(finding, before)


def _no_clamp(finding: Finding, before: tuple[FlowReport, ...]) -> FixRefused:
    needed = next((row.mss.needed for row in before if row.covered is False), None)
    return FixRefused(
        reason="no change of the clamps that this version knows is sufficient",
        todo=f"The path needs an MSS of {needed or 'unknown size'}; see the runbook of "
        f"{finding.id}",
        change_request=_asked(finding, before),
    )


def _needs(evidence: SiteEvidence, before: tuple[FlowReport, ...]) -> tuple[Need, ...] | FixRefused:
    flows = {
        (f.service.name, f.ap, f.gateway, f.egress or "", f.family): f
        for f in derive_flows(evidence).flows
    }
    needs = []
    for row in before:
        flow = flows.get(_flow_name(row.key))
        if row.covered is False and flow is not None:
            if not flow.lan or not flow.egress:
                return FixRefused(reason=f"the way of {row.key.ap} through the gateway is unknown")
            if not all(ANY_INTERFACE.fullmatch(name) for name in (flow.lan, flow.egress)):
                return FixRefused(reason="an interface has a name that templates cannot carry")
            needs.append(Need(flow=flow, direction=row.key.direction, mss_bytes=row.mss.needed))
    if not needs:
        return FixRefused(
            reason="the coverage proof shows no uncovered flow, so no clamp is to be changed"
        )
    if len({need.flow.gateway for need in needs}) > 1:
        return FixRefused(
            reason="the uncovered flows cross several gateways",
            todo="Plan one gateway at a time: two devices of a site are never changed at once",
        )
    return tuple(needs)


def _flow_name(key: FlowKey) -> tuple[str, str, str, str, Family]:
    return (key.service, key.ap, key.gateway, key.egress, key.family)


def _sufficient(before: tuple[FlowReport, ...], after: tuple[FlowReport, ...]) -> bool:
    was = {row.key: row.covered for row in before}
    return all(row.covered or (row.covered is None and was.get(row.key) is None) for row in after)


def _host_fix(
    finding: Finding, evidence: SiteEvidence, before: tuple[FlowReport, ...], prove: Prove
) -> FixChoice | FixRefused:
    flows = [flow for flow in derive_flows(evidence).flows if _is_host(finding, flow)]
    if not flows:
        return FixRefused(reason=f"the host that {finding.id} is about was not read")
    flow = flows[0]
    device, facts = evidence.device(flow.ap), evidence.facts_of(flow.ap)
    sender = flow.sender
    if device is None or facts is None or sender.interface is None or sender.mtu_bytes is None:
        return FixRefused(reason=f"the interface or MTU of {flow.ap} is unknown")
    paths = [row.path_mtu for row in before if row.key.ap == flow.ap and row.path_mtu is not None]
    hinted = finding.fix.value_bytes if finding.fix else None
    if not paths and hinted is None:
        return FixRefused(
            reason="the path MTU is unknown, so no MTU can be proven sufficient",
            todo="Collect a service probe or a capture first",
        )
    # The path MTU itself leaves no room for one more header; a multiple of 8 below it does.
    largest = min(paths) // _MTU_STEP * _MTU_STEP if paths else hinted or 0
    for value in dict.fromkeys([largest, min(paths, default=largest)]):
        if not MIN_MTU_BYTES <= value < sender.mtu_bytes:
            continue
        after = prove(
            simulate_change(
                evidence, MtuChange(host=device.name, interface=sender.interface, mtu_bytes=value)
            )
        )
        if _sufficient_for(flow.ap, before, after):
            edit = SetMtu(
                interface=sender.interface, before_bytes=sender.mtu_bytes, after_bytes=value
            )
            return unless_managed(device, host_choice(finding, device, edit, before, after))
    return FixRefused(
        reason=f"no MTU of {sender.interface} on {flow.ap} is proven sufficient",
        todo=f"An MTU must lie between {MIN_MTU_BYTES} and the path MTU",
    )


def _is_host(finding: Finding, flow: Flow) -> bool:
    if finding.fix and finding.fix.host:
        return flow.ap == finding.fix.host
    return finding.flow is None or finding.flow.ap == flow.ap


def _sufficient_for(ap: str, before: tuple[FlowReport, ...], after: tuple[FlowReport, ...]) -> bool:
    was = {row.key: row.covered for row in before}
    mine = [row for row in after if row.key.ap == ap]
    return bool(mine) and all(
        row.covered or (row.covered is None and was.get(row.key) is None) for row in mine
    )
