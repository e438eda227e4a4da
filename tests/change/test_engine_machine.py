"""The whole engine under anything that may happen, in any order: Hypothesis looks for the hole."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mtughost.change.resume import open_devices, statuses
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from tests.change.conftest import CHECKOUT, CHOICES, worlds

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
KINDS = ("clamp-scope-nft", "clamp-missing-nft", "clamp-iptables", "host-mtu")
_ROOT = ContentRoot(CHECKOUT)


class _Content:
    root, book = _ROOT, load_book(_ROOT, "linux")


BUILDER = worlds.Builder(_Content)
RECORDS = st.integers(min_value=-1, max_value=26)
WHEN = st.sampled_from(["before", "after"])
LINES = st.integers(min_value=0, max_value=30)


class Dying(worlds.DyingJournal):
    at = -1


class Engine(RuleBasedStateMachine):
    """One gateway, one plan; the tool may be killed, the network and the device may fail."""

    @initialize(kind=st.sampled_from(KINDS), service_s=st.sampled_from([2.0, 40.0, 89.0]))
    def a_shop(self, kind, service_s):
        self.folder = TemporaryDirectory()
        plan = BUILDER.one(kind, CHOICES)
        Dying.at = -1
        self.fleet = worlds.world_of(Path(self.folder.name), plan, journal=Dying)
        self.fleet.service_s = service_s
        self.station = self.fleet.stations["s001-gw1"]
        self.ran = False

    def teardown(self):
        if hasattr(self, "folder"):
            self.settles_in_the_end()
            self.folder.cleanup()

    def attempt(self, action, at, when):
        before = len(self.fleet.records()) if self.ran else 0
        Dying.at, Dying.when = (before + at if at >= 0 else -1), when
        try:
            return action()
        except worlds.Killed:
            return None
        finally:
            Dying.at = -1

    @precondition(lambda self: not self.ran)
    @rule(at=RECORDS, when=WHEN)
    def apply(self, at, when):
        self.attempt(self.fleet.run, at, when)
        self.ran = True

    @precondition(lambda self: self.ran)
    @rule(at=RECORDS, when=WHEN)
    def resume(self, at, when):
        self.attempt(self.fleet.resume, at, when)

    @rule(
        ahead=LINES,
        what=st.sampled_from(["eof", "lost", "late", "fail", "reboot", "slow", "dark"]),
        seconds=st.floats(min_value=1, max_value=300),
    )
    def trouble_ahead(self, ahead, what, seconds):
        fault = worlds.Fault(self.station.lines + ahead, what, seconds)
        self.station.faults.append(fault)

    @rule(seconds=st.sampled_from([1, 30, 120, 181, 400]))
    def time_passes(self, seconds):
        self.fleet.wait(seconds)

    @rule()
    def the_device_reboots(self):
        self.station.gateway.reboot()

    @rule()
    def the_service_stops_working(self):
        self.station.broken = True

    @invariant()
    def nothing_changed_before_an_armed_guard_was_read_back(self):
        if hasattr(self, "station"):
            assert self.station.gateway.broken_promises == []

    @invariant()
    def confirmed_is_never_false(self):
        if hasattr(self, "fleet") and self.ran:
            told = [status.state for status in statuses(self.fleet.records())]
            if told and told[-1] == "confirmed":
                assert self.fleet.side("s001-gw1") == "after"
            if told and told[-1] == "reverted":
                assert self.fleet.side("s001-gw1") == "before"

    def settles_in_the_end(self):
        self.station.faults = []
        self.fleet.wait(1000)
        if self.ran and open_devices(self.fleet.records()):
            self.fleet.resume()
        if self.ran:
            assert open_devices(self.fleet.records()) == ()
        assert self.fleet.side("s001-gw1") in {"before", "after"}


TestEngine = Engine.TestCase
TestEngine.settings = settings(
    max_examples=500 if FULL else 15,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
