"""A virtual Linux access point: a real shell, and programs that answer from the site's state.

Whether the cloud answers follows from the gateway's emulated clamps: what both ends may send,
against what the path carries.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable

import asyncssh

from mtughost.lab.fleet.device import Account, Identity
from mtughost.lab.fleet.plans import PointPlan
from mtughost.lab.fleet.shell import exec_session, prelude

_CLOUD = "cloud_status() { _file cloud; }\nalias cloud-status=cloud_status\n"


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
        ok = self._reaches()
        error = "none" if ok else "sslconnecttimeout: timeout during SSL_connect"
        return (
            f"service: radsec\nserver: {host}\nport: {port}\nconnected: {'yes' if ok else 'no'}\n"
            f"since: 2026-11-20T04:00:00Z\nlast-error: {error}\n"
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
            "ss -tinH": "",
            "nft -j list ruleset": json.dumps(ruleset) + "\n",
            "nft -a list ruleset": "",
            "iptables-save -c": "",
            "ip6tables-save -c": "",
            f"sysctl {keys}": "".join(f"{key} = 0\n" for key in keys.split()),
            "date -u +%Y-%m-%dT%H:%M:%SZ": "2026-11-21T12:00:00Z\n",
        }
