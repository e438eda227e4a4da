"""FreeBSD with pf: interfaces, routes, scrub rules and who decides, mpd5's own clamp."""

from __future__ import annotations

import pytest

from mtughost.dialects import pf
from mtughost.dialects.pf import PPP_FIX, read_clamps
from mtughost.dialects.pf_scrub import KIND
from mtughost.model.basis import Unknown
from mtughost.model.clamps import ClampTo, NameSet
from mtughost.model.session import Answer

LINKS = """\
em0: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tdescription: WAN
\toptions=4e100bb<RXCSUM,TXCSUM>
\tether 02:00:00:00:00:01
\tinet 198.51.100.2 netmask 0xfffffffc broadcast 198.51.100.3
\tmedia: Ethernet autoselect (1000baseT <full-duplex>)
\tstatus: active
em1.20: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tinet 10.20.1.1 netmask 0xffffff00 broadcast 10.20.1.255
\tinet6 fe80::1%em1.20 prefixlen 64 scopeid 0x9
\tgroups: vlan stores
\tvlan: 20 vlanproto: 802.1q vlanpcp: 0 parent interface: em1
\tstatus: no carrier
pppoe0: flags=88d1<UP,POINTOPOINT,RUNNING,NOARP,SIMPLEX,MULTICAST> metric 0 mtu 1492
\tinet 203.0.113.9 --> 203.0.113.1 netmask 0xffffffff
"""
FIX = "/var/etc/mpd_wan.conf:\tset iface enable tcpmssfix\n"


def answer(text, status="complete"):
    return Answer(command_id="c", line="pfctl", text=text, status=status)


def clamps(*rules, **more):
    texts = {
        "rules": "".join(f"@{n} {rule}\n" for n, rule in enumerate(rules)),
        "state": "Status: Enabled for 0 days 00:01:02           Debug: Urgent\n",
        "links": LINKS,
        "ppp-fix": "",
        **{name.replace("_", "-"): text for name, text in more.items()},
    }
    return read_clamps(
        {
            name: text if isinstance(text, Answer) else answer(text)
            for name, text in texts.items()
            if text is not None
        }
    )


def sides(ruleset):
    return {c.name: c.rules for c in ruleset.chains}


def test_a_rule_without_direction_sees_what_enters_and_what_leaves():
    found = sides(clamps("scrub on pppoe0 inet all max-mss 1452 fragment reassemble"))

    (inward,), (outward,) = found["scrub in"], found["scrub out"]
    assert inward.match.in_interfaces == outward.match.out_interfaces == NameSet(names=("pppoe0",))
    assert (inward.action.value_bytes, inward.action.kind, inward.then) == (1452, KIND, "accept")
    assert inward.match.families == {"ipv4"}
    assert (inward.match.opaque, inward.line) == ((), 1)


def test_a_rule_with_direction_sees_that_only():
    found = sides(clamps("scrub out on em0 all max-mss 1400"))

    assert found["scrub in"] == ()
    assert len(found["scrub out"]) == 1


def test_the_first_rule_that_matches_decides_even_if_it_limits_nothing():
    found = sides(
        clamps("scrub on em0 inet all fragment reassemble", "no scrub on em1.20 all max-mss 9")
    )

    assert [rule.action for rule in found["scrub in"]] == ["accept", "accept"]


def test_counters_belong_to_the_rule_above_them():
    text = (
        "@0 scrub on em0 all max-mss 1400 fragment reassemble\n"
        "  [ Evaluations: 1234      Packets: 600       Bytes: 36000       States: 0     ]\n"
        "  [ Inserted: uid 0 pid 0 State Creations: 0     ]\n"
        "@0 block drop in log inet all\n"
        "  [ Evaluations: 9         Packets: 7         Bytes: 0           States: 0     ]\n"
    )

    found = sides(clamps(rules=text))

    assert [rule.packets for rule in (*found["scrub in"], *found["scrub out"])] == [600, 600]


def test_groups_and_negations_of_interfaces_are_resolved():
    group, negated = sides(
        clamps("scrub on stores all max-mss 1400", "scrub on ! em0 all max-mss 1300")
    )["scrub in"]

    assert group.match.in_interfaces == NameSet(names=("em1.20",))
    assert negated.match.in_interfaces == NameSet(names=("em0",), negated=True)


@pytest.mark.parametrize(
    ("rule", "doubt"),
    [
        ("scrub on em9 all max-mss 1400", "on em9"),
        ("scrub from any to <vpn_networks> max-mss 1400", "to <vpn_networks>"),
        ("scrub all max-mss 1400 tagged x", "tagged"),
        ("scrub all max-mss lots", "max-mss lots"),
    ],
)
def test_a_condition_that_is_not_known_makes_the_rule_uncertain(rule, doubt):
    (found,) = sides(clamps(rule))["scrub in"]

    assert doubt in found.match.opaque


def test_networks_are_compared_and_any_asks_nothing():
    (found,) = sides(clamps("scrub from 10.20.1.0/24 to any max-mss 1400"))["scrub in"]

    assert found.match.sources.prefixes == ("10.20.1.0/24",)
    assert (found.match.destinations, found.match.opaque) == (None, ())


def test_a_rewriting_filter_rule_is_uncertain_and_an_unknown_line_is_noted():
    (found,) = sides(clamps("match in on em0 inet all scrub (max-mss 1400)"))["scrub in"]

    assert isinstance(found.action, ClampTo)
    assert found.match.opaque
    assert clamps("what is this").notes
    assert clamps("pass in quick on em0 proto tcp from any to any").notes == ()


def test_a_filter_that_is_off_clamps_nothing():
    assert clamps("scrub all max-mss 1400", state="Status: Disabled\n").chains == ()


@pytest.mark.parametrize("name", ["rules", "state", "links"])
def test_an_answer_that_did_not_come_makes_the_clamps_unknown(name):
    denied = answer("", status="rejected")

    assert isinstance(clamps(**{name: denied}), Unknown)
    assert isinstance(clamps(**{name: None}), Unknown)
    assert isinstance(clamps(state="\n"), Unknown)


def test_mpd5_clamps_its_only_link_by_itself_in_and_out():
    (chain,) = [c for c in clamps(ppp_fix=FIX).chains if c.table == "mpd5"]

    inward, outward = chain.rules
    assert (inward.action.value_bytes, inward.action.kind) == (1452, PPP_FIX)
    assert inward.match.in_interfaces == outward.match.out_interfaces == NameSet(names=("pppoe0",))
    assert inward.match.opaque == ()
    off = FIX.replace("enable", "disable")
    assert [c for c in clamps(ppp_fix=off).chains if c.table == "mpd5"] == []


@pytest.mark.parametrize("said", [FIX + FIX.replace("wan", "opt1"), None])
def test_which_link_a_file_belongs_to_is_not_guessed(said):
    (chain,) = [c for c in clamps(ppp_fix=said).chains if c.table == "mpd5"]

    assert all(rule.match.opaque for rule in chain.rules)


@pytest.mark.parametrize(("text", "seen"), [("0\n", "yes"), ("1001\n", "no"), ("", "no")])
def test_only_root_sees_the_filter(text, seen):
    assert pf.read_privilege(text).rows[0]["SEES_FIREWALL"] == seen


def test_interfaces_and_addresses_of_both_families():
    links = {row["NAME"]: row for row in pf.read_links(LINKS).rows}
    have = [(r["INTERFACE"], r["ADDRESS"], r["PREFIX_LEN"]) for r in pf.read_addresses(LINKS).rows]

    assert (links["pppoe0"]["MTU"], links["pppoe0"]["KIND"]) == ("1492", "ppp")
    assert (links["em1.20"]["PARENT"], links["em1.20"]["STATE"]) == ("em1", "DOWN")
    assert have == [
        ("em0", "198.51.100.2", "30"),
        ("em1.20", "10.20.1.1", "24"),
        ("em1.20", "fe80::1", "64"),
        ("pppoe0", "203.0.113.9", "32"),
    ]
    assert pf.read_links("what is this\n").unplaced == ((1, "what is this"),)


def test_routes_of_both_families_and_what_leads_nowhere():
    read = pf.read_routes(
        "Routing tables\n\nInternet:\n"
        "Destination        Gateway            Flags   Nhop#    Mtu      Netif Expire\n"
        "default            203.0.113.1        UGS         7   1492     pppoe0\n"
        "10.20.1.0/24       link#9             U           3   1500     em1.20\n"
        "10.9.0.0/16        127.0.0.1          UGSB        5  16384        lo0\n"
        "\nInternet6:\n"
        "fe80::%em1.20/64   link#9             U           5   1500     em1.20\n"
        "noise\n"
    )

    found = [(r["DESTINATION"], r["VIA"], r["INTERFACE"], r.get("TYPE")) for r in read.rows]
    assert found == [
        ("default", "203.0.113.1", "pppoe0", None),
        ("10.20.1.0/24", "", "em1.20", None),
        ("10.9.0.0/16", "127.0.0.1", "lo0", "blackhole"),
        ("fe80::/64", "", "em1.20", None),
    ]
    assert [text for _, text in read.unplaced] == ["noise"]


def test_the_firewalls_own_df_is_told_the_other_way_round():
    assert pf.read_icmp("net.inet.tcp.path_mtu_discovery: 1\n").rows == ({"NO_PMTU_DISC": "0"},)
    assert pf.read_icmp("net.inet.tcp.path_mtu_discovery: 0\n").rows == ({"NO_PMTU_DISC": "1"},)
    assert pf.read_icmp("").rows == ()


def test_a_line_that_is_no_part_of_the_listing_is_handed_back_with_the_addresses():
    assert pf.read_addresses("what is this\n").unplaced == ((1, "what is this"),)
