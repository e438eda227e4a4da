"""Repair can be practised on virtual devices: what the access point says follows its gateway."""

from __future__ import annotations

import re

import pytest

from mtughost.app.fleets import virtual_fleet
from mtughost.app.inventory import open_inventory
from mtughost.app.planning import prepare_devices
from mtughost.app.project import open_project
from mtughost.app.sessions import SessionFactory
from mtughost.collect.probe import probe_service
from mtughost.content.load import load_book
from mtughost.lab.fleet import FleetSpec
from mtughost.lab.fleet.linux import RETRY_S
from mtughost.lab.fleet.sites import SERVICE
from mtughost.model.config import ConfigEdit, Setting
from mtughost.model.errors import DeviceUnreachableError
from mtughost.model.plans import PlannedDevice
from mtughost.remedy.fix import FixChoice
from mtughost.wire.clock import SystemClock
from tests.lab.fleet.conftest import ROOT

BROKEN = FleetSpec(sites=1, vendors=("juniper_junos",), stories=("till-vlan-only",))


def cloud_of(point):
    return dict(re.findall(r"(\S+): (.*)", point._files()["cloud"]))


def clamp(gateway, mss=1452):
    cli = gateway.command_line(next(iter(gateway.accounts.values())))
    for line in ("configure", f"set security flow tcp-mss all-tcp mss {mss}", "commit", "exit"):
        cli.type(line)


def test_a_point_connects_again_some_time_after_its_gateway_was_repaired_and_says_since_when(make):
    (site,) = make(BROKEN)
    clock = site.gateway.clock
    assert cloud_of(site.point)["connected"] == "no"
    assert "ESTAB" not in site.point._answers()["ss -tinH"]

    clock.advance(100)
    clamp(site.gateway)
    at_once = cloud_of(site.point)["connected"]
    clock.advance(RETRY_S)
    later = cloud_of(site.point)

    assert at_once == "no"
    assert (later["connected"], later["last-error"]) == ("yes", "none")
    assert later["since"] == "2026-11-21T12:01:42Z"
    assert site.point._answers()["date -u +%Y-%m-%dT%H:%M:%SZ"] == "2026-11-21T12:01:42Z\n"
    sockets = site.point._answers()["ss -tinH"]
    assert f"{SERVICE[0]}:{SERVICE[1]}" in sockets
    assert " mss:1440 " in sockets


def test_a_point_whose_gateway_goes_back_before_it_tried_again_stays_disconnected(make):
    (site,) = make(BROKEN)
    clamp(site.gateway)
    clamp(site.gateway, mss=1460)
    site.gateway.clock.advance(60)

    assert cloud_of(site.point)["connected"] == "no"


@pytest.mark.parametrize(
    ("story", "payload", "path", "arrives"),
    [
        ("till-vlan-only", 1440, 1492, True),
        ("till-vlan-only", 1441, 1492, False),
        # Clamped, a long hello is cut into segments that fit; a narrower path loses them all.
        ("both", 3000, 1492, True),
        ("both", 3000, 1491, False),
        ("both", 300, 1400, True),
    ],
)
def test_what_reaches_the_far_end_fits_the_path_segment_by_segment(
    make, story, payload, path, arrives
):
    from dataclasses import replace  # noqa: PLC0415

    (site,) = make(replace(BROKEN, vendors=("cisco_xe",), stories=(story,)))
    site.point.plan = replace(site.point.plan, path_mtu_bytes=path)

    assert site.point.carries(payload) is arrives


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    monkeypatch = pytest.MonkeyPatch()
    with monkeypatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        spec = FleetSpec(
            sites=3, vendors=("juniper_junos",), stories=("till-vlan-only", "both"), seed=3
        )
        with virtual_fleet(spec, name="practice") as running:
            yield running


@pytest.fixture
def project(town):
    return open_project(town.project, env={})


def test_a_probe_through_the_point_says_what_its_gateway_does(town, project):
    inventory = open_inventory(project)
    factory = SessionFactory(project, inventory.known, clock=SystemClock())
    stories = {site.story: site for site in town.sites}
    assert set(stories) == {"till-vlan-only", "both"}

    for story, site in stories.items():
        device = inventory.known[site.point.identity.name]
        with_session = factory.open(device)
        try:
            found = probe_service(
                with_session,
                load_book(ROOT, "linux"),
                device,
                device.services[0],
                bisect=False,
                ap_mtu_bytes=1500,
                clock=SystemClock(),
            )
        finally:
            with_session.close()
        works = story == "both"
        assert found.via == "direct-tcpip"
        assert (found.smallest_lost_bytes is None) is works
        assert (found.largest_delivered_bytes or 0) >= (1500 if works else 300)


def test_nothing_but_the_emulated_far_end_is_reached_through_a_point(town, project):
    from mtughost.model.session import ForwardingRefusedError  # noqa: PLC0415

    inventory = open_inventory(project)
    factory = SessionFactory(project, inventory.known, clock=SystemClock())
    session = factory.open(inventory.known[town.sites[0].point.identity.name])
    try:
        with pytest.raises(ForwardingRefusedError):
            session.open_tcp("127.0.0.1", 22, timeout_s=3)
    finally:
        session.close()


def choice_for(name):
    setting = Setting(section="security flow tcp-mss all-tcp", key="mss", before=None, after="1452")
    values = {"mss": 1452, "had": 0, "mss_before": 0}
    edit = ConfigEdit(entry="clamp-device", values=values, settings=(setting,))
    return FixChoice(
        device=name,
        change="clamp-missing",
        finding="clamp-missing",
        backend="config",
        target=setting.section,
        summary="clamp",
        edits=(edit,),
        before=(),
        after=(),
        other_flows=(),
        blast_radius="all",
        risk="small",
        touches_management=False,
    )


def test_one_gateway_that_does_not_answer_keeps_no_other_from_being_planned(town, project):
    gateways = [site.gateway for site in town.sites]
    names = [gateway.identity.name for gateway in gateways]
    gateways[1].is_up = False
    try:
        found = prepare_devices(
            project,
            open_inventory(project),
            [choice_for(name) for name in names],
            window_s=180,
            clock=SystemClock(),
        )
    finally:
        gateways[1].is_up = True

    assert [type(one) for one in found] == [PlannedDevice, DeviceUnreachableError, PlannedDevice]
    assert [found[0].name, found[2].name] == [names[0], names[2]]


def test_logins_through_one_jump_host_wait_for_their_turn_and_give_it_back(project):
    from dataclasses import replace  # noqa: PLC0415

    known = dict(open_inventory(project).known)
    name = next(iter(known))
    known["jump"] = replace(known[name], name="jump", address="127.0.0.1", port=9)
    known[name] = replace(known[name], jump="jump")
    factory = SessionFactory(project, known, clock=SystemClock())

    # Twice as many as may be open at once: each that fails makes room for the next.
    for _ in range(2 * project.settings.policy.per_jump):
        with pytest.raises(DeviceUnreachableError):
            factory.open_to_change(name)
    give_back = [factory._turns["jump"]() for _ in range(project.settings.policy.per_jump)]
    assert not factory._turns["jump"]._free.acquire(blocking=False)
    give_back[0]()
    give_back[0]()
    assert factory._turns["jump"]._free.acquire(blocking=False)
    assert not factory._turns["jump"]._free.acquire(blocking=False)
