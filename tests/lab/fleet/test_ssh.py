"""A mixed fleet over SSH: every answer belongs to its question, whatever the devices' manners."""

from __future__ import annotations

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from mtughost.app.sessions import profile_of
from mtughost.collect.visit import read_device
from mtughost.content.load import load_book
from mtughost.lab.fleet import FleetSpec, Manners
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.basis import Known, Unknown
from mtughost.model.errors import DeviceError
from mtughost.wire.clock import SystemClock
from tests.lab.fleet.conftest import ROOT, answers_of, running_fleet

#: Lines that differ from one minute to the next.
CLOCKS = re.compile(r"(?i)uptime|\bup \d+ (days|hours|mins)")
NOISY = Manners(noise=0.01, idle_noise_s=4.0, chunk_bytes=700, chunk_delay_s=0.005, think_s=0.02)


def visit(running, site, role="gateway", level="full"):
    device = running.device(site, role, level)
    book = load_book(ROOT, device.platform)
    session = running.connector.open(device, profile_of(book))
    with contextlib.closing(session):
        return read_device(session, book, ROOT, device, clock=SystemClock())


def misattributed(site, answers, level="full"):
    """Return accepted answers that are not what the device prints to that very line.

    A log line may stand in between, with the prompt or the pager's stop drawn again behind it:
    what was asked for must be there in order and whole, and nothing of another answer.
    """
    host = site.gateway.identity.hostname
    drawn = (host, f"{level}@{host}", f"[{level}@{host}", "--More--")
    truth = {a.command_id: a for a in answers_of(site.gateway, level)}
    wrong = []
    for answer in answers:
        if answer.status not in {"complete", "rejected"}:
            continue
        told, meant = (
            [
                x.rstrip()
                for x in text.split("\n")
                if x.strip() and not x.startswith(drawn) and not CLOCKS.search(x)
            ]
            for text in (answer.text, truth[answer.command_id].text)
        )
        if [line for line in told if "event" not in line] != meant:
            wrong.append((site.label, answer.line, told, meant))
    return wrong


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    spec = FleetSpec(sites=2 * len(VENDORS), seed=7)
    with running_fleet(spec, tmp_path_factory.mktemp("calm")) as running:
        yield running


@pytest.fixture(scope="module")
def visits(calm):
    """Return every store with what one visit found, and its state before and after."""

    def one(site):
        before = calm.fleet.ask(site.gateway.state)
        found = visit(calm, site)
        return site, found, before, calm.fleet.ask(site.gateway.state)

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, calm.sites))


def test_what_is_read_over_ssh_is_what_the_devices_say_and_pagers_leave_no_trace(visits):
    for site, found, _, _ in visits:
        truth = {a.command_id: (a.status, a.text) for a in answers_of(site.gateway)}
        for answer in found.answers:
            assert (answer.status, answer.text) == truth[answer.command_id], answer.line
        assert isinstance(found.facts.clamps, Known), found.facts.clamps


def test_the_access_points_say_what_the_gateways_clamps_make_of_them(calm):
    for site in calm.sites:
        found = visit(calm, site, "ap")

        (state,) = found.facts.cloud.value
        assert found.unplaced == ()
        assert state.connected == calm.fleet.ask(site.works)
        assert (state.last_failure == "handshake-stall") != state.connected


def test_an_audit_leaves_every_device_as_it_was(visits):
    for site, _, before, after in visits:
        assert after == before, site.gateway.platform


def test_a_partial_account_gets_unknown_and_never_no_clamp(calm):
    sites = calm.sites[: len(VENDORS)]
    with ThreadPoolExecutor(8) as pool:
        visits = list(pool.map(lambda site: (site, visit(calm, site, level="partial")), sites))

    assert {site.gateway.platform for site, _ in visits} == set(VENDORS)
    for site, found in visits:
        assert isinstance(found.facts.clamps, Unknown), (site.gateway.platform, found.facts.clamps)


def try_visit(running, site):
    """Visit; a log line in the middle of the login is an error with a type, and no answers."""
    try:
        return visit(running, site).answers
    except DeviceError:
        return ()


def mixed(sites, directory):
    spec = FleetSpec(sites=sites, seed=11, with_aps=False, manners=NOISY)
    with running_fleet(spec, directory) as running, ThreadPoolExecutor(16) as pool:
        visits = list(pool.map(lambda site: (site, try_visit(running, site)), running.sites))
        wrong = [bad for site, found in visits for bad in misattributed(site, found)]
    answers = [answer for _, found in visits for answer in found]
    whole = [answer for answer in answers if answer.status in {"complete", "rejected"}]
    assert sum(not found for _, found in visits) < 0.1 * sites
    return wrong, len(whole), len(answers)


def test_sixty_noisy_slow_devices_with_pagers_give_no_answer_to_another_question(tmp_path):
    wrong, accepted, asked = mixed(60, tmp_path)

    assert wrong == []
    # It does not get there by refusing everything.
    assert accepted > 0.9 * asked


@pytest.mark.nightly(basis="emulation")
@pytest.mark.timeout(900)
def test_five_hundred_noisy_slow_devices_give_no_answer_to_another_question(
    tmp_path, record_property
):
    wrong, accepted, asked = mixed(500, tmp_path)
    record_property("basis", "emulation")
    record_property("answers", f"{asked} asked, {accepted} accepted, {len(wrong)} mis-attributed")

    assert wrong == []
    assert accepted > 0.9 * asked
