"""A Linux device of its own: namespaces, a private /etc and /run, and a shell to talk to.

Real nft, iptables, ip and /bin/sh on the real kernel; the session runs each line by ``nsenter``.
Everything in it, sleepers included, dies with its first process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mtughost.model.errors import DeviceUnreachableError
from mtughost.model.session import Answer, RenderedCommand

_INIT = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/etc/network /run/etc/iptables
for name in alternatives ld.so.cache ld.so.conf ld.so.conf.d passwd group nsswitch.conf protocols \
            services hosts machine-id iproute2 ethertypes; do
  [ ! -e "/etc/$name" ] || cp -a --no-preserve=ownership "/etc/$name" /run/etc
done
mount --bind /run/etc /etc
ip link set lo up
for name in vlan20 vlan30 wan0; do
  ip link add "$name" type veth peer name "p-$name"
  ip link set "$name" up
done
hostname "$1"
echo ready
exec sleep 600
"""

NFT_CONF = """#!/usr/sbin/nft -f
# what the shop's router has had since it was installed
flush ruleset
table inet clamp {
  chain forward {
    type filter hook forward priority mangle;
    iifname "vlan30" oifname "wan0" tcp flags syn counter tcp option maxseg size set rt mtu
    iifname "wan0" oifname "vlan30" tcp flags syn counter tcp option maxseg size set rt mtu
  }
}
table ip nat {
  chain post { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }
}
"""
RULES_V4 = """*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A FORWARD -i vlan30 -o wan0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-A FORWARD -i wan0 -o vlan30 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-A FORWARD -p tcp -m tcp --dport 9 -j MARK --set-xmark 0x1/0xffffffff
COMMIT
"""
RULES_V6 = RULES_V4.split("-A FORWARD -i vlan30", maxsplit=1)[0] + "COMMIT\n"
INTERFACES = """auto lo
iface lo inet loopback

# the appliance's only port
auto vlan20
iface vlan20 inet static
    address 10.20.0.10/24
    gateway 10.20.0.1
iface vlan30 inet manual
    mtu 1400
"""


class Box:
    """One such device."""

    def __init__(self, name: str = "s001-gw1") -> None:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self._holder = subprocess.Popen(
            [
                "unshare",
                *user,
                "--net",
                "--mount",
                "--uts",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child",
                "sh",
                "-c",
                _INIT,
                "init",
                name,
            ],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        if self._holder.stdout.readline() != b"ready\n":
            self._holder.wait(10)
            self._holder.stdout.close()
            raise RuntimeError("the box did not start; its own words are above")
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self.pid = int(children.read_text().split()[0])

    @property
    def enter(self) -> list[str]:
        """Return the words before a command."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "-t", str(self.pid), *user, "-n", "-m", "-u", "-p", "--"]

    def run(self, line: str, stdin: str = "") -> str:
        """Run a line and return what it printed; a failure is a failed test."""
        done = subprocess.run(
            [*self.enter, "sh", "-c", line],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        self.run(f"cat > {path}", stdin=text)

    def snapshot(self) -> dict[str, str]:
        """Return everything that must be equal before and after, but counters and handles."""
        return {
            line: self.run(line)
            for line in (
                "nft -s list ruleset",
                "iptables-save | grep -v '^[#:]' || true",
                "ip6tables-save | grep -v '^[#:]' || true",
                "ip -o link show | sed 's/ state .*//'",
                "cat /etc/nftables.conf /etc/iptables/rules.v? /etc/network/interfaces || true",
                "ls -A /etc /etc/iptables /etc/network",
            )
        }

    def close(self) -> None:
        """End it and everything in it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdout is not None:
            self._holder.stdout.close()


class ShellSession:
    """A login on a box. ``before`` may break it: it is asked before each line is sent."""

    small_mss_login = False

    def __init__(
        self,
        box_enter: Sequence[str],
        host: str,
        sent: list[str],
        before: Callable[[RenderedCommand], str] = lambda _: "",
    ) -> None:
        self._enter = list(box_enter)
        self.host = host
        self._sent = sent
        self._before = before
        self._dead = False

    def ask(self, commands: Sequence[RenderedCommand]) -> tuple[Answer, ...]:
        return tuple(self._one(command) for command in commands)

    def _one(self, command: RenderedCommand) -> Answer:
        verdict = "eof" if self._dead else self._before(command)
        if verdict in {"eof", "unreachable"}:
            self._dead = True
            return Answer(command_id=command.command_id, line=command.line, text="", status="eof")
        if verdict == "fail":
            return Answer(
                command_id=command.command_id,
                line=command.line,
                text="",
                exit_code=1,
                stderr="No space left on device",
            )
        self._sent.append(command.command_id)
        done = subprocess.run(
            [*self._enter, "sh", "-c", command.line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=command.timeout_s,
            check=False,
            start_new_session=True,
        )
        if verdict == "lost-answer":
            self._dead = True
            return Answer(command_id=command.command_id, line=command.line, text="", status="eof")
        return Answer(
            command_id=command.command_id,
            line=command.line,
            text=done.stdout.decode(),
            exit_code=done.returncode,
            stderr=done.stderr.decode(),
        )

    def stream(self, command, *, seconds, stdin_close_ends=True):
        raise NotImplementedError

    def open_tcp(self, host, port, *, timeout_s):
        raise NotImplementedError

    def close(self) -> None:
        self._dead = True


class RealClock:
    """The machine's clocks."""

    def utc_now(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def monotonic_s(self) -> float:
        return time.monotonic()

    def boottime_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.3))


def opener(box: Box, sent: list[str], before=lambda _: ""):
    """Return a maker of logins on the box."""

    def open_session(name: str) -> ShellSession:
        login = RenderedCommand(command_id="login", line="", risk="passive")
        if before(login) == "unreachable":
            raise DeviceUnreachableError(name, "no route to host")
        return ShellSession(box.enter, name, sent, before)

    return open_session
