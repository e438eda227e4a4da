"""What both spellings of ``nft list ruleset`` are read into, before rules are built."""

from __future__ import annotations

from dataclasses import dataclass, field

from mtughost.dialects.netfilter.steps import Decide, Go, Step

Verdicts = tuple[Decide | Go, ...]

#: Table families whose chains see routed packets, with the address families that they see.
FAMILIES: dict[str, frozenset[str]] = {
    "ip": frozenset({"ipv4"}),
    "ip6": frozenset({"ipv6"}),
    "inet": frozenset({"ipv4", "ipv6"}),
    "netdev": frozenset({"ipv4", "ipv6"}),
    "bridge": frozenset({"ipv4", "ipv6"}),
    "arp": frozenset(),
}


@dataclass(slots=True, kw_only=True)
class ListedRule:
    """One rule of a listing.

    Attributes:
        handle: nft's handle, ``None`` where the listing shows none.
        steps: What it does.
        text: As nft prints it.
        line: Line of the answer.
    """

    handle: int | None
    steps: tuple[Step, ...]
    text: str
    line: int | None = None


@dataclass(slots=True, kw_only=True)
class ListedChain:
    """One chain of a listing.

    Attributes:
        hook: ``""`` for a chain that is only jumped to.
        priority: ``None`` where the number is not known.
    """

    name: str
    hook: str = ""
    priority: int | None = 0
    policy: str = "accept"
    devices: tuple[str, ...] = ()
    rules: list[ListedRule] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class ListedTable:
    """One table of a listing.

    Attributes:
        dormant: Its rules are switched off.
        has_unknown_flags: It may be dormant, or anything else.
        sets: Elements of named sets, ``None`` where they change by themselves or cannot be read.
        maps: Elements of named verdict maps, ``None`` likewise.
    """

    family: str
    name: str
    dormant: bool = False
    has_unknown_flags: bool = False
    chains: dict[str, ListedChain] = field(default_factory=dict)
    sets: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    maps: dict[str, tuple[tuple[str, Verdicts], ...] | None] = field(default_factory=dict)


@dataclass(slots=True)
class Listing:
    """A whole ruleset as nft lists it.

    Attributes:
        tables: By family and name, in order.
        notes: What could not be placed.
    """

    tables: dict[tuple[str, str], ListedTable] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def table(self, family: str, name: str) -> ListedTable:
        """Return a table, making it where it was not announced."""
        return self.tables.setdefault((family, name), ListedTable(family=family, name=name))

    def chain(self, family: str, table: str, name: str) -> ListedChain:
        """Return a chain, making it where it was not announced."""
        return self.table(family, table).chains.setdefault(name, ListedChain(name=name))
