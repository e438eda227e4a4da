"""PAN-OS's command line: operational and configuration mode, and what it prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mtughost.lab.fleet.device import Account, Cli, Page

if TYPE_CHECKING:
    from mtughost.lab.fleet.panos import PanOs

_UNKNOWN = "Unknown command: {}\n"
_INVALID = "\nInvalid syntax.\n"
_TOPS = ("network", "deviceconfig", "mgt-config", "vsys", "zone")
_LIMITS = {
    "mtu": (576, 9216),
    "ipv4-mss-adjustment": (40, 300),
    "ipv6-mss-adjustment": (60, 300),
}
#: Statements whose last word is their value; all others open a level of their own.
_VALUES = {
    "mtu", "tag", "enable", "enabled", "hostname", "comment", "destination", "ip-address",
    "superuser", "ipv4-mss-adjustment", "ipv6-mss-adjustment", "tunnel-interface",
}  # fmt: skip


class PanOsCli(Cli):
    """One login; ``partial`` administers a part and does not see the interfaces' settings."""

    device: PanOs
    page = Page(stop="lines 1-23 ", erase="\r           \r")

    def __init__(self, device: PanOs, account: Account) -> None:
        super().__init__(device, account)
        self._edits = False
        self._pages = True

    @property
    def prompt(self) -> str:
        """User, host, and the sign of the mode."""
        name = self.device.value("deviceconfig system hostname")
        return f"{self.account.username}@{name}{'#' if self._edits else '>'} "

    @property
    def page_rows(self) -> int:
        """``set cli pager`` of this login."""
        return self.device.manners.page_rows if self._pages else 0

    def run(self, line: str) -> str:
        """Obey one line."""
        words = line.split()
        if not words:
            return ""
        return self._edit(words) if self._edits else self._operate(words)

    # -- operational mode ------------------------------------------------------------------------
    def _operate(self, words: list[str]) -> str:
        line = " ".join(words)
        if words[:3] == ["set", "cli", "pager"]:
            self._pages = words[-1] != "off"
            return ""
        if line == "configure":
            if self.account.level != "full":
                return _UNKNOWN.format(line)
            self._edits = True
            return "Entering configuration mode\n"
        if line in {"exit", "quit"}:
            self.ended = True
            return ""
        views: dict[str, Callable[[], Iterator[str]]] = {
            "show system info": self._info,
            "show interface logical": self._logical,
            "show interface hardware": self._hardware,
            "show routing route": self._routes,
            "show config running": self._config,
            "show config pushed-template": lambda: iter(()),
            "show counter global": self._counters,
            "show clock": lambda: iter(("Sat Nov 21 12:00:00 UTC 2026\n",)),
        }
        if line in views:
            return "".join(views[line]())
        return _INVALID if words[0] == "show" else _UNKNOWN.format(words[0])

    def _info(self) -> Iterator[str]:
        who = self.device.identity
        yield f"hostname: {self.device.value('deviceconfig system hostname')}\n"
        yield f"ip-address: 192.0.2.1\nuptime: 0 days, 0:{self.device.uptime_s // 60:02d}:00\n"
        yield f"model: {who.model}\nserial: {who.serial}\nsw-version: {who.version}\n"
        yield "multi-vsys: off\noperational-mode: normal\n\n"

    def _logical(self) -> Iterator[str]:
        names = ["ethernet1/2", *self.device.names()]
        yield f"total configured logical interfaces: {len(names)}\n\n"
        yield f"{'name':<19} {'id':<5} {'vsys':<4} {'zone':<16} {'forwarding':<24} {'tag':<6} "
        yield "address\n" + " ".join("-" * n for n in (19, 5, 4, 16, 24, 6, 18)) + "\n"
        for number, name in enumerate(names, start=16):
            has = name != "ethernet1/2"
            zone, forward = ("store", "vr:default") if has else ("", "N/A")
            tag = self.device.value(f"{self.device.place_of(name)} tag") or "0"
            address = self.device.value(f"{self.device.place_of(name)} ip") if has else "N/A"
            yield f"{name:<19} {number:<5} 1    {zone:<16} {forward:<24} {tag:<6} {address:<18}\n"

    def _hardware(self) -> Iterator[str]:
        yield "total configured hardware interfaces: 2\n\n"
        yield f"{'name':<23} {'id':<5} {'speed/duplex/state':<25} mac address\n{'-' * 80}\n"
        for number, name in enumerate(("ethernet1/1", "ethernet1/2"), start=16):
            yield f"{name:<23} {number:<5} {'1000/full/up':<25} {self.device.mac_of(name)}\n"
        yield "\naggregation groups: 0\n\n"

    def _routes(self) -> Iterator[str]:
        yield "flags: A:active, ?:loose, C:connect, H:host, S:static, ~:internal, R:rip, O:ospf\n\n"
        yield "\nVIRTUAL ROUTER: default (id 1)\n  ==========\n"
        yield f"{'destination':<43} {'nexthop':<39} metric flags      age   interface\n"
        rows: list[tuple[str, str, str, str, str]] = []
        base = "network virtual-router default routing-table ip static-route out"
        hop = self.device.value(f"{base} nexthop ip-address")
        for name in self.device.names():
            mine = self.device.address_of(name)
            rows.append((str(mine.network), str(mine.ip), "0", "A C", name))
            rows.append((f"{mine.ip}/32", "0.0.0.0", "0", "A H", ""))  # noqa: S104 - as printed
            if hop and mine.ip.__class__(hop) in mine.network:
                rows.insert(0, (self.device.value(f"{base} destination"), hop, "10", "A S", name))
        for dest, via, metric, flags, name in rows:
            yield f"{dest:<43} {via:<39} {metric:<6} {flags:<16} {name:<18}\n"
        yield f"total routes shown: {len(rows)}\n\n"

    def _counters(self) -> Iterator[str]:
        yield "\nGlobal counters:\nElapsed time since last sampling: 3.125 seconds\n\n"
        yield f"{'name':<38} value     rate severity  category  aspect    description\n{'-' * 80}\n"
        yield f"{'flow_fwd_ip_df':<38} {117:>5} {0:>8} drop      flow      forward   DF present\n"
        yield f"{'-' * 80}\nTotal counters shown: 1\n{'-' * 80}\n"

    def _config(self) -> Iterator[str]:
        tree: dict[str, Any] = {}
        for line in self.device.running:
            if self.account.level == "partial" and line.startswith(("mgt-config", "network")):
                continue
            words = line.split()
            is_top = words[0] == "mgt-config"
            path = words if is_top else ["devices", "localhost.localdomain", *words]
            _put(tree, path)
        yield "\nconfig {\n"
        yield from _braces(tree, "  ")
        yield "}\n\n"

    # -- configuration mode ----------------------------------------------------------------------
    def _edit(self, words: list[str]) -> str:
        device, verb, line = self.device, words[0], " ".join(words[1:])
        if verb == "set":
            return self._set(words, line)
        if verb == "delete":
            gone = [x for x in device.candidate if x == line or x.startswith(line + " ")]
            device.candidate = [x for x in device.candidate if x not in gone]
            return "" if gone else "Object doesn't exist\n\n"
        if verb == "commit":
            device.commit()
            return (
                "Commit job 7 is in progress. 55%98%100%\nConfiguration committed successfully\n\n"
            )
        if " ".join(words) == "show config diff":
            old, new = device.running, device.candidate
            return "".join(f"- {x}\n" for x in old if x not in new) + "".join(
                f"+ {x}\n" for x in new if x not in old
            )
        if verb in {"exit", "quit"}:
            self._edits = False
            return "Exiting configuration mode\n"
        return _UNKNOWN.format(verb)

    def _set(self, words: list[str], line: str) -> str:
        if len(words) < 3 or words[1] not in _TOPS:  # noqa: PLR2004 - a verb and a statement
            return _INVALID
        low, high = _LIMITS.get(words[-2], (0, 0))
        if high and not (words[-1].isdecimal() and low <= int(words[-1]) <= high):
            return f"\nServer error : {words[-2]} '{words[-1]}' is not between {low} and {high}\n"
        candidate, head = self.device.candidate, line.rpartition(" ")[0]
        if words[-2] in _VALUES:
            candidate[:] = [x for x in candidate if x.rpartition(" ")[0] != head]
        if line not in candidate:
            candidate.append(line)
        return ""


def _put(tree: dict[str, Any], words: list[str]) -> None:
    if len(words) > 1 and words[-2] in _VALUES:
        head, leaf = words[:-2], f"{words[-2]} {words[-1]}"
    else:
        head, leaf = words[:-1], words[-1]
    for word in head:
        tree = tree.setdefault(word, {})
    tree[leaf] = None


def _braces(tree: dict[str, Any], indent: str) -> Iterator[str]:
    for name, below in tree.items():
        if below is None:
            yield f"{indent}{name};\n"
        else:
            yield f"{indent}{name} {{\n"
            yield from _braces(below, indent + "  ")
            yield f"{indent}}}\n"
