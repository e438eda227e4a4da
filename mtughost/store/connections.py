"""Connections to the database file of the run store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mtughost.model.errors import StoreError

#: How long one process waits for another one's transaction; those take milliseconds.
BUSY_TIMEOUT_S = 30.0
#: 8 MiB in the usual pages.
PAGES_AT_ONCE = 2048


def connect_to(path: Path) -> sqlite3.Connection:
    """Open the database file, which exists already, with the settings that the store relies on."""
    # mode=rw: the file was made with the right mode already and must not appear again without.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
    )
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        # Only takes effect while the file is empty; delete_runs() can then give space back.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _demand_wal(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _demand_wal(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"the run store {path} is on a file system without shared memory",
            todo="Put the project's state folder on a local disk",
        )


def give_pages_back(connection: sqlite3.Connection) -> int:
    """Give some space of what was deleted back to the file system; return how many bytes, or 0.

    Some only: whoever else wants to write waits for this.
    """
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    pages = min(free, PAGES_AT_ONCE)
    # Python steps a statement without columns only once, so "incremental_vacuum" frees one page.
    for _ in range(pages):
        connection.execute("PRAGMA incremental_vacuum(1)")
    left = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return int((free - left) * connection.execute("PRAGMA page_size").fetchone()[0])
