"""Every recorded file of a gateway is read by its task book to the last line, or says why not.

VyOS, EdgeOS, OpenWrt and UniFi: tests/dialects/test_gateway_samples.py; access points:
test_ap_samples.py; Linux: tests/dialects/test_samples.py. The values were read in the files by eye.
"""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

from mtughost.content.load import load_book
from mtughost.content.parsers import load_parser
from mtughost.content.root import packaged_content
from mtughost.dialects import ROWS

ROOT = packaged_content()
#: Beginning of a file's name, up to the number: platform, and the command of its book.
READ = {
    "asa/show_version": ("cisco_asa", "show version"),
    "asa/show_interface": ("cisco_asa", "show interface"),
    "asa/show_asp_drop": ("cisco_asa", "show asp drop"),
    "fortios/get_system_status": ("fortinet", "get system status"),
    "fortios/get_system_interface": ("fortinet", "get system interface"),
    "ios/show_version": ("cisco_xe", "show version"),
    "ios/show_ip_interface": ("cisco_xe", "show ip interface"),
    "ios/show_ipv6_interface": ("cisco_xe", "show ipv6 interface"),
    "ios/show_ip_route": ("cisco_xe", "show ip route"),
    "ios/show_ip_traffic": ("cisco_xe", "show ip traffic"),
    "junos/show_version": ("juniper_junos", "show version"),
    "junos/show_interfaces": ("juniper_junos", "show interfaces"),
    "junos/show_interfaces_terse": ("juniper_junos", "show interfaces terse"),
    "junos/show_route": ("juniper_junos", "show route active-path"),
    "panos/show_system_info": ("paloalto_panos", "show system info"),
    "panos/show_interface_logical": ("paloalto_panos", "show interface logical"),
    "panos/show_routing_route": ("paloalto_panos", "show routing route"),
    "routeros/ip_route_print_detail": (
        "mikrotik_routeros",
        "/ip route print detail without-paging",
    ),
    "routeros/system_resource_print": ("mikrotik_routeros", "/system resource print"),
    "routeros/system_routerboard_print": ("mikrotik_routeros", "/system routerboard print"),
    "routeros/system_clock_print": ("mikrotik_routeros", "/system clock print"),
}
#: Files of those commands that are not read to the last line.
ODD = {
    "ios/show_ip_interface__12": "its test's author took the indentation away",
    "ios/show_ip_interface__19": "its test's author took the indentation away",
    "ios/show_ip_route__15": "of a VRF, which is not asked: next hops of IPv6 in another VRF",
    "ios/show_ip_route__2": "of IOS-XR, with the time above",
    "ios/show_ip_route__7": "an IPv6 table behind an IPv4 command",
    "junos/show_interfaces__3": "begins in the middle of an interface",
    "junos/show_interfaces__6": "its test's author took the indentation away",
    "junos/show_interfaces__7": "begins in the middle of an interface",
    "junos/show_route__2": "with a table of MPLS labels",
}
#: Files of other commands, by the beginning of their names, and why their books do not ask them.
OTHERS = {
    "asa": {
        "ping": "read by nobody: no DF bit is documented",
        "show_failover": "high availability is the inventory's word (ha_peer)",
        "show_interface_detail": "show interface has what is needed",
        "show_interface_ip_brief": "has no MTU",
        "show_interface_summary": "has no MTU",
        "show_inventory": "serial numbers are in show version",
        "show_nameif": "show interface has the names",
        "show_route": "tests/dialects/test_cisco_asa.py: read together with the names",
        "show_running-config": "parts of the configuration without an MSS",
        "show_service_policy": "tells what is inspected; tcp-map is asked instead",
    },
    "fortios": {
        "execute_ping": "tests/collect/test_ping.py",
        "execute_traceroute": "not asked",
        "fnsysctl_ifconfig": "needs a super_admin; diagnose netlink has the same",
        "get_hardware_nic": "counters of a port",
        "get_system_arp": "not asked",
        "get_system_ha_status": "high availability is the inventory's word (ha_peer)",
        "get_system_interface_physical": "has no addresses of VLANs",
        "show_full-configuration": "tests/dialects/test_fortinet.py: the same tree, with defaults",
    },
    "ios": {
        "ping": "tests/collect/test_ping.py",
        "show_archive": "tests/remedy: read before and after a change",
        "show_crypto": "tunnels' overhead is taken from the interface's own MTU",
        "show_dmvpn": "not asked",
        "show_interfaces": "has the link's MTU, not the IP MTU",
        "show_ip_interface_brief": "has no MTU",
        "show_ipv6_interface_brief": "has no MTU",
        "show_monitor_capture": "of switches: tests/dialects/test_sniffers.py says what is done",
        "show_pppoe_session": "the dialer's IP MTU is what counts",
        "show_run": "tests/dialects/test_cisco_ios.py: the same lines",
        "show_tunnel_protection": "not asked",
        "show_vlan": "encapsulation is in the configuration",
        "show_vrf": "not asked",
        "traceroute": "not asked",
    },
    "junos": {
        "command_ping": "tests/collect/test_ping.py",
        "get-interface-information": "XML",
        "get_config": "XML",
        "monitor_interface_traffic": "counters",
        "ping": "tests/collect/test_ping.py",
        "show_chassis_cluster": "high availability is the inventory's word (ha_peer)",
        "show_configuration": "tests/dialects/test_junos.py: the same lines",
        "show_interfaces_extensive": "show interfaces has what is needed",
        "show_interfaces_statistics": "show interfaces has what is needed",
        "show_security_policies": "counters without the rules",
        "show_system_statistics": "not asked",
        "show_version_detail": "show version has what is needed",
        "show_version_invoke": "show version has what is needed",
        "traceroute": "not asked",
    },
    "panos": {
        "debug_swm_status": "not asked",
        "show_config_set": "tests/dialects/test_panos.py",
        "show_high-availability": "high availability is the inventory's word (ha_peer)",
        "show_interface_hardware": "tests/dialects/test_panos.py: read together with the logical",
        "show_jobs_all": "not asked",
        "show_lacp": "not asked",
        "show_mac_all": "not asked",
        "show_routing_resource": "counts only",
        "show_running_nat-policy": "NAT changes no MSS",
    },
    "routeros": {
        "export_style": "tests/dialects/test_routeros.py",
        "interface_": "tests/dialects/test_routeros.py, where the form is one that is asked for",
        "ip_address": "printed without detail, which is asked for",
        "ip_firewall": "neither a mangle rule nor a route",
        "ip_neighbor": "not asked",
        "ip_route_print_terse": "printed otherwise than asked for",
        "ping": "tests/collect/test_ping.py",
        "routing_ospf": "not asked",
    },
}
_PROMPT = re.compile(r"[\w.@-]*[#>] ?(sh|show) .*|show [\w ./-]+|root@\S+ > .*")


@pytest.fixture(scope="module")
def samples(shared):
    return shared / "samples" / "gateways"


def text_of(path):
    """Return an answer as a device prints it: no prompt above, no indentation of a test's file."""
    lines = dedent(path.read_text(encoding="utf-8")).strip("\n").split("\n")
    while lines and (not lines[0].strip() or _PROMPT.fullmatch(lines[0].strip())):
        lines = lines[1:]
    return dedent("\n".join(lines)) + "\n"


def rows_of(path):
    """Read a file as its book does: rows by kind, and lines that a rule would miss."""
    stem = path.stem.partition("__")[0]
    platform, line = READ[f"{path.parent.name}/{stem}"]
    book = load_book(ROOT, platform)
    (command,) = (name for name, spec in book.commands.items() if spec.run == line)
    found, missed = {}, []
    for kind, entries in book.read.items():
        for entry in entries:
            if entry.command != command:
                continue
            parser = entry.parser and load_parser(ROOT, platform, entry.parser).rows
            read = (parser or ROWS[entry.dialect])(text_of(path))
            found.setdefault(kind, []).extend(read.rows)
            missed += [(kind, *line) for line in read.unplaced if entry.strict]
    assert found, f"nothing reads {path.name}"
    return found, missed


def files(samples):
    """Yield the files of the platforms here, each with the beginning of its name."""
    for folder in OTHERS:
        for path in sorted((samples / folder).glob("*.txt")):
            yield path, f"{folder}/{path.stem.partition('__')[0]}"


def test_no_line_that_a_rule_reads_is_left_unplaced_in_any_recorded_file(samples):
    read = [path for path, name in files(samples) if name in READ]

    left = {f"{path.parent.name}/{path.stem}": rows_of(path)[1] for path in read}

    assert len(read) > 60
    assert {name for name, missed in left.items() if missed} == set(ODD)


def test_every_recorded_file_is_read_or_its_command_is_left_out_for_a_reason(samples):
    unknown = [
        path.name
        for path, name in files(samples)
        if name not in READ and not path.name.startswith(tuple(OTHERS[path.parent.name]))
    ]

    assert unknown == []


#: File, kind, which row, and what stands in it: five values for each platform and more.
VALUES = [
    ("asa/show_version__1", "identity", 0, {"OS_VERSION": "9.5(2)204", "MODEL": "ASAv"}),
    ("asa/show_version__1", "identity", 0, {"HOSTNAME": "asa1"}),
    ("asa/show_interface__2", "interfaces", 0, {"NAME": "outside", "MTU": "1500"}),
    ("asa/show_interface__2", "interfaces", 0, {"MAC": "52:54:00:0d:da:4c"}),
    ("asa/show_interface__2", "addresses", 0, {"ADDRESS": "10.99.99.2"}),
    ("fortios/get_system_status__2", "identity", 0, {"MODEL": "FortiGate-600E"}),
    ("fortios/get_system_status__2", "identity", 0, {"OS_VERSION": "6.2.6"}),
    ("fortios/get_system_status__2", "identity", 0, {"SERIAL": "FG6H0Exxxxxxxxx"}),
    ("fortios/get_system_interface__1", "addresses", 0, {"INTERFACE": "wan"}),
    ("fortios/get_system_interface__1", "addresses", 0, {"ADDRESS": "10.180.1.229"}),
    ("ios/show_version__1", "identity", 0, {"HOSTNAME": "router1", "OS_VERSION": "12.2(54)SG1"}),
    ("ios/show_ip_route__1", "routes", 0, {"DESTINATION": "1.1.1.1/32", "VIA": "212.0.0.1"}),
    ("ios/show_ip_route__1", "routes", 1, {"VIA": "192.168.0.1"}),
    ("ios/show_ip_traffic__2", "icmp", 0, {"FRAG_CREATES": "5", "FRAG_FAILS": "0"}),
    ("junos/show_version__2", "identity", 0, {"HOSTNAME": "lab", "MODEL": "ex4550-32f"}),
    ("junos/show_route__4", "routes", 0, {"VIA": "10.169.14.121", "INTERFACE": "ge-0/0/1.0"}),
    ("junos/show_route__4", "routes", 0, {"DESTINATION": "0.0.0.0/0"}),
    ("junos/show_route__4", "routes", 1, {"DESTINATION": "10.1.0.0/24", "INTERFACE": "fxp0.0"}),
    ("panos/show_system_info__1", "identity", 0, {"HOSTNAME": "pa1", "MODEL": "PA-VM"}),
    ("panos/show_interface_logical__1", "addresses", 0, {"INTERFACE": "ethernet1/2.100"}),
    ("panos/show_interface_logical__1", "addresses", 0, {"ADDRESS": "65.5.44.46"}),
    ("panos/show_routing_route__2", "routes", 0, {"VIA": "198.18.27.241"}),
    ("panos/show_routing_route__2", "routes", 0, {"INTERFACE": "ethernet1/15"}),
    ("routeros/ip_route_print_detail__1", "routes", 0, {"DESTINATION": "0.0.0.0/0"}),
    ("routeros/ip_route_print_detail__1", "routes", 0, {"VIA": "192.168.8.1"}),
    ("routeros/ip_route_print_detail__1", "routes", 0, {"INTERFACE": "lte1"}),
    ("routeros/ip_route_print_detail__1", "routes", 1, {"DESTINATION": "10.160.1.228/30"}),
    ("routeros/system_resource_print__3", "identity", 0, {"OS_VERSION": "7.12.2"}),
]


@pytest.mark.parametrize(
    ("name", "kind", "row", "values"), VALUES, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(VALUES)]
)
def test_values_read_by_eye_are_what_is_read(samples, name, kind, row, values):
    rows = rows_of(samples / f"{name}.txt")[0][kind]

    assert {key: rows[row].get(key) for key in values} == values


def test_five_values_of_every_platform_here_were_read_by_eye():
    counted = dict.fromkeys(OTHERS, 0)
    for name, _, _, values in VALUES:
        counted[name.partition("/")[0]] += len(values)

    assert {folder: count for folder, count in counted.items() if count < 5} == {}
