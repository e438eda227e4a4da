"""What a large audit needs is begun before it is known in detail; a wrong guess leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtughost.app.early import MANY_HOSTS_BYTES, early_seed
from mtughost.app.project import Project, open_project


@pytest.fixture
def project_with(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def make(size: int, settings: str = "") -> Project:
        root = tmp_path / "project"
        (root / "inventory").mkdir(parents=True, exist_ok=True)
        (root / "inventory" / "hosts.yaml").write_text("#" * size)
        (root / "mtughost.toml").write_text(f"[policy]\n{settings}")
        return open_project(root)

    return make


@pytest.mark.parametrize(
    ("size", "settings", "whole_fleet", "begun"),
    [
        (MANY_HOSTS_BYTES + 1, "", True, True),
        (MANY_HOSTS_BYTES + 1, "", False, False),
        (MANY_HOSTS_BYTES, "", True, False),
        (MANY_HOSTS_BYTES + 1, "processes = 1", True, False),
        (10, "processes = 2", True, True),
    ],
    ids=["large", "a part of a large one", "small", "one process wanted", "two wanted"],
)
def test_a_seed_is_begun_only_where_workers_will_probably_be_needed(
    project_with, size, settings, whole_fleet, begun
):
    with early_seed(project_with(size, settings), whole_fleet=whole_fleet) as seed:
        assert (seed is not None) is begun

    assert seed is None or not Path(f"/proc/{seed.pid}").exists()


def test_an_inventory_that_is_missing_is_not_this_modules_matter(project_with):
    project = project_with(10)
    (project.inventory_dir / "hosts.yaml").unlink()

    with early_seed(project, whole_fleet=True) as seed:
        assert seed is None
