"""TextFSM templates, compiled once per process and matched through a bounded memo.

Which rules a line matches depends on the state and the line alone, so the matches are remembered;
the rows stay those of stock TextFSM (tests compare them). On top of that each row knows the line
that it began in, and lines that no rule placed are handed back instead of vanishing.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import textfsm

from mtughost.content.root import ContentRoot
from mtughost.model.errors import ContentError

#: Longest line that is matched. What is longer is cut *and* reported as not placed.
MAX_LINE_CHARS = 4096
#: One answer may cost this much wall time; what is left then counts as not placed.
PARSE_DEADLINE_S = 2.0
#: Remembered (state, line) pairs per template, some 500 kB: a hundred templates are a worker's.
MEMO_ENTRIES = 1024
_MEMO_LINE_CHARS = 512
_DEADLINE_EVERY_LINES = 256
_ENDS = frozenset({"End", "EOF"})

Row = dict[str, "str | list[str]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRows:
    """What one answer gave.

    Attributes:
        rows: One dict per record, TextFSM's values by name.
        lines: For each row the line, from 1, of its first value that was not filled down.
        unplaced: Lines that no rule placed, as (line, text).
    """

    rows: tuple[Row, ...]
    lines: tuple[int, ...]
    unplaced: tuple[tuple[int, str], ...] = ()


#: textfsm carries no types; as Any it is checked where its values leave this module.
_StockFsm: Any = textfsm.TextFSM


@dataclass(slots=True)
class _Hit:
    """One rule that a line matched.

    Attributes:
        plain: Values without options, with what each captured.
        others: Values with options (Filldown, List, Required), likewise.
        captures: Whether there are any.
        is_simple: The rule does nothing but keep what it captured and take the next line.
    """

    rule: Any
    plain: tuple[tuple[Any, str], ...]
    others: tuple[tuple[Any, str], ...]
    captures: bool
    is_simple: bool


_Hits = tuple[_Hit, ...]


class _MemoFsm(_StockFsm):  # type: ignore[misc]  # see _StockFsm
    """Stock TextFSM whose line matching is remembered; see ``_CheckLine`` there."""

    def __init__(self, template: io.StringIO) -> None:
        #: By state and line.
        self._memo: dict[str, dict[str, _Hits]] = {}
        self._older: dict[str, dict[str, _Hits]] = {}
        self._remembered = 0
        #: Of lines that came: a number takes a tenth of what remembering its line would.
        self._marks: set[int] = set()
        self._record_line = 0
        self._line_no = 0
        self.record_lines: list[int] = []
        self.unplaced: list[tuple[int, str]] = []
        super().__init__(template)

    def Reset(self) -> None:  # noqa: N802 - textfsm's name
        super().Reset()
        self._record_line = 0
        self.record_lines = []
        self.unplaced = []

    # One loop on purpose: a call for each line costs as much as the line.
    def read(self, lines: list[str], deadline_s: float) -> None:  # noqa: C901, PLR0912
        """Take lines until the template has reached its end, or a monotonic time."""
        state = self._cur_state_name
        known = self._memo.setdefault(state, {})
        for number, line in enumerate(lines, start=1):
            if number % _DEADLINE_EVERY_LINES == 1 and time.monotonic() > deadline_s:
                rest = enumerate(lines[number - 1 :], start=number)
                self.unplaced += [(late, text[:MAX_LINE_CHARS]) for late, text in rest]
                return
            hits = known.get(line)
            if hits is None:
                hits = self._hits(line[:MAX_LINE_CHARS])
                known = self._memo.setdefault(state, {})
            self._line_no = number
            is_placed = bool(hits) or not line or line.isspace()
            for hit in hits:
                if hit.captures and not self._record_line:
                    self._record_line = number
                for value, text in hit.plain:
                    value.value = text
                for value, text in hit.others:
                    value.AssignVar(text)
                if hit.is_simple:
                    break
                if hit.rule.line_op == "Error":
                    is_placed = False
                    break
                if not self._goes_on(hit.rule, line):
                    break
            if not is_placed or len(line) > MAX_LINE_CHARS:
                self.unplaced.append((number, line[:MAX_LINE_CHARS]))
            if self._cur_state_name != state:
                state = self._cur_state_name
                if state in _ENDS:
                    return
                known = self._memo.setdefault(state, {})

    def _goes_on(self, rule: Any, line: str) -> bool:
        """Do the rest of what stock ``_CheckLine`` does; whether it looks at further rules."""
        ends = self._Operations(rule, line) if rule.record_op else rule.line_op != "Continue"
        if ends and rule.new_state:
            if rule.new_state not in _ENDS:
                self._cur_state = self.states[rule.new_state]
            self._cur_state_name = rule.new_state
        return not ends

    def finish(self) -> None:
        """End of the answer: the implicit EOF state records what is open."""
        if self._cur_state_name != "End" and "EOF" not in self.states:
            self._AppendRecord()

    def _hits(self, line: str) -> _Hits:
        """Match a line that the memo does not hold."""
        state = self._cur_state_name
        found = self._older.get(state, {}).get(line)
        if found is None:
            found = tuple(self._match(line))
        if len(line) <= _MEMO_LINE_CHARS and self._came_before(state, line):
            # What every device prints moves along; what came twice and no more is forgotten.
            if self._remembered >= MEMO_ENTRIES // 2:
                self._older, self._memo, self._remembered = self._memo, {}, 0
            self._memo.setdefault(state, {})[line] = found
            self._remembered += 1
        return found

    def _came_before(self, state: str, line: str) -> bool:
        """Whether a line is worth remembering: most that are new come from one device only."""
        mark = hash((state, line))
        if mark in self._marks:
            return True
        if len(self._marks) >= MEMO_ENTRIES:
            self._marks.clear()
        self._marks.add(mark)
        return False

    def _match(self, line: str) -> Iterator[_Hit]:
        for rule in self._cur_state:
            matched = rule.regex_obj.match(line)
            if matched:
                named = ((self._GetValue(name), text) for name, text in matched.groupdict().items())
                found = [(value, text) for value, text in named if value is not None]
                yield _Hit(
                    rule,
                    plain=tuple(item for item in found if not item[0].options),
                    others=tuple(item for item in found if item[0].options),
                    captures=bool(found),
                    is_simple=rule.line_op in ("", "Next")
                    and not rule.record_op
                    and not rule.new_state,
                )
                if rule.line_op != "Continue":
                    return

    def _AppendRecord(self) -> None:  # noqa: N802 - textfsm's name
        began, record = self._record_line, self._record()
        if record is not None:
            self._result.append(record)
            # Only values that were filled down: the record belongs to the line that ended it.
            self.record_lines.append(began or self._line_no)
            self._ClearRecord()
        self._record_line = 0

    def _record(self) -> list[Any] | None:
        """Return what stock ``_AppendRecord`` would append, without calls that do nothing."""
        record, is_empty = [], True
        for value in self.values:
            if value.options:
                try:
                    value.OnSaveRecord()
                except textfsm.parser.SkipRecord:
                    self._ClearRecord()
                    return None
                except textfsm.parser.SkipValue:
                    continue
            item = value.value
            if item is None:
                record.append("")
            else:
                record.append(item)
                is_empty = is_empty and item == []
        return None if is_empty else record

    def _ClearRecord(self) -> None:  # noqa: N802 - textfsm's name
        for value in self.values:
            if value.options:
                value.ClearVar()
            else:
                value.value = None
        self._record_line = 0

    def _ClearAllRecord(self) -> None:  # noqa: N802 - textfsm's name
        super()._ClearAllRecord()
        self._record_line = 0


class Parser:
    """One compiled template. Safe to share between threads."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        try:
            self._fsm = _MemoFsm(io.StringIO(text))
        except (textfsm.TextFSMTemplateError, textfsm.TextFSMError) as error:
            raise ContentError(f"not a valid TextFSM template: {error}", path=path) from error
        self._lock = threading.Lock()

    @property
    def header(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._fsm.header)

    def rows(self, text: str, *, deadline_s: float = PARSE_DEADLINE_S) -> ParsedRows:
        """Read one answer.

        Lines end at LF only, as the wire delivers them, so that line numbers are those of the
        stored answer; other line breaks stay inside their line.

        Args:
            text: The answer.
            deadline_s: Wall time after which the rest counts as not placed.
        """
        with self._lock:
            fsm = self._fsm
            fsm.Reset()
            lines = text.split("\n")
            if lines and not lines[-1]:
                lines.pop()
            fsm.read(lines, time.monotonic() + deadline_s)
            fsm.finish()
            header = self.header
            rows = tuple(dict(zip(header, values, strict=True)) for values in fsm._result)  # noqa: SLF001 - own subclass
            return ParsedRows(
                rows=rows, lines=tuple(fsm.record_lines), unplaced=tuple(fsm.unplaced)
            )


def load_parser(root: ContentRoot, platform: str, name: str) -> Parser:
    """Return ``parsers/<platform>/<name>.textfsm``, compiled once per process and file version.

    Args:
        root: Where the parsers are.
        platform: Whose book names it.
        name: The parser, or ``<platform>/<parser>`` of another platform.

    Raises:
        ContentError: missing or not a valid template.
    """
    other, slash, rest = name.partition("/")
    if slash:
        platform, name = other, rest
    # Only looked at here, for every answer: the way to it is checked when a version is compiled.
    place = f"{root.path}/parsers/{platform}/{name}.textfsm"
    try:
        stat = os.stat(place)  # noqa: PTH116  # a Path costs as much as parsing a short answer
    except OSError as error:
        path = root.file("parsers", platform, f"{name}.textfsm")
        raise ContentError("there is no such parser", path=str(path)) from error
    return _compiled(root, platform, name, (stat.st_mtime_ns, stat.st_size, stat.st_ino))


@lru_cache(maxsize=1024)
def _compiled(
    root: ContentRoot, platform: str, name: str, _version: tuple[int, int, int]
) -> Parser:
    path = root.file("parsers", platform, f"{name}.textfsm")
    return Parser(root.text(path), str(path))
