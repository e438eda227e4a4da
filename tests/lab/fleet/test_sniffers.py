"""Captures over SSH on virtual devices that print real packets in their vendor's words.

The packets come from a file of real ones; the emulations print them after the vendors' documents
and share no code with the readers. So a packet that comes out as it went in was read rightly.
"""

from __future__ import annotations

import contextlib
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest

from mtughost.app.sessions import profile_of
from mtughost.collect.capture import capture
from mtughost.content.load import load_book
from mtughost.lab.fleet import FleetSpec, Manners
from mtughost.lab.fleet.tapping import Packet
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.model.errors import CommandRejectedError, DeviceError
from mtughost.model.inventory import Service
from mtughost.packets import summarise
from mtughost.wire.clock import SystemClock
from mtughost.wire.profile import WirePolicy
from tests.lab.fleet.conftest import ROOT, running_fleet

CAPTURE = Path(__file__).parents[2] / "fixtures" / "captures" / "site-a.pcap"
RADSEC = Service(name="radsec", host="203.0.113.10", port=2083)
PLATFORMS = ("fortinet", "cisco_xe", "cisco_asa", "vyos", "ubiquiti_edgerouter")
#: Output comes late and in pieces, and pages stop.
SLOW = Manners(page_rows=24, chunk_bytes=500, chunk_delay_s=0.001, think_s=0.02)


def frames(pcap):
    at = 24
    while at < len(pcap):
        seconds, micros, kept, wire = struct.unpack_from("<IIII", pcap, at)
        yield Packet(seconds, micros, wire, pcap[at + 16 : at + 16 + kept])
        at += 16 + kept


class Replay:
    """A capture on a device whose packets have all come."""

    def __init__(self, interface, expression, snap, count):
        self.asked = (interface, expression, snap, count)
        self.is_running = True
        self._found = [
            Packet(p.time_s, p.micros, p.wire_bytes, p.data[:snap])
            for p in frames(CAPTURE.read_bytes())
        ]
        self._found = self._found[:count] if count else self._found

    def packets(self):
        return self._found

    def stop(self):
        self.is_running = False


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    spec = FleetSpec(sites=len(PLATFORMS), vendors=PLATFORMS, with_aps=False, seed=5)
    with running_fleet(
        spec, tmp_path_factory.mktemp("sniff"), WirePolicy(prompt_timeout_s=5.0)
    ) as made:
        yield made


@pytest.fixture
def site_of(running):
    """Return a function: the store whose gateway is of a platform, with packets passing it."""

    def find(platform, manners=None):
        site = next(s for s in running.sites if s.gateway.platform == platform)
        taps = []

        def tap(*asked):
            taps.append(Replay(*asked))
            return taps[-1]

        def prepare():
            site.gateway.tap = tap
            site.gateway.manners = manners or Manners(page_rows=24)

        running.fleet.ask(prepare)
        return site, taps

    return find


def take(running, site, *, seconds=0.3, level="full", interface="wan"):
    device = running.device(site, level=level)
    book = load_book(ROOT, device.platform)
    name = VENDORS[device.platform].names.get(interface, interface)
    with contextlib.closing(running.connector.open(device, profile_of(book))) as session:
        return capture(
            session,
            book,
            device,
            point="gateway-wan",
            interface=name,
            services=(RADSEC,),
            seconds=seconds,
            clock=SystemClock(),
        )


def ip_of(pcap):
    skip = {1: 14, 101: 0}[struct.unpack_from("<I", pcap, 20)[0]]
    return [packet.data[skip:] for packet in frames(pcap)]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_packet_comes_out_as_it_passed_and_nothing_stays(running, site_of, platform):
    site, taps = site_of(platform)
    before = running.fleet.ask(site.gateway.state)

    raw = take(running, site)

    compare(raw, taps[-1].asked[2])
    assert raw.warnings == ()
    assert running.fleet.ask(site.gateway.state) == before
    assert not any(tap.is_running for tap in taps)
    assert not getattr(site.gateway, "captures", None) or not site.gateway.captures.points
    truth, found = look(CAPTURE.read_bytes()), look(raw.pcap)
    assert [(s.kind, s.mss_bytes, s.df) for s in found.syns] == [
        (s.kind, s.mss_bytes, s.df) for s in truth.syns
    ]
    for seen, real in zip(found.flows, truth.flows, strict=True):
        names = ("largest_acked_up_bytes", "smallest_lost_up_bytes", "retransmits_up", "df_up")
        assert [getattr(seen, n) for n in names] == [getattr(real, n) for n in names]
    assert [m.next_hop_mtu_bytes for m in found.too_big] == [
        m.next_hop_mtu_bytes for m in truth.too_big
    ]


def compare(raw, snap):
    """Hold packets against those of the file."""
    truth, got = [p.data[14:] for p in frames(CAPTURE.read_bytes())], ip_of(raw.pcap)
    assert len(got) == len(truth) > 10
    assert all(a == b[: snap - 14] for a, b in zip(got, truth, strict=True))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_pages_and_slow_output_change_no_packet(running, site_of, platform):
    site, taps = site_of(platform, SLOW)

    raw = take(running, site)

    compare(raw, taps[-1].asked[2])


def look(pcap):
    return summarise(
        pcap,
        host="gw",
        point="gateway-wan",
        interface="wan",
        basis="emulation",
        command="",
        seconds=1.0,
        services=(RADSEC,),
    )


@pytest.mark.parametrize("platform", ["fortinet", "cisco_xe"])
def test_two_points_of_one_gateway_are_watched_at_once(running, site_of, platform):
    site, taps = site_of(platform)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda i: take(running, site, interface=i), ("ap", "wan")))

    names = VENDORS[platform].names
    assert {tap.asked[0] for tap in taps} == {names["ap"], names["wan"]}
    assert ip_of(both[0].pcap) == ip_of(both[1].pcap) != []


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_account_that_may_not_capture_is_refused_with_the_devices_words(
    running, site_of, platform
):
    site, taps = site_of(platform)

    with pytest.raises(CommandRejectedError) as refused:
        take(running, site, level="partial")

    assert refused.value.answer
    assert taps == []


@pytest.mark.parametrize("platform", ["fortinet", "vyos"])
def test_a_login_that_breaks_ends_the_sniffer_on_the_device(running, site_of, platform):
    site, taps = site_of(platform)
    device = running.device(site)
    book = load_book(ROOT, platform)
    session = running.connector.open(device, profile_of(book))

    def cut():
        while not taps:
            time.sleep(0.01)
        session._login.transport.close()

    cutter = Thread(target=cut)
    cutter.start()
    with contextlib.closing(session), pytest.raises(DeviceError):
        capture(
            session,
            book,
            device,
            point="gateway-wan",
            interface=VENDORS[platform].names["wan"],
            services=(RADSEC,),
            seconds=20,
            clock=SystemClock(),
        )
    cutter.join()

    deadline = time.monotonic() + 3
    while taps[-1].is_running and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not taps[-1].is_running


def test_a_capture_in_memory_ends_by_itself_when_nobody_comes_back(running, site_of):
    site, taps = site_of("cisco_xe")
    device = running.device(site)
    book = load_book(ROOT, "cisco_xe")
    lines = ("limit duration 1 packet-len 192", "match any", "interface Gi0/0/0 both", "start")
    with contextlib.closing(running.connector.open(device, profile_of(book))):
        cli = site.gateway.command_line(site.gateway.accounts["full"])
        for line in lines:
            running.fleet.ask(lambda line=line: cli.type(f"monitor capture MG1 {line}"))

    deadline = time.monotonic() + 4
    while taps[-1].is_running and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not taps[-1].is_running
    running.fleet.ask(lambda: site.gateway.captures.remove("MG1"))


def test_the_sniffers_bounds_are_the_books(running, site_of):
    site, taps = site_of("fortinet")
    take(running, site)
    _, vyos_taps = site_of("vyos")
    take(running, next(s for s in running.sites if s.gateway.platform == "vyos"))

    assert taps[-1].asked[3] == load_book(ROOT, "fortinet").capture.max_packets
    assert vyos_taps[-1].asked[2:] == (192, 10_000)
    assert "tcp port (2083)" in vyos_taps[-1].asked[1]
    assert "port 2083" in taps[-1].asked[1]
