"""One edit of a device's state: what it changes in the ruleset, in its printed text, in values.

The same edit is seen three ways: as a changed :class:`Ruleset` for the coverage proof, as the
lines that must be read back afterwards, and as typed values for the task book's templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from mtughost.model.clamps import Chain, ClampTo, Handshake, Match, NameSet, Rule, Ruleset
from mtughost.model.errors import PlanRefusedError
from mtughost.model.plans import PlanItem
from mtughost.remedy.rule_text import ClampText, parse_iptables, parse_nft, without_volatile
from mtughost.remedy.state import NO_TABLE, DeviceReading, with_interface_mtu

#: The table and chain that a new nft clamp lives in.
OWN_TABLE: Final = "inet mtughost"
OWN_CHAIN: Final = "clamp"
#: Priority of ``mangle`` in the forward hook.
MANGLE_PRIORITY: Final = -150


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceRule:
    """Replace one nft rule in its place."""

    table: str
    chain: str
    before: ClampText
    after: ClampText


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRule:
    """Add one rule right behind another one.

    Attributes:
        behind: The other rule as the device prints it, without counts and handle; ``""`` means
            at the end of the chain.
    """

    table: str
    chain: str
    rule: ClampText
    behind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTable:
    """A table of our own with a forward chain and these rules (nft)."""

    rules: tuple[ClampText, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMtu:
    """Set an interface's MTU."""

    interface: str
    before_bytes: int
    after_bytes: int


Edit = ReplaceRule | AddRule | NewTable | SetMtu
Value = str | int | tuple[str, ...]


def match_of(rule: ClampText) -> Match:
    """Return the conditions of a rule of ours, for the coverage proof."""
    handshake: frozenset[Handshake] = (
        frozenset({"syn"}) if rule.flags == 3 else frozenset({"syn", "syn-ack"})  # noqa: PLR2004
    )
    families = {0: {"ipv4", "ipv6"}, 4: {"ipv4"}, 6: {"ipv6"}}[rule.nfproto]
    names_in, names_out = rule.in_interfaces, rule.out_interfaces
    return Match(
        families=frozenset(families),
        in_interfaces=NameSet(names=names_in) if names_in else None,
        out_interfaces=NameSet(names=names_out) if names_out else None,
        protocols=frozenset({"tcp"}),
        handshake=handshake,
        mss_above_bytes=rule.above_bytes or None,
    )


def rule_of(rule: ClampText, where: str) -> Rule:
    """Return a planned rule as the coverage proof sees it."""
    # iptables never raises an MSS; nft writes its number unless the rule asks first.
    can_raise = rule.tool == "nft" and rule.mss_bytes > 0 and not rule.above_bytes
    return Rule(
        name=f"{where} (planned)",
        text=rule.text(),
        match=match_of(rule),
        action=ClampTo(value_bytes=rule.mss_bytes or None, can_raise=can_raise),
    )


def same_rule(rule: Rule, text: str) -> bool:
    """Say whether a parsed rule is the one with this text."""
    return without_volatile(rule.text) == text


def parse_rule(rule: Rule, table: str) -> ClampText | None:
    """Take a parsed rule's text apart, whichever tool printed it."""
    if rule.text.lstrip().startswith(("-A", "[")):
        found = parse_iptables(rule.text, 6 if table.startswith("ip6") else 4)
        return found[1] if found else None
    return parse_nft(rule.text)


def printed(rule: Rule) -> str:
    """Return a parsed rule's text without counts and handle."""
    return without_volatile(rule.text)


def changed_ruleset(ruleset: Ruleset, edit: Edit) -> Ruleset:
    """Return the ruleset after the edit."""
    if isinstance(edit, SetMtu):
        return ruleset
    if isinstance(edit, NewTable):
        own = Chain(
            table=OWN_TABLE,
            name=OWN_CHAIN,
            hook="forward",
            priority=MANGLE_PRIORITY,
            rules=tuple(rule_of(rule, f"{OWN_TABLE} {OWN_CHAIN}") for rule in edit.rules),
        )
        return replace(ruleset, chains=(*ruleset.chains, own))
    return replace(
        ruleset,
        chains=tuple(
            _changed_chain(chain, edit)
            if (chain.table, chain.name) == (edit.table, edit.chain)
            else chain
            for chain in ruleset.chains
        ),
    )


def _changed_chain(chain: Chain, edit: ReplaceRule | AddRule) -> Chain:
    where = f"{chain.table} {chain.name}"
    rules: list[Rule] = []
    placed = False
    for rule in chain.rules:
        if isinstance(edit, ReplaceRule) and not placed and same_rule(rule, edit.before.text()):
            rules.append(replace(rule_of(edit.after, where), name=rule.name))
            placed = True
            continue
        rules.append(rule)
        if isinstance(edit, AddRule) and not placed and edit.behind and _is(rule, edit.behind):
            rules.append(rule_of(edit.rule, where))
            placed = True
    if isinstance(edit, AddRule) and not placed:
        rules.append(rule_of(edit.rule, where))
    return replace(chain, rules=tuple(rules))


def _is(rule: Rule, text: str) -> bool:
    return printed(rule) == text


def lines_after(lines: tuple[str, ...], edit: Edit) -> tuple[str, ...]:
    """Return the normalised lines of the touched section after the edit.

    Raises:
        PlanRefusedError: the edit does not fit the lines: the device has changed since the audit.
    """
    if isinstance(edit, SetMtu):
        before, after = f" mtu {edit.before_bytes}", f" mtu {edit.after_bytes}"
        if not any((line + " ").find(before + " ") > 0 for line in lines):
            raise _stale(f"{edit.interface} no longer has the MTU {edit.before_bytes}")
        return tuple((line + " ").replace(before + " ", after + " ").rstrip() for line in lines)
    if isinstance(edit, NewTable):
        if lines != (NO_TABLE,):
            raise _stale(f"the table {OWN_TABLE} exists already")
        head = "type filter hook forward priority mangle; policy accept;"
        body = tuple(rule.text() for rule in edit.rules)
        return (f"table {OWN_TABLE} {{", f"chain {OWN_CHAIN} {{", head, *body, "}", "}")
    result = list(lines)
    if isinstance(edit, ReplaceRule):
        result[_only(lines, edit.before.text(), edit.chain)] = edit.after.text()
    elif edit.rule.tool == "nft":
        result.insert(_only(lines, edit.behind, edit.chain) + 1, edit.rule.text())
    else:
        result.insert(_iptables_place(lines, edit)[0], f"-A {edit.chain} {edit.rule.text()}")
    return tuple(result)


def _only(lines: tuple[str, ...], text: str, chain: str) -> int:
    """Return where a rule stands in its chain of an nft table."""
    inside = False
    found = []
    for index, line in enumerate(lines):
        if line.startswith("chain "):
            inside = line == f"chain {chain} {{"
        elif inside and line == text:
            found.append(index)
    if len(found) != 1:
        raise _stale(f"the rule '{text}' stands {len(found)} times in the chain {chain}")
    return found[0]


def _iptables_place(lines: tuple[str, ...], edit: AddRule) -> tuple[int, int]:
    """Return the index in the lines and the rule number in the chain for a new rule."""
    head = "== ip6tables mangle" if edit.rule.nfproto == 6 else "== iptables mangle"  # noqa: PLR2004
    start = lines.index(head) + 1
    end = next(
        (i for i, line in enumerate(lines) if i >= start and line.startswith("== ")), len(lines)
    )
    number, place, behind = 1, end, 0
    for index in range(start, end):
        if not lines[index].startswith(f"-A {edit.chain} "):
            continue
        number += 1
        if edit.behind and lines[index] == edit.behind and not behind:
            behind, place = number, index + 1
    if edit.behind and not behind:
        raise _stale(f"the rule '{edit.behind}' is gone")
    return place, behind or number


def _stale(why: str) -> PlanRefusedError:
    return PlanRefusedError(
        f"the device has changed since it was audited: {why}", todo="Audit again"
    )


def saved_after(
    read: DeviceReading, edits: tuple[Edit, ...], relevant: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the normalised saved state after persisting.

    Args:
        read: The state before.
        edits: All edits of the plan for this device.
        relevant: The touched section after the edits.
    """
    lines = read.saved
    mtus = [edit for edit in edits if isinstance(edit, SetMtu)]
    for edit in mtus:
        lines = with_interface_mtu(lines, edit.interface, edit.after_bytes)
    return lines if mtus else _with_section(read, relevant)


def _with_section(read: DeviceReading, relevant: tuple[str, ...]) -> tuple[str, ...]:
    """Put the changed section into the flat form that saved and running state share."""
    if relevant and relevant[0].startswith("table "):
        name = relevant[0].removeprefix("table ").removesuffix(" {")
        tables = _unflatten(read.running)
        tables[name] = relevant
        return tuple(line for key in sorted(tables) for line in (f"== {key}", *tables[key]))
    return _iptables_with(read.running, relevant)


def _unflatten(lines: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    tables: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("== "):
            tables[line[3:]] = []
        else:
            tables[next(reversed(tables))].append(line)
    return {name: tuple(body) for name, body in tables.items()}


def _iptables_with(running: tuple[str, ...], relevant: tuple[str, ...]) -> tuple[str, ...]:
    mangle = {name.split()[0]: body for name, body in _unflatten(relevant).items() if " " in name}
    result: list[str] = []
    for program in ("iptables", "ip6tables"):
        start = running.index(f"== {program}") + 1
        following = (i for i, line in enumerate(running) if i >= start and line[3:] == "ip6tables")
        end = next(following, len(running))
        tables = _unflatten(running[start:end])
        tables["mangle"] = mangle[program]
        if not tables["mangle"]:
            del tables["mangle"]
        result.append(f"== {program}")
        result += [line for key in sorted(tables) for line in (f"== {key}", *tables[key])]
    return tuple(result)


def entry_of(edit: Edit, change: str) -> str:
    """Return the task book's entry that writes the edit."""
    if isinstance(edit, SetMtu):
        return "host-mtu"
    if isinstance(edit, ReplaceRule):
        return "clamp-scope-nft"
    if isinstance(edit, NewTable):
        return "clamp-missing-nft"
    if edit.rule.tool == "nft":
        return "clamp-add-nft"
    return "clamp-scope-iptables" if change == "clamp-scope" else "clamp-add-iptables"


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
        return {
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
    number = _iptables_place(read.relevant, edit)[1]
    values = _rule_values(edit.rule)
    for name in ("nfproto", "counter_at", "has_comment", "comment"):
        del values[name]
    return {**place, "position": number, "version": edit.rule.nfproto, **values}


def _handle(read: DeviceReading, text: str) -> int:
    found = [handle for rule, handle in read.handles if rule == text]
    if len(found) != 1:
        raise _stale(f"the rule '{text}' stands {len(found)} times in the touched table")
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
    text = edit.before.text() if isinstance(edit, ReplaceRule) else edit.behind
    if isinstance(edit, AddRule) and edit.rule.tool == "iptables":
        number = str(_iptables_place(read.relevant, edit)[1])
        return (PlanItem(path=f"{edit.table} {edit.chain} next rule number", value=number),)
    handle = _handle(read, text)
    return (PlanItem(path=f"{edit.table} {edit.chain} handle {handle}", value=text),)
