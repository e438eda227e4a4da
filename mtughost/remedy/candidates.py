"""Changes of a gateway's clamps that might be sufficient, from small to large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mtughost.diagnose.flows import Flow
from mtughost.model.clamps import Chain, ClampTo, Rule, Ruleset
from mtughost.model.config import ConfigFix, Wanted
from mtughost.model.documents import digest_bytes
from mtughost.model.evidence import Direction
from mtughost.model.inventory import Device
from mtughost.remedy.edits import (
    OWN_TABLE,
    AddRule,
    ClampEdit,
    NewTable,
    ReplaceRule,
    parse_rule,
    printed,
)
from mtughost.remedy.rule_text import ClampText, NfProto


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
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
class Offered:
    """A change of a command line's configuration, and the clamps that it would leave."""

    device: Device
    fix: ConfigFix
    ruleset: Ruleset


def wanted_of(needs: Iterable[Need]) -> tuple[Wanted, ...]:
    """Return what the clamps of a gateway must do, in its own names."""
    return tuple(
        Wanted(
            lan=need.flow.lan or "",
            wan=need.flow.egress or "",
            family=need.flow.family,
            mss_bytes=need.mss_bytes,
        )
        for need in needs
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Edits that belong together, under the name that the change has for people.

    Attributes:
        lans: Interfaces towards the access points that the edits are for.
    """

    change: str
    edits: tuple[ClampEdit, ...]
    lans: tuple[str, ...]


def candidates(ruleset: Ruleset, needs: tuple[Need, ...]) -> Iterator[Candidate]:
    """Yield changes of the clamps, the smallest first. None of them is proven yet.

    All edits of one candidate lie in one table, because a guard restores one table at once.
    """
    lans = tuple(sorted({need.flow.lan or "" for need in needs}))
    for change, edits in _all_candidates(ruleset, needs):
        if edits and _in_one_table(edits):
            yield Candidate(change=change, edits=edits, lans=lans)


def _in_one_table(edits: tuple[ClampEdit, ...]) -> bool:
    tables = {
        edit.table
        for edit in edits
        if isinstance(edit, ReplaceRule) or (isinstance(edit, AddRule) and edit.rule.tool == "nft")
    }
    return len(tables) <= 1


def _all_candidates(
    ruleset: Ruleset, needs: tuple[Need, ...]
) -> Iterator[tuple[str, tuple[ClampEdit, ...]]]:
    widened = _widen(ruleset, needs)
    mirrored = _add_direction(ruleset, needs)
    yield "clamp-too-high", _lower(ruleset, needs)
    yield "clamp-scope", widened
    yield "clamp-one-direction", mirrored
    yield "clamp-one-family", _other_family(ruleset, needs)
    if widened and mirrored:
        yield "clamp-scope", (*widened, *mirrored)
    yield "clamp-missing", _both_ways(ruleset, needs, fixed=False)
    yield "clamp-missing", _both_ways(ruleset, needs, fixed=True)


def _clamps(ruleset: Ruleset) -> Iterator[tuple[Chain, Rule, ClampText]]:
    for chain in ruleset.chains:
        if chain.hook != "forward":
            continue
        for rule in chain.rules:
            text = parse_rule(rule, chain.table)
            if isinstance(rule.action, ClampTo) and text is not None:
                yield chain, rule, text


def _sees(text: ClampText, need: Need) -> bool:
    wanted = 4 if need.flow.family == "ipv4" else 6
    # Flags 3 ask for ACK to be clear: such a rule never sees a SYN-ACK.
    return text.nfproto in (0, wanted) and (need.direction == "down" or text.flags != 3)  # noqa: PLR2004


def _lets(names: tuple[str, ...], name: str) -> bool:
    return not names or name in names


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if _lets(names, name) else tuple(sorted((*names, name)))


def _misses_lan_only(text: ClampText, need: Need) -> bool:
    """Say whether a rule is meant for this direction and misses the access points' VLAN only.

    A rule that names the egress where this direction has the VLAN is meant for the opposite one.
    """
    way_in, way_out = need.way
    lan_in = need.direction == "down"
    egress_names, egress = (
        (text.out_interfaces, way_out) if lan_in else (text.in_interfaces, way_in)
    )
    lan_names, lan = (text.in_interfaces, way_in) if lan_in else (text.out_interfaces, way_out)
    return _lets(egress_names, egress) and not _lets(lan_names, lan) and egress not in lan_names


def _widen(ruleset: Ruleset, needs: tuple[Need, ...]) -> tuple[ClampEdit, ...]:
    """Let rules that miss the access points' VLAN match it too; one rule per direction."""
    edits: dict[str, ClampEdit] = {}
    for need in needs:
        found = (one for one in _clamps(ruleset) if _sees(one[2], need))
        for chain, rule, text in found:
            if _misses_lan_only(text, need):
                key = f"{chain.table} {chain.name} {printed(rule)}"
                edit = _widened(chain, rule, text, need, edits.get(key))
                edits[key if isinstance(edit, ReplaceRule) else f"{key} {need.way}"] = edit
                break
    return tuple(edits.values())


def _widened(
    chain: Chain, rule: Rule, text: ClampText, need: Need, earlier: ClampEdit | None
) -> ReplaceRule | AddRule:
    way_in, way_out = need.way
    if text.tool == "iptables":
        twin = replace(
            text,
            in_interfaces=(way_in,) if text.in_interfaces else (),
            out_interfaces=(way_out,) if text.out_interfaces else (),
            comment="",
        )
        return _behind(chain, rule, twin)
    now = earlier.after if isinstance(earlier, ReplaceRule) else text
    wider = replace(
        now,
        in_interfaces=_with(now.in_interfaces, way_in),
        out_interfaces=_with(now.out_interfaces, way_out),
    )
    return ReplaceRule(table=chain.table, chain=chain.name, before=text, after=wider)


def _behind(chain: Chain, rule: Rule, new: ClampText) -> AddRule:
    behind = printed(rule)
    if new.tool == "iptables" and behind.startswith("["):
        behind = behind.partition("] ")[2]
    return AddRule(table=chain.table, chain=chain.name, rule=new, behind=behind)


def _covers(text: ClampText, need: Need) -> bool:
    way_in, way_out = need.way
    return _lets(text.in_interfaces, way_in) and _lets(text.out_interfaces, way_out)


def _lower(ruleset: Ruleset, needs: tuple[Need, ...]) -> tuple[ClampEdit, ...]:
    """Let rules that write too large an MSS write what the narrowest of their flows needs."""
    edits: dict[str, ClampEdit] = {}
    for need in needs:
        for chain, rule, text in _clamps(ruleset):
            wanted = need.mss_bytes or 0
            if not (_sees(text, need) and _covers(text, need) and 0 < wanted < text.mss_bytes):
                continue
            key = f"{chain.table} {chain.name} {printed(rule)}"
            value = min(wanted, _value_of(edits.get(key)) or wanted)
            edits[key] = _lowered(chain, rule, text, value)
    return tuple(edits.values())


def _value_of(edit: ClampEdit | None) -> int:
    if isinstance(edit, ReplaceRule):
        return edit.after.mss_bytes
    return edit.rule.mss_bytes if isinstance(edit, AddRule) else 0


def _lowered(chain: Chain, rule: Rule, text: ClampText, value: int) -> ReplaceRule | AddRule:
    above = min(text.above_bytes, value) if text.above_bytes else 0
    after = replace(text, mss_bytes=value, above_bytes=above)
    if text.tool == "iptables":
        # TCPMSS never raises, so a second rule behind the first has the last word.
        return _behind(chain, rule, replace(after, comment=""))
    return ReplaceRule(table=chain.table, chain=chain.name, before=text, after=after)


def _other_family(ruleset: Ruleset, needs: tuple[Need, ...]) -> tuple[ClampEdit, ...]:
    """Give a rule that covers the way for one family a twin for the other."""
    edits: dict[str, ClampEdit] = {}
    for need in needs:
        wanted: NfProto = 4 if need.flow.family == "ipv4" else 6
        for chain, rule, text in _clamps(ruleset):
            other = text.nfproto not in (0, wanted)
            seen = need.direction == "down" or text.flags != 3  # noqa: PLR2004 - see _sees
            if not (other and seen and _covers(text, need)):
                continue
            mss = (need.mss_bytes or 0) if text.mss_bytes else 0
            above = mss if text.above_bytes else 0
            twin = replace(text, nfproto=wanted, mss_bytes=mss, above_bytes=above, comment="")
            key = f"{chain.table} {chain.name} {printed(rule)} {wanted}"
            edits[key] = _twin(chain, rule, twin)
            break
    return tuple(edits.values())


def _twin(chain: Chain, rule: Rule, twin: ClampText) -> AddRule:
    if twin.tool == "nft":
        return _behind(chain, rule, replace(twin, comment=_tag(twin)))
    table = "ip6 mangle" if twin.nfproto == 6 else "ip mangle"  # noqa: PLR2004 - IPv6
    return AddRule(table=table, chain=chain.name, rule=twin, behind="")


def _add_direction(ruleset: Ruleset, needs: tuple[Need, ...]) -> tuple[ClampEdit, ...]:
    """Mirror a rule that covers the other direction of the same flow."""
    edits: dict[str, ClampEdit] = {}
    for need in needs:
        way_in, way_out = need.way
        for chain, rule, text in _clamps(ruleset):
            key = f"{chain.table} {chain.name} {printed(rule)}"
            opposite = _lets(text.in_interfaces, way_out) and _lets(text.out_interfaces, way_in)
            wanted = 4 if need.flow.family == "ipv4" else 6
            if not (opposite and text.nfproto in (0, wanted)):
                continue
            # A rule for every interface covers both directions already: nothing to mirror.
            if not text.in_interfaces and not text.out_interfaces:
                continue
            flags = 2 if text.flags == 3 else text.flags  # noqa: PLR2004 - flags 3 miss a SYN-ACK
            new = replace(text.mirrored(), flags=flags, comment=_tag(text))
            edits[key] = _behind(chain, rule, new)
            break
    return tuple(edits.values())


def _tag(text: ClampText) -> str:
    """Nft deletes a rule by handle only, which nobody knows beforehand: a comment finds it."""
    if text.tool == "iptables":
        return ""
    return "mtughost-" + digest_bytes(text.text().encode())[-8:]


def _both_ways(ruleset: Ruleset, needs: tuple[Need, ...], *, fixed: bool) -> tuple[ClampEdit, ...]:
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
        rule.text.lstrip().startswith(("-A", "["))
        for chain in ruleset.chains
        for rule in chain.rules
    )


def _iptables_both_ways(needs: tuple[Need, ...], v4: int, v6: int) -> tuple[ClampEdit, ...]:
    edits: list[ClampEdit] = []
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
