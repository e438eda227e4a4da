"""Recorded output of access points: every line that a rule reads is placed, and says what it says.

The values were read in the files by eye.
"""

from __future__ import annotations

import re

import pytest

from mtughost.content.load import load_book
from mtughost.content.parsers import load_parser
from mtughost.content.root import packaged_content
from mtughost.dialects import ROWS

ROOT = packaged_content()
#: Recorded file (below samples/aps) to platform and command of its book.
READ = {
    "hiveos/show_version__1": ("extreme_hiveos", "version"),
    "hiveos/show_interface_mgt0__1": ("extreme_hiveos", "mgt0"),
    "hiveos/show_ip_route__1": ("extreme_hiveos", "routes"),
    "hiveos/show_capwap_client__1": ("extreme_hiveos", "capwap-client"),
    "hiveos/show_capwap_client__xiq_fra": ("extreme_hiveos", "capwap-client"),
    "hiveos/show_idm__1": ("extreme_hiveos", "idm"),
    "hiveos/show_idm__aeromiko": ("extreme_hiveos", "idm"),
    "hiveos/show_aaa_radius_server__1": ("extreme_hiveos", "radius-server"),
    "hiveos/show_aaa_radius_server__2": ("extreme_hiveos", "radius-server"),
    "hiveos/show_interface_mgt0_dhcp_client__2": ("extreme_hiveos", "dhcp-client"),
    "hiveos/show_dns__1": ("extreme_hiveos", "dns"),
    "hiveos/show_clock__1": ("extreme_hiveos", "clock"),
    "hiveos/show_time_zone__1": ("extreme_hiveos", "time-zone"),
    "hiveos/show_ntp__1": ("extreme_hiveos", "ntp"),
    "hiveos/log_flash_curl_https_upload_timeout__1": ("extreme_hiveos", "log-flash"),
    "hiveos/log_buffered_capwap_join_radsec__1": ("extreme_hiveos", "log-buffered"),
}
READ |= {
    "cisco_ap_cos/show_version__1": ("cisco_cos_ap", "version"),
    "cisco_ap_cos/show_capwap_client_rcb__1": ("cisco_cos_ap", "capwap"),
    "cisco_ap_cos/show_capwap_client_rcb__3_discovery": ("cisco_cos_ap", "capwap"),
    "cisco_ap_cos/show_interfaces_wired_0__1": ("cisco_cos_ap", "wired"),
    "unifi_ap/info_connected__1": ("ubiquiti_unifiap", "info"),
    "unifi_ap/info_server_reject__1": ("ubiquiti_unifiap", "info"),
    "unifi_ap/messages_reporter_fail__1": ("ubiquiti_unifiap", "log"),
    "aruba_ap/log_central_activate_failures__1": ("aruba_instant", "log"),
    "ruckus_ap/get_scg_ip__1": ("ruckus_ap", "controller"),
    "mikrotik/mikrotik_routeros_log_print_detail_without-paging__1": (
        "mikrotik_routeros",
        "log-all",
    ),
}
#: Why the other files are not read by a book.
OTHERS = {
    "hiveos/show_interface__1": "the table has no MTU; single interfaces are asked instead",
    "hiveos/show_hivemanager": "show capwap client tells the same with port and transport",
    "hiveos/ping_": "read by collect.ping",
    "hiveos/capwap_ping__1": "UDP 12222: says nothing about TCP",
    "hiveos/show_aaa__2": "not asked",
    "hiveos/show_auth__1": "clients' sessions are nobody's business here",
    "hiveos/show_ca_cert__1": "not asked",
    "hiveos/show_cmds__1": "the list of commands: what the book rests on",
    "hiveos/show_console__1": "not asked",
    "hiveos/show_l3_interface__2": "empty",
    "hiveos/show_lldp_neighbor__1": "not asked",
    "hiveos/show_system__1": "not asked",
    "hiveos/show_radsec__1": "an error text",
    "hiveos/show_ppsk__1": "an error text",
    "hiveos/show_ip_dns__1": "an error text",
    "hiveos/help_errors__1": "an excerpt of several commands",
    "hiveos/debug_auth_ppsk_external__1": "debug output, read by collect.push_errors",
    "hostapd/": "read by collect.push_errors",
    "linux_ap/": "tests/dialects/test_samples.py",
    "mikrotik/mikrotik_routeros_interface": "read by dialects, as on gateways",
    "mikrotik/mikrotik_routeros_ping": "read by collect.ping where a probe asks for it",
    "client/": "read by collect.push_errors",
    "radsec/": "read by collect.push_errors",
}


@pytest.fixture(scope="module")
def samples(shared):
    return shared / "samples" / "aps"


def text_of(samples, name):
    """Return a recorded answer without the prompt and the echo."""
    text = (samples / f"{name}.txt").read_text()
    if "rkscli: " in text:
        # The file begins with the login on the terminal.
        text = "rkscli: " + text.rpartition("rkscli: ")[2]
    lines = text.split("\n")
    return "\n".join(lines[1:] if "#" in lines[0] or lines[0].startswith("rkscli:") else lines)


def rows_of(samples, name):
    """Read a file as its book does: rows by kind, and lines that a rule would miss."""
    platform, command = READ[name]
    book = load_book(ROOT, platform)
    found, missed = {}, []
    for kind, entries in book.read.items():
        for entry in entries:
            if entry.command != command:
                continue
            reader = (
                load_parser(ROOT, platform, entry.parser).rows
                if entry.parser
                else ROWS[entry.dialect]
            )
            read = reader(text_of(samples, name))
            found.setdefault(kind, []).extend(read.rows)
            missed += [(kind, *line) for line in read.unplaced if entry.strict]
    assert found, f"nothing reads {name}"
    return found, missed


@pytest.mark.parametrize("name", READ)
def test_no_line_that_a_rule_reads_is_left_unplaced(samples, name):
    _, missed = rows_of(samples, name)

    assert missed == []


def test_every_recorded_file_is_read_or_left_out_for_a_reason(samples):
    names = {str(p.relative_to(samples)).removesuffix(".txt") for p in samples.glob("*/*.txt")}

    assert [n for n in sorted(names - set(READ)) if not n.startswith(tuple(OTHERS))] == []


def only(rows):
    (row,) = rows
    return {key: value for key, value in row.items() if value}


def test_values_of_the_recorded_extreme_access_point(samples):
    def read(name):
        return rows_of(samples, f"hiveos/{name}")[0]

    assert only(read("show_version__1")["identity"]) == {
        "OS_NAME": "IQ Engine",
        "OS_VERSION": "10.8r5",
        "MODEL": "AP5010U-WW",
    }
    mgt0 = read("show_interface_mgt0__1")
    assert only(mgt0["interfaces"]) == {"STATE": "up", "MTU": "1500", "MAC": "241f:bd33:9800"}
    assert only(mgt0["addresses"]) == {"ADDRESS": "192.168.100.206", "NETMASK": "255.255.255.0"}
    assert read("show_ip_route__1")["routes"][0]["VIA"] == "192.168.100.1"
    capwap = only(read("show_capwap_client__xiq_fra")["cloud"])
    assert (capwap["SERVER"], capwap["PORT"], capwap["TRANSPORT"]) == (
        "3.67.81.102",
        "12222",
        "UDP",
    )
    assert only(read("show_idm__aeromiko")["cloud"])["PROXY"] == "127.0.1.3"
    # No identity client, no RADsec proxy: no RADsec service.
    assert read("show_idm__1")["cloud"] == []
    assert read("show_aaa_radius_server__1")["cloud"] == []
    assert only(read("show_clock__1")["clock"]) == {"CLOCK_LOCAL": "2026-04-17  17:56:31"}
    assert only(read("show_ntp__1")["clock"])["SUMMER_END"] == "11-01 01:59:59"


def test_the_recorded_failed_upload_and_its_far_end(samples):
    read = rows_of(samples, "hiveos/log_flash_curl_https_upload_timeout__1")[0]

    (server,) = read["cloud"]
    assert (server["SERVER"], server["PORT"]) == ("ui1r1.qa.xcloudiq.com", "443")
    assert server["SINCE"] == "2026-04-17T00:09:45"
    assert [row["SERVICE"] for row in read["push-log"]] == ["https", "https"]
    assert "rc=7168(28)" in read["push-log"][1]["TEXT"]


def test_a_recorded_log_of_a_healthy_join_tells_of_no_failure(samples):
    read = rows_of(samples, "hiveos/log_buffered_capwap_join_radsec__1")[0]

    assert read["cloud"] == []
    # What it says of RADsec is only that nobody asked for it.
    assert {row["SERVICE"] for row in read["push-log"]} == {"capwap"}


def test_values_of_the_recorded_cisco_access_points(samples):
    def read(name):
        return rows_of(samples, f"cisco_ap_cos/{name}")[0]

    assert only(read("show_version__1")["identity"]) == {
        "OS_NAME": "Cisco AP Software",
        "HOSTNAME": "AP5C5A.C752.01DC",
        "OS_VERSION": "17.15.0.10",
        "SERIAL": "FGL2325A4YP",
        "MODEL": "AIR-AP4800-D-K9",
    }
    joined = only(read("show_capwap_client_rcb__1")["cloud"])
    assert joined == {"UP": "UP", "SERVER": "9.4.62.51", "PATH_MTU": "1485"}
    searching = only(read("show_capwap_client_rcb__3_discovery")["cloud"])
    assert searching == {"DOWN": "DISCOVERY", "SERVER": "::", "PATH_MTU": "576"}
    wired = read("show_interfaces_wired_0__1")
    assert only(wired["addresses"])["ADDRESS"] == "9.2.46.109"
    # 2400 is the link's MTU and says nothing about IP.
    assert only(wired["interfaces"]) == {
        "NAME": "wired0",
        "MAC": "5C:5A:C7:52:01:DC",
        "STATE": "UP",
    }


def test_values_of_the_recorded_unifi_access_points(samples):
    def read(name):
        return rows_of(samples, f"unifi_ap/{name}")[0]

    good, bad = read("info_connected__1"), read("info_server_reject__1")
    assert only(good["identity"])["OS_VERSION"] == "4.3.13.11253"
    assert only(good["cloud"]) == {"UP": "Connected", "SERVER": "10.5.10.17", "PORT": "8080"}
    assert only(bad["identity"])["MODEL"] == "UAP-AC-Pro-Gen2"
    assert only(bad["cloud"])["DOWN"].startswith("Server Reject (http")
    first, second = read("messages_reporter_fail__1")["push-log"][:2]
    assert (first["WHEN"], second["WHEN"]) == ("Sep 17 16:26:44",) * 2
    assert "initial contact failed #20" in second["TEXT"]


def test_values_of_the_recorded_aruba_log(samples):
    rows = rows_of(samples, "aruba_ap/log_central_activate_failures__1")[0]["push-log"]

    assert rows[0]["WHEN"] == "Mon Aug 10 13:02:54 2026"
    assert rows[0]["TEXT"].endswith("reason dns error")
    assert rows[3]["WHEN"] == "Aug 10 13:04:01"
    assert "Activate provision timed out" in rows[3]["TEXT"]
    assert "RADIUS server connection failure" in rows[5]["TEXT"]


def test_values_of_the_recorded_ruckus_access_point(samples):
    recorded = (samples / "ruckus_ap" / "get_scg_ip__1.txt").read_text()
    book = load_book(ROOT, "ruckus_ap")

    assert only(rows_of(samples, "ruckus_ap/get_scg_ip__1")[0]["cloud"]) == {
        "UP": "RUN_STATE",
        "SERVER": "18.139.169.166",
    }
    # The same file shows the login: both prompts, and the one that follows.
    asked = recorded.split("\n")
    assert re.match(book.second_login.user, asked[0])
    assert re.fullmatch(book.second_login.password, asked[1].rstrip("\r"))
    assert re.match(book.prompt_patterns[0], next(x for x in asked if x.startswith("rkscli")))


def test_values_of_the_recorded_mikrotik_log(samples):
    name = "mikrotik/mikrotik_routeros_log_print_detail_without-paging__1"
    rows = rows_of(samples, name)[0]["push-log"]

    assert (rows[0]["WHEN"], rows[0]["TOPICS"]) == ("jul/19 14:27:01", "script,info")
    assert rows[0]["TEXT"] == "Ping testA: Packets Sent = 18, Packets Loss = 10 % "
    assert rows[4]["TOPICS"] == "script,warning"
    assert rows[5]["TEXT"] == "lte1 link down"
    assert rows[7]["TEXT"].endswith("got IP address 192.168.1.2")
