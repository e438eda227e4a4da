"""The command line of IQ Engine: one mode, abbreviations, the caret, ``| include``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtughost.lab.fleet import hiveos_views as views
from mtughost.lab.fleet.device import Cli, Page
from mtughost.lab.fleet.words import candidates

if TYPE_CHECKING:
    from mtughost.lab.fleet.hiveos import HiveAp

#: What a login that may only see a part does not know.
_HIDDEN = ("show aaa radius-server", "show idm", "show logging", "show interface mgt0")
_SHOWS = {
    "show version": views.version,
    "show hw-info": views.hw_info,
    "show running-config": views.running_config,
    "show interface mgt0": views.mgt0,
    "show interface mgt0 dhcp client": views.dhcp_client,
    "show interface eth0": views.eth0,
    "show ip route": views.ip_route,
    "show dns": views.dns,
    "show capwap client": views.capwap_client,
    "show hivemanager": views.hivemanager,
    "show idm": views.idm,
    "show aaa radius-server": views.radius_server,
    "show logging buffered": views.buffered,
    "show logging flash": views.flash,
    "show clock": views.clock,
    "show time-zone": views.time_zone,
    "show ntp": views.ntp,
}
_LINES = (
    *_SHOWS,
    "ping",
    "console page",
    "console timeout",
    "interface mgt0 mtu",
    "no interface mgt0 mtu",
    "aaa radius-server proxy radsec tls-port",
    "no aaa radius-server proxy radsec tls-port",
    "exec data-collection push",
    "hostname",
    "save config",
    "reboot",
    "exit",
    "quit",
)
_MTU_RANGE = range(100, 1501)


class HiveCli(Cli):
    """One login."""

    device: HiveAp
    page = Page(stop=" --More-- ", erase="\b" * 10 + " " * 10 + "\b" * 10)
    banner = "Copyright (c) 2006-2026 Extreme Networks, Inc.\n\n"

    @property
    def prompt(self) -> str:
        """Host name and sign; there is only one mode."""
        return f"{self.device.running.hostname}#"

    @property
    def page_rows(self) -> int:
        """``console page``, which is the same for all logins."""
        return self.device.running.page_lines

    def run(self, line: str) -> str:
        """Obey one line, and write it into the log."""
        command, _, pipe = line.partition("|")
        words = command.split()
        if not words:
            return ""
        if self.account.username != "factory":
            self.device.note(self.account.username, line)
        known = [each for each in _LINES if self._may(each)]
        path, rest, bad = _matched(words, known)
        if bad:
            column = len(self.prompt) + sum(len(word) + 1 for word in words[: len(path)])
            return f"\n{' ' * column}^-- {bad}\n"
        name = " ".join(path)
        text = self._obey(name, rest) if name in known else "\nERROR: Incomplete command\n"
        return _filtered(text, pipe.split()) if pipe else text

    def _may(self, line: str) -> bool:
        if self.account.level == "full":
            return True
        is_show = line.startswith(("show", "ping", "exit", "quit"))
        return is_show and (self.account.level == "read" or not line.startswith(_HIDDEN))

    def _obey(self, name: str, rest: list[str]) -> str:
        device = self.device
        if name in _SHOWS:
            return "\n" + _SHOWS[name](device)
        if name == "ping":
            return views.ping(device, rest)
        if name in {"exit", "quit"}:
            self.ended = True
        elif name == "save config":
            device.saved = device.running
        elif name == "reboot":
            device.reboot()
        return self._set(name, rest)

    def _set(self, name: str, rest: list[str]) -> str:
        device, config = self.device, self.device.running
        value = int(rest[0]) if rest and rest[0].isdecimal() else None
        bad = "\nERROR: Invalid parameter(s)\n"
        if name == "console page" and value is not None:
            device.set(page_lines=value)
        elif name == "no interface mgt0 mtu":
            device.set(mtu_bytes=1500)
        elif name == "interface mgt0 mtu":
            if value not in _MTU_RANGE:
                return bad
            device.set(mtu_bytes=value)
        elif name == "aaa radius-server proxy radsec tls-port" and value is not None:
            device.set(tls_ports=tuple(dict.fromkeys((*config.tls_ports, value))))
        elif name == "no aaa radius-server proxy radsec tls-port" and value is not None:
            device.set(tls_ports=tuple(port for port in config.tls_ports if port != value))
        elif name == "hostname" and rest:
            device.set(hostname=rest[0])
        return ""


def _matched(words: list[str], known: list[str]) -> tuple[list[str], list[str], str]:
    """Return the command's full words, what follows them, and what is wrong with the next word."""
    path: list[str] = []
    for index, word in enumerate(words):
        here = [line.split() for line in known if line.split()[: len(path)] == path]
        nexts = {line[len(path)] for line in here if len(line) > len(path)}
        if not nexts:
            return path, words[index:], ""
        found = candidates(word, sorted(nexts))
        if len(found) > 1:
            return path, [], "Ambiguous input"
        if not found or found[0] not in nexts:
            takes_more = " ".join(path) in known and not " ".join(path).startswith("show")
            return path, words[index:], "" if takes_more else "unknown keyword or invalid input"
        path.append(found[0])
    return path, [], ""


def _filtered(text: str, pipe: list[str]) -> str:
    """Keep the lines of ``| include WORD``."""
    if len(pipe) < 2 or pipe[0] not in {"include", "exclude"}:  # noqa: PLR2004 - word and value
        return text
    keep = pipe[0] == "include"
    lines = [line for line in text.split("\n") if line and (pipe[1] in line) == keep]
    return "".join(line + "\n" for line in lines)
