"""Configuration, processes and files of a device, to be compared before and after.

What changes by itself on a living device is left out, and this module is the list of it:
counters, the agent's own short-lived helpers, login sessions, logs that every login or every
attempt of the agent extends, the agent's status file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mtughost.lab.handle import Lab
from mtughost.model.errors import LabError

#: Files that change without anybody's doing, below the device's own directories.
VOLATILE_FILES = (
    "run/cloud/status",
    "run/cloud/status.new",
    "var/log/radsecproxy.log",
    "var/log/portal-client.log",
    "var/log/openvpn.log",
    "var/log/sshd.log",
    "var/log/lastlog",
    "var/log/wtmp",
    "var/log/btmp",
    "run/utmp",
)
#: Programs that the agent and the boot script start and end all the time.
VOLATILE_PROGRAMS = re.compile(
    r"^(sleep|radclient|radsecproxy|curl|sed|grep|tail|head|cut|tr|wc|date|mv|printf|cat)\b"
    r"|^sshd: (?!/usr/sbin/sshd)|^/bin/sh /usr/local/bin/(cloud|appliance)-agent|<defunct>$"
)
_LOGINS_NOW = re.compile(r" \[listener\] .*")
#: Settings that the kernel itself moves.
_VOLATILE_SETTINGS = re.compile(r"nf_conntrack_count|conntrack.*(count|buckets)|\.base_reachable_")

_MARK = "=== "
_CONFIGURATION = r"""
say() { printf '=== %s\n' "$1"; }
say interfaces; ip -o link show | sed 's/ qlen [0-9]*//; s/ link-netnsid [0-9]*//'
say addresses; ip -o address show | sed 's/valid_lft.*//; s/ tentative//'
say routes
{ ip -4 route show table all; ip -6 route show table all; } | grep -v "^local fe80::" | sort
say policy; ip rule show; ip -6 rule show
say nftables; nft -s list ruleset
say iptables; iptables-save 2>/dev/null | sed '/^#/d; s/\[[0-9]*:[0-9]*\]//'
say ip6tables; ip6tables-save 2>/dev/null | sed '/^#/d; s/\[[0-9]*:[0-9]*\]//'
say settings; sysctl -a 2>/dev/null | grep -E '^(net|kernel\.hostname)'
say learned; ip route show cache | grep -E 'mtu|via' | sed 's/expires [0-9]*sec//' | sort
"""
_FILES = r"""
cd "/run/mtughost/devices/$1/fs" || exit 1
find . -xdev \( -type f -o -type l \) -printf '%m %y %l\t%P\n' | sort -k2
echo '=== sums'
find . -xdev -type f -printf '%P\n' | sort | tr '\n' '\0' | xargs -0 -r sha256sum
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One device at one moment.

    Attributes:
        configuration: Text by section: interfaces, addresses, routes, policy, nftables, iptables,
            ip6tables, settings.
        learned: Path-MTU entries of the kernel; a DF ping leaves one.
        processes: Command lines, sorted, each once.
        files: Mode, type and SHA-256 by path relative to the device's root.
    """

    device: str
    configuration: dict[str, str] = field(default_factory=dict)
    learned: str = ""
    processes: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)

    def differences(self, after: Snapshot) -> tuple[str, ...]:
        """Return one line for everything that is not the same in ``after``."""
        found = []
        for name in sorted(self.configuration | after.configuration):
            old = self.configuration.get(name, "").splitlines()
            new = after.configuration.get(name, "").splitlines()
            changed = [f"{name}: gone: {line}" for line in old if line not in new]
            changed += [f"{name}: new: {line}" for line in new if line not in old]
            if not changed and old != new:
                changed.append(f"{name}: in another order")
            found += changed
        if self.learned != after.learned:
            found.append(f"learned: {self.learned!r} became {after.learned!r}")
        found += [f"process gone: {line}" for line in self.processes if line not in after.processes]
        found += [f"process new: {line}" for line in after.processes if line not in self.processes]
        for path in sorted(self.files | after.files):
            old_file, new_file = self.files.get(path), after.files.get(path)
            if old_file != new_file:
                found.append(f"file {path}: {old_file} became {new_file}")
        return tuple(found)


def snapshot(lab: Lab, device: str) -> Snapshot:
    """Take a device's snapshot. Reads only; nothing is written on the device.

    Raises:
        LabError: no such device, or a command failed.
    """
    text = lab.in_device(device, ["sh", "-c", _CONFIGURATION], check=True).stdout
    sections = _sections(text)
    learned = sections.pop("learned", "")
    sections["settings"] = "\n".join(
        line
        for line in sections.get("settings", "").splitlines()
        if not _VOLATILE_SETTINGS.search(line)
    )
    return Snapshot(
        device=device,
        configuration=sections,
        learned=learned,
        processes=_processes(lab, device),
        files=_files(lab, device),
    )


def _sections(text: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith(_MARK):
            current = found.setdefault(line.removeprefix(_MARK), [])
        else:
            current.append(line.rstrip())
    return {name: "\n".join(lines) for name, lines in found.items()}


def _processes(lab: Lab, device: str) -> tuple[str, ...]:
    text = lab.in_device(device, ["ps", "-e", "-o", "pid=,ppid=,args="], check=True).stdout
    rows = [line.split(None, 2) for line in text.splitlines()]
    # Our own "ps" came in from outside: its parent is not visible here.
    commands = {_LOGINS_NOW.sub("", args) for pid, ppid, args in rows if ppid != "0" or pid == "1"}
    return tuple(sorted(args for args in commands if not VOLATILE_PROGRAMS.search(args)))


def _files(lab: Lab, device: str) -> dict[str, str]:
    if device not in lab.hosts:
        raise LabError(f"lab {lab.name!r} has no device {device!r}")
    text = lab.exec(["sh", "-c", _FILES, "sh", device], check=True).stdout
    listing, _, sums = text.partition(f"{_MARK}sums\n")
    found = {}
    for line in listing.splitlines():
        kind, _, path = line.partition("\t")
        found[path] = kind.strip()
    for line in sums.splitlines():
        digest, _, path = line.partition("  ")
        found[path] = f"{found.get(path, '')} {digest}".strip()
    return {path: value for path, value in found.items() if path not in VOLATILE_FILES}
