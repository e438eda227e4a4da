"""Vendors' gateways on the kernel: every version, every place of a clamp, every fix, by packets."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from mtughost import lab
from mtughost.content.load import load_book
from mtughost.content.root import packaged_content
from mtughost.lab.fleet.vendors import VENDORS
from mtughost.lab.handshakes import handshakes
from tests.lab.test_bound import audit, bound, compare, compare_captures, plant, predicted
from tests.nightly.conftest import FULL

pytestmark = [pytest.mark.nightly(basis="emulated command lines, real packets"), pytest.mark.lab]

#: What is planted one after the other: clamps by the interface that they sit on.
STATES = {
    "none": [],
    "wan-only": [["wan", 1452]],
    "ap-only": [["ap", 1452]],
    "both": [["ap", 1440], ["wan", 1452]],
}
ALL = [f"{name}:{version}" for name, vendor in VENDORS.items() for version in vendor.versions]
#: Whose fixes are chosen, and the versions before one moved its clamp or changed what it does.
REPAIRED = [name for name in VENDORS if load_book(packaged_content(), name).fixes]
REPAIRED += [f"{name}:{VENDORS[name].versions[0]}" for name in ("fortinet", "vyos")]


@pytest.mark.timeout(900)
def test_the_proven_mss_is_in_the_packets_of_every_version_wherever_the_clamp_sits(
    chance, note, folder
):
    gateways = ALL if FULL else sorted(chance.sample(ALL, 4))
    states = list(STATES) if FULL else [chance.choice(list(STATES))]
    note("gateways", f"{len(gateways)}, states {', '.join(states)}")

    with bound(gateways, folder, "every") as running:
        for state in states:
            plant(running, STATES[state])
            compare(running, gateways)


@pytest.mark.timeout(2400)
def test_after_each_fix_the_packets_carry_what_the_proof_says(chance, note, folder):
    gateways = REPAIRED if FULL else [chance.choice(REPAIRED)]
    note("repaired", ", ".join(gateways))

    with bound(gateways, folder, "fixes", scenario="clamp-scope") as running:
        for site, gateway in zip(running.sites, gateways, strict=True):
            before = handshakes(running, site.label)
            repair(running, site, folder)
            after, told = handshakes(running, site.label), audit(running)[site.label]
            real = packets(after)
            assert before.at_device.syn_ack_mss_bytes == 1460, gateway
            assert predicted(told) == real, gateway
            # The path takes 1492 bytes.
            assert max(real.values()) <= 1452, gateway
            assert running.ask_vendor("", "problems") == []


#: Vendors with a documented clamp for IPv6; the others' documents promise nothing for it.
SPEAKING6 = [name for name in REPAIRED if VENDORS[name.partition(":")[0]].speaks6]


@pytest.mark.timeout(2400)
def test_after_each_fix_packets_of_ipv6_carry_what_the_proof_says(chance, note, folder):
    gateways = SPEAKING6 if FULL else [chance.choice(SPEAKING6)]
    note("repaired", ", ".join(gateways))
    # Where "too big" arrives, the access point repairs itself.
    scenario = replace(lab.CATALOGUE["clamp-scope"], family="ipv6", host_ignores_icmp=True)

    with bound(gateways, folder, "fixes6", scenario="clamp-scope", variant=scenario) as running:
        before = audit(running)
        for site, gateway in zip(running.sites, gateways, strict=True):
            bare = handshakes(running, site.label)
            assert predicted(before[site.label]) == packets(bare) == {"up": 1440, "down": 1440}
            # Its own smaller MTU would help it, too, but no other host.
            repair(running, site, folder, "--change", "clamp-missing")
            after, told = handshakes(running, site.label), audit(running)[site.label]
            assert predicted(told) == packets(after), gateway
            assert max(packets(after).values()) <= 1432, gateway
            assert running.ask_vendor("", "problems") == []


#: Vendors whose own ping, with DF, is documented.
PINGING = [
    name
    for name in VENDORS
    if (probe := load_book(packaged_content(), name).probe) is not None
    and probe.via == "none"
    and probe.ping_df is not None
]


@pytest.mark.timeout(900)
def test_a_gateways_own_pings_find_the_path_mtu_behind_it(chance, note, folder):
    gateways = PINGING if FULL else [chance.choice(PINGING)]
    note("pinged from", ", ".join(gateways))
    # Nobody tells of the smaller link: only sizes that come back or do not.
    scenario = replace(
        lab.CATALOGUE["clamp-missing"],
        wan_mtu_bytes=1500,
        hidden_mtu_bytes=1400,
        icmp_upstream="drop",
    )

    with bound(gateways, folder, "pings", variant=scenario) as running:
        without, told = audit(running), audit(running, "--probe", "path")
        for site, gateway in zip(running.sites, gateways, strict=True):
            assert path_mtu_up(without[site.label]) == 1500, gateway
            assert 1392 <= path_mtu_up(told[site.label]) <= 1400, gateway
            assert running.ask_vendor("", "problems") == []


#: Vendors whose command line prints packets, oldest and newest version.
SNIFFING = sorted(
    {
        f"{name}:{version}"
        for name, vendor in VENDORS.items()
        for version in (vendor.versions[0], vendor.versions[-1])
        if (book := load_book(packaged_content(), name)).capture is not None
        and book.driver != "exec"
    }
)


@pytest.mark.timeout(1800)
def test_captures_on_vendors_command_lines_show_what_passes(chance, note, folder):
    gateways = SNIFFING if FULL else [chance.choice(SNIFFING)]
    states = list(STATES) if FULL else [chance.choice(list(STATES))]
    note("gateways", f"{', '.join(gateways)}; states {', '.join(states)}")

    with bound(gateways, folder, "sniffed") as running:
        for state in states:
            plant(running, STATES[state])
            compare_captures(running, running.sites, gateways)


#: What every gateway does alike: no clamp, one that is complete, or a fault somewhere else.
STORIES = (
    *("clamp-missing", "clamp-scope", "healthy-clamp-both", "healthy-icmp", "latent-fragments"),
    *("icmp-lost-upstream", "path-asymmetric", "l2-mismatch", "server-hang", "payload-dropped"),
    *("port-blocked", "certificate-expired", "healthy-hidden-icmp"),
)
#: Vendors whose captures are tried on them.
TOLD = ("fortinet", "cisco_xe", "vyos")


@pytest.mark.timeout(2400)
def test_with_captures_a_vendors_gateway_gets_the_verdict_that_a_linux_one_gets(
    chance, note, folder
):
    """The Linux gateway's verdicts are held against measured truth by ``mtughost lab run``.

    Where a platform's captures may lack packets, it may also stay unknown, or know no more of
    the place than without them: the verdict must then be the same, and nothing confirmed that
    was not found with all packets.
    """
    stories = STORIES if FULL else (chance.choice(STORIES),)
    odd = []
    for story in stories:
        with bound(["", *TOLD], folder, "stories", scenario=story) as running:
            told = audit(running, "--probe", "service", "--capture", "12")
            linux, *others = [told[site.label] for site in running.sites]
        for platform, other in zip(TOLD, others, strict=True):
            assert confirmed(other) <= set(ids(linux)), (story, platform)
            if first(other) == first(linux):
                continue
            spec = load_book(packaged_content(), platform).capture
            assert spec.misses, (story, platform)
            assert not spec.misses_above_pps, (story, platform)
            assert other["verdict"] in {"unknown", linux["verdict"]}, (story, platform)
            odd.append(f"{story} on {platform}: {other['verdict']}")
    note("played", f"{', '.join(stories)} on {', '.join(TOLD)}")
    note("not as on Linux", ", ".join(odd) or "none")


def first(site):
    """Return the verdict and the first finding."""
    return site["verdict"], ids(site)[:1]


def confirmed(site):
    """Return what was confirmed."""
    return {finding["id"] for finding in site["findings"] if finding["grade"] == "confirmed"}


def ids(site):
    """Return what was found, without what is only asked."""
    return [finding["id"] for finding in site["findings"] if finding["grade"] != "unknown"]


def path_mtu_up(site):
    """Return what is known of the way to the service; of the way back pings say nothing."""
    (found,) = {flow["path_mtu"] for flow in site["flows"] if flow["direction"] == "up"}
    return found


def packets(seen):
    """Return the MSS that each direction's handshake packet left the gateway with."""
    return {"up": seen.at_device.syn_ack_mss_bytes, "down": seen.at_wan.syn_mss_bytes}


def repair(running, site, folder, *options):
    """Plan, approve by a second key, apply: a repair that is kept has proven the service."""
    plan, key = str(folder / f"{site.label}.json"), str(running.project / "ssh" / "approver")
    told = ("plan", "--site", site.label, "--reason", "RADsec never completes", "--out", plan)
    mtughost(running, *told, *options, "--accept-no-autorevert")
    accepted = ("--accept-no-autorevert", "--accept-reboot")
    mtughost(running, "approve", plan, "--key", key, "--yes", *accepted)
    mtughost(running, "apply", plan)


def mtughost(running, *words):
    argv = [sys.executable, "-P", "-m", "mtughost", "--quiet", "--project", str(running.project)]
    done = running.exec([*argv, *words], timeout_s=400)
    assert done.returncode == 0, (words[0], done.stdout[-500:], done.stderr[-800:])
