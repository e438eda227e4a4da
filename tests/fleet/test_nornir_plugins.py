from __future__ import annotations

import logging
from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nornir import InitNornir
from nornir.core.exceptions import PluginAlreadyRegistered
from nornir.core.inventory import Defaults, Group, Host, ParentGroups
from nornir.core.plugins.inventory import InventoryPluginRegister
from nornir.core.plugins.runners import RunnersPluginRegister
from nornir.core.task import Result

from mtughost.fleet.files import Files
from mtughost.fleet.inventory import MtughostInventory
from mtughost.fleet.problems import Place, Problems
from mtughost.fleet.resolve import group_order, host_layers
from mtughost.fleet.runner import RampRunner
from mtughost.fleet.schema import DataEntry, DefaultsEntry, HostEntry
from mtughost.model.errors import DeviceSkippedError, DeviceUnreachableError, InventoryError
from mtughost.model.yaml_lines import LineMap

HOSTS = """\
s001-ap1: {hostname: 10.20.0.10, groups: [retail], data: {site: s001, role: ap}}
s001-gw1: {hostname: 10.20.0.1, groups: [retail], data: {site: s001, role: gateway}}
s001-ap2: {hostname: 10.20.0.11, groups: [retail], data: {site: s001, role: ap}}
"""
ALL = {"s001-ap1", "s001-gw1", "s001-ap2"}
DEFAULTS = "platform: linux\npassword: env:NOT_SENT\n"


@pytest.fixture
def registered():
    """Nornir keeps all plugins of all kinds in one class attribute: leave it as it was."""
    before = dict(InventoryPluginRegister.available)
    InventoryPluginRegister.register("mtughost_inventory", MtughostInventory)
    RunnersPluginRegister.register("mtughost_threads", RampRunner)
    yield
    InventoryPluginRegister.available.clear()
    InventoryPluginRegister.available.update(before)


@pytest.fixture
def nornir(registered, write_inventory):
    def make(**options):
        folder = write_inventory(HOSTS, defaults=DEFAULTS)
        return InitNornir(
            inventory={"plugin": "mtughost_inventory", "options": {"directory": str(folder)}},
            runner={"plugin": "mtughost_threads", "options": options},
            logging={"enabled": False},
        )

    return make


def test_nornir_users_get_nornir_hosts_from_the_same_files(nornir):
    host = nornir().inventory.hosts["s001-ap1"]

    assert isinstance(host, Host)
    assert (host.hostname, host.username, host.platform) == ("10.20.0.10", "auditor", "linux")
    assert host["site"] == "s001"
    assert host["services"][0]["name"] == "radsec"
    assert host.has_parent_group("retail")


def test_a_reference_to_a_password_is_never_handed_on_as_a_password(nornir):
    host = nornir().inventory.hosts["s001-ap1"]

    assert host.password is None
    assert host.get_connection_parameters().password is None


def test_a_wrong_inventory_is_the_same_readable_error_in_nornir(registered, write_inventory):
    folder = write_inventory("a: {hostnam: 10.0.0.1}\n")
    with pytest.raises(InventoryError, match="Did you mean hostname"):
        MtughostInventory(folder).load()


def test_registering_the_plugins_twice_is_harmless_and_names_do_not_collide(registered):
    InventoryPluginRegister.register("mtughost_inventory", MtughostInventory)
    RunnersPluginRegister.register("mtughost_threads", RampRunner)

    with pytest.raises(PluginAlreadyRegistered):
        RunnersPluginRegister.register("mtughost_inventory", RampRunner)


def test_the_package_declares_its_plugins_under_prefixed_names(checkout):
    text = (checkout / "pyproject.toml").read_text(encoding="utf-8")

    assert 'mtughost_threads = "mtughost.fleet.runner:RampRunner"' in text
    assert 'mtughost_inventory = "mtughost.fleet.inventory:MtughostInventory"' in text
    for entry in metadata.entry_points(name="mtughost_threads"):
        assert entry.load() is RampRunner


def test_a_plain_nornir_task_runs_over_every_host_twice_in_one_process(nornir):
    nr = nornir()

    for _ in range(2):
        result = nr.run(lambda task: Result(host=task.host, result=task.host.hostname))
        assert {name: steps[0].result for name, steps in result.items()} == {
            "s001-ap1": "10.20.0.10",
            "s001-gw1": "10.20.0.1",
            "s001-ap2": "10.20.0.11",
        }


def test_a_task_of_someone_else_is_never_run_twice(nornir):
    calls = []

    def task(task):
        calls.append(task.host.name)
        raise DeviceUnreachableError(task.host.name, "down")

    result = nornir(retry_delay_s=0).run(task)

    assert sorted(calls) == sorted(ALL)
    assert set(result.failed_hosts) == ALL


def test_the_runner_sees_through_sub_tasks(nornir):
    calls = []

    def inner(task):
        calls.append(task.host.name)
        raise DeviceUnreachableError(task.host.name, "down")

    result = nornir(site_failures=1, site_pause_s=0, per_site=1).run(
        lambda task: task.run(inner).result
    )

    # The first one pauses the site; the trial after the pause is the second and closes it.
    assert calls == ["s001-ap1", "s001-gw1"]
    assert isinstance(result["s001-ap2"][0].exception, DeviceSkippedError)


def test_system_exit_in_a_task_loses_no_host(nornir):
    def task(task):
        if task.host.name == "s001-ap1":
            raise SystemExit(3)
        return Result(host=task.host)

    result = nornir().run(task)

    assert set(result) == ALL
    assert isinstance(result["s001-ap1"][0].exception, SystemExit)


def test_nornirs_own_log_holds_no_secret(nornir, caplog):
    caplog.set_level(logging.DEBUG)
    nornir().run(lambda task: Result(host=task.host))

    assert "NOT_SENT" not in caplog.text


NAMES = ["g0", "g1", "g2", "g3", "g4"]
KEYS = ["isp", "circuit", "modem", "ticket"]


@st.composite
def inventories(draw):
    """Groups that only inherit from later ones, so that there is no circle."""

    def entry(parents):
        attributes = {
            "hostname": draw(st.sampled_from([None, "h1", "h2"])),
            "port": draw(st.sampled_from([None, 22, 23])),
            "platform": draw(st.sampled_from([None, "p1", "p2"])),
        }
        data = draw(
            st.dictionaries(st.sampled_from(KEYS), st.sampled_from([None, "x", "y"]), max_size=3)
        )
        groups = draw(st.lists(st.sampled_from(parents), max_size=3)) if parents else []
        return attributes, data, groups

    groups = {name: entry(NAMES[index + 1 :]) for index, name in enumerate(NAMES)}
    return entry(NAMES), groups, entry([])


@given(inventories())
def test_inheritance_equals_nornirs_own(drawn):
    host_spec, group_specs, defaults_spec = drawn
    place = Place(path="x", order=0, lines=LineMap())

    def ours(kind, spec):
        attributes, data, groups = spec
        extra = {"groups": groups} if kind is HostEntry else {}
        return kind(**attributes, data=DataEntry(**data), **extra)

    files = Files(
        hosts={"h": (ours(HostEntry, host_spec), place)},
        groups={name: (ours(HostEntry, spec), place) for name, spec in group_specs.items()},
        defaults=(ours(DefaultsEntry, defaults_spec), place),
        digest="",
    )
    problems = Problems()
    layers = host_layers("h", files, group_order(files, problems), problems)

    defaults = Defaults(**defaults_spec[0], data=defaults_spec[1])
    theirs = {
        name: Group(name=name, **spec[0], data=spec[1], defaults=defaults)
        for name, spec in group_specs.items()
    }
    for name, spec in group_specs.items():
        theirs[name].groups = ParentGroups([theirs[g] for g in spec[2]])
    host = Host(name="h", **host_spec[0], data=host_spec[1], defaults=defaults)
    host.groups = ParentGroups([theirs[g] for g in host_spec[2]])

    assert not problems
    assert layers is not None
    assert layers.group_names == tuple(group.name for group in host.extended_groups())
    for name in ("hostname", "port", "platform"):
        assert layers.attribute(name).value == getattr(host, name)
    extended = host.extended_data()
    for key in KEYS:
        assert layers.data(key).value == extended.get(key)
