"""YAML text to plain values plus the line of every key: strict where YAML itself is treacherous.

Pure: text goes in, nothing is opened. The safe subset is what YAML 1.1 (PyYAML) and YAML 1.2
(ruamel, which plain Nornir reads inventories with) understand alike. A plain scalar on which the
two disagree (``no``, ``017``, ``12:30``, ``1_500``, ``1e3``, a date) is an error that says "quote
it", because whichever meaning we took, somebody meant the other one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import yaml

from mtughost.model.errors import ContentError

#: Where a value stands: ``("s001-ap1", "data", "services", 0, "port")``.
KeyPath = tuple[str | int, ...]

MAX_TEXT_CHARS = 64 * 1024 * 1024
MAX_VALUES = 2_000_000
MAX_DEPTH = 60
#: Values under these keys are never quoted in a message.
SECRET_KEYS = frozenset({"password", "password_ref", "enable_ref", "secret", "passphrase"})

_TAG = "tag:yaml.org,2002:"
#: libyaml is ten times as fast; its marks carry the same line numbers.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: What is read, by tag: the spellings on which YAML 1.1 and 1.2 agree.
_SCALARS: dict[str, tuple[re.Pattern[str], Callable[[str], int | float | bool | None]]] = {
    "null": (re.compile(r"|~|null|Null|NULL"), lambda _: None),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    "int": (re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})"), int),
    "float": (re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?"), float),
}
#: Text to YAML 1.1, numbers to YAML 1.2.
_ONLY_12_NUMBER = re.compile(
    r"0o[0-7]+|[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?[eE][-+]?[0-9]+|[-+]?0[0-9]+"
)
#: Everything that YAML 1.1 (section 5.1) does not count as printable.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class YamlProblem:
    """One thing that is wrong with the text.

    Attributes:
        line: Line from 1.
        path: Where in the document, as far as it was understood.
        reason: One sentence without a final full stop.
    """

    line: int
    path: KeyPath
    reason: str


@dataclass(frozen=True, slots=True)
class LineMap:
    """The line of every key and list item of one document."""

    _lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: Sequence[str | int] = ()) -> int:
        """Return the line, from 1, of the key or item at ``path``.

        Something that is not in the file (a missing key) has the line of its nearest parent.
        """
        steps = tuple(path)
        while steps and steps not in self._lines:
            steps = steps[:-1]
        return self._lines.get(steps, 1)


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A document together with everything that is wrong with it.

    Attributes:
        value: Dicts, lists, ``str``, ``int``, ``float``, ``bool`` and ``None`` only. What was
            wrong is missing from it.
        lines: Line of each key path.
        problems: In the order of the file.
    """

    value: object
    lines: LineMap
    problems: tuple[YamlProblem, ...] = ()


def load_yaml(text: str, path: str) -> tuple[object, LineMap]:
    """Read one YAML document.

    Args:
        text: The file's text.
        path: The file's name, for messages only.

    Returns:
        The value, and the line of every key path in it.

    Raises:
        ContentError: not YAML, a tag, an alias, a duplicate or non-text key, an ambiguous scalar,
            too deep or too large. Names file, line and key of the first problem and counts the
            others.
    """
    document = read_yaml(text)
    if document.problems:
        first = document.problems[0]
        more = len(document.problems) - 1
        raise ContentError(
            first.reason + (f" (and {more} more in this file)" if more else ""),
            path=path,
            line=first.line,
            key=dotted(first.path),
        )
    return document.value, document.lines


def read_yaml(text: str) -> YamlDocument:
    """Read one YAML document and collect its problems in place of raising."""
    reader = _Reader()
    value: object = None
    try:
        value = reader.document(text)
    except _StopReadingError as stop:
        reader.problem(*stop.args)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.problem(mark.line + 1 if mark else 1, (), f"not valid YAML: {_words(error)}")
    return YamlDocument(value, LineMap(reader.lines), tuple(reader.problems))


def dotted(path: Sequence[str | int]) -> str:
    """Write a key path as people do: ``data.services[0].port``. Unprintable keys are escaped."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if step.isprintable() else repr(step)
            text += f".{key}" if text else key
    return text


_REMEMBERED_TAGS = 4096


class _StopReadingError(Exception):
    """Reading cannot go on; the arguments are those of :class:`YamlProblem`."""


def _words(error: yaml.MarkedYAMLError) -> str:
    parts = (error.context, error.problem)
    return ", ".join(" ".join(str(part).split()) for part in parts if part)


class _Reader:
    """Walks the parser's events.

    Not PyYAML's composer: its C version recurses without a limit, so that a file of 100,000
    opening brackets ends the process with a segmentation fault.
    """

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[YamlProblem] = []
        self._events: Iterator[yaml.Event] = iter(())
        self._resolver = yaml.resolver.Resolver()
        self._values = 0
        #: A fleet's file has the same keys and words thousands of times.
        self._tags: dict[tuple[str, tuple[bool, bool]], str] = {}

    def problem(self, line: int, path: KeyPath, reason: str) -> None:
        self.problems.append(YamlProblem(line, path, reason))

    def document(self, text: str) -> object:
        if len(text) > MAX_TEXT_CHARS:
            raise _StopReadingError(1, (), f"the file is larger than {MAX_TEXT_CHARS} characters")
        if found := _UNPRINTABLE.search(text):
            line = text.count("\n", 0, found.start()) + 1
            raise _StopReadingError(
                line, (), f"the character U+{ord(found[0]):04X} is forbidden in YAML"
            )
        self._events = yaml.parse(text, Loader=_LOADER)
        next(self._events)  # start of stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), ())
        next(self._events)  # end of document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            self.problem(_line(after), (), "a second YAML document begins here, only one is read")
        return value

    def _value(self, event: yaml.Event, path: KeyPath) -> object:
        self._values += 1
        if self._values > MAX_VALUES:
            raise _StopReadingError(_line(event), path, f"more than {MAX_VALUES} values")
        if len(path) > MAX_DEPTH:
            raise _StopReadingError(_line(event), (), f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            self.problem(
                _line(event), path, f"the alias *{event.anchor} is not allowed, use groups"
            )
            return None
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in {_TAG + "map", _TAG + "seq"}:
            self.problem(_line(event), path, f"the tag {_tag_name(tag)} is not allowed")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        return self._sequence(path)

    def _mapping(self, path: KeyPath) -> dict[str, object]:
        found: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            here = (*path, "?" if key is None else key)
            if key is not None and key in found:
                self.problem(
                    _line(event), here, f"duplicate key, first given in line {self.lines[here]}"
                )
                key = None
            if key is None:
                self._value(next(self._events), here)
                continue
            self.lines[here] = _line(event)
            found[key] = self._value(next(self._events), here)
        return found

    def _key(self, event: yaml.Event, path: KeyPath) -> str | None:
        if isinstance(event, yaml.ScalarEvent):
            tag = self._tag(event)
            if tag == _TAG + "str":
                return str(event.value)
            if tag == _TAG + "merge":
                self.problem(_line(event), path, "merge keys (<<) are not allowed, use groups")
            else:
                self.problem(
                    _line(event), path, f"the key {event.value!r} is not text to YAML, quote it"
                )
            return None
        self.problem(_line(event), path, "a key must be text")
        if not isinstance(event, yaml.AliasEvent):
            self._value(event, (*path, "?"))
        return None

    def _sequence(self, path: KeyPath) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*path, len(items))
            self.lines[here] = _line(event)
            items.append(self._value(event, here))
        return items

    def _tag(self, event: yaml.ScalarEvent) -> str:
        if event.tag is not None and event.tag != "!":
            return str(event.tag)
        known = self._tags.get((event.value, event.implicit))
        if known is None:
            resolve: Callable[..., str] = self._resolver.resolve  # untyped in PyYAML
            known = resolve(yaml.ScalarNode, event.value, event.implicit)
            if len(self._tags) < _REMEMBERED_TAGS:
                self._tags[event.value, event.implicit] = known
        return known

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> str | int | float | bool | None:
        text, tag = str(event.value), self._tag(event)
        plain = tag == _TAG + "str" and event.implicit[0]
        if tag == _TAG + "str" and not (plain and _ONLY_12_NUMBER.fullmatch(text)):
            return text
        for name, (pattern, make) in _SCALARS.items():
            if tag == _TAG + name and pattern.fullmatch(text):
                return make(text)
        if tag.removeprefix(_TAG) not in _KINDS:
            self.problem(_line(event), path, f"the tag {_tag_name(tag)} is not allowed")
            return None
        shown = "this value" if path and path[-1] in SECRET_KEYS else repr(text)
        self.problem(_line(event), path, _ambiguity(shown, tag.removeprefix(_TAG)))
        return None


_KINDS = {
    "str": "text (YAML 1.1) or a number (YAML 1.2)",
    "bool": "a boolean (YAML 1.1) or text (YAML 1.2)",
    "int": "an octal, hexadecimal, base-60 or very large number",
    "float": "a number in an unusual notation",
    "timestamp": "a date",
    "null": "nothing",
    "value": "a special key",
    "merge": "a special key",
}


def _ambiguity(shown: str, kind: str) -> str:
    hint = "write true or false" if kind == "bool" else "write a plain decimal number"
    return f"{shown} can be read as {_KINDS[kind]}: quote it if text is meant, else {hint}"


def _tag_name(tag: str) -> str:
    return "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return int(mark.line) + 1 if mark is not None else 1
