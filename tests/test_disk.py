"""What is on the disk after a write that went well, and after one that did not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mtughost import disk
from mtughost.change.journal import Journal
from mtughost.disk import network_file_system, replace_file, sync_directory
from mtughost.model.errors import StoreError
from mtughost.store import RunStore
from mtughost.wire.clock import SystemClock

#: Writes more than its process may, so that the kernel ends the write in the middle of the file.
_TOO_MUCH = """
import resource, signal, sys
from pathlib import Path
from mtughost.disk import replace_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    replace_file(Path(sys.argv[1]), b"new" * 4096)
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_is_replaced_with_the_asked_permissions_whatever_the_umask(tmp_path, mode):
    path = tmp_path / "report.html"
    path.write_bytes(b"old")
    before = os.umask(0o077)
    try:
        replace_file(path, b"new", mode=mode)
    finally:
        os.umask(before)

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_ends_in_the_middle_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "known_hosts"
    path.write_bytes(b"old")

    done = subprocess.run(
        [sys.executable, "-c", _TOO_MUCH, str(path)], capture_output=True, text=True, check=True
    )

    assert done.stdout == "File too large\n"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_planted_link_is_replaced_and_what_it_points_at_is_left_alone(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "state"
    victim.write_bytes(b"mine")
    path.symlink_to(victim)

    replace_file(path, b"new")

    assert victim.read_bytes() == b"mine"
    assert not path.is_symlink()


def test_a_missing_directory_is_an_error_of_the_system(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "no" / "file", b"")
    with pytest.raises(NotADirectoryError):
        sync_directory(tmp_path / "file")


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Say that what holds ``tmp_path`` is of some type, in the system's own words (proc(5))."""

    def say(kind):
        number = tmp_path.stat().st_dev
        device = f"{os.major(number)}:{os.minor(number)}"
        lines = (
            "23 29 0:22 / /proc rw,nosuid - proc proc rw",
            f"31 29 {device} / /a\\040folder rw,relatime shared:1 master:7 - {kind} fs:/a rw",
        )
        (tmp_path / "mountinfo").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.setattr(disk, "MOUNTS", tmp_path / "mountinfo")

    return say


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("nfs4", "nfs4"), ("fuse.sshfs", "fuse.sshfs"), ("cifs", "cifs"), ("ext4", ""), ("fuse", "")],
)
def test_a_network_file_system_is_told_by_what_the_system_lists(mounted, tmp_path, kind, expected):
    mounted(kind)

    assert network_file_system(tmp_path / "not" / "made" / "yet") == expected


def test_a_place_of_this_machine_is_on_none_and_neither_is_one_that_nobody_lists(
    tmp_path, monkeypatch
):
    assert network_file_system(tmp_path) == ""
    monkeypatch.setattr(disk, "MOUNTS", tmp_path / "missing")
    assert network_file_system(tmp_path) == ""


def test_run_store_and_journal_are_not_kept_on_a_network_file_system(mounted, tmp_path):
    mounted("nfs4")

    with pytest.raises(StoreError, match=r"run store .* network file system \(nfs4\)"):
        RunStore.open(tmp_path / "state" / "runs.sqlite", clock=SystemClock())
    with pytest.raises(StoreError, match=r"journal is on a network file system \(nfs4\)"):
        Journal.open(tmp_path / "state" / "journal.mtj", SystemClock())
    assert not (tmp_path / "state").exists()


def test_a_state_folder_that_leads_to_another_disk_by_a_link_is_judged_where_it_leads(
    mounted, tmp_path
):
    mounted("nfs4")
    (tmp_path / "state").symlink_to("/proc")  # another file system on every Linux

    assert network_file_system(tmp_path / "state" / "runs.sqlite") == ""
