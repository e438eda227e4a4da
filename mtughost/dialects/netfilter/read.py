"""Several answers about one packet filter to one ruleset, without counting a rule twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mtughost.dialects.netfilter.build import build_rule
from mtughost.dialects.netfilter.iptables import IpFamily, SavedRules, read_saved
from mtughost.dialects.netfilter.listing import (
    FAMILIES,
    ListedChain,
    ListedRule,
    ListedTable,
    Listing,
)
from mtughost.dialects.netfilter.nft_json import read_json
from mtughost.dialects.netfilter.nft_text import read_text
from mtughost.dialects.netfilter.steps import Clamp, Draft, Note
from mtughost.dialects.netfilter.words import HOOKS
from mtughost.model.basis import Unknown
from mtughost.model.clamps import Chain, Hook, Rule, Ruleset
from mtughost.model.session import Answer

#: What :func:`read` may be given, by the names that a task book uses under ``inputs:``.
INPUTS = ("nft-json", "nft-text", "iptables-save", "ip6tables-save", "xtables-legacy")
_NOT_INSTALLED = 127
_SAVES: tuple[tuple[str, IpFamily], ...] = (("iptables-save", "ipv4"), ("ip6tables-save", "ipv6"))


def read(answers: Mapping[str, Answer]) -> Ruleset | Unknown:
    """Merge all answers into one ruleset.

    Args:
        answers: By input name (:data:`INPUTS`). A missing or failed one leaves a note wherever
            rules could hide behind it.

    Returns:
        The ruleset, or ``Unknown`` where no program showed any rules.
    """
    reader = RunningReader(answers)
    return reader.ruleset()


@dataclass(slots=True)
class _Part:
    """One table, and which answer shows it."""

    table: ListedTable
    label: str
    command: str
    notes: list[str] = field(default_factory=list)


class RunningReader:
    """Merges the answers of one device; :func:`read` says what comes out."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self._notes: list[str] = []
        self._parts: list[_Part] = []
        self._doubles: set[tuple[str, str]] = set()
        self._tracks = True

    def ruleset(self) -> Ruleset | Unknown:
        """Return all chains, with a note wherever rules could hide."""
        saved = self._saved()
        listing, command = self._listing()
        if listing is None and not saved:
            return Unknown(
                f"no program showed the packet filter: {self._failures()}",
                "log in with an account that may run nft or iptables-save",
            )
        if listing is None:
            self._notes += self._nft_notes(saved)
            self._notes += [
                f"{name} does not show the whole table {table}"
                for name, rules in saved.items()
                for table in rules.incompatible
            ]
        else:
            self._add_nft(listing, command, saved)
        for name, rules in saved.items():
            self._add_saved(name, rules)
        self._check_legacy(saved)
        self._tracks = not self._has_notrack(saved)
        chains = [chain for part in self._parts for chain in self._chains(part)]
        return Ruleset(
            chains=tuple(chains),
            command=command or next(self._answers[name].line for name in saved),
            notes=tuple(dict.fromkeys(self._notes)),
        )

    def _nft_notes(self, saved: Mapping[str, SavedRules]) -> list[str]:
        del saved
        return [f"rules made with nft are not visible: {self._why('nft-json')}"]

    # -- answers --------------------------------------------------------------------------------
    def _text(self, name: str) -> str | None:
        answer = self._answers.get(name)
        return answer.text if answer is not None and answer.status == "complete" else None

    def _why(self, name: str) -> str:
        answer = self._answers.get(name)
        if answer is None:
            return f"{name} was not asked"
        if answer.exit_code == _NOT_INSTALLED:
            return f"'{answer.line}' is not installed"
        return f"'{answer.line}' gave no answer ({answer.error or answer.status})"

    def _failures(self) -> str:
        return "; ".join(self._why(name) for name in ("nft-json", "iptables-save"))

    def _listing(self) -> tuple[Listing | None, str]:
        text = self._text("nft-text")
        from_text = read_text(text) if text is not None else None
        json_text = self._text("nft-json")
        listing = read_json(json_text) if json_text is not None else None
        if listing is None:
            if json_text is not None:
                self._notes.append("the JSON of nft could not be read")
            return from_text, self._line("nft-text") if from_text else ""
        if from_text is None:
            return listing, self._line("nft-json")
        _take_words(listing, from_text)
        return listing, self._line("nft-text")

    def _line(self, name: str) -> str:
        return self._answers[name].line

    def _saved(self) -> dict[str, SavedRules]:
        found: dict[str, SavedRules] = {}
        for name, family in _SAVES:
            text = self._text(name)
            if text is not None:
                found[name] = read_saved(text, family)
        return found

    # -- tables ---------------------------------------------------------------------------------
    def _add_nft(self, listing: Listing, command: str, saved: Mapping[str, SavedRules]) -> None:
        self._notes += listing.notes
        for (family, name), table in listing.tables.items():
            if table.has_unknown_flags:
                self._notes.append(f"table {family} {name} has flags that are not known")
            if table.dormant or family == "arp" or self._is_saved(table, saved):
                continue
            if family not in FAMILIES:
                self._notes.append(f"table {family} {name}: unknown family")
            elif family == "bridge":
                self._bridge(table)
            else:
                self._parts.append(_Part(table, f"{family} {name}", command))

    def _is_saved(self, table: ListedTable, saved: Mapping[str, SavedRules]) -> bool:
        """Say whether iptables-save shows this whole table, in words that nft lacks (xt).

        Only where both show as many rules in the same chains: of a table that was made with nft,
        iptables-save shows empty chains of its own invention.
        """
        program = {"ip": "iptables-save", "ip6": "ip6tables-save"}.get(table.family, "")
        rules = saved.get(program)
        if rules is None or rules.variant != "nf_tables" or table.name not in rules.tables:
            return False
        other = rules.tables[table.name]
        is_whole = table.name not in rules.incompatible and _counts(table) == _counts(other)
        if not is_whole:
            self._doubles.add((program, table.name))
        return is_whole

    def _bridge(self, table: ListedTable) -> None:
        """Bridged frames do not pass the routed hooks; a clamp there is beyond the model."""
        for chain in table.chains.values():
            for rule in chain.rules:
                if any(isinstance(step, Clamp | Note) for step in rule.steps):
                    self._notes.append(f"bridge {table.name} {chain.name}: {rule.text}")

    def _add_saved(self, name: str, rules: SavedRules) -> None:
        command = self._line(name)
        self._notes += [f"{command}: {note}" for note in rules.notes]
        for table in rules.tables.values():
            if (name, table.name) in self._doubles:
                continue
            legacy = "" if rules.variant == "nf_tables" else " (legacy)"
            self._parts.append(_Part(table, f"{table.family} {table.name}{legacy}", command))

    def _check_legacy(self, saved: Mapping[str, SavedRules]) -> None:
        """Rules of the old kernel interface are seen only by the legacy iptables-save."""
        if all(name in saved and saved[name].variant == "legacy" for name, _ in _SAVES):
            return
        tables = self._legacy_tables()
        if tables is None:
            self._notes.append(
                "legacy iptables rules may exist: nothing shows whether their tables are loaded"
            )
        elif tables:
            self._notes.append(
                f"legacy iptables tables are loaded ({', '.join(tables)}) and "
                "iptables-save does not show them"
            )

    def _legacy_tables(self) -> list[str] | None:
        """Return the names of the kernel's legacy tables, ``None`` where they could not be read.

        A file that is not there means that the old interface is not loaded; one that may not be
        read means nothing. The command prints its complaints into the answer.
        """
        text = self._text("xtables-legacy")
        if text is None:
            return None
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        complaints = [line for line in lines if " " in line]
        answer = self._answers["xtables-legacy"]
        is_failed = bool(answer.exit_code) and not complaints
        if is_failed or not all("No such file" in line for line in complaints):
            return None
        return sorted({line for line in lines if line not in complaints})

    def _has_notrack(self, saved: Mapping[str, SavedRules]) -> bool:
        return any(rules.untracked for rules in saved.values()) or any(
            "notrack" in rule.text
            for part in self._parts
            for chain in part.table.chains.values()
            for rule in chain.rules
        )

    # -- chains ---------------------------------------------------------------------------------
    def _chains(self, part: _Part) -> Iterable[Chain]:
        families = FAMILIES[part.table.family]
        for chain in part.table.chains.values():
            where = f"{part.label} {chain.name}"
            hook = _hook(chain)
            if chain.hook and (hook is None or chain.priority is None):
                self._notes.append(f"chain {where}: hook {chain.hook} or its priority is unknown")
                continue
            if hook in {"ingress", "egress"} and not chain.devices:
                self._notes.append(f"chain {where}: the devices that it hangs on are not shown")
            yield Chain(
                table=part.label,
                name=chain.name,
                hook=hook,
                priority=chain.priority or 0,
                policy="drop" if chain.policy == "drop" else "accept",
                families=families,
                devices=chain.devices,
                rules=tuple(self._rules(part, chain, families)),
            )

    def _rules(self, part: _Part, chain: ListedChain, families: frozenset[str]) -> Iterable[Rule]:
        for number, rule in enumerate(chain.rules, start=1):
            built = build_rule(
                Draft(
                    name=_rule_name(part, chain, rule, number),
                    text=rule.text,
                    command=part.command,
                    line=rule.line,
                    steps=rule.steps,
                ),
                families,
                tracks=self._tracks,
            )
            self._notes += built.notes
            yield from built.rules


def _counts(table: ListedTable) -> dict[str, int]:
    return {name: len(chain.rules) for name, chain in table.chains.items() if chain.rules}


def _hook(chain: ListedChain) -> Hook | None:
    for hook in ("prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"):
        if chain.hook == hook and hook in HOOKS:
            return hook
    return None


def _rule_name(part: _Part, chain: ListedChain, rule: ListedRule, number: int) -> str:
    where = f"{part.label} {chain.name}"
    return f"{where} rule {number}" if rule.handle is None else f"{where} handle {rule.handle}"


def _take_words(listing: Listing, from_text: Listing) -> None:
    """Complete the JSON from the text: words and line numbers by handle, and what it lacks.

    The JSON of nft 1.0.6 has neither the devices of a chain nor the word "dormant" (it prints the
    table's name in its place).
    """
    for key, table in listing.tables.items():
        other = from_text.tables.get(key)
        if other is not None:
            table.dormant, table.has_unknown_flags = other.dormant, False
        for name, chain in table.chains.items():
            spelled = other.chains.get(name) if other else None
            if spelled is not None:
                chain.devices = chain.devices or spelled.devices
            by_handle = {rule.handle: rule for rule in spelled.rules} if spelled else {}
            for rule in chain.rules:
                match = by_handle.get(rule.handle)
                if match is not None and rule.handle is not None:
                    rule.text, rule.line = match.text, match.line
