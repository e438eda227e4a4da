"""JSON of iproute2: every element becomes rows or is handed back, with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtughost.dialects import iproute

LINK = {
    "ifname": "vlan20",
    "link": "eth0",
    "mtu": 1492,
    "operstate": "UP",
    "flags": ["UP", "LOWER_UP"],
    "link_type": "ether",
    "address": "02:00:00:00:00:01",
    "linkinfo": {"info_kind": "vlan"},
}


def test_a_link_knows_its_parent_kind_and_line():
    text = json.dumps([{"ifname": "lo", "mtu": 65536}, LINK], indent=4)

    read = iproute.read_links(text)

    assert read.rows[1] == {
        "NAME": "vlan20",
        "MTU": "1492",
        "STATE": "UP",
        "FLAGS": "UP,LOWER_UP",
        "KIND": "vlan",
        "LINK_TYPE": "ether",
        "PARENT": "eth0",
        "MAC": "02:00:00:00:00:01",
    }
    assert read.lines == (2, 6)
    assert text.split("\n")[read.lines[1]].strip() == '"ifname": "vlan20",'


def test_the_other_end_of_a_pair_is_no_parent():
    (row,) = iproute.read_links(json.dumps([LINK | {"linkinfo": {"info_kind": "veth"}}])).rows

    assert "PARENT" not in row


def test_what_the_filter_left_out_is_no_row_and_nothing_is_an_empty_list():
    assert iproute.read_addresses("[{},{}]").rows == ()
    assert iproute.read_links("") == iproute.read_links("[]")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "{}",
        "[1]",
        '[{"mtu": 1500}]',
        '[{"ifname": "a"}',
        '[{"ifname": "a"}] more',
        "[{]",
        "[" * 9999,
    ],
)
def test_what_is_not_a_whole_list_of_links_is_handed_back(text):
    assert iproute.read_links(text).unplaced


def test_a_multipath_route_gives_one_row_for_each_next_hop():
    route = {
        "dst": "default",
        "metrics": [{"mtu": 1400, "advmss": 1300}],
        "nexthops": [
            {"gateway": "10.0.0.1", "dev": "wan0"},
            {"via": {"family": "inet6", "host": "fe80::1"}, "dev": "wan1"},
        ],
    }

    rows = iproute.read_routes(json.dumps([route])).rows

    assert [(row["INTERFACE"], row["VIA"], row["MTU"], row["ADVMSS"]) for row in rows] == [
        ("wan0", "10.0.0.1", "1400", "1300"),
        ("wan1", "fe80::1", "1400", "1300"),
    ]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["ifname", "addr_info", "linkinfo", "dst", "metrics", "nexthops"]),
                inner,
            )
        ),
    )
)
def test_no_json_crashes_a_reader(value):
    for reader in (iproute.read_links, iproute.read_addresses, iproute.read_routes):
        reader(json.dumps([value]))
