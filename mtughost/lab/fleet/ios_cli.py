"""IOS's command line: exec, configuration, interfaces; abbreviations and the caret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mtughost.lab.fleet import ios_views as views
from mtughost.lab.fleet import pings, sniffers
from mtughost.lab.fleet.device import Account, Page
from mtughost.lab.fleet.enable import EnableCli
from mtughost.lab.fleet.words import split

if TYPE_CHECKING:
    from mtughost.lab.fleet.ios import IosRouter

_INVALID = "{}^\n% Invalid input detected at '^' marker.\n\n"
_DENIED = "Command authorization failed.\n\n"
_SHOWS = (
    "show version",
    "show privilege",
    "show ip interface",
    "show ip interface brief",
    "show ipv6 interface",
    "show ip route",
    "show ip traffic",
    "show interfaces",
    "show running-config",
    "show startup-config",
    "show archive config rollback timer",
    "show archive config differences nvram:startup-config system:running-config",
)
_EXEC = (
    *_SHOWS,
    "enable",
    "terminal length",
    "terminal width",
    "configure terminal",
    "configure terminal revert timer",
    "configure confirm",
    "configure revert now",
    "write memory",
    "reload",
    "exit",
    "end",
)
#: Lines of an interface: the words a ``no`` needs, and what the value must be.
_LINES = {
    "ip address": r"\d+\.\d+\.\d+\.\d+ \d+\.\d+\.\d+\.\d+",
    "ip mtu": r"(6[89]|[7-9]\d|\d{3,4})",
    "ipv6 mtu": r"(12[89]\d|1[3-9]\d\d|[2-9]\d{3})",
    "mtu": r"(6[4-9]|[7-9]\d|\d{3,4})",
    "ip tcp adjust-mss": r"([5-9]\d\d|1[0-3]\d\d|14[0-5]\d|1460)",
    "ipv6 tcp adjust-mss": r"([4-9]\d|[1-9]\d\d|1[0-8]\d\d|19[0-3]\d|1940)",
    "encapsulation dot1Q": r"\d{1,4}( native)?",
    "description": r".+",
    "ip nat": r"(inside|outside)",
    "ipv6 address": r"[0-9A-Fa-f:]{2,39}/\d{1,3}",
    "ip unreachables": r"",
    "shutdown": r"",
}


class IosCli(EnableCli):
    """One login at privilege 15, at 7 for an account that sees a part, at 1 before ``enable``."""

    device: IosRouter
    page = Page(stop=" --More-- ", erase="\b" * 10 + " " * 10 + "\b" * 10)

    def __init__(self, device: IosRouter, account: Account) -> None:
        super().__init__(device, account)
        self._mode: list[str] = []
        self._length: int | None = None

    @property
    def level(self) -> int:
        """Privilege level."""
        above = 7 if self.account.level == "partial" else 15
        return above if self.is_above else 1

    @property
    def prompt(self) -> str:
        """Host name, mode and sign."""
        if self.is_asked:
            return "Password: "
        mode = {(): "", ("config",): "(config)"}.get(tuple(self._mode))
        if mode is None:
            mode = "(config-archive)" if self._mode[-1] == "archive" else "(config-if)"
            mode = "(config-subif)" if "." in self._mode[-1] else mode
        # In configuration mode a long name is cut (netmiko's Cisco driver says so).
        name = self.device.running.hostname
        return f"{name[:20] if mode else name}{mode}{self.sign}"

    @property
    def page_rows(self) -> int:
        """``terminal length`` of this login."""
        return self.device.manners.page_rows if self._length is None else self._length

    def run(self, line: str) -> str:
        """Obey one line."""
        command, _, pipe = line.partition("|")
        words = split(command)
        if not words or words[0] == "!":
            return ""
        text = self._configure(words) if self._mode else self._exec(words)
        return views.filtered(text, pipe.strip()) if pipe else text

    def refused(self, words: list[str], at: int = 0) -> str:
        """Return the complaint with its caret below the word that is wrong."""
        column = len(self.prompt) + sum(len(word) + 1 for word in words[:at])
        return _INVALID.format(" " * column)

    # -- exec ------------------------------------------------------------------------------------
    def _exec(self, words: list[str]) -> str:  # noqa: PLR0911 - one per command
        found, rest = _expanded(words, _EXEC)
        line = " ".join(words)
        said = pings.ios(self.device, line)
        said = self._monitor(line) if said is None else said
        if said is not None:
            return said
        if found == "":
            return self.refused(words, 1 if words[0][:2] == "sh" else 0)
        if found == "?":
            return f'% Ambiguous command:  "{" ".join(words)}"\n'
        if found == "enable":
            return self.enable()
        if not self.is_above and "-config" in found:
            return self.refused(words, 1)
        if found in _SHOWS:
            return views.show(self, found, rest)
        if found == "terminal length" and rest and rest[0].isdecimal():
            self._length = int(rest[0])
            return ""
        if found == "terminal width":
            return ""
        if found == "exit":
            self.ended = True
            return ""
        return self._change(found, words, rest)

    def _monitor(self, line: str) -> str | None:
        """Obey the lines of a packet capture, which needs privileged mode."""
        if self.level < 15 or self.account.level == "read":  # noqa: PLR2004 - may do everything
            return None
        return sniffers.epc(self.device.captures, self.device.tap, self.device.clock, line)

    def _change(  # noqa: PLR0911 - one per command
        self, found: str, words: list[str], rest: list[str]
    ) -> str:
        device = self.device
        if self.account.level == "read":
            return _DENIED
        if self.level < 15:  # noqa: PLR2004 - the level that may do everything
            return self.refused(words)
        if found == "configure terminal":
            self._mode = ["config"]
            return "Enter configuration commands, one per line.  End with CNTL/Z.\n"
        if found == "configure terminal revert timer":
            return self._armed(words, rest)
        if found == "configure confirm":
            return "" if device.confirm() else "%No Rollback Confirmed Change pending\n"
        if found == "configure revert now":
            if device.backup is None:
                return "%No Rollback Confirmed Change pending\n"
            device.revert()
            return (
                f"Rollback Confirmed Change: rolling to:{device.running.archive}-1\n\n"
                "Total number of passes: 1\nRollback Done\n\n"
            )
        if found == "write memory":
            device.save()
            return "Building configuration...\n[OK]\n"
        if found == "reload":
            device.reboot()
        return ""

    def _armed(self, words: list[str], rest: list[str]) -> str:
        device = self.device
        if not rest or not rest[0].isdecimal() or not 1 <= int(rest[0]) <= 120:  # noqa: PLR2004
            return self.refused(words, len(words) - 1)
        if not device.running.archive:
            return "%Please turn config archive on\n"
        if device.backup is not None:
            return "%Rollback Confirmed Change is already pending\n"
        device.arm(int(rest[0]), self.account.username)
        self._mode = ["config"]
        return (
            "Rollback Confirmed Change: Backing up current running config to "
            f"{device.running.archive}-1\n\n"
            "Enter configuration commands, one per line.  End with CNTL/Z.\n"
        )

    # -- configuration ---------------------------------------------------------------------------
    def _configure(self, words: list[str]) -> str:  # noqa: PLR0911 - one per line
        config, line = self.device.running, " ".join(words)
        if words[0] in {"end", "exit"}:
            self._mode = self._mode[:-1] if words[0] == "exit" else []
            return ""
        if words[0] in {"interface", "int"} and len(words) > 1:
            name = "".join(words[1:])
            config.interfaces.setdefault(name, {})
            self._mode = ["config", name]
            return ""
        if line == "archive":
            self._mode = ["config", "archive"]
            return ""
        if self._mode[-1] == "archive" and words[0] == "path" and len(words) > 1:
            config.archive = words[1]
            return ""
        if words[0] == "hostname" and len(words) > 1:
            config.hostname = words[1]
            return ""
        if words[:2] == ["ip", "route"]:
            config.routes.append(line)
            return ""
        if words[:3] == ["no", "ip", "route"] and line[3:] in config.routes:
            config.routes.remove(line[3:])
            return ""
        return self._interface(words) if len(self._mode) > 1 else self.refused(words)

    def _interface(self, words: list[str]) -> str:
        lines = self.device.running.interfaces[self._mode[-1]]
        is_no = words[0] == "no"
        text = " ".join(words[1:] if is_no else words)
        for key, value in _LINES.items():
            if text != key and not text.startswith(key + " "):
                continue
            said = text[len(key) :].strip()
            if is_no:
                lines.pop(key, None)
                if key == "ip unreachables":
                    lines[key] = "no"
                return ""
            if not re.fullmatch(value, said):
                return self.refused(words, len(key.split()))
            lines.pop(key, None) if key == "ip unreachables" else lines.update({key: said})
            return ""
        return self.refused(words, 1)


def _expanded(words: list[str], known: tuple[str, ...]) -> tuple[str, list[str]]:
    """Return the longest known command that the words abbreviate, and what is left."""
    for count in range(len(words), 0, -1):
        fits = [
            command
            for command in known
            if len(command.split()) == count
            and all(k.startswith(w.lower()) for k, w in zip(command.split(), words, strict=False))
        ]
        exact = [command for command in fits if command.split() == words[:count]]
        if exact or len(fits) == 1:
            return (exact or fits)[0], words[count:]
        if fits:
            return "?", []
    return "", words
