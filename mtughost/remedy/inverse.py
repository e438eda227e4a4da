"""The change that takes a confirmed change back: read out of the signed plan that made it.

A plan keeps the touched section before and after, line by line. The edits between the two are
found again from these lines, turned round, and must lead from "after" exactly to "before";
whatever does not is refused, never guessed.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Final

from mtughost.model.config import ConfigEdit
from mtughost.model.errors import PlanRefusedError
from mtughost.model.findings import FlowKey, FlowReport, MssView, MtuView
from mtughost.model.plans import CoverageRow, PlannedDevice
from mtughost.remedy.edits import (
    OWN_TABLE,
    AddRule,
    Edit,
    NewTable,
    ReplaceRule,
    SetMtu,
    TakeAway,
    lines_after,
)
from mtughost.remedy.fix import FixChoice
from mtughost.remedy.rule_text import ClampText, parse_iptables, parse_nft
from mtughost.remedy.state import NO_TABLE

ROLLBACK: Final = "rollback"
_TABLE: Final = re.compile(r"table (\S+ \S+) \{")
_CHAIN: Final = re.compile(r"chain (\S+) \{")
_RULE: Final = re.compile(r"-A (\S+) (.+)")
_LINK: Final = re.compile(r"interface (?P<name>\S+) mtu (?P<mtu>[0-9]+)\b.*")

Lines = tuple[str, ...]


class _UnknownError(Exception):
    """A line that no edit of ours made."""


def rollback_choice(planned: PlannedDevice) -> FixChoice:
    """Return what takes a confirmed change of one device back.

    Raises:
        PlanRefusedError: the change cannot be found again from its plan.
    """
    edits: tuple[Edit | ConfigEdit, ...] = tuple(e.reversed for e in reversed(planned.edits))
    if planned.backend != "config":
        edits = inverse_edits(planned)
    if not edits:
        raise _by_hand(planned, "it names no edit")
    where = f"on {planned.name}, "
    return FixChoice(
        device=planned.name,
        change=ROLLBACK,
        finding=planned.finding,
        backend=planned.backend,
        target=planned.target,
        summary=f"{where}take back: {planned.summary.removeprefix(where)}",
        edits=edits,
        before=tuple(_report(row) for row in planned.coverage_after),
        after=tuple(_report(row) for row in planned.coverage_before),
        other_flows=planned.other_flows,
        blast_radius=planned.blast_radius,
        risk=f"what {planned.change} repaired ({planned.finding}) will be as it was before",
        touches_management=planned.touches_management,
        prove_service=False,
    )


def inverse_edits(planned: PlannedDevice) -> tuple[Edit, ...]:
    """Return the edits that lead from the planned state after to the state before.

    Raises:
        PlanRefusedError: they cannot be found, or would not lead there exactly.
    """
    before, after = planned.pre.lines, planned.post.lines
    try:
        made = _made(planned, before, after)
    except _UnknownError as unknown:
        raise _by_hand(planned, f"not a change that this version knows: {unknown}") from None
    inverse = tuple(_turned(edit) for edit in reversed(made))
    lines = after
    for edit in inverse:
        lines = lines_after(lines, edit)
    if not made or lines != before:
        raise _by_hand(planned, "its lines do not lead back")
    return inverse


def _by_hand(planned: PlannedDevice, why: str) -> PlanRefusedError:
    return PlanRefusedError(
        f"{planned.name}: the change cannot be turned round from its plan: {why}",
        todo=f"Take it back by hand: {'; '.join(line.line for line in planned.undo_commands)}",
    )


def _turned(edit: Edit) -> Edit:
    if isinstance(edit, ReplaceRule):
        return ReplaceRule(table=edit.table, chain=edit.chain, before=edit.after, after=edit.before)
    if isinstance(edit, SetMtu):
        return SetMtu(
            interface=edit.interface, before_bytes=edit.after_bytes, after_bytes=edit.before_bytes
        )
    return edit.added if isinstance(edit, TakeAway) else TakeAway(added=edit)


def _made(planned: PlannedDevice, before: Lines, after: Lines) -> tuple[Edit, ...]:
    if planned.backend == "link-mtu":
        return _mtu(before, after)
    if before == (NO_TABLE,):
        return _table(after)
    if after == (NO_TABLE,):
        return tuple(_turned(edit) for edit in _table(before))
    edits: list[Edit] = []
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for what, i, j, k, m in matcher.get_opcodes():
        if what == "equal":
            continue
        gone, come = before[i:j], after[k:m]
        if what == "replace" and planned.backend == "nft" and len(gone) == len(come):
            pairs = zip(gone, come, range(i, j), strict=True)
            edits += [_replaced(before, old, new, at) for old, new, at in pairs]
        elif what == "insert":
            edits += [_added(planned, after, at) for at in range(k, m)]
        elif what == "delete":
            edits += [TakeAway(added=_added(planned, before, at)) for at in range(i, j)]
        else:
            raise _UnknownError(after[k])
    return tuple(edits)


def _mtu(before: Lines, after: Lines) -> tuple[Edit, ...]:
    pairs = [(_LINK.fullmatch(a), _LINK.fullmatch(b)) for a, b in zip(before, after, strict=True)]
    return tuple(
        SetMtu(interface=a["name"], before_bytes=int(a["mtu"]), after_bytes=int(b["mtu"]))
        for a, b in pairs
        if a and b and a["name"] == b["name"] and a["mtu"] != b["mtu"]
    )


def _table(lines: Lines) -> tuple[Edit, ...]:
    rules = [parse_nft(line) for line in lines[3:-2]]
    known = tuple(rule for rule in rules if rule is not None)
    if lines[0] != f"table {OWN_TABLE} {{" or len(known) != len(rules):
        raise _UnknownError(lines[0])
    return (NewTable(rules=known),)


def _nft(line: str) -> ClampText:
    rule = parse_nft(line)
    if rule is None:
        raise _UnknownError(line)
    return rule


def _replaced(lines: Lines, old: str, new: str, at: int) -> ReplaceRule:
    table, chain = _place(lines, at)
    return ReplaceRule(table=table, chain=chain, before=_nft(old), after=_nft(new))


def _added(planned: PlannedDevice, lines: Lines, at: int) -> AddRule:
    behind = lines[at - 1]
    if planned.backend == "nft":
        table, chain = _place(lines, at)
        return AddRule(table=table, chain=chain, rule=_nft(lines[at]), behind=behind)
    head = next(line for line in reversed(lines[:at]) if line.startswith("== "))
    six = head.startswith("== ip6")
    found, rule = _RULE.fullmatch(lines[at]), parse_iptables(lines[at], 6 if six else 4)
    if found is None or rule is None:
        raise _UnknownError(lines[at])
    chain = found[1]
    last = not any(line.startswith(f"-A {chain} ") for line in _rest(lines, at))
    first = not behind.startswith(f"-A {chain} ")
    return AddRule(
        table="ip6 mangle" if six else "ip mangle",
        chain=chain,
        rule=rule[1],
        behind="" if last or first else behind,
    )


def _rest(lines: Lines, at: int) -> Lines:
    """Return what follows in the same table."""
    later = (index for index in range(at + 1, len(lines)) if lines[index].startswith("== "))
    return lines[at + 1 : next(later, len(lines))]


def _place(lines: Lines, at: int) -> tuple[str, str]:
    tables = [found[1] for line in lines[:at] if (found := _TABLE.fullmatch(line))]
    chains = [found[1] for line in lines[:at] if (found := _CHAIN.fullmatch(line))]
    if not tables or not chains:
        raise _UnknownError(lines[at])
    return tables[-1], chains[-1]


def _report(row: CoverageRow) -> FlowReport:
    key = FlowKey(
        service=row.service,
        ap=row.ap,
        gateway="",
        egress=row.egress,
        family=row.family,
        direction=row.direction,
    )
    return FlowReport(
        key=key,
        mtu=MtuView(),
        mss=MssView(configured=row.mss_bytes),
        path_mtu=row.path_mtu_bytes,
        covered=row.covered,
        proof=row.proof,
    )
