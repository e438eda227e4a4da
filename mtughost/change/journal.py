"""The journal: one append-only file per state directory, each record chained to the one before.

A line is eight hex digits (the length of the rest), a space, canonical JSON and a line feed. An
intent is on the disk before its bytes go out to a device; a result is written after it was read
back. The chain shows changed, removed, swapped and foreign records. It cannot show a tail that
was cut cleanly at a record's end, so the head is anchored: every run's first record carries the
head before it, and ``run-close`` prints its own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, Self

from pydantic import ConfigDict

from mtughost.disk import LOCAL_DISK, network_file_system, sync_directory
from mtughost.model.documents import canonical_bytes, parse_document
from mtughost.model.errors import PlanRefusedError, StoreError
from mtughost.model.session import Clock

JOURNAL_SCHEMA: Final = "mtughost/journal/v1"
#: No record is larger than this; a length field that says so is damage.
MAX_RECORD_BYTES: Final = 4 * 1024 * 1024
_LENGTH_DIGITS: Final = 8
_LENGTH = re.compile(rb"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record.

    Attributes:
        seq: From 0, over the whole file.
        prev: ``hash`` of the record before, ``""`` for the first.
        dev: Inventory name, or ``None`` for records about the run.
        ev: What happened.
        data: Details; strings, integers, lists and objects.
        hash: SHA-256 over the canonical form of all other fields.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    seq: int
    prev: str
    run_id: str
    plan_digest: str
    t_wall_utc: str
    t_boottime_ns: int
    boot_id: str
    actor: str
    host: str
    dev: str | None
    ev: str
    data: dict[str, Any]
    hash: str


def _record_hash(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(
        canonical_bytes({key: value for key, value in fields.items() if key != "hash"})
    ).hexdigest()


def encode(record: Record) -> bytes:
    """Return the line of one record."""
    body = canonical_bytes(record) + b"\n"
    return b"%08x " % len(body) + body


@dataclass(frozen=True, slots=True)
class JournalContent:
    """What a journal holds.

    Attributes:
        good_bytes: Length of the part that is whole; anything after it is a torn tail.
    """

    records: tuple[Record, ...]
    good_bytes: int


def read_journal(data: bytes, *, path: str = "journal") -> JournalContent:
    """Read and check a journal.

    Only an unterminated last line is a torn write and dropped: it was never acknowledged.

    Raises:
        StoreError: anything else is wrong; names the record.
    """
    records: list[Record] = []
    offset = 0
    while offset < len(data):
        end = data.find(b"\n", offset)
        if end < 0:
            break
        record = _read_line(data[offset : end + 1], len(records), records, path)
        records.append(record)
        offset = end + 1
    _refuse_swallowed_records(data[offset:], len(records), path)
    return JournalContent(tuple(records), offset)


def _refuse_swallowed_records(tail: bytes, number: int, path: str) -> None:
    """A torn write is a prefix of one line; a longer tail means that a line end was damaged."""
    if len(tail) <= _LENGTH_DIGITS:
        if not re.fullmatch(rb"[0-9a-f]*", tail):
            raise _damaged(path, number, "the tail is not the beginning of a record")
        return
    length = _length_of(tail, number, path)
    if len(tail) - _LENGTH_DIGITS - 1 >= length:
        raise _damaged(path, number, "its line end is damaged")


def _length_of(line: bytes, number: int, path: str) -> int:
    prefix = line[:_LENGTH_DIGITS]
    if not _LENGTH.fullmatch(prefix) or line[_LENGTH_DIGITS : _LENGTH_DIGITS + 1] != b" ":
        raise _damaged(path, number, "its length field is damaged")
    length = int(prefix, 16)
    if length > MAX_RECORD_BYTES:
        raise _damaged(path, number, "its length field is damaged")
    return length


def _read_line(line: bytes, number: int, before: list[Record], path: str) -> Record:
    length = _length_of(line, number, path)
    body = line[_LENGTH_DIGITS + 1 :]
    if len(body) != length:
        raise _damaged(path, number, f"it has {len(body)} bytes instead of {length}")
    try:
        record = parse_document(body[:-1], Record, what="record", error=StoreError)
    except StoreError as error:
        raise _damaged(path, number, error.reason) from None
    if record.hash != _record_hash(asdict(record)):
        raise _damaged(path, number, "its hash is wrong")
    expected = before[-1].hash if before else ""
    if record.seq != number or record.prev != expected:
        raise _damaged(path, number, "it does not follow the record before it")
    if before and record.ev == "run-open" and record.data.get("prev_run_head") != expected:
        raise _damaged(path, number, "its anchor is not the head of the run before")
    if not before and record.ev != "run-open":
        raise _damaged(path, number, "the first record does not open a run")
    return record


def _damaged(path: str, number: int, why: str) -> StoreError:
    return StoreError(
        f"{path}: record {number} is damaged: {why}",
        todo="Nothing was sent. Keep the file as it is, look at the devices, and start a new "
        "journal only by hand",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes: goes into every record.

    Attributes:
        actor: The operator's principal.
        host: Name of the machine that the tool runs on.
        boot_id: Its boot id, so that boot-time readings compare.
    """

    actor: str
    host: str
    boot_id: str


def boot_id() -> str:
    """Return this machine's boot id, ``""`` where there is none."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


class Disk(Protocol):
    """Where records go: a seam, so that tests can lose what was not synced."""

    def write(self, handle: int, data: bytes) -> int:
        """Write and return how many bytes were taken."""

    def sync(self, handle: int) -> None:
        """Return when everything that was written outlives a loss of power."""


class RealDisk:
    """The operating system."""

    def write(self, handle: int, data: bytes) -> int:
        """As :func:`os.write`."""
        return os.write(handle, data)

    def sync(self, handle: int) -> None:
        """As :func:`os.fsync`."""
        os.fsync(handle)


REAL_DISK: Final = RealDisk()


class Journal:
    """An open journal. Holding it open holds the lock: two runs never write at once.

    The threads of one run share it; their records come one after another.
    """

    def __init__(
        self, path: Path, handle: int, content: JournalContent, clock: Clock, disk: Disk
    ) -> None:
        self._path = path
        self._handle = handle
        self._records = list(content.records)
        self._clock = clock
        self._disk = disk
        self._failed = ""
        self.turn = threading.RLock()

    @classmethod
    def open(cls, path: Path, clock: Clock, *, disk: Disk = REAL_DISK) -> Self:
        """Open or create the journal, take its lock and check every record.

        Args:
            path: The file.
            clock: Stamps the records.
            disk: Writes them.

        Raises:
            PlanRefusedError: another run holds the lock.
            StoreError: the file is damaged, a symbolic link, not private to its owner, or on a
                network file system.
        """
        if network := network_file_system(path):
            raise StoreError(
                f"{path}: the journal is on a network file system ({network}), whose locks other "
                "machines do not see",
                todo=LOCAL_DISK,
            )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(path, flags, 0o600)
        except OSError as error:
            reason = "is a symbolic link" if error.errno == errno.ELOOP else str(error.strerror)
            raise StoreError(f"{path}: cannot open the journal: {reason}") from error
        try:
            content = cls._prepare(path, handle)
        except BaseException:
            os.close(handle)
            raise
        return cls(path, handle, content, clock, disk)

    @staticmethod
    def _prepare(path: Path, handle: int) -> JournalContent:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise StoreError(
                f"{path}: the journal must be a plain file of yours with mode 0600",
                todo=f"Look at who else can write it, then: chmod 600 {path}",
            )
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlanRefusedError(
                f"{path}: another run is writing this journal", todo="Wait until it has ended"
            ) from None
        content = read_journal(_read_all(handle), path=str(path))
        os.ftruncate(handle, content.good_bytes)
        os.fsync(handle)
        sync_directory(path.parent)
        return content

    @property
    def records(self) -> tuple[Record, ...]:
        """All records, oldest first."""
        return tuple(self._records)

    @property
    def directory(self) -> Path:
        """Where the journal lies; plans and backups are kept beside it."""
        return self._path.parent

    @property
    def head(self) -> str:
        """Hash of the last record."""
        return self._records[-1].hash if self._records else ""

    @property
    def next_seq(self) -> int:
        """Number of the record that comes next."""
        return len(self._records)

    def refuse_more(self, why: str) -> None:
        """Take no more records: whoever still works on a device stops before the next step."""
        with self.turn:
            self._failed = self._failed or why

    def run(self, run_id: str, plan_digest: str, writer: Writer) -> RunJournal:
        """Return the pen of one run."""
        return RunJournal(self, run_id, plan_digest, writer)

    def append(self, record: Record) -> None:
        """Write one record and wait until it is on the disk.

        Raises:
            StoreError: a short write or any error. It is final: the journal takes no more records.
        """
        if self._failed:
            raise StoreError(f"{self._path}: the journal failed before: {self._failed}")
        line = encode(record)
        try:
            written = self._disk.write(self._handle, line)
            if written != len(line):
                self._fail(f"only {written} of {len(line)} bytes fitted")
            self._disk.sync(self._handle)
        except OSError as error:
            self._fail(str(error.strerror))
        self._records.append(record)

    def _fail(self, why: str) -> None:
        self._failed = why
        raise StoreError(
            f"{self._path}: cannot write the journal: {why}",
            todo="Nothing more is sent; armed devices undo themselves. Free space, then resume",
        )

    def close(self) -> None:
        """Give up the lock."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def clock(self) -> Clock:
        """The clock that stamps the records."""
        return self._clock


class RunJournal:
    """Writes the records of one run."""

    def __init__(self, journal: Journal, run_id: str, plan_digest: str, writer: Writer) -> None:
        self.journal = journal
        self.run_id = run_id
        self.plan_digest = plan_digest
        self._writer = writer

    def write(self, ev: str, dev: str | None = None, **data: Any) -> Record:
        """Append one record about the run or a device.

        Raises:
            StoreError: it is not safely on the disk.
        """
        with self.journal.turn:
            if ev == "run-open":
                data = {**data, "schema": JOURNAL_SCHEMA, "prev_run_head": self.journal.head}
            fields: dict[str, Any] = {
                "seq": self.journal.next_seq,
                "prev": self.journal.head,
                "run_id": self.run_id,
                "plan_digest": self.plan_digest,
                "t_wall_utc": self.journal.clock.utc_now(),
                "t_boottime_ns": int(self.journal.clock.boottime_s() * 1e9),
                "boot_id": self._writer.boot_id,
                "actor": self._writer.actor,
                "host": self._writer.host,
                "dev": dev,
                "ev": ev,
                "data": data,
            }
            record = Record(**fields, hash=_record_hash(fields))
            self.journal.append(record)
        return record


def _read_all(handle: int) -> bytes:
    chunks = []
    os.lseek(handle, 0, os.SEEK_SET)
    while chunk := os.read(handle, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def load_journal(path: Path) -> JournalContent:
    """Read a journal without the lock, for ``status``. A missing file is an empty journal.

    Raises:
        StoreError: it is damaged or a symbolic link.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return JournalContent((), 0)
    except OSError as error:
        raise StoreError(f"{path}: cannot read the journal: {error.strerror}") from error
    try:
        return read_journal(_read_all(handle), path=str(path))
    finally:
        os.close(handle)
