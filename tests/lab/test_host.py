"""What is said when a lab cannot run here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtughost.lab import host, runtime
from mtughost.model.errors import LabError


def test_a_missing_program_is_named_by_its_package(monkeypatch):
    with pytest.raises(LabError, match="freeradius-utils") as caught:
        host.require({"no-such-program-here": "freeradius-utils", "sh": "dash"})

    assert "apt-get install" in str(caught.value)
    assert "dash" not in str(caught.value)


def test_the_range_of_ids_is_that_of_this_user_and_large_enough(tmp_path: Path):
    file = tmp_path / "subuid"
    file.write_text(f"somebody:1:65536\n{os.getuid()}:200000:10\n{os.getuid()}:300000:65536\n")

    assert host.own_range(str(file)) == host.IdRange(300000, 65536)


def test_no_range_of_ids_is_none(tmp_path: Path):
    file = tmp_path / "subuid"
    file.write_text("somebody:1:65536\nnot a line\n")

    assert host.own_range(str(file)) is None
    assert host.own_range(str(tmp_path / "absent")) is None


def test_a_directory_that_every_lab_hides_is_refused():
    with pytest.raises(LabError, match="below /run"):
        runtime._refuse_hidden(Path("/run/user/1000/labs"))
