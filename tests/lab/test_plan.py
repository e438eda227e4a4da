"""Everything of a lab that is decided before a namespace exists."""

from __future__ import annotations

import datetime as dt
import subprocess
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from mtughost import lab
from mtughost.fleet.inventory import load_inventory
from mtughost.lab import LabSpec, SiteSpec
from mtughost.lab.addressing import MANAGEMENT, numbering
from mtughost.lab.compose import compose
from mtughost.lab.devices import Stanza, data, interfaces
from mtughost.lab.gateway_rules import RuleStyle, gateway_files
from mtughost.lab.pki import CLIENT_CHAIN_BYTES, Pki
from mtughost.lab.plan import from_json, to_json
from mtughost.lab.project import inventory_files, project_files
from mtughost.lab.rules import Zone
from mtughost.model.errors import LabError
from mtughost.model.findings import FINDING_IDS

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


@given(seed=st.integers(0, 10_000), sites=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_seed_gives_usable_and_repeatable_names_and_addresses(seed, sites):
    numbers = numbering(sites, seed)

    assert numbers == numbering(sites, seed)
    networks = [numbers.ap_lan, numbers.pos_lan, numbers.tunnel.host_lan, numbers.tunnel.far_lan]
    networks += [numbers.wan, numbers.transit, numbers.cloud.network, MANAGEMENT]
    for number, network in enumerate(networks):
        assert not any(network.overlaps(other) for other in networks[number + 1 :])
    names = numbers.names
    for name in (names.ap_port, names.ap_vlan, names.pos_vlan, names.wan, names.tunnel):
        assert len(name) <= 15
    assert len(set(numbers.site_labels)) == sites


def test_stores_share_lan_addresses_and_nothing_else():
    numbers = numbering(3)

    first, second = numbers.site(1), numbers.site(2)

    assert first.ap == second.ap == IPv4Address("10.20.0.10")
    assert first.wan_gateway != second.wan_gateway
    assert first.ap_management != second.ap_management


def test_a_seed_changes_every_name_that_a_verdict_could_lean_on():
    plain, drawn = numbering(4), numbering(4, 7)

    assert plain.names != drawn.names
    assert plain.names.wan != drawn.names.wan
    assert plain.names.ap_vlan != drawn.names.ap_vlan
    assert plain.ap_lan != drawn.ap_lan
    assert plain.cloud.normal != drawn.cloud.normal
    assert not set(plain.site_labels) & set(drawn.site_labels)


@pytest.mark.parametrize("name", ["a", "store-with-a-rather-long-name-for-an-access-point"])
def test_the_ap_chain_has_the_same_size_whatever_the_name(name):
    issued = Pki(NOW).device(name)

    chain = x509.load_pem_x509_certificates(issued.chain)

    sizes = [len(entry.public_bytes(serialization.Encoding.DER)) for entry in chain]
    assert len(sizes) == 2
    assert sum(sizes) == CLIENT_CHAIN_BYTES


def test_an_expired_certificate_ended_yesterday():
    issued = Pki(NOW).server("cloud", (IPv4Address("203.0.113.11"),), expired=True)

    (certificate,) = x509.load_pem_x509_certificates(issued.chain)

    assert certificate.not_valid_after_utc == NOW - dt.timedelta(days=1)


def test_a_plan_survives_the_way_to_the_holder():
    plan = compose(LabSpec(sites=lab.retail_chain()), NOW).plan

    assert from_json(to_json(plan)) == plan


def test_saved_interfaces_become_ip_commands(tmp_path: Path):
    stanzas = (
        Stanza(name="port20"),
        Stanza(
            name="vlan20",
            address="10.20.0.1/24",
            mtu_bytes=1492,
            pre_up=("ip link add link port20 name vlan20 type macvlan",),
        ),
        Stanza(name="wan0", address="100.64.0.2/30", gateway="100.64.0.1"),
    )
    (tmp_path / "interfaces").write_bytes(interfaces(stanzas))
    (tmp_path / "ifup.awk").write_bytes(data("ifup.awk"))

    done = subprocess.run(
        ["awk", "-f", tmp_path / "ifup.awk", tmp_path / "interfaces"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.splitlines() == [
        "link set dev lo up",
        "link set dev port20 up",
        "link add link port20 name vlan20 type macvlan",
        "link set dev vlan20 mtu 1492",
        "address add 10.20.0.1/24 dev vlan20",
        "link set dev vlan20 up",
        "address add 100.64.0.2/30 dev wan0",
        "link set dev wan0 up",
        "route add default via 100.64.0.1 dev wan0",
    ]


def test_an_interfaces_line_that_is_not_understood_fails_the_boot(tmp_path: Path):
    (tmp_path / "interfaces").write_text("iface wan0 inet dhcp\n    hwaddress random\n")
    (tmp_path / "ifup.awk").write_bytes(data("ifup.awk"))

    done = subprocess.run(
        ["awk", "-f", tmp_path / "ifup.awk", tmp_path / "interfaces"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert "cannot read" in done.stderr


def test_both_styles_clamp_the_same_traffic():
    zone = Zone("vlan20", "vlan30", "wan0")
    scenario = lab.SCENARIOS["clamp-scope"]

    nft = gateway_files(scenario, RuleStyle(name="nft"), zone)[
        "/etc/nftables.conf"
    ].content.decode()
    tables = gateway_files(scenario, RuleStyle(name="iptables"), zone)

    assert nft.startswith("#!/usr/sbin/nft -f\nflush ruleset\n")
    assert nft.count("set rt mtu") == 2
    for name in ("/etc/iptables/rules.v4", "/etc/iptables/rules.v6"):
        text = tables[name].content.decode()
        assert text.count("--clamp-mss-to-pmtu") == 2
        assert "-i vlan30 -o wan0" in text


def test_the_shipped_inventory_is_what_lab_up_writes(checkout: Path):
    work = compose(LabSpec(sites=lab.retail_chain()), NOW)

    for name, text in inventory_files(work).items():
        assert (checkout / "inventory" / name).read_text() == text


def test_the_inventory_of_every_layout_is_accepted(tmp_path: Path):
    for number, sites in enumerate((lab.retail_chain(), lab.scale(24))):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in inventory_files(compose(LabSpec(sites=sites), NOW)).items():
            (folder / name).write_text(text)

        inventory = load_inventory(folder, known_platforms={"linux"})

        assert len(inventory.devices) == 2 * len(sites)


def test_the_project_holds_what_an_operator_needs():
    files = {f.path: f for f in project_files(compose(LabSpec(sites=lab.flagship()), NOW), NOW)}

    assert set(files) == {
        "mtughost.toml",
        "known_hosts",
        "allowed_signers",
        "inventory/hosts.yaml",
        "inventory/groups.yaml",
        "inventory/defaults.yaml",
        "ssh/operator",
        "ssh/operator.pub",
        "ssh/approver",
        "ssh/approver.pub",
    }
    assert {file.mode for file in files.values()} == {0o600}
    signers = files["allowed_signers"].content.decode().splitlines()
    assert [line.split()[0] for line in signers] == ["author", "approver"]
    assert signers[0].split()[-1] != signers[1].split()[-1]
    assert all("valid-before=" in line for line in signers)
    known = files["known_hosts"].content.decode().split()
    assert known[0] == "s001-ap1"


def test_an_ap_behind_its_gateway_has_its_lan_address_and_a_jump_host():
    site = SiteSpec(scenario="clamp-scope", behind_gateway=True)
    work = compose(LabSpec(sites=(site, site)), NOW)

    aps = [host for host in work.hosts if host.role == "ap"]

    assert [(host.address, host.jump) for host in aps] == [
        ("10.20.0.10", "s001-gw1"),
        ("10.20.0.10", "s002-gw1"),
    ]
    assert not any(link.node_a == "s001-ap1" and not link.node_b for link in work.links)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"name": "../x", "sites": lab.flagship()}, "not usable"),
        ({"sites": ()}, "1 to 250"),
        ({"sites": (SiteSpec(scenario="nonsense"),)}, "unknown scenario"),
    ],
)
def test_a_specification_that_makes_no_sense_is_refused(arguments, word):
    with pytest.raises(LabError, match=word):
        LabSpec(**arguments)


def test_no_scenario_is_wired_by_its_name():
    source = Path(lab.__file__).parent
    # Some labels are also ids of findings, and those may be spoken of.
    names = set(lab.CATALOGUE) - set(FINDING_IDS)

    for path in source.glob("*.py"):
        if path.name in {"scenarios.py", "modes.py", "spec.py"}:
            continue
        quoted = {name for name in names - {"plain"} if f'"{name}"' in path.read_text()}
        assert not quoted, path


def test_every_topology_has_its_networks():
    assert IPv4Network("10.50.0.0/24") == numbering(1).tunnel.host_lan
