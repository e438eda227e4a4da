"""A virtual OpenWrt access point: BusyBox, hostapd and radsecproxy behind dropbear."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

from mtughost.lab.fleet.device import Account
from mtughost.lab.fleet.shell import prelude
from mtughost.lab.fleet.shell_point import ShellPoint

_ZONE = dt.timezone(dt.timedelta(hours=1))
_NOW = dt.datetime(2026, 11, 21, 13, 0, 0, tzinfo=_ZONE)
_HISTORY_S, _RETRY_S, _STALL_S = 600, 60, 5


class OpenwrtPoint(ShellPoint):
    """One access point; its log is what logread prints, in local time."""

    platform = "openwrt"

    def prelude(self, account: Account) -> str:
        """Return the functions that answer instead of programs; ``partial`` is not root."""
        is_root = account.level != "partial"
        files = {"/proc/uptime": "86400.10 172000.20\n"}
        return prelude(
            files,
            self._answers(is_root=is_root),
            ("ubus", "uci", "fw4", "logread"),
            refused={} if is_root else {"logread": "Failed to find log object: Permission denied"},
            is_root=is_root,
        )

    def _answers(self, *, is_root: bool) -> dict[str, str]:
        plan = self.plan
        board = {
            "kernel": "6.6.73",
            "hostname": self.identity.hostname,
            "system": "MediaTek MT7981",
            "model": self.identity.model,
            "release": {"distribution": "OpenWrt", "version": self.identity.version},
        }
        links = (
            "2: br-lan: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu "
            f"{plan.mtu_bytes} qdisc noqueue state UP \n"
            "    link/ether 02:00:5e:00:0a:90 brd ff:ff:ff:ff:ff:ff\n"
        )
        return {
            "ubus call system board": json.dumps(board, indent="\t") + "\n",
            "id -u": "0\n" if is_root else "1000\n",
            "ip link show": links,
            "ip address show": f"{links}    inet {plan.address} scope global br-lan\n"
            "       valid_lft forever preferred_lft forever\n",
            "ip -4 route show table all": f"default via {plan.gateway} dev br-lan \n",
            "ip -6 route show table all": "",
            "date +%Y-%m-%d %H:%M:%S": f"{_NOW:%Y-%m-%d %H:%M:%S}\n",
            "date +GMT%z": f"GMT{_NOW:%z}\n",
            "logread -e radsecproxy": "".join(self._radsec()),
            "logread -e hostapd": "",
        }

    def _radsec(self) -> Iterator[str]:
        host, port = self.plan.server
        peer = f"cloud ({host} port {port})"
        for back_s in range(_HISTORY_S, 0, -_RETRY_S):
            at = _NOW - dt.timedelta(seconds=back_s)
            yield _line(at, "notice", f"tlsconnect: trying to open TLS connection to server {peer}")
            if self.reaches():
                words = f"{peer}, subject CN=radsec.example.net with cipher TLS_AES_256_GCM_SHA384"
                yield _line(at, "warn", f"tlsconnect: TLS connection to {words} up")
            else:
                later = at + dt.timedelta(seconds=_STALL_S)
                yield _line(later, "err", f"tlsconnect: SSL connect to {peer} failed")


def _line(at: dt.datetime, level: str, words: str) -> str:
    return f"{at:%a %b %d %H:%M:%S %Y} daemon.{level} radsecproxy[2101]: {words}\n"
