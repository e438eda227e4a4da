"""A virtual Cisco access point with COS: CAPWAP over UDP to a controller, a wired link of 2400."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from mtughost.lab.fleet.device import Page
from mtughost.lab.fleet.table_point import Layout, TablePoint

_CONTROLLER = "198.51.100.30"


class CosPoint(TablePoint):
    """One access point; after recorded output of COS 17."""

    platform = "cisco_cos_ap"
    layout = Layout(
        prompt="{}#",
        unknown="% Invalid input detected at '^' marker.\n",
        paging_off="terminal length 0",
        hidden=("show capwap", "show logging"),
        page=Page(stop="--More-- ", erase="\r         \r"),
    )

    def answers(self) -> Mapping[str, str]:
        """Return what every line answers, now."""
        return {
            "show version": self._version(),
            "show capwap client rcb": self._capwap(),
            "show interfaces wired 0": self._wired(),
            "show logging": self._log(),
            "terminal width 511": "",
        }

    def _version(self) -> str:
        one = self.identity
        return (
            "Cisco AP Software, (ap3g3), [build-lnx15:/workspace]\n"
            "Technical Support: http://www.cisco.com/techsupport\n"
            "Copyright (c) 1986-2024 by Cisco Systems, Inc.\n"
            "Compiled Sun Jan 14 00:13:59 GMT 2024\n\n"
            "ROM: Bootstrap program is U-Boot boot loader\n\n"
            f"{one.hostname} uptime is 0 days, 9 hours, 54 minutes\n"
            "Last reload reason : Image Upgrade\n \n"
            f"cisco {one.model} ARMv7 Processor rev 1 (v7l) with 1028320/528608K bytes of memory.\n"
            f"Processor board ID {one.serial}\n"
            f"AP Running Image     : {one.version}\n"
            f"Primary Boot Image   : {one.version}\n"
            "3 802.11 Radios\n"
            "Base ethernet MAC Address            : 02:00:5E:00:0A:80\n"
            "PCB Serial Number                    : FOC00000AAA\n"
            f"Top Assembly Serial Number           : {one.serial}\n"
            f"Product/Model Number                 : {one.model}\n"
        )

    def _capwap(self) -> str:
        return (
            "AdminState                         : ADMIN_ENABLED\n"
            "OperationState                     : UP\n"
            f"Name                               : {self.identity.hostname}\n"
            f"SwVer                              : {self.identity.version}\n"
            f"MwarApMgrIp                        : {_CONTROLLER}\n"
            "MwarName                           : wlc-1\n"
            "ApMode                             : Local\n"
            f"CAPWAP Path MTU                    : {self.plan.path_mtu_bytes - 7}\n"
            "CAPWAP Sliding Window\n"
            "Active Window Size                 : 1\n"
            "AP TCP MSS Adjust                  : Enabled\n"
            "AP TCP MSS size                    : 1250\n"
            "CAPWAP Disconnect Reason:\n"
            "    Controller Last Sent: No value set\n"
            "Cisco Trustsec Config\n"
            "  AP Inline Tagging Mode            : Disabled\n"
        )

    def _wired(self) -> str:
        own = ipaddress.IPv4Interface(self.plan.address)
        return (
            "wired0    Link encap:Ethernet  HWaddr 02:00:5E:00:0A:80 eMac Status: UP\n"
            f"\t  inet addr: {own.ip}  Bcast: {own.network.broadcast_address}  "
            f"Mask: {own.netmask}\n"
            "          UP BROADCAST RUNNING PROMISC MULTICAST  MTU:2400  Metric:1\n"
            "          collisions:0 txqueuelen:80 \n"
            "\t  full Duplex, 1000 Mb/s\n\n"
            "Wired0 Port Statistics:\n"
            "RX PKTS    :         2123343/141         TX PKTS    :          109143/6         \n"
        )

    def _log(self) -> str:
        at = f"{self.now:%m/%d/%Y %H:%M:%S}.1234"
        return f"[*{at}] CAPWAP State: Run\n[*{at}] AP has joined controller wlc-1\n"
