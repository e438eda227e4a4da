"""What FortiOS prints about its state: ``get``, ``diagnose``, ``fnsysctl``, ``execute``.

Formats as in recorded output of FortiOS 6.0 to 7.4.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mtughost.lab.fleet.fortios_tree import SECTIONS, Entry, RefusedError, parse_error

if TYPE_CHECKING:
    from mtughost.lab.fleet.fortios import FortiGate
    from mtughost.lab.fleet.fortios_cli import FortiCli

_INTERFACE = SECTIONS["system interface"]
_ROUTE_CODES = """\
Codes: K - kernel, C - connected, S - static, R - RIP, B - BGP
       O - OSPF, IA - OSPF inter area
       N1 - OSPF NSSA external type 1, N2 - OSPF NSSA external type 2
       E1 - OSPF external type 1, E2 - OSPF external type 2
       i - IS-IS, L1 - IS-IS level-1, L2 - IS-IS level-2, ia - IS-IS inter area
       * - candidate default

Routing table for VRF=0
"""
_FLAGS = {"physical": "1", "vlan": "1", "tunnel": "768", "loopback": "772"}


def get(cli: FortiCli, words: list[str]) -> str:
    """Obey ``get ...``."""
    device, line = cli.device, " ".join(words)
    if line == "system status":
        return _status(device)
    if line == "system performance status":
        return _performance(device)
    if not cli.may_see("system interface") or device.has_vdoms:
        raise parse_error(words[1] if len(words) > 1 else (words or [""])[0])
    if line == "system interface":
        return "".join(_interface(device, name) for name in device.table("system interface"))
    if line == "router info routing-table all":
        return _ROUTE_CODES + "".join(_routes(device))
    if line == "router info6 routing-table":
        return "IPv6 Routing Table\n" + "".join(_routes6(device))
    raise parse_error(words[0] if words else "")


def _performance(device: FortiGate) -> str:
    minutes = device.uptime_s // 60
    return f"""\
CPU states: 0% user 0% system 0% nice 100% idle 0% iowait 0% irq 0% softirq
Memory: 1918464k total, 803796k used (41.9%), 903144k free (47.1%), 211524k freeable (11.0%)
Average network usage: 12 / 9 kbps in 1 minute, 12 / 9 kbps in 10 minutes
Average sessions: 42 sessions in 1 minute, 41 sessions in 10 minutes
Uptime: {minutes // 1440} days,  {minutes // 60 % 24} hours,  {minutes % 60} minutes
"""


def _status(device: FortiGate) -> str:
    who = device.identity
    domains = "multiple" if device.has_vdoms else "disable"
    return f"""\
Version: {who.model} {who.version}
Security Level: 1
Firmware Signature: certified
Virus-DB: 1.00000(2018-04-09 18:07)
IPS-DB: 6.00741(2015-12-01 02:30)
Serial-Number: {who.serial}
BIOS version: 05000003
Log hard disk: Not available
Hostname: {device.settings("system global").values["hostname"]}
Private Encryption: Disable
Operation Mode: NAT
Current virtual domain: root
Max number of virtual domains: 10
Virtual domains status: 1 in NAT mode, 0 in TP mode
Virtual domain configuration: {domains}
FIPS-CC mode: disable
Current HA mode: standalone
Branch point: 0632
Release Version Information: GA
System time: Fri Oct 11 14:01:48 2024
Last reboot reason: warm reboot
"""


def _interface(device: FortiGate, name: str) -> str:
    entry = device.table("system interface")[name]
    mode = f"mode: {entry.get(_INTERFACE, 'mode')}    "
    common = (
        f"netbios-forward: disable    type: {device.kind_of(name)}   netflow-sampler: disable    "
        "sflow-sampler: disable    src-check: enable    explicit-web-proxy: disable    "
        "explicit-ftp-proxy: disable    proxy-captive-portal: disable    "
    )
    override = entry.get(_INTERFACE, "mtu-override")
    tail = (
        f"mtu-override: {override}    wccp: disable    drop-overlapped-fragment: disable    "
        "drop-fragment: disable"
    )
    return (
        f"== [ {name} ]\nname: {name}   {mode}ip: {entry.get(_INTERFACE, 'ip')}   "
        f"status: {entry.get(_INTERFACE, 'status')}    {common}{tail}\n"
    )


def _connected(device: FortiGate) -> Iterator[tuple[str, ipaddress.IPv4Interface]]:
    for name, entry in device.table("system interface").items():
        address, mask = entry.get(_INTERFACE, "ip").split(" ")
        if address != "0.0.0.0":  # noqa: S104 - "none" in FortiOS
            yield name, ipaddress.IPv4Interface(f"{address}/{mask}")


def _routes(device: FortiGate) -> Iterator[str]:
    static = SECTIONS["router static"]
    for entry in device.table("router static").values():
        address, mask = entry.get(static, "dst").split(" ")
        network = ipaddress.IPv4Network(f"{address}/{mask}")
        code = "S*" if network.prefixlen == 0 else "S"
        yield (
            f"{code:<8}{network} [{entry.get(static, 'distance')}/0] via "
            f"{entry.get(static, 'gateway')}, {entry.get(static, 'device')}\n"
        )
    for name, interface in _connected(device):
        yield f"{'C':<8}{interface.network} is directly connected, {name}\n"


def _address6(entry: Entry) -> str:
    inside = entry.inside.get("ipv6")
    return inside.values.get("ip6-address", "") if isinstance(inside, Entry) else ""


def _routes6(device: FortiGate) -> Iterator[str]:
    for name, entry in device.table("system interface").items():
        address = _address6(entry)
        if address:
            network = ipaddress.IPv6Interface(address).network
            yield f"{'C':<8}{network} via ::, {name}, 00:00:00\n"


def diagnose(device: FortiGate, verb: str, words: list[str]) -> str:
    """Obey ``diagnose ...`` and ``fnsysctl ...``."""
    line = " ".join(words)
    if verb == "fnsysctl" and line == "ifconfig":
        return "".join(_ifconfig(device, name) for name in device.table("system interface"))
    if line == "netlink interface list":
        names = list(device.table("system interface"))
        return "".join(_netlink(device, name, i) for i, name in enumerate(names, 3))
    if line == "ipv6 address list":
        return "".join(_addresses6(device))
    raise RefusedError(f"\ncommand parse error before '{words[-1] if words else ''}'\n")


def _up_flags(device: FortiGate, name: str) -> str:
    is_up = device.table("system interface")[name].get(_INTERFACE, "status") == "up"
    kind = device.kind_of(name)
    if kind == "tunnel":
        return f"{'up ' if is_up else ''}p2p {'run ' if is_up else ''}noarp multicast"
    return f"{'up ' if is_up else ''}broadcast {'run ' if is_up else ''}multicast"


def _netlink(device: FortiGate, name: str, index: int) -> str:
    kind = _FLAGS.get(device.kind_of(name), "1")
    return (
        f"if={name} family=00 type={kind} index={index} mtu={device.mtu_of(name)} link=0 master=0\n"
        f"ref=54 state=start present fw_flags=0 flags={_up_flags(device, name)} \n"
        f"Qdisc=mq hw_addr={device.mac_of(name)} broadcast_addr=ff:ff:ff:ff:ff:ff\n"
        "stat: rxp=28233 txp=13433 rxb=4699731 txb=10165101 rxe=0 txe=0 rxd=0 txd=0 mc=1575 "
        "collision=0 @ time=1623951101\n"
        "re: rxl=0 rxo=0 rxc=0 rxf=0 rxfi=0 rxm=0\n"
        "te: txa=0 txc=0 txfi=0 txh=0 txw=0\n"
        "misc rxc=0 txc=0\n"
        "input_type=0 state=3 arp_entry=0 refcnt=54\n\n"
    )


def _addresses6(device: FortiGate) -> Iterator[str]:
    for index, (name, entry) in enumerate(device.table("system interface").items(), 3):
        address = _address6(entry)
        if address:
            interface = ipaddress.IPv6Interface(address)
            yield (
                f"dev={index} devname={name} flag=P scope=0 "
                f"prefix={interface.network.prefixlen} addr={interface.ip} preferred=4294967295 "
                "valid=4294967295 cstamp=3471 tstamp=3471\n"
            )


def _ifconfig(device: FortiGate, name: str) -> str:
    entry = device.table("system interface")[name]
    address, mask = entry.get(_INTERFACE, "ip").split(" ")
    inet = f"        inet addr:{address}  Mask:{mask}\n" if address != "0.0.0.0" else ""  # noqa: S104
    running = "UP BROADCAST RUNNING MULTICAST"
    if entry.get(_INTERFACE, "status") != "up":
        running = "BROADCAST MULTICAST"
    return (
        f"{name}\tLink encap:Ethernet  HWaddr {device.mac_of(name).upper()}\n{inet}"
        f"        {running}  MTU:{device.mtu_of(name)}  Metric:1\n"
        "        RX packets:7513822 errors:0 dropped:0 overruns:0 frame:0\n"
        "        TX packets:12533342 errors:0 dropped:0 overruns:0 carrier:0\n"
        "        collisions:0 txqueuelen:1000\n"
        "        RX bytes:1116754241 (1.0 GB)  TX bytes:2218288063 (2.1 GB)\n\n"
    )


def execute(_device: FortiGate, words: list[str]) -> str:
    """Obey ``execute`` commands that only show."""
    if words[0] == "date":
        return "current date is: 2024-10-11\n"
    if words[0] == "time":
        return "current time is: 14:01:48\nlast ntp sync:Fri Oct 11 13:43:00 2024\n"
    target = words[1] if len(words) > 1 else ""
    return (
        f"PING {target} ({target}): 56 data bytes\n\n--- {target} ping statistics ---\n"
        "5 packets transmitted, 0 packets received, 100% packet loss\n"
    )
