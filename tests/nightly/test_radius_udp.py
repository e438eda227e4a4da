"""RADIUS over UDP with a real server and client: fragments that die, and fragments that pass.

The truth is the client's own: FreeRADIUS answers ``radclient`` or it does not. Kernel, packet
filters and both programs are real; the large request stands for EAP-TLS at the client certificate.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from mtughost import lab
from mtughost.app.lab_run import audit_lab
from mtughost.lab import LabSpec, SiteSpec
from mtughost.lab.handle import inner_env

pytestmark = [pytest.mark.lab, pytest.mark.nightly(basis="real program"), pytest.mark.timeout(300)]

SECRET = "udp-secret"
CONF = """
name = radiusd
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {home}
logdir = {home}
run_dir = {home}
pidfile = {home}/radiusd.pid
log {{
    destination = files
    file = {home}/radius.log
}}
thread pool {{
    start_servers = 1
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 2
    max_requests_per_server = 0
}}
modules {{
}}
server lab {{
    authorize {{
        update control {{
            Auth-Type := Accept
        }}
    }}
}}
clients udp {{
    client all {{
        ipaddr = 0.0.0.0/0
        secret = {secret}
    }}
}}
listen {{
    ipaddr = {address}
    port = 1812
    type = auth
    virtual_server = lab
    clients = udp
}}
"""
ASK = """
printf 'User-Name = "small"\\n' | radclient -x -D /etc/cloud -t 1 -r 2 "$1:1812" auth "$2"
small=$?
{ echo 'User-Name = "large"'
  class=$(head -c 250 /dev/zero | od -An -v -tx1 | tr -d ' \\n')
  for i in 1 2 3 4 5 6 7; do echo "Attr-25 = 0x$class"; done
} | radclient -x -D /etc/cloud -t 1 -r 3 "$1:1812" auth "$2"
echo "small $small large $?"
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    root = Path(tmp_path_factory.mktemp("labs"))
    sites = (SiteSpec(scenario="healthy-clamp-both"), SiteSpec(scenario="latent-fragments"))
    made = lab.up(LabSpec(name="udp", sites=sites), root=root)
    try:
        made.settle()
        yield made
    finally:
        lab.down("udp", root=root)


@pytest.fixture(scope="module")
def server(running, tmp_path_factory):
    """FreeRADIUS on UDP port 1812, at the address where the cloud's RADsec listens."""
    home = Path(tmp_path_factory.mktemp("radius"))
    address = running.sites[0].service.host
    (home / "radiusd.conf").write_text(CONF.format(home=home, secret=SECRET, address=address))
    argv = ["nsenter", "--net=/run/netns/cloud", "freeradius", "-f", "-n", "radiusd", "-d", home]
    command = running.command([str(word) for word in argv])
    with subprocess.Popen(command, env=inner_env()) as process:
        yield address
        process.terminate()


def outcome(running, site, address):
    done = running.in_device(site.device, ["sh", "-c", ASK, "sh", address, SECRET], timeout_s=60)
    return done.stdout.strip().splitlines()[-1]


def test_large_requests_that_die_as_fragments_are_told_from_a_dead_server(running, server, note):
    with ThreadPoolExecutor(3) as pool:
        results = pool.map(lambda site: outcome(running, site, server), running.sites)
        measured = dict(zip((site.scenario for site in running.sites), results, strict=True))
        assert measured == {
            "healthy-clamp-both": "small 0 large 1",
            "latent-fragments": "small 0 large 0",
        }

        over = Event()

        def often(site):
            while not over.wait(0.5):
                outcome(running, site, server)

        busy = [pool.submit(often, site) for site in running.sites]
        try:
            said = {site["site"]: site for site in audit_lab(running, "all")["sites"]}
        finally:
            over.set()
        for future in busy:
            future.result()

    lost, passing = (said[site.label] for site in running.sites)
    grades = {f["id"]: f["grade"] for f in lost["findings"]}
    assert grades["radius-fragments-dropped"] == "confirmed"
    assert lost["verdict"] == "fault"
    assert "radius-fragments-dropped" in {r["id"] for r in passing["ruled_out"]}
    note("grade", grades["radius-fragments-dropped"])
