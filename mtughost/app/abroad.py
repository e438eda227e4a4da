"""Devices read by the workers of a Dask cluster: what travels to them, and what does not.

Host keys and the task books with all that they name travel, so that all workers send and read the
same. Secrets never do: a worker resolves the inventory's references itself, in its own environment,
keyring and files. Paths in the project directory mean the same place in the worker's own,
``$MTUGHOST_PROJECT``.
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mtughost.app.project import Project
from mtughost.app.reader import Reader
from mtughost.app.sessions import SessionFactory
from mtughost.app.settings import PolicySection, Settings
from mtughost.app.visiting import jumps_of
from mtughost.content.root import ContentRoot
from mtughost.fleet.inventory import Inventory
from mtughost.fleet.problems import some
from mtughost.fleet.text import is_reference
from mtughost.fleet.worker import Start, Visitor
from mtughost.model.errors import ContentError, DeviceSkippedError, UsageError
from mtughost.model.inventory import Device
from mtughost.model.visit import Visit
from mtughost.wire.clock import SystemClock
from mtughost.wire.process import tune_process

if TYPE_CHECKING:
    from mtughost.fleet.hub import TlsFiles

#: What reading needs of the content; books name templates, and are checked with them.
_FOLDERS = ("tasks", "parsers", "templates")
_KNOWN_HOSTS = "known_hosts"
PROJECT_VARIABLE = "MTUGHOST_PROJECT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Luggage:
    """What travels to a worker, the same for all.

    Attributes:
        files: A zip of task books, parsers, templates and host keys.
        jumps: Jump hosts by name.
        policy: Deadlines.
        home: The project directory here, ``""`` without one.
    """

    files: bytes
    jumps: Mapping[str, Device]
    policy: PolicySection
    home: str


@contextmanager
def cluster_readers(
    project: Project,
    inventory: Inventory,
    *,
    scheduler: str,
    note: Callable[[str], None],
) -> Iterator[Visitor]:
    """Let the workers of a cluster read devices.

    Args:
        project: Content, host keys, and the certificates in ``mtughost.toml``.
        inventory: What may be visited.
        scheduler: ``tls://HOST:PORT``.
        note: Is told what workers have to say.

    Raises:
        UsageError: no TLS, or Dask is not installed.
        ContentError: certificates are missing, or a password would have to travel.
        SchedulerError: the cluster cannot be used.
    """
    from mtughost.fleet.cluster import Cluster  # noqa: PLC0415  # only with the extra
    from mtughost.fleet.hub import Hub  # noqa: PLC0415

    jumps = jumps_of(inventory)
    refuse_literals((*inventory.devices, *jumps.values()))
    start = Start("mtughost.app.abroad:make_reader", pack(project, jumps))
    cluster = Cluster(start, Hub(scheduler, tls_files(project)), note=note)
    try:
        yield cluster
    finally:
        cluster.close()


def refuse_literals(devices: Iterable[Device]) -> None:
    """Refuse to send a password along.

    Raises:
        ContentError: names the devices, never the password.
    """
    literal = [
        device.name
        for device in devices
        if device.credential.password_ref and not is_reference(device.credential.password_ref)
    ]
    if literal:
        raise ContentError(
            f"the passwords of {len(literal)} devices stand in the inventory as plain text "
            f"({some(literal, 3)}), and a secret does not travel to a worker",
            key="password",
            todo="Use env:NAME, keyring:SERVICE/USER or file:PATH, set at each worker",
        )


def tls_files(project: Project) -> TlsFiles:
    """Return the certificates that ``mtughost.toml`` names.

    Raises:
        UsageError: it names none.
        ContentError: a file is missing, or others may read the key.
    """
    from mtughost.fleet.hub import TlsFiles  # noqa: PLC0415

    section = project.settings.scheduler
    if not (project.root and section.ca and section.cert and section.key):
        raise UsageError(
            "--scheduler needs certificates for mutual TLS",
            todo="Name them in the project's mtughost.toml: [scheduler] with ca, cert and key",
        )
    paths = [project.root / Path(name).expanduser() for name in (section.ca, section.cert)]
    key = project.root / Path(section.key).expanduser()
    for path in (*paths, key):
        if not path.is_file():
            raise ContentError("does not exist", path=str(path), key="scheduler")
    if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ContentError(
            "the scheduler's private key may be read by others",
            path=str(key),
            todo=f"chmod 600 {key}",
        )
    return TlsFiles(ca=paths[0], cert=paths[1], key=key)


def pack(project: Project, jumps: Mapping[str, Device]) -> Luggage:
    """Put together what travels."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in _FOLDERS:
            for path in sorted((project.content.path / folder).rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(project.content.path))
        if project.known_hosts.exists():
            archive.write(project.known_hosts, _KNOWN_HOSTS)
    return Luggage(
        files=packed.getvalue(),
        jumps=jumps,
        policy=project.settings.policy,
        home=str(project.root.resolve()) if project.root else "",
    )


class DistantReader:
    """Reads devices on a worker, with the worker's own secrets. Close it."""

    def __init__(self, luggage: Luggage, note: Callable[[str], None]) -> None:
        self._luggage = luggage
        self._here = os.environ.get(PROJECT_VARIABLE, "")
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="mtughost-worker-"))  # mode 0700
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            with zipfile.ZipFile(io.BytesIO(luggage.files)) as archive:
                archive.extractall(folder)  # made by pack()
            jumps = {name: self.at_home(jump) for name, jump in luggage.jumps.items()}
            clock = SystemClock()
            # As in any worker, nobody is at its side to be asked for a code.
            factory = SessionFactory(
                _project(folder, luggage), jumps, clock=clock, warn=note, ask=None
            )
            stack.callback(factory.close)
            self._reader = Reader(factory, clock)
            self._stack = stack.pop_all()

    def visit(self, device: Device) -> Visit:
        """Log in, read what the task book reads, log out.

        Raises:
            DeviceError: the login failed, nothing was answered, or this worker lacks the secret.
        """
        try:
            return self._reader.visit(self.at_home(device))
        except ContentError as error:
            reason = f"its worker on {platform.node()} cannot visit it: {error}"
            raise DeviceSkippedError(device.name, reason) from None

    def close(self) -> None:
        """End what is shared between logins, and leave no file."""
        self._stack.close()

    def at_home(self, device: Device) -> Device:
        """Return the device with paths of the project directory in the worker's own."""
        theirs, credential = self._luggage.home, device.credential
        if not (theirs and self._here):
            return device
        moved = replace(
            credential,
            password_ref=_moved_reference(credential.password_ref, theirs, self._here),
            enable_ref=_moved_reference(credential.enable_ref, theirs, self._here),
            key_file=_moved(credential.key_file, theirs, self._here),
        )
        return replace(device, credential=moved)


def make_reader(luggage: Luggage, note: Callable[[str], None]) -> DistantReader:
    """Make a reader on a worker."""
    tune_process()
    return DistantReader(luggage, note)


def _project(folder: Path, luggage: Luggage) -> Project:
    return Project(
        root=folder,
        content=ContentRoot(folder),
        inventory_dir=folder,
        state_dir=folder,
        settings=Settings(policy=luggage.policy),
    )


def _moved_reference(reference: str, old: str, new: str) -> str:
    scheme, _, path = reference.partition(":")
    return f"file:{_moved(path, old, new)}" if scheme == "file" else reference


def _moved(path: str, old: str, new: str) -> str:
    if path and Path(os.path.normpath(path)).is_relative_to(old):
        return str(Path(new) / Path(os.path.normpath(path)).relative_to(old))
    return path
