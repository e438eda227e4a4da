"""The smallest sufficient fix, by the coverage proof.

Candidates are tried from small to large: widen the scope of a clamp that is there, add the
direction that is missing beside it, add a clamp both ways for the access points' VLAN, the same
with a fixed value. A candidate counts only if the proof holds for every flow afterwards and no
flow that was covered loses its cover. What is known to change nothing is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from mtughost.diagnose.evidence import SiteEvidence
from mtughost.diagnose.flows import Flow, derive_flows
from mtughost.diagnose.simulate import prove_coverage
from mtughost.model.basis import Known, value_or_none
from mtughost.model.clamps import Chain, ClampTo, Rule, Ruleset
from mtughost.model.device import DeviceFacts, Family
from mtughost.model.evidence import Direction
from mtughost.model.findings import Finding, FlowKey, FlowReport, SiteReport
from mtughost.model.inventory import Device
from mtughost.model.plans import Backend
from mtughost.remedy.edits import (
    OWN_TABLE,
    AddRule,
    Edit,
    NewTable,
    ReplaceRule,
    SetMtu,
    changed_ruleset,
    parse_rule,
    printed,
)
from mtughost.remedy.rule_text import INTERFACE, ClampText

Prove = Callable[[SiteEvidence], tuple[FlowReport, ...]]

#: Changes that people ask for and that do not help here, with the reason.
NO_OPS: Final[dict[str, str]] = {
    "vlan-mtu": (
        "on Linux the gateway's VLAN MTU is in neither end's segment size: without DHCP option 26 "
        "or a clamp taken from it the AP goes on sending full packets (measured)"
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
    {"clamp-scope", "clamp-one-direction", "clamp-one-family", "clamp-missing", "clamp-wrong-egress"}
)
_HOST_CHANGES: Final = frozenset({"host-mtu"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FixChoice:
    """A fix that the proof found sufficient.

    Attributes:
        change: ``clamp-scope``, ``clamp-one-direction``, ``clamp-missing`` or ``host-mtu``.
        target: nft table, ``mangle`` or interface that is touched.
        before: The coverage proof now.
        after: The coverage proof with the edits.
        other_flows: What else the change affects, in words.
    """

    device: str
    change: str
    finding: str
    backend: Backend
    target: str
    summary: str
    edits: tuple[Edit, ...]
    before: tuple[FlowReport, ...]
    after: tuple[FlowReport, ...]
    other_flows: tuple[str, ...]
    blast_radius: str
    risk: str
    touches_management: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FixRefused:
    """No change by us, and why.

    Attributes:
        change_request: Text for whoever keeps the device's configuration, or ``""``.
    """

    reason: str
    todo: str = ""
    change_request: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """One direction of one flow that is not covered."""

    flow: Flow
    direction: Direction
    mss_bytes: int | None

    @property
    def way(self) -> tuple[str, str]:
        """Interfaces that the ruling handshake packet enters and leaves by.

        The SYN-ACK, which rules the upload, runs from the egress to the LAN.
        """
        lan, egress = self.flow.lan or "", self.flow.egress or ""
        return (egress, lan) if self.direction == "up" else (lan, egress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    change: str
    edits: tuple[Edit, ...]


def choose_fix(
    report: SiteReport,
    evidence: SiteEvidence,
    *,
    wanted: str = "",
    prove: Prove = prove_coverage,
) -> FixChoice | FixRefused:
    """Choose the smallest sufficient fix of a site.

    Args:
        report: What the diagnosis concluded.
        evidence: What it rests on.
        wanted: A change asked for by name; ``""`` leaves the choice to the proof.
        prove: The coverage proof.
    """
    if wanted in NO_OPS:
        return FixRefused(
            reason=f"{wanted} would not repair it: {NO_OPS[wanted]}",
            todo="Let the tool choose, or ask for clamp-scope, clamp-missing or host-mtu",
        )
    finding = _finding_to_fix(report)
    if isinstance(finding, FixRefused):
        return finding
    before = prove(evidence)
    hint = wanted or (finding.fix.change if finding.fix else finding.id)
    if hint in _HOST_CHANGES or (hint not in _CLAMP_CHANGES and not _has_gateway(evidence)):
        return _host_fix(finding, evidence, before, prove)
    return _clamp_fix(finding, evidence, before, prove)


def _has_gateway(evidence: SiteEvidence) -> bool:
    return bool(evidence.with_role("gateway"))


def _finding_to_fix(report: SiteReport) -> Finding | FixRefused:
    if report.verdict not in {"fault", "latent"}:
        return FixRefused(reason=f"{report.site} has the verdict {report.verdict}: nothing to repair")
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
        )
    return fixable[0]


def _clamp_fix(
    finding: Finding, evidence: SiteEvidence, before: tuple[FlowReport, ...], prove: Prove
) -> FixChoice | FixRefused:
    needs = _needs(evidence, before)
    if isinstance(needs, FixRefused):
        return needs
    device = evidence.device(needs[0].flow.gateway)
    facts = evidence.facts_of(needs[0].flow.gateway)
    if device is None or facts is None:
        return FixRefused(
            reason=f"the gateway {needs[0].flow.gateway or 'of the site'} cannot be changed by us",
            todo=f"Send the finding to the {finding.owner}",
        )
    ruleset = value_or_none(facts.clamps)
    if ruleset is None:
        return FixRefused(reason=f"the packet filter of {device.name} is not known as a whole")
    for candidate in _candidates(ruleset, needs):
        changed = ruleset
        for edit in candidate.edits:
            changed = changed_ruleset(changed, edit)
        after = prove(_with_clamps(evidence, facts, changed))
        if _sufficient(before, after):
            choice = _clamp_choice(finding, device, candidate, before, after)
            return _unless_managed(device, choice)
    return FixRefused(
        reason=f"no change of the clamps of {device.name} that this version knows is sufficient",
        todo=f"The path needs an MSS of {needs[0].mss_bytes or 'unknown size'}; see the runbook of "
        f"{finding.id}",
    )


def _needs(
    evidence: SiteEvidence, before: tuple[FlowReport, ...]
) -> tuple[_Need, ...] | FixRefused:
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
            if not all(INTERFACE.fullmatch(name) for name in (flow.lan, flow.egress)):
                return FixRefused(reason="an interface has a name that templates cannot carry")
            needs.append(_Need(flow=flow, direction=row.key.direction, mss_bytes=row.mss.needed))
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


def _with_clamps(evidence: SiteEvidence, facts: DeviceFacts, ruleset: Ruleset) -> SiteEvidence:
    if not isinstance(facts.clamps, Known):
        return evidence
    return evidence.with_facts(replace(facts, clamps=Known(ruleset, facts.clamps.source)))


def _sufficient(before: tuple[FlowReport, ...], after: tuple[FlowReport, ...]) -> bool:
    was = {row.key: row.covered for row in before}
    return all(row.covered or (row.covered is None and was.get(row.key) is None) for row in after)


# --- candidates -----------------------------------------------------------------------------


def _candidates(ruleset: Ruleset, needs: tuple[_Need, ...]) -> Iterator[_Candidate]:
    widened = _widen(ruleset, needs)
    if widened:
        yield _Candidate(change="clamp-scope", edits=widened)
    mirrored = _add_direction(ruleset, needs)
    if mirrored:
        yield _Candidate(change="clamp-one-direction", edits=mirrored)
    if widened and mirrored:
        yield _Candidate(change="clamp-scope", edits=(*widened, *mirrored))
    yield _Candidate(change="clamp-missing", edits=_both_ways(ruleset, needs, fixed=False))
    fixed = _both_ways(ruleset, needs, fixed=True)
    if fixed:
        yield _Candidate(change="clamp-missing", edits=fixed)


def _clamps(ruleset: Ruleset) -> Iterator[tuple[Chain, Rule, ClampText]]:
    for chain in ruleset.chains:
        if chain.hook != "forward":
            continue
        for rule in chain.rules:
            text = parse_rule(rule, chain.table)
            if isinstance(rule.action, ClampTo) and text is not None:
                yield chain, rule, text


def _sees(text: ClampText, need: _Need) -> bool:
    wanted = 4 if need.flow.family == "ipv4" else 6
    # Flags 3 ask for ACK to be clear: such a rule never sees a SYN-ACK.
    return text.nfproto in (0, wanted) and (need.direction == "down" or text.flags != 3)  # noqa: PLR2004


def _lets(names: tuple[str, ...], name: str) -> bool:
    return not names or name in names


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if _lets(names, name) else tuple(sorted((*names, name)))


def _widen(ruleset: Ruleset, needs: tuple[_Need, ...]) -> tuple[Edit, ...]:
    """Let rules that miss the access points' VLAN match it too; one rule per direction."""
    edits: dict[str, Edit] = {}
    for need in needs:
        for chain, rule, text in _clamps(ruleset):
            way_in, way_out = need.way
            lan_in = need.direction == "down"
            same_egress = _lets(*((text.out_interfaces, way_out) if lan_in else (text.in_interfaces, way_in)))
            missed = not _lets(*((text.in_interfaces, way_in) if lan_in else (text.out_interfaces, way_out)))
            if not (_sees(text, need) and same_egress and missed):
                continue
            if text.tool == "iptables":
                twin = replace(
                    text,
                    in_interfaces=(way_in,) if text.in_interfaces else (),
                    out_interfaces=(way_out,) if text.out_interfaces else (),
                    comment="",
                )
                edits[printed(rule)] = _behind(chain, rule, twin)
            else:
                earlier = edits.get(printed(rule))
                now = earlier.after if isinstance(earlier, ReplaceRule) else text
                wider = replace(
                    now,
                    in_interfaces=_with(now.in_interfaces, way_in),
                    out_interfaces=_with(now.out_interfaces, way_out),
                )
                edits[printed(rule)] = ReplaceRule(
                    table=chain.table, chain=chain.name, before=text, after=wider
                )
            break
    return tuple(edits.values())


def _behind(chain: Chain, rule: Rule, new: ClampText) -> AddRule:
    behind = printed(rule)
    if new.tool == "iptables" and behind.startswith("["):
        behind = behind.partition("] ")[2]
    return AddRule(table=chain.table, chain=chain.name, rule=new, behind=behind)


def _add_direction(ruleset: Ruleset, needs: tuple[_Need, ...]) -> tuple[Edit, ...]:
    """Mirror a rule that covers the other direction of the same flow."""
    edits: dict[str, Edit] = {}
    for need in needs:
        way_in, way_out = need.way
        for chain, rule, text in _clamps(ruleset):
            opposite = _lets(text.in_interfaces, way_out) and _lets(text.out_interfaces, way_in)
            wanted = 4 if need.flow.family == "ipv4" else 6
            if not (opposite and text.nfproto in (0, wanted)):
                continue
            # A rule for every interface covers both directions already: nothing to mirror.
            if not text.in_interfaces and not text.out_interfaces:
                continue
            flags = 2 if text.flags == 3 else text.flags  # noqa: PLR2004 - flags 3 miss a SYN-ACK
            new = replace(text.mirrored(), flags=flags, comment=_tag(text))
            edits[printed(rule)] = _behind(chain, rule, new)
            break
    return tuple(edits.values())


def _tag(text: ClampText) -> str:
    """nft deletes a rule by handle only, which nobody knows beforehand: a comment finds it."""
    return "mtughost-mirror" if text.tool == "nft" else ""


def _both_ways(ruleset: Ruleset, needs: tuple[_Need, ...], *, fixed: bool) -> tuple[Edit, ...]:
    lan = tuple(sorted({need.flow.lan or "" for need in needs}))
    wan = tuple(sorted({need.flow.egress or "" for need in needs}))
    v4 = min((n.mss_bytes for n in needs if n.mss_bytes and n.flow.family == "ipv4"), default=0)
    v6 = min((n.mss_bytes for n in needs if n.mss_bytes and n.flow.family == "ipv6"), default=0)
    v4 = v4 or (v6 + 20 if v6 else 0)
    if fixed and not v4:
        return ()
    if _uses_iptables(ruleset):
        return _iptables_both_ways(needs, v4 if fixed else 0, (v6 or v4 - 20) if fixed else 0)
    if any(chain.table == OWN_TABLE for chain in ruleset.chains):
        return ()
    out = ClampText(tool="nft", in_interfaces=lan, out_interfaces=wan, flags=1, counter_at=3)
    if not fixed:
        return (NewTable(rules=(out, out.mirrored())),)
    one = replace(out, nfproto=4, above_bytes=v4, mss_bytes=v4)
    six = v6 or v4 - 20
    two = replace(out, nfproto=6, above_bytes=six, mss_bytes=six)
    return (NewTable(rules=(one, one.mirrored(), two, two.mirrored())),)


def _uses_iptables(ruleset: Ruleset) -> bool:
    return any(
        rule.text.lstrip().startswith(("-A", "[")) for chain in ruleset.chains for rule in chain.rules
    )


def _iptables_both_ways(needs: tuple[_Need, ...], v4: int, v6: int) -> tuple[Edit, ...]:
    edits: list[Edit] = []
    ways = sorted({(n.flow.lan or "", n.flow.egress or "", n.flow.family) for n in needs})
    for lan, wan, family in ways:
        rule = ClampText(
            tool="iptables",
            nfproto=4 if family == "ipv4" else 6,
            in_interfaces=(lan,),
            out_interfaces=(wan,),
            mss_bytes=v4 if family == "ipv4" else v6,
        )
        table = "ip mangle" if family == "ipv4" else "ip6 mangle"
        edits += [
            AddRule(table=table, chain="FORWARD", rule=one, behind="")
            for one in (rule, rule.mirrored())
        ]
    return tuple(edits)


# --- host MTU -------------------------------------------------------------------------------


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
        after = prove(_with_mtu(evidence, facts, sender.interface, value))
        if _sufficient_for(flow.ap, before, after):
            edit = SetMtu(
                interface=sender.interface, before_bytes=sender.mtu_bytes, after_bytes=value
            )
            return _unless_managed(device, _host_choice(finding, device, edit, before, after))
    return FixRefused(
        reason=f"no MTU of {sender.interface} on {flow.ap} is proven sufficient",
        todo=f"An MTU must lie between {MIN_MTU_BYTES} and the path MTU",
    )


def _is_host(finding: Finding, flow: Flow) -> bool:
    if finding.fix and finding.fix.host:
        return flow.ap == finding.fix.host
    return finding.flow is None or finding.flow.ap == flow.ap


def _with_mtu(
    evidence: SiteEvidence, facts: DeviceFacts, interface: str, mtu_bytes: int
) -> SiteEvidence:
    if not isinstance(facts.interfaces, Known):
        return evidence
    changed = tuple(
        replace(item, mtu_bytes=mtu_bytes) if item.name == interface else item
        for item in facts.interfaces.value
    )
    return evidence.with_facts(
        replace(facts, interfaces=Known(changed, facts.interfaces.source))
    )


def _sufficient_for(
    ap: str, before: tuple[FlowReport, ...], after: tuple[FlowReport, ...]
) -> bool:
    was = {row.key: row.covered for row in before}
    mine = [row for row in after if row.key.ap == ap]
    return bool(mine) and all(
        row.covered or (row.covered is None and was.get(row.key) is None) for row in mine
    )


# --- words ----------------------------------------------------------------------------------


def _unless_managed(device: Device, choice: FixChoice) -> FixChoice | FixRefused:
    if not device.managed_by:
        return choice
    lines = [
        f"Change request for {device.name} at {device.site}, managed by {device.managed_by}",
        "",
        f"Please: {choice.summary}",
        "Why: " + next((row.proof for row in choice.before if row.covered is False), choice.finding),
        f"Must hold afterwards: {'; '.join(row.proof for row in choice.after)}",
        f"Also affected: {'; '.join(choice.other_flows)}",
    ]
    return FixRefused(
        reason=f"{device.name} is managed by {device.managed_by}, which would overwrite a change",
        todo="Send the change request to whoever runs the controller",
        change_request="\n".join(lines) + "\n",
    )


def _clamp_choice(
    finding: Finding,
    device: Device,
    candidate: _Candidate,
    before: tuple[FlowReport, ...],
    after: tuple[FlowReport, ...],
) -> FixChoice:
    edits = candidate.edits
    iptables = any(isinstance(e, AddRule) and e.rule.tool == "iptables" for e in edits)
    tables = {e.table if isinstance(e, ReplaceRule | AddRule) else OWN_TABLE for e in edits}
    target = "mangle" if iptables else sorted(tables)[0]
    names = sorted({name for edit in edits for name in _interfaces(edit)})
    return FixChoice(
        device=device.name,
        change=candidate.change,
        finding=finding.id,
        backend="iptables" if iptables else "nft",
        target=target,
        summary=_clamp_words(candidate, device.name),
        edits=edits,
        before=before,
        after=after,
        other_flows=(
            f"new TCP connections between {' and '.join(names)} of every host there: their MSS "
            "is limited to what the path carries",
        ),
        blast_radius=(
            f"new TCP connections through {device.name} between {' and '.join(names)}; "
            "established ones keep their segment size"
        ),
        risk="a clamp lowers segment sizes by a few bytes; a wrong rule could touch other VLANs",
        touches_management=False,
    )


def _interfaces(edit: Edit) -> tuple[str, ...]:
    if isinstance(edit, SetMtu):
        return (edit.interface,)
    if isinstance(edit, NewTable):
        return edit.rules[0].in_interfaces + edit.rules[0].out_interfaces
    rule = edit.after if isinstance(edit, ReplaceRule) else edit.rule
    return rule.in_interfaces + rule.out_interfaces


def _clamp_words(candidate: _Candidate, device: str) -> str:
    first = candidate.edits[0]
    if candidate.change == "clamp-scope":
        names = sorted({name for edit in candidate.edits for name in _interfaces(edit)})
        return (
            f"on {device}, let the clamp that is there match {' and '.join(names)} too "
            f"({len(candidate.edits)} rule{'s' if len(candidate.edits) > 1 else ''})"
        )
    if candidate.change == "clamp-one-direction":
        return f"on {device}, add the missing direction beside the clamp that is there"
    value = first.rules[0].mss_bytes if isinstance(first, NewTable) else 0
    value = first.rule.mss_bytes if isinstance(first, AddRule) else value
    how = f"to {value}" if value else "to the path MTU"
    return f"on {device}, clamp the MSS {how} both ways for the VLAN of the access points"


def _host_choice(
    finding: Finding,
    device: Device,
    edit: SetMtu,
    before: tuple[FlowReport, ...],
    after: tuple[FlowReport, ...],
) -> FixChoice:
    return FixChoice(
        device=device.name,
        change="host-mtu",
        finding=finding.id,
        backend="link-mtu",
        target=edit.interface,
        summary=(
            f"on {device.name}, lower the MTU of {edit.interface} from {edit.before_bytes} to "
            f"{edit.after_bytes}"
        ),
        edits=(edit,),
        before=before,
        after=after,
        other_flows=(f"everything that {device.name} itself sends by {edit.interface}",),
        blast_radius=f"{device.name} alone: other hosts keep their MTU",
        risk=(
            "larger packets to neighbours on the same link stop; a driver may reset the link; "
            "it protects this host only, not others behind the same path"
        ),
        touches_management=True,
    )
