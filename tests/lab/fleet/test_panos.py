"""The virtual PAN-OS firewall: candidate and commit, adjusting interfaces, what it hides."""

from __future__ import annotations

import pytest

from mtughost.lab.fleet import FleetSpec, Handshake
from tests.lab.fleet.conftest import typed

PLACE = "network interface ethernet ethernet1/2 layer3 units ethernet1/2.20"


@pytest.fixture
def firewall(make):
    (site,) = make(FleetSpec(sites=1, vendors=("paloalto_panos",), with_aps=False))
    adjusting = [x for x in site.gateway.running if "adjust-tcp-mss" in x]
    typed(site.gateway, "configure", *(f"delete {line}" for line in adjusting), "commit")
    return site.gateway


def syn(family="ipv4", enters="ethernet1/2.20"):
    return Handshake(is_syn=True, enters=enters, leaves="ethernet1/1", family=family, mss=1460)


def test_nothing_works_before_a_commit(firewall):
    line = f"set {PLACE} adjust-tcp-mss enable yes"
    typed(firewall, "configure", line, f"set {PLACE} mtu 1400")
    assert firewall.forward(syn()) == 1460
    assert typed(firewall, "configure", "show config diff").count("+ ") == 2

    typed(firewall, "configure", "commit")
    assert firewall.forward(syn()) == 1360
    assert firewall.forward(syn("ipv6")) == 1460


def test_which_interface_adjusts_is_a_property_of_the_device(firewall):
    typed(firewall, "configure", f"set {PLACE} adjust-tcp-mss enable yes", "commit")
    typed(firewall, "configure", f"set {PLACE} mtu 1300", "commit")

    found = {}
    for firewall.adjusts_by in ("in", "out", "both"):
        found[firewall.adjusts_by] = firewall.forward(syn())
    assert found == {"in": 1260, "out": 1460, "both": 1260}


def test_a_tunnel_adjusts_without_being_told(firewall):
    typed(
        firewall,
        "configure",
        "set network interface tunnel units tunnel.1 mtu 1400",
        "set network tunnel ipsec hub tunnel-interface tunnel.1",
        "commit",
    )

    assert firewall.forward(syn(enters="tunnel.1")) < 1360


def test_the_configuration_is_printed_in_braces_and_a_partial_account_gets_a_part(firewall):
    whole = typed(firewall, "show config running")

    assert whole.count("{") == whole.count("}")
    assert "ethernet1/2.20 {" in whole
    part = typed(firewall, "show config running", level="partial")
    assert "ethernet1/2.20" not in part
    assert "mgt-config" not in part
    assert "Unknown command" in typed(firewall, "configure", level="read")


@pytest.mark.parametrize("line", [f"set {PLACE} mtu 12", "set carpets fly high", "fly"])
def test_what_cannot_be_is_refused(firewall, line):
    before = firewall.state()

    assert typed(firewall, "configure", line)
    assert firewall.state() == before


def test_a_reboot_keeps_what_was_committed(firewall):
    typed(firewall, "configure", f"set {PLACE} mtu 1400", "commit")
    before = firewall.state()
    firewall.reboot()

    assert firewall.state() == before
