"""The run store: each host is on disk before its visit counts as finished.

SQLite in WAL mode with ``synchronous=FULL``: what ``record_*`` returned from survives kill -9 and
power loss. One thread writes; any thread may call. Several processes may read and write at once.
Network file systems are refused: locks and SQLite's WAL hold on one machine only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mtughost.model.errors import StoreError
from mtughost.model.findings import HostStatus
from mtughost.model.session import Answer, Clock
from mtughost.store import reading
from mtughost.store.bodies import pack, pack_text
from mtughost.store.connections import connect_to, give_pages_back
from mtughost.store.files import prepare_file
from mtughost.store.rows import answer_row, clean, report_rows, to_json
from mtughost.store.schema import migrate
from mtughost.store.values import (
    Ingested,
    RunInfo,
    RunMeta,
    RunState,
    StoredPart,
    StoredRun,
    make_run_id,
)
from mtughost.store.writer import Writer, store_error

T = TypeVar("T")


class RunStore:
    """Runs with their hosts, raw answers, captures, probes and reports."""

    def __init__(self, path: Path, writer: Writer, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._writer = writer

    @classmethod
    def open(cls, path: Path, *, clock: Clock) -> Self:
        """Open the store, make or migrate it where needed.

        Args:
            path: The database file; it gets mode 0600, missing folders get 0700.
            clock: Wall time, for the stamps of what is recorded.

        Raises:
            StoreError: a symbolic link, another program's file, a newer schema, no permission,
                a full or faulty disk.
        """
        path = path.absolute()
        prepare_file(path)

        def connect() -> sqlite3.Connection:
            connection = connect_to(path)
            try:
                migrate(connection, str(path))
            except BaseException:
                connection.close()
                raise
            return connection

        try:
            return cls(path, Writer(connect, str(path)), clock)
        except sqlite3.Error as error:
            raise store_error(str(path), error) from error

    @property
    def path(self) -> Path:
        """The database file."""
        return self._path

    def close(self) -> None:
        """Finish what was handed in and close. May be called twice."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def create_run(self, meta: RunMeta, *, suffix: str) -> str:
        """Begin a run.

        Args:
            meta: What is known now.
            suffix: 6 to 32 random hexadecimal digits, for the id.

        Returns:
            The run's id: sortable by time, unique.

        Raises:
            StoreError: the id exists already, or the store cannot be written.
        """
        run_id = make_run_id(meta.started_utc, suffix)
        options = to_json(meta.options)

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone():
                raise StoreError(f"a run is called {run_id} already")
            connection.execute(
                "INSERT INTO runs VALUES (?, ?, ?, '', 'running', ?, ?, ?, ?)",
                (
                    run_id,
                    meta.kind,
                    meta.started_utc,
                    meta.tool,
                    meta.content_digest,
                    meta.inventory_digest,
                    options,
                ),
            )
            connection.executemany(
                "INSERT INTO asked VALUES (?, ?, ?)",
                [(run_id, index, host) for index, host in enumerate(meta.hosts)],
            )

        self._writer.do(work)
        return run_id

    def record_host(
        self,
        run_id: str,
        status: HostStatus,
        answers: Sequence[Answer] = (),
        *,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Record one visited or skipped host; durable on return.

        A host recorded again (a resumed run) replaces what was there.

        Raises:
            StoreError: no such run, or the store cannot be written; nothing of it is kept then.
        """
        # Compressed here, in the caller's thread: the one writer only writes.
        rows = [answer_row(run_id, status.host, i, answer) for i, answer in enumerate(answers)]
        host = (
            run_id,
            status.host,
            status.site,
            status.role,
            status.status,
            clean(status.error),
            status.error_kind,
            to_json(extra or {}),
            len(rows),
            self._clock.utc_now(),
        )

        def work(connection: sqlite3.Connection) -> None:
            _check_run(connection, run_id)
            connection.execute(
                "DELETE FROM hosts WHERE run_id = ? AND host = ?", (run_id, status.host)
            )
            connection.execute("INSERT INTO hosts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", host)
            connection.executemany(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )

        self._writer.do(work)

    def record_capture(
        self,
        run_id: str,
        host: str,
        *,
        point: str,
        interface: str,
        pcap: bytes,
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """Record the bytes of one capture; durable on return.

        Raises:
            StoreError: as :meth:`record_host`.
        """
        body = pack(pcap)
        row = (
            run_id,
            host,
            point,
            interface,
            to_json(meta or {}),
            self._clock.utc_now(),
            body.size_bytes,
            body.sha256,
            body.packed,
        )
        self._insert(
            run_id,
            "INSERT INTO captures"
            " (run_id, host, point, interface, meta, recorded_utc, size_bytes, sha256, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def record_probe(self, run_id: str, data: Mapping[str, object]) -> None:
        """Record one probe's or ping's evidence as JSON; durable on return.

        Raises:
            StoreError: as :meth:`record_host`.
        """
        self._insert(
            run_id, "INSERT INTO probes (run_id, data) VALUES (?, ?)", (run_id, to_json(data))
        )

    def record_report(self, run_id: str, data: Mapping[str, object]) -> None:
        """Record the final report as JSON, in place of an earlier one; durable on return.

        Args:
            run_id: Its run.
            data: The report. Its ``sites`` may be any iterable: they are kept one by one, and
                of a large fleet never all at once in memory.

        Raises:
            StoreError: as :meth:`record_host`.
        """
        report, sites, verdicts = report_rows(run_id, data)

        def work(connection: sqlite3.Connection) -> None:
            _check_run(connection, run_id)
            connection.execute("INSERT OR REPLACE INTO reports VALUES (?, ?)", (run_id, report))
            connection.execute("DELETE FROM site_reports WHERE run_id = ?", (run_id,))
            connection.executemany("INSERT INTO site_reports VALUES (?, ?, ?)", sites)
            connection.execute("DELETE FROM verdicts WHERE run_id = ?", (run_id,))
            connection.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", verdicts)

        self._writer.do(work)

    def finish_run(self, run_id: str, *, state: RunState = "complete") -> None:
        """Note that a run ended, or with ``state="running"`` that an old one goes on.

        Raises:
            StoreError: as :meth:`record_host`.
        """
        self._insert(
            run_id,
            "UPDATE runs SET ended_utc = ?, state = ? WHERE id = ?",
            ("" if state == "running" else self._clock.utc_now(), state, run_id),
        )

    def hosts_done(self, run_id: str) -> frozenset[str]:
        """Return the hosts that a resumed run need not visit: ok or failed, not skipped.

        Raises:
            StoreError: no such run, or the store cannot be read.
        """

        def work(connection: sqlite3.Connection) -> frozenset[str]:
            _check_run(connection, run_id)
            return reading.read_done(connection, run_id)

        return self._read(work)

    def load_run(self, run_id: str, *, bodies: bool = True) -> StoredRun:
        """Return a whole run.

        Args:
            run_id: Its id.
            bodies: Whether to load raw answers and captures too; of a large fleet that is much.

        Raises:
            StoreError: no such run, bytes that do not match their digest, or the store cannot be
                read.
        """
        return self._read(lambda connection: reading.read_run(connection, run_id, bodies=bodies))

    def load_part(self, run_id: str, hosts: Sequence[str]) -> StoredPart:
        """Return what a run kept of some hosts, with raw answers and captures: a site's, say.

        Args:
            run_id: Its id.
            hosts: Their names; those that the run did not record are left out.

        Raises:
            StoreError: bytes that do not match their digest, or the store cannot be read.
        """
        return self._read(lambda connection: reading.read_part(connection, run_id, hosts))

    def record_ingested(self, item: Ingested) -> None:
        """Record what somebody handed in; durable on return. It belongs to no run and is kept.

        Raises:
            StoreError: the store cannot be written.
        """
        body = pack_text(item.text)
        row = (
            *(clean(text) for text in (item.host, item.site, item.role, item.platform)),
            *(clean(text) for text in (item.command_id, item.line)),
            *(clean(text) for text in (item.told_key, item.told_value)),
            *(clean(text) for text in (item.by, item.on, item.how)),
            self._clock.utc_now(),
            body.size_bytes,
            body.sha256,
            body.packed,
        )
        statement = (
            "INSERT INTO ingested (host, site, role, platform, command_id, line, told_key,"
            " told_value, by_whom, on_date, how, recorded_utc, size_bytes, sha256, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(statement, row)

        self._writer.do(work)

    def ingested(self) -> tuple[Ingested, ...]:
        """Return everything that was handed in, oldest first.

        Raises:
            StoreError: the store cannot be read, or stored bytes do not match their digest.
        """
        return self._read(reading.read_ingested)

    def runs(self) -> tuple[RunInfo, ...]:
        """Return all runs, newest first; ``meta.hosts`` is left empty.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._read(reading.read_runs)

    def verdicts(self, run_id: str) -> Mapping[str, str]:
        """Return the verdict of every site that a run's report judged.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._read(lambda connection: reading.read_verdicts(connection, run_id))

    def verdict_counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many sites each run judged how, by run id.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._read(reading.read_verdict_counts)

    def find_run(self, text: str) -> str:
        """Return the id meant by ``latest``, a whole id or the beginning of one.

        Raises:
            StoreError: none or several match.
        """
        ids = [run.run_id for run in self.runs()]
        if text == "latest" and ids:
            return ids[0]
        found = [text] if text in ids else [run for run in ids if text and run.startswith(text)]
        if len(found) > 1:
            raise StoreError(f"several runs begin with {text!r}: {', '.join(found)}")
        if not found:
            raise reading.no_such_run(text)
        return found[0]

    def last_read(self, host: str, before_utc: str) -> str:
        """Return the newest run, begun at or before a time, that read a host; ``""`` for none.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._read(lambda connection: reading.read_last(connection, host, before_utc))

    def size_of(self, run_ids: Sequence[str]) -> int:
        """Return about how many bytes the answers, captures and reports of runs take in the file.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._read(lambda connection: reading.read_size(connection, run_ids))

    def delete_runs(self, run_ids: Sequence[str]) -> int:
        """Delete runs with everything that they kept; each whole, or not at all.

        Returns:
            By how many bytes the file becomes smaller.

        Raises:
            StoreError: the store cannot be written; runs deleted before that are gone.
        """

        def delete(run_id: str) -> Callable[[sqlite3.Connection], object]:
            return lambda connection: connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))

        for run_id in run_ids:
            self._writer.do(delete(run_id))
        freed = 0
        while given := self._writer.do(give_pages_back):
            freed += given
        return freed

    def _insert(self, run_id: str, statement: str, row: tuple[object, ...]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            _check_run(connection, run_id)
            connection.execute(statement, row)

        self._writer.do(work)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with closing(connect_to(self._path)) as connection:
                connection.execute("BEGIN")  # one snapshot, whatever others write meanwhile
                return work(connection)
        except sqlite3.Error as error:
            raise store_error(str(self._path), error) from error


def _check_run(connection: sqlite3.Connection, run_id: str) -> None:
    if not connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone():
        raise reading.no_such_run(run_id)
