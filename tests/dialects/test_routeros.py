"""RouterOS 6 and 7: items of ``print detail``, mangle and its kin, what the samples hold."""

from __future__ import annotations

import pytest

from mtughost.dialects import routeros
from mtughost.dialects.routeros_clamps import read_clamps
from mtughost.dialects.routeros_print import counters, read_items
from mtughost.model.basis import Unknown
from mtughost.model.clamps import ClampTo, Jump, NameSet
from mtughost.model.session import Answer

LINKS = """\
Flags: D - dynamic; X - disabled, R - running; S - slave
 0  R   name="ether1" default-name="ether1" type="ether" mtu=1500 actual-mtu=1500
 1  R   name="pppoe-out1" type="pppoe-out" mtu=1492 actual-mtu=1492
 2  R   ;;; access points
        name="vlan20" type="vlan" mtu=1500 actual-mtu=1500
 3  R   name="gre1" type="gre-tunnel" mtu=1400 actual-mtu=1400
"""
CLAMP = (
    "chain=forward action=change-mss new-mss=1452 passthrough=yes tcp-flags=syn protocol=tcp "
    'out-interface=vlan20 tcp-mss=1453-65535 log=no log-prefix=""'
)
PPPOE = ' 0  R name="pppoe-out1" max-mtu=1492 interface=ether1 profile=default\n'
PROFILES = ' 0 * name="default" change-tcp-mss={}\n 1 * name="default-encryption"\n'


def mangle(*rules):
    return "Flags: X - disabled, I - invalid, D - dynamic \n" + "".join(
        f"{number:>2} {flags:<2} {text} \n\n" for number, (flags, text) in enumerate(rules)
    )


def answer(text, status="complete"):
    return Answer(command_id="c", line="/print", text=text, status=status)


def clamps(*rules, count=None, **more):
    texts = {
        "mangle": mangle(*rules),
        "mangle-count": f"{len(rules) if count is None else count}\n",
        "mangle6": mangle(),
        "mangle6-count": "0\n",
        "links": LINKS,
        **more,
    }
    return read_clamps(
        {
            name: text if isinstance(text, Answer) else answer(text)
            for name, text in texts.items()
            if text is not None
        }
    )


def rules_of(ruleset, table="ipv4 mangle", chain="forward"):
    (found,) = [c for c in ruleset.chains if (c.table, c.name) == (table, chain)]
    return found.rules


def test_a_guarded_clamp_is_one_certain_rule_with_its_scope_and_counter():
    stats = "Flags: X - disabled\n #    CHAIN    ACTION       BYTES   PACKETS\n"
    stats += " 0    forward  change-mss  104 040     1 734\n"

    (rule,) = rules_of(clamps(("", CLAMP), **{"mangle-stats": stats}))

    assert rule.match.out_interfaces == NameSet(names=("vlan20",))
    assert (rule.match.mss_above_bytes, rule.match.opaque) == (1452, ())
    assert rule.match.handshake == {"syn", "syn-ack"}
    assert rule.match.families == {"ipv4"}
    assert (rule.action.value_bytes, rule.packets, rule.line) == (1452, 1734, 2)


def test_whether_an_unguarded_clamp_raises_a_smaller_value_is_left_open():
    below, plain = rules_of(clamps(("", CLAMP.replace(" tcp-mss=1453-65535", ""))))

    assert (below.match.mss_at_most_bytes, below.action.can_raise) == (1451, True)
    assert below.match.opaque
    assert (plain.match.opaque, plain.action.value_bytes) == ((), 1452)


def test_disabled_and_invalid_rules_clamp_nothing_and_dynamic_ones_do():
    assert rules_of(clamps(("X", CLAMP), ("I", CLAMP))) == ()
    assert len(rules_of(clamps(("D", CLAMP)))) == 1


@pytest.mark.parametrize(
    ("flags", "seen"),
    [
        ("syn", {"syn", "syn-ack"}),
        ("syn,!ack", {"syn"}),
        ("syn,ack", {"syn-ack"}),
        ("syn,!fin,!rst", {"syn", "syn-ack"}),
        ("!syn", set()),
    ],
)
def test_tcp_flags_say_which_handshake_packets_a_rule_sees(flags, seen):
    (rule,) = rules_of(clamps(("", CLAMP.replace("tcp-flags=syn", f"tcp-flags={flags}"))))

    assert rule.match.handshake == seen


@pytest.mark.parametrize(
    "condition",
    [
        "connection-mark=x",
        "src-address-list=stores",
        "in-interface-list=all",
        "ipsec-policy=in,none",
        "in-interface=vlan99",
    ],
)
def test_a_condition_that_is_not_known_makes_the_rule_uncertain(condition):
    (rule,) = rules_of(clamps(("", f"{CLAMP} {condition}")))

    assert rule.match.opaque == (condition,)


def test_lists_and_types_of_interfaces_are_resolved():
    members = " 0   list=WAN interface=pppoe-out1 \n 1 X list=WAN interface=ether1 \n"
    text = CLAMP.replace("out-interface=vlan20", "out-interface-list=!WAN in-interface=all-ppp")

    (rule,) = rules_of(clamps(("", text), members=members))

    assert rule.match.out_interfaces == NameSet(names=("pppoe-out1",), negated=True)
    assert rule.match.in_interfaces == NameSet(names=("pppoe-out1",))
    assert rule.match.opaque == ()


def test_chains_of_ones_own_are_followed_and_passthrough_no_ends_the_walk():
    ruleset = clamps(
        ("", "chain=forward action=jump jump-target=mss protocol=tcp"),
        ("", "chain=forward action=mark-packet new-packet-mark=x passthrough=no"),
        ("", CLAMP.replace("chain=forward", "chain=mss")),
    )

    jump, mark = rules_of(ruleset)
    assert (jump.action, mark.action) == (Jump(chain="mss"), "accept")
    (custom,) = [c for c in ruleset.chains if c.name == "mss"]
    assert (custom.hook, len(custom.rules)) == (None, 1)


def test_the_devices_own_count_must_equal_the_rules_that_were_read():
    assert isinstance(clamps(("", CLAMP), count=2), Unknown)
    assert isinstance(clamps(count=1), Unknown)
    assert rules_of(clamps(("", CLAMP), count=1))


@pytest.mark.parametrize("name", ["mangle", "mangle-count", "links"])
def test_an_answer_that_did_not_come_makes_the_clamps_unknown(name):
    refused = answer("not enough permissions (9)\n", status="rejected")

    assert isinstance(clamps(**{name: refused}), Unknown)
    assert isinstance(clamps(**{name: None}), Unknown)


def test_mangle_of_ipv6_that_was_not_read_is_uncertain_and_without_ipv6_there_is_none():
    refused = answer("not enough permissions (9)\n", status="rejected")
    missing = answer("bad command name mangle (line 1 column 16)\n", status="rejected")

    (rule,) = rules_of(clamps(mangle6=refused), "ipv6 mangle")
    assert rule.match.opaque
    assert [c for c in clamps(mangle6=missing).chains if c.table == "ipv6 mangle"] == []


def test_a_ppp_profile_that_clamps_without_a_visible_rule_is_neither_relied_on_nor_ruled_out():
    shown = [
        ("D", CLAMP.replace("out-interface=vlan20", f"{side}-interface=pppoe-out1"))
        for side in ("in", "out")
    ]
    silent = clamps(pppoe=PPPOE, profiles=PROFILES.format("yes"))
    visible = clamps(*shown, pppoe=PPPOE, profiles=PROFILES.format("yes"))

    families = {f for r in rules_of(silent, "ppp and tunnels", "tcp mss") for f in r.match.families}
    assert families == {"ipv4", "ipv6"}
    left = rules_of(visible, "ppp and tunnels", "tcp mss")
    assert {f for rule in left for f in rule.match.families} == {"ipv6"}
    assert all(rule.match.opaque for rule in left)
    off = clamps(pppoe=PPPOE, profiles=PROFILES.format("no"))
    assert [c for c in off.chains if c.table == "ppp and tunnels"] == []


def test_a_tunnel_that_clamps_by_itself_has_its_value_and_stays_uncertain():
    gre = ' 0  R name="gre1" mtu=1400 actual-mtu=1400 clamp-tcp-mss={}\n'

    (rule,) = rules_of(clamps(gre=gre.format("yes")), "ppp and tunnels", "tcp mss")

    assert rule.match.in_interfaces == NameSet(names=("gre1",))
    assert (rule.action.value_bytes, bool(rule.match.opaque)) == (1360, True)
    assert [c for c in clamps(gre=gre.format("no")).chains if c.table == "ppp and tunnels"] == []


def test_a_clamp_to_the_path_mtu_is_derived():
    text = CLAMP.replace("new-mss=1452", "new-mss=clamp-to-pmtu")

    (rule,) = rules_of(clamps(("", text)))

    assert isinstance(rule.action, ClampTo)
    assert rule.action.value_bytes is None


def test_an_action_or_a_line_that_is_not_known_is_noted():
    assert clamps(("", "chain=forward action=fly")).notes
    assert clamps(mangle=mangle(("", CLAMP)) + "what is this\n", **{"mangle-count": "1\n"}).notes
    logged = (
        "17:20:06 echo: system,error,critical login failure for user x from 192.0.2.1 via ssh\n"
    )
    assert clamps(("", CLAMP), mangle=logged + mangle(("", CLAMP))).notes == ()


@pytest.mark.parametrize("text", ["", "no such item\n", "12 rules\n", "-1\n"])
def test_without_a_count_nothing_proves_that_the_account_sees_the_rules(text):
    assert routeros.read_privilege(text).rows[0]["SEES_FIREWALL"] == "no"
    assert routeros.read_privilege("0\n").rows[0]["SEES_FIREWALL"] == "yes"


def test_routes_of_version_7_tell_their_way_out_in_another_word():
    rows = routeros.read_routes(
        "Flags: D - dynamic; X - disabled, I - inactive, A - active; c - connect, s - static \n"
        " 0  As   dst-address=0.0.0.0/0 routing-table=main gateway=198.51.100.1 "
        "immediate-gw=198.51.100.1%ether1 distance=1\n"
        " 1  DAc  dst-address=10.20.1.0/24 routing-table=main gateway=vlan20 immediate-gw=vlan20\n"
        " 2   s   dst-address=10.9.0.0/16 gateway=10.0.0.9 distance=9\n"
        " 3  DAd  dst-address=10.8.0.0/16 gateway=a,b immediate-gw=192.0.2.1%ether3,ether4\n"
    ).rows

    assert [
        (r["DESTINATION"], r.get("VIA"), r.get("INTERFACE"), r.get("NEXTHOPS")) for r in rows
    ] == [
        ("0.0.0.0/0", "198.51.100.1", "ether1", None),
        ("10.20.1.0/24", "", "vlan20", None),
        ("10.8.0.0/16", None, None, ["via 192.0.2.1 dev ether3", "dev ether4"]),
    ]


def test_option_26_belongs_to_the_interface_of_its_network():
    given = {
        "options": ' 0 name="mtu" code=26 value="0x05d4" raw-value="05d4" force=no\n',
        "networks": " 0 address=10.20.1.0/24 gateway=10.20.1.1 dhcp-option=mtu\n",
        "addresses": " 0 address=10.20.1.1/24 network=10.20.1.0 interface=vlan20\n",
    }

    read = routeros.read_dhcp({name: answer(text) for name, text in given.items()})

    assert read.rows == ({"MTU": "1492", "SCOPE": "vlan20"},)
    assert isinstance(routeros.read_dhcp({}), Unknown)


def test_an_item_keeps_quoted_keys_comments_of_several_lines_and_thousands():
    found = read_items(
        " 0  R ;;; very very long\nmultiline text\n"
        '      name="a b=\\"c\\" d=1" bytes=47 603 packets=5\n'
    )

    (item,) = found.items
    assert item.values == {"name": 'a b="c" d=1', "bytes": "47 603", "packets": "5"}
    assert item.comment == "very very long multiline text"
    assert found.unplaced == ()


def test_counters_are_read_from_both_versions():
    seven = (
        "Columns: CHAIN, ACTION, BYTES, PACKETS\n # CHAIN    ACTION      BYTES  PACKETS\n"
        ";;; LAN outbound\n20 forward  accept    874 062    1 675\n"
    )
    six = " #    CHAIN    ACTION\n 3 D ;;; dynamic\n     forward  change-mss     60        1\n"

    assert list(counters(seven)) == [(20, "forward", "accept", 1675)]
    assert list(counters(six)) == [(3, "forward", "change-mss", 1)]


# -- real output ---------------------------------------------------------------------------------


@pytest.fixture
def samples(shared):
    return shared / "samples" / "gateways" / "routeros"


def test_real_interfaces_give_the_mtu_that_counts(samples, shared):
    def links(path):
        read = routeros.read_links({"links": answer(path.read_text())})
        assert read.unplaced == ()
        return {row["NAME"]: (row.get("MTU"), row["STATE"], row["KIND"]) for row in read.rows}

    big = links(samples / "interface_print_detail__2.txt")
    assert len(big) == 27
    assert big["pppoe-out1"] == ("1400", "UP", "pppoe-client")
    assert big["vlan1@bond1"] == ("1574", "UP", "vlan")
    assert big["sfp-sfpplus2"] == ("9216", "DOWN", "ethernet")
    assert big["Lo0"] == ("1500", "UP", "bridge")
    small = links(shared / "samples/aps/mikrotik/mikrotik_routeros_interface_print_detail__1.txt")
    assert small["pptp-to-AH1100-HS"] == ("1596", "UP", "ppp")
    assert small["pptp-out1"] == ("1450", "UP", "ppp")


def test_real_vlans_give_what_lies_below_them(samples):
    answers = {
        "links": answer((samples / "interface_print_detail__2.txt").read_text()),
        "vlans": answer((samples / "interface_vlan_print_detail__1.txt").read_text()),
    }

    rows = {row["NAME"]: row["PARENT"] for row in routeros.read_links(answers).rows}

    assert rows["vlan1@bond1"] == "bond1"
    assert rows["vlan10@vlan975@sfp-sfpplus1"] == "vlan975@sfp-sfpplus1"
    assert rows["bond1"] == ""


def test_real_routes_leave_by_what_their_status_says(samples):
    read = routeros.read_routes((samples / "ip_route_print_detail__1.txt").read_text())

    assert read.unplaced == ()
    found = [(r["DESTINATION"], r.get("VIA"), r.get("INTERFACE"), r["TABLE"]) for r in read.rows]
    assert found[0] == ("0.0.0.0/0", "192.168.8.1", "lte1", "main")
    assert found[1] == ("10.160.1.228/30", "", "ether1", "main")
    assert found[3] == ("0.0.0.0/0", "10.160.1.230", "ether2", "to-reserve")
    assert found[6] == ("0.0.0.0/0", "10.152.1.230", "ether5", "main")


def test_real_settings_give_version_model_serial_and_the_time_in_utc(samples):
    def row(name):
        read = routeros.read_identity((samples / f"{name}.txt").read_text())
        assert read.unplaced == ()
        return read.rows[0]

    assert row("system_resource_print__4")["OS_VERSION"] == "7.12.2"
    assert row("system_resource_print__4")["MODEL"] == "CCR2004-1G-12S+2XS"
    assert row("system_routerboard_print__3")["SERIAL"] == "8B0208F4D5F9"
    clock = routeros.read_clock((samples / "system_clock_print__1.txt").read_text())
    assert clock.rows[0]["CLOCK_UTC"] == "2023-07-21T07:00:47Z"


#: Samples in other forms than the commands of the book ask for, each with the reason.
OTHER_FORMS = {
    "export_style_config_commands__1": "a page of commands, not an answer",
    "interface_ethernet_monitor_name_once__1": "the book does not ask it",
    "interface_ethernet_monitor_name_once__3": "the book does not ask it",
    "interface_ethernet_print__1": "a table; the book asks for detail",
    "interface_print_brief__1": "a table; the book asks for detail",
    "interface_print_terse_without-paging__1": "terse; the book asks for detail",
    "interface_wireguard_peers_print_terse_without-paging__1": "the book does not ask it",
    "ip_address_export_verbose__1": "an export; the book asks for detail",
    "ip_address_print__1": "a table; the book asks for detail",
    "ip_address_print__2": "a table; the book asks for detail",
    "ip_firewall_address-list_print_terse__1": "the book does not ask it",
    "ip_firewall_connection_print_terse_without-paging__1": "the book does not ask it",
    "ip_route_print_terse__2": "terse; the book asks for detail",
    "ping__2": "the book reads no ping",
    "ping__3": "the book reads no ping",
    "routing_ospf_interface_print_terse__1": "the book does not ask it",
}


def test_every_sample_is_read_to_its_last_line_or_listed_with_the_reason(samples):
    for path in sorted(samples.glob("*.txt")):
        text = path.read_text()
        if path.stem in OTHER_FORMS:
            continue
        if path.stem.startswith("system_"):
            assert routeros.read_identity(text).unplaced == (), path.name
        else:
            found = read_items(text)
            assert found.items, path.name
            assert found.unplaced == (), path.name
