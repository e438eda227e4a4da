"""PAN-OS: configuration in both forms, adjusting interfaces, what hides, what the samples hold."""

from __future__ import annotations

import pytest

from mtughost.content.parsers import load_parser
from mtughost.content.root import packaged_content
from mtughost.dialects import panos
from mtughost.dialects.panos_config import leaves, ports, standard_mtu
from mtughost.model.basis import Unknown
from mtughost.model.clamps import NameSet
from mtughost.model.session import Answer

BRACES = """\

config {
  mgt-config {
    users {
      admin {
        phash "$5$obviously{fake}";
      }
    }
  }
  devices {
    localhost.localdomain {
      network {
        interface {
          ethernet {
            ethernet1/1 {
              layer3 {
                mtu 1492;
                ip {
                  198.51.100.2/30;
                }
                adjust-tcp-mss {
                  enable yes;
                  ipv4-mss-adjustment 60;
                }
              }
            }
            ethernet1/2 {
              layer3 {
                units {
                  ethernet1/2.20 {
                    tag 20;
                    adjust-tcp-mss {
                      enable yes;
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
  }
}
"""
LOGICAL = """\
total configured logical interfaces: 3

name                id    vsys zone             forwarding               tag    address
------------------- ----- ---- ---------------- ------------------------ ------ ----------
ethernet1/1         16    1    outside          vr:default               0      198.51.100.2/30
ethernet1/2         17    1                     N/A                      0      N/A
ethernet1/2.20      256   1    access points    vr:default               20     10.20.1.1/24
"""
WAN, VLAN = "ethernet1/1", "ethernet1/2.20"


def answer(text, status="complete"):
    return Answer(command_id="c", line="show", text=text, status=status)


def clamps(config=BRACES, logical=LOGICAL, template=""):
    texts = {"config": config, "logical": logical, "template": template}
    return panos.read_clamps(
        {name: t if isinstance(t, Answer) else answer(t) for name, t in texts.items()}
    )


def rules(ruleset):
    (chain,) = ruleset.chains
    return chain.rules


def test_only_where_both_interfaces_adjust_is_anything_certain():
    certain = [rule for rule in rules(clamps()) if not rule.match.opaque]

    assert [(r.match.in_interfaces.names, r.action.value_bytes) for r in certain] == [
        ((WAN,), 1432),
        ((WAN, VLAN), 1460),
    ]
    assert all(r.match.in_interfaces == r.match.out_interfaces for r in certain)
    assert all(r.match.families == {"ipv4"} for r in rules(clamps()))


def test_one_interface_alone_is_neither_relied_on_nor_ruled_out():
    single = clamps(BRACES.replace("enable yes;\n                    ", "enable no;\n"))

    found = {
        (r.match.in_interfaces, r.match.out_interfaces, r.action.value_bytes)
        for r in rules(single)
        if r.match.opaque
    }
    where = NameSet(names=(WAN,))
    assert {(where, None, 1432), (None, where, 1432)} <= found


def test_ipv6_is_adjusted_only_where_it_is_enabled_and_by_sixty():
    text = BRACES.replace("mtu 1492;", "mtu 1492;\n ipv6 {\n enabled yes;\n }")

    v6 = [rule for rule in rules(clamps(text)) if rule.match.families == {"ipv6"}]

    assert {rule.action.value_bytes for rule in v6} == {1432}


def test_an_ipsec_tunnel_always_adjusts_at_most_to_its_mtu():
    text = (
        "set mgt-config users x\n"
        "set network interface tunnel units tunnel.1 mtu 1400\n"
        "set network tunnel ipsec hub tunnel-interface tunnel.1\n"
    )
    logical = "tunnel.1   300   1    vpn     vr:default    0   N/A\n"

    inward, outward = rules(clamps(text, logical))

    assert (
        inward.match.in_interfaces == outward.match.out_interfaces == NameSet(names=("tunnel.1",))
    )
    assert (inward.action.value_bytes, inward.match.opaque) == (1360, ())


def test_both_forms_of_the_configuration_say_the_same():
    lines = "".join(f"set {' '.join(leaf.path)}\n" for leaf in leaves(BRACES)[0])

    assert rules(clamps(lines))[0].action == rules(clamps())[0].action
    assert [r.action.value_bytes for r in rules(clamps(lines))] == [
        r.action.value_bytes for r in rules(clamps())
    ]


def test_what_panorama_pushed_counts_unless_the_firewall_says_otherwise():
    pushed = (
        f"set network interface ethernet ethernet1/2 layer3 units {VLAN} mtu 1400\n"
        "set network interface ethernet ethernet1/1 layer3 mtu 1300\n"
    )

    found = {rule.action.value_bytes for rule in rules(clamps(template=pushed))}

    assert found == {1432, 1360}


@pytest.mark.parametrize("name", ["config", "logical"])
def test_an_answer_that_did_not_come_makes_the_clamps_unknown(name):
    assert isinstance(clamps(**{name: answer("", status="timeout")}), Unknown)


def test_an_interface_that_the_configuration_lacks_proves_that_a_part_is_hidden():
    more = LOGICAL + "ethernet1/2.30   257   1   pos   vr:default   30   10.30.1.1/24\n"

    hidden = clamps(logical=more)

    assert isinstance(hidden, Unknown)
    assert "ethernet1/2.30" in hidden.reason
    assert isinstance(clamps(config="config {\n}\n"), Unknown)


def test_a_configuration_that_ends_in_the_middle_is_noted():
    cut = BRACES[: BRACES.index("ethernet1/2 {")]

    assert leaves(cut)[1]
    assert clamps(cut, logical=LOGICAL[: LOGICAL.rindex("ethernet1/2.20")]).notes


@pytest.mark.parametrize(
    ("text", "firewall", "interfaces"),
    [
        (BRACES, "yes", "yes"),
        (BRACES.replace("mgt-config", "shared"), "no", "yes"),
        ("", "no", "no"),
    ],
)
def test_who_does_not_get_the_section_of_accounts_does_not_see_everything(
    text, firewall, interfaces
):
    row = panos.read_privilege(text).rows[0]

    assert (row["SEES_FIREWALL"], row["SEES_INTERFACES"]) == (firewall, interfaces)


def test_interfaces_have_the_mtu_of_the_configuration_or_the_documented_default():
    answers = {"logical": answer(LOGICAL), "config": answer(BRACES)}
    rows = {row["NAME"]: row for row in panos.read_links(answers).rows}

    assert (rows[WAN]["MTU"], rows[VLAN]["MTU"], rows[VLAN]["PARENT"]) == (
        "1492",
        "1500",
        "ethernet1/2",
    )
    dialled = BRACES.replace("mtu 1492;", "pppoe {\n enable yes;\n }")
    rows = panos.read_links({**answers, "config": answer(dialled)}).rows
    assert "MTU" not in next(row for row in rows if row["NAME"] == WAN)
    jumbo = leaves("set deviceconfig setting jumbo-frame mtu 9192\n")[0]
    assert standard_mtu(jumbo) == 9192


def test_routes_of_several_virtual_routers_stay_apart():
    text = (
        "VIRTUAL ROUTER: default (id 1)\n  ==========\n"
        "0.0.0.0/0   198.51.100.1   10   A S   ethernet1/1\n"
        "10.9.0.0/16 198.51.100.9   10     S   ethernet1/1\n"
        "VIRTUAL ROUTER: guest (id 2)\n"
        "10.8.0.0/16 0.0.0.0   10   A S   tunnel.3\n"
        "what is this\n"
    )

    read = panos.read_routes(text)

    assert [(r["DESTINATION"], r["VIA"], r["INTERFACE"], r["TABLE"]) for r in read.rows] == [
        ("0.0.0.0/0", "198.51.100.1", "ethernet1/1", "default"),
        ("10.8.0.0/16", "", "tunnel.3", "guest"),
    ]
    assert [text for _, text in read.unplaced] == ["what is this"]


def test_the_clock_is_read_in_utc_and_not_guessed_elsewhere():
    rows = panos.read_clock("Sat Nov 21 12:00:01 UTC 2026\n").rows

    assert rows[0]["CLOCK_UTC"] == "2026-11-21T12:00:01Z"
    assert panos.read_clock("Sat Nov 21 12:00:01 CET 2026\n").rows == ()


def test_a_line_that_is_no_part_of_the_listing_is_handed_back_with_the_addresses():
    assert panos.read_addresses("what is this\n").unplaced == ((1, "what is this"),)


# -- real output ---------------------------------------------------------------------------------


@pytest.fixture
def samples(shared):
    return shared / "samples" / "gateways" / "panos"


def test_real_interfaces_give_their_addresses_and_states(samples):
    text = (samples / "show_interface_logical__1.txt").read_text()
    hardware = answer((samples / "show_interface_hardware__1.txt").read_text())
    read = panos.read_links({"logical": answer(text), "hardware": hardware, "config": answer("")})
    addresses = {row["INTERFACE"]: row for row in panos.read_addresses(text).rows}

    assert read.unplaced == ()
    assert len(read.rows) == 18
    assert {row["NAME"]: row["STATE"] for row in read.rows}["ethernet1/7.700"] == "UP"
    assert addresses["ethernet1/2.100"]["ADDRESS"] == "65.5.44.46"
    assert addresses["ethernet1/7.700"]["PREFIX_LEN"] == "23"


def test_real_routes_give_their_way_out(samples):
    read = panos.read_routes((samples / "show_routing_route__2.txt").read_text())

    assert read.unplaced == ()
    found = {(r["DESTINATION"], r["VIA"], r["INTERFACE"]) for r in read.rows}
    assert ("0.0.0.0/0", "198.18.27.241", "ethernet1/15") in found
    assert ("::/0", "2001:db8:0:1::1", "ethernet1/15") in found
    assert ("172.21.0.0/23", "", "tunnel.30") in found
    assert ("10.6.15.0/24", "", "ae1.15") in found


def test_real_configuration_gives_its_mtus_in_both_forms(samples):
    def mtus(name):
        found, odd = leaves((samples / f"show_config_set.{name}__1.txt").read_text())
        assert odd == []
        return {port.name: port.mtu for port in ports(found).values()}

    assert mtus("interface-units") == {"ethernet1/1.1": None, "ethernet1/1.2": 1234}
    assert mtus("paloalto_vlan_tunnel_units")["tunnel.3"] == 1427
    assert mtus("paloalto_vlan_tunnel_units")["vlan.1"] == 1500


def test_every_real_configuration_is_read_to_its_last_line(samples):
    for path in sorted(samples.glob("show_config_set.*")):
        found, odd = leaves(path.read_text())
        assert found, path.name
        assert odd == [], path.name


def test_real_system_info_gives_version_model_and_name(samples):
    parser = load_parser(packaged_content(), "paloalto_panos", "system-info")

    read = parser.rows((samples / "show_system_info__1.txt").read_text())

    assert read.unplaced == ()
    (row,) = read.rows
    assert (row["HOSTNAME"], row["MODEL"], row["OS_VERSION"]) == ("pa1", "PA-VM", "7.0.1")
