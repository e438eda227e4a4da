"""The lines of a plan that only command lines have: state by flat lines, guards put together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import get_args

from mtughost.change.asking import DeviceState
from mtughost.content.book import Book
from mtughost.content.book_change import ChangeSpec, GuardSpec, StateSpec
from mtughost.content.book_parts import Cost
from mtughost.content.render import RenderedGuard, render_command
from mtughost.model.config import ConfigEdit
from mtughost.model.errors import ContentError, PlanRefusedError
from mtughost.model.plans import GuardLines, PlanItem, PlannedLine, StateLines
from mtughost.model.session import RenderedCommand
from mtughost.remedy.fix import FixChoice
from mtughost.remedy.forms import form_named


def config_state_lines(book: Book, choice: FixChoice) -> StateLines:
    """Return the lines that read a command line's configuration, and how to read them.

    Raises:
        ContentError: the book does not say how.
    """
    spec = book.state
    if spec is None:
        raise ContentError(
            "says nothing about state", path=f"tasks/{book.platform}.yaml", key="state"
        )

    def line(name: str) -> PlannedLine:
        return PlannedLine.of(render_command(book, name))

    sections = {
        setting.section
        for edit in choice.edits
        if isinstance(edit, ConfigEdit)
        for setting in edit.settings
    }
    return StateLines(
        relevant=(),
        whole=(line(spec.running),),
        saved=(line(spec.saved),) if spec.saved else (),
        boot=line(spec.boot.command),
        identity=tuple(line(name) for name in spec.identity.commands),
        native=tuple(line(name) for name in spec.native),
        form=spec.form,
        sections=tuple(sorted(sections)),
        patterns=_patterns(spec),
    )


def _patterns(spec: StateSpec) -> tuple[PlanItem, ...]:
    who = spec.identity
    named = {
        "complete": spec.complete,
        "hostname": who.hostname,
        "version": who.version,
        "serial": who.serial,
        "boot": spec.boot.mark,
        "uptime": spec.boot.uptime,
    }
    items = [PlanItem(path=name, value=value) for name, value in named.items() if value]
    return (*items, *(PlanItem(path="hide", value=pattern) for pattern in spec.hide))


def check_conditions(device: str, spec: GuardSpec, lines: StateLines, state: DeviceState) -> None:
    """Refuse where the guard would not work on this device as it is configured.

    Raises:
        PlanRefusedError: a condition of the task book does not hold.
    """
    if not spec.conditions:
        return
    flat = form_named(lines.form).flat(state.texts[lines.whole[0].id])
    for condition in spec.conditions:
        found = any(re.search(condition.pattern, line) for line in flat)
        if found != condition.holds:
            raise PlanRefusedError(f"{device}: {condition.why}", todo=condition.todo)


def revert_cost(guard: GuardSpec, change: ChangeSpec, *, ha_peer: str) -> Cost:
    """Return what a revert costs: the guard's own price or that of changing back, if higher."""
    costs = get_args(Cost)
    worst = max(costs.index(guard.cost), costs.index(change.cost))
    if costs[worst] == "reboot" and ha_peer:
        return "ha-pair-reboot"
    found: Cost = costs[worst]
    return found


def guard_window_s(spec: GuardSpec, window_s: int) -> int:
    """Return the window rounded up to what the device can count."""
    return -(-window_s // spec.unit_s) * spec.unit_s


def guard_lines(
    spec: GuardSpec, guard: RenderedGuard, undo: tuple[RenderedCommand, ...]
) -> GuardLines:
    """Return a guard's lines; where it has no way back of its own, the undo lines are it.

    Args:
        spec: The book's entry.
        guard: Its lines.
        undo: The change's undo lines, last edit first.
    """
    around = _planned((*guard.enter, *undo, *guard.keep, *guard.leave))
    return GuardLines(
        arm=_planned(guard.arm),
        read_back=_planned(guard.read_back),
        confirm=_planned(guard.confirm),
        cancel=_planned(guard.cancel),
        revert=_planned(guard.revert) if guard.revert else around,
        clean=_planned(guard.clean),
        enter=_planned(guard.enter),
        check=_planned(guard.check),
        commit=_planned(guard.commit),
        leave=_planned(guard.leave),
        take_back=_taking_back(spec, undo, around),
        pending=spec.pending,
        idle=spec.idle,
    )


def _taking_back(
    spec: GuardSpec, undo: tuple[RenderedCommand, ...], around: tuple[PlannedLine, ...]
) -> tuple[PlannedLine, ...]:
    if spec.method == "detached-restore":
        return ()
    return around if spec.method == "confirmed-commit" else _planned(undo)


def _planned(lines: Iterable[RenderedCommand]) -> tuple[PlannedLine, ...]:
    return tuple(PlannedLine.of(line) for line in lines)
