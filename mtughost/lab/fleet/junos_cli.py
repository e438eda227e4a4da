"""Junos's command line: operational mode, configuration mode, pipes."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mtughost.lab.fleet import pings
from mtughost.lab.fleet.device import Account, Cli, Page

if TYPE_CHECKING:
    from mtughost.lab.fleet.junos import Srx

_SYNTAX = "{}^\nsyntax error.\n"
_UNKNOWN = "{}^\nunknown command.\n"
#: First words of the hierarchies that exist here.
_TOPS = ("interfaces", "security", "system", "routing-options", "groups", "apply-groups")
_NUMBERS = {
    "mtu": (256, 9192),
    "mss": (64, 65535),
    "tcp-mss": (512, 65535),
    "initial-tcp-mss": (64, 65535),
    "reverse-tcp-mss": (64, 65535),
}


class JunosCli(Cli):
    """One login; ``partial`` may not view the security hierarchy, ``read`` may change nothing."""

    device: Srx
    page = Page(stop="---(more)---", erase="\r            \r")

    def __init__(self, device: Srx, account: Account) -> None:
        super().__init__(device, account)
        self._edits = False
        self._rows: int | None = None

    @property
    def prompt(self) -> str:
        """User, host, and the sign of the mode."""
        name = self.device.value("system host-name")
        return f"{self.account.username}@{name}{'#' if self._edits else '>'} "

    @property
    def above(self) -> str:
        """The level of the configuration, on a line of its own."""
        drawn = self.device.member + ("[edit]" if self._edits else "")
        return f"\r\n{drawn}\r\n" if drawn else ""

    def left(self) -> None:
        """Drop what was not committed, if the candidate was held for this login alone."""
        if self.device.editor is self:
            self.device.editor = None
            self.device.candidate = list(self.device.running)

    @property
    def page_rows(self) -> int:
        """``set cli screen-length`` of this login."""
        return self.device.manners.page_rows if self._rows is None else self._rows

    def run(self, line: str) -> str:
        """Obey one line."""
        command, *pipes = (part.strip() for part in line.split("|"))
        words = command.split()
        if not words:
            return ""
        if self._edits:
            return self._edit(words, pipes)
        return self._operate(words, pipes)

    def _refused(self, form: str, words: list[str], at: int = 0) -> str:
        column = len(self.prompt) + sum(len(word) + 1 for word in words[:at])
        return form.format(" " * column)

    # -- operational mode ------------------------------------------------------------------------
    def _operate(self, words: list[str], pipes: list[str]) -> str:  # noqa: PLR0911 - one per verb
        line = " ".join(words)
        if words[:3] == ["set", "cli", "screen-length"] and len(words) > 3:  # noqa: PLR2004
            self._rows = int(words[3])
            return f"Screen length set to {words[3]}\n"
        if words[:3] == ["set", "cli", "screen-width"]:
            return f"Screen width set to {words[-1]}\n"
        if words[:3] == ["set", "cli", "complete-on-space"]:
            return "Disabling complete-on-space\n"
        if words[0] == "configure":
            return self._configure(words)
        if words[0] in {"exit", "quit"}:
            self.ended = True
            return ""
        if words[:2] == ["show", "configuration"]:
            return self._configuration(words[2:], pipes)
        views = {
            "show version": self._version,
            "show cli authorization": self._authorization,
            "show interfaces": self._interfaces,
            "show interfaces terse": self._terse,
            "show route": self._routes,
            "show route active-path": self._routes,
            "show system commit": self._commits,
            "show system uptime": self._uptime,
            "show chassis hardware": self._chassis,
        }
        if line in views:
            return "".join(views[line]())
        if (said := pings.junos(self.device, line)) is not None:
            return said
        return self._refused(_SYNTAX if words[0] == "show" else _UNKNOWN, words, len(words) - 1)

    def _configure(self, words: list[str]) -> str:
        device = self.device
        if self.account.level != "full":
            return self._refused(_UNKNOWN, words)
        if device.editor is not None:
            return "error: configuration database locked by another user (exclusive)\n"
        warning = ""
        if words[1:] == ["exclusive"]:
            if device.candidate != device.running:
                return "error: configuration database modified\n"
            device.editor = self
            warning = "warning: uncommitted changes will be discarded on exit\n"
        self._edits = True
        return f"{warning}Entering configuration mode\n"

    def _commits(self) -> Iterator[str]:
        for number, entry in enumerate(self.device.commits):
            yield f"{number:<4}{entry}\n"
            if number == 0 and self.device.is_pending:
                yield "    rollback pending\n"
        yield "rescue  2026-01-01 00:00:00 UTC by root via other\n"

    def _uptime(self) -> Iterator[str]:
        start = dt.datetime(2026, 11, 20, 8, tzinfo=dt.UTC)
        now = start + dt.timedelta(seconds=self.device.clock.now_s())
        booted = start + dt.timedelta(seconds=self.device.booted_s)
        yield f"Current time: {now:%Y-%m-%d %H:%M:%S} UTC\n"
        yield f"System booted: {booted:%Y-%m-%d %H:%M:%S} UTC ({self.device.uptime_s}s ago)\n"
        yield "Protocols started: 2026-11-20 08:01:00 UTC (1w0d 15:47 ago)\n"

    def _chassis(self) -> Iterator[str]:
        who = self.device.identity
        yield "Hardware inventory:\n"
        yield "Item             Version  Part number  Serial number     Description\n"
        yield f"Chassis                                {who.serial:<18}{who.model.upper()}\n"

    def _configuration(self, path: list[str], pipes: list[str]) -> str:
        if path and path[0] not in _TOPS:
            return self._refused(_SYNTAX, ["show", "configuration", *path], 2)
        if "display set" not in pipes:
            return "## only '| display set' is emulated\n"
        if self.account.level == "partial":
            # A class that may not view a hierarchy gets nothing, and no word about it.
            return ""
        head = "".join(f"{word} " for word in path)
        return "".join(f"set {line}\n" for line in self.device.running if line.startswith(head))

    def _version(self) -> Iterator[str]:
        who = self.device.identity
        yield f"Hostname: {self.device.value('system host-name')}\nModel: {who.model}\n"
        yield f"Junos: {who.version}\nJUNOS Software Release [{who.version}]\n"

    def _authorization(self) -> Iterator[str]:
        kinds = {"full": "super-user", "read": "read-only-all", "partial": "operator"}
        yield f"Current user: '{self.account.username}' class '{kinds[self.account.level]}'\n"
        yield "Permissions:\n"
        if self.account.level == "full":
            yield "    all         -- All permission bits turned on\n"
        yield "    view        -- Can view current values and statistics\n"
        if self.account.level != "partial":
            yield "    view-configuration-- Can view all configuration (not including secrets)\n"
        yield "Individual command authorization:\n"
        for words in ("Allow", "Deny", "Allow configuration", "Deny configuration"):
            yield f"    {words} regular expression: none\n"

    def _interfaces(self) -> Iterator[str]:
        for index, (name, interface) in enumerate(self.device.units(), start=70):
            port = name.partition(".")[0]
            yield (
                f"Physical interface: {port}, Enabled, Physical link is Up\n"
                "  Link-level type: Ethernet, MTU: 1514, Speed: 1000mbps\n"
                f"  Current address: {self.device.mac_of(port)}\n\n"
                f"  Logical interface {name} (Index {index}) (SNMP ifIndex {index + 400})\n"
                "    Flags: Up SNMP-Traps 0x4000 Encapsulation: ENET2\n"
                "    Input packets : 4711\n    Output packets: 4712\n"
                f"    Protocol inet, MTU: {self.device.mtu_of(name)}\n"
                "      Flags: Sendbcast-pkt-to-re\n"
                "      Addresses, Flags: Is-Preferred Is-Primary\n"
                f"        Destination: {interface.network}, Local: {interface.ip}\n\n"
            )

    def _terse(self) -> Iterator[str]:
        yield f"{'Interface':<24}Admin Link Proto    Local                 Remote\n"
        for port in dict.fromkeys(name.partition(".")[0] for name, _ in self.device.units()):
            yield f"{port:<24}up    up\n"
            for name, interface in self.device.units():
                if name.partition(".")[0] == port:
                    yield f"{name:<24}up    up   inet     {interface.with_prefixlen:<20}\n"

    def _routes(self) -> Iterator[str]:
        yield "\ninet.0: 7 destinations, 7 routes (7 active, 0 holddown, 0 hidden)\n"
        yield "+ = Active Route, - = Last Active, * = Both\n\n"
        for line in self.device.running:
            words = line.split()
            if words[:3] == ["routing-options", "static", "route"]:
                out = self._way_out(words[-1])
                yield f"{words[3]:<18} *[Static/5] 1w2d 03:04:05\n"
                yield f"                    > to {words[-1]} via {out}\n"
        for name, interface in self.device.units():
            yield f"{interface.network!s:<18} *[Direct/0] 1w2d 03:04:05\n"
            yield f"                    > via {name}\n"
            yield f"{interface.ip}/32     *[Local/0] 1w2d 03:04:05\n"
            yield f"                      Local via {name}\n"
        yield "\n"

    def _way_out(self, hop: str) -> str:
        address = ipaddress.ip_address(hop)
        return next((name for name, i in self.device.units() if address in i.network), "")

    # -- configuration mode ----------------------------------------------------------------------
    def _edit(self, words: list[str], pipes: list[str]) -> str:  # noqa: PLR0911 - one per verb
        device, verb = self.device, words[0]
        line = " ".join(words[1:])
        if verb == "set":
            return self._set(words, line)
        if verb == "delete":
            gone = [x for x in device.candidate if x == line or x.startswith(line + " ")]
            device.candidate = [x for x in device.candidate if x not in gone]
            return "" if gone else "warning: statement not found\n"
        if verb == "show" and pipes == ["compare"]:
            return "".join(self._difference())
        if verb == "rollback":
            number = int(words[1]) if len(words) > 1 else 0
            device.candidate = list([device.running, *device.history][number])
            return "load complete\n"
        if verb == "commit":
            return self._commit(words[1:])
        if verb in {"exit", "quit"}:
            self._edits = False
            self.left()
            return "Exiting configuration mode\n"
        return self._refused(_UNKNOWN, words)

    def _set(self, words: list[str], line: str) -> str:
        if len(words) < 2 or words[1] not in _TOPS:  # noqa: PLR2004 - a verb and a hierarchy
            return self._refused(_SYNTAX, words, 1)
        limits = _NUMBERS.get(words[-2])
        if limits and not (words[-1].isdecimal() and limits[0] <= int(words[-1]) <= limits[1]):
            return f"error: Invalid numeric value: '{words[-1]}'\n"
        candidate = self.device.candidate
        head = line.rpartition(" ")[0]
        old = [x for x in candidate if x.rpartition(" ")[0] == head]
        if old and (limits or words[-2] == "host-name"):
            candidate[candidate.index(old[0])] = line
        elif line not in candidate:
            candidate.append(line)
        return ""

    def _difference(self) -> Iterator[str]:
        old, new = self.device.running, self.device.candidate
        yield from (f"- {line}\n" for line in old if line not in new)
        yield from (f"+ {line}\n" for line in new if line not in old)

    def _commit(self, words: list[str]) -> str:
        device = self.device
        if words == ["check"]:
            device.confirm()
            return "configuration check succeeds\n"
        if words[:1] == ["confirmed"]:
            minutes = words[1] if len(words) > 1 else "10"
            if not re.fullmatch(r"[1-9]\d{0,4}", minutes):
                return f"error: Invalid numeric value: '{minutes}'\n"
            device.commit(int(minutes), username=self.account.username)
            return (
                f"commit confirmed will be automatically rolled back in {minutes} minutes unless "
                "confirmed\ncommit complete\n\n"
                f"# commit confirmed will be rolled back in {minutes} minutes\n"
            )
        device.commit(username=self.account.username)
        if words == ["and-quit"]:
            self._edits = False
            self.left()
            return "commit complete\nExiting configuration mode\n"
        return "commit complete\n"
