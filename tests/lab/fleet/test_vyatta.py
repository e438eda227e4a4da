"""Virtual VyOS and EdgeOS: candidate, commit, confirm or reboot, save, and what sudo hides."""

from __future__ import annotations

import pytest

from mtughost.lab.fleet import FleetSpec, Handshake
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.basis import Unknown
from tests.lab.fleet.conftest import account, gateway_facts, typed

PLATFORMS = ("vyos", "ubiquiti_edgerouter")
MTU = "set interfaces ethernet eth0 mtu 1400"
SHOWN = "set interfaces ethernet eth0 mtu 1400"


@pytest.fixture(params=PLATFORMS)
def router(request, make):
    (site,) = make(FleetSpec(sites=1, vendors=(request.param,), with_aps=False))
    return site.gateway


def shown(router):
    # VyOS puts values in quotes, EdgeOS does not.
    return typed(router, "show configuration commands").replace("'", "").split("\n")


def test_nothing_runs_before_a_commit_and_nothing_lasts_before_a_save(router):
    typed(router, "configure", MTU)
    assert SHOWN not in shown(router)

    typed(router, "configure", MTU, "commit")
    assert SHOWN in shown(router)
    router.reboot()
    assert SHOWN not in shown(router)

    typed(router, "configure", MTU, "commit", "save")
    router.reboot()
    assert SHOWN in shown(router)


def test_compare_shows_the_candidate_of_this_login(router):
    cli = router.command_line(account("full"))
    cli.run("configure")
    cli.run(MTU)

    said = cli.run("compare")

    assert "- interfaces ethernet eth0 mtu 1492\n+ interfaces ethernet eth0 mtu 1400\n" in said
    assert "No changes" in typed(router, "configure", "compare")


def test_leaving_with_changes_is_refused_until_they_are_discarded(router):
    cli = router.command_line(account("full"))
    for line in ("configure", MTU):
        cli.run(line)

    assert "Cannot exit: configuration modified." in cli.run("exit")
    assert cli.prompt.endswith("# ")
    cli.run("exit discard")
    assert cli.prompt.endswith("$ ")


@pytest.mark.parametrize("answer", ["", "y"])
def test_an_unconfirmed_commit_reboots_into_what_was_saved(router, clock, answer):
    before = router.state()
    said = typed(router, "configure", MTU, "commit-confirm 5")
    assert "5 minutes" in said
    assert not router.is_pending

    typed(router, "configure", MTU, "commit-confirm 5", answer)
    assert SHOWN in shown(router)
    clock.advance(299)
    assert (router.is_pending, router.reboots) == (True, 0)
    clock.advance(1)

    assert router.state() == before
    assert router.reboots == 1


def test_a_confirmed_commit_stays_and_is_not_saved(router, clock):
    typed(router, "configure", MTU, "commit-confirm 5", "y", "confirm")
    clock.advance(1000)

    assert SHOWN in shown(router)
    assert router.reboots == 0
    assert "No confirm pending" in typed(router, "configure", "confirm")
    router.reboot()
    assert SHOWN not in shown(router)


def test_a_commit_that_was_not_agreed_to_does_not_happen(router):
    before = router.state()

    typed(router, "configure", MTU, "commit-confirm 5", "n")

    assert (router.state(), router.is_pending) == (before, False)


@pytest.mark.parametrize(
    "line", ["set interfaces ethernet eth0 mtu 12", "set carpets fly high", "fly"]
)
def test_what_cannot_be_is_refused(router, line):
    before = router.state()

    said = typed(router, "configure", line)

    assert any(word in said for word in ("Set failed", "Invalid command"))
    assert router.state() == before


def test_without_sudo_there_is_no_packet_filter_and_no_configuration_mode(router):
    assert "Invalid command: [sudo]" in typed(router, "sudo -n id", level="partial")
    assert "Invalid command: [configure]" in typed(router, "configure", level="partial")
    assert "uid=0(root)" in typed(router, "sudo -n id", level="read")
    assert "Invalid command: [configure]" in typed(router, "configure", level="read")


def test_the_saved_file_shows_no_line_that_may_hold_a_secret(router):
    typed(
        router, "configure", "set system login user x plaintext-password hunter2", "commit", "save"
    )
    line = next(view for view in router.views() if view.startswith("grep"))

    said = typed(router, line)

    assert "hunter2" not in said
    assert "mtu 1492" in said


# -- VyOS ------------------------------------------------------------------------------------------


def vyos(make, clock, version):
    (site,) = make(FleetSpec(sites=1, vendors=("vyos",), with_aps=False))
    who = site.gateway.identity
    identity = type(who)(name="r", hostname="r", version=version, model="m", serial="s")
    return VENDORS["vyos"].device(identity, clock=clock)


@pytest.mark.parametrize(
    ("version", "place", "elsewhere"),
    [
        (
            "1.3.8",
            "firewall options interface eth0 adjust-mss 1400",
            "interfaces ethernet eth0 ip adjust-mss 1400",
        ),
        (
            "1.4.2",
            "interfaces ethernet eth0 ip adjust-mss 1400",
            "firewall options interface eth0 adjust-mss 1400",
        ),
    ],
)
def test_each_version_has_the_clamp_in_its_place_and_for_what_leaves(
    make, clock, version, place, elsewhere
):
    router = vyos(make, clock, version)
    for name in ("eth0", "eth1"):
        typed(router, "configure", f"set interfaces ethernet {name} mtu 1500", "commit")

    assert "Set failed" in typed(router, "configure", f"set {elsewhere}")
    typed(router, "configure", f"set {place}", "commit")

    def leaves(enters, out, family="ipv4"):
        packet = Handshake(is_syn=True, enters=enters, leaves=out, family=family, mss=1460)
        return router.forward(packet)

    assert leaves("eth1", "eth0") == 1400
    assert leaves("eth0", "eth1") == 1460
    assert leaves("eth1", "eth0", "ipv6") == 1460


def test_newer_ones_bracket_what_is_pasted(make, clock):
    def greeting(version):
        return vyos(make, clock, version).command_line(account("full")).terminal().greet()

    assert "\x1b[?2004h" in greeting("1.4.2")
    assert "\x1b" not in greeting("1.3.8")


def test_a_node_stays_when_the_last_thing_in_it_goes(make, clock):
    router = vyos(make, clock, "1.4.2")
    typed(router, "configure", "set interfaces ethernet eth0 ip adjust-mss 1400", "commit")

    typed(router, "configure", "delete interfaces ethernet eth0 ip adjust-mss", "commit")

    assert "set interfaces ethernet eth0 ip" in shown(router)


# -- EdgeOS ----------------------------------------------------------------------------------------


@pytest.fixture
def edge(make, clock):
    def router(version):
        (site,) = make(FleetSpec(sites=1, vendors=("ubiquiti_edgerouter",), with_aps=False))
        identity = type(site.gateway.identity)(
            name="r", hostname="r", version=version, model="m", serial="s"
        )
        made = VENDORS["ubiquiti_edgerouter"].device(identity, clock=clock)
        for line in ("ethernet eth0 mtu 1492", "ethernet eth1 mtu 1500"):
            typed(made, "configure", f"set interfaces {line}", "commit")
        return made

    return router


def clamped(router, kind, enters, out):
    lines = (f"interface-type {kind}", "mss 1400")
    typed(router, "configure", *(f"set firewall options mss-clamp {x}" for x in lines), "commit")
    packet = Handshake(is_syn=True, enters=enters, leaves=out, family="ipv4", mss=1460)
    return router.forward(packet)


def test_mss_clamp_is_by_type_of_interface(edge):
    assert clamped(edge("v2.0.9"), "all", "eth1", "eth0") == 1400
    assert clamped(edge("v2.0.9"), "pppoe", "eth1", "eth0") == 1460
    assert "Set failed" in typed(
        edge("v2.0.9"), "configure", "set firewall options mss-clamp interface-type wg"
    )


def test_a_type_covers_what_leaves_and_on_newer_firmware_also_what_enters(edge):
    def pppoe(version, enters, out):
        router = edge(version)
        typed(router, "configure", "set interfaces pppoe pppoe0 mtu 1492", "commit")
        return clamped(router, "pppoe", enters, out)

    assert pppoe("v1.10.11", "eth1", "pppoe0") == pppoe("v2.0.9", "eth1", "pppoe0") == 1400
    assert pppoe("v1.10.11", "pppoe0", "eth1") == 1460
    assert pppoe("v2.0.9", "pppoe0", "eth1") == 1400


def test_an_operator_sees_addresses_and_routes_and_no_packet_filter(make):
    (site,) = make(FleetSpec(sites=1, vendors=("ubiquiti_edgerouter",), with_aps=False))

    facts, unplaced = gateway_facts(site, level="partial")

    assert [x for x in unplaced if x.strict] == []
    assert isinstance(facts.clamps, Unknown)
    have = {(a.interface, f"{a.address}/{a.prefix_len}") for a in facts.addresses.value}
    assert ("eth1.20", site.plan.ap_address) in have
    (default,) = [r for r in facts.routes.value if r.destination == "0.0.0.0/0"]
    assert (default.interface, default.via) == ("eth0", site.plan.wan_next_hop)
    assert {link.mtu_bytes for link in facts.interfaces.value} == {None}
