"""The MSS of one connection's handshake, on both sides of a gateway: seen, not computed."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mtughost.lab.compose import BuiltSite
from mtughost.lab.conversation import Conversation, Handshake
from mtughost.lab.handle import Lab
from mtughost.lab.tap import Tap
from mtughost.model.errors import LabError

#: Connects from a given port and leaves at once; what matters are the two packets.
_CONNECT = """
import socket, sys, time
port, host, target = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
six = ":" in host
line = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
line.settimeout(5)
line.bind(("::" if six else "0.0.0.0", port))
line.connect((host, target))
time.sleep(0.2)
line.close()
"""
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshakes:
    """Both SYNs of one connection at the access point and on the gateway's WAN side."""

    at_device: Handshake
    at_wan: Handshake


def handshakes(lab: Lab, label: str) -> Handshakes:
    """Let a site's access point connect to its service, and watch at two points.

    Raises:
        LabError: no such site, or nobody answers there.
    """
    site = lab.site(label)
    if site.service is None or not site.addresses:
        raise LabError(f"site {label} has no service to connect to")
    for _ in range(_TRIES):
        seen = _connect(lab, site, site.service.port)
        if None not in (*_values(seen.at_device), *_values(seen.at_wan)):
            return seen
    raise LabError(f"no complete handshake of site {label} was captured in {_TRIES} tries")


def _values(handshake: Handshake) -> tuple[int | None, int | None]:
    return handshake.syn_mss_bytes, handshake.syn_ack_mss_bytes


def _connect(lab: Lab, site: BuiltSite, service_port: int) -> Handshakes:
    """Connect once; on a busy machine a capture may end before it has written all."""
    port = random.randrange(20000, 30000)  # noqa: S311 - variety, not secrecy
    expression = f"tcp port {service_port}"
    with (
        Tap(lab, site.device, site.device_port, expression) as near,
        Tap(lab, site.gateway, site.wan, expression) as far,
    ):
        argv = ["nsenter", f"--net=/run/netns/{site.device}", sys.executable, "-I", "-c", _CONNECT]
        target = [str(port), site.addresses[0], str(service_port)]
        lab.exec([*argv, *target], check=True)
    seen = Conversation(near.frames(), far.frames(), site, port)
    return Handshakes(at_device=seen.at_device(), at_wan=seen.at_wan())


def all_handshakes(lab: Lab, *, at_once: int = 4) -> dict[str, Handshakes]:
    """Do that for every site of a lab, several at once."""
    labels = [site.label for site in lab.sites if site.service]
    with ThreadPoolExecutor(at_once) as pool:
        return dict(
            zip(labels, pool.map(lambda label: handshakes(lab, label), labels), strict=True)
        )
