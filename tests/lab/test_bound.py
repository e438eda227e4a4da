"""A vendor's gateway in a foundry store: the coverage proof's MSS is the MSS in the packets.

The packets are the kernel's, the settings were typed or planted in the vendor's own words, and the
prediction comes from an audit over SSH. Nothing between the two is the tool's.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace

import pytest

from mtughost import lab
from mtughost.lab import LabSpec, SiteSpec
from mtughost.lab.bound import check
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.lab.handshakes import all_handshakes, handshakes
from mtughost.model.errors import MtughostError

pytestmark = pytest.mark.lab

#: Newest versions, and FortiOS from before it clamped both ways.
NEWEST = [f"{platform}:{vendor.versions[-1]}" for platform, vendor in VENDORS.items()]
ALWAYS = ("fortinet", "cisco_xe", "juniper_junos", "vyos", "mikrotik_routeros")
ALWAYS += ("ubiquiti_edgerouter", "openwrt")
GATEWAYS = [g for g in NEWEST if g.startswith(ALWAYS)]
GATEWAYS += [f"fortinet:{VENDORS['fortinet'].versions[0]}"]
#: Whose documents leave open which handshake packet is rewritten: the tool must not pretend.
UNSETTLED = ("paloalto_panos",)
BOTH = [["ap", 1440], ["wan", 1452]]
#: The largest MSS that the WAN's 1492 bytes take.
FITS = 1452


def audit(running, *options):
    argv = [sys.executable, "-P", "-m", "mtughost", "--quiet", "--project", str(running.project)]
    done = running.exec([*argv, "audit", *options, "--json", "-"], timeout_s=120)
    assert done.returncode in {0, 10, 11}, done.stderr
    return {site["site"]: site for site in json.loads(done.stdout)["sites"]}


def predicted(site):
    """Return the proven MSS of the packet that rules each direction."""
    return {flow["direction"]: flow["mss"]["configured"] for flow in site["flows"]}


@contextlib.contextmanager
def bound(gateways, folder, name, scenario="clamp-missing", variant=None):
    sites = tuple(
        SiteSpec(scenario=scenario, variant=variant, gateway=gateway) for gateway in gateways
    )
    made = lab.up(LabSpec(name=name, sites=sites), root=folder)
    made.settle()
    try:
        yield made
    finally:
        lab.down(name, root=folder)


@pytest.fixture(scope="module")
def running(labs_folder):
    with bound(GATEWAYS, labs_folder, "bound") as made:
        yield made


def plant(running, clamps):
    for site in running.sites:
        assert running.ask_vendor(site.gateway, "plant", clamps=clamps) is True
    assert running.ask_vendor("", "problems") == []


def compare(running, gateways=GATEWAYS):
    """Hold the prediction against the packets; give the audit's sites."""
    told, seen = audit(running), all_handshakes(running)
    for site, gateway in zip(running.sites, gateways, strict=True):
        packets = seen[site.label]
        real = {
            # Each as the gateway lets it out; the other end asks for the usual 1460.
            "up": packets.at_device.syn_ack_mss_bytes,
            "down": packets.at_wan.syn_mss_bytes,
        }
        assert packets.at_device.syn_mss_bytes == 1460
        assert packets.at_wan.syn_ack_mss_bytes == 1460
        said = predicted(told[site.label])
        if gateway.startswith(UNSETTLED):
            assert all(mss in {None, real[direction]} for direction, mss in said.items()), gateway
        else:
            assert said == real, gateway
    return told


def test_the_proven_mss_is_in_the_packets_before_and_after_a_clamp_on_both_sides(running):
    plant(running, [])
    before = compare(running)
    plant(running, BOTH)

    after = compare(running)

    assert {site["verdict"] for site in before.values()} == {"fault"}
    assert all(mss <= 1452 for site in after.values() for mss in predicted(site).values())
    ids = {f["id"] for site in after.values() for f in site["findings"] if f["grade"] != "unknown"}
    assert "duplicate-address" not in ids


def test_captures_on_vendors_command_lines_show_the_mss_of_the_packets(running):
    plant(running, [["ap", 1440]])
    newest = [g for g in NEWEST if g.startswith(("fortinet", "cisco_xe"))]
    chosen = [s for s, g in zip(running.sites, GATEWAYS, strict=True) if g in newest]

    compare_captures(running, chosen, newest)


def compare_captures(running, sites, gateways):
    """Hold what vendors' sniffers show against captures of the lab's own; give the audit's sites.

    The sniffers print the kernel's packets; nothing between the two captures is the tool's.
    """
    names = [word for site in sites for word in ("--site", site.label)]
    told = audit(running, "--probe", "service", "--capture", "4", *names)
    for site, gateway in zip(sites, gateways, strict=True):
        packets, flows = handshakes(running, site.label), told[site.label]["flows"]
        observed = {flow["direction"]: flow["mss"]["observed"] for flow in flows}
        real = {
            "up": (packets.at_device.syn_ack_mss_bytes, packets.at_wan.syn_ack_mss_bytes),
            "down": (packets.at_device.syn_mss_bytes, packets.at_wan.syn_mss_bytes),
        }
        # Whether a router's capture shows what leaves behind its own clamps is not documented.
        if gateway.startswith("cisco_xe"):
            real = {"up": (None, real["up"][1]), "down": (real["down"][0], None)}
        assert {way: (mss["lan"], mss["wan"]) for way, mss in observed.items()} == real, gateway
        if packets.at_device.syn_ack_mss_bytes > FITS:
            assert told[site.label]["verdict"] == "fault", gateway
        left_nothing(running.ask_vendor(site.gateway, "heard"), gateway)
    return told


def left_nothing(heard, gateway):
    """Hold that both points were watched, and that what was defined in memory is gone."""
    sniffed = sum("sniffer packet" in line or "tcpdump -i" in line for line in heard)
    begun = {line.split()[-2] for line in heard if line.endswith(" start")}
    begun |= {line.split()[1] for line in heard if line.startswith("capture ")}
    removed = {line.split()[-1] for line in heard if line.startswith("no ") and "capture" in line}
    assert begun == removed, gateway
    assert max(sniffed, len(begun)) >= 2, gateway


def test_a_reboot_brings_back_what_was_saved_and_lets_nothing_through_meanwhile(running):
    site = running.sites[0]
    plant(running, BOTH)

    running.reboot(site.gateway)

    rules = running.in_device(site.gateway, ["nft", "list", "table", "inet", "vendor"]).stdout
    assert "policy accept" in rules
    assert "1440" in rules
    assert running.ask_vendor(site.gateway, "problems") == []


def test_a_line_typed_over_ssh_is_in_the_kernel_before_the_next_prompt(running):
    site = next(s for s, g in zip(running.sites, GATEWAYS, strict=True) if "cisco_xe" in g)
    lines = "configure terminal\ninterface GigabitEthernet0/0/1.20\nip mtu 1400\nend\nexit\n"

    done = ssh(running, site, lines)

    assert "% " not in done
    assert "mtu 1400" in running.in_device(site.gateway, ["ip", "link", "show", site.lan]).stdout


def ssh(running, site, typed):
    project = running.project
    argv = [
        *("ssh", "-tt", "-F", "/dev/null", "-o", "BatchMode=yes", "-i", f"{project}/ssh/operator"),
        *("-o", f"UserKnownHostsFile={project}/known_hosts", "-o", f"HostKeyAlias={site.gateway}"),
    ]
    number = running.sites.index(site) + 1
    return running.exec([*argv, f"audit@172.31.{number}.1"], text_in=typed).stdout


def test_ipv6_has_a_clamp_of_its_own_and_its_packets_carry_what_is_proven(labs_folder):
    gateways = [g for g in NEWEST if VENDORS[g.partition(":")[0]].speaks6]
    scenario = replace(lab.CATALOGUE["clamp-missing"], family="ipv6")

    with bound(gateways, labs_folder, "six", variant=scenario) as running:
        compare6(running, gateways)
        plant(running, BOTH)
        clamped = compare6(running, gateways)

    assert len(gateways) >= 5
    assert all(max(values.values()) <= 1432 for values in clamped.values())


def compare6(running, gateways):
    """Hold the prediction for IPv6 against the packets."""
    told, seen, said = audit(running), all_handshakes(running), {}
    for site, gateway in zip(running.sites, gateways, strict=True):
        packets = seen[site.label]
        said[gateway] = predicted(told[site.label])
        # Its own kernel may have learned the path's size, and asks for less then.
        down = min(packets.at_device.syn_mss_bytes, said[gateway]["down"])
        assert packets.at_wan.syn_mss_bytes == down, gateway
        assert packets.at_wan.syn_ack_mss_bytes == 1440
        assert packets.at_device.syn_ack_mss_bytes == said[gateway]["up"], gateway
    return said


@pytest.mark.parametrize(
    ("scenario", "gateway", "reason"),
    [
        ("icmp-not-sent", "fortinet", "gateway sends icmp"),
        ("icmp-ignored", "cisco_xe", "topology"),
        ("clamp-missing-ipv6", "fortinet", "family"),
        ("clamp-scope", "cisco_ace", "no virtual gateway"),
    ],
)
def test_what_a_vendors_gateway_cannot_play_is_refused_with_the_reason(scenario, gateway, reason):
    with pytest.raises(MtughostError, match=reason):
        check(SiteSpec(scenario=scenario, gateway=gateway))
