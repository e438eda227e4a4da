"""Configurations of command lines as flat lines, and settings changed in them. Pure.

A flat line stands for itself wherever it is quoted: ``interface Vlan20 > ip mtu 1492``,
``system interface > vlan20 > mtu 1492``, ``interfaces irb unit 20 family inet mtu 1492``. One form
per way of writing configurations; a task book names it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mtughost.model.config import Setting
from mtughost.model.errors import PlanRefusedError


class Form(ABC):
    """One way of writing a configuration.

    Attributes:
        joint: What stands between a section and a setting in a flat line.
    """

    joint = " > "

    @abstractmethod
    def flat(self, text: str) -> tuple[str, ...]:
        """Return the flat lines of a configuration, in its order."""

    @abstractmethod
    def edited(self, text: str, setting: Setting) -> str:
        """Return the text with one setting changed.

        Raises:
            PlanRefusedError: the section is not there.
        """

    def line(self, setting: Setting, value: str) -> str:
        """Return the flat line of a setting."""
        return f"{setting.section}{self.joint}{setting.key} {value}".rstrip()

    def value(self, lines: Iterable[str], section: str, key: str) -> str | None:
        """Return a setting's value, ``None`` where it is not set."""
        head = f"{section}{self.joint}{key}"
        found = [line for line in lines if line == head or line.startswith(head + " ")]
        return found[-1][len(head) :].strip() if found else None

    def below(self, line: str, section: str) -> bool:
        """Say whether a flat line belongs to a section."""
        return line == section or line.startswith(section + self.joint)


class _Indented(Form):
    """Blanks in front mean "inside", as IOS writes it; ``!`` is a comment."""

    def flat(self, text: str) -> tuple[str, ...]:
        path: list[tuple[int, str]] = []
        lines = []
        for row in text.split("\n"):
            said = row.strip()
            if not said or said.startswith("!") or said == "end":
                continue
            depth = len(row) - len(row.lstrip(" "))
            while path and path[-1][0] >= depth:
                path.pop()
            path.append((depth, " ".join(said.split())))
            lines.append(self.joint.join(part for _, part in path))
        return tuple(lines)

    def edited(self, text: str, setting: Setting) -> str:
        rows = text.split("\n")
        start = next((i for i, row in enumerate(rows) if row.rstrip() == setting.section), None)
        if start is None:
            raise _gone(setting)
        end = start + 1
        while end < len(rows) and rows[end].startswith(" "):
            end += 1
        body = [row for row in rows[start + 1 : end] if not _is_key(row.strip(), setting.key)]
        if setting.after is not None:
            body.append(f" {setting.key} {setting.after}".rstrip())
        return "\n".join([*rows[: start + 1], *body, *rows[end:]])


class _SetLines(Form):
    """One line per setting with its whole path, as ``| display set`` writes it."""

    joint = " "

    def flat(self, text: str) -> tuple[str, ...]:
        rows = (" ".join(row.split()) for row in text.split("\n"))
        return tuple(row.removeprefix("set ") for row in rows if row and not row.startswith("#"))

    def edited(self, text: str, setting: Setting) -> str:
        head = f"set {setting.section} {setting.key}"
        rows = [row for row in text.split("\n") if row and not _is_key(row.strip(), head)]
        if setting.after is not None:
            rows.append(f"{head} {setting.after}".rstrip())
        return "".join(f"{row}\n" for row in rows)


class _ExportLines(Form):
    """One line per item with its menu, as RouterOS's ``export terse`` writes it.

    An item is one setting without a value: its section is the menu, its key the rest of the line.
    Put into the listing of its menu (``print detail``), it carries the flag ``P``, planned: no
    device prints that there, so that it is not held against the device's own count.
    """

    joint = " "

    def flat(self, text: str) -> tuple[str, ...]:
        rows = (" ".join(row.split()) for row in text.split("\n"))
        return tuple(row for row in rows if row and not row.startswith("#"))

    def edited(self, text: str, setting: Setting) -> str:
        line = f"{setting.section} {setting.key}"
        rows = [row for row in text.split("\n") if row and " ".join(row.split()) != line]
        if not any(row.startswith(("/", "#")) for row in rows):
            if setting.after is None or not setting.key.startswith("add "):
                raise _gone(setting)
            number = 1 + max((_number(row) for row in rows), default=-1)
            return f"{text.rstrip()}\n{number:>2} P {setting.key.removeprefix('add ')}\n"
        if setting.after is not None:
            rows.append(line)
        return "".join(f"{row}\n" for row in rows)


class _ConfigEdit(Form):
    """``config``, ``edit``, ``set``, ``next``, ``end``, as FortiOS writes it."""

    def flat(self, text: str) -> tuple[str, ...]:
        return tuple(line for _, line, _ in self._walk(text))

    def edited(self, text: str, setting: Setting) -> str:
        rows = text.split("\n")
        head = f"{setting.section}{self.joint}{setting.key}"
        place, gone = None, set[int]()
        for first, line, last in self._walk(text):
            if line == setting.section:
                place = first
            elif _is_key(line, head):
                gone |= set(range(first, last + 1))
        if place is None:
            raise _gone(setting)
        blanks = " " * (len(rows[place]) - len(rows[place].lstrip()) + 4)
        new = [] if setting.after is None else [f"{blanks}set {setting.key} {setting.after}"]
        kept = [row for i, row in enumerate(rows) if i > place and i not in gone]
        return "\n".join([*rows[: place + 1], *new, *kept])

    def _walk(self, text: str) -> Iterator[tuple[int, str, int]]:
        """Yield first row, flat line and last row; entries and sections have a line too."""
        path: list[str] = []
        rows = text.split("\n")
        at = 0
        while at < len(rows):
            first, said = at, rows[at].strip()
            # A quoted value may run over several rows, such as a certificate.
            while said.startswith("set ") and _open_quotes(said) and at + 1 < len(rows):
                at += 1
                said += "\n" + rows[at]
            at += 1
            verb, _, rest = said.partition(" ")
            if verb in {"config", "edit"}:
                path.append(rest.strip().strip('"'))
                yield first, self.joint.join(path), first
            elif verb in {"next", "end"} and path:
                path.pop()
            elif verb == "set":
                yield first, self.joint.join([*path, rest.strip()]), at - 1


class _Braces(_SetLines):
    """One path per value, written with braces, as EdgeOS's ``config.boot`` is.

    A setting is put into a text as one ``set`` line at its end.
    """

    def flat(self, text: str) -> tuple[str, ...]:
        path: list[str] = []
        filled = [True]
        lines = []
        for said in (row.strip() for row in text.split("\n")):
            if not said or said.startswith(("/*", "//")):
                continue
            if said == "}" and path:
                if not filled.pop():
                    # Nothing stood inside: the node itself is what is set.
                    lines.append(" ".join(path))
                path.pop()
            else:
                filled[-1] = True
                words = " ".join(said.removesuffix("{").split())
                if said.endswith("{"):
                    path.append(words)
                    filled.append(False)
                else:
                    lines.append(" ".join([*path, words]))
        return tuple(lines)


class _Uci(Form):
    """``uci show``: one ``config.section.option='value'`` per line."""

    joint = "."

    def flat(self, text: str) -> tuple[str, ...]:
        return tuple(row.strip() for row in text.split("\n") if row.strip())

    def edited(self, text: str, setting: Setting) -> str:
        head = f"{setting.section}.{setting.key}="
        rows = [row for row in text.split("\n") if row and not row.startswith(head)]
        if setting.after is not None:
            rows.append(head + setting.after)
        return "".join(f"{row}\n" for row in rows)

    def line(self, setting: Setting, value: str) -> str:
        return f"{setting.section}.{setting.key}={value}"

    def value(self, lines: Iterable[str], section: str, key: str) -> str | None:
        head = f"{section}.{key}="
        found = [line for line in lines if line.startswith(head)]
        return found[-1][len(head) :] if found else None

    def below(self, line: str, section: str) -> bool:
        return line.startswith((f"{section}.", f"{section}="))


def _number(row: str) -> int:
    word = row.strip().partition(" ")[0]
    return int(word) if word.isdecimal() else -1


def _open_quotes(said: str) -> bool:
    return said.replace('\\"', "").count('"') % 2 == 1


def _is_key(said: str, key: str) -> bool:
    return said == key or said.startswith(key + " ")


def _gone(setting: Setting) -> PlanRefusedError:
    return PlanRefusedError(
        f"the device has changed since it was audited: there is no {setting.section}",
        todo="Audit again",
    )


FORMS: Final[Mapping[str, Form]] = {
    "indented": _Indented(),
    "set-lines": _SetLines(),
    "config-edit": _ConfigEdit(),
    "braces": _Braces(),
    "export-lines": _ExportLines(),
    "uci": _Uci(),
}


def form_named(name: str) -> Form:
    """Return a form by the name that a task book uses.

    Raises:
        PlanRefusedError: this version does not know it.
    """
    found = FORMS.get(name)
    if found is None:
        raise PlanRefusedError(f"this version cannot read configurations of the form {name!r}")
    return found


def with_settings(
    form: Form, lines: tuple[str, ...], settings: Iterable[Setting]
) -> tuple[str, ...]:
    """Return sorted flat lines after the settings were changed.

    Raises:
        PlanRefusedError: a setting is not what it was.
    """
    found = list(lines)
    for setting in settings:
        now = form.value(found, setting.section, setting.key)
        if now != setting.before:
            raise PlanRefusedError(
                f"the device has changed since it was audited: {setting.section} {setting.key} is "
                f"{now if now is not None else 'not set'}, not "
                f"{setting.before if setting.before is not None else 'unset'}",
                todo="Audit again",
            )
        if setting.before is not None:
            found.remove(form.line(setting, setting.before))
        if setting.after is not None:
            found.append(form.line(setting, setting.after))
    return tuple(sorted(found))
