"""Where content is found, and what standing in a hostile folder changes: nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mtughost.content.root import (
    ContentRoot,
    find_content,
    is_trusted,
    packaged_content,
    trust_file,
    trust_folder,
)
from mtughost.model.errors import ContentError


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "user-state")}


@pytest.fixture
def project(root: ContentRoot) -> Path:
    (root.path / "mtughost.toml").write_text("")
    return root.path


def test_the_named_project_wins_over_the_environment(project, env, tmp_path):
    env["MTUGHOST_PROJECT"] = str(tmp_path / "nowhere")

    assert find_content(project, env).path == project.resolve()


def test_the_environment_names_the_project_where_nobody_else_does(project, env):
    env["MTUGHOST_PROJECT"] = str(project)

    assert find_content(None, env) == ContentRoot(project.resolve(), "project")


def test_without_a_project_the_installation_or_the_checkout_is_used(env):
    assert find_content(None, env).origin in {"packaged", "checkout"}


def test_a_project_directory_that_does_not_exist_is_an_error_that_says_how_to_make_it(
    env, tmp_path
):
    with pytest.raises(ContentError, match="mtughost init"):
        find_content(tmp_path / "nowhere", env)


def test_a_project_with_half_a_set_of_folders_is_refused(project, env):
    (project / "runbooks").rmdir()

    with pytest.raises(ContentError, match="not runbooks"):
        find_content(project, env)


def test_a_project_that_only_brings_an_inventory_uses_the_packaged_content(env, tmp_path):
    bare = tmp_path / "operator"
    (bare / "inventory").mkdir(parents=True)

    assert find_content(bare, env) == packaged_content()


def test_the_current_directory_counts_only_once_it_was_trusted(project, env):
    before = find_content(None, env, cwd=project)
    trust_folder(project, env)

    assert before == packaged_content()
    assert find_content(None, env, cwd=project).path == project.resolve()


def test_trust_needs_the_settings_file_and_follows_the_real_path(project, env, tmp_path):
    trust_folder(project, env)
    link = tmp_path / "link"
    link.symlink_to(project)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "mtughost.toml").write_text("")

    assert is_trusted(link, env)
    assert not is_trusted(copy, env)
    (project / "mtughost.toml").unlink()
    assert not is_trusted(project, env)


def test_the_trust_file_is_private_and_keeps_what_it_had(project, env, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    trust_folder(other, env)
    trust_folder(project, env)

    assert set(trust_file(env).read_text().split()) == {str(other), str(project.resolve())}
    assert stat.S_IMODE(trust_file(env).stat().st_mode) == 0o600


def test_a_directory_whose_name_holds_a_line_end_cannot_be_trusted(env, tmp_path):
    with pytest.raises(ContentError):
        trust_folder(tmp_path / "a\nb", env)


def test_the_digest_is_stable_and_changes_with_any_byte_of_content(root):
    first = ContentRoot(root.path).digest
    again = ContentRoot(root.path).digest
    (root.path / "runbooks" / "x.md").write_text("text")
    changed = ContentRoot(root.path).digest
    (root.path / "runbooks" / "x.md").rename(root.path / "runbooks" / "y.md")

    assert first == again
    assert len({first, changed, ContentRoot(root.path).digest}) == 3


def test_the_digest_ignores_what_editors_leave_and_a_sites_own_inventory(root):
    before = ContentRoot(root.path).digest
    (root.path / "tasks" / ".tiny.yaml.swp").write_text("x")
    (root.path / "tasks" / "tiny.yaml~").write_text("x")
    (root.path / "inventory").mkdir()
    (root.path / "inventory" / "hosts.local.yaml").write_text("x")

    assert ContentRoot(root.path).digest == before


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "", ".hidden", "x..y", "X", "a\nb"])
def test_only_plain_file_names_reach_the_disk(root, name):
    with pytest.raises(ContentError):
        root.file("tasks", name)


def test_a_link_that_leads_out_of_the_content_is_refused(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "book.yaml"
    outside.write_text("platform: evil")
    (root.path / "tasks" / "evil.yaml").symlink_to(outside)

    with pytest.raises(ContentError, match="leads out"):
        root.file("tasks", "evil.yaml")


def test_a_file_above_the_limit_or_not_utf8_is_refused(root):
    big = root.path / "runbooks" / "big.md"
    big.write_bytes(b"x" * (1024 * 1024 + 1))
    latin = root.path / "runbooks" / "latin.md"
    latin.write_bytes(b"caf\xe9")

    with pytest.raises(ContentError, match="larger"):
        root.text(big)
    with pytest.raises(ContentError, match="UTF-8"):
        root.text(latin)


def test_an_unwritable_trust_file_is_no_trust(project, env):
    assert not is_trusted(project, {"XDG_STATE_HOME": os.devnull})
