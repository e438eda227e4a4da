"""FortiOS's command line: ``config`` and ``edit`` down, ``next`` and ``end`` up again."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtughost.lab.fleet import fortios_views as views
from mtughost.lab.fleet import pings, sniffers
from mtughost.lab.fleet.device import Account, Cli
from mtughost.lab.fleet.fortios_tree import (
    SECTIONS,
    Entry,
    RefusedError,
    Section,
    Table,
    empty,
    parse_error,
    set_value,
    shown,
)
from mtughost.lab.fleet.words import candidates, split

if TYPE_CHECKING:
    from mtughost.lab.fleet.fortios import FortiGate

_UNKNOWN = "Unknown action 0\n\n"
_TOP = ("config", "get", "show", "diagnose", "execute", "fnsysctl", "exit", "quit")


@dataclass(slots=True)
class _Level:
    """One step into the configuration.

    Attributes:
        label: What stands in the prompt.
        path: The section's name, as ``show`` prints it.
        data: What is edited here; an entry is a copy until ``next`` or ``end``.
        key: The entry's key, ``""`` for a section.
        keep: Puts the copy in place.
    """

    label: str
    section: Section
    data: Entry | Table
    keep: Callable[[], None]
    path: str
    key: str = ""


class FortiCli(Cli):
    """One login. An account of level ``partial`` does not see the firewall at all."""

    device: FortiGate

    def __init__(self, device: FortiGate, account: Account) -> None:
        super().__init__(device, account)
        self._levels: list[_Level] = []
        self.ping_options: dict[str, str] = {}

    @property
    def prompt(self) -> str:
        """Host name, where one is, and ``#`` for those who may do everything."""
        sign = "#" if self.account.level == "full" else "$"
        where = f" ({self._levels[-1].label})" if self._levels else ""
        return f"{self.device.settings('system global').values['hostname']}{where} {sign} "

    @property
    def page_rows(self) -> int:
        """The console's output mode decides."""
        console = self.device.settings("system console")
        is_paged = console.get(SECTIONS["system console"], "output") == "more"
        return self.device.manners.page_rows if is_paged else 0

    def left(self) -> None:
        """Drop what was not ended."""
        self._levels.clear()

    def run(self, line: str) -> str:
        """Obey one line."""
        command, _, pipe = line.partition("|")
        words = split(command)
        self.device.touched()
        if not words:
            return ""
        try:
            text = self._inside(words) if self._levels else self._outside(words)
        except RefusedError as error:
            return str(error) + ("\n" if not str(error).endswith("\n") else "")
        return _grep(text, pipe.strip()) if pipe else text

    # -- outside of the configuration ------------------------------------------------------------
    def _outside(self, words: list[str]) -> str:  # noqa: PLR0911 - one per verb
        found = candidates(words[0], _TOP)
        verb = found[0] if len(found) == 1 else ""
        rest = words[1:]
        if verb in {"exit", "quit"}:
            self.ended = True
            return ""
        if verb == "config":
            return self._config(rest)
        if verb == "show":
            return self._show(rest)
        if verb == "get":
            return views.get(self, rest)
        if verb in {"diagnose", "fnsysctl"}:
            if self.account.level != "full":
                raise RefusedError(_UNKNOWN)
            if rest[:1] == ["sniffer"]:
                return self._sniff(" ".join(words))
            return views.diagnose(self.device, verb, rest)
        if verb == "execute":
            return self._execute(rest)
        return _UNKNOWN

    def _sniff(self, line: str) -> str:
        known = self.device.table("system interface")
        started = sniffers.fortios(self.device.tap, line, self.device.mac_of)
        if started is None or line.split()[3] not in known:
            raise parse_error(line.rsplit(maxsplit=1)[-1])
        greeting, self.job = started
        return greeting

    def may_see(self, path: str) -> bool:
        """Whether the account's access profile has the section at all."""
        return self.account.level != "partial" or SECTIONS[path].group == "sysgrp"

    def _path(self, words: list[str]) -> tuple[str, list[str]]:
        """Find the section that words name, with abbreviations, and what is left."""
        known = [path for path in SECTIONS if self.may_see(path)]
        if self.device.has_vdoms:
            known = []
        for count in (3, 2):
            if len(words) < count:
                continue
            fits = [
                path
                for path in known
                if len(path.split()) == count
                and all(p.startswith(w) for p, w in zip(path.split(), words, strict=False))
            ]
            exact = [path for path in fits if path.split() == words[:count]]
            if exact or len(fits) == 1:
                return (exact or fits)[0], words[count:]
        depth = 1 if any(path.split()[0].startswith(words[0]) for path in known) else 0
        raise parse_error(words[min(depth, len(words) - 1)])

    def _config(self, words: list[str]) -> str:
        if self.account.level != "full" or not words:
            raise parse_error(words[0] if words else "")
        path, rest = self._path(words)
        section = SECTIONS[path]
        if rest:
            raise parse_error(rest[0])
        data = self.device.running[path]
        if section.key:
            self._enter(path, section, data, lambda: None)
        else:
            copied = copy.deepcopy(data)
            self._enter(path, section, copied, lambda: self._keep(path, copied))
        return ""

    def _enter(
        self, path: str, section: Section, data: Entry | Table, keep: Callable[[], None]
    ) -> None:
        self._levels.append(_Level(path.rsplit(maxsplit=1)[-1], section, data, keep, path))

    def _keep(self, path: str, data: Entry | Table) -> None:
        before = self.device.save_mode
        self.device.running[path] = data
        self.device.applied(before)

    def _show(self, words: list[str]) -> str:
        full = bool(words) and "full-configuration".startswith(words[0]) and len(words[0]) > 1
        rest = words[1:] if full else words
        if not rest:
            paths = [path for path in SECTIONS if self.may_see(path)]
            return "".join(self._section(path, full=full) for path in paths)
        path, rest = self._path(rest)
        if path == "system global" and self.device.save_mode == "revert":
            self.device.undo_was_shown = True
        if not rest:
            return self._section(path, full=full)
        data = self.device.running[path]
        if not isinstance(data, Table) or rest[0] not in data.entries:
            raise RefusedError(
                f"entry is not found in table\nobject check operator error, -3, discard the "
                f"setting\nCommand fail. Return code -3\n{rest[0]}"
            )
        part = Table({rest[0]: data.entries[rest[0]]})
        return _text(shown(path, SECTIONS[path], part, full=full))

    def _section(self, path: str, *, full: bool) -> str:
        return _text(shown(path, SECTIONS[path], self.device.running[path], full=full))

    def _execute(self, words: list[str]) -> str:
        if words[:2] == ["cfg", "save"] and self.account.level == "full":
            self.device.save()
            return "config saved.\n"
        if words[:1] == ["reboot"] and self.account.level == "full":
            self.device.reboot()
            return ""
        if words[:1] == ["ping-options"] and len(words) > 1:
            return self._ping_option(words[1:])
        if words[:1] == ["ping"] and self.ping_options:
            return pings.fortios(self.device, words[-1], self.ping_options)
        if words[:1] in (["ping"], ["date"], ["time"]):
            return views.execute(self.device, words)
        raise RefusedError(_UNKNOWN)

    def _ping_option(self, words: list[str]) -> str:
        """They last until they are reset."""
        if words == ["reset"]:
            self.ping_options.clear()
            return ""
        if len(words) != 2 or words[0] not in {"df-bit", "data-size", "repeat-count"}:  # noqa: PLR2004
            raise parse_error(words[0])
        self.ping_options[words[0]] = words[1]
        return ""

    # -- inside ----------------------------------------------------------------------------------
    def _inside(self, words: list[str]) -> str:
        level, verb = self._levels[-1], words[0]
        if verb == "end":
            self._up(keep=True)
            return ""
        if verb == "abort":
            self._up(keep=False)
            return ""
        if verb == "show":
            return _text(self._shown_here(level))
        if level.section.key and not level.key:
            return self._in_table(level, verb, words[1:])
        return self._in_entry(level, verb, words[1:])

    def _shown_here(self, level: _Level) -> list[str]:
        if level.key:
            return shown(level.path, level.section, Table({level.key: _entry(level)}), full=False)
        return shown(level.path, level.section, level.data, full=False)

    def _up(self, *, keep: bool) -> None:
        """Leave this section: an open entry goes with it."""
        while self._levels:
            level = self._levels.pop()
            if keep:
                level.keep()
            if not level.key:
                return

    def _in_table(self, level: _Level, verb: str, words: list[str]) -> str:
        assert isinstance(level.data, Table)  # noqa: S101 - the schema says so
        table, key = level.data, words[0] if words else ""
        if verb == "delete" and key in table.entries:
            before = self.device.save_mode
            del table.entries[key]
            self.device.applied(before)
            return ""
        if verb != "edit" or not key or (level.section.key == "id" and not key.isdecimal()):
            raise parse_error(verb if verb != "edit" else key)
        if level.section.key == "id" and key == "0":
            key = str(max((int(k) for k in table.entries), default=0) + 1)
        entry = copy.deepcopy(table.entries.get(key, Entry()))

        def keep() -> None:
            before = self.device.save_mode
            table.entries[key] = entry
            self.device.applied(before)

        self._levels.append(_Level(key, level.section, entry, keep, level.path, key))
        return ""

    def _in_entry(self, level: _Level, verb: str, words: list[str]) -> str:
        entry = _entry(level)
        if verb == "next" and level.key:
            self._levels.pop().keep()
            return ""
        if verb == "set":
            set_value(level.section, entry, words)
            return ""
        if verb == "unset":
            if not words or words[0] not in level.section.attrs:
                raise parse_error(words[0] if words else verb)
            entry.values.pop(words[0], None)
            return ""
        if verb == "config" and words and words[0] in level.section.children:
            name = words[0]
            section = level.section.children[name]
            data = entry.inside.setdefault(name, empty(section))
            self._enter(name, section, data, lambda: None)
            return ""
        raise parse_error(verb)


def _entry(level: _Level) -> Entry:
    assert isinstance(level.data, Entry)  # noqa: S101 - the schema says so
    return level.data


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _grep(text: str, pipe: str) -> str:
    """``| grep [-i] [-v] WORD``."""
    words = split(pipe)
    if not words or words[0] != "grep" or len(words) == 1:
        raise RefusedError(_UNKNOWN)
    flags = "".join(word[1:] for word in words[1:-1] if word.startswith("-"))
    pattern = re.compile(re.escape(words[-1]), re.IGNORECASE if "i" in flags else 0)
    return _text([x for x in text.split("\n")[:-1] if bool(pattern.search(x)) != ("v" in flags)])
