"""What is on the disk after a write that went well, and after one that did not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mtughost.disk import replace_file, sync_directory

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
