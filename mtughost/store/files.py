"""Makes the database file safely: private, ours, no symbolic link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mtughost.disk import LOCAL_DISK, network_file_system, sync_directory
from mtughost.model.errors import StoreError

#: What SQLite itself puts beside the file.
_COMPANIONS = ("-wal", "-shm", "-journal")


def prepare_file(path: Path) -> None:
    """Make sure that ``path`` is a regular file of mode 0600 that belongs to us.

    Missing directories are made with mode 0700. The check holds against other users as long as
    they cannot write into the directory, so a directory that lets them is refused.

    Raises:
        StoreError: a symbolic link, another kind of file, another owner, an open directory, a
            network file system, or the system refused.
    """
    if network := network_file_system(path):
        raise StoreError(
            f"the run store {path} is on a network file system ({network}), whose locks other "
            "machines do not see",
            todo=LOCAL_DISK,
        )
    try:
        _make_directories(path.parent)
        _check_directory(path.parent)
        for suffix in ("", *_COMPANIONS):
            _check_plain(path.with_name(path.name + suffix))
        _touch(path)
    except OSError as error:
        raise StoreError(
            f"the run store {path} cannot be opened: {error.strerror or error}",
            todo="Check the folder's owner, mode and free space",
        ) from error


def _make_directories(directory: Path) -> None:
    if directory.exists():
        return
    _make_directories(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)


def _check_directory(directory: Path) -> None:
    status = directory.stat()
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(
            f"other users may write into {directory}, so the run store there is not safe",
            todo=f"chmod go-w {directory}",
        )


def _check_plain(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
        raise StoreError(f"{path} is {kind}", todo="Remove it, or give the real file")
    if status.st_uid != os.geteuid():
        raise StoreError(f"{path} belongs to another user", todo="Give a file of your own")


def _touch(path: Path) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(path.parent)
