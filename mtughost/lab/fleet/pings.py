"""Sized pings with DF as vendors' command lines take and print them: documents, recorded output.

"Size" is the whole IP packet on IOS and RouterOS, the payload of ICMP on FortiOS, Junos and Linux.
Whether a packet comes back is the device's matter (:meth:`VirtualDevice.echoes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mtughost.lab.fleet.device import VirtualDevice

_HEADERS_BYTES = 28
_IOS = re.compile(r"ping (?P<host>[0-9.]+) size (?P<size>\d+) df-bit repeat (?P<count>\d+)")
_JUNOS = re.compile(
    r"ping (?P<host>[0-9.]+) size (?P<size>\d+) do-not-fragment count (?P<count>\d+)"
)
_ROUTEROS = re.compile(
    r"/ping (?P<host>[0-9.]+) size=(?P<size>\d+) do-not-fragment count=(?P<count>\d+)"
)
_LINUX = re.compile(
    r"/bin/ping -n -M do -c (?P<count>\d+) -W 1 -s (?P<size>\d+) (?P<host>[0-9a-f.:]+)"
)


def ios(device: VirtualDevice, line: str) -> str | None:
    """Obey IOS's ``ping``; ``None`` where the line is none that is known here."""
    match = _IOS.fullmatch(line)
    if match is None:
        return None
    host, size, count = match["host"], int(match["size"]), int(match["count"])
    came = count if device.echoes(host, size) else 0
    times = ", round-trip min/avg/max = 1/1/2 ms" if came else ""
    return (
        f"Type escape sequence to abort.\nSending {count}, {size}-byte ICMP Echos to {host}, "
        f"timeout is 2 seconds:\nPacket sent with the DF bit set\n{'!' * came or '.' * count}\n"
        f"Success rate is {came * 100 // count} percent ({came}/{count}){times}\n"
    )


def junos(device: VirtualDevice, line: str) -> str | None:
    """Obey Junos's."""
    match = _JUNOS.fullmatch(line)
    if match is None:
        return None
    return "".join(_bsd(device, match["host"], int(match["size"]), int(match["count"])))


def fortios(device: VirtualDevice, host: str, options: dict[str, str]) -> str:
    """Obey ``execute ping`` with the options of before."""
    size, count = int(options.get("data-size", "56")), int(options.get("repeat-count", "5"))
    return "".join(_bsd(device, host, size, count))


def _bsd(device: VirtualDevice, host: str, payload: int, count: int) -> Iterator[str]:
    came = count if device.echoes(host, payload + _HEADERS_BYTES) else 0
    yield f"PING {host} ({host}): {payload} data bytes\n"
    for number in range(came):
        yield f"{payload + 8} bytes from {host}: icmp_seq={number} ttl=61 time=1.2 ms\n"
    yield f"\n--- {host} ping statistics ---\n"
    yield f"{count} packets transmitted, {came} packets received, "
    yield f"{100 - came * 100 // count}% packet loss\n"
    if came:
        yield "round-trip min/avg/max = 1.2/1.2/1.2 ms\n"


def routeros(device: VirtualDevice, line: str) -> str | None:
    """Obey RouterOS's: what exceeds its own interface is refused, the rest times out."""
    match = _ROUTEROS.fullmatch(line)
    if match is None:
        return None
    host, size, count = match["host"], int(match["size"]), int(match["count"])
    came = count if device.echoes(host, size) else 0
    rows = [f"{'SEQ':>5} {'HOST':<40} SIZE TTL TIME  STATUS\n"]
    for number in range(count):
        end = f"{size:>4}  61 1ms  " if came else f"{'':>9}      timeout"
        rows.append(f"{number:>5} {host:<40}{end}\n")
    times = " min-rtt=1ms avg-rtt=1ms max-rtt=1ms" if came else ""
    lost = 100 - came * 100 // count
    return "".join(rows) + f"    sent={count} received={came} packet-loss={lost}%{times}\n"


def linux(device: VirtualDevice, line: str) -> str | None:
    """Obey the ping of iputils."""
    match = _LINUX.fullmatch(line)
    if match is None:
        return None
    host, payload, count = match["host"], int(match["size"]), int(match["count"])
    headers = _HEADERS_BYTES + 20 * (":" in host)
    came = count if device.echoes(host, payload + headers) else 0
    rows = [f"PING {host} ({host}) {payload}({payload + headers}) bytes of data.\n"]
    rows += [
        f"{payload + 8} bytes from {host}: icmp_seq={number} ttl=61 time=1.20 ms\n"
        for number in range(1, came + 1)
    ]
    lost = 100 - came * 100 // count
    rows.append(f"\n--- {host} ping statistics ---\n{count} packets transmitted, {came} received, ")
    return "".join(rows) + f"{lost}% packet loss, time 1001ms\n"
