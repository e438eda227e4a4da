"""ASA's command line: exec, configuration, interfaces; its pager and its refusals."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mtughost.lab.fleet import sniffers
from mtughost.lab.fleet.device import Account, Page
from mtughost.lab.fleet.enable import EnableCli

if TYPE_CHECKING:
    from mtughost.lab.fleet.asa import Asa

_INVALID = "{}^\nERROR: % Invalid input detected at '^' marker.\n"
_DENIED = "Command authorization failed\n"
_PORT_LINES = {
    "nameif": r"[\w-]{1,48}",
    "security-level": r"\d{1,3}",
    "vlan": r"\d{1,4}",
    "ip address": r"\d+\.\d+\.\d+\.\d+ \d+\.\d+\.\d+\.\d+",
}
#: What stands in ``show running-config all sysopt`` around the two values.
_SYSOPT = """\
no sysopt connection timewait
sysopt connection tcpmss {mss}
sysopt connection tcpmss minimum {floor}
sysopt connection permit-vpn
sysopt connection reclassify-vpn
no sysopt connection preserve-vpn-flows
no sysopt radius ignore-secret
"""


class AsaCli(EnableCli):
    """One login: in privileged mode level 15 or, for ``partial``, 5; before ``enable`` level 1."""

    device: Asa
    page = Page(stop="<--- More --->", erase="\r              \r")
    again, refusal = "Invalid password\n", "Invalid password\nAccess denied.\n"

    def __init__(self, device: Asa, account: Account) -> None:
        super().__init__(device, account)
        self._mode: list[str] = []
        self._rows: int | None = None

    @property
    def level(self) -> int:
        """Privilege level."""
        above = 5 if self.account.level == "partial" else 15
        return above if self.is_above else 1

    @property
    def prompt(self) -> str:
        """Host name, mode and sign."""
        if self.is_asked:
            return "Password: "
        mode = {0: "", 1: "(config)"}.get(len(self._mode), "(config-if)")
        return f"{self.device.running.hostname}{mode}{self.sign} "

    @property
    def page_rows(self) -> int:
        """``terminal pager`` of this login."""
        return self.device.manners.page_rows if self._rows is None else self._rows

    def run(self, line: str) -> str:
        """Obey one line."""
        command, _, pipe = line.partition("|")
        words = command.split()
        if not words:
            return ""
        text = self._configure(words) if self._mode else self._exec(words)
        wanted = pipe.split()
        if wanted[:1] == ["include"]:
            rows = [row for row in text.split("\n")[:-1] if re.search(" ".join(wanted[1:]), row)]
            return "".join(f"{row}\n" for row in rows)
        return text

    def _refused(self, words: list[str], at: int = 0) -> str:
        return _INVALID.format(" " * (len(self.prompt) + sum(len(word) + 1 for word in words[:at])))

    # -- exec ------------------------------------------------------------------------------------
    def _exec(self, words: list[str]) -> str:  # noqa: C901, PLR0911 - one per command
        line = " ".join(words)
        if line == "enable":
            return self.enable()
        if (said := self._capture(line)) is not None:
            return said
        if words[0] == "show":
            return self._show(words)
        if words[:2] == ["terminal", "pager"] and words[-1].isdecimal():
            self._rows = int(words[-1])
            return ""
        if line == "exit":
            self.ended = True
            return "\nLogoff\n\n"
        if self.account.level != "full" or not self.is_above:
            return _DENIED
        if line == "configure terminal":
            self._mode = ["config"]
            return ""
        if line == "write memory":
            self.device.save()
            return "Building configuration...\nCryptochecksum: 6f2d1c0a 3b4e5f60\n\n[OK]\n"
        if words[:2] == ["reload", "in"] and words[2].isdecimal():
            self.device.plan_reload(int(words[2]))
            return f"***\n*** --- SHUTDOWN in 0:0{words[2]}:00 ---\n***\n"
        if line == "reload cancel":
            return "***\n*** --- SHUTDOWN ABORTED ---\n***\n" if self.device.plan_reload(0) else ""
        return self._refused(words)

    def _capture(self, line: str) -> str | None:
        if self.account.level != "full" or not self.is_above:
            return None
        return sniffers.asa(self.device.captures, self.device.tap, line)

    def _show(self, words: list[str]) -> str:
        config = self.device.running
        shown: dict[str, Callable[[], str]] = {
            "version": self._version,
            "curpriv": lambda: (
                f"Username : {self.account.username}\nCurrent privilege level : {self.level}\n"
                "Current Mode/s : {'P_PRIV' if self.is_above else 'P_UNPR'}\n"
            ),
            "interface": lambda: "".join(self._interfaces()),
            "route": lambda: "".join(self._routes()),
            "ipv6 interface brief": lambda: "".join(
                f"{lines['nameif']} [up/up]\n    unassigned\n"
                for lines in config.ports.values()
                if "nameif" in lines
            ),
            "asp drop": lambda: "Frame drop:\n  Flow is denied by configured rule (acl-drop)   7\n",
            "logging": lambda: "Syslog logging: enabled\n",
            "clock": lambda: "12:00:00.123 UTC Sat Nov 21 2026\n",
        }
        secret: dict[str, Callable[[], str]] = {
            "running-config all sysopt": lambda: _SYSOPT.format(mss=config.mss, floor=config.floor),
            "running-config sysopt": lambda: (
                "" if config.mss == 1380 else f"sysopt connection tcpmss {config.mss}\n"  # noqa: PLR2004
            ),
            "running-config names": lambda: "names\n" + "".join(f"{n}\n" for n in config.names),
            "running-config tcp-map": lambda: "",
            "running-config icmp": lambda: "icmp unreachable rate-limit 1 burst-size 1\n",
            "running-config dhcpd": lambda: "",
        }
        what = " ".join(words[1:])
        if what in secret:
            return secret[what]() if self.level > 14 else _DENIED  # noqa: PLR2004
        return shown[what]() if what in shown else self._refused(words, len(words) - 1)

    def _version(self) -> str:
        who, days = self.device.identity, self.device.uptime_s // 86400
        return (
            f"Cisco Adaptive Security Appliance Software Version {who.version}\n"
            "Device Manager Version 7.19(1)\n\nCompiled on Tue 10-Jan-23 01:02 GMT by builders\n"
            'System image file is "disk0:/asa.bin"\nConfig file at boot was "startup-config"\n\n'
            f"{self.device.running.hostname} up {days} days 3 hours\n\n"
            f"Hardware:   {who.model}, 4096 MB RAM, CPU Atom C2000 series 1750 MHz,\n\n"
            f"Serial Number: {who.serial}\n"
        )

    def _interfaces(self) -> Iterator[str]:
        for port, lines in self.device.running.ports.items():
            name = lines.get("nameif", "")
            mtu = f"MTU {self.device.mtu_of(name)}" if name else "MTU not set"
            mac = self.device.mac_of(name or port).replace(":", "")
            yield f'Interface {port} "{name}", is up, line protocol is up\n'
            yield "  Hardware is i82540EM rev03, BW 1000 Mbps, DLY 10 usec\n"
            if "vlan" in lines:
                yield f"\tVLAN identifier {lines['vlan']}\n"
            yield f"\tMAC address {mac[:4]}.{mac[4:8]}.{mac[8:]}, {mtu}\n"
            if "ip address" in lines:
                address, mask = lines["ip address"].split()
                yield f"\tIP address {address}, subnet mask {mask}\n"
            else:
                yield "\tIP address unassigned\n"
            yield f'  Traffic Statistics for "{name}":\n\t12 packets input, 3456 bytes\n'

    def _routes(self) -> Iterator[str]:
        yield (
            "\nCodes: L - local, C - connected, S - static, R - RIP, M - mobile, B - BGP\n"
            "       D - EIGRP, EX - EIGRP external, O - OSPF, IA - OSPF inter area\n"
            "       ia - IS-IS inter area, * - candidate default, U - per-user static route\n"
            "       o - ODR, P - periodic downloaded static route, + - replicated route\n"
        )
        routes = self.device.running.routes
        hop = next((r.split()[3] for r in routes if r.split()[1] == "0.0.0.0"), "")  # noqa: S104
        yield f"Gateway of last resort is {f'{hop} to network 0.0.0.0' if hop else 'not set'}\n\n"
        for route in routes:
            name, address, mask, via = route.split()[:4]
            code = "S*" if address == "0.0.0.0" else "S"  # noqa: S104 - the default route
            yield f"{code:<9}{address} {mask} [1/0] via {via}, {name}\n"
        for lines in self.device.running.ports.values():
            if "ip address" in lines and "nameif" in lines:
                mine = ipaddress.IPv4Interface(lines["ip address"].replace(" ", "/"))
                whole = f"{mine.network.network_address} {mine.network.netmask}"
                there = f"is directly connected, {lines['nameif']}\n"
                yield f"{'C':<9}{whole} {there}{'L':<9}{mine.ip} 255.255.255.255 {there}"

    # -- configuration ---------------------------------------------------------------------------
    def _configure(self, words: list[str]) -> str:  # noqa: PLR0911 - one per line
        config, line = self.device.running, " ".join(words)
        if words[0] in {"end", "exit"}:
            self._mode = self._mode[:-1] if words[0] == "exit" else []
            return ""
        if words[0] == "interface" and len(words) > 1:
            config.ports.setdefault(words[1], {})
            self._mode = ["config", words[1]]
            return ""
        if words[0] == "mtu" and len(words) == 3:  # noqa: PLR2004 - name and bytes
            if not words[2].isdecimal() or not 64 <= int(words[2]) <= 9198:  # noqa: PLR2004
                return self._refused(words, 2)
            config.mtus[words[1]] = int(words[2])
            return ""
        if words[0] == "route":
            config.routes.append(line.removeprefix("route "))
            return ""
        if "tcpmss" in words:
            return self._tcpmss(words)
        return self._port(words) if len(self._mode) > 1 else self._refused(words)

    def _tcpmss(self, words: list[str]) -> str:
        config = self.device.running
        found = re.fullmatch(
            r"(no )?sysopt connection tcpmss( minimum)?( \d{1,5})?", " ".join(words)
        )
        value = int(found[3] or 0) if found is not None else 0
        if found is None or (not found[1] and not found[3]) or (value and not value >= 48):  # noqa: PLR2004
            return self._refused(words, len(words) - 1)
        if found[2]:
            config.floor = 0 if found[1] else value
        else:
            config.mss = 1380 if found[1] else value
        return ""

    def _port(self, words: list[str]) -> str:
        lines, text = self.device.running.ports[self._mode[-1]], " ".join(words)
        if text in {"no shutdown", "shutdown"}:
            return ""
        for key, value in _PORT_LINES.items():
            if text.startswith(key + " "):
                said = text[len(key) + 1 :]
                if not re.fullmatch(value, said):
                    return self._refused(words, len(key.split()))
                lines[key] = said
                return ""
        return self._refused(words)
