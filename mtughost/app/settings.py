"""``mtughost.toml``: what an operator may set for a project."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mtughost.model.errors import ContentError

SETTINGS_FILE = "mtughost.toml"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProjectSection(_Section):
    """``[project]``.

    Attributes:
        name: Goes into plans and bundles as the tenant.
    """

    name: str = "default"


class PolicySection(_Section):
    """``[policy]``: caps on logins. Devices, jump hosts and RADIUS servers have limits too.

    Attributes:
        overall: Logins at once, over everything.
        per_realm: Logins at once with one credential.
        per_jump: Logins at once through one jump host.
        per_site: Logins at once into one site.
        connect_timeout_s: For TCP, banner and key exchange, each.
        processes: Processes that read a fleet; 0 takes up to one for each core, by its size.
    """

    overall: int = Field(default=20, ge=1, le=100)
    per_realm: int = Field(default=20, ge=1, le=100)
    per_jump: int = Field(default=4, ge=1, le=100)
    per_site: int = Field(default=2, ge=1, le=10)
    connect_timeout_s: float = Field(default=10.0, gt=0, le=120)
    processes: int = Field(default=0, ge=0, le=64)


class ChangeSection(_Section):
    """``[change]``: who may approve, who writes plans.

    Attributes:
        author: Principal of whoever runs ``plan`` (must be in ``allowed_signers``).
        author_key: Path of the author's private key, for ``plan``.
    """

    author: str = ""
    author_key: str = ""


class SchedulerSection(_Section):
    """``[scheduler]``: PEM files for mutual TLS with a Dask cluster, by ``audit --scheduler``.

    Attributes:
        ca: Certificate of the authority that signed those of scheduler and workers.
        cert: Our certificate.
        key: Its private key. Relative paths start at the project directory.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""


class StoreSection(_Section):
    """``[store]``: which runs ``report --prune`` keeps. A run goes only where neither keeps it.

    Attributes:
        keep_days: Runs of the last so many days; 0 says nothing.
        keep_last: The newest so many runs; 0 says nothing.
    """

    keep_days: int = Field(default=0, ge=0)
    keep_last: int = Field(default=0, ge=0)


class Settings(_Section):
    """All of ``mtughost.toml``."""

    project: ProjectSection = ProjectSection()
    policy: PolicySection = PolicySection()
    change: ChangeSection = ChangeSection()
    scheduler: SchedulerSection = SchedulerSection()
    store: StoreSection = StoreSection()


def load_settings(path: Path) -> Settings:
    """Read ``mtughost.toml``; a missing file gives the defaults.

    Raises:
        ContentError: not TOML, an unknown key, or a value out of range.
    """
    if not path.exists():
        return Settings()
    try:
        return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ContentError(
            f"not valid TOML: {error}", path=str(path), todo="Correct the file"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ContentError(
            str(first["msg"]),
            path=str(path),
            key=".".join(str(part) for part in first["loc"]),
            todo="README.md, section 'A project of your own', lists the keys",
        ) from error
