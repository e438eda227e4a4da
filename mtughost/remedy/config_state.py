"""A command line's configuration as comparable text: the touched sections, and everything else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from mtughost.diagnose.version_order import at_least
from mtughost.model.config import Setting
from mtughost.model.errors import PlanRefusedError
from mtughost.model.plans import PlanItem, StateDigest, StateLines
from mtughost.remedy.forms import Form, form_named, with_settings
from mtughost.remedy.state import DeviceReading, predicted


def config_reading(lines: StateLines, running: str, saved: str | None) -> DeviceReading:
    """Make a reading comparable.

    Args:
        lines: Form, touched sections and what to hide.
        running: The running configuration as it was shown.
        saved: What a boot loads, ``None`` where a change saves itself.

    Raises:
        PlanRefusedError: the form is not known.
    """
    form = form_named(lines.form)
    hide = [re.compile(item.value) for item in lines.patterns if item.path == "hide"]
    flat = _visible(form, running, hide)
    relevant = tuple(sorted(line for line in flat if _is_touched(form, line, lines.sections)))
    others: dict[str, list[str]] = {}
    for line in flat:
        if not _is_touched(form, line, lines.sections):
            others.setdefault(_section_of(line), []).append(line)
    return DeviceReading(
        relevant=relevant,
        others={name: tuple(body) for name, body in others.items()},
        saved=() if saved is None else tuple(sorted(_visible(form, saved, hide))),
        running=() if saved is None else tuple(sorted(flat)),
        normaliser=f"{lines.form}/1",
    )


def check_version(device: str, version: str, needs: str) -> None:
    """Refuse a change that the device's version does not have.

    Args:
        device: Inventory name.
        version: As the device says it.
        needs: First version that has it, ``""`` for all.

    Raises:
        PlanRefusedError: the version is older, or is none.
    """
    if needs and not at_least(version, needs):
        raise PlanRefusedError(
            f"{device} runs {version or 'an unknown version'}; this change needs {needs} or newer",
            todo="Hand it to whoever runs the device as a change request",
        )


def _visible(form: Form, text: str, hide: list[re.Pattern[str]]) -> tuple[str, ...]:
    return tuple(
        line for line in form.flat(text) if not any(pattern.search(line) for pattern in hide)
    )


def _is_touched(form: Form, line: str, sections: Iterable[str]) -> bool:
    return any(form.below(line, section) for section in sections)


def _section_of(line: str) -> str:
    head, joint, _ = line.partition(" > ")
    return head if joint else line.split(" ", maxsplit=1)[0]


def config_after(
    form_name: str, read: DeviceReading, settings: Iterable[Setting]
) -> tuple[DeviceReading, StateDigest]:
    """Return reading and digests that must be found after the settings were changed and saved.

    Raises:
        PlanRefusedError: a setting is not what it was.
    """
    form, wanted = form_named(form_name), tuple(settings)
    relevant = with_settings(form, read.relevant, wanted)
    saved = with_settings(form, read.running, wanted) if read.running else ()
    return replace(read, relevant=relevant), predicted(read, relevant, saved)


def items_of_settings(settings: Iterable[Setting]) -> tuple[PlanItem, ...]:
    """Return the settings as they must be before the change."""
    return tuple(
        PlanItem(
            path=f"{setting.section} {setting.key}",
            value="(not set)" if setting.before is None else setting.before,
        )
        for setting in settings
    )
