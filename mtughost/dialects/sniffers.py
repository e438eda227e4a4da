"""Readers of what vendors' sniffers print, by name. Each returns the packets as a capture file.

A reader gets the answers by the role that the task book gives them, and when the capture began by
our own clock: some devices print a time of day without a date, or times since the first packet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from mtughost.dialects.hexdump import Assembly, Sniffed, drop_note, groups

#: Answers by role (``packets``, and ``times`` where they stand apart); seconds since 1970.
Sniffer = Callable[[Mapping[str, str], float], Sniffed]

_DAY_S = 86_400
_ZONE_S = 900  # all time zones are whole quarters of an hour
_MICRO = 1_000_000

# -- FortiOS: diagnose sniffer packet IF 'FILTER' 3|6 COUNT a|l ------------------------------------
# Fortinet knowledge base 194222, CLI reference "diagnose sniffer":
#   2017-09-12 12:40:13.675529 port1 in 192.0.2.1.22 -> 192.0.2.9.20912: syn 3631446142 ack 56
#   0x0000   0000 0000 0001 0023 e93e 7a38 0800 4500        .......#.>z8..E.
_DATED = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{1,9}) ")
_RELATIVE = re.compile(r"^(\d{1,9})\.(\d{1,9}) ")
_ROW = re.compile(r"^[ \t]*0x([0-9a-fA-F]{4,5}):?[ \t]+(\S.*)$")


def read_fortinet(answers: Mapping[str, str], began_s: float) -> Sniffed:
    """Read FortiOS's sniffer at verbosity 3 or 6."""

    def moment_us(line: str) -> int | None:
        if (dated := _DATED.match(line)) is not None:
            return _dated_us(dated)
        relative = _RELATIVE.match(line)
        return int(began_s * _MICRO) + _us(relative[1], relative[2]) if relative else None

    assembly, notes = _printed(answers["packets"], moment_us)
    return assembly.sniffed(notes)


def _printed(text: str, moment_us: Callable[[str], int | None]) -> tuple[Assembly, list[str]]:
    """Read packets of which each has a first line with its time, and rows of hex below it."""
    assembly, notes = Assembly(), []
    for line in text.split("\n"):
        row = _ROW.match(line)
        if row is not None:
            _add(assembly, row, 4, 8)
        elif (when_us := moment_us(line)) is not None:
            assembly.begin(when_us)
        elif note := drop_note(line):
            notes.append(note)
    return assembly, notes


def _dated_us(found: re.Match[str]) -> int:
    try:
        moment = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:  # 30 February
        return 0
    return int(moment.timestamp()) * _MICRO + _us("0", found[2])


def _us(seconds: str, fraction: str) -> int:
    return int(seconds) * _MICRO + int(fraction[:6].ljust(6, "0"))


def _add(assembly: Assembly, row: re.Match[str], width: int, most: int) -> None:
    data = groups(row[2], width, most)
    if data is not None:
        assembly.row(int(row[1], 16), data)


# -- tcpdump -tt -x on a command line that is a shell (VyOS, EdgeOS) ------------------------------
#   1763769600.123456 IP 192.0.2.1.40000 > 192.0.2.9.2083: Flags [S], seq 1, win 64240, length 0
#   \t0x0000:  4500 003c 1c46 4000 4006 b1e6 c000 0201
_EPOCH = re.compile(r"^(\d{9,11})\.(\d{1,9}) ")


def read_tcpdump(answers: Mapping[str, str], began_s: float) -> Sniffed:  # noqa: ARG001 - the protocol
    """Read tcpdump's own hex rows."""

    def moment_us(line: str) -> int | None:
        epoch = _EPOCH.match(line)
        return _us(epoch[1], epoch[2]) if epoch else None

    assembly, notes = _printed(answers["packets"], moment_us)
    return assembly.sniffed(notes, is_ip=True)


# -- IOS-XE: show monitor capture NAME buffer dump, and ... brief for the times --------------------
#   0
#     0000:  00000C07 AC154C5D 3C259068 08004500   ......L]<%.h..E.
# brief:
#    0  435    0.000000   192.0.2.64       ->  203.0.113.132    0  BE   TCP
_NUMBER = re.compile(r"^ {0,8}(\d{1,6})$")
_EPC_ROW = re.compile(r"^ {1,8}([0-9A-Fa-f]{4,5}):[ \t]+(\S.*)$")
_EPC_TIME = re.compile(r"^ {0,8}(\d{1,6}) +(\d{1,6}) +(\d{1,9})\.(\d{1,9}) +\S")


def read_cisco_epc(answers: Mapping[str, str], began_s: float) -> Sniffed:
    """Read the buffer of an embedded packet capture; ``times`` has sizes on the wire, too."""
    times: dict[int, tuple[int, int]] = {}
    for line in answers["times"].split("\n"):
        found = _EPC_TIME.match(line)
        if found is not None:
            times[int(found[1])] = (_us(found[3], found[4]), int(found[2]))
    assembly, notes, base_us = Assembly(), [], int(began_s * _MICRO)
    untimed = 0
    for line in answers["packets"].split("\n"):
        row, number = _EPC_ROW.match(line), _NUMBER.match(line)
        if row is not None:
            _add(assembly, row, 8, 4)
        elif number is not None:
            when_us, wire_bytes = times.get(int(number[1]), (0, 0))
            untimed += int(number[1]) not in times
            assembly.begin(base_us + when_us, wire_bytes)
    assembly.end()
    if not assembly.frames and not assembly.damaged and answers["packets"].strip():
        notes.append("the buffer is not printed as routers print it (a switch?): nothing was read")
    if untimed:
        notes.append(f"{untimed} packets have no time")
    return assembly.sniffed(notes)


# -- ASA: show capture NAME dump -------------------------------------------------------------------
#   1: 20:40:01.108469       192.0.2.212 > 192.0.2.5 icmp: echo request
# 0x0000 a453 0ef3 7fc0 74ad 98e5 0004 0800 4500 .S....t.......E.
_OF_DAY = re.compile(r"^ {0,8}\d{1,6}: (\d\d):(\d\d):(\d\d)\.(\d{1,9})\b")


def read_cisco_asa(answers: Mapping[str, str], began_s: float) -> Sniffed:
    """Read an ASA's capture. Its times have neither date nor zone: ours give both."""
    assembly, shift_s, last_s = Assembly(), None, 0
    for line in answers["packets"].split("\n"):
        row = _ROW.match(line)
        if row is not None:
            _add(assembly, row, 4, 8)
            continue
        found = _OF_DAY.match(line)
        if found is None:
            continue
        of_day_s = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])
        if shift_s is None:
            # Whole quarters of an hour are the zone; what is left is how far its clock is off.
            shift_s = round((began_s - of_day_s) / _ZONE_S) * _ZONE_S
        elif of_day_s < last_s - _DAY_S // 2:
            shift_s += _DAY_S
        last_s = of_day_s
        assembly.begin((of_day_s + shift_s) * _MICRO + _us("0", found[4]))
    return assembly.sniffed()


SNIFFERS: Mapping[str, Sniffer] = {
    "cisco-asa": read_cisco_asa,
    "cisco-epc": read_cisco_epc,
    "fortinet": read_fortinet,
    "tcpdump": read_tcpdump,
}
#: Answers that a reader needs, by role.
ROLES: Mapping[str, tuple[str, ...]] = {
    name: ("packets", "times") if name == "cisco-epc" else ("packets",) for name in SNIFFERS
}

#: How each is told from the others, by whole lines near the beginning of a text.
SIGNS: Mapping[str, re.Pattern[str]] = {
    "cisco-asa": re.compile(r"(?m)^ {0,8}\d{1,6}: \d\d:\d\d:\d\d\.\d{6}\b.*\n0x0000 "),
    "cisco-epc": re.compile(r"(?m)^ {0,8}\d{1,6}\n {1,8}0000: {2}[0-9A-F]{8} "),
    "fortinet": re.compile(r"(?m)^(\d{4}-\d\d-\d\d \S+|\d{1,9}\.\d{6}) \S.*\n0x0000[ \t]"),
    "tcpdump": re.compile(r"(?m)^\d{9,11}\.\d{6} IP6? .*\n(?: .*\n)?\t0x0000: "),
}


def recognised(head: str) -> str:
    """Return the reader for a sniffer's text by its beginning, ``""`` where it is none."""
    plain = head.replace("\r\n", "\n")
    return next((name for name, sign in SIGNS.items() if sign.search(plain)), "")


def read_text(text: str, name: str) -> Sniffed:
    """Read a sniffer's text that somebody kept. Times without a date are of 1 January 1970."""
    plain = text.replace("\r\n", "\n")
    return SNIFFERS[name](dict.fromkeys(ROLES[name], plain), _DAY_S / 2)
