"""Real output of other people's machines: read without a crash, and right where checked by hand."""

from __future__ import annotations

import pytest

from mtughost.content.parsers import load_parser
from mtughost.content.root import packaged_content
from mtughost.dialects import iproute
from mtughost.dialects.netfilter import read
from mtughost.model.clamps import ClampTo, Jump, NameSet
from mtughost.model.session import Answer


def answer(name: str, text: str) -> Answer:
    return Answer(command_id=name, line=name, text=text, exit_code=0)


@pytest.fixture
def linux(shared):
    return shared / "samples" / "gateways" / "linux"


@pytest.fixture
def openwrt(shared):
    return shared / "samples" / "gateways" / "openwrt"


def rules_of(ruleset, table, chain):
    (found,) = [c for c in ruleset.chains if (c.table, c.name) == (table, chain)]
    return found.rules


def test_the_sample_ruleset_reads_the_same_from_json_and_from_text(linux):
    by_json = read({"nft-json": answer("j", (linux / "nft_-j_list_ruleset__1.txt").read_text())})
    by_text = read({"nft-text": answer("t", (linux / "nft_list_ruleset__1.txt").read_text())})

    for ruleset in (by_json, by_text):
        one, two, three = rules_of(ruleset, "inet mss", "forward")
        assert one.match.in_interfaces == NameSet(names=("w0",))
        assert (two.match.out_interfaces, two.packets) == (NameSet(names=("w0",)), 0)
        assert one.action == two.action == ClampTo(value_bytes=None)
        assert three.match.out_interfaces == NameSet(names=("l0", "w0"))
        assert three.match.families == frozenset({"ipv4"})
        assert three.match.mss_above_bytes == 1452
        assert three.action == ClampTo(value_bytes=1452)
        assert ruleset.chains[0].priority == -150


def test_the_sample_of_iptables_save_gives_its_two_clamps(linux):
    ruleset = read(
        {
            "iptables-save": answer("s", (linux / "iptables-save_-c_-t_mangle__1.txt").read_text()),
            "ip6tables-save": answer("6", (linux / "ip6tables-save__1.txt").read_text()),
        }
    )

    derived, fixed = rules_of(ruleset, "ip mangle", "FORWARD")
    assert (derived.action, derived.line) == (ClampTo(value_bytes=None), 8)
    assert fixed.match.in_interfaces == NameSet(names=("w0",))
    assert (fixed.match.mss_above_bytes, fixed.action) == (1452, ClampTo(value_bytes=1452))
    (v6,) = rules_of(ruleset, "ip6 mangle", "FORWARD")
    assert (v6.match.families, v6.packets) == (frozenset({"ipv6"}), None)


def test_fw4_with_mtu_fix_clamps_both_ways_and_notes_its_include(openwrt):
    text = (openwrt / "fw4_print.01_ruleset__1.txt").read_text()
    ruleset = read({"nft-text": answer("t", text)})

    clamps = [
        (chain.name, rule)
        for chain in ruleset.chains
        for rule in chain.rules
        if isinstance(rule.action, ClampTo)
    ]
    assert [name for name, _ in clamps] == ["mangle_postrouting", "mangle_forward"]
    assert clamps[0][1].match.out_interfaces == NameSet(names=("pppoe-wan",))
    assert clamps[1][1].match.in_interfaces == NameSet(names=("pppoe-wan",))
    assert all(rule.match.handshake == {"syn", "syn-ack"} for _, rule in clamps)
    forward = rules_of(ruleset, "inet fw4", "forward")
    assert (forward[0].action, forward[0].match.opaque) == ("pass", ())
    assert forward[1].match.handshake == frozenset({"syn-ack"})
    assert forward[-1].action == Jump(chain="handle_reject")
    assert any("include" in note for note in ruleset.notes)


def test_every_openwrt_ruleset_is_read_to_its_last_rule(openwrt):
    for path in sorted(openwrt.glob("fw4_print.*.txt")):
        text = path.read_text()
        ruleset = read({"nft-text": answer("t", text)})
        chains = [line for line in text.split("\n") if line.strip().startswith("chain ")]
        assert len(ruleset.chains) == len(chains), path.name
        base = [chain for chain in ruleset.chains if chain.hook]
        assert {chain.hook for chain in base} >= {"input", "forward", "output"}, path.name
        loose = [
            n
            for n in ruleset.notes
            if "include" not in n and "not visible" not in n and "legacy" not in n
        ]
        assert loose == [], path.name


def test_wildcard_zones_keep_their_wildcards(openwrt):
    text = (openwrt / "fw4_print.04_wildcard_devices__1.txt").read_text()
    ruleset = read({"nft-text": answer("t", text)})

    jumps = {
        rule.action.chain: rule
        for rule in rules_of(ruleset, "inet fw4", "forward")
        if isinstance(rule.action, Jump)
    }
    assert jumps["forward_test1"].match.in_interfaces is None
    assert jumps["forward_test3"].match.in_interfaces == NameSet(names=("test*",))
    # The last rule for test5 starts from plain names, so all its conditions fit.
    assert jumps["forward_test5"].match.in_interfaces == NameSet(names=("test1", "test2"))
    assert jumps["forward_test5"].match.opaque == ()


def test_addresses_and_routes_of_the_samples(linux):
    addresses = iproute.read_addresses((linux / "ip_-j_addr_show__1.txt").read_text())
    links = iproute.read_links((linux / "ip_-j_addr_show__1.txt").read_text())
    routes = iproute.read_routes((linux / "ip_-j_route_show__1.txt").read_text())

    assert [row["ADDRESS"] for row in addresses.rows if row["INTERFACE"] == "w0"] == [
        "203.0.113.2",
        "fd00:99::2",
        "fe80::3408:7bff:fe1c:8e2f",
    ]
    assert [(row["NAME"], row["MTU"], row["STATE"]) for row in links.rows] == [
        ("lo", "65536", "UNKNOWN"),
        ("l0", "1500", "DOWN"),
        ("w0", "1492", "UP"),
    ]
    assert [(row["DESTINATION"], row["INTERFACE"]) for row in routes.rows] == [
        ("10.10.20.0/24", "l0"),
        ("203.0.113.0/30", "w0"),
    ]


@pytest.mark.parametrize(
    ("parser", "name", "rows"),
    [
        ("ip-address", "ip_address_show__1", 4),
        ("ip-address", "ip_address_show__3", 11),
        ("ip-link", "ip_link_show__1", 5),
        ("ip-link", "ip_-d_link_show.bridge__1", 1),
        ("ip-route", "ip_route_show__1", 12),
        ("ip-route", "ip_route_show__4", 2),
        ("ip-route", "ip_route_get_203.0.113.1__1", 1),
    ],
)
def test_text_of_iproute2_is_placed_to_the_last_line(linux, parser, name, rows):
    read_rows = load_parser(packaged_content(), "linux", parser).rows(
        (linux / f"{name}.txt").read_text()
    )

    assert len(read_rows.rows) == rows
    assert read_rows.unplaced == ()


def test_no_reader_crashes_on_any_sample(shared):
    for path in sorted((shared / "samples").glob("*/*/*.txt")):
        text = path.read_text(errors="replace")
        for name in ("nft-json", "nft-text", "iptables-save", "ip6tables-save"):
            read({name: answer(name, text)})
        iproute.read_links(text)
        iproute.read_addresses(text)
        iproute.read_routes(text)
