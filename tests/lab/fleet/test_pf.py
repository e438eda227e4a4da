"""The virtual pfSense: an MTU for an MSS, the first scrub rule, a filter reload, a csh login."""

from __future__ import annotations

import contextlib

import pytest

from mtughost.app.sessions import profile_of
from mtughost.content.load import load_book
from mtughost.lab.fleet import FleetSpec, Handshake
from mtughost.model.session import RenderedCommand
from tests.lab.fleet.conftest import ROOT, coverage, running_fleet, typed

BY_HAND = "scrub on em1.20 inet all max-mss 1300 fragment reassemble"


@pytest.fixture
def site(make):
    (found,) = make(FleetSpec(sites=1, vendors=("pfsense",), with_aps=False))
    for part in ("ap", "pos", "wan"):
        typed(found.gateway, f"set {part}.mss 0")
    return found


def syn(family="ipv4", mss=1460):
    return Handshake(is_syn=True, enters="em1.20", leaves="em0", family=family, mss=mss)


def test_the_field_mss_of_the_web_interface_is_an_mtu(site):
    typed(site.gateway, "set wan.mss 1452")

    assert site.gateway.forward(syn()) == 1412
    assert site.gateway.forward(syn("ipv6")) == 1392
    assert site.gateway.forward(syn(mss=1200)) == 1200
    assert coverage(site)["down"].mss.configured == 1412


def test_the_first_rule_decides_and_a_reload_removes_what_was_loaded_by_hand(site):
    typed(site.gateway, "set ap.mss 1440", BY_HAND.replace(" max-mss 1300", ""))
    assert site.gateway.forward(syn()) == 1460
    assert coverage(site)["down"].mss.configured == 1460

    before = site.gateway.state()
    site.gateway.reboot()
    assert site.gateway.state() != before
    assert site.gateway.forward(syn()) == 1400


def test_mpd5_clamps_a_link_with_pppoe_by_itself(site):
    typed(site.gateway, "set wan.type pppoe")
    answer = Handshake(is_syn=False, enters="pppoe0", leaves="em1.20", family="ipv4", mss=1460)

    assert site.gateway.forward(answer) == 1452
    rows = coverage(site)
    assert rows["up"].mss.configured == rows["down"].mss.configured == 1452
    site.gateway.ppp_fix = False
    assert coverage(site)["up"].mss.configured == site.gateway.forward(answer) == 1460


def test_a_filter_that_is_off_is_seen(site):
    typed(site.gateway, "set ap.mss 1440")
    site.gateway.is_on = False

    assert coverage(site)["down"].mss.configured == site.gateway.forward(syn()) == 1460


def test_a_script_reaches_a_shell_of_posix_although_the_login_is_csh(tmp_path):
    book = load_book(ROOT, "pfsense")
    wanted = [
        RenderedCommand(command_id=n, line=line, risk="passive")
        for n, line in (("a", "echo 'it!'; false"), ("b", "id -u"))
    ]
    with running_fleet(FleetSpec(sites=1, vendors=("pfsense",), with_aps=False), tmp_path) as run:
        device = run.device(run.sites[0])
        found = {}
        for kind in ("sh-on-stdin", "login"):
            profile = profile_of(book.model_copy(update={"shell": kind}))
            with contextlib.closing(run.connector.open(device, profile)) as session:
                found[kind] = [(a.text, a.exit_code) for a in session.ask(wanted)]

    assert found["sh-on-stdin"] == [("it!\n", 1), ("0\n", 0)]
    assert all(code is None for _, code in found["login"])
