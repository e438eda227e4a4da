"""A passive visit to real devices over SSH: facts equal device state, and nothing is changed."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import pytest

from mtughost import lab
from mtughost.lab import LabSpec, SiteSpec
from mtughost.model.basis import Known, Unknown
from mtughost.model.clamps import ClampTo

pytestmark = pytest.mark.lab

#: Runs inside the lab, where its devices are; hands the visits back pickled.
_VISIT = """
import contextlib, pickle, sys
from pathlib import Path
from mtughost.app.project import open_project
from mtughost.app.sessions import SessionFactory
from mtughost.collect.visit import read_device
from mtughost.fleet.inventory import load_inventory
from mtughost.wire.clock import SystemClock

project = open_project(Path(sys.argv[1]))
inventory = load_inventory(project.inventory_dir, known_platforms=project.content.platforms())
factory = SessionFactory(project, {d.name: d for d in inventory.devices}, clock=SystemClock())
visits = {}
for device in inventory.devices:
    with contextlib.closing(factory.open(device)) as session:
        visits[device.name] = read_device(
            session, factory.book(device), project.content, device, clock=SystemClock()
        )
Path(sys.argv[2]).write_bytes(pickle.dumps(visits))
"""


@pytest.fixture(scope="module")
def visited(tmp_path_factory):
    """A lab with nft and iptables gateways and an appliance, and one visit to every device."""
    folder = tmp_path_factory.mktemp("reads")
    wanted = [s for s in lab.SCENARIOS.values() if s.topology != "plain"]
    sites = tuple(
        SiteSpec(scenario=scenario.name, style="iptables" if number % 2 else "nft")
        for number, scenario in enumerate(wanted)
    )
    running = lab.up(LabSpec(name="reads", sites=sites, renumber=11), root=folder)
    try:
        running.settle()
        before = {name: lab.snapshot(running, name) for name in running.hosts}
        out = folder / "visits"
        done = running.exec(
            [sys.executable, "-c", _VISIT, str(running.project), str(out)], timeout_s=120
        )
        assert done.returncode == 0, done.stderr
        after = {name: lab.snapshot(running, name) for name in running.hosts}
        visits = pickle.loads(Path(out).read_bytes())  # noqa: S301 - our own file
        yield running, visits, before, after
    finally:
        lab.down_all(root=folder)


def value(fact):
    assert isinstance(fact, Known), fact
    return fact.value


def test_everything_that_every_device_has_is_known(visited):
    _, visits, _, _ = visited

    for name, visit in visits.items():
        facts = visit.facts
        for kind in ("identity", "privilege", "interfaces", "addresses", "routes", "sessions"):
            assert isinstance(getattr(facts, kind), Known), (name, kind, getattr(facts, kind))
        for kind in ("clamps", "icmp", "clock_utc"):
            assert isinstance(getattr(facts, kind), Known), (name, kind, getattr(facts, kind))
        assert value(facts.clamps).notes == (), name
        assert not [u for u in visit.unplaced if u.strict], name
        assert facts.identity.source.basis == "real program"
        assert value(facts.identity).hostname == name


def test_mtus_and_addresses_are_those_of_the_device(visited):
    running, visits, _, _ = visited

    for name, visit in visits.items():
        text = running.in_device(name, ["ip", "-j", "address", "show"], check=True).stdout
        truth = {item["ifname"]: item for item in json.loads(text)}
        found = {i.name: i for i in value(visit.facts.interfaces)}
        assert {n: i.mtu_bytes for n, i in found.items()} == {n: t["mtu"] for n, t in truth.items()}
        addresses = {(a.interface, a.address, a.prefix_len) for a in value(visit.facts.addresses)}
        assert addresses == {
            (n, a["local"], a["prefixlen"]) for n, t in truth.items() for a in t["addr_info"]
        }


def test_every_clamp_of_the_kernel_is_found_once(visited):
    running, visits, _, _ = visited

    for name, visit in visits.items():
        ruleset = value(visit.facts.clamps)
        clamps = [r for c in ruleset.chains for r in c.rules if isinstance(r.action, ClampTo)]
        saved = "".join(
            running.in_device(name, [f"{tool}-save"]).stdout for tool in ("iptables", "ip6tables")
        )
        native = [
            line
            for table in running.in_device(name, ["nft", "list", "ruleset"]).stdout.split(
                "\ntable "
            )
            if "inet" in table.split("{")[0] or "netdev" in table.split("{")[0]
            for line in table.split("\n")
            if "maxseg size set" in line
        ]
        assert len(clamps) == saved.count("-j TCPMSS") + len(native), name


def test_the_agents_own_words_are_read(visited):
    running, visits, _, _ = visited

    for name, visit in visits.items():
        facts = visit.facts
        if facts.role == "gateway":
            assert isinstance(facts.cloud, Unknown)
            continue
        (state,) = value(facts.cloud)
        shown = dict(
            line.split(": ", 1)
            for line in running.in_device(name, ["cloud-status"]).stdout.split("\n")
            if ": " in line
        )
        assert (state.service, state.server, str(state.port)) == (
            shown["service"],
            shown["server"],
            shown["port"],
        )
        assert state.connected is not None


def test_a_passive_visit_changes_nothing_on_any_device(visited):
    _, _, before, after = visited

    for name, snapshot in before.items():
        assert snapshot.differences(after[name]) == (), name
