"""Task books from files: strict, with file, line and key in every error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from jinja2 import TemplateError
from pydantic import ValidationError

from mtughost.content.book import Book
from mtughost.content.book_change import ChangeSpec, GuardSpec, LinesSpec
from mtughost.content.book_parts import ParamSpec
from mtughost.content.parsers import load_parser
from mtughost.content.render import template_variables
from mtughost.content.root import ContentRoot
from mtughost.model.basis import Risk
from mtughost.model.errors import ContentError
from mtughost.model.yaml_lines import KeyPath, LineMap, dotted, load_yaml

#: Something wrong: where in the book, and what.
Problem = tuple[KeyPath, str]

#: pydantic's words where ours say more to somebody who writes a book.
_WORDS = {
    "extra_forbidden": "unknown key",
    "missing": "this key is missing",
}


def load_book(root: ContentRoot, platform: str) -> Book:
    """Load and validate ``tasks/<platform>.yaml``. Cached until the file changes.

    Raises:
        ContentError: missing, not valid YAML, an unknown key, a value of the wrong type, a
            reference to a command, parser, template or guard that does not exist. The message
            names file, line and key.
    """
    path = root.file("tasks", f"{platform}.yaml")
    try:
        stat = path.stat()
    except OSError as error:
        known = ", ".join(root.platforms()) or "none"
        raise ContentError(
            f"there is no task book for the platform {platform!r}",
            path=str(path),
            todo=f"Known platforms: {known}",
        ) from error
    return _load(root, platform, path, (stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=256)
def _load(root: ContentRoot, platform: str, path: Path, _version: tuple[int, int]) -> Book:
    value, lines = load_yaml(root.text(path), str(path))
    book = _validated(value, lines, path)
    if book.platform != platform:
        raise _error([(("platform",), f"must be {platform!r}, like the file's name")], lines, path)
    if problems := list(_problems(book, root)):
        raise _error(problems, lines, path)
    return book


def _validated(value: object, lines: LineMap, path: Path) -> Book:
    try:
        # Through JSON: only there does strict mode take a list for a tuple.
        return Book.model_validate_json(json.dumps(value))
    except ValidationError as error:
        problems = [
            (
                tuple(step for step in item["loc"] if step != "[key]"),
                _WORDS.get(item["type"], item["msg"].removeprefix("Value error, ")),
            )
            for item in error.errors(include_url=False, include_context=False)
        ]
        raise _error(problems, lines, path) from error


def _error(problems: list[Problem], lines: LineMap, path: Path) -> ContentError:
    # A misspelt key is also a missing one: say the unknown key first.
    where, reason = min(problems, key=lambda p: (p[1] == _WORDS["missing"], lines.line(p[0])))
    more = len(problems) - 1
    return ContentError(
        reason + (f" (and {more} more in this file)" if more else ""),
        path=str(path),
        line=lines.line(where),
        key=dotted(where),
        todo="tasks/README.md describes every key",
    )


def _problems(book: Book, root: ContentRoot) -> Iterator[Problem]:
    """Yield what the schema alone cannot see."""
    for name, command in book.commands.items():
        yield from _variable_problems(("commands", name, "run"), command.run, command.params)
    yield from _command_references(book)
    yield from _parser_problems(book, root)
    yield from _template_problems(book, root)
    for name, change in book.change.items():
        for guard in (change.guard, *change.other_guards):
            if guard is not None and guard not in book.guard:
                yield (("change", name, "guard"), f"there is no guard {guard!r}")
    for key in ("prompt_patterns", "error_patterns"):
        for number, pattern in enumerate(getattr(book, key)):
            yield from _pattern_problems((key, number), pattern)
    for key, pattern in book.second_login or ():
        yield from _pattern_problems(("second_login", key), pattern)
    for key, pattern in book.enable or ():
        yield from _pattern_problems(("enable", key), pattern)
    yield from _mode_problems(book)
    for where, pattern in _change_patterns(book):
        yield from _pattern_problems(where, pattern)


def _change_patterns(book: Book) -> Iterator[tuple[KeyPath, str]]:
    for name, mode in book.modes.items():
        yield (("modes", name, "prompt"), mode.prompt.replace("{stem}", "stem"))
        yield (("modes", name, "above"), mode.above)
    for name, guard in book.guard.items():
        yield (("guard", name, "pending"), guard.pending)
        yield (("guard", name, "idle"), guard.idle)
        for number, condition in enumerate(guard.conditions):
            yield (("guard", name, "conditions", number, "pattern"), condition.pattern)
    state = book.state
    if state is None:
        return
    yield (("state", "complete"), state.complete)
    yield (("state", "boot"), state.boot.mark or state.boot.uptime)
    for number, pattern in enumerate(state.hide):
        yield (("state", "hide", number), pattern)
    for key in ("hostname", "version", "serial"):
        yield (("state", "identity", key), getattr(state.identity, key))


def _mode_problems(book: Book) -> Iterator[Problem]:
    """A change on a command line needs modes and a state; each line leads to a declared mode."""
    if book.driver == "exec":
        return
    if (book.change or book.guard) and ("exec" not in book.modes or book.state is None):
        yield (("modes",), "changes on a command line need modes (with exec) and state")
    if "exec" in book.modes and "(?P<stem>" not in book.modes["exec"].prompt:
        yield (("modes", "exec", "prompt"), "needs the group stem")
    sections: list[tuple[KeyPath, ChangeSpec | GuardSpec]] = []
    sections += [(("change", name), change) for name, change in book.change.items()]
    sections += [(("guard", name), guard) for name, guard in book.guard.items()]
    for where, spec in sections:
        for key, lines in spec:
            for mode in lines.modes if isinstance(lines, LinesSpec) else ():
                if mode not in book.modes:
                    yield ((*where, key, "modes"), f"there is no mode {mode!r}")


def _variable_problems(
    where: KeyPath, text: str, params: Mapping[str, ParamSpec]
) -> Iterator[Problem]:
    try:
        used = template_variables(text)
    except TemplateError as error:
        yield (where, f"not a valid template: {error}")
        return
    for name in sorted(used - set(params)):
        yield (where, f"uses {name!r}, which params does not declare")
    for name in sorted(set(params) - used):
        yield (where, f"does not use the declared parameter {name!r}")


def _command_references(book: Book) -> Iterator[Problem]:
    for where, command_id, risks in _references(book):
        command = book.commands.get(command_id)
        if command is None:
            yield (where, f"there is no command {command_id!r}")
        elif command.risk not in risks:
            yield (
                where,
                f"the command {command_id!r} is {command.risk}, not {' or '.join(risks)}",
            )
        elif where[0] == "read" and command.params:
            yield (where, f"the command {command_id!r} needs values, so it cannot be read blindly")


def _references(book: Book) -> Iterator[tuple[KeyPath, str, tuple[Risk, ...]]]:
    for kind, entries in book.read.items():
        for number, entry in enumerate(entries):
            for command_id in entry.command_ids:
                yield (("read", kind, number), command_id, ("passive",))
    for name, change in book.change.items():
        for command_id in change.read_back:
            yield (("change", name, "read_back"), command_id, ("passive",))
    for command_id in book.state.command_ids if book.state else ():
        yield (("state",), command_id, ("passive",))
    yield from _single_references(book)


def _single_references(book: Book) -> Iterator[tuple[KeyPath, str, tuple[Risk, ...]]]:
    if book.cloud_push:
        yield (("cloud-push", "command"), book.cloud_push.command, ("disruptive",))
    if book.capture:
        shown = tuple(book.capture.show.values())
        for each in dict.fromkeys(book.capture.command_ids):
            yield (("capture",), each, ("passive",) if each in shown else ("active",))
    probe = book.probe
    steps = (
        [("ping", probe.ping), ("ping_df", probe.ping_df), ("route_get", probe.route_get)]
        if probe
        else []
    )
    for key, command_id in steps:
        if command_id:
            yield (("probe", key), command_id, ("passive", "active"))
    for key, names in (
        [("ping_before", probe.ping_before), ("ping_after", probe.ping_after)] if probe else []
    ):
        for command_id in names:
            yield (("probe", key), command_id, ("active",))
    if probe and probe.sockets:
        yield (("probe", "sockets"), probe.sockets, ("passive",))
    for command_id in probe.shell if probe else ():
        yield (("probe", "shell"), command_id, ("active",))


def _parser_problems(book: Book, root: ContentRoot) -> Iterator[Problem]:
    for kind, entries in book.read.items():
        for number, entry in enumerate(entries):
            if entry.parser is None:
                continue
            try:
                load_parser(root, book.platform, entry.parser)
            except ContentError as error:
                yield (("read", kind, number, "parser"), str(error))


def _template_problems(book: Book, root: ContentRoot) -> Iterator[Problem]:
    sections: list[tuple[KeyPath, ChangeSpec | GuardSpec]] = []
    sections += [(("change", name), change) for name, change in book.change.items()]
    sections += [(("guard", name), guard) for name, guard in book.guard.items()]
    for where, spec in sections:
        for key, lines in spec:
            if not isinstance(lines, LinesSpec):
                continue
            try:
                path = root.file("templates", book.platform, lines.template)
                used = template_variables(root.text(path))
            except (ContentError, TemplateError) as error:
                yield ((*where, key, "template"), str(error))
                continue
            for name in sorted(used - set(spec.params)):
                yield ((*where, key, "template"), f"uses {name!r}, which params does not declare")


def _pattern_problems(where: KeyPath, pattern: str) -> Iterator[Problem]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield (where, f"not a valid regular expression: {error}")


def load_runbook(root: ContentRoot, finding_id: str) -> str:
    """Return the text of ``runbooks/<finding-id>.md``.

    Raises:
        ContentError: there is none.
    """
    return root.text(root.file("runbooks", f"{finding_id}.md"))
