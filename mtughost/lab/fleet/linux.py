"""A virtual Linux access point: a real shell, and programs that answer from the site's state.

Whether the cloud answers follows from the gateway's emulated clamps: what both ends may send,
against what the path carries. It tries again by itself, as access points do, and says since when it
is connected; through its SSH server a probe reaches the far end, or is lost on the same path.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncssh

from mtughost.lab.fleet.clock import FleetClock
from mtughost.lab.fleet.device import Account, Identity
from mtughost.lab.fleet.plans import PointPlan
from mtughost.lab.fleet.shell import exec_session, prelude

#: What its clock shows when it is made, and when it connected the first time.
_EPOCH = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
_LONG_AGO = datetime(2026, 11, 20, 4, 0, 0, tzinfo=UTC)
#: How long after a failure it tries again.
RETRY_S = 2.0
#: IPv4, TCP, TCP timestamps.
_HEADER_BYTES, _TIMESTAMPS_BYTES = 52, 12
#: A TLS alert, handshake_failure: the far end read the hello and wants no more of it.
_ALERT = bytes.fromhex("15030300020228")
_RECORD_HEAD_BYTES = 5
#: What it sends in its own TLS handshake, with its certificate.
_CERTIFICATE_BYTES = 3000
_CLOUD = "cloud_status() { _file cloud; }\nalias cloud-status=cloud_status\n"


class LinuxPoint:
    """One access point.

    ``reaches`` says whether full-size packets get through, now; ``mss`` which MSS the SYN-ACK of a
    new connection brings.
    """

    platform = "linux"

    def __init__(
        self,
        identity: Identity,
        plan: PointPlan,
        *,
        clock: FleetClock,
        accounts: tuple[Account, ...],
        reaches: Callable[[], bool],
        mss: Callable[[], int],
    ) -> None:
        self.identity = identity
        self.plan = plan
        self.accounts = {account.username: account for account in accounts}
        self.is_up = True
        self._clock = clock
        self._made_s = clock.now_s()
        self._reaches = reaches
        self._mss = mss
        self._reached = self._connected = self._gets_through()
        self._since = _LONG_AGO

    def now(self) -> datetime:
        """Return what its clock shows."""
        return _EPOCH + timedelta(seconds=int(self._clock.now_s() - self._made_s))

    def look(self) -> None:
        """Notice what became of the path: something was changed at its gateway."""
        reaches = self._gets_through()
        if reaches == self._reached:
            return
        self._reached = reaches
        if reaches:
            self._clock.call_later(RETRY_S, self._connect)
        else:
            self._connected, self._since = False, self.now()

    def _gets_through(self) -> bool:
        """Say whether both ends' certificates arrive: the path may be narrower than the egress."""
        return self._reaches() and self.carries(_CERTIFICATE_BYTES)

    def _connect(self) -> None:
        if self._reached and not self._connected:
            self._connected, self._since = True, self.now()

    def far_end(self, host: str, port: int) -> asyncssh.SSHTCPSession[bytes] | None:
        """Return what answers a connection that is forwarded, ``None`` where nobody listens."""
        return _FarEnd(self.carries) if (host, port) == self.plan.server else None

    def carries(self, payload_bytes: int) -> bool:
        """Say whether so many bytes reach the far end: each segment must fit the path."""
        segment = min(payload_bytes, self._mss() - _TIMESTAMPS_BYTES)
        return segment + _HEADER_BYTES <= self.plan.path_mtu_bytes

    def account_of(self, username: str) -> Account | None:
        """Return who logs in with this name."""
        return self.accounts.get(username)

    def exec_session(self, username: str) -> asyncssh.SSHServerSession[str]:
        """Return what serves one exec request."""
        del username
        return exec_session(self.prelude)

    def prelude(self) -> str:
        """Return the functions that answer instead of programs, for the state of this moment."""
        return prelude(self._files(), self._answers()) + _CLOUD

    def _cloud(self) -> str:
        host, port = self.plan.server
        self.look()
        ok = self._connected
        error = "none" if ok else "sslconnecttimeout: timeout during SSL_connect"
        return (
            f"service: radsec\nserver: {host}\nport: {port}\nconnected: {'yes' if ok else 'no'}\n"
            f"since: {self._since:%Y-%m-%dT%H:%M:%SZ}\nlast-error: {error}\n"
        )

    def _files(self) -> dict[str, str]:
        return {
            "/etc/os-release": 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "/proc/uptime": "81234.55 160000.00\n",
            "/etc/machine-id": f"{zlib.crc32(self.identity.serial.encode()):032x}\n",
            "/var/log/radsecproxy.log": "",
            "cloud": self._cloud(),
            "/proc/net/snmp": "Ip: FragFails FragCreates\nIp: 0 0\n",
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
        return {
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
            "ip neigh show": f"{plan.gateway} dev eth0 lladdr {plan.gateway_mac} REACHABLE \n",
            "ss -tinH": self._sockets(address),
            "nft -j list ruleset": json.dumps(ruleset) + "\n",
            "nft -a list ruleset": "",
            "iptables-save -c": "",
            "ip6tables-save -c": "",
            f"sysctl {keys}": "".join(f"{key} = 0\n" for key in keys.split()),
            "date -u +%Y-%m-%dT%H:%M:%SZ": f"{self.now():%Y-%m-%dT%H:%M:%SZ}\n",
        }

    def _sockets(self, address: str) -> str:
        """Return the connection to the cloud as ``ss -tin`` prints it."""
        if not self._connected:
            return ""
        host, port = self.plan.server
        return (
            f"ESTAB 0 0 {address}:45306 {host}:{port}\n\t cubic wscale:7,7 rto:220 rtt:18.1/1.2 "
            f"mss:{min(1460, self._mss()) - _TIMESTAMPS_BYTES} pmtu:{self.plan.mtu_bytes} "
            "rcvmss:1384 advmss:1448 cwnd:10 bytes_sent:3107 bytes_acked:3108 segs_out:12 "
            "segs_in:11 data_segs_out:6 lastsnd:400 lastrcv:380 lastack:380\n"
        )


class _FarEnd(asyncssh.SSHTCPSession[bytes]):
    """The far end of a probe: it answers the first record of TLS that reaches it as a whole."""

    def __init__(self, carries: Callable[[int], bool]) -> None:
        self._carries = carries
        self._data = b""
        self._channel: asyncssh.SSHTCPChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:  # noqa: ARG002
        self._data += data
        whole = _RECORD_HEAD_BYTES + int.from_bytes(self._data[3:_RECORD_HEAD_BYTES], "big")
        if len(self._data) >= max(whole, _RECORD_HEAD_BYTES) and self._carries(len(self._data)):
            if self._channel is not None:
                self._channel.write(_ALERT)
            self._data = b""
