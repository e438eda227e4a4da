"""A virtual Linux gateway that can be changed: guard, undo, saved files, virtual time.

It answers the lines of ``tasks/linux.yaml`` and ``templates/linux`` in process, so that thousands
of changes with faults in them run in a minute. Its own state is the judge: what it runs, what its
next boot would load, and whether a changing line came before its guard had been read back. The
lines themselves are proven on the real kernel; here it is the engine that is tested.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from mtughost.lab.fleet.clock import Timer, VirtualClock
from mtughost.lab.fleet.shell_state import Configuration, NftTable, ShellError, stanza_mtu

_RULE = "{} tcp flags syn counter tcp option maxseg size set rt mtu"
INTERFACES = """\
auto lo
iface lo inet loopback
auto vlan20
iface vlan20 inet static
    address 10.20.0.1/24
"""


def shop_configuration() -> Configuration:
    """Return a gateway that clamps vlan30 only, as in the first field story."""
    table = NftTable(chain="forward")
    table.add(_RULE.format('iifname "vlan30" oifname "wan0"'))
    table.add(_RULE.format('iifname "wan0" oifname "vlan30"'))
    ipt = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
    return Configuration(
        tables={"inet clamp": table},
        mangle={
            "4": [f"-A FORWARD -i vlan30 -o wan0 {ipt}", f"-A FORWARD -i wan0 -o vlan30 {ipt}"],
            "6": [],
        },
        mtus={"vlan20": 1500, "vlan30": 1500, "wan0": 1492},
    )


@dataclass
class Papers:
    """The guard's directory of one run."""

    window_s: int = 0
    restore: Callable[[], None] | None = None
    token: str = "none"  # noqa: S105 - the name of a state
    started_s: int | None = None
    timer: Timer | None = None
    saved: dict[str, object] = field(default_factory=dict)
    read_back: bool = False


class ShellGateway:
    """One gateway.

    Attributes:
        running: What it runs.
        boots: What its next boot would run.
        interfaces: ``/etc/network/interfaces``.
        papers: Guards by token.
        broken_promises: What the tool must never do, in words; empty when it kept its promises.
        changes: How many changing lines it was sent.
        restore_fails: Makes the device's own restore fail.
        disk_full: Makes everything that writes a file fail.
    """

    def __init__(self, name: str, *, configuration: Configuration | None = None) -> None:
        self.name = name
        self.clock = VirtualClock()
        self.running = configuration or shop_configuration()
        self.boots = self.running.copy()
        self.interfaces = INTERFACES
        self.papers: dict[str, Papers] = {}
        self.boot_number = 1
        self.booted_s = 0.0
        self.broken_promises: list[str] = []
        self.changes = 0
        self.restore_fails = False
        self.disk_full = False

    # -- what a tester may do ------------------------------------------------------------------

    def reboot(self) -> None:
        """Lose what is only running; ``/run`` is empty afterwards."""
        for papers in self.papers.values():
            if papers.timer is not None:
                papers.timer.cancel()
        self.papers.clear()
        self.running = self.boots.copy()
        self.boot_number += 1
        self.booted_s = self.clock.now_s()

    def uptime_s(self) -> int:
        """Return whole seconds since boot."""
        return int(self.clock.now_s() - self.booted_s) + 100

    # -- the shell -----------------------------------------------------------------------------

    def run(self, line: str) -> tuple[str, int, str]:
        """Run one line; return output, exit code and error output."""
        gate = _GATE.match(line)
        if gate:
            papers = self.papers.get(gate[1])
            if papers is None or papers.token != "armed":  # noqa: S105 - a state's name
                return "", 1, ""
            line = line[gate.end() :]
        for pattern, name in _LINES:
            found = pattern.match(line)
            if found:
                try:
                    out = getattr(self, name)(*found.groups())
                except ShellError as error:
                    return "", 1, f"{error}\n"
                return out or "", 0, ""
        return "", 127, f"sh: not understood: {line[:80]}\n"

    def _writes_file(self) -> None:
        if self.disk_full:
            raise ShellError("No space left on device")

    def _changing(self) -> None:
        self.changes += 1
        armed = [one for one in self.papers.values() if one.token == "armed" and one.read_back]  # noqa: S105
        if not armed:
            self.broken_promises.append(
                "a changing line came before a guard was read back as armed"
            )

    # reading

    def _state_relevant(self, name: str) -> str:
        table = self.running.tables.get(name)
        return table.text(name, handles=True) if table else "(no such table)\n"

    def _ruleset(self) -> str:
        return self.running.ruleset()

    def _links(self) -> str:
        return "".join(self._link(name) for name in self.running.mtus)

    def _one_link(self, name: str) -> str:
        if name not in self.running.mtus:
            raise ShellError(f'Device "{name}" does not exist.')
        return self._link(name)

    def _link(self, name: str) -> str:
        number = list(self.running.mtus).index(name) + 2
        mtu = self.running.mtus[name]
        return f"{number}: {name}: <BROADCAST,UP> mtu {mtu} qdisc noqueue state UP mode DEFAULT\n"

    def _saved_ruleset(self) -> str:
        return self.boots.ruleset()

    def _saved_iptables(self, six: str | None) -> str:
        return self.boots.iptables_save("6" if six else "4")

    def _running_iptables(self, six: str | None) -> str:
        return self.running.iptables_save("6" if six else "4")

    def _saved_interfaces(self) -> str:
        return self.interfaces

    def _boot(self) -> str:
        return f"boot-{self.boot_number}\n{self.uptime_s()}.25 200.00\n"

    def _identity(self) -> str:
        return f"{self.name}\n6.1.0\n{self.name}-machine\n"

    # changing

    def _nft(self, check: str | None, script: str) -> None:
        work = self.running.copy()
        work.nft(script)
        if not check:
            self._changing()
            self.running = work

    def _delete_by_comment(self, name: str, comment: str) -> None:
        self._changing()
        self.running.delete_by_comment(name, comment)

    def _iptables(self, six: str | None, what: str, chain: str, rest: str) -> None:
        self._changing()
        family = "6" if six else "4"
        if what == "I":
            number, _, rule = rest.partition(" ")
            self.running.insert(family, chain, int(number), rule)
        else:
            self.running.delete(family, chain, rest)

    def _set_mtu(self, name: str, mtu: str) -> None:
        self._changing()
        self.running.mtus[name] = int(mtu)

    def _preview(self) -> None:
        """Check and change nothing."""

    # the guard

    def _guard_make(self, token: str) -> None:
        self._writes_file()
        if token in self.papers:
            raise ShellError("File exists")
        self.papers[token] = Papers()

    def _guard_dump_nft(self, token: str, name: str) -> None:
        self._writes_file()
        kept = self.running.copy().tables.get(name)
        if kept is None:
            raise ShellError("Error: No such file or directory")

        def restore() -> None:
            self.running.tables[name] = kept

        self._papers(token).restore = restore

    def _guard_dump_iptables(self, token: str) -> None:
        self._writes_file()
        kept = self.running.copy().mangle

        def restore() -> None:
            self.running.mangle = kept

        self._papers(token).restore = restore

    def _guard_undo(self, token: str, words: str) -> None:
        self._writes_file()
        lines = shlex.split(words)

        def restore() -> None:
            for line in lines:
                code = self.run(line)[1]
                if code:
                    raise ShellError(f"{line}: {code}")

        self._papers(token).restore = restore

    def _guard_script(self) -> None:
        self._writes_file()

    def _guard_start(self, token: str, window: str) -> None:
        self._writes_file()
        papers = self._papers(token)
        papers.token, papers.window_s = "armed", int(window)
        papers.started_s = self.uptime_s()
        papers.timer = self.clock.call_later(papers.window_s, lambda: self._fire(token))

    def _papers(self, token: str) -> Papers:
        if token not in self.papers:
            raise ShellError("No such file or directory")
        return self.papers[token]

    def _fire(self, token: str) -> None:
        papers = self.papers.get(token)
        if papers is not None and papers.token == "armed":  # noqa: S105 - a state's name
            self._restore(papers)

    def _restore(self, papers: Papers) -> bool:
        changes, promises = self.changes, list(self.broken_promises)
        good = papers.restore is not None and not self.restore_fails
        if papers.restore is not None and good:
            try:
                papers.restore()
            except ShellError:
                good = False
        # The device's own undo is no line of the tool's.
        self.changes, self.broken_promises = changes, promises
        papers.token = "reverted" if good else "revert-failed"
        return good

    def _guard_read(self, token: str) -> str:
        papers = self.papers.get(token)
        if papers is None:
            return "token missing\n"
        papers.read_back = papers.read_back or papers.token == "armed"  # noqa: S105
        started = "" if papers.started_s is None else f"{papers.started_s} {papers.window_s}"
        alive = "alive" if papers.token == "armed" else "gone"  # noqa: S105
        sums = "".join(f"{digit * 64}  restore.{digit}\n" for digit in "ab")
        return (
            f"token {papers.token}\nuptime {self.uptime_s()}\nstarted {started}\npid 77\n"
            f"sleeper {alive}\nboot boot-{self.boot_number}\n{sums}"
        )

    def _guard_move(self, token: str, how: str) -> None:
        papers = self._papers(token)
        if papers.token != "armed":  # noqa: S105
            raise ShellError("mv: cannot stat 'armed': No such file or directory")
        papers.token = how

    def _guard_revert(self, token: str) -> None:
        papers = self._papers(token)
        if papers.token not in {"armed", "confirmed"}:
            raise ShellError("mv: cannot stat 'confirmed': No such file or directory")
        if not self._restore(papers):
            raise ShellError("the restore failed")

    def _guard_clean(self, token: str) -> None:
        papers = self.papers.get(token)
        if papers is not None and papers.token not in {"armed", "reverting"}:
            if papers.timer is not None:
                papers.timer.cancel()
            del self.papers[token]

    # saving

    def _keep_saved(self, token: str, suffix: str) -> None:
        self._writes_file()
        self._papers(token).saved[suffix] = (self.boots.copy(), self.interfaces)

    def _save_rules(self) -> None:
        self._confirmed_only()
        self.boots.tables = self.running.copy().tables

    def _save_iptables(self) -> None:
        self._confirmed_only()
        self.boots.mangle = self.running.copy().mangle

    def _save_mtu(self, name: str, mtu: str) -> None:
        self._confirmed_only()
        self.interfaces = stanza_mtu(self.interfaces, name, int(mtu))
        self.boots.mtus[name] = int(mtu)

    def _confirmed_only(self) -> None:
        self._writes_file()
        if not any(papers.token == "confirmed" for papers in self.papers.values()):  # noqa: S105
            self.broken_promises.append("something was saved that nobody had confirmed")

    def _unsave(self, token: str, suffix: str) -> None:
        kept = self._papers(token).saved.get(suffix)
        if not isinstance(kept, tuple):
            raise ShellError("cp: cannot stat: No such file or directory")
        configuration, self.interfaces = kept
        self.boots = configuration.copy()


_TOKEN = r"([0-9a-f]{16})"  # noqa: S105 - a pattern
_GATE = re.compile(rf"test -e /run/mtughost/{_TOKEN}/armed && ")
_RUN = rf"/run/mtughost/{_TOKEN}"
_LINES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (r"\(t=\$\(nft list tables\).*grep -qxF 'table (\S+ \S+)'", "_state_relevant"),
        (r"if command -v nft .*nft -s list ruleset; fi$", "_ruleset"),
        (r"ip -o link show$", "_links"),
        (r"ip -o link show dev (\S+)$", "_one_link"),
        (r"unshare -n sh -c 'nft -f /etc/nftables.conf", "_saved_ruleset"),
        (r"unshare -n sh -c 'ip(6)?tables-restore", "_saved_iptables"),
        (r"ip(6)?tables-save$", "_running_iptables"),
        (r"cat /etc/network/interfaces$", "_saved_interfaces"),
        (r"cat /proc/sys/kernel/random/boot_id", "_boot"),
        (r"uname -n; uname -r", "_identity"),
        (r"nft (-c )?'(.*)'$", "_nft"),
        (r"nft -a list chain (\S+ \S+) \S+ \| sed .*comment \"(\S+)\"", "_delete_by_comment"),
        (r"ip(6)?tables -w 5 -t mangle -([ID]) (\S+) (.*)$", "_iptables"),
        (r"ip link set dev (\S+) mtu ([0-9]+)$", "_set_mtu"),
        (r"ip -d -o link show dev|printf '%s\\n' '\*mangle'", "_preview"),
        (rf"umask 077; mkdir -p -m 0700 /run/mtughost && mkdir -m 0700 {_RUN}$", "_guard_make"),
        (
            rf"umask 077; cd {_RUN} && \{{ printf .*nft -s list table (\S+ \S+); \}}",
            "_guard_dump_nft",
        ),
        (rf"umask 077; cd {_RUN} && iptables-save -c", "_guard_dump_iptables"),
        (rf"umask 077; cd {_RUN} && printf '%s\\n' 'set -e' (.*) > restore.sh$", "_guard_undo"),
        (r"umask 077; cd /run/mtughost/[0-9a-f]{16} && printf .* > restore.sh$", "_guard_script"),
        (rf"cd / && umask 077 && : > .*mtughost-guard {_RUN} ([0-9]+) </dev/null", "_guard_start"),
        (rf"d={_RUN}; if \[ ! -d \$d \]; then echo token missing", "_guard_read"),
        (rf"mv {_RUN}/armed /run/mtughost/[0-9a-f]{{16}}/(confirmed|cancelled)$", "_guard_move"),
        (rf"d={_RUN}; if mv \$d/armed", "_guard_revert"),
        (rf"d={_RUN}; if \[ -d \$d \]", "_guard_clean"),
        (rf"umask 077; cp -pL /etc/\S+ {_RUN}/saved\.(nft|v4|interfaces)\b", "_keep_saved"),
        (
            rf"f=\$\(readlink -f /etc/\S+\).*cp -p {_RUN}/saved\.(nft|v4|v6|interfaces) ",
            "_unsave",
        ),
        (r"f=\$\(readlink -f /etc/nftables.conf\).*nft -s list ruleset", "_save_rules"),
        (r"f=\$\(readlink -f /etc/iptables/rules\.v4\).*iptables-save >", "_save_iptables"),
        (r"f=\$\(readlink -f /etc/network/interfaces\).*-v i=(\S+) -v m=([0-9]+) ", "_save_mtu"),
    )
)
