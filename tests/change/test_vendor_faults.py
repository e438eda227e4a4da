"""Fault runs on virtual FortiOS, IOS-XE, Junos and VyOS: their own timers, their own state."""

from __future__ import annotations

import os
import random
from collections import Counter
from functools import cache

import pytest

from mtughost.change.journal import Journal, RealDisk
from mtughost.change.resume import open_devices, statuses
from tests.change.conftest import choice_of, load_beside, plan_header

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"


virtual = load_beside("virtual")
#: One for each way of guarding: a timer that reboots, a timer, two commits that arm.
CASES = (
    "fortinet-policy-cfg-save",
    "cisco_xe-interface",
    "juniper_junos-device",
    "vyos-interfaces",
)
#: Lines and records of a run without trouble.
LINES, RECORDS = 40, 22
FAULTS = ("eof", "lost-answer", "slow", "dark", "reboot")


class Killed(BaseException):
    """The tool's process ends here."""


class Dying(Journal):
    at, when = -1, "after"

    def append(self, record):
        if record.seq == Dying.at and Dying.when == "before":
            raise Killed
        super().append(record)
        if record.seq == Dying.at and Dying.when == "after":
            raise Killed


class Quick(RealDisk):
    def sync(self, handle):
        """Return at once: loss of power is tried elsewhere."""


class Rig(virtual.VirtualRig):
    """A rig with faults at chosen lines and a journal that may end the tool."""

    def prepare_faults(self, chance):
        faults = {
            chance.randrange(LINES): chance.choice(FAULTS) for _ in range(chance.randint(1, 2))
        }
        self.lines, self.dark_until_s = 0, -1.0

        def before(command):
            now_s = self.device.clock.now_s()
            if now_s < self.dark_until_s:
                return "eof"
            if command.command_id == "login":
                return ""
            fault = faults.pop(self.lines, "")
            self.lines += 1
            if fault == "slow":
                self.device.clock.advance(chance.uniform(1, 200))
            elif fault == "dark":
                self.dark_until_s = now_s + chance.uniform(5, 400)
                return "eof"
            elif fault == "reboot":
                self.device.reboot()
                return "eof"
            return fault if fault in {"eof", "lost-answer"} else ""

        self.before = before
        return faults

    def journal(self):
        return Dying.open(self.directory / "journal.mtj", self.clock, disk=Quick())


@cache
def after_of(case, people, directory):
    """Return the state that a run without trouble leaves."""
    directory.mkdir(parents=True)
    rig = Rig(case, people, directory, choice_of, plan_header)
    Dying.at = -1
    assert rig.run(rig.plan()).outcome == "confirmed"
    return rig.device.state()


def fault_run(seed, case, people, directory, wanted):
    chance = random.Random(seed)  # noqa: S311 - variety, not secrecy
    directory.mkdir(parents=True)
    Dying.at = -1
    rig = Rig(case, people, directory, choice_of, plan_header)
    plan = rig.plan()
    faults = dict(rig.prepare_faults(chance))
    killed = []
    for attempt in range(3):
        Dying.at = chance.randrange(RECORDS + 4) if chance.random() < 0.4 else -1
        Dying.when = chance.choice(["before", "after"])
        try:
            if attempt == 0:
                rig.run(plan)
            else:
                rig.resume()
            break
        except Killed:
            killed.append((Dying.at, Dying.when))
            rig.device.clock.advance(chance.choice([0, 5, 100, 400]))
    Dying.at = -1
    rig.before = lambda _: ""
    rig.device.clock.advance(7200)
    with rig.journal() as journal:
        records = journal.records
    if open_devices(records):
        rig.resume()
    rig.device.clock.advance(7200)
    with rig.journal() as journal:
        records = journal.records
    told = [status.state for status in statuses(records)]
    state = told[-1] if told else "planned"
    now = rig.device.state()
    side = "before" if now == rig.original else "after" if now == wanted else "between"
    saves = {"cisco_xe": {"write memory"}, "vyos": {"save"}}
    breaches = set(rig.device.breaches) - saves.get(rig.platform, set())
    if state == "reverted" and side == "before":
        # What leads back needs no undo of its own. (VyOS changes by commit-confirm; a plain commit
        # is the tool's own way back after a confirm whose answer was lost.)
        breaches -= {line.line for device in plan.devices for line in device.undo_commands}
        breaches -= {"commit"} if rig.platform == "vyos" else set()
    story = f"{case} seed {seed}: {state}, {side}, faults {faults}, killed {killed}"
    if breaches:
        return state, f"{story}: {breaches}"
    expected = {"confirmed": {"after"}, "needs-human": {"before", "after"}}
    good = side in expected.get(state, {"before"})
    return state, "" if good and not open_devices(records) else story


def many(people, directory, start, count):
    found, violations = Counter(), []
    for number in range(start, start + count):
        case = CASES[number % len(CASES)]
        wanted = after_of(case, people, directory / "after" / case)
        state, doubt = fault_run(str(number), case, people, directory / str(number), wanted)
        found[state] += 1
        if doubt:
            violations.append(doubt)
    assert violations == []
    return found


def test_a_vendors_gateway_ends_exactly_before_or_exactly_after(people, tmp_path):
    found = many(people, tmp_path, 0, 16)

    assert {"confirmed", "reverted"} <= set(found)


@pytest.mark.nightly(basis="emulation (virtual vendor gateways)")
@pytest.mark.timeout(1200)
def test_no_fault_leaves_a_vendors_gateway_between_before_and_after(
    people, tmp_path, record_property
):
    count = 800 if FULL else 80
    start = int(os.environ.get("MTUGHOST_SEED", "1")) * 10_000
    print(f"seeds {start} to {start + count - 1}")  # noqa: T201 - to be replayed

    found = many(people, tmp_path, start, count)
    record_property("fault runs", ", ".join(f"{n} {end}" for end, n in sorted(found.items())))
    record_property("devices between before and after", "0")
    assert sum(found.values()) == count
