"""The privileged mode of Cisco's command lines: entered with its own password, or not at all."""

from __future__ import annotations

import pytest

from mtughost.collect.visit import read_device
from mtughost.content.load import load_book
from mtughost.lab.fleet import Account, Fleet, FleetSpec, make_sites
from mtughost.model.basis import Unknown
from mtughost.model.errors import AuthenticationRefusedError, CommandRejectedError
from mtughost.model.inventory import Credential
from mtughost.wire.clock import SystemClock
from tests.lab.fleet.conftest import ROOT, logged_in

PASSWORD, ENABLE = "not a real password", "not a real enable password"
PLATFORMS = ("cisco_xe", "cisco_asa")


@pytest.fixture(scope="module")
def stores():
    accounts = (
        Account(username="below", password=PASSWORD, enable=ENABLE),
        Account(username="above", password=PASSWORD),
    )
    with Fleet() as fleet:
        spec = FleetSpec(sites=2, vendors=PLATFORMS, with_aps=False)
        sites = make_sites(spec, clock=fleet.clock, accounts=accounts)
        fleet.start([site.gateway for site in sites])
        yield fleet, {site.gateway.platform: site for site in sites}


@pytest.fixture(params=PLATFORMS)
def site(stores, request):
    return stores[1][request.param]


@pytest.fixture
def opened(stores, site, tmp_path):
    def log_in(username="below", enable=ENABLE, **more):
        credential = Credential(
            realm="r", username=username, password_ref=PASSWORD, enable_ref=enable
        )
        return logged_in(stores[0], site, "gateway", credential, tmp_path / "known_hosts", **more)

    return log_in


def read(opened, **how):
    with opened(**how) as (device, session):
        book = load_book(ROOT, device.platform)
        return read_device(session, book, ROOT, device, clock=SystemClock())


def heard(stores, site):
    return stores[0].ask(lambda: [item.line for item in site.gateway.heard])


def test_a_login_that_begins_below_reads_what_one_above_reads(opened):
    below, above = read(opened), read(opened, username="above", enable="")

    assert below.facts.clamps.value == above.facts.clamps.value
    assert below.facts.interfaces.value == above.facts.interfaces.value


def test_without_the_password_nothing_is_asked_for_and_clamps_stay_unknown(stores, site, opened):
    before = len(heard(stores, site))
    found = read(opened, enable="")

    assert "enable" not in heard(stores, site)[before:]
    assert isinstance(found.facts.clamps, Unknown)


def test_a_login_that_is_above_already_types_no_password(stores, site, opened):
    before = len(heard(stores, site))
    read(opened, username="above")

    assert "enable" not in heard(stores, site)[before:]


def test_a_wrong_password_is_typed_once_and_refused_with_its_type(stores, site, opened):
    before = heard(stores, site).count("enable")
    with (
        pytest.raises(AuthenticationRefusedError, match="refused the password of its priv") as told,
        opened(enable="something else"),
    ):
        pass

    assert heard(stores, site).count("enable") == before + 1
    assert "will not be tried again" in told.value.todo
    assert "something else" not in str(told.value)


def test_the_password_shows_nowhere(stores, site, opened):
    found = read(opened)

    assert ENABLE not in "".join(heard(stores, site))
    assert ENABLE not in "".join(answer.text + answer.line for answer in found.answers)


@pytest.mark.parametrize("site", ["cisco_xe"], indirect=True)
def test_a_change_cannot_begin_below_and_is_told_what_to_give(opened):
    with opened(may_change=True) as (_, session):
        assert session.prompt.endswith("#")
    with (
        pytest.raises(CommandRejectedError, match="where nothing can be changed") as told,
        opened(enable="", may_change=True),
    ):
        pass

    assert "data.enable_ref" in told.value.todo
