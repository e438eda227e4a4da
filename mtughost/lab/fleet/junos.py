"""A virtual SRX: active and candidate configuration, commit, commit confirmed, rollback.

After Juniper's documents: ``all-tcp`` rewrites every TCP handshake through the box, ``ipsec-vpn``
beats it for packets that enter a tunnel; without a confirming commit the old state comes back.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator

from mtughost.lab.fleet.clock import Timer
from mtughost.lab.fleet.device import Account, Cli, VirtualDevice
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.junos_cli import JunosCli
from mtughost.lab.fleet.plans import GatewayPlan

NAMES = {"ap": "irb.20", "pos": "irb.30", "wan": "ge-0/0/0.0"}
_MINUTE_S = 60
_KEPT = 50


class Srx(VirtualDevice):
    """One SRX.

    Attributes:
        running: Active configuration, in ``set`` form without the word; ``saved`` is the same list,
            because a commit is what saves.
        candidate: What is edited, shared by all who edit.
        commits: One line per commit as ``show system commit`` prints it, the newest first.
        editor: The command line that holds the candidate for itself (``configure exclusive``).
        history: Earlier configurations, the newest first: ``rollback 1`` is the first.
    """

    platform = "juniper_junos"
    #: What a member of a cluster calls itself, such as ``{primary:node0}``.
    member = ""

    def furnish(self) -> None:
        """Set the state that it leaves the factory with."""
        self.running: list[str] = [f"system host-name {self.identity.hostname}"]
        self.candidate = list(self.running)
        self.history: list[list[str]] = []
        self.commits: list[str] = []
        self.editor: Cli | None = None
        self._timer: Timer | None = None

    @property
    def saved(self) -> list[str]:
        """What a boot loads."""
        return self.running

    def command_line(self, account: Account) -> Cli:
        """Return a Junos command line."""
        return JunosCli(self, account)

    def load_saved(self) -> None:
        """Boot: a pending rollback is done, as RFC 6241 demands of a server."""
        if self._timer is not None:
            self._expire()
        self.candidate = list(self.running)

    def state(self) -> object:
        """Return active and candidate configuration."""
        return {"running": list(self.running), "candidate": list(self.candidate)}

    @property
    def is_pending(self) -> bool:
        """Whether a confirmed commit waits for its confirmation."""
        return self._timer is not None

    def effective(self) -> object:
        """Return the active configuration: a candidate does nothing."""
        return list(self.running)

    @property
    def undo_is_ready(self) -> bool:
        """Whether a rollback is pending: the commit that arms it says so in its answer."""
        return self.is_pending

    def commit(self, minutes: int = 0, *, username: str = "root") -> None:
        """Make the candidate active; with ``minutes`` only for a while. Any commit confirms."""
        self._stop_timer()
        words = f" commit confirmed, rollback in {minutes}mins" if minutes else ""
        self._enter(f"by {username} via cli{words}")
        if self.candidate != self.running or minutes:
            self.history = [self.running, *self.history][:_KEPT]
            self.running = list(self.candidate)
        if minutes:
            self._timer = self.clock.call_later(minutes * _MINUTE_S, self._expire)

    def confirm(self) -> None:
        """``commit check`` also confirms."""
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _enter(self, words: str) -> None:
        at = dt.datetime(2026, 11, 21, tzinfo=dt.UTC) + dt.timedelta(seconds=self.clock.now_s())
        self.commits = [f"{at:%Y-%m-%d %H:%M:%S} UTC {words}", *self.commits][:_KEPT]

    def _expire(self) -> None:
        self._stop_timer()
        self._enter("by root via other")
        self.running = list(self.history[0])
        self.candidate = list(self.running)

    # -- what it does ----------------------------------------------------------------------------
    def value(self, path: str) -> str:
        """Return the last word of a configuration line, ``""`` where there is none."""
        found = [line for line in self.running if line.rpartition(" ")[0] == path]
        return found[-1].rpartition(" ")[2] if found else ""

    def mtu_of(self, name: str) -> int:
        """Return the IP MTU of a logical interface."""
        port, _, unit = name.partition(".")
        own = self.value(f"interfaces {port} unit {unit} family inet mtu")
        media = self.value(f"interfaces {port} mtu")
        return int(own) if own else int(media) - 14 if media else 1500

    def units(self) -> Iterator[tuple[str, ipaddress.IPv4Interface]]:
        """Yield logical interfaces with their addresses."""
        for line in self.running:
            words = line.split()
            if words[0] == "interfaces" and words[4:7] == ["family", "inet", "address"]:
                yield f"{words[1]}.{words[3]}", ipaddress.IPv4Interface(words[7])

    def forward(self, packet: Handshake) -> int:
        """Rewrite the MSS; never to more. For IPv6 the documents promise nothing."""
        if packet.family == "ipv6":
            return packet.mss
        tunnel = self.value("security flow tcp-mss ipsec-vpn mss")
        if packet.leaves.startswith("st0") and tunnel:
            return min(packet.mss, int(tunnel))
        own = self._policy_clamp(packet)
        value = own if own is not None else self.value("security flow tcp-mss all-tcp mss")
        return min(packet.mss, int(value)) if value else packet.mss

    def _policy_clamp(self, packet: Handshake) -> str | None:
        """Return the value of the policy's own clamp, which beats the device's."""
        sides = (packet.enters, packet.leaves)
        client, server = (self._zone(name) for name in (sides if packet.is_syn else sides[::-1]))
        head = f"security policies from-zone {client} to-zone {server} policy "
        names = [line[len(head) :].split()[0] for line in self.running if line.startswith(head)]
        which = "initial-tcp-mss" if packet.is_syn else "reverse-tcp-mss"
        for name in names[:1]:
            return self.value(f"{head}{name} then permit tcp-options {which}") or None
        return None

    def _zone(self, name: str) -> str:
        head, tail = "security zones security-zone ", f" interfaces {name}"
        found = (x for x in self.running if x.startswith(head) and x.endswith(tail))
        return next((x[len(head) : -len(tail)] for x in found), "")

    def log_line(self) -> str:
        """Return a line such as ``monitor start messages`` shows."""
        return (
            f"Nov 21 12:00:00  {self.identity.hostname} mgd[4711]: event {self.rng.randrange(99)}"
        )


def lines_of(plan: GatewayPlan) -> list[str]:
    """Return what is typed to make an SRX that routes both VLANs to the WAN."""
    return ["configure", *(f"set {line}" for line in _lines(plan)), "commit and-quit"]


def _lines(plan: GatewayPlan) -> Iterator[str]:
    yield f"interfaces ge-0/0/0 unit 0 family inet address {plan.wan_address}"
    if plan.wan_mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
        yield f"interfaces ge-0/0/0 unit 0 family inet mtu {plan.wan_mtu_bytes}"
    for unit, address in ((20, plan.ap_address), (30, plan.pos_address)):
        yield f"interfaces irb unit {unit} family inet address {address}"
    if plan.ap_mtu_bytes != 1500:  # noqa: PLR2004 - Ethernet's
        yield f"interfaces irb unit 20 family inet mtu {plan.ap_mtu_bytes}"
    yield f"routing-options static route 0.0.0.0/0 next-hop {plan.wan_next_hop}"
    yield "security zones security-zone untrust interfaces ge-0/0/0.0"
    yield "security zones security-zone trust interfaces irb.20"
    policy = "security policies from-zone trust to-zone untrust policy out"
    yield f"{policy} match source-address any"
    yield f"{policy} match destination-address any"
    yield f"{policy} match application any"
    yield f"{policy} then permit"
    for clamp in plan.clamps:
        # One value for the whole box; a clamp for the tills only has no counterpart.
        where = "ipsec-vpn" if clamp.where == "pos" else "all-tcp"
        yield f"security flow tcp-mss {where} mss {clamp.mss}"
