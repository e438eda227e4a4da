"""What vendors' sniffers are told and what they print, after the vendors' documents.

FortiOS: knowledge base 194222 and the CLI reference of ``diagnose sniffer packet``. IOS-XE: Cisco
document 116045 (how a capture point is made), output published of ISR and CSR routers. ASA: command
reference of ``capture``, output quoted in Wireshark's ciscodump. VyOS, EdgeOS: tcpdump's manual.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mtughost.lab.fleet.clock import FleetClock, Timer
from mtughost.lab.fleet.tapping import (
    Packet,
    Printing,
    Summary,
    Tapped,
    Tapper,
    hex_groups,
    printable,
    rows,
    summary,
)

_TCP, _UDP, _ICMP = 6, 17, 1
_SYN, _ACK = 0x02, 0x10
_FORTIOS = re.compile(r"diagnose sniffer packet (\S+) '([^']*)' ([36]) (\d{1,5}) a")
_ALL = 65535


# -- FortiOS --------------------------------------------------------------------------------------
def fortios(tap: Tapper, line: str, mac_of: Callable[[str], str]) -> tuple[str, Printing] | None:
    """Start ``diagnose sniffer packet``; its first lines and itself, ``None`` for other lines."""
    found = _FORTIOS.fullmatch(line)
    if found is None:
        return None
    interface, expression, level, count = found[1], found[2], found[3], int(found[4])
    own = bytes.fromhex(mac_of(interface).replace(":", ""))

    def text_of(packet: Packet) -> str:
        where = f"{interface} {'in' if packet.data[:6] == own else 'out'} " if level == "6" else ""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(packet.time_s))
        head = f"{stamp}.{packet.micros:06d} {where}{_fortios_words(summary(packet.ip))}\n"
        body = "".join(
            f"0x{at:04x}\t {hex_groups(row, 2):<39}\t{printable(row)}\n"
            for at, row in rows(packet.data)
        )
        return f"{head}{body}\n"

    greeting = f"interfaces=[{interface}]\nfilters=[{expression}]\n"
    words = "{0} packets received by filter\n0 packets dropped by kernel\n"
    tapped = tap(interface, expression, _ALL, count)
    return greeting, Printing(tapped, text_of, words.format)


def _fortios_words(seen: Summary) -> str:
    source, target = seen.source, seen.target
    if seen.protocol == _TCP:
        flags = "".join(
            f"{word} "
            for bit, word in ((0x02, "syn"), (0x01, "fin"), (0x04, "rst"), (0x08, "psh"))
            if seen.flags & bit
        )
        number = f"{seen.sequence} " if flags else ""
        ack = f"ack {seen.acknowledged}" if seen.flags & _ACK else ""
        where = f"{source}.{seen.source_port} -> {target}.{seen.target_port}"
        return f"{where}: {flags}{number}{ack}".rstrip() + " "
    if seen.protocol == _UDP:
        return f"{source}.{seen.source_port} -> {target}.{seen.target_port}: udp"
    return f"{source} -> {target}: {'icmp' if seen.protocol == _ICMP else 'ip-proto'}"


# -- tcpdump on a command line that is a shell ----------------------------------------------------
_TCPDUMP = re.compile(
    r"sudo -n tcpdump -i (?P<interface>\S+) -n -p -l -tt -x (?:--immediate-mode )?"
    r"-s (?P<snap>\d+) -c (?P<count>\d+) '(?P<expression>[^']*)'"
)


def tcpdump(tap: Tapper, line: str) -> tuple[str, Printing] | None:
    """Start tcpdump's own printing; ``None`` for other lines."""
    found = _TCPDUMP.fullmatch(line)
    if found is None:
        return None
    greeting = (
        "tcpdump: verbose output suppressed, use -v or -vv for full protocol decode\n"
        f"listening on {found['interface']}, link-type EN10MB (Ethernet), capture size "
        f"{found['snap']} bytes\n"
    )
    tapped = tap(found["interface"], found["expression"], int(found["snap"]), int(found["count"]))
    words = "\n{0} packets captured\n{0} packets received by filter\n0 packets dropped by kernel\n"
    return greeting, Printing(tapped, _tcpdump_text, words.format)


def _tcpdump_text(packet: Packet) -> str:
    seen = summary(packet.ip)
    ports = (f".{seen.source_port}", f".{seen.target_port}") if seen.source_port else ("", "")
    head = (
        f"{packet.time_s}.{packet.micros:06d} IP {seen.source}{ports[0]} > {seen.target}{ports[1]}"
    )
    body = "".join(f"\t0x{at:04x}:  {hex_groups(row, 2)}\n" for at, row in rows(packet.ip))
    return f"{head}: length {seen.payload_bytes}\n{body}"


# -- captures in memory: IOS-XE and ASA -----------------------------------------------------------
@dataclass(slots=True)
class Point:
    """A capture that was defined on a device.

    Attributes:
        tapped: While it runs, and afterwards, what it caught.
    """

    interface: str = ""
    expression: str = ""
    snap: int = 9500
    packets: int = 0
    seconds: int = 0
    tapped: Tapped | None = None
    timer: Timer | None = None


@dataclass(slots=True)
class Captures:
    """All captures on a device; a reboot loses them."""

    points: dict[str, Point] = field(default_factory=dict)

    def stop(self, name: str) -> None:
        """End one."""
        point = self.points[name]
        if point.timer is not None:
            point.timer.cancel()
            point.timer = None
        if point.tapped is not None and point.tapped.is_running:
            point.tapped.stop()

    def caught(self, name: str) -> list[Packet]:
        """Return what one has caught."""
        tapped = self.points[name].tapped
        return tapped.packets() if tapped is not None else []

    def remove(self, name: str) -> None:
        """End one and forget it."""
        self.stop(name)
        del self.points[name]

    def clear(self) -> None:
        """Lose all of them."""
        for name in tuple(self.points):
            self.remove(name)


_EPC = re.compile(r"(?P<no>no )?monitor capture (?P<name>\w{1,8})(?: (?P<rest>.+))?")
_EPC_LIMIT = re.compile(
    r"limit(?: duration (?P<seconds>\d+))?(?: packets (?P<packets>\d+))?"
    r"(?: packet-len (?P<snap>\d+))?"
)
_EPC_SHOW = re.compile(r"show monitor capture (?P<name>\w{1,8}) buffer (?P<how>brief|dump)")
_BRIEF_HEAD = (
    " " + "-" * 76 + "\n #   size   timestamp     source             destination      dscp    "
    "protocol\n " + "-" * 76 + "\n"
)


def epc(captures: Captures, tap: Tapper, clock: FleetClock, line: str) -> str | None:
    """Obey the lines of IOS-XE's embedded packet capture; ``None`` for others."""
    shown = _EPC_SHOW.fullmatch(line)
    if shown is not None:
        if shown["name"] not in captures.points:
            return f"Capture {shown['name']} does not exist\n"
        packets = captures.caught(shown["name"])
        return _brief(packets) if shown["how"] == "brief" else _dump(packets)
    found = _EPC.fullmatch(line)
    if found is None:
        return None
    name, rest = found["name"], found["rest"] or ""
    if found["no"]:
        if name not in captures.points:
            return f"Capture {name} does not exist\n"
        captures.remove(name)
        return ""
    return _epc_set(captures, tap, clock, name, rest)


def _epc_set(
    captures: Captures, tap: Tapper, clock: FleetClock, name: str, rest: str
) -> str | None:
    point = captures.points.setdefault(name, Point())
    limit = _EPC_LIMIT.fullmatch(rest)
    if limit is not None:
        point.seconds = int(limit["seconds"] or point.seconds)
        point.packets = int(limit["packets"] or point.packets)
        point.snap = int(limit["snap"] or point.snap)
    elif rest == "match any":
        point.expression = "ip or ip6"
    elif rest.startswith("interface ") and rest.endswith(" both"):
        point.interface = rest.split()[1]
    elif rest == "start":
        if not point.interface or not point.expression:
            return "Capture needs an attachment point and a filter\nUnable to activate Capture.\n"
        point.tapped = tap(point.interface, point.expression, point.snap, point.packets)
        if point.seconds:
            point.timer = clock.call_later(point.seconds, lambda: captures.stop(name))
        return f"Started capture point : {name}\n"
    elif rest == "stop":
        captures.stop(name)
        return f"Stopped capture point : {name}\n"
    else:
        return None
    return ""


def _brief(packets: list[Packet]) -> str:
    lines = []
    for number, packet in enumerate(packets):
        passed = (packet.time_s - packets[0].time_s) * 1_000_000 + packet.micros - packets[0].micros
        seen = summary(packet.ip)
        kind = {_TCP: "TCP", _UDP: "UDP", _ICMP: "ICMP"}.get(seen.protocol, str(seen.protocol))
        lines.append(
            f"{number:>4} {packet.wire_bytes:>4} {passed // 1_000_000:>4}."
            f"{passed % 1_000_000:06d}   {seen.source:<16} ->  {seen.target:<16} 0  BE   {kind}\n"
        )
    return _BRIEF_HEAD + "".join(lines) + "\n"


def _dump(packets: list[Packet]) -> str:
    return "".join(
        f"{number}\n"
        + "".join(
            f"  {at:04X}:  {hex_groups(row, 4).upper():<35}   {printable(row):<16}\n"
            for at, row in rows(packet.data)
        )
        + "\n"
        for number, packet in enumerate(packets)
    )


_ASA = re.compile(
    r"capture (?P<name>\w{1,12}) interface (?P<interface>\S+) match tcp any any eq (?P<port>\d+)"
)
_ASA_SHOW = re.compile(r"show capture (?P<name>\w{1,12}) dump")
_ASA_NO = re.compile(r"no capture (?P<name>\w{1,12})")
_ASA_SNAP = 1518


def asa(captures: Captures, tap: Tapper, line: str) -> str | None:
    """Obey ``capture``, ``show capture`` and ``no capture``; ``None`` for others."""
    begun = _ASA.fullmatch(line)
    if begun is not None:
        point = captures.points.setdefault(begun["name"], Point(interface=begun["interface"]))
        if point.tapped is not None:
            point.tapped.stop()
        more = f" or tcp port {begun['port']}" if point.expression else f"tcp port {begun['port']}"
        point.expression += more
        point.tapped = tap(point.interface, point.expression, _ASA_SNAP, 0)
        return ""
    found = _ASA_SHOW.fullmatch(line) or _ASA_NO.fullmatch(line)
    if found is None:
        return None
    if found["name"] not in captures.points:
        return f"ERROR: Capture <{found['name']}> does not exist\n"
    if line.startswith("no "):
        captures.remove(found["name"])
        return ""
    packets = captures.caught(found["name"])
    text = f"\n{len(packets)} packets captured\n\n"
    for number, packet in enumerate(packets, start=1):
        seen = summary(packet.ip)
        stamp = time.strftime("%H:%M:%S", time.gmtime(packet.time_s))
        text += (
            f"{number:>4}: {stamp}.{packet.micros:06d}       {seen.source}.{seen.source_port} > "
            f"{seen.target}.{seen.target_port}:  . {seen.sequence}\n"
        )
        text += "".join(
            f"0x{at:04x} {hex_groups(row, 2):<39} {printable(row)}\n"
            for at, row in rows(packet.data)
        )
    return text + f"{len(packets)} packets shown\n"
