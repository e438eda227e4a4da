"""A lab's project as somebody has it who may log in to less than everything."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from mtughost.model.errors import UsageError

#: ``all``: every device. ``ap-only``: no login on any gateway, as in many real chains of stores.
Access = Literal["all", "ap-only"]
ACCESSES: tuple[Access, ...] = get_args(Access)


def checked_access(text: str) -> Access:
    """Return the kind of access that a word names.

    Raises:
        UsageError: there is no such kind.
    """
    for access in ACCESSES:
        if text == access:
            return access
    raise UsageError(f"--access is {' or '.join(ACCESSES)}, not {text}")


def narrowed_project(project: Path, target: Path, access: Access) -> Path:
    """Copy a lab's project and take out of its inventory whatever may not be logged in to.

    A gateway through which an access point is reached stays as a mere jump host: it carries the
    login and is never asked anything.

    Args:
        project: The lab's own project directory.
        target: An existing, empty directory for the copy.
        access: Who may be logged in to.

    Returns:
        The project to use: ``project`` itself where nothing is taken away.
    """
    if access == "all":
        return project
    shutil.copytree(project, target, dirs_exist_ok=True)
    file = target / "inventory" / "hosts.yaml"
    hosts: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    jumps = {data["data"].get("jump") for data in hosts.values()}
    kept: dict[str, Any] = {}
    for name, host in hosts.items():
        if host["data"]["role"] != "gateway":
            kept[name] = host
        elif name in jumps:
            kept[name] = {**host, "data": {**host["data"], "role": "jump"}}
    file.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    return target
