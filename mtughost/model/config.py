"""Settings in a command line's configuration, and changes of them that might repair a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import ConfigDict

#: A value for a change's templates.
ConfigValue = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting, before and after.

    Attributes:
        section: Flat path of what holds it, such as ``interface Vlan20``,
            ``system interface > vlan20`` or ``security flow tcp-mss all-tcp``.
        key: Its words without the value, such as ``ip tcp adjust-mss``.
        before: Its value now, ``None`` where it is not set.
        after: Its value then, ``None`` where it is not to be set.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    section: str
    key: str
    before: str | None
    after: str | None

    @property
    def reversed(self) -> Setting:
        """The setting taken back."""
        return Setting(section=self.section, key=self.key, before=self.after, after=self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigEdit:
    """One entry of a task book's ``change:`` with its values, and what it does to settings.

    Attributes:
        entry: Name of the entry.
        values: Typed values of its templates.
        settings: What it changes; nothing else may differ afterwards.
        command: The command in whose answer the settings stand, for the coverage proof.
        backwards: Taken back: the entry's undo lines are sent, and its lines are their undo.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    entry: str
    values: Mapping[str, ConfigValue]
    settings: tuple[Setting, ...]
    command: str = ""
    backwards: bool = False

    @property
    def reversed(self) -> ConfigEdit:
        """The edit taken back."""
        turned = tuple(setting.reversed for setting in reversed(self.settings))
        return replace(self, settings=turned, backwards=not self.backwards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a gateway's clamps must do for one way through it.

    Attributes:
        lan: Interface towards the access points.
        wan: Egress.
        mss_bytes: Largest segment that fits, ``None`` where only the need for one is known.
    """

    lan: str
    wan: str
    family: Literal["ipv4", "ipv6"]
    mss_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFix:
    """Edits that belong together and might be sufficient; the coverage proof decides.

    Attributes:
        change: What people call it, such as ``clamp-missing``.
        summary: One sentence, without the device's name.
        reach: Whose connections it touches, in words.
        touches_management: Whether it can cut the path that we log in by.
        risk: What could go wrong, in words.
        target: What is touched, in the guard's words; ``""``: the first edit's section.
    """

    change: str
    edits: tuple[ConfigEdit, ...]
    summary: str
    reach: str
    touches_management: bool = False
    risk: str = "a clamp lowers segment sizes by a few bytes"
    target: str = ""
