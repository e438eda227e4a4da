"""Configurations as flat lines: the form with braces."""

from __future__ import annotations

from mtughost.model.config import Setting
from mtughost.remedy.forms import form_named

BRACES = """\
firewall {
    options {
        mss-clamp {
            interface-type all
            mss 1412
        }
    }
}
interfaces {
    ethernet eth1 {
        description "the  floor"
        vif 20 {
            address 10.20.1.1/24
        }
    }
    loopback lo {
    }
}

/* Warning: Do not remove the following line. */
/* === vyatta-config-version: "system@5" === */
"""


def test_a_configuration_in_braces_is_one_path_per_value_and_per_empty_node():
    assert form_named("braces").flat(BRACES) == (
        "firewall options mss-clamp interface-type all",
        "firewall options mss-clamp mss 1412",
        'interfaces ethernet eth1 description "the floor"',
        "interfaces ethernet eth1 vif 20 address 10.20.1.1/24",
        "interfaces loopback lo",
    )


def test_a_setting_in_braces_is_changed_in_place_of_the_old_value():
    form = form_named("braces")
    setting = Setting(section="firewall options mss-clamp", key="mss", before="1412", after="1452")

    edited = form.edited(BRACES, setting)

    assert form.value(form.flat(BRACES), setting.section, "mss") == "1412"
    assert "set firewall options mss-clamp mss 1452\n" in edited
    assert "1412" not in edited


def test_uci_settings_are_known_by_section_and_option():
    form = form_named("uci")
    text = "firewall.@zone[1]=zone\nfirewall.@zone[1].name='wan'\nfirewall.@zone[10].name='x'\n"
    setting = Setting(section="firewall.@zone[1]", key="mtu_fix", before=None, after="'1'")

    assert form.value(form.flat(text), "firewall.@zone[1]", "name") == "'wan'"
    assert form.line(setting, "'1'") == "firewall.@zone[1].mtu_fix='1'"
    assert [x for x in form.flat(text) if form.below(x, setting.section)] == [
        "firewall.@zone[1]=zone",
        "firewall.@zone[1].name='wan'",
    ]
    assert form.edited(text, setting).endswith("firewall.@zone[1].mtu_fix='1'\n")
