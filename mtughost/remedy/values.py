"""One edit as typed values for the task book's templates, and as items of the plan's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mtughost.model.plans import PlanItem
from mtughost.remedy.edits import (
    OWN_TABLE,
    AddRule,
    Edit,
    NewTable,
    ReplaceRule,
    SetMtu,
    TakeAway,
    iptables_place,
    lines_after,
    stale,
)
from mtughost.remedy.rule_text import ClampText
from mtughost.remedy.state import NO_TABLE, DeviceReading

Value = str | int | tuple[str, ...]


def entry_of(edit: Edit, change: str) -> str:
    """Return the task book's entry that writes the edit."""
    if isinstance(edit, SetMtu):
        return "host-mtu"
    if isinstance(edit, TakeAway):
        tabled = isinstance(edit.added, NewTable)
        return "clamp-table-remove-nft" if tabled else f"clamp-remove-{_tool(edit.added)}"
    if isinstance(edit, ReplaceRule):
        return "clamp-value-nft" if _other_value(edit) else "clamp-scope-nft"
    if isinstance(edit, NewTable):
        return "clamp-missing-nft"
    if edit.rule.tool == "nft":
        return "clamp-add-nft"
    return "clamp-scope-iptables" if change == "clamp-scope" else "clamp-add-iptables"


def _other_value(edit: ReplaceRule) -> bool:
    before, after = edit.before, edit.after
    return (before.mss_bytes, before.above_bytes) != (after.mss_bytes, after.above_bytes)


def _tool(edit: AddRule | NewTable) -> str:
    return edit.rule.tool if isinstance(edit, AddRule) else "nft"


def values_of(edit: Edit, read: DeviceReading, token_mark: str) -> Mapping[str, Value]:
    """Return the typed values of the edit's templates.

    Raises:
        PlanRefusedError: the rule to change is not there, or there more than once.
    """
    if isinstance(edit, SetMtu):
        return {
            "token": token_mark,
            "interface": edit.interface,
            "mtu": edit.after_bytes,
            "mtu_before": edit.before_bytes,
        }
    if isinstance(edit, TakeAway):
        # The place to put it again is counted without it.
        without = replace(read, relevant=lines_after(read.relevant, edit))
        return values_of(edit.added, without, token_mark)
    if isinstance(edit, NewTable):
        first = edit.rules[0]
        v6 = next((rule.mss_bytes for rule in edit.rules if rule.nfproto == 6), 0)  # noqa: PLR2004
        return {
            "token": token_mark,
            "lan": first.in_interfaces,
            "wan": first.out_interfaces,
            "mss": first.mss_bytes,
            "mss6": v6,
        }
    family, _, table = edit.table.partition(" ")
    place = {"token": token_mark, "chain": edit.chain}
    if isinstance(edit, ReplaceRule):
        handle = _handle(read, edit.before.text())
        old: dict[str, Value] = {
            "mss_before": edit.before.mss_bytes,
            "above_before": edit.before.above_bytes,
        }
        return {
            **(old if _other_value(edit) else {}),
            **place,
            "family": family,
            "table": table,
            "handle": handle,
            **_rule_values(edit.after),
            "iif_before": edit.before.in_interfaces or ("any",),
            "oif_before": edit.before.out_interfaces or ("any",),
        }
    if edit.rule.tool == "nft":
        return {
            **place,
            "family": family,
            "table": table,
            "handle": _handle(read, edit.behind),
            **_rule_values(edit.rule),
        }
    number = iptables_place(read.relevant, edit)[1]
    values = _rule_values(edit.rule)
    for name in ("nfproto", "counter_at", "has_comment", "comment"):
        del values[name]
    return {**place, "position": number, "version": edit.rule.nfproto, **values}


def _handle(read: DeviceReading, text: str) -> int:
    found = [handle for rule, handle in read.handles if rule == text]
    if len(found) != 1:
        raise stale(f"the rule '{text}' stands {len(found)} times in the touched table")
    return found[0]


def _rule_values(rule: ClampText) -> dict[str, Value]:
    # A list may not be empty and a word may not either: the has_* flags say which ones count.
    return {
        "nfproto": rule.nfproto,
        "has_iif": int(bool(rule.in_interfaces)),
        "iif": rule.in_interfaces or ("any",),
        "has_oif": int(bool(rule.out_interfaces)),
        "oif": rule.out_interfaces or ("any",),
        "flags": rule.flags,
        "above": rule.above_bytes,
        "counter_at": rule.counter_at,
        "mss": rule.mss_bytes,
        "has_comment": int(bool(rule.comment)),
        "comment": rule.comment or "none",
    }


def items_of(edit: Edit, read: DeviceReading) -> tuple[PlanItem, ...]:
    """Return the named values that must be as they were when the plan was made.

    An nft rule is addressed by its handle, so the handle is part of the plan's state.
    """
    if isinstance(edit, SetMtu):
        return (PlanItem(path=f"interface {edit.interface} mtu", value=str(edit.before_bytes)),)
    if isinstance(edit, NewTable):
        return (PlanItem(path=OWN_TABLE, value=NO_TABLE),)
    if isinstance(edit, TakeAway):
        if isinstance(edit.added, NewTable):
            return ()
        without = replace(read, relevant=lines_after(read.relevant, edit))
        return items_of(edit.added, without)
    text = edit.before.text() if isinstance(edit, ReplaceRule) else edit.behind
    if isinstance(edit, AddRule) and edit.rule.tool == "iptables":
        number = str(iptables_place(read.relevant, edit)[1])
        return (PlanItem(path=f"{edit.table} {edit.chain} next rule number", value=number),)
    handle = _handle(read, text)
    return (PlanItem(path=f"{edit.table} {edit.chain} handle {handle}", value=text),)
