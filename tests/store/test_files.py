from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from mtughost.model.errors import StoreError
from mtughost.store import RunStore
from mtughost.store.schema import APPLICATION_ID, MIGRATIONS, migrate


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_0600_and_new_folders_0700_whatever_the_umask(tmp_path, clock):
    before = os.umask(0)
    try:
        path = tmp_path / "a" / "b" / "runs.sqlite"
        with RunStore.open(path, clock=clock):
            modes = {item.name: mode(item) for item in path.parent.iterdir()}
            assert modes == {
                "runs.sqlite": 0o600,
                "runs.sqlite-wal": 0o600,
                "runs.sqlite-shm": 0o600,
            }
            assert mode(path.parent) == mode(path.parent.parent) == 0o700
    finally:
        os.umask(before)


def test_an_open_file_is_closed_to_others(path, clock):
    RunStore.open(path, clock=clock).close()
    path.chmod(0o644)
    RunStore.open(path, clock=clock).close()

    assert mode(path) == 0o600


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("dangling", [True, False])
def test_a_symbolic_link_in_place_of_the_store_is_refused(path, clock, tmp_path, suffix, dangling):
    path.parent.mkdir(mode=0o700)
    target = tmp_path / "victim"
    if not dangling:
        target.write_bytes(b"precious")
    path.with_name(path.name + suffix).symlink_to(target)

    with pytest.raises(StoreError, match="symbolic link"):
        RunStore.open(path, clock=clock)
    assert target.exists() != dangling
    assert dangling or target.read_bytes() == b"precious"


def test_another_kind_of_file_is_refused(path, clock):
    path.mkdir(parents=True, mode=0o700)
    with pytest.raises(StoreError, match="not a regular file"):
        RunStore.open(path, clock=clock)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(StoreError, match="not a regular file"):
        RunStore.open(path, clock=clock)


def test_a_folder_that_others_may_write_into_is_refused(path, clock):
    path.parent.mkdir()
    path.parent.chmod(0o777)

    with pytest.raises(StoreError, match="chmod go-w"):
        RunStore.open(path, clock=clock)


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path, clock):
    (tmp_path / "file").write_text("x")

    with pytest.raises(StoreError, match="cannot be opened"):
        RunStore.open(tmp_path / "file" / "runs.sqlite", clock=clock)


def test_a_file_that_is_no_database_is_refused_and_kept(path, clock):
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"my holiday notes\n" * 400)

    with pytest.raises(StoreError, match="not a run store"):
        RunStore.open(path, clock=clock)
    assert path.read_bytes() == b"my holiday notes\n" * 400


def test_another_programs_database_is_refused(path, clock):
    path.parent.mkdir(mode=0o700)
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")

    with pytest.raises(StoreError, match="another program"):
        RunStore.open(path, clock=clock)


def test_a_store_of_a_newer_mtughost_is_refused(path, clock):
    RunStore.open(path, clock=clock).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    with pytest.raises(StoreError, match="newer mtughost"):
        RunStore.open(path, clock=clock)


def test_a_damaged_database_is_a_store_error(path, clock, begin, store):
    store.close()
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xff" * 3996
    path.write_bytes(data)

    with pytest.raises(StoreError, match="cannot be used"):
        RunStore.open(path, clock=clock)


STEPS = ("CREATE TABLE a (x); CREATE TABLE b (x);", "INSERT INTO a VALUES (1);")


def open_raw(path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def test_migrations_run_once_and_in_order(tmp_path):
    with closing(open_raw(tmp_path / "x")) as raw:
        migrate(raw, "x", STEPS[:1])
        migrate(raw, "x", STEPS)
        migrate(raw, "x", STEPS)

        assert raw.execute("SELECT count(*) FROM a").fetchone() == (1,)
        assert raw.execute("PRAGMA user_version").fetchone() == (2,)
        assert raw.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path):
    with closing(open_raw(tmp_path / "x")) as raw:
        migrate(raw, "x", STEPS[:1])
        with pytest.raises(sqlite3.OperationalError):
            migrate(raw, "x", (STEPS[0], "CREATE TABLE c (x); INSERT INTO nowhere VALUES (1);"))

        tables = raw.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall()
        assert tables == [("a",), ("b",)]
        assert raw.execute("PRAGMA user_version").fetchone() == (1,)
