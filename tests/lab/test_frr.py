"""FRRouting's real vtysh behind the real OpenSSH of a foundry gateway, in an ordinary audit."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest
import yaml

from mtughost import lab
from mtughost.lab import LabSpec, SiteSpec

pytestmark = pytest.mark.lab

#: zebra takes the kernel's routes over; every login ends in vtysh, whatever is asked for.
_START = """\
printf 'frr:x:64999:64999::/:/bin/false\\n' >> /etc/passwd
printf 'frr:x:64999:\\nfrrvty:x:64998:frr\\n' >> /etc/group
mkdir -p /etc/frr /etc/pam.d && touch /etc/frr/vtysh.conf
printf 'auth sufficient pam_permit.so\\naccount sufficient pam_permit.so\\n' > /etc/pam.d/frr
mkdir -p /run/frr /tmp/frr && chown frr:frr /run/frr
printf 'hostname store-router\\nip route 10.77.0.0/16 %s\\n' > /tmp/frr/frr.conf
for daemon in zebra staticd; do
    /usr/lib/frr/$daemon -d -A 127.0.0.1 -f /tmp/frr/frr.conf || exit 9
done
for i in $(seq 60); do vtysh -c 'show ip route' | grep -q 10.77 && break; sleep 0.1; done
sed 's|^|command="/usr/bin/vtysh" |' /root/.ssh/authorized_keys > /tmp/frr/keys
cat /tmp/frr/keys > /root/.ssh/authorized_keys
"""


@pytest.fixture
def running(labs_folder):
    if shutil.which("vtysh") is None:
        pytest.skip("FRRouting is not installed (Debian package frr)")
    if os.geteuid():
        pytest.skip("FRRouting's daemons change to an account of their own: only root can")
    made = lab.up(
        LabSpec(name="frr", sites=(SiteSpec(scenario="clamp-missing"),)), root=labs_folder
    )
    made.settle()
    yield made
    lab.down("frr", root=labs_folder)


def test_an_audit_reads_vtysh_and_says_that_clamps_are_not_to_be_seen_there(running):
    (site,) = running.sites
    hop = running.in_device(site.gateway, ["ip", "-4", "route", "show", "default"]).stdout.split()[
        2
    ]
    running.in_device(site.gateway, ["sh", "-c", _START % hop], check=True)
    hosts = running.project / "inventory" / "hosts.yaml"
    inventory = yaml.safe_load(hosts.read_text())
    inventory[site.gateway]["platform"] = "frr"
    hosts.write_text(yaml.safe_dump(inventory))
    state = running.in_device(site.gateway, ["sh", "-c", "ip route; ip link"]).stdout

    argv = [sys.executable, "-P", "-m", "mtughost", "--quiet", "--project", str(running.project)]
    done = running.exec([*argv, "audit", "--json", "-"], timeout_s=120)

    report = json.loads(done.stdout)
    assert {h["host"]: h["status"] for h in report["hosts"]} == dict.fromkeys(
        (site.gateway, site.device), "ok"
    ), done.stderr
    (audited,) = report["sites"]
    # No packet filter is seen there, so what is configured stays unknown.
    assert {flow["mss"]["configured"] for flow in audited["flows"]} == {None}
    # The way out and its MTU come from vtysh alone.
    shown = running.in_device(site.gateway, ["cat", f"/sys/class/net/{site.lan}/mtu"]).stdout
    mtus = {(flow["mtu"]["vlan"], flow["mtu"]["wan"]) for flow in audited["flows"]}
    assert mtus == {(int(shown), 1492)}
    assert running.in_device(site.gateway, ["sh", "-c", "ip route; ip link"]).stdout == state
