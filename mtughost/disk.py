"""Writing to a disk that may fill up or lose its power. Below all rooms: it knows none of them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

#: Only the owner reads it.
PRIVATE = 0o600
#: Where Linux lists what is mounted (proc(5)): device in the third field, type behind the dash.
MOUNTS = Path("/proc/self/mountinfo")
#: File systems that other machines can write to. Tried with sshfs: locks hold on one machine only,
#: and SQLite's shared memory does, too, without a word of warning.
_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p"),
        *("ceph", "lustre", "gpfs", "beegfs", "gfs2", "ocfs2"),
        *("fuse.sshfs", "fuse.davfs", "fuse.s3fs", "fuse.rclone", "fuse.gvfsd-fuse"),
        *("fuse.ceph-fuse", "fuse.glusterfs", "fuse.juicefs"),
    }
)
#: What to do about it.
LOCAL_DISK: Final = "Put the project's state folder on a local disk; a symbolic link to one will do"


def replace_file(path: Path, data: bytes | Iterable[bytes], *, mode: int = PRIVATE) -> None:
    """Put a file in place as a whole: whatever happens, ``path`` holds the old content or the new.

    A symbolic link at ``path`` is replaced, not followed. When it fails nothing is left beside it.

    Args:
        path: Where to; its directory exists.
        data: The whole content, or its pieces one after the other.
        mode: Permissions, whatever the umask.

    Raises:
        OSError: the disk is full, or the directory is missing or not ours.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(handle, mode)
            stream.writelines([data] if isinstance(data, bytes) else data)
            stream.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Return when the names in ``directory`` outlive a loss of power (fsync(2), NOTES).

    Raises:
        OSError: it is no directory, or the disk failed.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def network_file_system(path: Path) -> str:
    """Return the type of the network file system that ``path`` is on, or ``""``.

    ``""`` also where the system does not tell: on others than Linux, and for types unknown here.

    Args:
        path: What need not exist yet; its nearest directory decides.
    """
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    number = there.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, behind = line.partition(" - ")
        fields, kind = before.split(), behind.partition(" ")[0]
        if fields[2:3] == [device] and kind in _NETWORK:
            return kind
    return ""
