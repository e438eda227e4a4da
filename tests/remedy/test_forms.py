"""Configurations as flat lines, read by hand here, and settings changed in them."""

from __future__ import annotations

import pytest

from mtughost.model.config import Setting
from mtughost.model.errors import PlanRefusedError
from mtughost.remedy.forms import FORMS, form_named, with_settings

IOS = """Building configuration...

Current configuration : 1366 bytes
!
version 17.9
hostname gw1
!
interface GigabitEthernet0/0/1
 no ip address
!
interface GigabitEthernet0/0/1.20
 encapsulation dot1Q 20
 ip tcp adjust-mss 1400
!
router bgp 65000
 address-family ipv4
  network 10.0.0.0
 exit-address-family
!
end

"""
FORTIOS = """#config-version=FGVM64-5.02-FW-build736-160907:opmode=0:vdom=0:user=admin
config system interface
    edit "vlan20"
        set vdom "root"
        set ip 10.20.0.1 255.255.255.0
        config ipv6
            set ip6-address 2001:db8::1/64
        end
        set alias "the APs"
    next
end
config vpn certificate local
    edit "own"
        set certificate "-----BEGIN CERTIFICATE-----
config system interface
-----END CERTIFICATE-----"
    next
end
config firewall policy
    edit 1
        set tcp-mss-sender 1400
    next
end
"""
JUNOS = """## Last commit: 2026-11-21 10:00:00 UTC by root
set version 21.4R3-S5.4
set interfaces irb unit 20 family inet mtu 1500
set security flow tcp-mss all-tcp mss 1400
deactivate security flow tcp-mss ipsec-vpn
"""
EDGEOS = """/* saved by hand */
firewall {
    options {
        mss-clamp {
            interface-type all
            mss 1452
        }
        mss-clamp6 {
        }
    }
}
interfaces {
    ethernet eth0 {
        // the way out
        mtu 1492
    }
}
"""
UCI = """network.lan=interface
network.lan.mtu='1500'

firewall.@zone[1].mtu_fix='1'
"""
EXPORT = """# 2026-11-21 10:00:00 by RouterOS 7.16
/interface vlan add interface=ether2 name=vlan20 vlan-id=20
/ip firewall mangle add action=change-mss chain=forward new-mss=1400
"""


def setting(section, key, before, after):
    return Setting(section=section, key=key, before=before, after=after)


def test_blanks_in_front_are_what_a_line_of_ios_belongs_to():
    flat = FORMS["indented"].flat(IOS)

    assert "interface GigabitEthernet0/0/1.20 > ip tcp adjust-mss 1400" in flat
    assert "interface GigabitEthernet0/0/1 > no ip address" in flat
    assert "router bgp 65000 > address-family ipv4 > network 10.0.0.0" in flat
    assert "interface GigabitEthernet0/0/1.20" in flat
    assert not any(line.endswith("!") or line == "end" for line in flat)


def test_a_quoted_value_of_fortios_may_run_over_lines_that_look_like_others():
    flat = FORMS["config-edit"].flat(FORTIOS)

    assert 'system interface > vlan20 > alias "the APs"' in flat
    assert "system interface > vlan20 > ipv6 > ip6-address 2001:db8::1/64" in flat
    assert "firewall policy > 1 > tcp-mss-sender 1400" in flat
    assert sum(line == "system interface" for line in flat) == 1


def test_set_lines_of_junos_stand_for_themselves():
    assert FORMS["set-lines"].flat(JUNOS) == (
        "version 21.4R3-S5.4",
        "interfaces irb unit 20 family inet mtu 1500",
        "security flow tcp-mss all-tcp mss 1400",
        "deactivate security flow tcp-mss ipsec-vpn",
    )


def test_a_node_of_edgeos_that_holds_nothing_is_what_is_set():
    assert FORMS["braces"].flat(EDGEOS) == (
        "firewall options mss-clamp interface-type all",
        "firewall options mss-clamp mss 1452",
        "firewall options mss-clamp6",
        "interfaces ethernet eth0 mtu 1492",
    )


def test_options_of_uci_and_items_of_an_export_stand_for_themselves():
    assert FORMS["uci"].flat(UCI) == (
        "network.lan=interface",
        "network.lan.mtu='1500'",
        "firewall.@zone[1].mtu_fix='1'",
    )
    assert FORMS["export-lines"].flat(EXPORT) == tuple(EXPORT.splitlines()[1:])


@pytest.mark.parametrize(
    ("name", "line", "section", "belongs"),
    [
        ("indented", "interface Vlan20 > ip mtu 1400", "interface Vlan20", True),
        ("indented", "interface Vlan20", "interface Vlan20", True),
        ("indented", "interface Vlan200 > ip mtu 1400", "interface Vlan20", False),
        ("set-lines", "interfaces irb unit 20 mtu 1", "interfaces irb unit 2", False),
        ("uci", "network.lan.mtu='1500'", "network.lan", True),
        ("uci", "network.lan=interface", "network.lan", True),
        ("uci", "network.lan6.mtu='1500'", "network.lan", False),
    ],
)
def test_a_line_belongs_to_a_section_by_whole_words(name, line, section, belongs):
    assert FORMS[name].below(line, section) is belongs


def test_the_last_of_two_lines_counts_as_it_does_on_the_device():
    lines = ("network.lan.mtu='1500'", "network.lan.mtu='1400'")

    assert FORMS["uci"].value(lines, "network.lan", "mtu") == "'1400'"
    assert FORMS["uci"].value(lines, "network.wan", "mtu") is None


def test_an_item_in_the_listing_of_its_menu_is_marked_as_planned():
    listing = "Flags: X - disabled\n 0    chain=forward\n 7  X chain=input\n"
    new = setting("/ip firewall mangle", "add chain=forward new-mss=1452", None, "")

    edited = FORMS["export-lines"].edited(listing, new)

    assert edited == listing + " 8 P chain=forward new-mss=1452\n"
    assert FORMS["export-lines"].edited("", new) == "\n 0 P chain=forward new-mss=1452\n"


@pytest.mark.parametrize("after", ["1400", None])
def test_a_changed_setting_of_edgeos_stands_as_a_set_line_at_the_end(after):
    """The last word counts, and the platform's reader reads both ways of writing."""
    new = setting("firewall options mss-clamp", "mss", "1452", after)

    edited = FORMS["braces"].edited(EDGEOS, new)

    added = f"set firewall options mss-clamp mss {after}\n" if after else ""
    assert edited == EDGEOS + added
    assert FORMS["braces"].edited(edited, new) == edited


@pytest.mark.parametrize(
    ("key", "after"), [("add chain=forward", None), ("set 0 new-mss=1400", "")]
)
def test_nothing_but_a_new_item_can_be_put_into_a_listing(key, after):
    listing = " 0    chain=forward\n"

    with pytest.raises(PlanRefusedError, match="there is no /ip firewall mangle"):
        FORMS["export-lines"].edited(listing, setting("/ip firewall mangle", key, None, after))


CHANGES = [
    ("indented", IOS, ("interface GigabitEthernet0/0/1.20", "ip tcp adjust-mss", "1400", "1452")),
    ("indented", IOS, ("interface GigabitEthernet0/0/1.20", "ip tcp adjust-mss", "1400", None)),
    ("indented", IOS, ("interface GigabitEthernet0/0/1", "ip mtu", None, "1492")),
    ("config-edit", FORTIOS, ("firewall policy > 1", "tcp-mss-sender", "1400", "1452")),
    ("config-edit", FORTIOS, ("firewall policy > 1", "tcp-mss-receiver", None, "1452")),
    ("config-edit", FORTIOS, ("system interface > vlan20", "alias", '"the APs"', None)),
    ("set-lines", JUNOS, ("security flow tcp-mss all-tcp", "mss", "1400", "1452")),
    ("set-lines", JUNOS, ("interfaces irb unit 20 family inet", "mtu", "1500", None)),
    ("uci", UCI, ("network.lan", "mtu", "'1500'", "'1492'")),
    ("uci", UCI, ("network.lan", "mtu", "'1500'", None)),
    ("uci", UCI, ("network.wan", "mtu", None, "'1492'")),
    ("export-lines", EXPORT, ("/ip firewall mangle", "add chain=forward new-mss=1452", None, "")),
    (
        "export-lines",
        EXPORT,
        ("/interface vlan", "add interface=ether2 name=vlan20 vlan-id=20", "", None),
    ),
]


@pytest.mark.parametrize(("name", "text", "change"), CHANGES)
def test_text_and_flat_lines_change_alike_and_come_back(name, text, change):
    form, wanted = FORMS[name], setting(*change)
    before = tuple(sorted(form.flat(text)))

    edited = form.edited(text, wanted)
    after = with_settings(form, before, [wanted])

    assert tuple(sorted(form.flat(edited))) == after
    assert form.value(after, wanted.section, wanted.key) == wanted.after
    assert len(set(before) ^ set(after)) == (wanted.before is not None) + (wanted.after is not None)
    assert with_settings(form, after, [wanted.reversed]) == before
    assert tuple(sorted(form.flat(form.edited(edited, wanted.reversed)))) == before


def test_a_setting_that_is_no_longer_what_it_was_is_refused():
    form = FORMS["indented"]
    lines = tuple(sorted(form.flat(IOS)))
    stale = setting("interface GigabitEthernet0/0/1.20", "ip tcp adjust-mss", None, "1452")

    with pytest.raises(PlanRefusedError, match="is 1400, not unset"):
        with_settings(form, lines, [stale])


def test_a_key_that_only_begins_alike_is_another_one():
    form = FORMS["indented"]
    text = "interface Vlan20\n ip mtu 1400\n ip mtu-discovery\n"

    assert "ip mtu-discovery" in form.edited(
        text, setting("interface Vlan20", "ip mtu", "1400", None)
    )


@pytest.mark.parametrize("name", ["indented", "config-edit"])
def test_a_section_that_is_gone_is_refused(name):
    text = {"indented": IOS, "config-edit": FORTIOS}[name]

    with pytest.raises(PlanRefusedError, match="there is no interface Vlan99"):
        FORMS[name].edited(text, setting("interface Vlan99", "ip mtu", None, "1492"))


def test_a_form_that_nobody_knows_is_refused():
    with pytest.raises(PlanRefusedError, match="form 'riddle'"):
        form_named("riddle")
