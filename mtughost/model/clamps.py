"""Packet-filter rules that touch the MSS, in one shape for every vendor.

A dialect turns a vendor's output into a :class:`Ruleset`; ``diagnose`` walks a handshake packet
through it. A vendor that clamps per interface or per policy becomes chains with such rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Hook = Literal["prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NameSet:
    """Interface names, exact or with a trailing ``*``, possibly negated."""

    names: tuple[str, ...]
    negated: bool = False

    def holds(self, name: str) -> bool:
        """Say whether ``name`` is in the set."""
        found = any(
            name.startswith(item[:-1]) if item.endswith("*") else name == item
            for item in self.names
        )
        return found != self.negated


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixSet:
    """Addresses as CIDR strings, possibly negated."""

    prefixes: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSet:
    """Port ranges, inclusive, possibly negated."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False


#: Which handshake packets a TCP-flags match lets through.
Handshake = Literal["syn", "syn-ack"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The conditions of a rule. ``None`` means that the rule does not ask.

    Attributes:
        families: Families that the rule can see at all.
        protocols: Layer-4 protocol names, or ``None``.
        handshake: Which of SYN and SYN-ACK can match by TCP flags; both when the rule does not ask.
        mss_above_bytes: Matches only an MSS greater than this (``size > N``).
        mss_at_most_bytes: Matches only an MSS up to this.
        icmp_types: ICMP type names or numbers, or ``None``.
        opaque: Conditions that nobody here can evaluate, as the device prints them. A rule with
            one of these can be neither relied on nor ruled out.
    """

    families: frozenset[str] = frozenset({"ipv4", "ipv6"})
    in_interfaces: NameSet | None = None
    out_interfaces: NameSet | None = None
    sources: PrefixSet | None = None
    destinations: PrefixSet | None = None
    protocols: frozenset[str] | None = None
    source_ports: PortSet | None = None
    destination_ports: PortSet | None = None
    handshake: frozenset[Handshake] = frozenset({"syn", "syn-ack"})
    mss_above_bytes: int | None = None
    mss_at_most_bytes: int | None = None
    icmp_types: frozenset[str] | None = None
    opaque: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClampTo:
    """Rewrite the MSS.

    Attributes:
        value_bytes: The MSS to write; ``None`` means "derived from the path MTU", the smaller of
            the route to the destination and the route back, minus 40 or 60.
        can_raise: Whether the rule writes its value even over a smaller one.
        typed_bytes: The number as it was typed, where that is not what is written: some platforms
            ask for an MTU and subtract the headers themselves.
        kind: Which of the platform's clamps it is: :attr:`ClampSemantics.kind`.
    """

    value_bytes: int | None
    can_raise: bool = False
    typed_bytes: int | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClampSemantics:
    """What one of a platform's clamps does, in a range of its versions (task book).

    Attributes:
        kind: Which clamp, in the platform's words.
        since: First version that this holds for, ``""`` for all before ``until``.
        until: First version that it no longer holds for, ``""`` for none.
        rewrites: Handshake packets that one rule without interface match rewrites. Empty: the
            platform accepts the clamp and does nothing.
        families: Address families that it covers.
        field: Whether the configured number is an MSS or an MTU.
        source: Who says so.
    """

    kind: str
    rewrites: tuple[Handshake, ...]
    families: tuple[str, ...]
    field: Literal["mss", "mtu", "derived"]
    since: str = ""
    until: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """Continue in another chain of the same table; ``goto`` does not come back."""

    chain: str
    goto: bool = False


#: ``pass`` means that the rule only counts or logs.
Verdict = Literal["accept", "drop", "return", "pass"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, in the order in which the device evaluates it.

    Attributes:
        name: How a person finds it on the device: ``inet filter forward handle 12``, ``policy 12``.
        text: The rule as the device prints it.
        action: What it does; a rule that clamps and then accepts has ``then`` set.
        packets: Packets counted, ``None`` where the rule has no counter.
        line: Line of the answer that shows it.
        command: Command whose answer shows it; ``""`` means the ruleset's. A ruleset may come
            from several programs (nft, iptables-save, ip6tables-save).
    """

    name: str
    text: str
    match: Match
    action: ClampTo | Jump | Verdict
    then: Verdict = "pass"
    packets: int | None = None
    line: int | None = None
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One chain.

    Attributes:
        table: Family and name of the table (``inet fw4``, ``ip mangle``).
        hook: Where it hangs, ``None`` for a chain that is only jumped to.
        priority: Order among chains of one hook, smaller first.
        policy: What happens at the end of a base chain.
        devices: For ``ingress`` and ``egress``: the devices it hangs on.
    """

    table: str
    name: str
    hook: Hook | None
    priority: int = 0
    policy: Literal["accept", "drop"] = "accept"
    families: frozenset[str] = frozenset({"ipv4", "ipv6"})
    devices: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """All chains of one device.

    Attributes:
        chains: Base chains and the chains they jump to.
        command: The command whose answer shows the rules, for citations.
        notes: What the reader could not place, in the device's words. Never empty silently: a
            non-empty tuple makes "no clamp" unprovable.
    """

    chains: tuple[Chain, ...]
    command: str
    notes: tuple[str, ...] = ()
