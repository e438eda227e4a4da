"""FortiOS: configuration text, addresses, links, and what its clamps do by version."""

from __future__ import annotations

import pytest

from mtughost.content.parsers import load_parser
from mtughost.content.root import packaged_content
from mtughost.dialects import fortinet
from mtughost.dialects.fortinet_clamps import read
from mtughost.dialects.fortinet_tree import read_tree
from mtughost.model.basis import Unknown
from mtughost.model.clamps import ClampTo, NameSet
from mtughost.model.session import Answer

STATUS = "Version: FortiGate-40F v{},build0632,240401 (GA)\nVirtual domain configuration: {}\n"
INTERFACES = """\
config system interface
    edit "wan1"
        set vdom "root"
        set ip 198.51.100.2 255.255.255.252
        set mtu-override enable
        set mtu 1492
    next
    edit "vlan20"
        set vdom "root"
        set description "two
lines"
        set tcp-mss 1452
        set interface "internal"
        set vlanid 20
    next
end
"""
POLICIES = """\
config firewall policy
    edit 1
        set srcintf "vlan20"
        set dstintf "wan1"
        set action accept
        set srcaddr "all"
        set dstaddr "all"
        set schedule "always"
        set service "ALL"
    next
end
"""
SETTINGS = "config system settings\nend\n"


def answer(text, status="complete"):
    return Answer(command_id="c", line="show", text=text, status=status)


def clamps(version="7.4.3", interfaces=INTERFACES, policies=POLICIES, domains="disable", **more):
    given = {
        "status": answer(STATUS.format(version, domains)),
        "interfaces": answer(interfaces) if isinstance(interfaces, str) else interfaces,
        "policies": answer(policies) if isinstance(policies, str) else policies,
        "settings": answer(SETTINGS),
        **more,
    }
    return read({name: value for name, value in given.items() if value is not None})


def rules(ruleset, chain):
    (found,) = [c for c in ruleset.chains if c.name == chain]
    return found.rules


@pytest.mark.parametrize(
    ("version", "sides"),
    [("6.4.9", {"in"}), ("7.0.0", {"in"}), ("7.0.1", {"in", "out"}), ("7.4.3", {"in", "out"})],
)
def test_from_7_0_1_on_an_interface_clamps_what_enters_and_what_leaves(version, sides):
    certain = [
        rule
        for rule in rules(clamps(version), "tcp-mss")
        if "ipv4" in rule.match.families and not rule.match.opaque
    ]

    found = {"in" if rule.match.in_interfaces else "out" for rule in certain}
    assert found == sides
    assert {rule.action.value_bytes for rule in certain} == {1452}


def test_a_rule_names_its_interface_and_the_line_that_sets_it():
    rule = rules(clamps(), "tcp-mss")[0]

    assert rule.name == "interface vlan20 tcp-mss (in)"
    assert rule.match.in_interfaces == NameSet(names=("vlan20",))
    assert INTERFACES.split("\n")[rule.line - 1].strip() == "set tcp-mss 1452"


def test_for_ipv6_nothing_is_certain():
    v6 = [r for r in rules(clamps(), "tcp-mss") if "ipv6" in r.match.families]

    assert v6
    assert all(rule.match.opaque for rule in v6)


def test_without_the_version_what_leaves_is_not_certain():
    given = clamps(status=answer("Virtual domain configuration: disable\n"))
    outward = [r for r in rules(given, "tcp-mss") if r.match.out_interfaces]

    assert outward
    assert all(rule.match.opaque for rule in outward)


def test_virtual_domains_make_the_clamps_unknown():
    assert isinstance(clamps(domains="multiple"), Unknown)


@pytest.mark.parametrize("hidden", ["interfaces", "policies", "status"])
def test_a_section_that_was_refused_makes_the_clamps_unknown(hidden):
    refused = answer("command parse error before 'firewall'\n", status="rejected")

    assert isinstance(clamps(**{hidden: refused}), Unknown)
    assert isinstance(clamps(**{hidden: None}), Unknown)


@pytest.mark.parametrize("which", ["interfaces", "policies"])
def test_a_section_that_does_not_end_makes_the_clamps_unknown(which):
    text = {"interfaces": INTERFACES, "policies": POLICIES}[which]

    assert isinstance(clamps(**{which: text.removesuffix("end\n")}), Unknown)


def test_a_log_line_inside_a_section_is_noted_and_never_ignored():
    ruleset = clamps(interfaces=INTERFACES.replace("    next\n", "gw: link down\n    next\n", 1))

    assert any("gw: link down" in note for note in ruleset.notes)


def test_policy_based_mode_is_noted():
    text = SETTINGS.replace("end", "    set ngfw-mode policy-based\nend")

    assert clamps(settings=answer(text)).notes


def test_policies_without_clamps_are_left_out():
    assert rules(clamps(), "policies") == ()


def test_a_policy_that_sets_both_values_clamps_both_packets_of_its_own_direction():
    both = POLICIES.replace(
        "    next", "        set tcp-mss-sender 1400\n        set tcp-mss-receiver 1400\n    next"
    )

    syn, accept_syn, answer_, accept_answer = rules(clamps(policies=both), "policies")
    assert (syn.action, syn.match.handshake) == (
        ClampTo(value_bytes=1400, kind=syn.action.kind),
        frozenset({"syn"}),
    )
    assert syn.match.in_interfaces == NameSet(names=("vlan20",))
    assert answer_.match.in_interfaces == NameSet(names=("wan1",))
    assert answer_.match.handshake == frozenset({"syn-ack"})
    assert not syn.match.opaque
    assert (accept_syn.action, accept_answer.action) == ("accept", "accept")


def test_a_policy_that_sets_one_value_is_certain_for_neither_packet():
    one = POLICIES.replace("    next", "        set tcp-mss-sender 1400\n    next")

    found = [r for r in rules(clamps(policies=one), "policies") if isinstance(r.action, ClampTo)]
    assert len(found) == 2
    assert all(rule.match.opaque for rule in found)


def test_named_addresses_zones_and_unknown_interfaces_are_conditions():
    text = POLICIES.replace('srcaddr "all"', 'srcaddr "aps"').replace('"wan1"', '"outside"')
    text = text.replace("    next", "        set tcp-mss-sender 1400\n    next")
    zones = answer(
        'config system zone\n    edit "outside"\n        set interface "wan1" "x"\n    next\nend\n'
    )

    in_zone = rules(clamps(policies=text, zones=zones), "policies")[0]
    without = rules(clamps(policies=text), "policies")[0]

    assert "srcaddr aps" in in_zone.match.opaque
    assert without.match.out_interfaces is None
    assert "dstintf outside" in without.match.opaque
    # "x" is in the zone and in no section: it may be anything.
    assert "dstintf x" in in_zone.match.opaque


def test_before_6_4_the_policies_for_ipv6_are_not_read_and_that_is_said():
    (rule,) = rules(clamps("6.2.6"), "policies")

    assert rule.match.families == frozenset({"ipv6"})
    assert rule.match.opaque


def test_links_have_the_kernels_mtu_and_whether_they_run():
    text = """\
if=wan1 family=00 type=1 index=3 mtu=1492 link=0 master=0
ref=54 state=start present fw_flags=0 flags=up broadcast run multicast
Qdisc=mq hw_addr=00:09:0f:00:00:01 broadcast_addr=ff:ff:ff:ff:ff:ff
stat: rxp=1 txp=1 rxb=1 txb=1 rxe=0 txe=0 rxd=0 txd=0 mc=0 collision=0 @ time=1
re: rxl=0 rxo=0 rxc=0 rxf=0 rxfi=0 rxm=0
te: txa=0 txc=0 txfi=0 txh=0 txw=0
misc rxc=0 txc=0
input_type=0 state=3 arp_entry=0 refcnt=54

if=to hub family=00 type=768 index=21 mtu=1420 link=0 master=0
ref=25 state=start present fw_flags=10000000 flags=p2p noarp multicast
something else
"""

    read = fortinet.read_links(text)

    assert read.rows[0] == {
        "NAME": "wan1",
        "MTU": "1492",
        "KIND": "ethernet",
        "STATE": "UP",
        "MAC": "00:09:0f:00:00:01",
    }
    assert read.rows[1] == {"NAME": "to hub", "MTU": "1420", "KIND": "tunnel", "STATE": "DOWN"}
    assert read.lines == (1, 10)
    assert read.unplaced == ((12, "something else"),)


def test_configured_links_have_an_mtu_only_where_it_is_set():
    read = fortinet.read_configured_links(INTERFACES)

    assert [(row["NAME"], row.get("MTU")) for row in read.rows] == [
        ("wan1", "1492"),
        ("vlan20", None),
    ]
    assert read.rows[1]["PARENT"] == "internal"


def test_option_26_is_read_from_hex_with_its_interface():
    text = (
        'config system dhcp server\n    edit 1\n        set interface "vlan20"\n'
        "        config options\n            edit 1\n                set code 26\n"
        '                set value "05D4"\n            next\n        end\n    next\nend\n'
    )

    assert fortinet.read_dhcp(text).rows == ({"MTU": "1492", "SCOPE": "vlan20"},)


# -- real output ---------------------------------------------------------------------------------


@pytest.fixture
def samples(shared):
    return shared / "samples" / "gateways" / "fortios"


def test_real_status_output_gives_model_version_and_serial(samples):
    parser = load_parser(packaged_content(), "fortinet", "status")

    found = {}
    for path in sorted(samples.glob("get_system_status__*")):
        (row,), unplaced = (r := parser.rows(path.read_text())).rows, r.unplaced
        assert unplaced == ()
        found[path.name] = (row["MODEL"], row["OS_VERSION"], row["HOSTNAME"])
    assert found["get_system_status__2.txt"] == ("FortiGate-600E", "6.2.6", "fgt-600e")
    assert found["get_system_status__5.txt"] == ("FortiGate-40F", "7.0.15", "FGT-fw-a")
    assert found["get_system_status__6.txt"] == ("FortiGate-VM64-KVM", "7.0.3", "fortigate01")


def test_real_interface_output_gives_its_addresses_and_leaves_no_line(samples):
    found = {}
    for path in sorted(samples.glob("get_system_interface__*")):
        read = fortinet.read_addresses(path.read_text())
        assert read.unplaced == ()
        found[path.name] = {r["INTERFACE"]: (r["ADDRESS"], r["PREFIX_LEN"]) for r in read.rows}
    assert found["get_system_interface__1.txt"]["wan"] == ("10.180.1.229", "30")
    assert found["get_system_interface__1.txt"]["lan"] == ("10.152.1.230", "30")
    # A line with a management address besides: the other one counts.
    assert found["get_system_interface__6.txt"]["lan1.30"] == ("10.0.0.0", "26")
    assert found["get_system_interface__6.txt"]["wan.100"] == ("10.0.0.0", "30")


def test_real_configurations_give_their_sections_and_values(samples):
    tree = read_tree((samples / "show_full-configuration.iface__1.txt").read_text())
    interfaces = tree.section("system interface")

    assert (tree.unplaced, tree.is_whole) == ([], True)
    by_name = {block.name: block for block in interfaces.blocks}
    assert by_name["port2"].word("mtu") == "1234"
    assert by_name["longest if name"].words("ip") == ("169.254.1.1/24",)
    assert by_name["port1"].word("description") == "quoted description w/ spaces and more"
    assert [inner.name for inner in by_name["port1"].blocks] == ["secondaryip"]


def test_no_real_configuration_has_a_line_that_is_ignored(samples):
    strange = {}
    for path in sorted(samples.glob("show_full-configuration*")):
        tree = read_tree(path.read_text())
        strange[path.name] = {text.split(" ")[0] for _, text in tree.unplaced}
    # "append" is typed and never shown; REDACTED is what somebody put in place of a key.
    assert set().union(*strange.values()) <= {"append", "REDACTED"}
