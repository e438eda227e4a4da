"""What IOS-XE prints, in the formats of recorded output."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mtughost.lab.fleet.words import split

if TYPE_CHECKING:
    from mtughost.lab.fleet.ios import IosConfig, IosRouter
    from mtughost.lab.fleet.ios_cli import IosCli

_CODES = """\
Codes: L - local, C - connected, S - static, R - RIP, M - mobile, B - BGP
       D - EIGRP, EX - EIGRP external, O - OSPF, IA - OSPF inter area 
       N1 - OSPF NSSA external type 1, N2 - OSPF NSSA external type 2
       E1 - OSPF external type 1, E2 - OSPF external type 2, m - OMP
       n - NAT, Ni - NAT inside, No - NAT outside, Nd - NAT DIA
       i - IS-IS, su - IS-IS summary, L1 - IS-IS level-1, L2 - IS-IS level-2
       ia - IS-IS inter area, * - candidate default, U - per-user static route
       H - NHRP, G - NHRP registered, g - NHRP registration summary
       o - ODR, P - periodic downloaded static route, l - LISP
       a - application route
       + - replicated route, % - next hop override, p - overrides from PfR
       & - replicated local route overrides by connected

"""  # noqa: W291 - as recorded


def show(cli: IosCli, command: str, rest: list[str]) -> str:
    """Obey one of the ``show`` commands."""
    device = cli.device
    if command == "show running-config":
        return _running(cli, rest)
    texts: dict[str, Callable[[], str]] = {
        "show version": lambda: _version(device),
        "show privilege": lambda: f"Current privilege level is {cli.level}\n",
        "show ip interface": lambda: "".join(_ip_interfaces(device)),
        "show ip interface brief": lambda: "".join(_brief(device)),
        "show ipv6 interface": lambda: "".join(_ipv6_interfaces(device)),
        "show ip route": lambda: "".join(_routes(device.running)),
        "show ip traffic": lambda: _TRAFFIC,
        "show archive config rollback timer": lambda: _rollback(device),
    }
    if command == "show startup-config":
        return "".join(_config(device.saved, device, saved=True))
    if command.startswith("show archive config differences"):
        return "".join(_differences(device))
    return texts[command]() if command in texts else ""


_TRAFFIC = """\
IP statistics:
  Rcvd:  24780 total, 24780 local destination
         0 format errors, 0 checksum errors, 0 bad hop count
  Frags: 0 reassembled, 0 timeouts, 0 couldn't reassemble
         0 fragmented, 0 fragments, 117 couldn't fragment
  Bcast: 0 received, 0 sent

ICMP statistics:
  Rcvd: 0 format errors, 0 checksum errors, 0 redirects, 0 unreachable
"""


def _version(device: IosRouter) -> str:
    who, hours = device.identity, device.uptime_s // 3600
    minutes = device.uptime_s // 60 % 60
    return f"""\
Cisco IOS XE Software, Version {who.version}
Cisco IOS Software [Bengaluru], ISR Software (ARMV8EL_LINUX_IOSD-UNIVERSALK9_IAS-M), \
Version {who.version}, RELEASE SOFTWARE (fc3)
Technical Support: http://www.cisco.com/techsupport

ROM: 17.3(5r)

{device.running.hostname} uptime is {hours} hours, {minutes} minute{"s" if minutes != 1 else ""}
System returned to ROM by reload
System image file is "bootflash:packages.conf"

cisco {who.model} (1RU) processor with 1392768K/6147K bytes of memory.
Processor board ID {who.serial}
Router operating mode: Autonomous
4 Gigabit Ethernet interfaces

Configuration register is 0x2102

"""


def _ip_interfaces(device: IosRouter) -> Iterator[str]:
    for name, lines in device.running.interfaces.items():
        state = "administratively down" if "shutdown" in lines else "up"
        yield f"{name} is {state}, line protocol is {'down' if 'shutdown' in lines else 'up'}\n"
        if "ip address" not in lines:
            yield "  Internet protocol processing disabled\n"
            continue
        interface = ipaddress.IPv4Interface(lines["ip address"].replace(" ", "/"))
        never = lines.get("ip unreachables") == "no"
        extra = ", TCP Adjust MSS" if "ip tcp adjust-mss" in lines else ""
        yield (
            f"  Internet address is {interface.with_prefixlen}\n"
            "  Broadcast address is 255.255.255.255\n"
            "  Address determined by setup command\n"
            f"  MTU is {device.mtu_of(name)} bytes\n"
            "  Helper address is not set\n"
            "  Directed broadcast forwarding is disabled\n"
            "  Proxy ARP is enabled\n"
            "  ICMP redirects are always sent\n"
            f"  ICMP unreachables are {'never' if never else 'always'} sent\n"
            "  ICMP mask replies are never sent\n"
            f"  Input features: MCI Check{extra}\n"
            f"  Output features: Post-routing NAT Outside{extra}\n"
        )


def _ipv6_interfaces(device: IosRouter) -> Iterator[str]:
    for name, lines in device.running.interfaces.items():
        if "ipv6 address" not in lines:
            continue
        interface = ipaddress.IPv6Interface(lines["ipv6 address"])
        address, network = str(interface.ip).upper(), str(interface.network).upper()
        yield (
            f"{name} is up, line protocol is up\n"
            "  IPv6 is enabled, link-local address is FE80::1 \n"
            "  No Virtual link-local address(es):\n"
            "  Global unicast address(es):\n"
            f"    {address}, subnet is {network} \n"
            f"  MTU is {lines.get('ipv6 mtu') or device.mtu_of(name)} bytes\n"
            "  ICMP error messages limited to one every 100 milliseconds\n"
        )


def _brief(device: IosRouter) -> Iterator[str]:
    yield "Interface              IP-Address      OK? Method Status                Protocol\n"
    for name, lines in device.running.interfaces.items():
        address = lines.get("ip address", "unassigned").split(" ")[0]
        yield f"{name:<22} {address:<15} YES NVRAM  up                    up\n"


def _routes(config: IosConfig) -> Iterator[str]:
    yield _CODES
    hop = next((r.split()[-1] for r in config.routes if " 0.0.0.0 0.0.0.0 " in r), "")
    last = f"is {hop} to network 0.0.0.0" if hop else "is not set"
    yield f"Gateway of last resort {last}\n\n"
    for route in config.routes:
        address, mask, via = route.split()[2:5]
        network = ipaddress.IPv4Network(f"{address}/{mask}")
        yield f"{'S*' if network.prefixlen == 0 else 'S':<6}{network} [1/0] via {via}\n"
    for name, lines in config.interfaces.items():
        if "ip address" in lines:
            interface = ipaddress.IPv4Interface(lines["ip address"].replace(" ", "/"))
            classful = _classful(interface.ip)
            yield f"      {classful} is variably subnetted, 2 subnets, 2 masks\n"
            yield f"{'C':<9}{interface.network} is directly connected, {name}\n"
            yield f"{'L':<9}{interface.ip}/32 is directly connected, {name}\n"


def _classful(address: ipaddress.IPv4Address) -> ipaddress.IPv4Network:
    first = int(address) >> 24
    length = 8 if first < 128 else 16 if first < 192 else 24  # noqa: PLR2004 - classes
    return ipaddress.IPv4Network(f"{address}/{length}", strict=False)


def _rollback(device: IosRouter) -> str:
    if device.backup is None:
        return "%No Rollback Confirmed Change pending\n"
    device.undo_was_shown = True
    return (
        "Time configured(or reconfigured): 12:00:00 UTC Sat Nov 21 2026\n"
        f"Timer type: absolute timer\nTimer value: {device.revert_minutes} min\n"
        f"User: {device.revert_by}\n"
    )


def _running(cli: IosCli, rest: list[str]) -> str:
    config = cli.device.running
    if len(rest) > 1 and "interface".startswith(rest[0]):
        name = "".join(rest[1:])
        if name not in config.interfaces:
            return cli.refused(["show", "running-config", *rest], 3)
        body = "".join(_interface(name, config.interfaces[name], cli.level))
        head = f"Building configuration...\n\nCurrent configuration : {len(body)} bytes\n!\n"
        return f"{head}{body}end\n\n"
    return "".join(_config(config, cli.device, cli.level))


def _differences(device: IosRouter) -> Iterator[str]:
    """Print what runs and is not saved, and the other way round, with the section above it."""
    yield "!Contextual Config Diffs:\n"
    saved, running = device.saved.interfaces, device.running.interfaces
    is_same = True
    for name in dict.fromkeys((*saved, *running)):
        old = list(_interface(name, saved.get(name, {}), 15))[1:]
        new = list(_interface(name, running.get(name, {}), 15))[1:]
        changes = [f" +{x.strip()}\n" for x in new if x not in old]
        changes += [f" -{x.strip()}\n" for x in old if x not in new]
        if changes:
            is_same = False
            yield from (f"interface {name}\n", *changes)
    if is_same:
        yield "!No changes were found\n"


def _config(
    config: IosConfig, device: IosRouter, level: int = 15, *, saved: bool = False
) -> Iterator[str]:
    if saved:
        yield "Using 4711 out of 33554432 bytes\n!\n"
    else:
        yield "Building configuration...\n\nCurrent configuration : 4711 bytes\n!\n"
    yield f"version {'.'.join(device.identity.version.split('.')[:2])}\n!\n"
    yield f"hostname {config.hostname}\n!\n"
    if config.archive:
        yield f"archive\n path {config.archive}\n!\n"
    for name, lines in config.interfaces.items():
        yield from _interface(name, lines, level)
        yield "!\n"
    yield "".join(f"{route}\n" for route in config.routes) if level == 15 else ""  # noqa: PLR2004
    yield "!\nend\n\n"


def _interface(name: str, lines: dict[str, str], level: int) -> Iterator[str]:
    """Print an interface; below level 15 only its head, as IOS leaves out what may not be set."""
    yield f"interface {name}\n"
    if level < 15:  # noqa: PLR2004 - the level that sees everything
        return
    for key, value in lines.items():
        yield f" no {key}\n" if value == "no" else f" {key} {value}".rstrip() + "\n"
    if "ip address" not in lines:
        yield " no ip address\n"


def filtered(text: str, pipe: str) -> str:
    """``| section``, ``| include``, ``| begin``."""
    words = split(pipe)
    if len(words) < 2 or not words[0]:  # noqa: PLR2004 - filter and expression
        return "% Incomplete command.\n\n"
    expression = re.compile(" ".join(words[1:]))
    lines = text.split("\n")[:-1]
    if "section".startswith(words[0]):
        lines = list(_section(lines, expression))
    elif "include".startswith(words[0]):
        lines = [line for line in lines if expression.search(line)]
    else:
        starts = (i for i, line in enumerate(lines) if expression.search(line))
        lines = lines[next(starts, len(lines)) :]
    return "".join(f"{line}\n" for line in lines)


def _section(lines: list[str], expression: re.Pattern[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        inside = bool(expression.search(line)) or (inside and line.startswith(" "))
        if inside:
            yield line
