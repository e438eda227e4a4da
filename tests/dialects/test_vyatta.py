"""VyOS and EdgeOS configuration: both forms, clamps by version, what is never relied on."""

from __future__ import annotations

import pytest

from mtughost.dialects.netfilter import read as read_netfilter
from mtughost.dialects.vyatta import read_edgeos, read_vyos
from mtughost.dialects.vyatta_tree import read_settings
from mtughost.model.basis import Unknown
from mtughost.model.session import Answer

LAN = "set interfaces ethernet eth1 vif 20 address '10.20.1.1/24'\n"
BOOT = """\
firewall {
    options {
        interface pppoe0 {
            adjust-mss 1452
            adjust-mss6 1432
        }
        interface eth1.30 {
            adjust-mss 1400
            disable
        }
    }
}
interfaces {
    ethernet eth1 {
        description "to the {floor}"
        vif 20 {
            address 10.20.1.1/24
        }
    }
    loopback lo {
    }
}
// vyos-config-version: "firewall@5:interfaces@12"
// Release version: 1.3.8
"""


def answer(text, status="complete"):
    return Answer(command_id="config", line="show", text=text, status=status)


def rules(text, reader=read_vyos):
    (chain,) = reader({"config": answer(text)}).chains
    return chain.rules


def meaning(rule):
    (family,) = rule.match.families
    out = rule.match.out_interfaces
    return family, out.names if out else None, rule.action.value_bytes, rule.line


def test_both_forms_give_the_same_paths():
    commands = (
        "set firewall options interface pppoe0 adjust-mss '1452'\n"
        'set interfaces ethernet eth1 description "to the {floor}"\n'
        "set interfaces loopback lo\n"
    )

    braces = {setting.words for setting in read_settings(BOOT).found}

    assert {setting.words for setting in read_settings(commands).found} <= braces
    assert read_settings(BOOT).unplaced == ()
    assert ("interfaces", "ethernet", "eth1", "description", "to the {floor}") in braces


def test_the_clamp_of_1_3_is_for_what_leaves_and_a_disabled_one_does_not_count():
    assert [meaning(rule) for rule in rules(BOOT)] == [
        ("ipv4", ("pppoe0",), 1452, 4),
        ("ipv6", ("pppoe0",), 1432, 5),
    ]
    assert read_vyos({"config": answer(BOOT)}).notes == ()


def test_the_clamp_of_1_4_stands_at_the_interface_each_family_apart():
    text = LAN + (
        "set interfaces ethernet eth1 vif 20 ip adjust-mss '1452'\n"
        "set interfaces ethernet eth2 vif-s 10 vif-c 7 ipv6 adjust-mss '1432'\n"
        "set interfaces pppoe pppoe0 ip adjust-mss 'clamp-mss-to-pmtu'\n"
    )

    assert [meaning(rule) for rule in rules(text)] == [
        ("ipv4", ("eth1.20",), 1452, 2),
        ("ipv6", ("eth2.10.7",), 1432, 3),
        ("ipv4", ("pppoe0",), None, 4),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "set policy route P rule 10 set tcp-mss '1400'",
        "set firewall ipv4 forward filter rule 5 set tcp-mss '1400'",
    ],
)
def test_a_rule_among_others_is_neither_relied_on_nor_ruled_out(line):
    (rule,) = rules(f"{LAN}{line}\n")

    assert rule.action.value_bytes == 1400
    assert rule.match.opaque


def test_the_routers_own_sessions_are_not_clamps_and_unknown_places_are_noted():
    own = read_vyos(
        {"config": answer(LAN + "set protocols bgp neighbor 192.0.2.1 tcp-mss '900'\n")}
    )
    other = read_vyos({"config": answer(LAN + "set interfaces tunnel tun0 odd adjust-mss 'x'\n")})

    assert (own.chains[0].rules, own.notes) == ((), ())
    assert "adjust-mss" in other.notes[0]


@pytest.mark.parametrize("reader", [read_vyos, read_edgeos])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"config": answer("", "rejected")},
        {"config": answer("")},
        {"config": answer("system {\n}\n")},
    ],
)
def test_what_was_not_shown_whole_is_unknown(reader, given):
    assert isinstance(reader(given), Unknown)


@pytest.mark.parametrize("line", ["}", "description 'no end", "Connection lost"])
def test_a_line_that_is_no_setting_is_noted(line):
    found = read_vyos({"config": answer(f"{LAN}{line}\n")})

    assert found.notes == (f"line 2: {line}",)


def test_a_configuration_that_is_cut_off_is_noted():
    assert read_vyos({"config": answer(BOOT.partition("    loopback")[0])}).notes


@pytest.mark.parametrize("kind", ["all", "pppoe"])
def test_what_mss_clamp_of_edgeos_covers_is_never_certain(kind):
    text = (
        f"set firewall options mss-clamp interface-type {kind}\n"
        "set firewall options mss-clamp mss 1412\n"
        "set firewall options mss-clamp6 mss 1392\n" + LAN
    )

    v4, v6 = rules(text, read_edgeos)

    assert (v4.action.value_bytes, v6.action.value_bytes) == (1412, 1392)
    assert kind in v4.match.opaque[0]
    assert "default" in v6.match.opaque[0]


# -- real configuration ----------------------------------------------------------------------------

#: Whose lines are damaged: "community NAME {" lost its brace when the name was taken out.
REDACTED = {
    "show_configuration.dialup-router-complex__1.txt": 1437,
    "show_configuration_1.3.dialup-router-complex__1.txt": 1409,
}


@pytest.fixture
def vyos(shared):
    return shared / "samples" / "gateways" / "vyos"


def test_every_real_configuration_is_placed_to_its_last_line(shared):
    seen = 0
    for platform in ("vyos", "edgeos"):
        for path in sorted((shared / "samples" / "gateways" / platform).glob("show_conf*")):
            unplaced = [line for line, _ in read_settings(path.read_text()).unplaced]
            assert unplaced == ([REDACTED[path.name]] if path.name in REDACTED else []), path.name
            seen += 1
    assert seen >= 16


def test_real_vyos_configurations_give_their_clamps(vyos):
    def found(name):
        return [meaning(rule) for rule in rules((vyos / name).read_text())]

    assert found("show_configuration_commands.dialup-router-complex__1.txt") == [
        ("ipv4", ("eth0.10",), 1320, 567),
        ("ipv6", ("eth0.10",), 1300, 568),
        ("ipv4", ("pppoe0",), 1452, 587),
        ("ipv6", ("pppoe0",), 1432, 589),
    ]
    assert found("show_configuration.dialup-router-complex__1.txt") == [
        ("ipv4", ("pppoe0",), 1452, 1094),
        ("ipv6", ("pppoe0",), 1432, 1095),
        ("ipv4", ("eth0.10",), 1320, 1098),
        ("ipv6", ("eth0.10",), 1300, 1099),
    ]
    assert found("show_configuration_1.3.dialup-router-complex__1.txt") == [
        ("ipv4", ("pppoe0",), 1452, 1070),
        ("ipv6", ("pppoe0",), 1432, 1071),
    ]
    assert found("show_configuration_commands.nat-basic__1.txt") == [
        ("ipv4", ("pppoe7",), 1452, 20),
        ("ipv6", ("pppoe7",), 1432, 22),
    ]
    assert found("show_configuration.pppoe-server__1.txt") == []


def test_real_edgeos_configurations_give_their_values_in_doubt(shared):
    folder = shared / "samples" / "gateways" / "edgeos"

    values = {}
    for path in sorted(folder.glob("show_configuration.config.boot__*.txt")):
        found = rules(path.read_text(), read_edgeos)
        values[path.stem.rpartition("__")[2]] = [rule.action.value_bytes for rule in found]
        assert all(rule.match.opaque for rule in found)
    assert values == {
        "1": [1412],
        "11": [1340],
        "12": [],
        "3": [1460],
        "4": [1412],
        "5": [1460],
        "6": [1460],
    }


def test_the_real_base_ruleset_of_vyos_reads_to_its_last_chain(vyos):
    text = (vyos / "nft_base_ruleset.vyos-firewall-init__1.txt").read_text()
    ruleset = read_netfilter({"nft-text": answer(text)})

    empty = {c.table: c for c in ruleset.chains if c.name == "VYOS_TCP_MSS"}
    assert set(empty) == {"ip raw", "ip6 raw"}
    assert {(c.hook, c.priority, c.rules) for c in empty.values()} == {("forward", -300, ())}
    assert [n for n in ruleset.notes if "legacy" not in n] == []
