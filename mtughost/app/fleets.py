"""Run a virtual fleet until somebody ends it."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtughost.lab import fleet, state
from mtughost.lab.fleet.project import OPERATOR, PARTIAL, PROJECT_FILES
from mtughost.lab.pki import ssh_key
from mtughost.model.errors import LabError


@dataclass(frozen=True, slots=True)
class RunningFleet:
    """A fleet that listens.

    Attributes:
        project: The operator's project directory.
        sites: What was made.
    """

    project: Path
    sites: tuple[fleet.VirtualSite, ...]


@contextmanager
def virtual_fleet(
    spec: fleet.FleetSpec, *, name: str, say: Callable[[str], None] = lambda _text: None
) -> Iterator[RunningFleet]:
    """Start a fleet under a name, like a lab's.

    ``lab list``, ``lab path`` and ``lab down`` know it. Devices listen on loopback.

    Raises:
        LabError: a lab of this name runs already, or an address cannot be listened on.
    """
    root = state.labs_root().absolute()
    if name in state.names(root) and state.is_running(state.load(root, name)):
        raise LabError(
            f"lab {name!r} is running already",
            todo=f"Use another --name, or: mtughost lab down {name}",
        )
    directory = root / name / "project"
    key, approver = ssh_key(), ssh_key()
    password = secrets.token_hex(8)
    accounts = (
        fleet.Account(username=OPERATOR, public_key=key.public, password=password),
        fleet.Account(username=PARTIAL, public_key=key.public, password=password, level="partial"),
    )
    with fleet.Fleet() as running:
        sites = fleet.make_sites(spec, clock=running.clock, accounts=accounts)
        devices = [device for site in sites for device in site.devices]
        say(f"starting {len(devices)} SSH servers")
        running.start(devices)
        pid = os.getpid()
        record = state.Record(
            name=name,
            pid=pid,
            start_ticks=state.start_ticks(pid) or 0,
            boot_id=state.boot_id(),
            mapped="single",
            created_utc=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            project=str(directory),
            files=PROJECT_FILES,
            hosts=tuple(running.endpoints),
        )
        fleet.write_project(directory, running, sites, (key, approver), password=password)
        state.save(root, record)
        try:
            yield RunningFleet(directory, sites)
        finally:
            (root / name / state.RECORD).unlink(missing_ok=True)
            for file in PROJECT_FILES:
                (directory / file).unlink(missing_ok=True)


def wait_for_the_end() -> None:
    """Wait for Ctrl-C or a request to terminate."""
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        ended.wait()
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)
