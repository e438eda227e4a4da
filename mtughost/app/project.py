"""Find the project, its content and its state; make one (``init``) and trust one (``trust``)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtughost.app.settings import SETTINGS_FILE, Settings, load_settings
from mtughost.content.root import (
    CONTENT_FOLDERS,
    ContentRoot,
    find_content,
    is_trusted,
    packaged_content,
    trust_folder,
)
from mtughost.model.errors import UsageError

_SETTINGS_TEMPLATE = """\
# Settings of this mtughost project. Every key has a default; README.md lists them.
[project]
name = "{name}"

[policy]
# Logins at once: over everything, with one credential, through one jump host, into one site.
overall = 20
per_realm = 20
per_jump = 4
per_site = 2

[change]
# Who writes plans here: a principal of allowed_signers and the private key that signs.
author = ""
author_key = ""
"""

_SIGNERS_TEMPLATE = """\
# Who may sign, one key a line:
# NAME namespaces="KINDS",valid-before="20270101" ssh-ed25519 KEY
# KINDS: mtughost-plan-v1,mtughost-approval-v1 and, for evidence, mtughost-bundle-v1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Where everything of one operator lives.

    Attributes:
        root: The project directory, ``None`` without one.
        content: Task books, parsers, templates, runbooks.
        inventory_dir: The folder with hosts.yaml, groups.yaml and defaults.yaml.
        state_dir: Run store, journals, backups, bundles (0700).
        settings: ``mtughost.toml``.
    """

    root: Path | None
    content: ContentRoot
    inventory_dir: Path
    state_dir: Path
    settings: Settings

    @property
    def known_hosts(self) -> Path:
        """Host keys, keyed by inventory name."""
        return (self.root or self.state_dir) / "known_hosts"

    @property
    def allowed_signers(self) -> Path:
        """Who may sign plans and approvals."""
        return (self.root or self.state_dir) / "allowed_signers"

    @property
    def store_path(self) -> Path:
        """The run store."""
        return self.state_dir / "runs.sqlite"


def user_state_dir(env: Mapping[str, str]) -> Path:
    """Return the user's own state directory for mtughost (XDG base directories)."""
    base = env.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "mtughost"


def open_project(
    project: Path | None = None,
    inventory: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Project:
    """Find the project and make its state directory.

    The current directory counts only when it holds ``mtughost.toml`` and was trusted once.

    Args:
        project: ``--project``; wins over everything.
        inventory: ``--inventory``; otherwise the project's or the packaged inventory.
        env: Environment, for ``MTUGHOST_PROJECT`` and ``XDG_STATE_HOME``.
        cwd: Current directory.

    Raises:
        UsageError: the named directory does not exist.
        ContentError: ``mtughost.toml`` or the content is wrong.
    """
    env = os.environ if env is None else env
    root = _project_root(project, env, cwd or Path.cwd())
    content = find_content(root, env)
    state = _private_dir(root / "state" if root else user_state_dir(env))
    return Project(
        root=root,
        content=content,
        inventory_dir=_inventory_dir(root, inventory, content),
        state_dir=state,
        settings=load_settings(root / SETTINGS_FILE) if root else Settings(),
    )


def _project_root(project: Path | None, env: Mapping[str, str], cwd: Path) -> Path | None:
    named = project or (Path(env["MTUGHOST_PROJECT"]) if env.get("MTUGHOST_PROJECT") else None)
    if named is not None:
        if not named.is_dir():
            raise UsageError(
                f"the project directory {named} does not exist",
                todo=f"Make it with: mtughost init {named}",
            )
        return named.resolve()
    if (cwd / SETTINGS_FILE).is_file() and is_trusted(cwd, env):
        return cwd.resolve()
    return None


def _inventory_dir(root: Path | None, inventory: Path | None, content: ContentRoot) -> Path:
    if inventory is not None:
        if not inventory.is_dir():
            raise UsageError(f"the inventory directory {inventory} does not exist")
        return inventory
    if root is not None and (root / "inventory").is_dir():
        return root / "inventory"
    return content.path / "inventory"


def _private_dir(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def init_project(directory: Path, *, env: Mapping[str, str] | None = None) -> list[Path]:
    """Make a project directory with a copy of the packaged content, and trust it.

    Nothing that exists is overwritten.

    Returns:
        What was made, for the command to print.
    """
    env = os.environ if env is None else env
    source = packaged_content()
    made: list[Path] = []
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in CONTENT_FOLDERS:
        target = directory / folder
        if not target.exists():
            shutil.copytree(source.path / folder, target)
            made.append(target)
    files = {
        SETTINGS_FILE: _SETTINGS_TEMPLATE.format(name=directory.resolve().name),
        "known_hosts": "",
        "allowed_signers": _SIGNERS_TEMPLATE,
    }
    for name, text in files.items():
        target = directory / name
        if not target.exists():
            target.touch(mode=0o600)
            target.write_text(text, encoding="utf-8")
            made.append(target)
    _private_dir(directory / "state")
    trust_folder(directory, env)
    return made


def trust_project(directory: Path, *, env: Mapping[str, str] | None = None) -> None:
    """Let ``directory`` count as the project when it is the current directory.

    Raises:
        UsageError: it holds no ``mtughost.toml``.
    """
    if not (directory / SETTINGS_FILE).is_file():
        raise UsageError(
            f"{directory} holds no {SETTINGS_FILE}",
            todo=f"Make one with: mtughost init {directory}",
        )
    trust_folder(directory, os.environ if env is None else env)
