"""RouterOS's MSS clamps: mangle rules, those that PPP profiles make, and those of tunnels.

Mangle is netfilter: its chains, in the order in which they are printed, with dynamic rules in
place. Sources: MikroTik's pages on mangle, PPP profiles and tunnel interfaces. What they leave
open is a condition that cannot be evaluated, never a clamp that counts: whether ``change-mss``
raises a smaller value, and which handshake packets ``clamp-tcp-mss`` of a tunnel means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mtughost.dialects.routeros_match import Names, match_of
from mtughost.dialects.routeros_print import Item, counters, read_items
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Chain, ClampTo, Hook, Jump, Match, NameSet, Rule, Ruleset, Verdict
from mtughost.model.session import Answer

#: What :func:`read_clamps` may be given, by the names that a task book uses under ``inputs:``.
INPUTS = (
    "mangle", "mangle-count", "mangle-stats",
    "mangle6", "mangle6-count", "mangle6-stats",
    "links", "members", "pppoe", "profiles", "gre", "ipip", "eoip",
)  # fmt: skip
FIXED = "mangle change-mss new-mss=N"
DERIVED = "mangle change-mss new-mss=clamp-to-pmtu"
PPP = "ppp profile change-tcp-mss"
TUNNEL = "interface clamp-tcp-mss"
_HOOKS: Mapping[str, Hook] = {
    "prerouting": "prerouting",
    "input": "input",
    "forward": "forward",
    "output": "output",
    "postrouting": "postrouting",
}
_MANGLE_PRIORITY = -150
#: Actions that end the walk through a chain only with ``passthrough=no``.
_GOES_ON = re.compile(
    r"(?:mark|change|set|add|strip|clear|sniff|route|fasttrack)-?.*|log|passthrough"
)
_RAISES = "whether change-mss raises a smaller MSS is not documented"
_NO_RULE = "the PPP profile asks for change-tcp-mss, but no dynamic mangle rule shows it"
_WHICH = "which handshake packets clamp-tcp-mss of a tunnel rewrites is not documented"
_ENDS = {"accept": "accept", "return": "return"}
#: Flag of an item that a fix would add; no device prints it in this menu.
PLANNED = "P"
Family = Literal["ipv4", "ipv6"]
_MENUS: tuple[tuple[str, Family], ...] = (("mangle", "ipv4"), ("mangle6", "ipv6"))


def read_clamps(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Turn mangle, PPP profiles and tunnels into one ruleset.

    The device's own count of the rules proves that none was left out.
    """
    for name in ("mangle", "mangle-count", "links"):
        answer = answers.get(name)
        if answer is None or answer.status != "complete":
            why = answer.error or answer.status if answer is not None else "it was not asked"
            return Unknown(
                f"'{answer.line if answer else name}' gave no complete answer: {why}",
                "log in with a group that has the policy read",
            )
    return _Reader(answers).ruleset()


@dataclass(frozen=True, slots=True)
class _Menu:
    """One family's mangle menu."""

    family: Family
    answer: Answer
    items: tuple[Item, ...]
    packets: Mapping[int, tuple[str, str, int]]


class _Reader:
    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self._notes: list[str] = []
        self._names = Names(self._items("links"), self._items("members"))

    def _items(self, name: str) -> tuple[Item, ...]:
        answer = self._answers.get(name)
        if answer is None or answer.status != "complete":
            return ()
        found = read_items(answer.text)
        self._notes += [f"'{answer.line}', line {n}: {text.strip()}" for n, text in found.unplaced]
        return found.items

    def ruleset(self) -> Ruleset | Unknown:
        chains: list[Chain] = []
        for name, family in _MENUS:
            menu = self._menu(name, family)
            if isinstance(menu, Unknown):
                return menu
            chains += self._chains(menu) if menu is not None else self._unread(name, family)
        chains += self._by_themselves(chains)
        return Ruleset(
            chains=tuple(chains),
            command=self._answers["mangle"].line,
            notes=tuple(dict.fromkeys(self._notes)),
        )

    # -- mangle ----------------------------------------------------------------------------------
    def _menu(self, name: str, family: Family) -> _Menu | Unknown | None:
        answer, count = self._answers.get(name), self._answers.get(f"{name}-count")
        if answer is None or answer.status != "complete":
            return None
        items = self._items(name)
        told = count.text.strip() if count is not None and count.status == "complete" else ""
        if told != str(sum(PLANNED not in item.flags for item in items)):
            return Unknown(
                f"'{answer.line}' shows {len(items)} rules and the device counts {told or 'none'}",
                "look at the raw answer: rules may be hidden or written in an unknown way",
            )
        stats = self._answers.get(f"{name}-stats")
        is_whole = stats is not None and stats.status == "complete"
        packets = (
            {n: (c, a, p) for n, c, a, p in counters(stats.text)} if stats and is_whole else {}
        )
        return _Menu(family, answer, items, packets)

    def _unread(self, name: str, family: Family) -> Iterator[Chain]:
        """A menu that was not read; without the package for IPv6 there is none."""
        answer = self._answers.get(name)
        if answer is not None and "bad command name" in answer.text:
            return
        why = answer.error or answer.status if answer is not None else "it was not asked"
        rule = Rule(
            name=f"{family} mangle",
            text=answer.line if answer is not None else name,
            match=Match(families=frozenset({family}), opaque=(f"it was not read: {why}",)),
            action=ClampTo(value_bytes=None, kind=DERIVED),
        )
        yield Chain(table=f"{family} mangle", name="forward", hook="forward", rules=(rule,))

    def _chains(self, menu: _Menu) -> Iterable[Chain]:
        rules: dict[str, list[Rule]] = {}
        for item in menu.items:
            rules.setdefault(item.get("chain"), []).extend(
                () if item.is_off else self._rules(menu, item)
            )
        for name, mine in rules.items():
            yield Chain(
                table=f"{menu.family} mangle",
                name=name,
                hook=_HOOKS.get(name),
                priority=_MANGLE_PRIORITY,
                families=frozenset({menu.family}),
                rules=tuple(mine),
            )

    def _rules(self, menu: _Menu, item: Item) -> Iterator[Rule]:
        action, label = item.get("action"), item.comment or item.get("comment")
        chain, counted, packets = menu.packets.get(item.number, ("", "", 0))
        rule = Rule(
            name=f"{menu.family} mangle {item.number}" + (f" ({label})" if label else ""),
            text=item.text.strip(),
            match=replace(match_of(item, self._names), families=frozenset({menu.family})),
            action="pass",
            packets=packets if (chain, counted) == (item.get("chain"), action) else None,
            line=item.line,
            command=menu.answer.line,
        )
        ends: Verdict = "accept" if item.get("passthrough") == "no" else "pass"
        if action == "change-mss":
            yield from _clamp(rule, item.get("new-mss"), ends)
        elif action == "jump":
            yield replace(rule, action=Jump(chain=item.get("jump-target")))
        elif action in _ENDS:
            yield replace(rule, action="accept" if action == "accept" else "return")
        elif _GOES_ON.fullmatch(action):
            yield replace(rule, action=ends)
        else:
            self._notes.append(f"'{menu.answer.line}', line {item.line}: action {action}")

    # -- what clamps by itself -------------------------------------------------------------------
    def _by_themselves(self, mangle: list[Chain]) -> Iterator[Chain]:
        rules = [*self._profiles(mangle), *self._tunnels()]
        if rules:
            yield Chain(table="ppp and tunnels", name="tcp mss", hook="forward", rules=tuple(rules))

    def _profiles(self, mangle: list[Chain]) -> Iterator[Rule]:
        """PPPoE clients whose profile asks for a clamp that no rule of mangle shows."""
        profiles = {item.get("name"): item for item in self._items("profiles")}
        standard = profiles.get("default")
        for client in self._items("pppoe"):
            profile = profiles.get(client.get("profile"))
            word = profile.get("change-tcp-mss") if profile is not None else ""
            if word == "default" and standard is not None:
                word = standard.get("change-tcp-mss")
            if "R" not in client.flags or word == "no" or profile is None:
                continue
            name = client.get("name")
            seen = {f for c in mangle for r in c.rules for f in r.match.families if _is_of(r, name)}
            for family in ({"ipv4", "ipv6"}) - seen if word == "yes" else ():
                match = Match(families=frozenset({family}), opaque=(_NO_RULE,))
                yield from _both_ways(
                    _own_rule(self._answers["profiles"], profile, PPP), name, match
                )

    def _tunnels(self) -> Iterator[Rule]:
        links = {item.get("name"): item for item in self._items("links")}
        for menu in ("gre", "ipip", "eoip"):
            for item in self._items(menu):
                if item.get("clamp-tcp-mss") == "no" or item.is_off:
                    continue
                link = links.get(item.get("name"))
                mtu = link.get("actual-mtu") if link is not None else ""
                rule = _own_rule(self._answers[menu], item, TUNNEL)
                if mtu.isdecimal():
                    rule = replace(rule, action=ClampTo(value_bytes=int(mtu) - 40, kind=TUNNEL))
                name = NameSet(names=(item.get("name"),))
                yield replace(rule, match=Match(in_interfaces=name, opaque=(_WHICH,)))


def _own_rule(answer: Answer, item: Item, kind: str) -> Rule:
    return Rule(
        name=f"{kind} of {item.get('name')}",
        text=item.text.strip(),
        match=Match(),
        action=ClampTo(value_bytes=None, kind=kind),
        line=item.line,
        command=answer.line,
    )


def _both_ways(rule: Rule, interface: str, match: Match) -> Iterator[Rule]:
    names = NameSet(names=(interface,))
    yield replace(rule, name=f"{rule.name} (in)", match=replace(match, in_interfaces=names))
    yield replace(rule, name=f"{rule.name} (out)", match=replace(match, out_interfaces=names))


def _is_of(rule: Rule, interface: str) -> bool:
    sides = (rule.match.in_interfaces, rule.match.out_interfaces)
    return isinstance(rule.action, ClampTo) and any(
        s is not None and s.holds(interface) for s in sides
    )


def _clamp(rule: Rule, value: str, ends: Verdict) -> Iterator[Rule]:
    """Turn a ``change-mss`` into one rule, or two where it may raise a smaller value."""
    if value == "clamp-to-pmtu":
        yield replace(rule, action=ClampTo(value_bytes=None, kind=DERIVED), then=ends)
        return
    if not value.isdecimal():
        doubts = (*rule.match.opaque, f"new-mss={value}")
        unread = replace(rule.match, opaque=doubts)
        yield replace(rule, match=unread, action=ClampTo(value_bytes=None, kind=FIXED), then=ends)
        return
    mss = int(value)
    action = ClampTo(value_bytes=mss, kind=FIXED)
    above = rule.match.mss_above_bytes
    if above is not None and above + 1 >= mss:
        yield replace(rule, action=action, then=ends)
        return
    low = replace(rule.match, mss_at_most_bytes=mss - 1, opaque=(*rule.match.opaque, _RAISES))
    raised = ClampTo(value_bytes=mss, can_raise=True, kind=FIXED)
    yield replace(rule, name=f"{rule.name} (below)", match=low, action=raised)
    yield replace(rule, action=action, then=ends)
