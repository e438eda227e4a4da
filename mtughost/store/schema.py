"""The tables of the run store, as numbered migrations."""

from __future__ import annotations

import sqlite3

from mtughost.model.errors import StoreError
from mtughost.store.bodies import pack_json_text

#: ``mtug`` in ASCII: tells a run store from any other SQLite file.
APPLICATION_ID = 0x6D747567

#: Version N of the schema is what the first N scripts make. A released script never changes.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        started_utc TEXT NOT NULL,
        ended_utc TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL CHECK (state IN ('running', 'complete', 'interrupted')),
        tool TEXT NOT NULL,
        content_digest TEXT NOT NULL,
        inventory_digest TEXT NOT NULL,
        options TEXT NOT NULL
    ) STRICT;
    CREATE TABLE asked (
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        host TEXT NOT NULL,
        PRIMARY KEY (run_id, position),
        UNIQUE (run_id, host)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE hosts (
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        host TEXT NOT NULL,
        site TEXT NOT NULL,
        role TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'skipped')),
        error TEXT NOT NULL,
        error_kind TEXT NOT NULL,
        extra TEXT NOT NULL,
        answers INTEGER NOT NULL,
        recorded_utc TEXT NOT NULL,
        PRIMARY KEY (run_id, host)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE answers (
        run_id TEXT NOT NULL,
        host TEXT NOT NULL,
        position INTEGER NOT NULL,
        command_id TEXT NOT NULL,
        line TEXT NOT NULL,
        exit_code INTEGER,
        status TEXT NOT NULL,
        error TEXT NOT NULL,
        started_utc TEXT NOT NULL,
        duration_s REAL NOT NULL,
        size_bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (run_id, host, position),
        FOREIGN KEY (run_id, host) REFERENCES hosts (run_id, host) ON DELETE CASCADE
    ) STRICT;
    CREATE TABLE captures (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        host TEXT NOT NULL,
        point TEXT NOT NULL,
        interface TEXT NOT NULL,
        meta TEXT NOT NULL,
        recorded_utc TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX captures_of_run ON captures (run_id);
    CREATE TABLE probes (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        data TEXT NOT NULL
    ) STRICT;
    CREATE INDEX probes_of_run ON probes (run_id);
    CREATE TABLE reports (
        run_id TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
        data TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE ingested (
        id INTEGER PRIMARY KEY,
        host TEXT NOT NULL,
        site TEXT NOT NULL,
        role TEXT NOT NULL,
        platform TEXT NOT NULL,
        command_id TEXT NOT NULL,
        line TEXT NOT NULL,
        told_key TEXT NOT NULL,
        told_value TEXT NOT NULL,
        by_whom TEXT NOT NULL,
        on_date TEXT NOT NULL,
        how TEXT NOT NULL,
        recorded_utc TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE verdicts (
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        site TEXT NOT NULL,
        verdict TEXT NOT NULL,
        PRIMARY KEY (run_id, site)
    ) STRICT, WITHOUT ROWID;
    INSERT OR REPLACE INTO verdicts
        SELECT reports.run_id, json_extract(value, '$.site'), json_extract(value, '$.verdict')
        FROM reports, json_each(reports.data, '$.sites');
    """,
    """
    CREATE TABLE site_reports (
        run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (run_id, position)
    ) STRICT;
    INSERT INTO site_reports
        SELECT reports.run_id, key, packed_json(value)
        FROM reports, json_each(reports.data, '$.sites');
    UPDATE reports SET data = json_set(data, '$.sites', json('[]'))
        WHERE json_type(data, '$.sites') = 'array';
    """,
)


def migrate(
    connection: sqlite3.Connection, path: str, migrations: tuple[str, ...] = MIGRATIONS
) -> None:
    """Bring a store to the newest schema, each step whole or not at all.

    Two processes may do this at once: the write lock is taken before the version is read.

    Raises:
        StoreError: the file is another program's, or a newer mtughost made it.
    """
    connection.create_function("packed_json", 1, pack_json_text, deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        _migrate_locked(connection, path, migrations)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _migrate_locked(connection: sqlite3.Connection, path: str, migrations: tuple[str, ...]) -> None:
    owner = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StoreError(
            f"{path} is a database of another program", todo="Give another file for the run store"
        )
    if version > len(migrations):
        raise StoreError(
            f"{path} was written by a newer mtughost (schema {version}, known {len(migrations)})",
            todo="Update mtughost, or give another file for the run store",
        )
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for number, script in enumerate(migrations[version:], start=version + 1):
        # Not executescript: it commits what is open, and a step must be whole or nothing.
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _statements(script: str) -> list[str]:
    found: list[str] = []
    text = ""
    for part in script.split(";"):
        text += f"{part};"
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return [statement for statement in found if statement.strip(" \n;")]
