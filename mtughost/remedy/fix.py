"""A chosen fix as a value, with the words that go into plan, summary and change request."""

from __future__ import annotations

from dataclasses import dataclass

from mtughost.model.config import ConfigEdit, ConfigFix
from mtughost.model.findings import Evidence, Finding, FlowReport
from mtughost.model.inventory import Device
from mtughost.model.plans import Backend
from mtughost.remedy.candidates import Candidate
from mtughost.remedy.edits import OWN_TABLE, AddRule, Edit, NewTable, ReplaceRule, SetMtu


@dataclass(frozen=True, slots=True, kw_only=True)
class FixChoice:
    """A fix that the proof found sufficient.

    Attributes:
        change: ``clamp-scope``, ``clamp-too-high``, ``clamp-one-direction``, ``clamp-one-family``,
            ``clamp-missing``, ``tunnel-mtu`` or ``host-mtu``.
        target: nft table, ``mangle`` or interface that is touched.
        before: The coverage proof now.
        after: The coverage proof with the edits.
        other_flows: What else the change affects, in words.
        prove_service: Whether the service must be proven before confirm. A rollback brings a state
            back in which it may well not work.
    """

    device: str
    change: str
    finding: str
    backend: Backend
    target: str
    summary: str
    edits: tuple[Edit | ConfigEdit, ...]
    before: tuple[FlowReport, ...]
    after: tuple[FlowReport, ...]
    other_flows: tuple[str, ...]
    blast_radius: str
    risk: str
    touches_management: bool
    prove_service: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FixRefused:
    """No change by us, and why.

    Attributes:
        change_request: Text for whoever keeps the device's configuration, or ``""``.
    """

    reason: str
    todo: str = ""
    change_request: str = ""


def unless_managed(device: Device, choice: FixChoice) -> FixChoice | FixRefused:
    """Turn the fix of a device that a controller manages into a change request."""
    if not device.managed_by:
        return choice
    lines = [
        f"Change request for {device.name} at {device.site}, managed by {device.managed_by}",
        "",
        f"Please: {choice.summary}",
        "Why: "
        + next((row.proof for row in choice.before if row.covered is False), choice.finding),
        f"Must hold afterwards: {'; '.join(row.proof for row in choice.after)}",
        f"Also affected: {'; '.join(choice.other_flows)}",
    ]
    return FixRefused(
        reason=f"{device.name} is managed by {device.managed_by}, which would overwrite a change",
        todo="Send the change request to whoever runs the controller",
        change_request="\n".join(lines) + "\n",
    )


def clamp_choice(
    finding: Finding,
    device: Device,
    candidate: Candidate,
    before: tuple[FlowReport, ...],
    after: tuple[FlowReport, ...],
) -> FixChoice:
    """Put a proven change of the clamps into words."""
    edits = candidate.edits
    iptables = any(isinstance(e, AddRule) and e.rule.tool == "iptables" for e in edits)
    tables = {e.table if isinstance(e, ReplaceRule | AddRule) else OWN_TABLE for e in edits}
    target = "mangle" if iptables else min(tables)
    reached = _reach(candidate)
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
            *changed_flows(before, after),
            f"new TCP connections of every other host behind {reached}: their MSS too is limited",
        ),
        blast_radius=(
            f"new TCP connections through {device.name} that enter or leave by {reached}; "
            "established ones keep their segment size"
        ),
        risk="a clamp lowers segment sizes by a few bytes; a wrong rule could touch other VLANs",
        touches_management=False,
    )


def config_choice(
    finding: Finding,
    device: Device,
    fix: ConfigFix,
    before: tuple[FlowReport, ...],
    after: tuple[FlowReport, ...],
) -> FixChoice:
    """Put a proven change of a command line's configuration into words."""
    first = fix.edits[0].settings[0]
    return FixChoice(
        device=device.name,
        change=fix.change,
        finding=finding.id,
        backend="config",
        target=fix.target or first.section,
        summary=f"on {device.name}, {fix.summary}",
        edits=fix.edits,
        before=before,
        after=after,
        other_flows=(f"new TCP connections of {fix.reach}: their MSS too is limited",),
        blast_radius=(
            f"new TCP connections of {fix.reach}; established ones keep their segment size"
        ),
        risk=fix.risk,
        touches_management=fix.touches_management,
    )


def changed_flows(before: tuple[FlowReport, ...], after: tuple[FlowReport, ...]) -> tuple[str, ...]:
    """Name the service flows that were covered already and get another segment size too."""
    was = {row.key: row for row in before}
    return tuple(
        f"{row.key.service} of {row.key.ap}, {row.key.family} {row.key.direction} by "
        f"{row.key.egress}: MSS {was[row.key].mss.configured} becomes {row.mss.configured}"
        for row in after
        if row.key in was
        and was[row.key].covered is not False
        and was[row.key].mss.configured != row.mss.configured
    )


def _reach(candidate: Candidate) -> str:
    """Say whom the changed rules can match: a rule without one side matches every VLAN."""
    for edit in candidate.edits:
        rules = edit.rules if isinstance(edit, NewTable) else ()
        rules = (edit.rule,) if isinstance(edit, AddRule) else rules
        rules = (edit.after,) if isinstance(edit, ReplaceRule) else rules
        if any(not rule.in_interfaces or not rule.out_interfaces for rule in rules):
            return "any interface"
    return " and ".join(candidate.lans)


def _clamp_words(candidate: Candidate, device: str) -> str:
    edits = candidate.edits
    first = edits[0]
    if candidate.change == "clamp-scope":
        return (
            f"on {device}, let the clamp that is there match {' and '.join(candidate.lans)} too "
            f"({len(edits)} rule{'s' if len(edits) > 1 else ''})"
        )
    if candidate.change == "clamp-too-high" and isinstance(first, ReplaceRule):
        old, new = first.before.mss_bytes, first.after.mss_bytes
        return f"on {device}, lower the MSS that the clamp writes from {old} to {new}"
    if candidate.change == "clamp-one-family":
        return f"on {device}, add the missing address family beside the clamp that is there"
    if candidate.change == "clamp-one-direction":
        return f"on {device}, add the missing direction beside the clamp that is there"
    value = first.rules[0].mss_bytes if isinstance(first, NewTable) else 0
    value = first.rule.mss_bytes if isinstance(first, AddRule) else value
    how = f"to {value}" if value else "to the path MTU"
    return f"on {device}, clamp the MSS {how} both ways for the VLAN of the access points"


def tunnel_choice(
    finding: Finding,
    device: Device,
    edit: SetMtu,
    before: tuple[FlowReport, ...],
    after: tuple[FlowReport, ...],
) -> FixChoice:
    """Put a proven MTU of a gateway's way out into words."""
    sized = f"the MTU of {edit.interface} from {edit.before_bytes} to {edit.after_bytes}"
    return FixChoice(
        device=device.name,
        change="tunnel-mtu",
        finding=finding.id,
        backend="link-mtu",
        target=edit.interface,
        summary=f"on {device.name}, lower {sized}: the clamps that follow it follow",
        edits=(edit,),
        before=before,
        after=after,
        other_flows=(
            *changed_flows(before, after),
            (
                f"everything that leaves {device.name} by {edit.interface}, of every VLAN: larger "
                "packets are fragmented or answered with 'too big'"
            ),
        ),
        blast_radius=f"every host behind {device.name} that uses {edit.interface}",
        risk="a driver may reset the link; a tunnel may go down for a moment",
        touches_management=True,
    )


def change_request(finding: Finding, to: str, before: tuple[FlowReport, ...], please: str) -> str:
    """Write down for somebody else what is asked of them, why, and what must hold afterwards."""
    lines = [
        f"Change request to: {to}",
        f"Finding: {finding.id} ({finding.grade}): {finding.summary}",
        "",
        f"Please: {please}",
        "",
        "What it rests on:",
        *(f"- {_said(item)}" for item in finding.evidence),
        "",
        "Must hold afterwards, in both directions:",
        *(f"- {_must_hold(row)}" for row in before),
    ]
    return "\n".join(lines) + "\n"


def _must_hold(row: FlowReport) -> str:
    key, mss = row.key, row.mss
    return (
        f"{key.service} from {key.ap}, {key.family} {key.direction} by {key.egress}: MSS at most "
        f"{mss.needed or 'unknown'}, now {mss.configured or 'unknown'}; {row.proof}"
    )


def _said(item: Evidence) -> str:
    place = ", ".join(
        part
        for part in (
            item.host,
            item.command or "",
            f"line {item.line}" if item.line else "",
            f"frame {item.frame}" if item.frame else "",
        )
        if part
    )
    return f"{item.value} ({place})"


def host_choice(
    finding: Finding,
    device: Device,
    edit: SetMtu,
    before: tuple[FlowReport, ...],
    after: tuple[FlowReport, ...],
) -> FixChoice:
    """Put a proven MTU of a host into words."""
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
        other_flows=(
            *changed_flows(before, after),
            f"everything that {device.name} itself sends by {edit.interface}",
        ),
        blast_radius=f"{device.name} alone: other hosts keep their MTU",
        risk=(
            "larger packets to neighbours on the same link stop; a driver may reset the link; "
            "it protects this host only, not others behind the same path"
        ),
        touches_management=True,
    )
