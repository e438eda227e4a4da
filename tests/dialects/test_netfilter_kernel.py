"""Rules in a real kernel, read back by the real programs, and packets that prove the reading."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from mtughost.diagnose.match import Packet
from mtughost.diagnose.passage import Stage
from mtughost.diagnose.walk import walk
from mtughost.dialects.netfilter import read
from mtughost.model.clamps import ClampTo, Jump, Match, NameSet, PortSet, PrefixSet, Ruleset

pytestmark = pytest.mark.lab

BASE = "type filter hook forward priority mangle; policy accept;"
BOTH = frozenset({"syn", "syn-ack"})
TCP = frozenset({"tcp"})
V4, V6 = frozenset({"ipv4"}), frozenset({"ipv6"})
SYN = "tcp flags syn / syn,rst"
IPT_CLAMP = "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS "


def short(value):
    """Name a case by its text alone: a set prints its members in another order in every process."""
    return value[:40] if isinstance(value, str) else None


#: nft rule, the match that it must become, its action, what follows.
NFT_RULES = [
    (
        f'iifname "lan0" oifname "wan0" {SYN} counter tcp option maxseg size set rt mtu',
        Match(
            protocols=TCP,
            in_interfaces=NameSet(names=("lan0",)),
            out_interfaces=NameSet(names=("wan0",)),
        ),
        ClampTo(value_bytes=None),
        "pass",
    ),
    (
        f"{SYN} tcp option maxseg size 1453-65535 tcp option maxseg size set 1452 accept",
        Match(protocols=TCP, mss_above_bytes=1452),
        ClampTo(value_bytes=1452),
        "accept",
    ),
    (
        "tcp flags syn tcp option maxseg size > 1452 tcp option maxseg size set 1452",
        Match(protocols=TCP, mss_above_bytes=1452),
        ClampTo(value_bytes=1452),
        "pass",
    ),
    (
        "tcp flags == syn accept",
        Match(protocols=TCP, handshake=frozenset({"syn"})),
        "accept",
        "pass",
    ),
    (
        "tcp flags & (fin|syn|rst|ack) == syn drop",
        Match(protocols=TCP, handshake=frozenset({"syn"})),
        "drop",
        "pass",
    ),
    (
        "tcp flags { syn, syn|ack } return",
        Match(protocols=TCP, handshake=BOTH),
        "return",
        "pass",
    ),
    (
        "tcp flags & (syn|ack) == (syn|ack) accept",
        Match(protocols=TCP, handshake=frozenset({"syn-ack"})),
        "accept",
        "pass",
    ),
    ("tcp flags ! syn accept", Match(protocols=TCP, handshake=frozenset()), "accept", "pass"),
    (
        "ct state established,related accept",
        Match(handshake=frozenset({"syn-ack"})),
        "accept",
        "pass",
    ),
    ("ct state != new accept", Match(handshake=frozenset({"syn-ack"})), "accept", "pass"),
    ("ct state invalid drop", Match(handshake=frozenset()), "drop", "pass"),
    (
        (
            'iifname != { "lo", "wan0" } ip saddr 10.0.0.0/8 ip daddr != 192.0.2.1 '
            "tcp dport 2000-2100 drop"
        ),
        Match(
            families=V4,
            protocols=TCP,
            in_interfaces=NameSet(names=("lo", "wan0"), negated=True),
            sources=PrefixSet(prefixes=("10.0.0.0/8",)),
            destinations=PrefixSet(prefixes=("192.0.2.1/32",), negated=True),
            destination_ports=PortSet(ranges=((2000, 2100),)),
        ),
        "drop",
        "pass",
    ),
    (
        "ip saddr @nets tcp sport { 443, 2083 } accept",
        Match(
            families=V4,
            protocols=TCP,
            sources=PrefixSet(
                prefixes=("10.20.0.0/16", "192.0.2.1/32", "192.0.2.2/31"),
            ),
            source_ports=PortSet(ranges=((443, 443), (2083, 2083))),
        ),
        "accept",
        "pass",
    ),
    (
        "ip6 daddr 2001:db8::/32 meta l4proto { tcp, udp } jump later",
        Match(
            families=V6,
            protocols=frozenset({"tcp", "udp"}),
            destinations=PrefixSet(prefixes=("2001:db8::/32",)),
        ),
        Jump(chain="later"),
        "pass",
    ),
    ("meta nfproto ipv4 goto later", Match(families=V4), Jump(chain="later", goto=True), "pass"),
    ('oifname "wan*" reject', Match(out_interfaces=NameSet(names=("wan*",))), "drop", "pass"),
    (
        "icmp type destination-unreachable icmp code frag-needed drop",
        Match(
            families=V4,
            protocols=frozenset({"icmp"}),
            icmp_types=frozenset({"destination-unreachable/frag-needed"}),
        ),
        "drop",
        "pass",
    ),
    (
        "icmpv6 type packet-too-big drop",
        Match(
            families=V6,
            protocols=frozenset({"icmpv6"}),
            icmp_types=frozenset({"packet-too-big"}),
        ),
        "drop",
        "pass",
    ),
    ('log prefix "x y" counter', Match(), "pass", "pass"),
    ("meta mark 7 accept", Match(opaque=("meta mark 7",)), "accept", "pass"),
    ("limit rate 5/second accept", Match(opaque=("limit rate 5/second",)), "accept", "pass"),
]


@pytest.mark.parametrize(("text", "match", "action", "then"), NFT_RULES, ids=short)
def test_nft_rules_read_the_same_from_json_and_from_text(namespace, text, match, action, then):
    namespace.nft(
        "table inet t {\n set nets { type ipv4_addr; flags interval;\n"
        "  elements = { 10.20.0.0/16, 192.0.2.1-192.0.2.3 } ; }\n"
        f" chain later {{ }}\n chain f {{ {BASE}\n {text}\n }}\n}}\n"
    )
    answers = namespace.answers()
    without = {k: v for k, v in answers.items() if not k.startswith("nft")}

    whole = read(answers)
    from_json = read({**without, "nft-json": answers["nft-json"]})
    from_text = read({**without, "nft-text": answers["nft-text"]})

    for ruleset in (whole, from_json, from_text):
        assert ruleset.notes == ()
        (chain,) = [chain for chain in ruleset.chains if chain.hook]
        assert (chain.hook, chain.priority, chain.policy) == ("forward", -150, "accept")
        (rule,) = chain.rules
        opaque = rule.match.opaque
        assert replace(rule.match, opaque=()) == replace(match, opaque=())
        assert bool(opaque) == bool(match.opaque)
        assert (rule.action, rule.then) == (action, then)
    assert whole.chains[-1].rules[0].match.opaque == match.opaque
    shown = answers["nft-text"].text.split("\n")[whole.chains[-1].rules[0].line - 1]
    assert shown.strip().startswith(whole.chains[-1].rules[0].text)


def rules_of(ruleset: Ruleset, table: str, chain: str):
    (found,) = [c for c in ruleset.chains if (c.table, c.name) == (table, chain)]
    return found.rules


IPTABLES_RULES = [
    (
        "-o wan0 -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
        Match(families=V4, protocols=TCP, out_interfaces=NameSet(names=("wan0",))),
        ClampTo(value_bytes=None),
    ),
    (
        "-i wan0 -p tcp --syn -m tcpmss --mss 1453:65535 -j TCPMSS --set-mss 1452",
        Match(
            families=V4,
            protocols=TCP,
            in_interfaces=NameSet(names=("wan0",)),
            handshake=frozenset({"syn"}),
            mss_above_bytes=1452,
        ),
        ClampTo(value_bytes=1452),
    ),
    (
        "! -i lan+ -s 10.0.0.0/8 ! -d 192.0.2.1 -p tcp -m multiport --dports 443,2000:2100 -j DROP",
        Match(
            families=V4,
            protocols=TCP,
            in_interfaces=NameSet(names=("lan*",), negated=True),
            sources=PrefixSet(prefixes=("10.0.0.0/8",)),
            destinations=PrefixSet(prefixes=("192.0.2.1/32",), negated=True),
            destination_ports=PortSet(ranges=((443, 443), (2000, 2100))),
        ),
        "drop",
    ),
    (
        (
            "-m conntrack --ctstate RELATED,ESTABLISHED "
            "-m comment --comment 'a -j DROP \"b\"' -j ACCEPT"
        ),
        Match(families=V4, handshake=frozenset({"syn-ack"})),
        "accept",
    ),
    (
        "-p tcp ! --dport 22 -m tcp ! --sport 1:3 -g mine",
        Match(
            families=V4,
            protocols=TCP,
            destination_ports=PortSet(ranges=((22, 22),), negated=True),
            source_ports=PortSet(ranges=((1, 3),), negated=True),
        ),
        Jump(chain="mine", goto=True),
    ),
    (
        "-p icmp --icmp-type 3/4 -j DROP",
        Match(
            families=V4,
            protocols=frozenset({"icmp"}),
            icmp_types=frozenset({"destination-unreachable/frag-needed"}),
        ),
        "drop",
    ),
    ("-p udp -j mine", Match(families=V4, protocols=frozenset({"udp"})), Jump(chain="mine")),
    (
        "-m mark --mark 0x1 -p tcp -j RETURN",
        Match(families=V4, protocols=TCP, opaque=("--mark 0x1",)),
        "return",
    ),
    ("-p tcp -j NFLOG --nflog-prefix 'x y'", Match(families=V4, protocols=TCP), "pass"),
]


@pytest.mark.parametrize(("text", "match", "action"), IPTABLES_RULES, ids=short)
def test_iptables_rules_are_read_once_and_in_their_own_words(namespace, text, match, action):
    namespace.sh(f"iptables -t mangle -N mine; iptables -t mangle -A FORWARD {text}")

    ruleset = read(namespace.answers())

    assert ruleset.notes == ()
    assert [c for c in ruleset.chains if c.name == "FORWARD" and c.table != "ip mangle"] == []
    (rule,) = rules_of(ruleset, "ip mangle", "FORWARD")
    assert (rule.match, rule.action) == (match, action)
    assert rule.packets == 0
    assert rule.command == "iptables-save -c"
    assert rule.name == "ip mangle FORWARD rule 1"


def test_ip6tables_rules_belong_to_ipv6(namespace):
    namespace.sh(
        "ip6tables -t mangle -A FORWARD -o wan0 -p tcp --tcp-flags SYN,RST SYN "
        "-j TCPMSS --clamp-mss-to-pmtu; ip6tables -A INPUT -p icmpv6 --icmpv6-type 2 -j DROP"
    )

    ruleset = read(namespace.answers())

    (clamp,) = rules_of(ruleset, "ip6 mangle", "FORWARD")
    (drop,) = rules_of(ruleset, "ip6 filter", "INPUT")
    assert ruleset.notes == ()
    assert (clamp.match.families, clamp.action) == (V6, ClampTo(value_bytes=None))
    assert drop.match.icmp_types == frozenset({"packet-too-big"})


def test_a_table_made_with_nft_under_iptables_name_is_not_lost(namespace):
    namespace.nft(
        f"table ip mangle {{\n chain forward {{ {BASE}\n"
        f"  {SYN} tcp option maxseg size set 1400\n }}\n}}\n"
        "table ip nat {\n chain postrouting {\n"
        "  type nat hook postrouting priority srcnat; policy accept;\n"
        '  oifname "wan0" masquerade\n }\n}\n'
    )
    namespace.sh("iptables -A FORWARD -i lan0 -j ACCEPT")

    ruleset = read(namespace.answers())

    assert rules_of(ruleset, "ip mangle", "forward")[0].action == ClampTo(value_bytes=1400)
    assert rules_of(ruleset, "ip nat", "postrouting")[0].action == "accept"
    assert [c.name for c in ruleset.chains if c.table == "ip mangle"] == ["forward"]
    assert len(rules_of(ruleset, "ip filter", "FORWARD")) == 1
    assert ruleset.notes == ()


def test_dormant_bridge_and_device_chains_are_told_apart(namespace):
    namespace.sh("ip link add name d0 type veth peer name d1")
    namespace.nft(
        "table ip sleeping {\n flags dormant\n"
        f" chain f {{ {BASE}\n {SYN} tcp option maxseg size set 500\n }}\n}}\n"
        "table bridge br {\n chain f { type filter hook forward priority filter;\n"
        f" {SYN} tcp option maxseg size set 1400\n }}\n}}\n"
        "table netdev n {\n chain i {\n"
        "  type filter hook ingress devices = { d0, d1 } priority -500;\n"
        " ip frag-off & 0x3fff != 0 counter drop\n }\n}\n"
    )

    ruleset = read(namespace.answers())

    assert [(c.table, c.hook, c.priority, c.devices) for c in ruleset.chains] == [
        ("netdev n", "ingress", -500, ("d0", "d1"))
    ]
    assert ruleset.chains[0].rules[0].match.opaque
    assert len(ruleset.notes) == 1
    assert "bridge br f" in ruleset.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "tcp option maxseg size set tcp option maxseg size map { 1460 : 1400 }",
        "reset tcp option maxseg",
        'iifname . ip saddr vmap { "lan0" . 10.1.0.2 : drop }',
    ],
)
def test_what_cannot_be_read_is_noted_or_opaque_and_never_lost(namespace, text):
    namespace.nft(f"table inet t {{\n chain f {{ {BASE}\n {text}\n }}\n}}\n")
    answers = namespace.answers()

    for chosen in (answers, {k: v for k, v in answers.items() if k != "nft-json"}):
        ruleset = read(chosen)
        rules = [rule for chain in ruleset.chains for rule in chain.rules]
        assert ruleset.notes or any(rule.match.opaque for rule in rules)


def test_verdict_maps_become_one_rule_for_each_element(namespace):
    namespace.nft(
        'table inet t {\n map m { type ifname : verdict;\n  elements = { "lan0" : jump x } ; }\n'
        f" chain x {{ {SYN} tcp option maxseg size set 1400\n }}\n"
        f" chain f {{ {BASE}\n iifname vmap @m\n"
        "  tcp dport vmap { 22 : accept, 80-90 : drop }\n }\n}\n"
    )
    answers = namespace.answers()

    for chosen in (answers, {k: v for k, v in answers.items() if k != "nft-json"}):
        rules = rules_of(read(chosen), "inet t", "f")
        assert [rule.action for rule in rules] == [Jump(chain="x"), "accept", "drop"]
        assert rules[0].match.in_interfaces == NameSet(names=("lan0",))
        assert rules[2].match.destination_ports == PortSet(ranges=((80, 90),))


def test_an_empty_kernel_proves_that_there_is_no_rule(namespace):
    assert read(namespace.answers()) == Ruleset(chains=(), command="nft -a list ruleset", notes=())


# -- packets ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "rules",
    [
        "nft add rule inet t f tcp flags syn tcp option maxseg size set 1400",
        "nft add rule inet t f tcp flags syn tcp option maxseg size set rt mtu",
        f"iptables -t mangle -A FORWARD {IPT_CLAMP}--set-mss 1400",
        f"iptables -t mangle -A FORWARD {IPT_CLAMP}--clamp-mss-to-pmtu",
    ],
)
def test_no_clamp_of_this_kernel_raises_an_mss(path, rules):
    path.reset()
    path.nft(f"table inet t {{ chain f {{ {BASE} }} ; }}\n")
    path.sh(rules)

    small = path.connect(mss=600)
    usual = path.connect()

    assert small is not None
    assert usual is not None
    assert small[1] == 600
    assert usual[1] in {1400, 1452}


def packet(handshake, *, way_in, way_out, source, destination) -> Packet:
    ports, service = (32768, 65535), (4444, 4444)
    is_syn = handshake == "syn"
    return Packet(
        family="ipv4",
        protocol="tcp",
        in_interface=way_in,
        out_interface=way_out,
        sources=(source,),
        destinations=(destination,),
        source_ports=ports if is_syn else service,
        destination_ports=service if is_syn else ports,
        handshake=handshake,
    )


def walked(ruleset: Ruleset, handshake: str, start: int):
    ends = ("lan0", "wan0", "10.1.0.2", "10.2.0.2")
    way_in, way_out, source, destination = (
        ends
        if handshake == "syn"
        else (
            ends[1],
            ends[0],
            ends[3],
            ends[2],
        )
    )
    here = packet(handshake, way_in=way_in, way_out=way_out, source=source, destination=destination)
    devices = {"ingress": way_in, "egress": way_out}
    stages = tuple(
        Stage(hook=hook, packet=lambda _priority: here, device=devices.get(hook))
        for hook in ("ingress", "prerouting", "forward", "postrouting", "egress")
    )
    return walk(ruleset, stages, start, 1452)


NFT_CONDITIONS = [
    'iifname "lan0"',
    'iifname "wan0"',
    'oifname { "lan0", "wan0" }',
    'oifname != "lan0"',
    'iifname "wan*"',
    "ip saddr 10.1.0.0/24",
    "ip daddr != 10.1.0.2",
    "ip saddr { 10.2.0.2, 192.0.2.0/24 }",
    "tcp dport 4444",
    "tcp sport != 4444",
    "tcp dport { 443, 4000-5000 }",
    "tcp flags syn / syn,rst",
    "tcp flags & (syn|ack) == syn",
    "tcp flags == (syn|ack)",
    "tcp flags syn",
    "tcp flags != syn",
    "tcp flags ! ack",
    "ct state new",
    "ct state established",
    "ct direction reply",
    "tcp option maxseg size > 1420",
    "tcp option maxseg size 1000-1430",
    "meta nfproto ipv6",
    "meta l4proto { udp, icmp }",
    "meta mark 1",
    "meta mark 0",
]
NFT_ACTIONS = [
    "tcp option maxseg size set 1400",
    "tcp option maxseg size set rt mtu",
    "tcp option maxseg size set 1410 accept",
    "counter",
    "return",
    "accept",
    "drop",
    "jump other",
    "goto other",
    "meta mark set 1",
    "log",
]
IPT_CONDITIONS = [
    "-i lan0",
    "-o lan0",
    "! -i lan0",
    "-i wan+",
    "-s 10.1.0.0/24",
    "! -d 10.1.0.2/32",
    "-p tcp --dport 4444",
    "-p tcp ! --sport 4444",
    "-p tcp --syn",
    "-p tcp --tcp-flags SYN,RST SYN",
    "-p tcp --tcp-flags SYN,ACK SYN,ACK",
    "-p tcp -m tcpmss --mss 1421:65535",
    "-p tcp -m multiport --dports 443,4000:5000",
    "-m conntrack --ctstate ESTABLISHED",
    "-p udp",
]
IPT_ACTIONS = ["ACCEPT", "RETURN", "DROP", "other", "LOG"]


CHAINS = """\
table inet t {
 chain other { }
 chain f { type filter hook forward priority mangle; }
 chain g { type filter hook forward priority filter; }
 chain p { type filter hook postrouting priority mangle; }
}
"""


def random_rules(chooser: random.Random) -> list[str]:
    """Lines that add rules; some combinations are refused by the programs and then left out."""
    lines = []
    for _ in range(chooser.randint(2, 9)):
        chain = chooser.choice(["other", "f", "f", "g", "p"])
        conditions = chooser.sample(NFT_CONDITIONS, chooser.choice([0, 1, 1, 2, 2, 3]))
        action = chooser.choice(NFT_ACTIONS)
        if not (chain == "other" and "other" in action) and (
            action != "drop" or len(conditions) > 1
        ):
            lines.append(f"nft add rule inet t {chain} '{' '.join(conditions)} {action}'")
    for _ in range(chooser.randint(0, 4)):
        chain = chooser.choice(["FORWARD", "FORWARD", "other"])
        condition, action = chooser.choice([*IPT_CONDITIONS, ""]), chooser.choice(IPT_ACTIONS)
        if chooser.random() < 0.5:
            interfaces = chooser.choice(["-i lan0", "-o lan0", "! -i lan0", "-i wan+", ""])
            clamp = chooser.choice(["--clamp-mss-to-pmtu", "--set-mss 1390", "--set-mss 1470"])
            lines.append(f"iptables -t mangle -A {chain} {interfaces} {IPT_CLAMP}{clamp}")
        elif (chain, action) != ("other", "other"):
            lines.append(f"iptables -t mangle -A {chain} {condition} -j {action}")
    return lines


@pytest.mark.parametrize("seed", range(30))
def test_the_walk_over_what_was_read_agrees_with_real_packets(path, seed):
    lines = random_rules(random.Random(seed))  # noqa: S311 - repeatable
    path.reset()
    path.nft(CHAINS)
    path.sh("\n".join(["iptables -t mangle -N other", *(f"{line} || true" for line in lines)]))
    answers = path.answers()
    ruleset = read(answers)
    from_text = read({k: v for k, v in answers.items() if k != "nft-json"})

    arrived = path.connect()

    syn = walked(ruleset, "syn", 1460)
    syn_ack = walked(ruleset, "syn-ack", 1460)
    assert ruleset.notes == ()
    for other, handshake in ((syn, "syn"), (syn_ack, "syn-ack")):
        again = walked(from_text, handshake, 1460)
        assert (again.low_bytes, again.high_bytes, again.dropped) == (
            other.low_bytes,
            other.high_bytes,
            other.dropped,
        )
    if arrived is None:
        assert (syn.dropped, syn_ack.dropped) != ("no", "no"), lines
    else:
        shown = (lines, arrived)
        assert "yes" not in {syn.dropped, syn_ack.dropped}, shown
        assert syn_ack.low_bytes <= arrived[0] <= syn_ack.high_bytes, shown
        if arrived[1] is not None:
            assert syn.low_bytes <= arrived[1] <= syn.high_bytes, shown
