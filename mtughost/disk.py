"""Writing to a disk that may fill up or lose its power. Below all rooms: it knows none of them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

#: Only the owner reads it.
PRIVATE = 0o600


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
