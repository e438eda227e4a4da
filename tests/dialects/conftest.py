"""Throw-away network namespaces: rules go into a real kernel, real programs read them back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mtughost.model.session import Answer

COMMANDS = {
    "nft-json": "nft -j list ruleset",
    "nft-text": "nft -a list ruleset",
    "iptables-save": "iptables-save -c",
    "ip6tables-save": "ip6tables-save -c",
    "xtables-legacy": "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>&1",
}

#: Answers one TCP connection after the other with the MSS that the far end's SYN carried. The
#: kernel takes the 12 bytes of the timestamp option off TCP_MAXSEG.
_SERVER = """
import socket
server = socket.create_server(("10.2.0.2", 4444), backlog=64)
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    peer.sendall(b"%d\\n" % (peer.getsockopt(6, 2) + 12))
    peer.close()
"""
_HOLD = "mount -t tmpfs none /run; exec unshare -n sh -c 'echo up; cat'"
_CLIENT = """
import socket, sys
peer = socket.socket()
peer.settimeout(0.4)
if int(sys.argv[1]):
    peer.setsockopt(6, 2, int(sys.argv[1]))
try:
    peer.connect(("10.2.0.2", 4444))
    print(peer.getsockopt(6, 2) + 12, end=" ", flush=True)
    print(peer.recv(16).decode().strip())
except OSError:
    print("failed")
"""


class Namespace:
    """A process that holds a network and a mount namespace of its own."""

    def __init__(self) -> None:
        self.user = [] if os.geteuid() == 0 else ["-r"]
        self.holder = subprocess.Popen(
            # The network namespace second: made in one step with the user namespace it would belong
            # to nobody, and the kernel would hide which legacy tables it has.
            ["unshare", *self.user, "-m", "sh", "-c", _HOLD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.helpers: list[subprocess.Popen[str]] = []
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "up\n"
        self.sh("ip link set lo up")

    def argv(self, *command: str) -> list[str]:
        enter = ["nsenter", "-t", str(self.holder.pid), "-n", "-m"]
        if self.user:
            enter += ["-U", "--preserve-credentials"]
        return [*enter, "env", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *command]

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*command),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def sh(self, script: str) -> str:
        done = self.run("sh", "-ec", script)
        assert done.returncode == 0, (script, done.stderr)
        return done.stdout

    def nft(self, text: str) -> None:
        done = self.run("nft", "-f", "-", stdin=text)
        assert done.returncode == 0, (text, done.stderr)

    def answers(self) -> dict[str, Answer]:
        found = {}
        for name, line in COMMANDS.items():
            done = self.run("sh", "-c", line)
            is_ok = done.returncode in ({0, 1} if name == "xtables-legacy" else {0})
            found[name] = Answer(
                command_id=name,
                line=line,
                text=done.stdout,
                exit_code=done.returncode,
                status="complete" if is_ok else "rejected",
                error="" if is_ok else done.stderr.strip(),
            )
        return found

    def close(self) -> None:
        for process in (*self.helpers, self.holder):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


class Path(Namespace):
    """Client - this router - server, each in a namespace of its own; the router's WAN is 1492."""

    def __init__(self) -> None:
        super().__init__()
        self.sh(
            """
            ip netns add a; ip netns add b
            ip link add name lan0 type veth peer name e netns a
            ip link add name wan0 type veth peer name e netns b
            ip addr add 10.1.0.1/24 dev lan0; ip link set lan0 up
            ip addr add 10.2.0.1/24 dev wan0; ip link set wan0 mtu 1492 up
            ip -n a addr add 10.1.0.2/24 dev e; ip -n a link set e up
            ip -n a route add default via 10.1.0.1
            ip -n b addr add 10.2.0.2/24 dev e; ip -n b link set e up
            ip -n b route add default via 10.2.0.1
            sysctl -qw net.ipv4.ip_forward=1
            """
        )
        argv = self.argv("ip", "netns", "exec", "b", sys.executable, "-c", _SERVER)
        server = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.helpers.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"

    def connect(self, mss: int = 0) -> tuple[int, int | None] | None:
        """Open a connection; the MSS of the SYN-ACK and of the SYN as they arrived.

        ``None`` where there was no SYN-ACK. A rule may drop what follows the handshake; the SYN's
        MSS is then unknown.
        """
        done = self.run("ip", "netns", "exec", "a", sys.executable, "-c", _CLIENT, str(mss))
        words = done.stdout.split()
        assert words, done.stderr
        if words[0] == "failed":
            return None
        return int(words[0]), None if words[1] == "failed" else int(words[1])

    def reset(self) -> None:
        self.sh("nft flush ruleset")


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    one = Namespace()
    yield one
    one.close()


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    one = Path()
    yield one
    one.close()
