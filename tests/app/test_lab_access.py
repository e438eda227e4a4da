"""A lab as an engineer has it who may not log in to gateways."""

from __future__ import annotations

import pytest
import yaml

from mtughost.app.lab_access import checked_access, narrowed_project
from mtughost.model.errors import UsageError


def hosts_of(project):
    return yaml.safe_load((project / "inventory" / "hosts.yaml").read_text())


@pytest.fixture
def project(tmp_path):
    hosts = {
        "a-ap": {"hostname": "192.0.2.1", "data": {"site": "a", "role": "ap"}},
        "a-gw": {"hostname": "192.0.2.2", "data": {"site": "a", "role": "gateway"}},
        "b-ap": {"hostname": "192.0.2.3", "data": {"site": "b", "role": "ap", "jump": "b-gw"}},
        "b-gw": {"hostname": "192.0.2.4", "data": {"site": "b", "role": "gateway"}},
    }
    (tmp_path / "all" / "inventory").mkdir(parents=True)
    (tmp_path / "all" / "known_hosts").write_text("kept\n")
    (tmp_path / "all" / "inventory" / "hosts.yaml").write_text(yaml.safe_dump(hosts))
    return tmp_path / "all"


def test_without_gateways_only_those_stay_that_carry_the_login_of_others(project, tmp_path):
    (tmp_path / "copy").mkdir()
    narrow = narrowed_project(project, tmp_path / "copy", "ap-only")

    assert {name: h["data"]["role"] for name, h in hosts_of(narrow).items()} == {
        "a-ap": "ap",
        "b-ap": "ap",
        "b-gw": "jump",
    }
    assert (narrow / "known_hosts").read_text() == "kept\n"
    assert "a-gw" in hosts_of(project)


def test_with_every_login_the_project_is_used_as_it_is(project, tmp_path):
    assert narrowed_project(project, tmp_path, "all") == project


def test_another_kind_of_access_is_refused_by_name():
    assert checked_access("ap-only") == "ap-only"
    with pytest.raises(UsageError, match="all or ap-only"):
        checked_access("gateway")
