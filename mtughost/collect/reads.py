"""Answers to facts: one generic function over a book's ``read:`` entries. Offline, deterministic.

What was not answered completely, what no parser could place in a section that a rule reads, and
what the account may not have seen is ``Unknown`` with the reason. Nothing is ever "not there"
unless a complete answer to a privileged account shows so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtughost.collect.basis import basis_of
from mtughost.collect.converters import CONVERTERS
from mtughost.collect.rows import SourcedRow
from mtughost.content.book import Book, Kind, ReadSpec
from mtughost.content.parsers import ParsedRows, load_parser
from mtughost.content.root import ContentRoot
from mtughost.dialects import REGISTRY, ROWS, ROWS_OF_SEVERAL, RULESETS
from mtughost.dialects.rows import DialectRows
from mtughost.model.basis import Basis, Known, Source, Unknown
from mtughost.model.clamps import ClampSemantics, Ruleset
from mtughost.model.device import ABILITIES, DeviceFacts, Privilege
from mtughost.model.errors import ContentError
from mtughost.model.inventory import Device
from mtughost.model.session import Answer
from mtughost.model.visit import Unplaced

_NOT_INSTALLED = 127
_SHOWN_CHARS = 120


@dataclass(slots=True)
class EntryResult:
    """What one ``read:`` entry gave.

    Attributes:
        failure: Why it gave nothing; ``None`` when it did.
    """

    rows: list[SourcedRow]
    ruleset: Ruleset | None = None
    failure: Unknown | None = None
    answer: Answer | None = None


def facts_from_answers(
    answers: Iterable[Answer],
    book: Book,
    root: ContentRoot,
    device: Device,
    *,
    basis: Basis | None = None,
    vouched: str = "",
) -> tuple[DeviceFacts, tuple[Unplaced, ...]]:
    """Derive all facts of one device from raw answers; the same answers give the same facts.

    Args:
        answers: Whatever was asked, in any order. Of several with one id the last counts.
        book: The platform's task book.
        root: Where its parsers are.
        device: Who answered; its role chooses the entries.
        basis: What the answers rest on, where it is not the device itself (recorded output).
        vouched: Who says that the account saw everything, where no answer proves it.

    Raises:
        ContentError: the book names a dialect that does not exist.
    """
    reader = FactReader(answers, book, root, device, basis=basis, vouched=vouched)
    return reader.facts(), tuple(reader.unplaced)


class FactReader:
    """Reads one device's answers.

    Attributes:
        unplaced: Lines that no parser could place, filled while reading.
    """

    def __init__(
        self,
        answers: Iterable[Answer],
        book: Book,
        root: ContentRoot,
        device: Device,
        *,
        basis: Basis | None = None,
        vouched: str = "",
    ) -> None:
        self._vouched = vouched
        self._answers = {answer.command_id: answer for answer in answers}
        self._book = book
        self._root = root
        self._device = device
        self._basis = basis or basis_of(device)
        self.unplaced: list[Unplaced] = []

    def facts(self) -> DeviceFacts:
        """Return every fact, known or not."""
        device = self._device
        found = DeviceFacts(
            host=device.name, site=device.site, role=device.role, platform=device.platform
        )
        values: dict[str, Any] = {
            field: self._fact(kind) for kind, (field, _) in CONVERTERS.items()
        }
        if self._vouched and isinstance(values["privilege"], Unknown):
            values["privilege"] = Known(
                Privilege(sees_firewall=True, sees_interfaces=True, detail=self._vouched),
                Source(host=device.name, basis="told", note=self._vouched),
            )
        values["clamps"] = self._fact("clamps")
        values["saved_clamps"] = self._fact("saved-clamps")
        values["clamp_semantics"] = self._semantics()
        values["abilities"] = self._abilities()
        return _gated(replace(found, **values))

    def _abilities(self) -> frozenset[str]:
        """Return what the task book can ask of this device."""
        book, probe = self._book, self._book.probe
        able = {kind for kind in ABILITIES if entries_for(book, kind, self._device)}
        able |= {"capture"} if book.capture is not None else set()
        able |= {"ping"} if probe is not None and probe.ping is not None else set()
        if probe is not None and (probe.via != "none" or probe.shell):
            able.add("service-probe")
        return frozenset(able)

    def _semantics(self) -> Known[tuple[ClampSemantics, ...]]:
        """Hand on what the task book says about this platform's clamps."""
        found = tuple(
            ClampSemantics(
                kind=item.kind,
                since=item.since,
                until=item.until,
                rewrites=item.rewrites,
                families=item.families,
                field=item.field,
                source=item.source,
            )
            for item in self._book.clamp_semantics
        )
        return Known(found, Source(host=self._device.name, basis="document"))

    def needs_fallback(self, kind: Kind) -> bool:
        """Say whether ``kind`` has fallback entries and nothing before them answered."""
        entries = entries_for(self._book, kind, self._device)
        first = [entry for entry in entries if not entry.fallback]
        if len(first) == len(entries):
            return False
        seen = len(self.unplaced)
        is_failed = isinstance(self._rows(kind, first), Unknown)
        del self.unplaced[seen:]  # they are counted when the facts are made
        return is_failed

    # -- one kind -------------------------------------------------------------------------------
    def _fact(self, kind: str) -> Known[Any] | Unknown:
        entries = entries_for(self._book, kind, self._device)
        if not entries:
            return Unknown(
                f"the task book {self._book.platform} does not read {kind} on role "
                f"{self._device.role}"
            )
        results = self._rows(kind, [entry for entry in entries if not entry.fallback])
        if isinstance(results, Unknown):
            fallback = [entry for entry in entries if entry.fallback]
            second = self._rows(kind, fallback) if fallback else results
            if isinstance(second, Unknown):
                return results
            results = second
        return self._value(kind, results)

    def _rows(self, kind: str, entries: Sequence[ReadSpec]) -> list[EntryResult] | Unknown:
        """Return what the entries gave, or why a needed one gave nothing."""
        found: list[EntryResult] = []
        failures: list[Unknown] = []
        for entry in entries:
            result = self._entry(kind, entry)
            if result.failure is None:
                found.append(result)
            elif not entry.optional:
                return result.failure
            else:
                failures.append(result.failure)
        if not found:
            return failures[0] if failures else Unknown(f"nothing reads {kind}")
        return found

    def _value(self, kind: str, results: Sequence[EntryResult]) -> Known[Any] | Unknown:
        source = self._source(results)
        ruleset = next((r.ruleset for r in results if r.ruleset is not None), None)
        if ruleset is not None:
            return Known(ruleset, replace(source, command=ruleset.command or source.command))
        rows = [row for result in results for row in result.rows]
        _, convert = CONVERTERS[kind]
        value = convert(rows, self._device)
        if isinstance(value, Unknown):
            return value
        first = next((row for row in rows if row.command), None)
        if first is not None:
            source = replace(source, command=first.command, line=first.line)
        return Known(value, source)

    def _source(self, results: Sequence[EntryResult]) -> Source:
        answer = next((r.answer for r in results if r.answer is not None), None)
        return Source(
            host=self._device.name,
            basis=self._basis,
            command=answer.line if answer else None,
            taken_utc=(answer.started_utc or None) if answer else None,
        )

    # -- one entry ------------------------------------------------------------------------------
    def _entry(self, kind: str, entry: ReadSpec) -> EntryResult:
        if entry.dialect is not None and entry.dialect in RULESETS:
            return self._ruleset(entry, entry.dialect)
        if entry.dialect is not None and entry.dialect in ROWS_OF_SEVERAL:
            return self._joined(kind, entry, entry.dialect)
        answer = self._answers.get(entry.command or "")
        failure = _failure(answer, entry.command or "")
        if answer is None or failure is not None:
            return EntryResult(rows=[], failure=failure)
        return self._parsed(kind, entry, answer)

    def _parsed(self, kind: str, entry: ReadSpec, answer: Answer) -> EntryResult:
        return self._placed(kind, entry, answer, self._reader(entry)(answer.text))

    def _joined(self, kind: str, entry: ReadSpec, dialect: str) -> EntryResult:
        """Read several answers into rows; lines are those of the first input."""
        given = self._given(entry, dialect)
        first = given.get(next(iter(entry.inputs), dialect))
        if first is None:
            return EntryResult(rows=[], failure=_failure(None, entry.command_ids[0]))
        read = ROWS_OF_SEVERAL[dialect](given)
        if isinstance(read, Unknown):
            return EntryResult(rows=[], failure=read)
        return self._placed(kind, entry, first, read)

    def _given(self, entry: ReadSpec, dialect: str) -> dict[str, Answer]:
        inputs: Mapping[str, str] = entry.inputs or {dialect: entry.command or ""}
        return {
            name: self._answers[command_id]
            for name, command_id in inputs.items()
            if command_id in self._answers
        }

    def _placed(
        self, kind: str, entry: ReadSpec, answer: Answer, read: DialectRows | ParsedRows
    ) -> EntryResult:
        for line, text in read.unplaced:
            self.unplaced.append(
                Unplaced(
                    host=self._device.name,
                    kind=kind,
                    command=answer.line,
                    line=line,
                    text=text,
                    strict=entry.strict,
                )
            )
        if read.unplaced and entry.strict:
            line, text = read.unplaced[0]
            more = f" and {len(read.unplaced) - 1} more" if len(read.unplaced) > 1 else ""
            return EntryResult(
                rows=[],
                failure=Unknown(
                    f"line {line}{more} of '{answer.line}' is not understood: {_shown(text)}",
                    "report the line, so that the parser can learn it",
                ),
            )
        rows = [
            SourcedRow(
                columns={**entry.columns, **row} if entry.columns else row,
                line=line,
                command=answer.line,
            )
            for row, line in zip(read.rows, read.lines, strict=True)
        ]
        return EntryResult(rows=rows, answer=answer)

    def _reader(self, entry: ReadSpec) -> Any:
        if entry.parser is not None:
            return load_parser(self._root, self._book.platform, entry.parser).rows
        dialect = ROWS.get(entry.dialect or "")
        if dialect is None:
            known = ", ".join(sorted(REGISTRY))
            raise ContentError(
                f"there is no dialect {entry.dialect!r}",
                path=str(self._root.path / "tasks" / f"{self._book.platform}.yaml"),
                key="dialect",
                todo=f"Known dialects: {known}",
            )
        return dialect

    def _ruleset(self, entry: ReadSpec, dialect: str) -> EntryResult:
        given = self._given(entry, dialect)
        if not given:
            return EntryResult(rows=[], failure=Unknown("the packet filter was not asked about"))
        value = RULESETS[dialect](given)
        if isinstance(value, Unknown):
            return EntryResult(rows=[], failure=value)
        return EntryResult(rows=[], ruleset=value, answer=next(iter(given.values())))


def entries_for(book: Book, kind: str, device: Device) -> list[ReadSpec]:
    """Return the entries of one kind that apply to the device's role."""
    return [
        entry
        for name, entries in book.read.items()
        if name == kind
        for entry in entries
        if not entry.roles or device.role in entry.roles
    ]


def _failure(answer: Answer | None, command_id: str) -> Unknown | None:
    if answer is None:
        return Unknown(f"the command {command_id} was not asked")
    if answer.status == "complete":
        return None
    if answer.exit_code == _NOT_INSTALLED:
        return Unknown(f"'{answer.line}' is not installed on the device")
    detail = answer.error or answer.status
    return Unknown(f"'{answer.line}' gave no complete answer ({answer.status}): {_shown(detail)}")


def _gated(facts: DeviceFacts) -> DeviceFacts:
    """Withhold what the account may not have seen whole."""
    seen = facts.privilege
    if isinstance(seen, Known) and not seen.value.sees_interfaces:
        hidden = Unknown(f"the account may not see all interfaces ({seen.value.detail})")
        facts = replace(facts, interfaces=hidden, addresses=hidden, routes=hidden)
    if not isinstance(facts.clamps, Known):
        return facts
    remedy = "log in with an account that may see the packet filter (root, CAP_NET_ADMIN)"
    if isinstance(seen, Unknown):
        why = f"it is not proven that the account sees the whole packet filter: {seen.reason}"
        return replace(facts, clamps=Unknown(why, remedy))
    if not seen.value.sees_firewall:
        why = f"the account may not see the whole packet filter ({seen.value.detail})"
        return replace(facts, clamps=Unknown(why, remedy))
    return facts


def _shown(text: str) -> str:
    """Return device text cut and with control characters made visible."""
    plain = ascii(text)[1:-1]
    return plain if len(plain) <= _SHOWN_CHARS else plain[: _SHOWN_CHARS - 3] + "..."
