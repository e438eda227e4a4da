"""A virtual UniFi access point: a BusyBox shell behind dropbear, ``info``, the inform URL."""

from __future__ import annotations

import zlib

from mtughost.lab.fleet.device import Account
from mtughost.lab.fleet.shell import prelude
from mtughost.lab.fleet.shell_point import ShellPoint

_URL = "http://203.0.113.10:8080/inform"


class UnifiPoint(ShellPoint):
    """One access point. ``reaches`` says whether full-size packets get through, now."""

    platform = "ubiquiti_unifiap"

    def prelude(self, account: Account) -> str:
        """Return the functions that answer instead of programs; ``partial`` reads no log."""
        is_root = account.level != "partial"
        files = {"/proc/uptime": "81234.55 160000.00\n"}
        if is_root:
            files["/var/log/messages"] = self._log()
        programs = ("mca-cli-op", "ip", "date", "uname")
        return prelude(files, self._answers(is_root=is_root), programs, is_root=is_root)

    def _answers(self, *, is_root: bool) -> dict[str, str]:
        plan, one = self.plan, self.identity
        mac = f"02:00:5e:{zlib.crc32(one.serial.encode()) % 256:02x}:0a:80"
        answers = {
            "id -u": "0\n" if is_root else "1000\n",
            "ip link show": (
                "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN \n"
                "    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n"
                f"2: br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu {plan.mtu_bytes} qdisc noqueue "
                "state UP \n"
                f"    link/ether {mac} brd ff:ff:ff:ff:ff:ff\n"
            ),
            "ip address show": (
                f"2: br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu {plan.mtu_bytes} qdisc noqueue \n"
                f"    link/ether {mac} brd ff:ff:ff:ff:ff:ff\n"
                f"    inet {plan.address} scope global br0\n"
                "       valid_lft forever preferred_lft forever\n"
            ),
            "ip route show": f"default via {plan.gateway} dev br0 \n",
            "date -u +%Y-%m-%dT%H:%M:%SZ": "2026-11-21T12:00:00Z\n",
        }
        if is_root:
            answers["mca-cli-op info"] = self._info(mac)
        return answers

    def _info(self, mac: str) -> str:
        status = "Connected" if self.reaches() else "Timeout"
        return (
            f"\nModel:       {self.identity.model}\n"
            f"Version:     {self.identity.version}\n"
            f"MAC Address: {mac}\n"
            f"IP Address:  {self.plan.address.partition('/')[0]}\n"
            f"Hostname:    {self.identity.hostname}\n"
            "Uptime:      1044 seconds\n"
            "NTP:         Synchronized\n\n"
            f"Status:      {status} ({_URL})\n"
        )

    def _log(self) -> str:
        if self.reaches():
            return "Nov 21 11:00:00 ap user.info syslog: mca-monitor.do_monitor(): mcad is fine\n"
        head = "Nov 21 11:59:00 ap user.err syslog: ace_reporter.reporter_fail(): "
        return f"{head}Timeout ({_URL})\n{head}initial contact failed #20, url={_URL}, rc=5\n"
