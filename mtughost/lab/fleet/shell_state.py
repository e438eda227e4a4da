"""What a virtual Linux gateway holds: nft tables, iptables mangle, MTUs, and what a boot loads.

Only what the templates of ``templates/linux`` can write is understood; everything else is an
error, so that a template cannot quietly do nothing here.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field

_WORDS = re.compile(r"(?:replace|add|delete) (?:rule|table|chain)\b")
_MTU = re.compile(r"\s+mtu [0-9]+")

HEAD = "type filter hook forward priority mangle; policy accept;"


class ShellError(Exception):
    """The program would print this and fail."""


@dataclass
class NftTable:
    """One table with one forward chain; rules with their handles."""

    chain: str
    rules: list[tuple[int, str]] = field(default_factory=list)
    handles: int = 1

    def add(self, rule: str, behind: int | None = None) -> None:
        """Add a rule, at the end or behind the one with this handle."""
        self.handles += 1
        place = len(self.rules) if behind is None else self._place(behind) + 1
        self.rules.insert(place, (self.handles, rule))

    def replace(self, handle: int, rule: str) -> None:
        """Replace a rule in its place; its handle stays."""
        self.rules[self._place(handle)] = (handle, rule)

    def _place(self, handle: int) -> int:
        for index, (number, _) in enumerate(self.rules):
            if number == handle:
                return index
        raise ShellError("Error: Could not process rule: No such file or directory")

    def text(self, name: str, *, handles: bool) -> str:
        """Return what ``nft list table`` prints."""
        lines = [f"table {name} {{", f"\tchain {self.chain} {{", f"\t\t{HEAD}"]
        for number, rule in self.rules:
            mark = f" # handle {number}" if handles else ""
            lines.append(f"\t\t{rule}{mark}")
        return "\n".join([*lines, "\t}", "}"]) + "\n"


@dataclass
class Configuration:
    """Running or saved configuration."""

    tables: dict[str, NftTable] = field(default_factory=dict)
    mangle: dict[str, list[str]] = field(default_factory=lambda: {"4": [], "6": []})
    mtus: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Configuration:
        """Return one of its own."""
        return copy.deepcopy(self)

    def ruleset(self) -> str:
        """Return what ``nft -s list ruleset`` prints."""
        return "".join(table.text(name, handles=False) for name, table in self.tables.items())

    def iptables_save(self, family: str) -> str:
        """Return what ``iptables-save`` or ``ip6tables-save`` prints."""
        chains = "".join(
            f":{name} ACCEPT [0:0]\n"
            for name in ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
        )
        return f"*mangle\n{chains}" + "".join(f"{r}\n" for r in self.mangle[family]) + "COMMIT\n"

    def same_as(self, other: Configuration) -> bool:
        """Say whether both mean the same; handles are only names."""
        return self.meaning() == other.meaning()

    def meaning(self) -> tuple[object, ...]:
        """Return what counts of it, comparable."""
        tables = {name: [rule for _, rule in t.rules] for name, t in self.tables.items()}
        return (sorted(tables.items()), self.mangle, self.mtus)

    # -- nft -----------------------------------------------------------------------------------

    def nft(self, script: str) -> None:
        """Run one transaction: all of it or nothing.

        Raises:
            ShellError: as nft would fail.
        """
        work = copy.deepcopy(self.tables)
        for command in _split(script):
            _nft_command(work, command)
        self.tables = work

    def delete_by_comment(self, name: str, comment: str) -> None:
        """Delete the rules with this comment."""
        table = _table(self.tables, name)
        table.rules = [one for one in table.rules if f'comment "{comment}"' not in one[1]]

    # -- iptables ------------------------------------------------------------------------------

    def insert(self, family: str, chain: str, number: int, rule: str) -> None:
        """Insert a rule before the one with this number of its chain."""
        rules = self.mangle[family]
        mine = [i for i, text in enumerate(rules) if text.startswith(f"-A {chain} ")]
        if not 1 <= number <= len(mine) + 1:
            raise ShellError("iptables: Index of insertion too big.")
        place = mine[number - 1] if number <= len(mine) else (mine[-1] + 1 if mine else 0)
        rules.insert(place, f"-A {chain} {rule}")

    def delete(self, family: str, chain: str, rule: str) -> None:
        """Delete the first rule with this text."""
        try:
            self.mangle[family].remove(f"-A {chain} {rule}")
        except ValueError:
            raise ShellError("iptables: Bad rule (does a matching rule exist?).") from None


def _split(script: str) -> list[str]:
    """Split nft's commands at semicolons that stand outside braces."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(script):
        depth += (char == "{") - (char == "}")
        if char == ";" and depth == 0:
            parts.append(script[start:index].strip())
            start = index + 1
    return [part for part in [*parts, script[start:].strip()] if part]


def _table(tables: dict[str, NftTable], name: str) -> NftTable:
    if name not in tables:
        raise ShellError("Error: No such file or directory")
    return tables[name]


def _nft_command(tables: dict[str, NftTable], command: str) -> None:
    if not _WORDS.match(command):
        raise ShellError(f"Error: syntax error, unexpected: {command}")
    what, kind, family, table, *rest = command.split(" ", 4)
    name, more = f"{family} {table}", rest[0] if rest else ""
    if (what, kind) == ("add", "table"):
        tables.setdefault(name, NftTable(chain=""))
    elif (what, kind) == ("delete", "table"):
        _table(tables, name)
        del tables[name]
    elif (what, kind) == ("add", "chain"):
        _table(tables, name).chain = more.split(" ")[0]
    elif (what, kind) in {("add", "rule"), ("replace", "rule")}:
        _nft_rule(_table(tables, name), what, more)
    else:
        raise ShellError(f"Error: cannot {what} {kind}")


def _nft_rule(table: NftTable, what: str, text: str) -> None:
    chain, _, rest = text.partition(" ")
    if chain != table.chain:
        raise ShellError("Error: No such file or directory")
    handle: int | None = None
    if rest.startswith("handle "):
        _, number, rest = rest.split(" ", 2)
        handle = int(number)
    if what == "add":
        table.add(rest, handle)
    elif handle is not None:
        table.replace(handle, rest)
    else:
        raise ShellError("Error: replace needs a handle")


def stanza_mtu(text: str, interface: str, mtu: int) -> str:
    """Return an interfaces file with this MTU in the interface's stanza."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith(("iface ", "auto ")):
            inside = line.split()[:2] == ["iface", interface]
            lines.append(line)
            if inside:
                lines.append(f"    mtu {mtu}")
        elif not (inside and _MTU.fullmatch(line)):
            lines.append(line)
    return "\n".join(lines) + "\n"
