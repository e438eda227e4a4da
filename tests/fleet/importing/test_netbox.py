"""Devices of a NetBox, asked by its own client over HTTP.

Basis: document. A small server answers as the REST documentation of NetBox says (count, next,
results; nested slugs); ``test_real_netbox.py`` asks a real one.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from mtughost.fleet.importing.hosts import ColumnMap, make_hosts
from mtughost.fleet.importing.netbox import read_netbox
from mtughost.model.errors import InventoryError, UsageError
from mtughost.model.inventory import Secret

TOKEN = "fake-netbox-token"


def device(number, role, **more):
    return {
        "id": number,
        "name": f"s00{number}-{role}",
        "role": {"id": 1, "slug": role},
        "site": {"id": 9, "slug": f"s00{number}"},
        "platform": {"id": 2, "slug": "fortios"},
        "primary_ip": {"id": 7, "address": f"10.1.0.{number}/24"},
        "primary_ip4": {"id": 7, "address": f"10.1.0.{number}/24"},
        "primary_ip6": None,
        "tenant": None,
        "location": None,
        "serial": f"FAKE{number:04}",
        "status": {"value": "active", "label": "Active"},
        "tags": [{"slug": "retail"}],
        "custom_fields": {"circuit": "0012", "unused": None},
        **more,
    }


DEVICES = [
    device(1, "firewall"),
    device(2, "access-point"),
    # NetBox 3: another name for the role.
    {**device(3, "firewall"), "role": None, "device_role": {"slug": "firewall"}},
]


class _NetBox(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if self.headers.get("Authorization") != f"Token {TOKEN}":
            self._answer(403, {"detail": "Invalid token"})
        elif parts.path != "/api/dcim/devices/":
            self._answer(404, {"detail": "Not found."})
        else:
            found = [d for d in DEVICES if query.get("name", d["name"]) == d["name"]]
            start = int(query.get("offset", 0))
            size = 2  # smaller than anybody asks for, as max_page_size may be
            left = start + size < len(found)
            base = f"http://{self.headers['Host']}/api/dcim/devices/"
            link = f"{base}?limit={size}&offset={start + size}" if left else None
            page = found[start : start + size]
            self._answer(
                200, {"count": len(found), "next": link, "previous": None, "results": page}
            )

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("API-Version", "4.3")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def netbox():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _NetBox)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_all_pages_of_devices_become_hosts_with_translated_words(netbox):
    mapping = ColumnMap(
        columns={"circuit": "cf_circuit"},
        translations={
            "role": {"firewall": "gateway", "access-point": "ap"},
            "platform": {"fortios": "fortinet"},
        },
    )
    found = make_hosts(read_netbox(netbox, Secret(TOKEN), {}), mapping)

    assert found.problems == ()
    assert list(found.hosts) == ["s001-firewall", "s002-access-point", "s003-firewall"]
    assert found.hosts["s003-firewall"] == {
        "hostname": "10.1.0.3",
        "platform": "fortinet",
        "data": {"site": "s003", "role": "gateway", "circuit": "0012"},
    }


def test_filters_are_netboxs_own(netbox):
    source = read_netbox(netbox, Secret(TOKEN), {"name": "s001-firewall"})

    assert [row.cells["serial"] for row in source.rows] == ["FAKE0001"]
    assert "name=s001-firewall" in _NetBox.asked[-1]


def test_a_refused_token_is_told_without_the_token(netbox):
    with pytest.raises(InventoryError, match="HTTP status 403") as refused:
        read_netbox(netbox, Secret("fake-wrong"), {})

    assert "fake-wrong" not in str(refused.value)


def test_a_server_that_is_gone_ends_in_a_typed_error():
    with pytest.raises(InventoryError, match="did not answer as a NetBox"):
        read_netbox("http://127.0.0.1:9", Secret(TOKEN), {})


@pytest.mark.parametrize(
    "url", ["netbox.example", "ftp://netbox.example", "https://u:p@netbox.example"]
)
def test_an_address_that_cannot_be_meant_is_refused(url):
    with pytest.raises(UsageError):
        read_netbox(url, None, {})


def test_a_token_never_crosses_a_network_in_clear_text():
    with pytest.raises(UsageError, match="clear text"):
        read_netbox("http://netbox.example", Secret(TOKEN), {})
