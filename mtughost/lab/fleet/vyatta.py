"""What virtual VyOS and EdgeOS have in common: configuration, confirm, a Linux kernel."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from mtughost.lab.fleet.clock import Timer
from mtughost.lab.fleet.device import Account, Cli, VirtualDevice
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.router import MssRule, Nic, Views, rewritten, sysctl_text
from mtughost.lab.fleet.vyatta_cli import TAGS, VyattaCli

_MINUTE_S = 60
_SECRETS = re.compile(r"(pass|secret|key|psk|token|community)[^{]*$", re.IGNORECASE)
_SYSCTL = "/sbin/sysctl "
_KEYS = (
    "net.ipv4.ip_no_pmtu_disc net.ipv4.tcp_mtu_probing net.ipv4.tcp_base_mss "
    "net.ipv4.ip_forward net.ipv4.ip_forward_use_pmtu net.ipv4.route.min_pmtu "
    "net.ipv4.tcp_timestamps net.ipv6.conf.all.forwarding"
)
_VERSION_NOTE = (
    "\n\n/* Warning: Do not remove the following line. */\n"
    '/* === vyatta-config-version: "config-management@1:system@5" === */\n'
)
_HOP6 = "protocols static route6 ::/0 next-hop"
_SAVED = "grep -viE '(pass|secret|key|psk|token|community)[^{]*$' /config/config.boot"


class VyattaRouter(VirtualDevice):
    """One router.

    Attributes:
        running: Active configuration, one line per value, in ``set`` form without the word.
        saved: What a boot loads: ``/config/config.boot``.
        brackets_paste: Whether its line editor switches brackets around pasted text.
        length_lines: What switches the pager off.
        single: Nodes that have one value.
        question: What ``commit-confirm`` asks.
    """

    brackets_paste = False
    length_lines: tuple[list[str], ...] = ()
    single: frozenset[str] = frozenset({"mtu", "mss", "adjust-mss", "adjust-mss6", "host-name"})
    question = "Proceed? [confirm]"

    def furnish(self) -> None:
        """Set the state that it leaves the factory with."""
        self.running = [
            f"system host-name {self.identity.hostname}",
            "system config-management commit-revisions 100",
        ]
        self.saved = list(self.running)
        self._timer: Timer | None = None

    def command_line(self, account: Account) -> Cli:
        """Return a command line."""
        return VyattaCli(self, account)

    def load_saved(self) -> None:
        """Boot."""
        self._stop_timer()
        self.running = list(self.saved)

    def state(self) -> object:
        """Return running and saved configuration."""
        return {"running": sorted(self.running), "saved": sorted(self.saved)}

    @property
    def undo_is_ready(self) -> bool:
        """Whether a reboot is pending: the commit that arms it says so in its answer."""
        return self.is_pending

    # -- commit ----------------------------------------------------------------------------------
    @property
    def is_pending(self) -> bool:
        """Whether a commit waits for its confirmation."""
        return self._timer is not None

    def commit(self, candidate: list[str], minutes: int = 0) -> str:
        """Make a candidate run; with ``minutes`` only until then."""
        self.running = list(candidate)
        if not minutes:
            return ""
        self._timer = self.clock.call_later(minutes * _MINUTE_S, self.expire)
        return self.armed_text(minutes)

    def save(self) -> str:
        """Let the running configuration last."""
        self.saved = list(self.running)
        return "Saving configuration to '/config/config.boot'...\nDone\n"

    def confirm(self) -> str:
        """Stop the timer."""
        if self._timer is None:
            return "No confirm pending\n"
        self._stop_timer()
        return self.confirmed_text

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expire(self) -> None:
        """Nobody confirmed: the router boots what was saved."""
        self._timer = None
        self.reboot()

    confirmed_text = "Reboot timer stopped\n"

    def warning(self, minutes: int) -> str:
        """Return what ``commit-confirm`` says before it asks."""
        return (
            f"commit-confirm will automatically reboot in {minutes} minutes unless changes are "
            "confirmed.\n"
        )

    def armed_text(self, minutes: int) -> str:
        """Return what ``commit-confirm`` says once the timer runs."""
        return f"Initialized commit-confirm; {minutes} minutes to confirm before reboot\n"

    # -- what it is ------------------------------------------------------------------------------
    def value(self, path: str) -> str:
        """Return the last word of a configuration line, ``""`` where there is none."""
        found = [line for line in self.running if line.rpartition(" ")[0] == path]
        return found[-1].rpartition(" ")[2] if found else ""

    def values(self, path: str) -> list[str]:
        """Return all values of a configuration line that may stand there several times."""
        return [x.rpartition(" ")[2] for x in self.running if x.rpartition(" ")[0] == path]

    def nics(self) -> tuple[Nic, ...]:
        """Return its interfaces as the configuration makes them."""
        return tuple(self._nics())

    def _nics(self) -> Iterator[Nic]:
        paths: dict[str, str] = {}
        for line in self.running:
            words = line.split()
            if words[0] == "interfaces" and len(words) > 3:  # noqa: PLR2004 - type, name, what
                paths.setdefault(words[2], " ".join(words[:3]))
                if words[3] == "vif":
                    paths.setdefault(f"{words[2]}.{words[4]}", " ".join(words[:5]))
        for name, path in paths.items():
            parent = name.partition(".")[0] if "." in name else ""
            yield Nic(
                name=name,
                mtu=int(self.value(f"{path} mtu") or 1500),
                mac=self.mac_of(name),
                address=next((x for x in self.values(f"{path} address") if ":" not in x), ""),
                address6=next((x for x in self.values(f"{path} address") if ":" in x), ""),
                parent=parent,
                kind="vlan" if parent else "",
            )

    @abstractmethod
    def knows(self, words: list[str]) -> bool:
        """Say whether a path exists in this version's configuration."""

    @abstractmethod
    def rules(self) -> tuple[MssRule, ...]:
        """Return what rewrites the MSS, from the running configuration."""

    @abstractmethod
    def filter_views(self) -> dict[str, str]:
        """Return what the packet filter's programs print."""

    @abstractmethod
    def version_text(self) -> str:
        """Return ``show version``."""

    def mtu_of(self, name: str) -> int:
        """Return the MTU of an interface."""
        return next((nic.mtu for nic in self.nics() if nic.name == name), 1500)

    def forward(self, packet: Handshake) -> int:
        """Rewrite the MSS as the kernel's rules do."""
        return rewritten(packet, self.rules(), {nic.name: nic.mtu for nic in self.nics()})

    # -- what it prints --------------------------------------------------------------------------
    def views(self) -> dict[str, str]:
        """Return what each line of operational mode prints."""
        return {
            **Views(self.nics(), self.way_out(), self.value(_HOP6)).answers(),
            **self.filter_views(),
            "show version": self.version_text(),
            "show configuration commands": self.commands_text(),
            "uname -n": f"{self.value('system host-name')}\n",
            "sudo -n id": "uid=0(root) gid=0(root) groups=0(root)\n",
            f"{_SYSCTL}{_KEYS}": sysctl_text(_KEYS.split()),
            _SAVED: self.boot_text(),
            "cat /proc/sys/kernel/random/boot_id": f"{self.boot_id}\n",
            "systemctl is-active commit-confirm.timer": "active\n"
            if self.is_pending
            else "inactive\n",
            "vyos-config-to-commands /config/config.boot": _commands(self.saved, self.quoted),
            "show configuration": _tree(self.running),
            "cat /config/config.boot": _tree(self.saved) + _VERSION_NOTE,
        }

    next_hop_path = ""

    def way_out(self) -> tuple[str, str]:
        """Return the next hop of the default route and its interface."""
        hop = self.value(self.next_hop_path)
        holds = (n for n in self.nics() if n.address and hop and ip_address(hop) in n.network)
        return hop, next((nic.name for nic in holds), "")

    def commands_text(self) -> str:
        """Return ``show configuration commands``."""
        return _commands(self.running, self.quoted)

    def quoted(self, line: str) -> str:
        """Return a line as it is printed: with its value in quotes."""
        head, _, value = line.rpartition(" ")
        return line if self._is_node(line) else f"{head} '{value}'"

    def _is_node(self, line: str) -> bool:
        """Say whether a line ends in a node that has no value."""
        return line.rsplit(maxsplit=1)[-1] in {"ip", "ipv6", "options", "firewall", "disable"}

    @property
    def boot_id(self) -> str:
        """A number that every boot chooses anew."""
        return f"00000000-0000-4000-8000-{self.reboots:012x}"

    def boot_text(self) -> str:
        """Return ``/config/config.boot`` without the lines that may hold a secret."""
        text = _tree(self.saved)
        return "".join(f"{x}\n" for x in text.split("\n")[:-1] if not _SECRETS.search(x))


def _commands(lines: list[str], quoted: Callable[[str], str]) -> str:
    return "".join(f"set {quoted(line)}\n" for line in sorted(lines))


def _tree(lines: list[str]) -> str:
    return "".join(_braces(sorted(line.split() for line in lines), 0))


def _braces(paths: list[list[str]], depth: int) -> Iterator[str]:
    indent = "    " * depth
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for path in paths:
        is_tag = path[0] in TAGS and len(path) > 1
        head = tuple(path[:2]) if is_tag else tuple(path[:1])
        groups.setdefault(head, []).append(path[len(head) :])
    for head, below in groups.items():
        leaves = [rest for rest in below if len(rest) <= 1]
        if len(head) == 1 and len(leaves) == len(below):
            for rest in leaves:
                yield f"{indent}{' '.join((*head, *rest))}\n"
        else:
            yield f"{indent}{' '.join(head)} {{\n"
            yield from _braces([rest for rest in below if rest], depth + 1)
            yield f"{indent}}}\n"
