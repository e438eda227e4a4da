"""The one thread that writes. Everybody else hands it work and waits until it is on disk."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mtughost.model.errors import StoreError

T = TypeVar("T")

#: Work that waits together is committed together: one fsync for all of it.
MAX_BATCH = 64


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    done: Future[Any] = field(default_factory=Future)
    result: Any = None


class Writer:
    """Owns the writing connection.

    Args:
        connect: Opens the connection, in the writer's own thread.
        path: For messages.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], path: str) -> None:
        self._connect = connect
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(opened,), name="run store writer", daemon=True
        )
        self._thread.start()
        opened.result()

    def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a transaction; return when it is durable.

        Raises:
            StoreError: it could not be made durable, and then nothing of it is in the store.
        """
        job = _Job(work)
        with self._lock:
            if self._closed:
                raise StoreError(f"the run store {self._path} is closed already")
            self._jobs.put(job)
        result: T = job.done.result()
        return result

    def close(self) -> None:
        """Finish what was handed in, then close the connection."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self, opened: Future[None]) -> None:
        try:
            connection = self._connect()
        except BaseException as error:  # noqa: BLE001 - belongs to whoever opened the store
            opened.set_exception(error)
            return
        opened.set_result(None)
        try:
            while batch := self._next_batch():
                self._commit(connection, batch)
        finally:
            with suppress(sqlite3.Error):
                connection.close()

    def _next_batch(self) -> list[_Job]:
        job = self._jobs.get()
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == MAX_BATCH:
                return batch
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._jobs.put(None)  # the end was reached: seen again after this batch
        return batch

    def _commit(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in batch:
                job.result = job.work(connection)
            connection.commit()
        except BaseException as error:  # noqa: BLE001 - handed to whoever asked
            with suppress(sqlite3.Error):
                connection.rollback()
            if len(batch) > 1:
                # One bad job must not take the others of its batch along.
                for job in batch:
                    self._commit(connection, [job])
                return
            batch[0].done.set_exception(self._translate(error))
            return
        for job in batch:
            job.done.set_result(job.result)

    def _translate(self, error: BaseException) -> BaseException:
        return store_error(self._path, error) if isinstance(error, sqlite3.Error) else error


def store_error(path: str, error: sqlite3.Error) -> StoreError:
    """Translate an error of SQLite's into one line that says what to do."""
    code = getattr(error, "sqlite_errorname", "") or ""
    words = {
        "SQLITE_FULL": ("the disk is full", "Free some space; what was recorded before is safe"),
        "SQLITE_BUSY": ("another process has locked it for too long", "Try again"),
        "SQLITE_NOTADB": ("it is not a run store", "Give another file for the run store"),
        "SQLITE_CORRUPT": ("it is damaged", "Move it away; a new one is made"),
        "SQLITE_READONLY": ("it may not be written", "Check the owner and mode of file and folder"),
        "SQLITE_CANTOPEN": ("it cannot be opened", "Check the owner and mode of file and folder"),
    }
    for name, (what, todo) in words.items():
        if code.startswith(name):
            return StoreError(f"the run store {path} cannot be used: {what}", todo=todo)
    if code.startswith("SQLITE_IOERR"):
        return StoreError(
            f"the run store {path} cannot be used: the disk reports an error ({code})",
            todo="Check the disk and its free space; what was recorded before is safe",
        )
    return StoreError(f"the run store {path} cannot be used: {error}")
