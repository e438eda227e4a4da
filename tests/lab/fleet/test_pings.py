"""Sized pings with DF through vendors' command lines: what "size" counts, nothing left behind."""

from __future__ import annotations

import re

import pytest

from mtughost.collect.ping import ping, ping_ceiling
from mtughost.content.load import load_book
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.session import Answer
from tests.lab.fleet.conftest import ROOT, account, inventory_device

PLATFORMS = ("fortinet", "cisco_xe", "juniper_junos", "mikrotik_routeros")
TARGET = "203.0.113.10"


class Typed:
    """A login that types, one line at a time."""

    small_mss_login = False

    def __init__(self, device, level="full") -> None:
        self.device, self.cli = device, device.command_line(account(level))
        self.refusals = [re.compile(p) for p in load_book(ROOT, device.platform).error_patterns]

    def ask(self, commands):
        return tuple(self._one(command) for command in commands)

    def _one(self, command):
        text = self.cli.type(command.line)
        bad = any(p.search(row) for p in self.refusals for row in text.split("\n"))
        return Answer(
            command_id=command.command_id,
            line=command.line,
            text=text,
            status="rejected" if bad else "complete",
        )


@pytest.fixture
def pinging(site):
    def make(platform, path_mtu_bytes, version=""):
        made = site(platform, version or VENDORS[platform].versions[-1], "none")
        made.gateway.path_mtu_bytes = path_mtu_bytes
        return made, Typed(made.gateway), load_book(ROOT, platform), inventory_device(made)

    return make


@pytest.mark.parametrize("path_mtu_bytes", [1492, 1400, 1280])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_largest_answered_ping_is_the_path_mtu_to_eight_bytes(
    pinging, platform, path_mtu_bytes
):
    _, session, book, device = pinging(platform, path_mtu_bytes)

    found = ping_ceiling(session, book, device, target=TARGET, largest_bytes=1500, df=True)

    answered = max(seen.packet_bytes for seen in found if seen.answered)
    lost = min(seen.packet_bytes for seen in found if not seen.answered)
    assert answered <= path_mtu_bytes < lost <= answered + 8
    assert {seen.df for seen in found} == {True}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_ping_changes_nothing_and_takes_its_options_back(pinging, platform):
    made, session, book, device = pinging(platform, 1492)
    before = made.gateway.state()

    sizes = (576, 1492, 1493)
    seen = [
        ping(session, book, device, target=TARGET, packet_bytes=size, df=True) for size in sizes
    ]

    assert [one.answered for one in seen] == [True, True, False]
    assert made.gateway.state() == before
    assert not getattr(session.cli, "ping_options", None)


def test_options_are_taken_back_also_where_one_of_them_was_refused(pinging):
    _, session, book, device = pinging("fortinet", 1492)
    one = session._one
    session._one = lambda c: (
        Answer(command_id=c.command_id, line=c.line, text="", status="rejected")
        if c.command_id == "ping-count"
        else one(c)
    )

    assert ping(session, book, device, target=TARGET, packet_bytes=576, df=True) is None
    assert session.cli.ping_options == {}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_ipv6_address_is_not_asked_where_the_command_is_not_documented_for_it(pinging, platform):
    made, session, book, device = pinging(platform, 1492)

    assert ping(session, book, device, target="2001:db8::1", packet_bytes=576, df=True) is None
    assert made.gateway.heard == []
