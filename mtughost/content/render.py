"""Typed values into command lines, in Jinja2's sandbox. The only maker of lines that are sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, meta
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mtughost.content.book import Book
from mtughost.content.book_change import ChangeSpec, GuardSpec, LinesSpec
from mtughost.content.book_parts import Params
from mtughost.content.root import ContentRoot
from mtughost.content.values import MAX_LINE_CHARS, checked, unsafe_character
from mtughost.model.basis import CommandBasis
from mtughost.model.errors import ContentError, UsageError
from mtughost.model.session import RenderedCommand


class _Sandbox(ImmutableSandboxedEnvironment):
    """Without globals (``range``, ``cycler``) and without arithmetic that can eat memory."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002 - jinja2's signature
        raise SecurityError(f"the operator {operator} is not available in templates")


#: What Jinja2 hands back as it came, such as most commands of an audit.
_LITERAL = re.compile(r"(?:[^{\r\n]|\{(?![{%#]))+")


@lru_cache(maxsize=1)
def _environment() -> _Sandbox:
    # Commands are no HTML: escaping would break them. Values are checked by type instead.
    environment = _Sandbox(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.clear()
    return environment


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Template:
    return _environment().from_string(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedChange:
    """Every line of one change, in order."""

    apply: tuple[RenderedCommand, ...]
    undo: tuple[RenderedCommand, ...]
    persist: tuple[RenderedCommand, ...] = ()
    preview: tuple[RenderedCommand, ...] = ()
    unsave: tuple[RenderedCommand, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedGuard:
    """Every line of one guard, in order."""

    arm: tuple[RenderedCommand, ...] = ()
    read_back: tuple[RenderedCommand, ...] = ()
    confirm: tuple[RenderedCommand, ...] = ()
    cancel: tuple[RenderedCommand, ...] = ()
    revert: tuple[RenderedCommand, ...] = ()
    clean: tuple[RenderedCommand, ...] = ()
    enter: tuple[RenderedCommand, ...] = ()
    check: tuple[RenderedCommand, ...] = ()
    commit: tuple[RenderedCommand, ...] = ()
    keep: tuple[RenderedCommand, ...] = ()
    leave: tuple[RenderedCommand, ...] = ()


@lru_cache(maxsize=1024)
def template_variables(text: str) -> frozenset[str]:
    """Return the names that a command line or template asks for.

    Raises:
        TemplateError: not valid Jinja2.
    """
    return frozenset(meta.find_undeclared_variables(_environment().parse(text)))


def render_command(
    book: Book, command_id: str, values: Mapping[str, object] | None = None
) -> RenderedCommand:
    """Return the one line of the task book's entry ``command_id``.

    Args:
        book: The platform's book.
        command_id: Name of the entry under ``commands:``.
        values: One value for each of the entry's ``params``, no more and no less.

    Raises:
        UsageError: the book has no such entry.
        ContentError: a value is missing, superfluous or does not fit its type, or the line would
            be more than one line. Nothing was sent.
    """
    spec = book.commands.get(command_id)
    if spec is None:
        raise UsageError(f"the task book {book.platform} has no command {command_id!r}")
    line = _rendered(spec.run, _typed(spec.params, values or {}), command_id)
    _check_line(line, command_id)
    return RenderedCommand(
        command_id=command_id,
        line=line,
        risk=spec.risk,
        basis=spec.basis,
        timeout_s=spec.timeout_s,
        max_bytes=spec.max_bytes,
        ok_exit_codes=spec.ok_exit_codes,
    )


def render_change(
    root: ContentRoot, book: Book, change: str, values: Mapping[str, object]
) -> RenderedChange:
    """Return every line of the change ``change`` of the book.

    Raises:
        UsageError: the book has no such change.
        ContentError: a value does not fit, a template is wrong, or it renders to another number
            of lines than the book declares. Nothing was sent.
    """
    spec = book.change.get(change)
    if spec is None:
        raise UsageError(f"the task book {book.platform} has no change {change!r}")
    make = _line_maker(root, book, change, spec, values)
    return RenderedChange(
        apply=make("apply", spec.apply),
        undo=make("undo", spec.undo),
        persist=make("persist", spec.persist),
        preview=make("preview", spec.preview),
        unsave=make("unsave", spec.unsave),
    )


def render_guard(
    root: ContentRoot, book: Book, guard: str, values: Mapping[str, object]
) -> RenderedGuard:
    """Return every line of the guard ``guard`` of the book.

    Raises:
        UsageError: the book has no such guard.
        ContentError: as for :func:`render_change`.
    """
    spec = book.guard.get(guard)
    if spec is None:
        raise UsageError(f"the task book {book.platform} has no guard {guard!r}")
    make = _line_maker(root, book, guard, spec, values)
    return RenderedGuard(
        arm=make("arm", spec.arm),
        read_back=make("read_back", spec.read_back),
        confirm=make("confirm", spec.confirm),
        cancel=make("cancel", spec.cancel),
        revert=make("revert", spec.revert),
        clean=make("clean", spec.clean),
        enter=make("enter", spec.enter),
        check=make("check", spec.check),
        commit=make("commit", spec.commit),
        keep=make("keep", spec.keep),
        leave=make("leave", spec.leave),
    )


@dataclass(frozen=True, slots=True)
class _Lines:
    """What all lines of one change or guard have in common."""

    platform: str
    name: str
    basis: CommandBasis
    timeout_s: float
    values: dict[str, object] = field(repr=False)


def _line_maker(
    root: ContentRoot,
    book: Book,
    name: str,
    spec: ChangeSpec | GuardSpec,
    values: Mapping[str, object],
) -> Callable[[str, LinesSpec | None], tuple[RenderedCommand, ...]]:
    common = _Lines(book.platform, name, spec.basis, spec.timeout_s, _typed(spec.params, values))

    def make(section: str, lines: LinesSpec | None) -> tuple[RenderedCommand, ...]:
        return () if lines is None else _template_lines(root, common, section, lines)

    return make


def _template_lines(
    root: ContentRoot, common: _Lines, section: str, spec: LinesSpec
) -> tuple[RenderedCommand, ...]:
    path = root.file("templates", common.platform, spec.template)
    text = root.text(path)
    where = f"{common.name}.{section}"
    unknown = _variables(text, str(path)) - set(common.values)
    if unknown:
        raise ContentError(
            f"uses {', '.join(sorted(unknown))}, which {where} does not declare", path=str(path)
        )
    rendered = _rendered(text, common.values, str(path))
    # Split at LF only: any other line end is an unsafe character and refused below.
    lines = [line.strip(" ") for line in rendered.split("\n")]
    lines = [line for line in lines if line]
    if len(lines) != spec.lines:
        raise ContentError(
            f"rendered to {len(lines)} lines, but {where} declares {spec.lines}",
            path=str(path),
            todo="Nothing was sent",
        )
    for line in lines:
        _check_line(line, str(path))
    return tuple(
        RenderedCommand(
            command_id=where if len(lines) == 1 else f"{where}.{number}",
            line=line,
            risk="change",
            basis=common.basis,
            timeout_s=common.timeout_s,
            mode=spec.modes[number - 1] if spec.modes else "",
        )
        for number, line in enumerate(lines, start=1)
    )


def _typed(params: Params, values: Mapping[str, object]) -> dict[str, object]:
    if missing := sorted(set(params) - set(values)):
        raise ContentError(f"no value given for {', '.join(missing)}", key=missing[0])
    if surplus := sorted(set(values) - set(params)):
        raise ContentError(f"does not take a value {', '.join(surplus)}", key=surplus[0])
    return {name: checked(name, values[name], spec) for name, spec in params.items()}


def _variables(text: str, where: str) -> frozenset[str]:
    try:
        return template_variables(text)
    except TemplateError as error:
        raise ContentError(f"not a valid template: {error}", path=where) from error


def _rendered(text: str, values: Mapping[str, object], where: str) -> str:
    if _LITERAL.fullmatch(text):
        return text
    try:
        return str(_compiled(text).render(values))
    except (TemplateError, TypeError, ValueError) as error:
        raise ContentError(f"the template cannot be rendered: {error}", path=where) from error


def _check_line(line: str, where: str) -> None:
    if found := unsafe_character(line):
        raise ContentError(
            f"the line would hold the character {found}", path=where, todo="Nothing was sent"
        )
    if not line.strip() or len(line) > MAX_LINE_CHARS:
        raise ContentError(
            f"the line is empty or longer than {MAX_LINE_CHARS} characters", path=where
        )
