"""A virtual Ruckus access point: SSH lets everybody in, ``rkscli`` asks for the account."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from mtughost.lab.fleet.device import Account, Cli
from mtughost.lab.fleet.table_point import Layout, TableCli, TablePoint

_CONTROLLER = "198.51.100.40"
_NOBODY = Account(username="", level="partial")
_TRIES = 3


class RuckusPoint(TablePoint):
    """One access point; after a recorded session with SmartZone and published scripts."""

    platform = "ruckus_ap"
    layout = Layout(
        prompt="rkscli: ",
        unknown="{}: Command not found\n",
        hidden=("get scg", "get syslog"),
        after="OK\n",
    )

    @property
    def asks_itself(self) -> bool:
        """SSH lets everybody in."""
        return True

    def login(self, username: str) -> Cli:
        """Open a terminal that asks who is there; what SSH was told is ignored."""
        del username
        cli = RuckusCli(self, _NOBODY)
        self._open.append(cli)
        return cli

    def command_line(self, account: Account) -> Cli:
        """Return the command line of an account that is logged in."""
        cli = RuckusCli(self, account)
        cli.stage = "in"
        return cli

    def answers(self) -> Mapping[str, str]:
        """Return what every line answers, now."""
        one, own = self.identity, ipaddress.IPv4Interface(self.plan.address)
        return {
            "get version": (
                f"Ruckus {one.model} Multimedia Hotzone Wireless AP\nVersion: {one.version}\n"
            ),
            "get boarddata": (
                f"name:     {one.model}\nmagic:    35333131\n"
                "base      02:00:5E:00:0A:90\n"
                f"Serial#:  {one.serial}\nModel:    {one.model}\n"
            ),
            "get device-name": f"device name : '{one.hostname}'\n",
            "get ipaddr wan": (
                f"IP Address: (dynamic, vlan 1), IP: {own.ip}  Netmask {own.netmask}  "
                f"Gateway {self.plan.gateway}\n"
            ),
            "get scg": self._controller(),
            "get syslog log": (
                f"{self.now:%b %d %H:%M:%S} {one.hostname} daemon.info wsgclient[501]: "
                "communicatorInit:300 heartbeat\n"
            ),
        }

    def _controller(self) -> str:
        return (
            "\n------ SCG Information ------\n"
            "SCG Service is enabled.\n"
            "AP is managed by SCG.\n"
            "State: RUN_STATE\n"
            f"Server List: {_CONTROLLER}\n"
            f"SSH tunnel connected to {_CONTROLLER}\n"
            "Failover List: Not found\n"
            "SCG default URL: RuckusController\n"
            "SCG config|heartbeat intervals: 30|30\n"
            "Controller Cert Validation : disable\n"
            "-----------------------------\n"
        )


class RuckusCli(TableCli):
    """One terminal: user, password, then ``rkscli``."""

    device: RuckusPoint

    def __init__(self, device: RuckusPoint, account: Account) -> None:
        super().__init__(device, account)
        self.stage = "user"
        self._said = ""
        self._tries = 0

    @property
    def prompt(self) -> str:
        """What it asks for."""
        asked = {"user": "Please login: ", "password": "password : "}
        return asked.get(self.stage, "rkscli: ")

    @property
    def echoes(self) -> bool:  # type: ignore[override]
        """Passwords do not appear."""
        return self.stage != "password"

    def type(self, line: str) -> str:
        """Take one line; what is typed as a password is kept nowhere."""
        if self.stage == "in":
            return super().type(line)
        return self.run(line)

    def run(self, line: str) -> str:
        """Obey one line."""
        if self.stage == "user":
            self._said, self.stage = line.strip(), "password"
            return ""
        if self.stage == "password":
            return self._enter(line)
        return super().run(line)

    def _enter(self, password: str) -> str:
        account = self.device.accounts.get(self._said)
        if account is None or not account.password or account.password != password:
            self.stage, self._tries = "user", self._tries + 1
            self.ended = self._tries >= _TRIES
            return "Login incorrect\n\n"
        self.account, self.stage = account, "in"
        model, serial = self.device.identity.model, self.device.identity.serial
        return (
            "Copyright(C) 2022 Ruckus Wireless, Inc. All Rights Reserved.\n\n"
            f"** Ruckus {model} Multimedia Hotzone Wireless AP: {serial}\n\n"
        )
