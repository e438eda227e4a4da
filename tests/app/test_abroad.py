"""Audits through a Dask cluster: real scheduler, real workers, mutual TLS, virtual stores by SSH.

What the devices heard is the oracle of who logged in where and how often.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtughost.app.abroad import DistantReader, pack, refuse_literals
from mtughost.app.inventory import open_inventory
from mtughost.app.project import open_project
from mtughost.app.visiting import jumps_of
from mtughost.fleet.hub import Hub, TlsFiles, WorkerInfo
from mtughost.model.errors import ContentError, SchedulerError, UsageError
from mtughost.model.inventory import Credential, Device

pytestmark = pytest.mark.timeout(600)

SITES, NORTH_SITES, OVERALL = 20, 4, 6
ALL_OK = {"asked": SITES, "ok": SITES, "failed": 0, "skipped": 0}


@pytest.fixture(scope="module")
def worlds(module_at):
    return module_at(Path(__file__).with_name("dask_world.py"))


@pytest.fixture(scope="module")
def world(worlds, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cluster")
        patch.setenv("XDG_STATE_HOME", str(folder))
        stores = {"sites": SITES, "north": NORTH_SITES, "think_s": 0.12, "overall": OVERALL}
        with worlds.a_world(folder, **stores) as running:
            running.start_scheduler()
            for name, region in (("w1", ""), ("w2", ""), ("w3", "north")):
                running.start_worker(name, region)
            yield running


@pytest.fixture(scope="module")
def killed_worker(world, worlds):
    """Audit, and kill one worker of three when some devices were reported."""
    with world.auditing("--scheduler", world.address, "--json", "-") as audit:
        reported = world.wait_for_the_middle(5, audit)
        world.kill("w1")
        out, said = audit.communicate(timeout=worlds.PATIENCE_S)
    sessions = world.sessions()
    world.forget()
    return SimpleNamespace(
        code=audit.returncode,
        document=json.loads(out),
        said=said,
        reported=reported,
        sessions=sessions,
        leaked=world.remembers("scheduler", world.secrets[""]),
        resolved=world.remembers("w2", world.secrets[""]),
    )


def test_with_a_worker_killed_midway_no_host_is_lost_and_none_counted_twice(killed_worker):
    hosts = killed_worker.document["hosts"]

    assert killed_worker.document["counts"]["hosts"] == ALL_OK
    assert len({host["host"] for host in hosts}) == len(hosts) == SITES
    assert killed_worker.code == 11, killed_worker.said  # nothing is known of access points
    assert killed_worker.said.count("worker w1 was lost") == 1


def test_only_devices_that_the_lost_worker_was_on_are_logged_in_to_again(killed_worker):
    logins = {name: len(sessions) for name, sessions in killed_worker.sessions.items()}
    again = [name for name, count in logins.items() if count == 2]

    assert set(logins.values()) == {1, 2}
    assert len(again) <= OVERALL
    assert not set(again) & set(killed_worker.reported)


def test_the_cap_of_logins_holds_over_all_workers_also_after_one_was_lost(killed_worker, worlds):
    assert worlds.at_once(killed_worker.sessions) <= OVERALL


def test_workers_resolve_secrets_themselves_and_the_scheduler_never_saw_one(killed_worker):
    # The operator's own project held none; w1 and w2 could not have logged in to the north.
    assert killed_worker.resolved
    assert not killed_worker.leaked


def test_a_certificate_of_another_authority_does_not_get_in(world, worlds, tmp_path):
    strange = worlds.Authority(tmp_path / "theirs").issue("stranger")
    ours = {"ca": world.authority.file, "cert": strange["cert"], "key": strange["key"]}

    with pytest.raises(SchedulerError, match="unknown ca"):
        Hub(world.address, TlsFiles(**ours))
    with pytest.raises(SchedulerError, match="certificate verify failed"):
        Hub(world.address, TlsFiles(**strange))


def test_a_scheduler_without_tls_is_refused():
    nothing = TlsFiles(ca=Path("a"), cert=Path("b"), key=Path("c"))

    with pytest.raises(UsageError, match="no scheduler with TLS"):
        Hub("tcp://127.0.0.1:8786", nothing)


def device(name="d1", **credential):
    credential = Credential(realm="r", username="audit", **credential)
    return Device(name=name, address="127.0.0.1", site="s1", role="gateway", credential=credential)


def test_a_password_in_the_inventory_does_not_travel():
    devices = [device("a", password_ref="env:FINE"), device("b", password_ref="not-a-real-secret")]

    with pytest.raises(ContentError, match=r"1 devices .* \(b\)") as refused:
        refuse_literals(devices)

    assert "not-a-real-secret" not in str(refused.value)
    refuse_literals([*devices[:1], device("c", key_file="/keys/audit")])


def test_what_travels_holds_the_references_and_neither_keys_nor_secrets(world):
    project = open_project(world.project)
    luggage = pack(project, jumps_of(open_inventory(project)))

    packed = pickle.dumps((luggage, open_inventory(project).devices))
    names = zipfile.ZipFile(io.BytesIO(luggage.files)).namelist()

    assert world.secrets[""].encode() not in packed
    assert b"STORE_PASSWORD" in packed
    assert {name.split("/")[0] for name in names} == {
        "tasks",
        "parsers",
        "templates",
        "known_hosts",
    }


def test_paths_of_the_project_mean_the_workers_own_project(world, monkeypatch):
    monkeypatch.setenv("MTUGHOST_PROJECT", "/srv/stores")
    home = str(world.project.resolve())
    with closing(DistantReader(pack(open_project(world.project), {}), print)) as reader:
        moved = reader.at_home(
            device(
                key_file=f"{home}/inventory/../keys/audit",
                password_ref=f"file:{home}/secret",
                enable_ref=f"file:{home}/enable",
            )
        )
        elsewhere = reader.at_home(device(key_file="/etc/keys/audit", password_ref="env:NAME"))

    assert moved.credential.key_file == "/srv/stores/keys/audit"
    assert moved.credential.password_ref == "file:/srv/stores/secret"
    assert moved.credential.enable_ref == "file:/srv/stores/enable"
    assert elsewhere == device(key_file="/etc/keys/audit", password_ref="env:NAME")


def test_a_worker_of_a_region_takes_its_devices_and_no_others():
    north, anywhere = (WorkerInfo("a", "a", frozenset(regions)) for regions in (["north"], []))

    assert [north.takes(region) for region in ("north", "south", "")] == [True, False, False]
    assert [anywhere.takes(region) for region in ("north", "")] == [False, True]
