"""What a lab needs of this machine: programs, privileges, namespaces; and what is missing."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mtughost.model.errors import LabError

#: Debian package by program.
PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "iptables-restore": "iptables",
    "sysctl": "procps",
    "nsenter": "util-linux",
    "awk": "mawk",
}
SSH_PROGRAMS = {"sshd": "openssh-server"}
SERVICE_PROGRAMS = {
    "freeradius": "freeradius",
    "radclient": "freeradius-utils",
    "radsecproxy": "radsecproxy",
    "curl": "curl",
    "tcpdump": "tcpdump",
}
OPTIONAL_PROGRAMS = {"openvpn": "openvpn", "dnsmasq": "dnsmasq-base", "faketime": "faketime"}

#: Ids that a device needs besides root: its SSH server changes to users of its own.
NEEDED_IDS = 65536


@dataclass(frozen=True, slots=True)
class IdRange:
    """A range of subordinate ids of the calling user."""

    first: int
    count: int


def missing_packages(programs: dict[str, str]) -> tuple[str, ...]:
    """Return the Debian packages whose programs are not installed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = {
        package for program, package in programs.items() if not shutil.which(program, path=path)
    }
    return tuple(sorted(found))


def require(programs: dict[str, str]) -> None:
    """Refuse to start without the needed programs.

    Raises:
        LabError: names the missing Debian packages.
    """
    missing = missing_packages(programs)
    if missing:
        raise LabError(
            f"the lab needs programs that are not installed: {', '.join(missing)}",
            todo=f"As root: apt-get install --no-install-recommends {' '.join(missing)}",
        )


def missing_for_lab() -> tuple[str, ...]:
    """Return why no lab can run here, one sentence each; empty when one can.

    Really makes (and drops at once) the namespaces that a lab needs.
    """
    reasons = []
    try:
        require(PROGRAMS | SSH_PROGRAMS | SERVICE_PROGRAMS | {"unshare": "util-linux"})
        if os.geteuid() != 0:
            check_user_namespaces()
    except LabError as error:
        return (str(error),)
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    argv = ["unshare", *user, "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reasons.append(f"namespaces cannot be made here: {done.stderr.strip()}")
    return tuple(reasons)


def own_range(file: str) -> IdRange | None:
    """Return the caller's first range of at least 65536 ids in ``/etc/subuid`` or its twin."""
    user_id = os.getuid()
    try:
        user_name = pwd.getpwuid(user_id).pw_name
    except KeyError:
        user_name = str(user_id)
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        parts = line.split(":")
        if len(parts) == 3 and parts[0] in {user_name, str(user_id)}:  # noqa: PLR2004 - subuid(5)
            found = IdRange(int(parts[1]), int(parts[2]))
            if found.count >= NEEDED_IDS:
                return found
    return None


def check_user_namespaces() -> None:
    """Check that this user may have namespaces of its own, with a range of ids.

    Raises:
        LabError: names the setting, the file or the package that stands in the way.
    """
    for setting, bad in (
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):
        path = Path(setting)
        if path.exists() and path.read_text().strip() == bad:
            key = setting.removeprefix("/proc/sys/").replace("/", ".")
            good = {"0": "1", "1": "0"}[bad] if "max" not in setting else "65536"
            raise LabError(
                f"this kernel's setting {key}={bad} forbids namespaces to ordinary users",
                todo=f"As root: sysctl -w {key}={good}; or run the lab as root",
            )
    require({"newuidmap": "uidmap", "newgidmap": "uidmap"})
    for file in ("/etc/subuid", "/etc/subgid"):
        if own_range(file) is None:
            raise LabError(
                f"{file} gives this user no range of {NEEDED_IDS} ids",
                todo="As root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535"
                " USER; or run the lab as root",
            )


def map_ids(pid: int) -> None:
    """Map root and 65535 further ids of the new user namespace of ``pid``.

    Raises:
        LabError: a mapping was refused.
    """
    maps: tuple[tuple[str, str, Callable[[], int]], ...] = (
        ("newuidmap", "/etc/subuid", os.getuid),
        ("newgidmap", "/etc/subgid", os.getgid),
    )
    for program, file, own in maps:
        ids = own_range(file)
        if ids is None:
            raise LabError(f"{file} gives this user no range of {NEEDED_IDS} ids")
        argv = [program, str(pid), "0", str(own()), "1", "1", str(ids.first), str(NEEDED_IDS - 1)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(
                f"{program} refused: {done.stderr.strip()}", todo="Run the lab as root instead"
            )


def has_legacy_iptables() -> bool:
    """Return whether the old kernel interface of iptables can be used in a namespace here."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    argv = ["unshare", *user, "--net", "iptables-legacy", "-t", "mangle", "-L", "-n"]
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def neighbour_overflows() -> int:
    """Return how often this kernel's tables of neighbours were full, since it booted.

    All network namespaces share one table per family (``gc_thresh3``, usually 1024 entries). When
    many labs run at once it fills, and then packets to new neighbours are dropped at random.
    """
    total = 0
    for table in ("arp_cache", "ndisc_cache"):
        lines = Path("/proc/net/stat", table).read_text().splitlines()
        column = lines[0].split().index("table_fulls")
        total += sum(int(line.split()[column], 16) for line in lines[1:])
    return total
