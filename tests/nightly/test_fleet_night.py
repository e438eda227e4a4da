"""Nights over many virtual stores, typed as a person types them, over real SSH on loopback.

Some stores fail although their clamp is right (the path beyond is narrower than anybody knew),
some gateways do not answer, and once the tool is killed in the middle. The judge is each gateway's
own state, and whether its store works.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from itertools import chain

import pytest

from mtughost.app.fleets import virtual_fleet
from mtughost.app.labs import own_command
from mtughost.lab.fleet import FleetSpec

pytestmark = [
    pytest.mark.nightly(basis="emulation (vendors' command lines), real SSH, the command line"),
    pytest.mark.timeout(3600),
]

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
#: Each store that fails is looked at for a minute and a half.
SITES, AWAY, FAILING = (200, 5, 3) if FULL else (12, 2, 1)
AT_ONCE = "20" if FULL else "4"
#: What the path of a failing store carries, which its gateway does not know.
NARROW_BYTES = 1400


class Town:
    """The stores, and the person who repairs them."""

    def __init__(self, running, note) -> None:
        self.project, self.note = running.project, note
        self.sites = {site.gateway.identity.name: site for site in running.sites}
        self.before = {name: site.gateway.state() for name, site in self.sites.items()}
        self.journal = self.project / "state" / "change" / "journal.mtj"

    def run(self, *words, code=0):
        done = subprocess.run(
            [*own_command(), "--project", str(self.project), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=1500,
        )
        codes = {code} if isinstance(code, int) else set(code)
        assert done.returncode in codes, f"{words[0]}: {done.returncode}\n{done.stderr[-3000:]}"
        return done

    def switch(self, names, *, on):
        for name in names:
            self.sites[name].gateway.is_up = on

    def left_of(self, names, without):
        """Return who was not repaired yet."""
        rest = [n for n in names if self.sites[n].gateway.state() == self.before[n]]
        return [n for n in rest if n not in without]

    def narrow(self, names):
        for name in names:
            point = self.sites[name].point
            point.plan = replace(point.plan, path_mtu_bytes=NARROW_BYTES)

    def planned(self, names, number):
        """Plan for these gateways' stores; return the plan's file and its waves."""
        file = self.project.parent / f"night-{number}" / "plan.json"
        sites = [word for name in names for word in ("--site", self.sites[name].label)]
        self.run(
            "plan", *sites, "--reason", f"night {number}", "--parallel", AT_ONCE, "--out", file
        )
        key = str(self.project / "ssh" / "approver")
        self.run("approve", str(file), "--key", key, "--yes")
        return file, [wave["devices"] for wave in json.loads(file.read_text())["waves"]]

    def records(self, run=""):
        data = self.journal.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        found = [json.loads(line.partition(b" ")[2]) for line in whole.splitlines()]
        last = run or [one["run_id"] for one in found if one["ev"] == "run-open"][-1]
        return [one for one in found if one["run_id"] == last]

    def judge(self, tried, skipped=()):
        """Hold every gateway's own state against the journal's last word; return the counts."""
        words = {}
        for one in self.records():
            if one["dev"]:
                words[one["dev"]] = one["ev"]
        ends = {"persisted": "confirmed", "reverted": "reverted", "cancelled": "refused"}
        found = Counter()
        for name in tried:
            site = self.sites[name]
            end = ends.get(words.get(name, ""), "skipped" if name in words else "not-started")
            after = site.gateway.state() != self.before[name]
            assert after is (end == "confirmed"), (name, end, words.get(name))
            narrow = site.point.plan.path_mtu_bytes == NARROW_BYTES
            assert site.works() is after
            assert not (narrow and after), f"{name} was confirmed and does not work"
            assert (end == "skipped") is (name in skipped), (name, end)
            found[end] += 1
        return found

    def told(self, done):
        """Return the sum that the last lines of a run show."""
        line = next(row for row in reversed(done.stdout.splitlines()) if " devices: " in row)
        return Counter(
            {end: int(n) for n, end in re.findall(r"(\d+) ([a-z-]+)", line.partition(":")[2])}
        )

    def nothing_was_armed_after_the_stop(self):
        events = [one["ev"] for one in self.records()]
        stop = events.index("wave-stop")
        assert not {"arm-intent", "commit-intent"} & set(events[stop:])

    def most_at_once(self):
        """Return how many devices were under way at the same time."""
        open_now, most = set(), 0
        for one in self.records():
            if one["ev"] == "arm-intent":
                open_now.add(one["dev"])
            elif one["ev"] in {"persisted", "reverted", "cancelled"}:
                open_now.discard(one["dev"])
            most = max(most, len(open_now))
        return most


@pytest.fixture
def town(folder, monkeypatch, note):
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    seed = int(os.environ["MTUGHOST_SEED"])
    spec = FleetSpec(
        sites=SITES,
        seed=seed,
        vendors=("cisco_xe", "juniper_junos"),
        stories=("till-vlan-only",),
    )
    with virtual_fleet(spec, name="night") as running:
        yield Town(running, note)


def kill_in_the_middle(town, file, confirmed):
    """Kill ``apply`` with SIGKILL once so many devices were confirmed."""
    argv = [*own_command(), "--project", str(town.project), "apply", str(file)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        done = 0
        for line in process.stderr:
            done += b" persisted: " in line
            if done >= confirmed:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode


def first_night(town, file, waves, failing, away, note):
    """Apply: it stops at the first store that does not work afterwards."""
    begun_s = time.monotonic()
    done = town.run("apply", str(file), code=6)
    first = town.judge(
        town.sites, skipped={n for n in away if n in {r["dev"] for r in town.records()}}
    )
    note("first night", f"{dict(first)}, {time.monotonic() - begun_s:.0f} s")
    assert town.told(done) == first
    assert 1 <= first["reverted"] <= FAILING
    assert first["not-started"] > 0
    assert town.most_at_once() <= int(AT_ONCE)
    town.nothing_was_armed_after_the_stop()
    # A device that does well has one line, one that fails a few; so have the run and its waves.
    lines = done.stderr.splitlines()
    note("lines on the console of the first night", len(lines))
    assert len(lines) <= first["confirmed"] + 8 * (len(failing) + len(away)) + len(waves) + 2
    # What needs a person stands at the end, above the sum and the journal's head.
    assert re.search(
        r": reverted: the change did not help", "\n".join(done.stdout.splitlines()[-9:])
    )
    found_out = {one["dev"] for one in town.records() if one["ev"] == "reverted"}
    assert found_out <= failing


def second_night(town, names, note):
    """Apply, killed in the middle; resume says where everybody stands."""
    file, waves = town.planned(names, 2)
    half = sum(map(len, waves)) // 2
    assert kill_in_the_middle(town, file, half) == -signal.SIGKILL
    shown = town.run("status", code=(0, 7)).stdout
    assert "confirmed, " in shown
    begun_s = time.monotonic()
    resumed = town.run("resume", code=(0, 4, 6))
    took_s = time.monotonic() - begun_s
    second = town.judge(chain.from_iterable(waves))
    note("second night, killed", f"{dict(second)}, resumed in {took_s:.0f} s")
    assert second["confirmed"] >= half
    assert "no device was left open" in resumed.stdout or town.told(resumed)
    assert "no device was left open" in town.run("resume").stdout


def test_nights_over_many_stores_stop_skip_and_end_where_they_say(town, chance, note):
    names = sorted(town.sites)
    file, waves = town.planned(names, 1)
    assert [len(wave) for wave in waves[:2]] == [1, max(1, SITES * 5 // 100)]
    assert all(len(wave) <= max(1, SITES * 25 // 100) for wave in waves[2:])
    late = [name for wave in waves[2:] for name in wave]
    failing = set(chance.sample(late, FAILING))
    away = set(chance.sample(sorted(set(names) - failing - {waves[0][0]}), AWAY))
    town.narrow(failing)
    town.switch(away, on=False)

    first_night(town, file, waves, failing, away, note)
    second_night(town, town.left_of(names, failing | away), note)

    # The third night nobody fails, but some can be reached by day only: all of them are skipped.
    rest = town.left_of(names, failing)
    town.switch(away, on=True)
    file, waves = town.planned(rest, 3)
    town.switch(away, on=False)
    done = town.run("apply", str(file), code=4)
    third = town.judge(rest, skipped=away)
    note("third night", str(dict(third)))
    assert third == {"confirmed": len(rest) - AWAY, "skipped": AWAY} == town.told(done)

    # They are back; the three that fail are left out.
    town.switch(away, on=True)
    rest = town.left_of(names, failing)
    file, waves = town.planned(rest, 4)
    done = town.run("apply", str(file))
    fourth = town.judge(rest)
    note("fourth night", str(dict(fourth)))
    assert fourth == {"confirmed": AWAY}
    broken = {name for name, site in town.sites.items() if not site.works()}
    assert broken == failing
    note(
        "stores repaired in the end",
        f"{SITES - len(broken)} of {SITES}, {len(broken)} planted to fail",
    )
