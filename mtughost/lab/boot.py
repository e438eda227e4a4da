"""Boots and reboots a lab device. Runs inside the lab's namespaces, as its root.

A device is a process namespace whose first process is ``/etc/rc.boot``, with its own mounts, host
name and network namespace. What it keeps over a reboot is its "flash": the directories in
:data:`PERSISTENT`. What it loses is everything else: processes, ``/run``, ``/tmp``, addresses,
routes, rules, sysctls, sockets and learned path MTUs, because the network namespace is new. Its
cables stay: the physical interfaces are moved over, with the factory's MTU.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from mtughost.lab import nsops, offload
from mtughost.model.errors import LabError

LAB_DIR = Path("/run/mtughost")
DEVICES_DIR = LAB_DIR / "devices"
NETNS_DIR = Path("/run/netns")

#: A device's own directories that survive a reboot, and those that do not.
PERSISTENT = ("/etc", "/root", "/var/log", "/var/lib", "/usr/local/bin")
VOLATILE = ("/tmp", "/run")  # noqa: S108 - mount points, not temporary files of ours

#: Parts of the machine's own /etc that programs need; bound read-only into every device.
_HOST_ETC = ("alternatives", "ssl", "iproute2", "terminfo")
#: Small files copied from the machine's /etc, where they exist.
_HOST_FILES = ("ld.so.cache", "protocols", "services", "os-release", "debian_version", "profile")

FACTORY_MTU_BYTES = 1500
BOOT_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class DevicePaths:
    """Where the lab keeps one device."""

    name: str

    @property
    def home(self) -> Path:
        """Directory of the device inside the lab's ``/run``."""
        return DEVICES_DIR / self.name

    def inside(self, path: str) -> Path:
        """Return where a path of the device (``/etc/hosts``) lies in the lab."""
        return self.home / "fs" / path.lstrip("/")

    @property
    def pid_file(self) -> Path:
        """First process, as the lab's process namespace numbers it."""
        return self.home / "pid"

    @property
    def facts_file(self) -> Path:
        """Ports of the device."""
        return self.home / "device.json"


def install(name: str, ports: tuple[str, ...], files: dict[str, tuple[bytes, int]]) -> None:
    """Write a new device's flash.

    Args:
        name: Device.
        ports: Its physical interfaces.
        files: Content and mode by absolute path.
    """
    paths = DevicePaths(name)
    for directory in (*PERSISTENT, *VOLATILE):
        paths.inside(directory).mkdir(parents=True, exist_ok=True)
    paths.inside("/root").chmod(0o700)
    for file in _HOST_FILES:
        source = Path("/etc", file)
        if source.is_file():
            shutil.copyfile(source, paths.inside(f"/etc/{file}"))
    for directory in _HOST_ETC:
        if Path("/etc", directory).is_dir():
            paths.inside(f"/etc/{directory}").mkdir(exist_ok=True)
    for path, (content, mode) in files.items():
        target = paths.inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)
    paths.facts_file.write_text(json.dumps({"ports": ports}))


def start(name: str) -> None:
    """Start a device's first process; does not wait for it to finish booting."""
    paths = DevicePaths(name)
    for directory in VOLATILE:
        shutil.rmtree(paths.inside(directory), ignore_errors=True)
        paths.inside(directory).mkdir(parents=True)
    paths.inside("/tmp").chmod(0o1777)  # noqa: S108 - the device's own
    child = os.fork()
    if child == 0:
        _start_in_child(paths)
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise LabError(f"device {name} could not be started", todo="See the lab's log")


def _start_in_child(paths: DevicePaths) -> None:
    """Enter new namespaces, fork the first process, note its number, end."""
    try:
        nsops.enter(NETNS_DIR / paths.name, nsops.CLONE_NEWNET)
        nsops.unshare(
            nsops.CLONE_NEWNS | nsops.CLONE_NEWUTS | nsops.CLONE_NEWIPC | nsops.CLONE_NEWPID
        )
        # Opened now: a moment later the first process hides this /run behind the device's own.
        with paths.pid_file.open("w") as note:
            first = os.fork()
            if first == 0:
                _become_device(paths)
            note.write(f"{first}\n")
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - a forked child must never return
        os.write(2, f"{paths.name}: {error}\n".encode())
        os._exit(1)


def _become_device(paths: DevicePaths) -> None:
    """Mount the device's view of the world and run its boot script."""
    try:
        os.setsid()
        nsops.make_mounts_private()
        nsops.make_root_read_only()
        nsops.mount("proc", "/proc", kind="proc")
        try:
            nsops.mount("sysfs", "/sys", kind="sysfs")
        except OSError as error:
            # Some containers hide parts of /sys, and then forbid a fresh one. Only programs that
            # look there for interfaces notice.
            os.write(2, f"{paths.name}: {error}\n".encode())
        _bind_host_etc(paths)
        # /run last: the sources of all other mounts lie in it.
        for directory in (*PERSISTENT, *VOLATILE):
            nsops.mount(str(paths.inside(directory)), directory, flags=nsops.MS_BIND | nsops.MS_REC)
        socket.sethostname(paths.name)
        os.chdir("/")
        os.execv("/bin/sh", ["/bin/sh", "/etc/rc.boot"])  # noqa: S606 - no shell wanted in between
    except BaseException as error:  # noqa: BLE001 - a forked child must never return
        os.write(2, f"{paths.name}: {error}\n".encode())
        os._exit(1)


def _bind_host_etc(paths: DevicePaths) -> None:
    for directory in _HOST_ETC:
        target = paths.inside(f"/etc/{directory}")
        if target.is_dir():
            nsops.mount(f"/etc/{directory}", target, flags=nsops.MS_BIND)


def wait_booted(names: tuple[str, ...]) -> None:
    """Wait until all named devices have booted and their SSH servers listen.

    Raises:
        LabError: a boot script failed or did not finish; quotes the device's boot log.
    """
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    for name in names:
        paths = DevicePaths(name)
        booted, sshd = paths.inside("/run/booted"), paths.inside("/run/sshd.pid")
        while not (booted.exists() and booted.read_text().strip() and sshd.exists()):
            if time.monotonic() > deadline:
                raise LabError(f"device {name} did not boot: {_boot_log(paths)}")
            time.sleep(0.005)
        if booted.read_text().strip() != "0":
            raise LabError(f"device {name} booted with errors: {_boot_log(paths)}")


def _boot_log(paths: DevicePaths) -> str:
    texts = []
    for log in ("/var/log/boot.log", "/var/log/sshd.log"):
        path = paths.inside(log)
        if path.exists():
            texts.append(path.read_text(errors="replace")[-1500:])
    return " | ".join(texts) or "its boot log is empty"


def reboot(name: str) -> None:
    """Kill a device and boot it again from its saved files.

    Raises:
        LabError: no such device, or it does not come up again.
    """
    paths = DevicePaths(name)
    if not paths.facts_file.exists():
        raise LabError(f"no device {name!r} in this lab")
    _kill_first_process(paths)
    ports = json.loads(paths.facts_file.read_text())["ports"]
    _renew_network(name, ports)
    start(name)
    wait_booted((name,))


def _kill_first_process(paths: DevicePaths) -> None:
    number = int(paths.pid_file.read_text())
    try:
        handle = os.pidfd_open(number)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        # The first process ends only after all others of its namespace did.
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        if not poller.poll(10_000):
            raise LabError(f"device {paths.name} did not end within 10 s")
    finally:
        os.close(handle)


def _renew_network(name: str, ports: list[str]) -> None:
    fresh = f"{name}.new"
    # A macvlan stays on its parent when that moves to another namespace, and keeps its hardware
    # address occupied there.
    for link in json.loads(_run(["ip", "-n", name, "-json", "link", "show"])):
        if link["ifname"] not in {*ports, "lo"}:
            _run(["ip", "-n", name, "link", "delete", "dev", link["ifname"]])
    _run(["ip", "netns", "add", fresh])
    for port in ports:
        _run(["ip", "-n", name, "link", "set", "dev", port, "netns", fresh])
        _run(["ip", "-n", fresh, "link", "set", "dev", port, "mtu", str(FACTORY_MTU_BYTES)])
    offload.switch_off(NETNS_DIR / fresh, tuple(ports))
    nsops.unmount(NETNS_DIR / name)
    nsops.mount(str(NETNS_DIR / fresh), NETNS_DIR / name, flags=nsops.MS_BIND)
    nsops.unmount(NETNS_DIR / fresh)
    (NETNS_DIR / fresh).unlink()


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
