"""One edit of a device's state: what it changes in the ruleset, in its printed text, in values.

The same edit is seen three ways: as a changed :class:`Ruleset` for the coverage proof, as the
lines that must be read back afterwards, and (``values.py``) as typed values for templates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from mtughost.model.clamps import Chain, ClampTo, Handshake, Match, NameSet, Rule, Ruleset
from mtughost.model.errors import PlanRefusedError
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeAway:
    """Take away again what another edit added: for rollbacks.

    Attributes:
        added: The edit that added it; its place is where it would be put again.
    """

    added: AddRule | NewTable


#: What changes a ruleset on the way there; the rest touches no rule, or leads back.
ClampEdit = ReplaceRule | AddRule | NewTable
Edit = ClampEdit | SetMtu | TakeAway


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


def changed_ruleset(ruleset: Ruleset, edit: ClampEdit) -> Ruleset:
    """Return the ruleset after the edit."""
    if isinstance(edit, NewTable):
        own = Chain(
            table=OWN_TABLE,
            name=OWN_CHAIN,
            hook="forward",
            priority=MANGLE_PRIORITY,
            rules=tuple(rule_of(rule, f"{OWN_TABLE} {OWN_CHAIN}") for rule in edit.rules),
        )
        return replace(ruleset, chains=(*ruleset.chains, own))
    chains = ruleset.chains
    missing = all((chain.table, chain.name) != (edit.table, edit.chain) for chain in chains)
    if missing and isinstance(edit, AddRule) and edit.rule.tool == "iptables":
        chains = (*chains, _built_in_chain(edit))
    return replace(
        ruleset,
        chains=tuple(
            _changed_chain(chain, edit)
            if (chain.table, chain.name) == (edit.table, edit.chain)
            else chain
            for chain in chains
        ),
    )


def _built_in_chain(edit: AddRule) -> Chain:
    """Return the empty chain that iptables makes as soon as somebody asks for it."""
    return Chain(
        table=edit.table,
        name=edit.chain,
        hook="forward",
        priority=MANGLE_PRIORITY,
        rules=(),
        families=frozenset({"ipv6" if edit.table.startswith("ip6") else "ipv4"}),
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
            raise stale(f"{edit.interface} no longer has the MTU {edit.before_bytes}")
        return tuple((line + " ").replace(before + " ", after + " ").rstrip() for line in lines)
    if isinstance(edit, NewTable):
        if lines != (NO_TABLE,):
            raise stale(f"the table {OWN_TABLE} exists already")
        head = "type filter hook forward priority mangle; policy accept;"
        body = tuple(rule.text() for rule in edit.rules)
        return (f"table {OWN_TABLE} {{", f"chain {OWN_CHAIN} {{", head, *body, "}", "}")
    if isinstance(edit, TakeAway):
        return _lines_without(lines, edit.added)
    result = list(lines)
    if isinstance(edit, ReplaceRule):
        result[_only(lines, edit.before.text(), edit.chain)] = edit.after.text()
    elif edit.rule.tool == "nft":
        result.insert(_only(lines, edit.behind, edit.chain) + 1, edit.rule.text())
    else:
        result.insert(iptables_place(lines, edit)[0], f"-A {edit.chain} {edit.rule.text()}")
    return tuple(result)


def _lines_without(lines: tuple[str, ...], added: AddRule | NewTable) -> tuple[str, ...]:
    if isinstance(added, NewTable):
        if lines != lines_after((NO_TABLE,), added):
            raise stale(f"the table {OWN_TABLE} is no longer as it was made")
        return (NO_TABLE,)
    if added.rule.tool == "nft":
        place = _only(lines, added.rule.text(), added.chain)
    else:
        start, end = _iptables_section(lines, added.rule.nfproto)
        wanted = f"-A {added.chain} {added.rule.text()}"
        found = [index for index in range(start, end) if lines[index] == wanted]
        if len(found) != 1:
            raise stale(f"the rule '{wanted}' stands there {len(found)} times")
        place = found[0]
    return (*lines[:place], *lines[place + 1 :])


def _iptables_section(lines: tuple[str, ...], nfproto: int) -> tuple[int, int]:
    """Return where the lines of one family's mangle table begin and end."""
    head = "== ip6tables mangle" if nfproto == 6 else "== iptables mangle"  # noqa: PLR2004
    start = lines.index(head) + 1
    later = (i for i, line in enumerate(lines) if i >= start and line.startswith("== "))
    return start, next(later, len(lines))


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
        raise stale(f"the rule '{text}' stands {len(found)} times in the chain {chain}")
    return found[0]


def iptables_place(lines: tuple[str, ...], edit: AddRule) -> tuple[int, int]:
    """Return the index in the lines and the rule number in the chain for a new rule."""
    start, end = _iptables_section(lines, edit.rule.nfproto)
    number, place, behind = 1, end, 0
    for index in range(start, end):
        if not lines[index].startswith(f"-A {edit.chain} "):
            continue
        number += 1
        if edit.behind and lines[index] == edit.behind and not behind:
            behind, place = number, index + 1
    if edit.behind and not behind:
        raise stale(f"the rule '{edit.behind}' is gone")
    return place, behind or number


def stale(why: str) -> PlanRefusedError:
    """Return the refusal of an edit that does not fit what is there."""
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
    if any(isinstance(edit, TakeAway) and isinstance(edit.added, NewTable) for edit in edits):
        tables = _unflatten(read.running)
        tables.pop(OWN_TABLE, None)
        return tuple(line for key in sorted(tables) for line in (f"== {key}", *tables[key]))
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
