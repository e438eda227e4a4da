"""What is remembered about a lab outside of it: the record by which it can be taken down.

A lab is its holder. The record names the holder by process number *and* start time *and* boot of
the machine, so that a number that was given to another program is never touched.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mtughost.disk import replace_file
from mtughost.model.errors import LabError

Mapped = Literal["root", "range", "single"]
RECORD = "lab.json"
END_TIMEOUT_S = 20.0
_START_TIME_FIELD = 22


def labs_root(env: Mapping[str, str] | None = None) -> Path:
    """Return the directory that holds all labs' records.

    Args:
        env: Environment; default this process's. ``XDG_STATE_HOME`` is honoured.
    """
    env = os.environ if env is None else env
    base = env.get("XDG_STATE_HOME") or str(
        Path(env.get("HOME") or "~").expanduser() / ".local/state"
    )
    return Path(base) / "mtughost" / "labs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One lab as recorded.

    Attributes:
        pid: The holder, or ``None`` while it is being started.
        start_ticks: Field 22 of its ``/proc/PID/stat``.
        boot_id: Of the machine, because ticks count from boot.
        mapped: How the lab got its privileges: as root, with a range of user ids, with one.
        project: The operator's project directory.
        files: Files that were written there, relative.
        sites: What was built, for measurement.
        hosts: Inventory names with the address the operator dials (``""`` behind a jump host).
    """

    name: str
    pid: int | None
    start_ticks: int
    boot_id: str
    mapped: Mapped
    created_utc: str
    project: str
    files: tuple[str, ...] = ()
    sites: tuple[dict[str, Any], ...] = ()
    hosts: tuple[str, ...] = ()


def boot_id() -> str:
    """Return the identity of the machine's current boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Return a process's start time in clock ticks since boot, ``None`` when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name, in parentheses, may itself contain spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        return None
    return int(fields[_START_TIME_FIELD - 3])


def is_running(record: Record) -> bool:
    """Return whether the recorded holder still lives."""
    if record.pid is None or record.boot_id != boot_id():
        return False
    return start_ticks(record.pid) == record.start_ticks


def save(root: Path, record: Record) -> None:
    """Write a record durably."""
    home = root / record.name
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(home / RECORD, (json.dumps(asdict(record), indent=1) + "\n").encode("utf-8"))


def load(root: Path, name: str) -> Record:
    """Read a record.

    Raises:
        LabError: there is none, or it is not readable.
    """
    path = root / name / RECORD
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        for key in ("files", "sites", "hosts"):
            data[key] = tuple(data[key])
        return Record(**data)
    except FileNotFoundError:
        raise LabError(
            f"no lab {name!r} is recorded under {root}", todo="'mtughost lab list' shows all"
        ) from None
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise LabError(
            f"the lab's record {path} is damaged: {error}",
            todo="If no such lab runs, remove its directory",
        ) from error


def names(root: Path) -> tuple[str, ...]:
    """Return the names of all recorded labs, sorted."""
    if not root.is_dir():
        return ()
    return tuple(sorted(entry.parent.name for entry in root.glob(f"*/{RECORD}")))


@contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """Keep two commands from working on the same lab at once."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = root / f".{name}.lock"
    while True:
        handle = path.open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before may have removed the file after we opened it.
            if path.exists() and os.fstat(handle.fileno()).st_ino == path.stat().st_ino:
                break
            handle.close()
        except BlockingIOError:
            handle.close()
            raise LabError(
                f"another command is working on lab {name!r}", todo="Wait for it to finish"
            ) from None
    with handle:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def end_holder(record: Record) -> bool:
    """Kill the recorded holder, and with it everything in the lab. Waits until it is gone.

    Returns:
        Whether it was running.

    Raises:
        LabError: it did not end, or may not be signalled.
    """
    if record.pid is None:
        return False
    try:
        handle = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return False
    try:
        # The handle pins the process: after this check the number cannot change hands.
        if not is_running(record):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        if not poller.poll(int(END_TIMEOUT_S * 1000)):
            raise LabError(f"lab {record.name!r} did not end within {END_TIMEOUT_S:.0f} s")
    except PermissionError as error:
        raise LabError(f"lab {record.name!r} belongs to another user") from error
    finally:
        os.close(handle)
    return True
