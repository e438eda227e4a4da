"""The import against a real NetBox, which `make test-netbox` installs, starts and stops.

Basis: real program. Its objects are made through its own client; what is read must be them.
"""

from __future__ import annotations

import os

import pynetbox
import pytest

from mtughost.fleet.importing.hosts import ColumnMap, make_hosts
from mtughost.fleet.importing.netbox import read_netbox
from mtughost.model.errors import InventoryError
from mtughost.model.inventory import Secret

URL = os.environ.get("MTUGHOST_NETBOX_URL", "")
#: One of version 1, one of version 2 (NetBox 4.5 and newer).
TOKENS = os.environ.get("MTUGHOST_NETBOX_TOKENS", "").split()
pytestmark = pytest.mark.skipif(
    not URL, reason="no NetBox is running: `make test-netbox` starts one"
)

#: More than a page, which holds 50.
STORES = 60
ROLES = {"gateway": "firewall", "ap": "access-point"}


@pytest.fixture(scope="module")
def stores():
    """Fill the NetBox: stores with a gateway and an access point each."""
    netbox = pynetbox.api(URL, token=TOKENS[0])
    maker = netbox.dcim.manufacturers.create(name="Fortinet", slug="fortinet")
    kind = netbox.dcim.device_types.create(manufacturer=maker.id, model="Some", slug="some")
    platform = netbox.dcim.platforms.create(name="FortiOS", slug="fortios")
    netbox.extras.custom_fields.create(
        name="circuit", type="text", object_types=["dcim.device"], label="Circuit"
    )
    roles = {
        role: netbox.dcim.device_roles.create(name=slug, slug=slug, color="ff0000").id
        for role, slug in ROLES.items()
    }
    names = [f"s{number:03}" for number in range(1, STORES + 1)]
    sites = netbox.dcim.sites.create([{"name": name, "slug": name} for name in names])
    devices = netbox.dcim.devices.create(
        [
            {
                "name": f"{site.slug}-{role}",
                "site": site.id,
                "role": roles[role],
                "device_type": kind.id,
                "platform": platform.id,
                "serial": f"FAKE-{site.slug}-{role}",
                "status": "active" if role == "gateway" else "planned",
                "custom_fields": {"circuit": f"C-{site.slug}"},
            }
            for site in sites
            for role in ROLES
        ]
    )
    ports = netbox.dcim.interfaces.create(
        [{"device": device.id, "name": "mgmt", "type": "virtual"} for device in devices]
    )
    addresses = netbox.ipam.ip_addresses.create(
        [
            {
                "address": f"10.1.{number // 250}.{number % 250 + 1}/24",
                "assigned_object_type": "dcim.interface",
                "assigned_object_id": port.id,
            }
            for number, port in enumerate(ports)
        ]
    )
    netbox.dcim.devices.update(
        [
            {"id": device.id, "primary_ip4": address.id}
            for device, address in zip(devices, addresses, strict=True)
        ]
    )
    return {
        device.name: address.address.partition("/")[0]
        for device, address in zip(devices, addresses, strict=True)
    }


@pytest.mark.parametrize("version", [1, 2])
def test_every_device_of_a_real_netbox_is_read_with_either_kind_of_token(stores, version):
    mapping = ColumnMap(
        columns={"circuit": "cf_circuit"},
        translations={
            "role": {slug: role for role, slug in ROLES.items()},
            "platform": {"fortios": "fortinet"},
        },
    )
    found = make_hosts(read_netbox(URL, Secret(TOKENS[version - 1]), {}), mapping)

    assert found.problems == ()
    assert {name: host["hostname"] for name, host in found.hosts.items()} == stores
    assert found.hosts["s007-gateway"] == {
        "hostname": stores["s007-gateway"],
        "platform": "fortinet",
        "data": {"site": "s007", "role": "gateway", "circuit": "C-s007"},
    }


def test_filters_are_those_of_a_real_netbox(stores):
    active = read_netbox(URL, Secret(TOKENS[0]), {"status": "active"})
    one = read_netbox(URL, Secret(TOKENS[0]), {"site": "s003", "role": "access-point"})

    assert len(active.rows) == STORES
    assert [row.cells["name"] for row in one.rows] == ["s003-ap"]


def test_a_real_netbox_refuses_a_strange_token_and_the_token_is_not_told(stores):
    with pytest.raises(InventoryError, match="HTTP status 403") as refused:
        read_netbox(URL, Secret("0123456789abcdef0123456789abcdef01234567"), {})

    assert "0123456789abcdef" not in str(refused.value)
