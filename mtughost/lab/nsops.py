"""The few system calls of Linux namespaces that Python 3.11 does not wrap.

Only what the lab's holder needs, called through the C library. Errors are ``OSError`` with the
name of the call in the message, because "Operation not permitted" alone helps nobody.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1

#: ``statvfs`` flags that an unprivileged remount must repeat, or the kernel refuses it.
_LOCKED_FLAGS = {os.ST_NOSUID: MS_NOSUID, os.ST_NODEV: MS_NODEV, os.ST_NOEXEC: MS_NOEXEC}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Give this process new namespaces (``unshare(2)``)."""
    _check(_libc.unshare(ctypes.c_int(flags)), f"unshare({flags:#x})")


def enter(path: str | Path, kind: int) -> None:
    """Join the namespace behind ``path`` (``setns(2)``); ``kind`` is a ``CLONE_NEW*`` value."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(descriptor, ctypes.c_int(kind)), f"setns({path})")
    finally:
        os.close(descriptor)


@contextmanager
def inside(path: str | Path) -> Iterator[None]:
    """Run the body in the network namespace behind ``path``, and so everything that it starts."""
    back = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(path, CLONE_NEWNET)
        try:
            yield
        finally:
            enter(f"/proc/self/fd/{back}", CLONE_NEWNET)
    finally:
        os.close(back)


def mount(
    source: str, target: str | Path, *, kind: str = "", flags: int = 0, data: str = ""
) -> None:
    """Mount (``mount(2)``); a bind mount has ``flags=MS_BIND`` and no ``kind``."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        os.fsencode(kind) if kind else None,
        ctypes.c_ulong(flags),
        os.fsencode(data) if data else None,
    )
    _check(result, f"mount({source} on {target})")


def unmount(target: str | Path) -> None:
    """Detach a mount (``umount2(2)`` with ``MNT_DETACH``)."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount({target})")


def make_mounts_private() -> None:
    """Stop mounts of this namespace from showing up in the one it was copied from."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def make_root_read_only() -> None:
    """Remount ``/`` read-only in this mount namespace only."""
    present = os.statvfs("/").f_flag
    keep = sum(flag for have, flag in _LOCKED_FLAGS.items() if present & have)
    mount("none", "/", flags=MS_REMOUNT | MS_BIND | MS_RDONLY | keep)


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel to signal this process when its parent ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
