"""The one process that holds a lab: ``python -m mtughost.lab.holder``.

Started by :mod:`mtughost.lab.runtime`, with which it speaks JSON lines over its standard input and
output. It moves into namespaces of its own and becomes the first process of a new process
namespace, so that everything in the lab ends when it does. Once the lab stands it turns into a
shell that only reaps: the number and the start time stay, the memory goes.

Inside, ``holder reboot NAME`` boots one device anew.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from mtughost.lab import boot, build, nsops, vendor_host
from mtughost.lab.plan import from_json
from mtughost.model.errors import LabError

_REAPER = "while :; do sleep 2147483647 & wait; done"


def main(argv: list[str]) -> int:
    """Run as launcher, or inside a lab as its ``reboot`` command."""
    if argv[:1] == ["reboot"]:
        try:
            if not vendor_host.rebooted(argv[1]):
                boot.reboot(argv[1])
        except (LabError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
        return 0
    return launch()


def _say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _hear() -> dict[str, Any]:
    line = sys.stdin.buffer.readline()
    if not line:
        # Whoever started us is gone: nothing may be left behind.
        os._exit(1)
    message: dict[str, Any] = json.loads(line)
    return message


def launch() -> int:
    """Make the namespaces, fork the lab's first process, report its number, end."""
    options = _hear()
    flags = (
        nsops.CLONE_NEWNS
        | nsops.CLONE_NEWPID
        | nsops.CLONE_NEWNET
        | nsops.CLONE_NEWUTS
        | nsops.CLONE_NEWIPC
    )
    try:
        if options["user_namespace"]:
            nsops.unshare(nsops.CLONE_NEWUSER)
            _say(event="map-me")
            _hear()
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        nsops.unshare(flags)
    except OSError as error:
        _say(
            event="error",
            reason=f"this user may not make namespaces here ({error})",
            todo="Run it as root, or on a machine or in a container that allows namespaces",
        )
        return 1
    child = os.fork()
    if child:
        _say(event="holder", pid=child)
        return 0
    return hold()


def hold() -> NoReturn:
    """Build the lab and stay."""
    plan = from_json(json.dumps(_hear()))
    try:
        os.setsid()
        prepare(plan.name)
        build.build(plan, lambda text: _say(event="progress", text=text))
    except (LabError, OSError) as error:
        _say(event="error", reason=str(error))
        os._exit(1)
    _say(event="ready")
    silence = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(silence, number)
    os.chdir("/")
    os.execv("/bin/sh", ["/bin/sh", "-c", _REAPER, f"mtughost-lab-{plan.name}"])  # noqa: S606


def prepare(name: str) -> None:
    """Give the lab its own view: processes, ``/run``, terminals, host name."""
    nsops.make_mounts_private()
    nsops.mount("proc", "/proc", kind="proc")
    nsops.mount("tmpfs", "/run", kind="tmpfs", data="mode=755")
    _try(lambda: nsops.mount("sysfs", "/sys", kind="sysfs"))
    _try(_own_terminals)
    socket.sethostname(name)
    for directory in (boot.NETNS_DIR, boot.DEVICES_DIR, build.NODES_DIR):
        directory.mkdir(parents=True)


def _own_terminals() -> None:
    nsops.mount("devpts", "/dev/pts", kind="devpts", data="newinstance,ptmxmode=0666,mode=620")
    nsops.mount("/dev/pts/ptmx", "/dev/ptmx", flags=nsops.MS_BIND)


def _try(mounting: Callable[[], None]) -> None:
    """Do what some containers forbid and most commands can live without."""
    try:
        mounting()
    except OSError as error:
        os.write(2, f"{error}\n".encode())


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]
    sys.exit(main(sys.argv[1:]))
