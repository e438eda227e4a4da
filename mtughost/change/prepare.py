"""Make one device of a plan: read its state, render every line, let the device check them dry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mtughost.change.asking import must, read_state
from mtughost.change.prepare_config import (
    check_conditions,
    config_state_lines,
    guard_lines,
    guard_window_s,
    revert_cost,
)
from mtughost.content.book import Book
from mtughost.content.book_change import ChangeSpec, GuardSpec
from mtughost.content.render import (
    RenderedChange,
    render_change,
    render_command,
    render_guard,
)
from mtughost.content.root import ContentRoot
from mtughost.model.config import ConfigEdit
from mtughost.model.errors import ContentError, PlanRefusedError
from mtughost.model.inventory import Device
from mtughost.model.plans import (
    TOKEN_MARK,
    GuardLines,
    PlannedDevice,
    PlannedLine,
    PlanWindow,
    StateLines,
)
from mtughost.model.session import Clock, Session
from mtughost.remedy.config_state import check_version
from mtughost.remedy.edits import lines_after
from mtughost.remedy.fix import FixChoice
from mtughost.remedy.plan import (
    ANY_TIME,
    DEFAULT_WINDOW_S,
    DeviceLines,
    DeviceNow,
    GuardTerms,
    check_saved,
    plan_device,
)
from mtughost.remedy.values import entry_of, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A device with its content.

    Attributes:
        device: Its inventory entry.
        book: Its task book.
        root: Where the templates are.
        host_key_fp: Fingerprints that are accepted for it.
        window: When it may be changed.
    """

    device: Device
    book: Book
    root: ContentRoot
    host_key_fp: tuple[str, ...]
    window: PlanWindow = ANY_TIME


def prepare_device(
    choice: FixChoice,
    *,
    session: Session,
    place: Place,
    clock: Clock,
    window_s: int = DEFAULT_WINDOW_S,
    guard: str = "",
    accept_no_autorevert: bool = False,
) -> PlannedDevice:
    """Read the device, render all lines and return its part of the plan.

    The only lines sent are those that read the state and the change's dry run.

    Args:
        choice: What to change.
        session: A login on the device.
        place: The device and its content.
        clock: Stamps the reading.
        window_s: From arming to the revert; rounded up to what the guard can count.
        guard: A guard asked for by name, ``""`` for the change's own.
        accept_no_autorevert: Whether a change is wanted that nothing on the device takes back.

    Raises:
        PlanRefusedError: state and fix do not fit, the dry run failed, or no guard fits.
        ContentError: the book or a template is wrong.
        DeviceError: the device did not answer.
    """
    device, book, root = place.device, place.book, place.root
    if not place.host_key_fp:
        raise PlanRefusedError(f"{device.name} has no known host key", todo="Run: mtughost enroll")
    entries = [
        edit.entry if isinstance(edit, ConfigEdit) else entry_of(edit, choice.change)
        for edit in choice.edits
    ]
    spec = _spec(book, entries[0])
    guard_spec = _guard_spec(book, spec, guard, choice, accepted=accept_no_autorevert)
    window_s = guard_window_s(guard_spec, window_s)
    state = (
        config_state_lines(book, choice)
        if choice.backend == "config"
        else _state_lines(book, spec, choice)
    )
    taken = clock.utc_now()
    now = read_state(session, state, backend=choice.backend, target=choice.target, taken_utc=taken)
    for entry in entries:
        check_version(device.name, now.identity[1], book.change[entry].needs)
    check_conditions(device.name, guard_spec, state, now)
    check_saved(choice, now.read)
    rendered: list[RenderedChange] = []
    read = now.read
    for entry, edit in zip(entries, choice.edits, strict=True):
        if isinstance(edit, ConfigEdit):
            made = render_change(root, book, entry, edit.values)
            turned = replace(made, apply=made.undo, undo=made.apply)
            rendered.append(turned if edit.backwards else made)
            continue
        # Each edit sees the state that the ones before it leave: rule numbers move.
        rendered.append(render_change(root, book, entry, values_of(edit, read, TOKEN_MARK)))
        read = replace(read, relevant=lines_after(read.relevant, edit))
    lines = DeviceLines(
        apply=tuple(line for one in rendered for line in one.apply),
        undo=tuple(line for one in reversed(rendered) for line in one.undo),
        preview=tuple(line for one in rendered for line in one.preview),
        persist=rendered[0].persist,
        unsave=rendered[0].unsave,
        guard=_guard(root, book, guard or spec.guard or "", choice, rendered, window_s),
        state=state,
    )
    planned = plan_device(
        choice,
        DeviceNow(
            device=device,
            read=now.read,
            identity=now.identity,
            host_key_fp=place.host_key_fp,
            taken_utc=taken,
            window=place.window,
        ),
        lines,
        GuardTerms(
            window_s=window_s,
            reboot_reverts=guard_spec.reboot_reverts,
            cost=revert_cost(guard_spec, spec, ha_peer=device.ha_peer),
            survives=guard_spec.survives,
            method=guard_spec.method,
            limits=guard_spec.limits,
        ),
    )
    _dry_run(session, planned)
    return planned


def _spec(book: Book, entry: str) -> ChangeSpec:
    spec = book.change.get(entry)
    if spec is None:
        raise PlanRefusedError(
            f"this version has no change {entry} for {book.title}",
            todo="Hand it to whoever runs the device as a change request",
        )
    saves_apart = book.state is None or book.state.saved is not None
    cannot_save = saves_apart and (spec.persist is None or spec.unsave is None)
    if spec.guard is None or cannot_save:
        raise PlanRefusedError(
            f"{book.platform}: {entry} has no guard or cannot be saved and unsaved",
            todo="No change is made that the device cannot undo by itself",
        )
    return spec


def _guard_spec(
    book: Book, spec: ChangeSpec, wanted: str, choice: FixChoice, *, accepted: bool
) -> GuardSpec:
    """Return the guard to be used.

    Raises:
        PlanRefusedError: the change does not offer it, or it would be none at all.
    """
    name = wanted or spec.guard or ""
    if name not in {spec.guard, *spec.other_guards}:
        offered = ", ".join(sorted({spec.guard or "", *spec.other_guards}))
        raise PlanRefusedError(
            f"{book.platform}: {choice.change} has no guard {name}", todo=f"It has {offered}"
        )
    found = book.guard[name]
    if found.method != "tool-inverse":
        return found
    if choice.touches_management or spec.touches_management:
        raise PlanRefusedError(
            f"{choice.device}: the change may cut the path that we log in by, and nothing on the "
            "device would take it back",
            todo="Make it on site",
        )
    if not accepted:
        others = ", ".join(spec.other_guards)
        raise PlanRefusedError(
            f"{choice.device}: no timer of {book.title} takes this change back without an outage, "
            "so this tool would, over its own connection",
            todo="Plan again with --accept-no-autorevert and somebody within reach of the site"
            + (f", or with --guard {others} and its price" if others else ""),
        )
    return found


def _target_values(choice: FixChoice) -> Mapping[str, str]:
    family, _, table = choice.target.partition(" ")
    return {"family": family, "table": table, "interface": choice.target}


def _state_lines(book: Book, spec: ChangeSpec, choice: FixChoice) -> StateLines:
    """Sort the book's read-back commands by what their ids say they read."""
    values = _target_values(choice)
    groups: dict[str, list[PlannedLine]] = {}
    for command_id in spec.read_back:
        wanted = {name: values[name] for name in book.commands[command_id].params}
        line = PlannedLine.of(render_command(book, command_id, wanted))
        groups.setdefault(command_id.split("-")[1], []).append(line)
    running = groups.get("running4", []) + groups.get("running6", [])
    try:
        return StateLines(
            relevant=tuple(groups.get("relevant", []) + running),
            whole=tuple(groups["ruleset"] + groups["links"]),
            saved=tuple(
                groups.get("saved", []) + groups.get("saved4", []) + groups.get("saved6", [])
            ),
            boot=groups["boot"][0],
            identity=tuple(groups["identity"]),
        )
    except KeyError as missing:
        raise ContentError(
            f"read_back lists no command state-{missing.args[0]}",
            path=f"tasks/{book.platform}.yaml",
            key="change",
        ) from None


def _guard(
    root: ContentRoot,
    book: Book,
    name: str,
    choice: FixChoice,
    rendered: list[RenderedChange],
    window_s: int,
) -> GuardLines:
    guard_spec = book.guard[name]
    undo = tuple(line for one in reversed(rendered) for line in one.undo)
    offered: dict[str, object] = {
        **_target_values(choice),
        "token": TOKEN_MARK,
        "window_s": window_s,
        "minutes": window_s // 60,
        "undo": undo,
    }
    values = {param: offered[param] for param in guard_spec.params}
    return guard_lines(guard_spec, render_guard(root, book, name, values), undo)


def _dry_run(session: Session, planned: PlannedDevice) -> None:
    for line in planned.preview:
        must(session, line)
