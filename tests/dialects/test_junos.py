"""Junos on SRX: what the class may view, routes in use, the places that hold an MSS."""

from __future__ import annotations

from textwrap import dedent

import pytest

from mtughost.content.parsers import load_parser
from mtughost.content.root import packaged_content
from mtughost.dialects.junos import read_clamps, read_privilege, read_routes
from mtughost.model.basis import Unknown
from mtughost.model.clamps import NameSet
from mtughost.model.session import Answer

SEES_ALL = """\
Current user: 'audit' class 'read-only-all'
Permissions:
    view        -- Can view current values and statistics
    view-configuration-- Can view all configuration (not including secrets)
Individual command authorization:
    Deny regular expression: none
    Deny configuration regular expression: none
"""
POLICY = "set security policies from-zone a to-zone b policy p"
TEXTS = {
    "authorization": SEES_ALL,
    "interfaces": "set interfaces irb unit 20 family inet address 10.20.1.1/24\n",
    "flow": "set security flow tcp-mss all-tcp mss 1452\n",
    "policies": "",
    "options": "",
}


def clamps(**texts):
    given = {**TEXTS, **texts}
    return read_clamps(
        {
            name: text
            if isinstance(text, Answer)
            else Answer(command_id=name, line=name, text=text)
            for name, text in given.items()
            if text is not None
        }
    )


def rules(ruleset):
    (chain,) = ruleset.chains
    return chain.rules


def test_all_tcp_is_certain_for_ipv4_and_not_for_ipv6():
    v4, v6 = rules(clamps())

    assert (v4.action.value_bytes, v4.match.opaque, v4.line) == (1452, (), 1)
    assert v6.match.families == frozenset({"ipv6"})
    assert v6.match.opaque


def test_for_tunnels_the_vpn_value_comes_first_and_ends_there():
    vpn, *rest = rules(
        clamps(flow=TEXTS["flow"] + "set security flow tcp-mss ipsec-vpn mss 1350\n")
    )

    assert vpn.match.out_interfaces == NameSet(names=("st0*",))
    assert (vpn.action.value_bytes, vpn.then) == (1350, "accept")
    assert rest[0].action.value_bytes == 1452


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("interfaces", "set interfaces irb unit 20 family inet tcp-mss 1400"),
        ("flow", "set security flow tcp-mss gre-in mss 1400"),
        ("options", "set system internet-options tcp-mss 1400"),
        (
            "policies",
            f"{POLICY} then permit tcp-options initial-tcp-mss 1400",
        ),
    ],
)
def test_what_the_documents_leave_open_is_never_certain(where, line):
    text = TEXTS["interfaces"] + line if where == "interfaces" else line

    found = rules(clamps(**{"flow": "", where: text}))

    assert [rule.action.value_bytes for rule in found] == [1400]
    assert all(rule.match.opaque for rule in found)


def test_a_deactivated_line_does_not_count():
    assert rules(clamps(flow=TEXTS["flow"] + "deactivate security flow tcp-mss\n")) == ()


@pytest.mark.parametrize("name", list(TEXTS))
def test_an_answer_that_did_not_come_makes_the_clamps_unknown(name):
    late = Answer(command_id=name, line=name, text="", status="timeout")

    assert isinstance(clamps(**{name: None}), Unknown)
    assert isinstance(clamps(**{name: late}), Unknown)


@pytest.mark.parametrize(
    "said",
    [
        "",
        SEES_ALL.replace("    view-configuration--", "    viewer--"),
        SEES_ALL.replace(
            "configuration regular expression: none", "configuration regular expression: security"
        ),
    ],
)
def test_a_class_that_may_not_view_everything_never_proves_that_there_is_no_clamp(said):
    assert isinstance(clamps(authorization=said, flow=""), Unknown)
    assert read_privilege(said).rows[0]["SEES_FIREWALL"] == "no"


def test_a_denied_part_or_no_interface_at_all_makes_the_clamps_unknown():
    assert isinstance(clamps(flow="/* ACCESS-DENIED */\n"), Unknown)
    assert isinstance(clamps(interfaces=""), Unknown)


def test_a_line_that_is_no_set_line_is_noted():
    assert clamps(flow=TEXTS["flow"] + "mgd: event 17\n").notes
    assert clamps(flow=TEXTS["flow"] + "{primary:node0}\n").notes == ()


def test_routes_in_use_have_their_way_out():
    read = read_routes(
        "\ninet.0: 5 destinations, 6 routes (5 active, 0 holddown, 0 hidden)\n"
        "+ = Active Route, - = Last Active, * = Both\n\n"
        "0.0.0.0/0          *[Static/5] 1w2d 03:04:05\n"
        "                    > to 198.51.100.1 via ge-0/0/0.0\n"
        "                      to 198.51.100.5 via ge-0/0/1.0\n"
        "10.20.1.0/24       *[Direct/0] 1w2d\n"
        "                    > via irb.20\n"
        "                    [OSPF/150/10] 3w3d 03:12:45, metric 20, tag 0\n"
        "                      to 198.51.100.9 via ge-0/0/2.0\n"
        "10.20.1.1/32       *[Local/0] 1w2d\n"
        "                      Local via irb.20\n"
        "10.9.0.0/16        *[Aggregate/130] 1w2d\n"
        "                      Discard\n"
        "event 17\n\n"
        "guest.inet.0: 1 destinations, 1 routes (1 active, 0 holddown, 0 hidden)\n"
        "192.0.2.0/24       *[Direct/0] 1w2d\n"
        "                    > via irb.99\n"
    )

    found = [(r["DESTINATION"], r["VIA"], r["INTERFACE"], r.get("TABLE")) for r in read.rows]
    assert found == [
        ("0.0.0.0/0", "198.51.100.1", "ge-0/0/0.0", None),
        ("0.0.0.0/0", "198.51.100.5", "ge-0/0/1.0", None),
        ("10.20.1.0/24", "", "irb.20", None),
        ("10.20.1.1/32", "", "irb.20", None),
        ("192.0.2.0/24", "", "irb.99", "guest.inet.0"),
    ]
    assert [text for _, text in read.unplaced] == ["event 17"]


# -- real output ---------------------------------------------------------------------------------


@pytest.fixture
def samples(shared):
    return shared / "samples" / "gateways" / "junos"


def test_real_routes_give_their_next_hops(samples):
    def rows(number):
        text = dedent((samples / f"show_route__{number}.txt").read_text())
        read = read_routes("\n".join(line.removesuffix(" ") for line in text.split("\n")))
        return {(r["DESTINATION"], r["VIA"], r["INTERFACE"]) for r in read.rows}

    assert ("0.0.0.0/0", "10.169.14.121", "ge-0/0/1.0") in rows(2)
    assert ("10.1.0.0/24", "", "fxp0.0") in rows(4)
    assert ("10.1.0.0/24", "10.169.14.121", "ge-0/0/1.0") not in rows(4)
    assert ("10.169.14.240/32", "10.169.14.121", "ge-0/0/1.0") in rows(6)


def test_real_interfaces_give_the_ip_mtu_and_not_the_media_mtu(samples):
    parser = load_parser(packaged_content(), "juniper_junos", "interfaces")

    mtus = {}
    for path in sorted(samples.glob("show_interfaces__*")):
        mtus |= {row["NAME"]: row["MTU"] for row in parser.rows(path.read_text()).rows}
    assert mtus["irb.6013"] == "1514"
    assert mtus["ge-0/0/0.0"] == "1500"
    assert mtus["ge-0/0/1.0"] == "1500"


def test_real_configuration_with_a_tcp_mss_of_an_interface_proves_nothing(samples):
    text = (samples / "show_configuration_display_set.juniper_interfaces__1.txt").read_text()
    lines = "".join(f"{line}\n" for line in text.split("\n") if line.startswith("set interfaces"))

    found = rules(clamps(interfaces=lines, flow=""))

    assert [(rule.action.value_bytes, bool(rule.match.opaque)) for rule in found] == [(1400, True)]
    assert found[0].match.in_interfaces == NameSet(names=("irb.5",))
