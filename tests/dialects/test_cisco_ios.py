"""IOS and IOS-XE: routes with their way out, privilege, clamps, and what hides."""

from __future__ import annotations

import pytest

from mtughost.content.parsers import load_parser
from mtughost.content.root import packaged_content
from mtughost.dialects.cisco_ios import read_clamps, read_privilege, read_routes
from mtughost.model.basis import Unknown
from mtughost.model.clamps import NameSet
from mtughost.model.session import Answer

CONFIG = """\
interface GigabitEthernet0/0/0
 ip address 198.51.100.2 255.255.255.252
 ip mtu 1492
 ip tcp adjust-mss 1452
interface Vlan20
 ip address 10.20.1.1 255.255.255.0
 ipv6 tcp adjust-mss 1432
"""
INTERFACES = """\
GigabitEthernet0/0/0 is up, line protocol is up
  Internet address is 198.51.100.2/30
Vlan20 is up, line protocol is up
  Internet address is 10.20.1.1/24
NVI0 is up, line protocol is up
"""
VERSION = "Router operating mode: Autonomous\n"


def answer(text, status="complete"):
    return Answer(command_id="c", line="show", text=text, status=status)


def clamps(config=CONFIG, interfaces=INTERFACES, version=VERSION):
    texts = {"config": config, "interfaces": interfaces, "version": version}
    return read_clamps({name: answer(text) for name, text in texts.items()})


def test_a_clamp_works_for_what_enters_and_what_leaves_and_for_its_own_family():
    (chain,) = clamps().chains

    wan = NameSet(names=("GigabitEthernet0/0/0",))
    vlan = NameSet(names=("Vlan20",))
    assert [
        (r.match.in_interfaces, r.match.out_interfaces, set(r.match.families), r.action.value_bytes)
        for r in chain.rules
    ] == [
        (wan, None, {"ipv4"}, 1452),
        (None, wan, {"ipv4"}, 1452),
        (vlan, None, {"ipv6"}, 1432),
        (None, vlan, {"ipv6"}, 1432),
    ]
    assert chain.rules[0].line == 4


def test_an_interface_that_the_configuration_lacks_proves_that_a_part_is_hidden():
    hidden = clamps(config=CONFIG.partition("interface Vlan20")[0])

    assert isinstance(hidden, Unknown)
    assert "Vlan20" in hidden.reason
    assert isinstance(clamps(config=""), Unknown)


def test_a_deleted_subinterface_and_what_makes_itself_are_not_missed():
    listed = INTERFACES + "Port-channel1.502 is deleted, line protocol is down\n"

    assert not isinstance(clamps(interfaces=listed), Unknown)


@pytest.mark.parametrize("name", ["config", "interfaces"])
def test_an_answer_that_was_refused_makes_the_clamps_unknown(name):
    refused = answer("% Invalid input detected at '^' marker.\n", status="rejected")

    good = {"config": answer(CONFIG), "interfaces": answer(INTERFACES)}
    assert isinstance(read_clamps({**good, name: refused}), Unknown)


def test_a_router_under_sd_wan_clamps_by_itself_and_that_is_noted():
    assert clamps(version="Router operating mode: Controller-Managed\n").notes
    assert clamps(version=answer("", status="timeout").text).notes == ()
    assert read_clamps({"config": answer(CONFIG), "interfaces": answer(INTERFACES)}).notes


def test_a_log_line_between_sections_is_noted():
    noisy = clamps(config=CONFIG.replace("interface Vlan", "%SYS-5-CONFIG_I: x\ninterface Vlan"))

    assert any("%SYS-5-CONFIG_I" in note for note in noisy.notes)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Current privilege level is 15\n", "yes"),
        ("Current privilege level is 7\n", "no"),
        ("", "no"),
    ],
)
def test_only_level_15_sees_the_whole_configuration(text, seen):
    assert read_privilege(text).rows[0]["SEES_FIREWALL"] == seen


def test_a_static_route_leaves_by_the_interface_that_holds_its_next_hop():
    read = read_routes(
        "Gateway of last resort is 198.51.100.1 to network 0.0.0.0\n\n"
        "S*    0.0.0.0/0 [1/0] via 198.51.100.1\n"
        "                [1/0] via 198.51.100.5\n"
        "S     10.9.0.0/16 [1/0] via 10.8.0.1\n"
        "S     10.8.0.0/16 [1/0] via 198.51.100.1\n"
        "C        198.51.100.0/30 is directly connected, GigabitEthernet0/0/0\n"
        "O E2     10.7.0.0/16 [110/20] via 10.20.1.9, 1d18h, Vlan20\n"
        "nonsense, told in passing\n"
    )

    found = [(r["DESTINATION"], r.get("VIA"), r["INTERFACE"]) for r in read.rows]
    assert found == [
        ("0.0.0.0/0", "198.51.100.1", "GigabitEthernet0/0/0"),
        ("0.0.0.0/0", "198.51.100.5", ""),
        ("10.9.0.0/16", "10.8.0.1", "GigabitEthernet0/0/0"),
        ("10.8.0.0/16", "198.51.100.1", "GigabitEthernet0/0/0"),
        ("198.51.100.0/30", None, "GigabitEthernet0/0/0"),
        ("10.7.0.0/16", "10.20.1.9", "Vlan20"),
    ]
    assert [line for line, _ in read.unplaced] == [9]


# -- real output ---------------------------------------------------------------------------------


@pytest.fixture
def samples(shared):
    return shared / "samples" / "gateways" / "ios"


def test_real_routing_tables_give_their_routes(samples):
    def rows(number):
        read = read_routes((samples / f"show_ip_route__{number}.txt").read_text())
        return {(r["DESTINATION"], r.get("VIA"), r["INTERFACE"]) for r in read.rows}, read.unplaced

    one, unplaced = rows(1)
    assert unplaced == ()
    assert ("2.2.2.0/24", None, "FastEthernet0/0.100") in one
    assert ("4.4.0.0/16", "194.0.0.2", "FastEthernet0/0.100") in one
    assert ("172.20.1.1/32", "194.0.0.2", "FastEthernet0/0.100") in one
    six, unplaced = rows(6)
    # The line that is not placed is the command itself, pasted along.
    assert [text for _, text in unplaced] == ["Router#show ip route"]
    assert ("0.0.0.0/0", "10.12.7.37", "Vlan101") in six
    assert ("0.0.0.0/0", "10.12.7.33", "Vlan100") in six


def test_real_interface_output_gives_the_ip_mtu(samples):
    parser = load_parser(packaged_content(), "cisco_xe", "ip-interface")

    mtus = {}
    for number in (1, 3, 5, 6, 7):
        read = parser.rows((samples / f"show_ip_interface__{number}.txt").read_text())
        assert read.unplaced == (), number
        mtus |= {(number, row["NAME"]): row["MTU"] for row in read.rows}
    assert mtus[5, "Tunnel500"] == "1456"
    assert mtus[6, "Vlan20"] == "9100"
    assert mtus[3, "Loopback1001"] == "1514"
    assert mtus[7, "GigabitEthernet0/0/0"] == "1500"
    assert (1, "vasileft1") in mtus


def test_real_version_output_gives_version_model_and_serial(samples):
    parser = load_parser(packaged_content(), "cisco_xe", "version")

    def row(number):
        (found,) = parser.rows((samples / f"show_version__{number}.txt").read_text()).rows
        return found["OS_VERSION"], found["HOSTNAME"], found["MODEL"], found["SERIAL"]

    assert row(15) == ("12.2(55)SE8", "R5", "WS-C3750X-24P", "FDO2028F1WK")
    assert row(24) == ("17.5.1a", "COL-B-ASR1001-X-1", "ASR1001-X", "FXS2412Q36T")
    assert row(6) == ("16.12.4", "Switch-Hostname", "C9500-48Y4C", "CAT23XXXXXX")
