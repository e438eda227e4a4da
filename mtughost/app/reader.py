"""What an audit does at one device, in this process or in a worker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from mtughost.app.sessions import SessionFactory
from mtughost.app.visiting import VisitSetup
from mtughost.collect.visit import read_device
from mtughost.fleet.threads import login_proven
from mtughost.model.inventory import Device
from mtughost.model.session import Clock
from mtughost.model.visit import Visit
from mtughost.wire.clock import SystemClock
from mtughost.wire.process import tune_process


class Reader:
    """Reads devices passively."""

    def __init__(self, factory: SessionFactory, clock: Clock) -> None:
        self._factory = factory
        self._clock = clock

    def visit(self, device: Device) -> Visit:
        """Log in, read what the task book reads, log out.

        Raises:
            DeviceError: the login failed, or nothing was answered.
        """
        factory = self._factory
        with closing(factory.open(device)) as session:
            login_proven()
            visit = read_device(
                session, factory.book(device), factory.project.content, device, clock=self._clock
            )
            facts = replace(
                visit.facts,
                login_needed_small_mss=session.small_mss_login,
                login_by_default=factory.uses_default_login(device),
            )
            return replace(visit, facts=facts)


def make_reader(setup: VisitSetup, note: Callable[[str], None]) -> Reader:
    """Make a reader in a worker process."""
    tune_process()
    clock = SystemClock()
    # A worker has nobody at its side: a code is asked for where policy.processes is 1.
    factory = SessionFactory(setup.project, setup.jumps, clock=clock, warn=note, ask=None)
    for platform in setup.platforms:
        factory.prepare(platform)
    return Reader(factory, clock)
