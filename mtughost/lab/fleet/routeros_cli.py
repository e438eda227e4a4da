"""RouterOS's console: menus, print, add, set, remove; a terminal that draws its line anew."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mtughost.lab.fleet import pings
from mtughost.lab.fleet import routeros_views as views
from mtughost.lab.fleet.device import Account, Cli, Page, Terminal

if TYPE_CHECKING:
    from mtughost.lab.fleet.routeros import Item, RouterOs

_PAIR = re.compile(r'([a-z][a-z0-9-]*)=("(?:[^"\\]|\\.)*"|[^\s\]]*)')
_FIND = re.compile(r"\[ ?find ([^\]]*)\]")
_DENIED = "not enough permissions (9)\n"
#: Menus that a group without the policy ``read`` sees all the same.
_OPEN = ("system identity", "system resource", "system routerboard", "system clock", "interface")
_LIMITS = {"mtu": (68, 65535), "max-mtu": (68, 65535), "new-mss": (0, 65535)}
#: Keys that an item of a menu needs.
_NEEDS = {
    "ip firewall mangle": ("chain", "action"),
    "ipv6 firewall mangle": ("chain", "action"),
    "interface vlan": ("name", "interface"),
    "system scheduler": ("name",),
}


class RouterOsCli(Cli):
    """One login; ``read`` may print, ``partial`` not even all of that.

    Attributes:
        options: Terminal parameters from behind the user name: ``c`` no colours, ``t`` no questions
            to the terminal, ``511w`` columns.
    """

    device: RouterOs
    page = Page(stop="-- [Q quit|D dump|down]", erase="\r" + " " * 24 + "\r")
    options = ""

    def __init__(self, device: RouterOs, account: Account) -> None:
        super().__init__(device, account)
        self._pages = True

    @property
    def banner(self) -> str:  # type: ignore[override]  # it tells the version
        """The greeting."""
        version = self.device.identity.version
        return f"\n  MikroTik RouterOS {version}\n\nPress F1 for help\n\n"

    @property
    def prompt(self) -> str:
        """User and name of the router."""
        return f"[{self.account.username}@{self.device.name}] > "

    @property
    def page_rows(self) -> int:
        """Lines of a page, unless ``without-paging`` was typed."""
        return self.device.manners.page_rows if self._pages else 0

    @property
    def width(self) -> int:
        """Columns; the terminal's own size is not asked for here."""
        found = re.search(r"(\d+)w", self.options)
        return int(found[1]) if found else 80

    def terminal(self) -> Terminal:
        """Return the screen."""
        return RouterOsTerminal(self)

    def run(self, line: str) -> str:  # noqa: PLR0911 - one per kind of line
        """Obey one line."""
        self._pages = "without-paging" not in line
        text = line.strip()
        if not text:
            return ""
        if text in {"/quit", "quit"}:
            self.ended = True
            return ""
        if text == "/export terse":
            return _DENIED if self.account.level == "partial" else views.export(self.device)
        if (said := pings.routeros(self.device, text)) is not None:
            return said
        menu, verb, rest = self._parted(text)
        if menu == "system backup":
            return self._backup(verb, rest)
        if not verb:
            return f"bad command name {text.lstrip('/').split(' ')[0]} (line 1 column 1)\n"
        if self.account.level == "partial" and menu not in _OPEN:
            return _DENIED
        if verb == "print":
            return views.printed(self, menu, rest)
        if self.account.level != "full":
            return _DENIED
        return self._change(menu, verb, rest)

    def _parted(self, text: str) -> tuple[str, str, str]:
        """Split into menu, verb and what follows; menus may be parted by slashes or blanks."""
        head = re.split(r"[\[=\"]", text, maxsplit=1)[0]
        words = [word for word in re.split(r"[ /]", head) if word]
        known = [*self.device.menus, *views.SETTINGS, "system backup", "log"]
        for count in range(len(words) - 1, 0, -1):
            menu = " ".join(words[:count])
            if menu in known:
                verb = words[count]
                if menu.startswith("ipv6") and self.device.identity.model == "no-ipv6":
                    return "", "", ""
                place = text.index(verb, text.replace("/", " ").index(words[count - 1]) + 1)
                return menu, verb, text[place + len(verb) :].strip()
        return "", "", ""

    def _backup(self, verb: str, rest: str) -> str:
        values = dict(_pairs(rest))
        if self.account.level != "full":
            return _DENIED
        if verb == "save":
            self.device.save_backup(values.get("name", "auto"))
            return "Saving system configuration\nConfiguration backup saved\n"
        name = values.get("name", "").removesuffix(".backup")
        if verb == "load" and self.device.load_backup(name):
            return "Restoring system configuration\nSystem configuration restored, rebooting now\n"
        return f"failure: could not find file {name}.backup\n"

    def where(self, items: list[Item], rest: str) -> list[Item]:
        """Return the items that ``where`` asks for; what is shown of jobs is remembered."""
        _, asks, wanted = rest.partition("where ")
        found = self._chosen(items, wanted) if asks else items
        if items is self.device.menus["system scheduler"]:
            self.device.jobs_shown |= {item["name"] for item in found}
        return found

    def _change(self, menu: str, verb: str, rest: str) -> str:
        device = self.device
        found = _FIND.search(rest) if verb != "add" else None
        values = dict(_pairs(rest if found is None else _FIND.sub("", rest)))
        if bad := self._bad(values):
            return bad
        if menu == "system identity" and verb == "set":
            device.name = values.get("name", device.name)
            return ""
        items = device.menus.get(menu)
        if items is None or verb not in {"add", "set", "remove", "disable", "enable"}:
            return f"bad command name {verb} (line 1 column 1)\n"
        if verb == "add":
            return self._add(menu, items, values)
        chosen = self._chosen(items, found[1] if found else "")
        if verb == "remove":
            items[:] = [item for item in items if item not in chosen]
        for item in chosen:
            item.update({"disabled": "yes"} if verb == "disable" else values)
            if verb == "enable":
                item.pop("disabled", None)
            if menu == "interface vlan" and item.get("mtu") == "1500":
                del item["mtu"]  # the default is neither kept nor exported
        if menu == "system scheduler":
            device.plan_jobs()
        return ""

    def _add(self, menu: str, items: list[Item], values: dict[str, str]) -> str:
        if menu == "system scheduler" and self.device.forbids_jobs:
            return "failure: not allowed by device-mode\n"
        missing = [key for key in _NEEDS.get(menu, ()) if key not in values]
        if missing:
            return f"missing value(s) of argument(s) {' '.join(missing)}\n"
        if "name" in values and any(item.get("name") == values["name"] for item in items):
            return "failure: already have such name\n"
        items.append(values)
        if menu == "system scheduler":
            self.device.plan_jobs()
        return ""

    def _chosen(self, items: list[Item], wanted: str) -> list[Item]:
        asked = list(_pairs(wanted))
        return [i for i in items if asked and all(i.get(key) == value for key, value in asked)]

    def _bad(self, values: dict[str, str]) -> str:
        for key, value in values.items():
            low, high = _LIMITS.get(key, (0, 0))
            is_word = value in {"clamp-to-pmtu", "auto"}
            if high and not is_word and not (value.isdecimal() and low <= int(value) <= high):
                return f"invalid value for argument {key}\n"
            if key in {"in-interface", "out-interface"} and value not in {
                item["name"] for item in self.device.items("interface")
            }:
                return f"input does not match any value of {key}\n"
        return ""


class RouterOsTerminal(Terminal):
    """Draws the line anew when it is ended, and the prompt more than once."""

    @property
    def _console(self) -> RouterOsCli:
        assert isinstance(self.cli, RouterOsCli)  # noqa: S101 - narrows the type for mypy
        return self.cli

    def greet(self) -> str:
        """Ask the terminal what it is, unless told not to, then greet."""
        asks = "" if "t" in self._console.options else "\x1bZ\x1b[6n"
        return asks + super().greet()

    def prompted(self) -> str:
        """Draw the prompt, twice, as recorded."""
        return 2 * f"\r{self._coloured(self.cli.prompt)}\x1b[K"

    def entered(self, line: str) -> str:
        """Draw prompt and line once more."""
        return f"\r{self._coloured(self.cli.prompt)}{line}\x1b[K{self.cli.newline}"

    def _coloured(self, text: str) -> str:
        return text if "c" in self._console.options else f"\x1b[m\x1b[36m{text}\x1b[m"


def _pairs(text: str) -> list[tuple[str, str]]:
    return [
        (key, re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value)
        for key, value in _PAIR.findall(text)
    ]
