"""A virtual FortiAP: a small shell, ``cfg`` variables, CAPWAP to its FortiGate."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from mtughost.lab.fleet.table_point import Layout, TablePoint


class FortiPoint(TablePoint):
    """One access point; after Fortinet's command reference."""

    platform = "fortinet_fortiap"
    layout = Layout(prompt="{} # ", unknown="{}: not found\n", hidden=("cfg",))

    def answers(self) -> Mapping[str, str]:
        """Return what every line answers, now."""
        one, own = self.identity, ipaddress.IPv4Interface(self.plan.address)
        return {
            "fap-get-status": (
                f"Version: {one.model} {one.version}\n"
                f"Serial-Number: {one.serial}\n"
                "BIOS version: 04000002\n"
                "Regcode: E\n"
                f"Hostname: {one.hostname}\n"
                "Branch point: 437\n"
                "Release Version Information: GA\n"
            ),
            "cfg -s": (
                "BAUD_RATE:=9600\n"
                "ADDR_MODE:=STATIC\n"
                f"AP_IPADDR:={own.ip}\n"
                f"AP_NETMASK:={own.netmask}\n"
                f"IPGW:={self.plan.gateway}\n"
                "AC_DISCOVERY_TYPE:=1\n"
                f"AC_IPADDR_1:={self.plan.gateway}\n"
                "AC_CTL_PORT:=5246\n"
                "AC_DATA_CHAN_SEC:=2\n"
            ),
            "ifconfig br0": (
                "br0       Link encap:Ethernet  HWaddr 02:00:5E:00:0A:81  \n"
                f"          inet addr:{own.ip}  Bcast:{own.network.broadcast_address}  "
                f"Mask:{own.netmask}\n"
                f"          UP BROADCAST RUNNING MULTICAST  MTU:{self.plan.mtu_bytes}  Metric:1\n"
                "          RX packets:2990 errors:0 dropped:2 overruns:0 frame:0\n"
                "          TX packets:804 errors:0 dropped:0 overruns:0 carrier:0\n"
                "          collisions:0 txqueuelen:0 \n"
                "          RX bytes:460730 (449.9 KiB)  TX bytes:152917 (149.3 KiB)\n\n"
            ),
        }
