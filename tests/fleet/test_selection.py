from __future__ import annotations

import pytest

from mtughost.fleet.inventory import load_inventory
from mtughost.fleet.selection import select
from mtughost.model.errors import UsageError

HOSTS = """\
hop: {hostname: 192.0.2.9, groups: [retail], data: {role: jump, jump: ""}}
s001-ap1: {hostname: 192.0.2.1, platform: linux, groups: [retail, new],
           data: {site: s001, role: ap, isp: North Net}}
s001-gw1: {hostname: 192.0.2.2, platform: fortinet, groups: [retail],
           data: {site: s001, role: gateway, managed_by: Manager}}
s002-ap1: {hostname: 192.0.2.3, platform: linux, groups: [retail],
           data: {site: s002, role: ap, jump: hop}}
b9-ap1: {hostname: 192.0.2.4, platform: vyos, groups: [retail],
         data: {site: b9, role: appliance, lab: foundry}}
"""


@pytest.fixture
def inventory(write_inventory):
    groups = (
        "retail: {username: u, data: {use_agent: true,"
        " services: [{name: x, host: h, port: 1}]}}\nnew: {}\n"
    )
    return load_inventory(write_inventory(HOSTS, groups=groups))


def names(inventory) -> list[str]:
    return [device.name for device in inventory.devices]


def test_without_a_wish_everything_but_jump_hosts_is_selected(inventory):
    assert names(select(inventory)) == ["s001-ap1", "s001-gw1", "s002-ap1", "b9-ap1"]


@pytest.mark.parametrize(
    ("sites", "where", "expected"),
    [
        (["s001"], "", ["s001-ap1", "s001-gw1"]),
        (["s0*"], "", ["s001-ap1", "s001-gw1", "s002-ap1"]),
        (["b9", "s002"], "", ["s002-ap1", "b9-ap1"]),
        ([], "role=ap", ["s001-ap1", "s002-ap1"]),
        ([], "role=ap,platform=linux,site=s0*", ["s001-ap1", "s002-ap1"]),
        ([], "role=ap,role=gateway", ["s001-ap1", "s001-gw1", "s002-ap1"]),
        ([], "role!=ap", ["s001-gw1", "b9-ap1"]),
        ([], "role!=ap, role!=gateway", ["b9-ap1"]),
        ([], "group=new", ["s001-ap1"]),
        ([], "host=*-ap?", ["s001-ap1", "s002-ap1", "b9-ap1"]),
        ([], "isp=North*", ["s001-ap1", "s001-gw1"]),
        ([], "jump=hop", ["s002-ap1"]),
        ([], "jump=", ["s001-ap1", "s001-gw1", "b9-ap1"]),
        ([], "managed_by=Manager", ["s001-gw1"]),
        ([], "lab=foundry", ["b9-ap1"]),
        ([], "address=192.0.2.3", ["s002-ap1"]),
        (["s*"], "platform=linux", ["s001-ap1", "s002-ap1"]),
    ],
)
def test_sites_and_filter_select(inventory, sites, where, expected):
    selected = select(inventory, sites=sites, where=where)

    assert names(selected) == expected
    assert {site.name for site in selected.sites} == {d.site for d in selected.devices}
    assert "hop" in selected.known


def test_an_empty_selection_is_an_error_that_lists_what_exists(inventory):
    with pytest.raises(UsageError) as caught:
        select(inventory, sites=["s001"], where="role=appliance")
    text = str(caught.value)

    assert "--site s001 --filter role=appliance" in text
    assert "Sites: b9, s001, s002" in text
    assert "Roles: ap, appliance, gateway" in text
    assert "Platforms: fortinet, linux, vyos" in text


def test_a_site_pattern_without_a_match_is_an_error_even_beside_others(inventory):
    with pytest.raises(UsageError, match=r"'s003'.*Did you mean s00"):
        select(inventory, sites=["s001", "s003"])


@pytest.mark.parametrize("where", ["role", "rolle=ap", "=ap", "role==", "role=ap,", "!=x"])
def test_a_filter_that_cannot_be_read_is_an_error_that_lists_the_keys(inventory, where):
    with pytest.raises(UsageError) as caught:
        select(inventory, where=where)

    assert "Keys: host, site, role" in str(caught.value) or "nothing" in str(caught.value)
