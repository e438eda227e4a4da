"""What a device of the lab looks like to whoever logs in."""

from __future__ import annotations

import json

import pytest

from mtughost import lab
from mtughost.lab import Lab, LabSpec, SiteSpec, snapshot

pytestmark = pytest.mark.lab


def ssh(running: Lab, host: str, address: str, *command: str, jump: str = ""):
    """Run a command on a device as the operator would: keys and known hosts of the project."""
    project = running.project
    common = [
        "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
        "-o", f"UserKnownHostsFile={project}/known_hosts", "-i", f"{project}/ssh/operator",
    ]  # fmt: skip
    extra = []
    if jump:
        jump_host, jump_address = jump.split("@")
        proxy = ["ssh", *common, "-o", f"HostKeyAlias={jump_host}", "-W", "%h:%p"]
        extra = ["-o", f"ProxyCommand={' '.join(proxy)} root@{jump_address}"]
    argv = ["ssh", *common, *extra, "-o", f"HostKeyAlias={host}", f"root@{address}", *command]
    return running.exec(argv)


def test_the_operator_logs_in_with_the_keys_of_the_project(tls12):
    done = ssh(tls12, "s001-ap1", "172.31.1.10", "id -u; hostname; cloud-status")

    assert done.stdout.splitlines()[:2] == ["0", "s001-ap1"]
    keys = [line.split(":")[0] for line in done.stdout.splitlines()[2:]]
    assert keys == ["service", "server", "port", "connected", "since", "last-error"]


def test_a_device_shows_only_its_own_processes(tls12):
    done = tls12.in_device("s001-gw1", ["ps", "-e", "-o", "args="])

    assert done.stdout.startswith("/bin/sh /etc/rc.boot")
    assert "radsecproxy" not in done.stdout
    assert "freeradius" not in done.stdout


def test_a_device_cannot_write_to_the_machine_it_runs_on(tls12):
    done = tls12.in_device("s001-gw1", ["sh", "-c", "echo x > /usr/mtughost-was-here"])

    assert done.returncode != 0
    assert "Read-only" in done.stderr


def test_connected_says_yes_only_where_a_round_trip_worked(tls12):
    status = {
        site.scenario: tls12.in_device(site.device, ["cloud-status"]).stdout for site in tls12.sites
    }

    assert "connected: yes" in status["healthy-clamp-both"]
    assert "connected: yes" in status["latent-far-end"]
    for name in ("clamp-scope", "icmp-ignored", "port-blocked", "certificate-expired"):
        assert "connected: no" in status[name]
    assert "certificate" in status["certificate-expired"]


def test_a_client_that_believes_it_is_connected_does_not_count(tls13):
    site = next(site for site in tls13.sites if site.scenario == "clamp-scope")

    log = tls13.in_device(site.device, ["cat", "/var/log/radsecproxy.log"]).stdout
    status = tls13.in_device(site.device, ["cloud-status"]).stdout

    assert " up" in log
    assert "connected: no" in status


def test_cloud_push_fails_with_the_words_of_a_real_client_and_keeps_them(tls12):
    words = {}
    for name in ("clamp-scope", "certificate-expired", "healthy-clamp-both"):
        site = next(site for site in tls12.sites if site.scenario == name)
        done = tls12.in_device(site.device, ["cloud-push", "-v"])
        words[name] = (done.returncode, done.stdout)
        log = tls12.in_device(site.device, ["cat", "/var/log/cloud-push.log"]).stdout
        assert done.stdout.strip() in log

    assert words["clamp-scope"][0] == 28
    assert "TLS handshake, Finished" in words["clamp-scope"][1]
    assert "timeout" in words["clamp-scope"][1]
    assert words["certificate-expired"][0] == 60
    assert words["healthy-clamp-both"][0] == 0


def test_the_covered_vlan_counts_and_the_uncovered_one_does_not(tls12):
    site = next(site for site in tls12.sites if site.scenario == "clamp-scope")

    text = tls12.in_device(site.gateway, ["nft", "-j", "list", "chain", "inet", "clamp", "forward"])

    rules = [item["rule"] for item in json.loads(text.stdout)["nftables"] if "rule" in item]
    hits = [part["counter"]["packets"] for r in rules for part in r["expr"] if "counter" in part]
    assert len(hits) == 2
    assert all(count > 0 for count in hits)
    assert "vlan20" not in json.dumps(rules)


def test_no_cable_end_offloads_segmentation(tls12):
    for device, port in (("s001-ap1", "eth0"), ("s001-gw1", "wan0"), ("s001-gw1", "port20")):
        text = tls12.in_device(device, ["ethtool", "-k", port]).stdout
        for feature in (
            "scatter-gather",
            "tx-tcp-segmentation",
            "generic-segmentation-offload",
            "generic-receive-offload",
            "tx-checksumming",
        ):
            assert f"{feature}: off" in text


def test_a_living_device_looks_the_same_twice(tls12):
    tls12.settle()
    before = {host: snapshot(tls12, host) for host in tls12.hosts[:6]}

    after = {host: snapshot(tls12, host) for host in before}

    assert {host: before[host].differences(after[host]) for host in before} == dict.fromkeys(
        before, ()
    )


def test_a_snapshot_shows_a_changed_rule_an_mtu_a_file_and_a_process(root):
    running = lab.up(LabSpec(name="s", sites=lab.scale(1)), root=root)
    before = snapshot(running, "s001-gw1")

    script = "nft add table inet x; ip link set vlan20 mtu 1400; echo 1 >/root/f; sleep() { :; }"
    running.in_device("s001-gw1", ["sh", "-c", script], check=True)
    busy = ["sh", "-c", "setsid awk 'BEGIN { while (1) system(\"sleep 1\") }' >/dev/null 2>&1 &"]
    running.in_device("s001-gw1", busy, check=True)
    text = "\n".join(before.differences(snapshot(running, "s001-gw1")))

    for expected in ("nftables: new: table inet x", "mtu 1400", "file root/f", "process new: awk"):
        assert expected in text


def test_an_ap_behind_its_gateway_is_reached_only_through_it(root):
    site = SiteSpec(scenario="clamp-scope", behind_gateway=True, forwarding=False)
    running = lab.up(LabSpec(name="j", sites=(site, site)), root=root)

    through = [
        ssh(running, f"s00{i}-ap1", "10.20.0.10", "hostname", jump=f"s00{i}-gw1@172.31.{i}.1")
        for i in (1, 2)
    ]
    refused = ssh(running, "s001-ap1", "10.20.0.10", "true", jump="s002-gw1@172.31.2.1")

    assert [done.stdout.strip() for done in through] == ["s001-ap1", "s002-ap1"]
    assert refused.returncode != 0
    assert "Host key verification failed" in refused.stderr
    settings = running.in_device("s001-ap1", ["cat", "/etc/ssh/sshd_config"]).stdout
    assert "AllowTcpForwarding no" in settings


def test_a_reboot_restores_exactly_what_was_saved(tls12):
    site = next(site for site in tls12.sites if site.scenario == "clamp-scope")
    gateway = site.gateway
    before = snapshot(tls12, gateway)
    change = (
        "nft flush ruleset; ip link set vlan20 mtu 1400; ip link set wan0 mtu 1300; echo x >/tmp/x"
    )
    tls12.in_device(gateway, ["sh", "-c", change], check=True)
    assert before.differences(snapshot(tls12, gateway))

    tls12.reboot(gateway)

    after = snapshot(tls12, gateway)
    assert [
        line for line in before.differences(after) if not line.startswith("file var/log/boot.log")
    ] == []


def test_a_reboot_loads_what_was_saved_since(tls13):
    site = next(site for site in tls13.sites if site.scenario == "clamp-missing")
    tls13.in_device(
        site.gateway,
        ["sh", "-c", "sed -i 's/mtu 1492/mtu 1480/' /etc/network/interfaces"],
        check=True,
    )

    tls13.reboot(site.gateway)

    links = tls13.in_device(site.gateway, ["ip", "-o", "link", "show", site.wan]).stdout
    assert "mtu 1480" in links
