"""The double login of Ruckus: SSH lets everybody in, the terminal asks, and nothing leaks."""

from __future__ import annotations

import pytest

from mtughost.collect.visit import read_device
from mtughost.content.load import load_book
from mtughost.lab.fleet import Account, Fleet, FleetSpec, make_sites
from mtughost.lab.fleet.device import Terminal
from mtughost.model.errors import AuthenticationRefusedError
from mtughost.model.inventory import Credential
from mtughost.wire.clock import SystemClock
from tests.lab.fleet.conftest import ROOT, logged_in

PASSWORD = "a pass word"
BOOK = load_book(ROOT, "ruckus_ap")


@pytest.fixture(scope="module")
def store():
    with Fleet() as fleet:
        accounts = (
            Account(username="apadmin", password=PASSWORD),
            Account(username="viewer", password=PASSWORD, level="partial"),
        )
        spec = FleetSpec(sites=1, vendors=("fortinet",), aps=("ruckus_ap",))
        (site,) = make_sites(spec, clock=fleet.clock, accounts=accounts)
        fleet.start([site.point])
        yield fleet, site


@pytest.fixture
def opened(store, tmp_path):
    fleet, site = store

    def log_in(username="apadmin", password=PASSWORD):
        credential = Credential(realm="r", username=username, password_ref=password)
        return logged_in(fleet, site, "ap", credential, tmp_path / "known_hosts")

    return log_in


def test_the_device_is_read_after_its_own_login(opened):
    with opened() as (device, session):
        found = read_device(session, BOOK, ROOT, device, clock=SystemClock())

    (state,) = found.facts.cloud.value
    assert (state.service, state.server, state.connected) == ("smartzone", "198.51.100.40", True)
    assert found.unplaced == ()


def test_the_password_is_typed_at_its_prompt_only_and_shows_nowhere(store, opened):
    fleet, site = store
    with opened() as (device, session):
        found = read_device(session, BOOK, ROOT, device, clock=SystemClock())

    heard = fleet.ask(lambda: [item.line for item in site.point.heard])
    assert PASSWORD not in "".join(heard)
    assert PASSWORD not in "".join(answer.text + answer.line for answer in found.answers)


@pytest.mark.parametrize(("username", "password"), [("apadmin", "wrong"), ("nobody", PASSWORD)])
def test_a_refusal_has_its_type_and_is_not_tried_again(opened, username, password):
    with (
        pytest.raises(AuthenticationRefusedError, match="on its own terminal") as caught,
        opened(username, password),
    ):
        pass

    assert password not in str(caught.value)


def test_without_a_password_nobody_types_anything(opened):
    with (
        pytest.raises(AuthenticationRefusedError, match="the inventory names none"),
        opened(password=""),
    ):
        pass


def test_an_account_that_sees_a_part_is_another_account(opened):
    with opened("viewer") as (device, session):
        found = read_device(session, BOOK, ROOT, device, clock=SystemClock())

    assert "gave no complete answer" in found.facts.cloud.reason


def test_the_terminal_shows_what_is_typed_but_for_the_password(store):
    _, site = store
    terminal = Terminal(site.point.login("whoever"))

    shown = terminal.greet() + terminal.feed("apadmin\r") + terminal.feed(f"{PASSWORD}\r")

    assert shown.startswith("Please login: apadmin\r\npassword : \r\nCopyright")
    assert shown.endswith("rkscli: ")
    assert PASSWORD not in shown
