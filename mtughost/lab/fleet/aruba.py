"""A virtual Aruba access point (Instant, AOS 10): its cloud is Central, over WebSocket."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from mtughost.lab.fleet.table_point import Layout, TablePoint

_SERVER = "device-test.central.example.net"


class ArubaPoint(TablePoint):
    """One access point; after published scripts that read it, and recorded log lines."""

    platform = "aruba_instant"
    layout = Layout(
        prompt="{}# ",
        unknown="% Parse error\n",
        paging_off="no paging",
        hidden=("show ap debug", "show log"),
    )

    def answers(self) -> Mapping[str, str]:
        """Return what every line answers, now."""
        one, own = self.identity, ipaddress.IPv4Interface(self.plan.address)
        return {
            "show version": (
                "Aruba Operating System Software.\n"
                f"ArubaOS (MODEL: {one.model}), Version {one.version}\n"
                "Website: http://www.arubanetworks.com\n"
                "Compiled on 2024-03-01 at 10:00:00 UTC (build 89000) by p4build\n"
                "AP uptime is 1 week 2 days 3 hours 4 minutes 5 seconds\n"
                "Reboot Time and Cause: AP rebooted due to power loss\n"
            ),
            "show running-config": f"version 8.6.0.0-8.6.0\nname {one.hostname}\n",
            "show ip interface brief": (
                "Interface                        IP Address / IP Netmask      Admin  Protocol\n"
                f"br0                       {own.ip} / {own.netmask}            up      up    \n"
            ),
            "show ap debug cloud-server": self._cloud(),
            "show log system": self._log(),
        }

    def _cloud(self) -> str:
        ok = self.reaches()
        status = "Login_done" if ok else "Not_connected"
        return (
            f"Aruba Central server     :{_SERVER}\n"
            f"Aruba Central status     :{status}\n"
            f"Connect establish failed   {0 if ok else 7}(20)\n"
            "Last fail reason         :NA\n"
        )

    def _log(self) -> str:
        at = f"{self.now:%b %d %H:%M:%S}"
        if self.reaches():
            return f"{at}  cli[1001]: <341004> <WARN> |AP {self.address} cli|  nothing special\n"
        words = "awc[2002]: [cloud] Websocket connection failure"
        return f"{at}  {words}\n"
