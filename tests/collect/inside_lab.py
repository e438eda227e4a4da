"""Runs inside a lab: probes every access point and appliance of it over SSH, prints JSON.

Usage: inside_lab.py PROJECT CHECKOUT
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mtughost.collect.capture import capture
from mtughost.collect.probe import probe_service
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.fleet.inventory import load_inventory
from mtughost.model.session import ForwardingRefusedError
from mtughost.packets import summarise
from mtughost.wire.clock import SystemClock
from mtughost.wire.connector import Connector
from mtughost.wire.known_hosts import KnownHosts
from mtughost.wire.profile import DriverProfile
from mtughost.wire.secrets import SecretResolver

CAPTURE_S = 10.0


class WithoutForwarding:
    """A real session whose device opens no connections, as ``AllowTcpForwarding no`` makes it."""

    def __init__(self, session):
        self._session = session

    def __getattr__(self, name):
        return getattr(self._session, name)

    def open_tcp(self, host, port, *, timeout_s):
        raise ForwardingRefusedError("administratively prohibited")


class Visitor:
    def __init__(self, project, checkout):
        self.clock = SystemClock()
        self.book = load_book(ContentRoot(checkout), "linux")
        inventory = load_inventory(project / "inventory", known_platforms={"linux"})
        self.devices = {device.name: device for device in inventory.devices}
        self.connector = Connector(
            devices=self.devices,
            known_hosts=KnownHosts(project / "known_hosts"),
            secrets=SecretResolver(),
            clock=self.clock,
        )
        self.profile = DriverProfile(kind="exec", prep_lines=self.book.preparation)

    def open(self, device):
        return contextlib.closing(self.connector.open(device, self.profile))

    def probe(self, device, *, forwarding):
        with self.open(device) as session:
            begun_s = self.clock.monotonic_s()
            evidence = probe_service(
                session if forwarding else WithoutForwarding(session),
                self.book,
                device,
                device.services[0],
                bisect=forwarding,
                ap_mtu_bytes=1500,
                clock=self.clock,
            )
            seconds = self.clock.monotonic_s() - begun_s
        return {
            "delivered": evidence.largest_delivered_bytes,
            "lost": evidence.smallest_lost_bytes,
            "via": evidence.via,
            "outcomes": [step.outcome for step in evidence.steps],
            "seconds": seconds,
        }

    def capture(self, device):
        with self.open(device) as session:
            raw = capture(
                session,
                self.book,
                device,
                point="ap",
                interface="eth0",
                services=device.services,
                seconds=CAPTURE_S,
                clock=self.clock,
            )
        evidence = summarise(
            raw.pcap,
            host=raw.host,
            point=raw.point,
            interface=raw.interface,
            basis=raw.basis,
            command=raw.command,
            seconds=raw.seconds,
            services=device.services,
        )
        return {
            "flows": [dataclasses.asdict(flow) for flow in evidence.flows],
            "too_big": [message.next_hop_mtu_bytes for message in evidence.too_big],
            "warnings": evidence.warnings,
        }


def main():
    visitor = Visitor(Path(sys.argv[1]), Path(sys.argv[2]))
    with_service = [device for device in visitor.devices.values() if device.services]

    def visit(device):
        # First what the device does by itself, then the probe, whose sockets would be seen too.
        found = {"capture": visitor.capture(device)}
        found["probe"] = visitor.probe(device, forwarding=True)
        found["shell"] = visitor.probe(device, forwarding=False)
        return found

    with ThreadPoolExecutor(len(with_service)) as pool:
        results = dict(
            zip((d.name for d in with_service), pool.map(visit, with_service), strict=True)
        )
    visitor.connector.close()
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
