"""A virtual Linux access point: a real shell, and programs that answer from the site's state.

A script that comes over an exec channel is run by the machine's own ``sh`` with a folder of
stand-ins in front of ``PATH``. Whether its cloud answers follows from the gateway's emulated
clamps: what the AP may send, against what the path carries.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from mtughost.lab.fleet.device import Account, Identity

_STUBS = ("ip", "uname", "id", "ss", "nft", "iptables-save", "ip6tables-save", "sysctl", "date")
#: Prints what stands in the answer of that name; a program without an answer is not installed.
_ANSWER = """\
#!/bin/sh
f="$FLEET_ROOT/answers/${0##*/} $*"
[ -f "$f" ] || { echo "${0##*/}: not found" >&2; exit 127; }
exec /bin/cat "$f"
"""
_CAT = """\
#!/bin/sh
rc=0
for f; do
    if [ -f "$FLEET_ROOT/root$f" ]; then /bin/cat "$FLEET_ROOT/root$f"; else
        echo "cat: $f: No such file or directory" >&2
        rc=1
    fi
done
exit $rc
"""
_TAIL = """\
#!/bin/sh
for f; do :; done
[ -f "$FLEET_ROOT/root$f" ] || { echo "tail: cannot open '$f'" >&2; exit 1; }
exec /bin/cat "$FLEET_ROOT/root$f"
"""
_GREP = """\
#!/bin/sh
echo "CapEff:	000001ffffffffff"
"""
_CLOUD = """\
#!/bin/sh
exec /bin/cat "$FLEET_ROOT/cloud"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPlan:
    """What an access point is.

    Attributes:
        address: Its address with prefix length.
        gateway: Its next hop.
        server: Address and port of its service.
    """

    address: str
    gateway: str
    mtu_bytes: int
    server: tuple[str, int]


class LinuxPoint:
    """One access point. ``reaches`` says whether full-size packets get through, now."""

    platform = "linux"

    def __init__(
        self,
        identity: Identity,
        plan: PointPlan,
        *,
        accounts: tuple[Account, ...],
        reaches: Callable[[], bool],
    ) -> None:
        self.identity = identity
        self.plan = plan
        self.accounts = {account.username: account for account in accounts}
        self.is_up = True
        self._reaches = reaches
        self._folder = tempfile.TemporaryDirectory(prefix="mtughost-ap-")
        self._root = Path(self._folder.name)
        self._furnish()

    def close(self) -> None:
        """Remove its folder."""
        self._folder.cleanup()

    def exec_session(self) -> asyncssh.SSHServerSession[str]:
        """Return what serves one exec request."""
        return _Exec(self)

    def prepare(self) -> dict[str, str]:
        """Write what the cloud client would say now; return the environment of a script."""
        host, port = self.plan.server
        ok = self._reaches()
        error = "none" if ok else "sslconnecttimeout: timeout during SSL_connect"
        text = (
            f"service: radsec\nserver: {host}\nport: {port}\nconnected: {'yes' if ok else 'no'}\n"
            f"since: 2026-11-20T04:00:00Z\nlast-error: {error}\n"
        )
        (self._root / "cloud").write_text(text)
        return {
            "PATH": f"{self._root / 'bin'}:/usr/bin:/bin",
            "FLEET_ROOT": str(self._root),
            "LC_ALL": "C",
        }

    # -- what is in the folder -------------------------------------------------------------------
    def _furnish(self) -> None:
        programs = dict.fromkeys(_STUBS, _ANSWER)
        programs |= {"cat": _CAT, "tail": _TAIL, "grep": _GREP, "cloud-status": _CLOUD}
        for name, text in programs.items():
            path = self._root / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o700)
        for name, text in {**self._answers(), **self._files()}.items():
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def _files(self) -> dict[str, str]:
        return {
            "root/etc/os-release": 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "root/proc/uptime": "81234.55 160000.00\n",
            "root/etc/machine-id": f"{self.identity.serial:0>32}\n",
            "root/var/log/radsecproxy.log": "",
            "root/proc/net/snmp": "Ip: FragFails FragCreates\nIp: 0 0\n",
        }

    def _answers(self) -> dict[str, str]:
        plan = self.plan
        address, _, length = plan.address.partition("/")
        link = {
            "ifindex": 2,
            "ifname": "eth0",
            "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
            "mtu": plan.mtu_bytes,
            "operstate": "UP",
            "link_type": "ether",
            "address": "02:00:00:00:00:02",
        }
        info = [{"family": "inet", "local": address, "prefixlen": int(length), "scope": "global"}]
        ruleset = {"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}]}
        keys = (
            "net.ipv4.ip_no_pmtu_disc net.ipv4.tcp_mtu_probing net.ipv4.tcp_base_mss "
            "net.ipv4.ip_forward net.ipv4.ip_forward_use_pmtu net.ipv4.route.min_pmtu "
            "net.ipv4.tcp_timestamps net.ipv6.conf.all.forwarding"
        )
        routes = f"default via {plan.gateway} dev eth0 \n"
        answers = {
            "uname -srm": "Linux 6.1.0-18-arm64 aarch64\n",
            "uname -n": f"{self.identity.hostname}\n",
            "id -u": "0\n",
            "ip -d -j -p link show": json.dumps([link], indent=4) + "\n",
            "ip -j -p address show": json.dumps([{**link, "addr_info": info}], indent=4) + "\n",
            "ip -4 route show table all": routes,
            "ip -6 route show table all": "",
            "ip -4 route show cache": "",
            "ip -6 route show cache": "",
            "ip -4 rule show": "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n",
            "ip -6 rule show": "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n",
            "ip neigh show": f"{plan.gateway} dev eth0 lladdr 02:00:00:00:00:01 REACHABLE \n",
            "ss -tinH": "",
            "nft -j list ruleset": json.dumps(ruleset) + "\n",
            "nft -a list ruleset": "",
            "iptables-save -c": "",
            "ip6tables-save -c": "",
            f"sysctl {keys}": "".join(f"{key} = 0\n" for key in keys.split()),
            "date -u +%Y-%m-%dT%H:%M:%SZ": "2026-11-21T12:00:00Z\n",
        }
        # File names cannot hold a slash; none of the asked options has one.
        return {f"answers/{name}": text for name, text in answers.items()}


class _Exec(asyncssh.SSHServerSession[str]):
    """One script, run by a real shell."""

    def __init__(self, point: LinuxPoint) -> None:
        self._point = point
        self._channel: asyncssh.SSHServerChannel[str] | None = None
        self._task: asyncio.Task[None] | None = None
        self._command = ""

    def connection_made(self, chan: asyncssh.SSHServerChannel[str]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def session_started(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def eof_received(self) -> bool:
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._channel = None

    async def _run(self) -> None:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._point.prepare(),
            cwd=os.sep,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), 60)
        except (TimeoutError, asyncio.CancelledError):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if self._channel is not None:
            self._channel.write(out.decode("utf-8", "replace"))
            self._channel.write_stderr(err.decode("utf-8", "replace"))
            self._channel.exit(process.returncode or 0)
