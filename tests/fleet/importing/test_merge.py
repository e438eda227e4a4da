"""Hosts are merged into the text of hosts.yaml without touching what is not theirs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.fleet.importing.merge import merge_hosts
from mtughost.model.errors import InventoryError
from mtughost.model.yaml_lines import read_yaml

PRESENT = """\
# Kept by the network team.
---
s001-ap1:               # the one above the till
  hostname: 10.1.0.10
  data:
    site: s001
    role: ap
    services:
    - {name: radsec, host: 203.0.113.10, port: 2083}
s002-ap1:
  hostname: 10.2.0.10
"""


def test_new_values_go_in_and_comments_services_and_other_hosts_stay():
    hosts = {
        "s001-ap1": {"hostname": "10.1.0.99", "data": {"circuit": "0012"}},
        "s003-ap1": {"hostname": "10.3.0.10", "groups": ["retail"]},
    }

    assert merge_hosts(PRESENT, hosts, path="hosts.yaml") == (
        PRESENT.replace("10.1.0.10", "10.1.0.99").replace(
            "port: 2083}\n", 'port: 2083}\n    circuit: "0012"\n'
        )
        + "s003-ap1:\n  hostname: 10.3.0.10\n  groups:\n  - retail\n"
    )


def test_importing_the_same_twice_changes_nothing():
    hosts = {"s001-ap1": {"hostname": "10.1.0.99", "data": {"circuit": "no", "wan": ["wan1"]}}}
    once = merge_hosts(PRESENT, hosts, path="hosts.yaml")

    assert merge_hosts(once, hosts, path="hosts.yaml") == once


def test_pruning_drops_what_the_source_does_not_name():
    text = merge_hosts(PRESENT, {"s002-ap1": {"port": 22}}, path="hosts.yaml", prune=True)

    assert read_yaml(text).value == {"s002-ap1": {"hostname": "10.2.0.10", "port": 22}}


@given(st.text(st.characters(blacklist_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=1))
def test_any_text_comes_back_as_itself_through_the_strict_reader(value):
    text = merge_hosts("", {"a": {"data": {"circuit": value}}}, path="hosts.yaml")
    document = read_yaml(text)

    assert not document.problems
    assert document.value == {"a": {"data": {"circuit": value}}}


@pytest.mark.parametrize("text", ["- a\n", "a: [\n"])
def test_a_file_that_is_no_inventory_is_refused(text):
    with pytest.raises(InventoryError):
        merge_hosts(text, {"a": {}}, path="hosts.yaml")
