"""ASA: one MSS for the box and what overrules it, routes with names, what hides."""

from __future__ import annotations

import pytest

from mtughost.dialects import cisco_asa
from mtughost.dialects.cisco_asa import MINIMUM, TCPMSS, read_clamps
from mtughost.model.basis import Unknown
from mtughost.model.session import Answer

SYSOPT = """\
no sysopt connection timewait
sysopt connection tcpmss 1380
sysopt connection tcpmss minimum 0
sysopt connection permit-vpn
no sysopt noproxyarp outside
"""
LEVEL_15 = "Username : audit\nCurrent privilege level : 15\nCurrent Mode/s : P_PRIV\n"


def answer(text, status="complete"):
    return Answer(command_id="c", line="show", text=text, status=status)


def clamps(**more):
    texts = {
        "sysopt": SYSOPT,
        "tcp-maps": "",
        "version": "Cisco Adaptive Security Appliance Software Version 9.18(2)5\n",
        "privilege": LEVEL_15,
        **{name.replace("_", "-"): text for name, text in more.items()},
    }
    return read_clamps(
        {
            name: text if isinstance(text, Answer) else answer(text)
            for name, text in texts.items()
            if text is not None
        }
    )


def rules(ruleset):
    (chain,) = ruleset.chains
    return chain.rules


def test_the_default_clamps_both_packets_and_families_everywhere():
    (rule,) = rules(clamps())

    assert (rule.action.value_bytes, rule.action.kind, rule.line) == (1380, TCPMSS, 2)
    assert (rule.match.in_interfaces, rule.match.out_interfaces) == (None, None)
    assert rule.match.handshake == {"syn", "syn-ack"}
    assert rule.match.families == {"ipv4", "ipv6"}


def test_zero_switches_it_off_and_that_is_a_fact():
    assert rules(clamps(sysopt=SYSOPT.replace("1380", "0"))) == ()


def test_a_minimum_raises_what_is_smaller():
    _, raised = rules(clamps(sysopt=SYSOPT.replace("minimum 0", "minimum 1300")))

    assert (raised.action.value_bytes, raised.action.can_raise) == (1300, True)
    assert (raised.match.mss_at_most_bytes, raised.action.kind) == (1299, MINIMUM)


@pytest.mark.parametrize("name", ["sysopt", "privilege"])
def test_an_answer_that_did_not_come_makes_the_clamps_unknown(name):
    refused = answer("Command authorization failed\n", status="rejected")

    assert isinstance(clamps(**{name: refused}), Unknown)
    assert isinstance(clamps(**{name: None}), Unknown)


def test_without_the_line_itself_nothing_is_known():
    plain = SYSOPT.replace("sysopt connection tcpmss 1380\n", "")

    assert isinstance(clamps(sysopt=plain), Unknown)
    assert isinstance(clamps(sysopt=""), Unknown)


def test_a_map_of_its_own_is_neither_relied_on_nor_ruled_out():
    text = "tcp-map small\n  tcp-options mss maximum 1200\n  exceed-mss drop\n"

    rule, _ = rules(clamps(tcp_maps=text))

    assert (rule.action.value_bytes, bool(rule.match.opaque), rule.line) == (1200, True, 2)
    unread, _ = rules(clamps(tcp_maps=answer("", status="timeout")))
    assert unread.match.opaque


def test_a_log_line_and_threat_defense_are_noted():
    assert clamps(sysopt=SYSOPT + "%ASA-6-302013: Built\n").notes
    assert clamps(version="Cisco Firepower Threat Defense for VMware v7.2\n").notes
    assert clamps(version=None).notes
    assert clamps().notes == ()


@pytest.mark.parametrize(
    ("text", "seen"), [(LEVEL_15, "yes"), (LEVEL_15.replace("15", "5"), "no"), ("", "no")]
)
def test_only_level_15_sees_the_whole_configuration(text, seen):
    assert cisco_asa.read_privilege(text).rows[0]["SEES_FIREWALL"] == seen


def test_routes_resolve_names_and_next_hops_and_keep_tunneled_ones_apart():
    routes = (
        "Gateway of last resort is 198.51.100.1 to network 0.0.0.0\n\n"
        "S*       0.0.0.0 0.0.0.0 [1/0] via upstream, outside\n"
        "S        0.0.0.0 0.0.0.0 [255/0] via 10.20.1.9, inside tunneled\n"
        "S        server 255.255.255.255 [1/0] via 10.20.1.9, inside\n"
        "O E2     10.9.0.0 255.255.0.0 \n"
        "           [110/50] via 10.20.1.9, 3w1d, inside\n"
        "B        10.8.0.0 255.255.0.0 [20/0] via 10.20.1.9, 2d19h\n"
        "C        10.20.1.0 255.255.255.0 is directly connected, inside\n"
        "V        10.7.0.0 255.255.0.0 connected by VPN (advertised), outside\n"
        "what is this\n"
    )
    names = "names\nname 198.51.100.1 upstream\nname 203.0.113.10 server description x\n"

    read = cisco_asa.read_routes({"routes": answer(routes), "names": answer(names)})

    found = [(r["DESTINATION"], r.get("VIA"), r["INTERFACE"], r.get("TABLE")) for r in read.rows]
    assert found == [
        ("0.0.0.0/0", "198.51.100.1", "outside", None),
        ("0.0.0.0/0", "10.20.1.9", "inside", "tunneled"),
        ("203.0.113.10/32", "10.20.1.9", "inside", None),
        ("10.9.0.0/16", "10.20.1.9", "inside", None),
        ("10.8.0.0/16", "10.20.1.9", "inside", None),
        ("10.20.1.0/24", None, "inside", None),
        ("10.7.0.0/16", None, "outside", None),
    ]
    assert [text for _, text in read.unplaced] == ["what is this"]
    assert isinstance(cisco_asa.read_routes({}), Unknown)


def test_option_26_has_its_interface_or_holds_for_all():
    read = cisco_asa.read_dhcp(
        "dhcpd option 26 hex 05D4 interface ap-vlan\n"
        "dhcpd option 26 ascii 1492\ndhcpd dns 192.0.2.1\n"
    )

    assert [(row["MTU"], row["SCOPE"]) for row in read.rows] == [
        ("1492", "ap-vlan"),
        ("not told", ""),
    ]


def test_addresses_of_ipv6_and_a_clock_in_utc_are_read_and_another_zone_is_not_guessed():
    text = "inside [up/up]\n    fe80::1\n    2001:db8::1/64\noutside [up/up]\n    unassigned\n"
    rows = cisco_asa.read_addresses6(text).rows
    assert [(r["INTERFACE"], r["ADDRESS"]) for r in rows] == [
        ("inside", "fe80::1"),
        ("inside", "2001:db8::1"),
    ]
    clock = cisco_asa.read_clock("12:00:01.5 UTC Sat Nov 21 2026\n")
    assert clock.rows[0]["CLOCK_UTC"] == "2026-11-21T12:00:01Z"
    assert cisco_asa.read_clock("12:00:01.5 CET Sat Nov 21 2026\n").rows == ()


def test_a_line_that_is_no_part_of_the_listing_is_handed_back_with_the_addresses():
    assert cisco_asa.read_addresses("what is this\n").unplaced == ((1, "what is this"),)


# -- real output ---------------------------------------------------------------------------------


@pytest.fixture
def samples(shared):
    return shared / "samples" / "gateways" / "asa"


def test_real_interfaces_give_name_mtu_and_address(samples):
    rows = {}
    for number in (2, 3, 6, 7, 10):
        text = (samples / f"show_interface__{number}.txt").read_text()
        read = cisco_asa.read_links(text)
        assert read.unplaced == (), number
        rows |= {row["NAME"]: row for row in read.rows}
        rows |= {row["ADDRESS"]: row for row in cisco_asa.read_addresses(text).rows}
    assert (rows["FINANCE"]["MTU"], rows["FINANCE"]["PARENT"]) == ("1500", "GigabitEthernet0/0")
    # As an access point's neighbour table writes it: another spelling would be another device.
    assert rows["FINANCE"]["MAC"] == "0c:29:a4:0a:f2:01"
    assert rows["10.29.60.1"]["PREFIX_LEN"] == "24"
    assert (rows["outside"]["STATE"], rows["10.0.0.5"]["PREFIX_LEN"]) == ("UP", "30")
    assert (rows["Vlan1"]["STATE"], "MTU" in rows["Vlan1"]) == ("DOWN", False)
    assert rows["10.9.224.51"]["PREFIX_LEN"] == "31"


def test_real_routes_give_their_way_out(samples):
    def rows(number):
        text = (samples / f"show_route__{number}.txt").read_text()
        read = cisco_asa.read_routes({"routes": answer(text)})
        return {(r["DESTINATION"], r.get("VIA"), r["INTERFACE"]) for r in read.rows}, read.unplaced

    three, unplaced = rows(3)
    assert unplaced == ()
    assert ("0.0.0.0/0", "192.168.1.2", "outside") in three
    assert ("172.23.42.0/23", "172.17.13.51", "routing") in three
    assert ("10.15.0.0/16", "192.168.2.1", "inside") in three
    two, unplaced = rows(2)
    assert ("172.16.2.254/32", "192.168.2.2", "inside") in two
    # Names without the configuration that explains them, and a mask that is none.
    assert {text.split()[1] for _, text in unplaced} == {
        "Server1", "Sever-2", "Server_3", "SERVER", "server", "192.168.10.0",
    }  # fmt: skip
    assert rows(6)[1] == ()


def test_real_version_output_gives_version_name_model_and_serial(samples):
    def row(number):
        text = (samples / f"show_version__{number}.txt").read_text()
        found = cisco_asa.read_identity(text).rows[0]
        return found["OS_VERSION"], found["HOSTNAME"], found["MODEL"], found.get("SERIAL")

    assert row(1) == ("9.5(2)204", "asa1", "ASAv", "9AT1L9EX0DF")
    assert row(4) == ("9.16(3)19", "asa1", "ISA-3000-2C2F", "9AT1L9EX0DF")
    assert row(7) == ("9.14(2)15", "LAB-ASA", "FPR9K-SM-24", None)
