"""A virtual FortiGate: its state, its clamps, its configuration-save timer.

Semantics after Fortinet's knowledge base: interface ``tcp-mss`` (article 221376), policy
``tcp-mss-sender`` and ``-receiver`` (194518), ``cfg-save revert`` (191282, 194054, 191106).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

from mtughost.lab.fleet.clock import Timer
from mtughost.lab.fleet.device import Account, Cli, VirtualDevice
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.fortios_cli import FortiCli
from mtughost.lab.fleet.fortios_tree import SECTIONS, Entry, Table, empty

Config = dict[str, Entry | Table]
_INTERFACE, _POLICY = SECTIONS["system interface"], SECTIONS["firewall policy"]
_GLOBAL = SECTIONS["system global"]
#: From here on an interface's tcp-mss works both ways (article 221376).
_BOTH_WAYS = (7, 0, 1)


class FortiGate(VirtualDevice):
    """One FortiGate without virtual domains.

    Attributes:
        has_vdoms: Virtual domains are on: sections are reached through ``config vdom`` only.
    """

    platform = "fortinet"

    def furnish(self) -> None:
        """Set the state that it leaves the factory with."""
        self.has_vdoms = False
        self.running: Config = {path: empty(section) for path, section in SECTIONS.items()}
        self.settings("system global").values["hostname"] = self.identity.hostname
        self.saved: Config = copy.deepcopy(self.running)
        self._revert: Timer | None = None

    # -- configuration ---------------------------------------------------------------------------
    def settings(self, path: str) -> Entry:
        """Return a section of settings."""
        data = self.running[path]
        assert isinstance(data, Entry)  # noqa: S101 - the schema says so
        return data

    def table(self, path: str) -> dict[str, Entry]:
        """Return the entries of a table."""
        data = self.running[path]
        assert isinstance(data, Table)  # noqa: S101 - the schema says so
        return data.entries

    @property
    def save_mode(self) -> str:
        """``automatic``, ``manual`` or ``revert``."""
        return self.settings("system global").get(_GLOBAL, "cfg-save")

    def applied(self, mode_before: str) -> None:
        """A change became effective; what happens to saved state follows the save mode."""
        if mode_before == "automatic" or self.save_mode == "automatic":
            self.save()
        self.touched()

    def effective(self) -> object:
        """Return running and saved configuration without what arms the undo."""
        found = self.state()
        assert isinstance(found, dict)  # noqa: S101 - as state makes it
        for config in found.values():
            for name in ("cfg-save", "cfg-revert-timeout"):
                config["system global"].values.pop(name, None)
        return found

    @property
    def undo_is_ready(self) -> bool:
        """Whether unsaved changes would be reverted, and that was shown."""
        return self.save_mode == "revert" and self.undo_was_shown

    def save(self) -> None:
        """``execute cfg save``."""
        self.saved = copy.deepcopy(self.running)
        self._stop_timer()

    def touched(self) -> None:
        """Somebody typed: the revert timer, if there is anything to revert, starts anew."""
        self._stop_timer()
        if self.save_mode == "revert" and self.saved != self.running:
            seconds = int(self.settings("system global").get(_GLOBAL, "cfg-revert-timeout"))
            self._revert = self.clock.call_later(seconds, self.reboot)

    def _stop_timer(self) -> None:
        if self._revert is not None:
            self._revert.cancel()
            self._revert = None

    def load_saved(self) -> None:
        """Boot with what was saved."""
        self._stop_timer()
        self.running = copy.deepcopy(self.saved)

    def state(self) -> object:
        """Return running and saved configuration."""
        return {"running": copy.deepcopy(self.running), "saved": copy.deepcopy(self.saved)}

    def command_line(self, account: Account) -> Cli:
        """Return a FortiOS command line."""
        return FortiCli(self, account)

    def log_line(self) -> str:
        """Return a line such as the console prints."""
        return f"{self.identity.hostname}: link monitor event {self.rng.randrange(10_000)}"

    # -- what it does ----------------------------------------------------------------------------
    def mtu_of(self, name: str) -> int:
        """Return an interface's effective MTU; a VLAN without its own follows its parent."""
        entry = self.table("system interface").get(name)
        if entry is None:
            return 1500
        if entry.get(_INTERFACE, "mtu-override") == "enable":
            return int(entry.get(_INTERFACE, "mtu"))
        parent = entry.values.get("interface", "")
        is_tunnel = entry.values.get("type") == "tunnel"
        return self.mtu_of(parent) - (62 if is_tunnel else 0) if parent else 1500

    def kind_of(self, name: str) -> str:
        """Return an interface's type; an entry with a VLAN tag is a VLAN."""
        values = self.table("system interface")[name].values
        return "vlan" if "vlanid" in values else values.get("type", "physical")

    def forward(self, packet: Handshake) -> int:
        """Rewrite the MSS as interfaces and policies say; never to more."""
        return min([packet.mss, *self._interface_clamps(packet), *self._policy_clamps(packet)])

    def _interface_clamps(self, packet: Handshake) -> Iterator[int]:
        if packet.family == "ipv6":
            return  # not documented for IPv6: this emulation leaves it alone
        names = {packet.enters}
        if self.version >= _BOTH_WAYS:
            names.add(packet.leaves)
        for name in names:
            entry = self.table("system interface").get(name)
            mss = int(entry.get(_INTERFACE, "tcp-mss")) if entry is not None else 0
            if mss:
                yield mss

    def _policy_clamps(self, packet: Handshake) -> Iterator[int]:
        sides = (packet.enters, packet.leaves)
        source, target = sides if packet.is_syn else sides[::-1]
        for policy in self.table("firewall policy").values():
            if policy.get(_POLICY, "status") == "disable":
                continue
            if self._holds(policy, "srcintf", source) and self._holds(policy, "dstintf", target):
                which = "tcp-mss-sender" if packet.is_syn else "tcp-mss-receiver"
                mss = int(policy.get(_POLICY, which))
                if mss:
                    yield mss
                return

    def _holds(self, policy: Entry, attr: str, name: str) -> bool:
        names = policy.values.get(attr, "").split(" ")
        zones = self.table("system zone")
        members = [m for n in names if n in zones for m in zones[n].values["interface"].split(" ")]
        return "any" in names or name in names or name in members

    @property
    def version(self) -> tuple[int, ...]:
        """The version as numbers."""
        return tuple(int(part) for part in re.findall(r"\d+", self.identity.version)[:3])
