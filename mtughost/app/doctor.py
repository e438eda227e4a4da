"""What this machine, this installation and this project can do, checked by looking."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from mtughost import __version__
from mtughost.app.inventory import open_inventory
from mtughost.app.platforms import all_books
from mtughost.app.project import Project
from mtughost.disk import network_file_system
from mtughost.lab.host import missing_for_lab
from mtughost.model.errors import MtughostError
from mtughost.model.inventory import Device
from mtughost.wire.known_hosts import KnownHosts

#: ``bad`` stands in the way of an audit; ``note`` only of something else, which it names.
State = Literal["ok", "note", "bad"]
#: A hundred logins take some files each.
_FILES_WANTED = 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    said: str
    todo: str = ""


def examine(project: Project) -> tuple[Check, ...]:
    """Look at everything; never raises for what it finds."""
    checks: list[Check] = []
    for name, look in _LOOKS.items():
        try:
            checks += look(project)
        except MtughostError as error:
            checks.append(Check(name, "bad", str(error)))
    return tuple(checks)


def _installation(project: Project) -> Iterator[Check]:
    yield Check(
        "installation",
        "ok",
        f"mtughost {__version__}, Python {platform.python_version()} on {sys.platform}",
    )
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _FILES_WANTED:
        yield Check(
            "installation",
            "note",
            f"only {soft} open files are allowed",
            "Raise it: ulimit -n 4096",
        )
    del project


def _content(project: Project) -> Iterator[Check]:
    books = all_books(project.content)
    yield Check(
        "content",
        "ok",
        f"{project.content.origin} content in {project.content.path}, {project.content.digest}",
    )
    names = ", ".join(book.platform for book in books)
    yield Check("content", "ok", f"{len(books)} task books are valid: {names}")


def _project(project: Project) -> Iterator[Check]:
    if project.root is None:
        yield Check(
            "project",
            "note",
            f"none: settings, keys and runs are the user's own in {project.state_dir}",
            "Make one: mtughost init DIRECTORY",
        )
    else:
        yield Check("project", "ok", f"{project.root}, called {project.settings.project.name!r}")
    mode = stat.S_IMODE(project.state_dir.stat().st_mode)
    if mode & 0o077:
        yield Check("project", "bad", f"{project.state_dir} is open to others ({mode:04o})")
    if network := network_file_system(project.state_dir):
        yield Check(
            "project", "bad", f"{project.state_dir} is on a network file system ({network})"
        )
    if not os.access(project.state_dir, os.W_OK):
        yield Check("project", "bad", f"{project.state_dir} cannot be written to")


def _inventory(project: Project) -> Iterator[Check]:
    inventory = open_inventory(project)
    yield Check(
        "inventory",
        "ok",
        f"{inventory.directory}: {len(inventory.sites)} sites, {len(inventory.devices)} devices",
    )
    if inventory.warnings:
        yield Check(
            "inventory",
            "note",
            f"{len(inventory.warnings)} remarks",
            "Read them: mtughost inventory check",
        )
    yield from _key_files(inventory.devices, "bad" if project.root else "note")
    yield from _known_hosts(project, inventory.devices)


def _key_files(devices: tuple[Device, ...], missing: State) -> Iterator[Check]:
    """Check the key files; the shipped inventory is the lab's, whose keys exist in a lab only."""
    for name in sorted({device.credential.key_file for device in devices} - {""}):
        path = Path(name)
        if not path.is_file():
            yield Check("credentials", missing, f"the key file {name} does not exist")
        elif stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Check(
                "credentials", "note", f"others may read the key file {name}", f"chmod 600 {name}"
            )


def _known_hosts(project: Project, devices: tuple[Device, ...]) -> Iterator[Check]:
    hosts = KnownHosts(project.known_hosts)
    strangers = [device.name for device in devices if not hosts.keys_for(device.name)]
    if not strangers:
        yield Check("known_hosts", "ok", f"{project.known_hosts} knows all {len(devices)} devices")
        return
    shown = ", ".join(strangers[:3]) + (" ..." if len(strangers) > 3 else "")  # noqa: PLR2004
    yield Check(
        "known_hosts",
        "note",
        f"{len(strangers)} of {len(devices)} devices have no host key in {project.known_hosts} and "
        f"will not be logged in to: {shown}",
        "Compare and record them: mtughost enroll",
    )


def _signing(project: Project) -> Iterator[Check]:
    if shutil.which("ssh-keygen") is None:
        yield Check(
            "signing",
            "note",
            "ssh-keygen is not installed: no plan, approval or bundle can be signed or checked",
            "Install OpenSSH's client, on Debian: apt-get install openssh-client",
        )
    try:
        lines = project.allowed_signers.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    signers = [line for line in lines if line.strip() and not line.startswith("#")]
    author = project.settings.change.author
    if len(signers) < 2:  # noqa: PLR2004 - who writes a plan does not approve it
        yield Check(
            "signing",
            "note",
            f"{project.allowed_signers} names {len(signers)} signers: a change needs an "
            "author and somebody else",
        )
    else:
        who = f", the author is {author}" if author else ", and no author is set"
        yield Check("signing", "ok", f"{project.allowed_signers} names {len(signers)} signers{who}")


def _lab(project: Project) -> Iterator[Check]:
    del project
    reasons = missing_for_lab() if sys.platform == "linux" else ("it needs Linux",)
    if not reasons:
        yield Check("lab", "ok", "labs of real kernels can run here")
    for reason in reasons:
        yield Check("lab", "note", f"no lab of real kernels can run here: {reason}")
    if find_spec("asyncssh") is None:
        yield Check(
            "lab",
            "note",
            "no virtual fleet can run here: asyncssh is missing",
            "Install mtughost with the extra 'lab'",
        )


_LOOKS: dict[str, Callable[[Project], Iterator[Check]]] = {
    "installation": _installation,
    "content": _content,
    "project": _project,
    "inventory": _inventory,
    "signing": _signing,
    "lab": _lab,
}
