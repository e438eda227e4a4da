"""Answers to facts: what was not seen whole is unknown, with the reason; never "not there"."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtughost.collect.reads import facts_from_answers
from mtughost.collect.rows import MTU_RANGE, whole_number
from mtughost.collect.visit import read_device
from mtughost.content.load import load_book
from mtughost.content.root import packaged_content
from mtughost.model.basis import Known, Unknown
from mtughost.model.clamps import ClampTo
from mtughost.model.errors import (
    CommandRejectedError,
    DeviceTimeoutError,
    DeviceUnreachableError,
    OutputLimitError,
    SessionDesyncError,
)
from mtughost.model.inventory import Credential, Device
from mtughost.model.session import Answer

ROOT = packaged_content()
BOOK = load_book(ROOT, "linux")
CASES = Path(__file__).resolve().parent.parent / "fixtures" / "parsers" / "linux"
GATEWAY = Device(
    name="s001-gw1",
    address="192.0.2.1",
    site="s001",
    role="gateway",
    credential=Credential(realm="lab", username="root"),
    ap_vlan="vlan20",
    lab="foundry",
)
AP = replace(GATEWAY, name="s001-ap1", role="ap", lab="")
TAKEN = "2026-11-21T09:00:00Z"

LINKS = json.dumps(
    [
        {
            "ifname": "vlan20",
            "mtu": 1500,
            "operstate": "UP",
            "link_type": "ether",
            "link": "eth0",
            "linkinfo": {"info_kind": "vlan"},
        },
        {
            "ifname": "wan0",
            "mtu": 1492,
            "operstate": "UNKNOWN",
            "flags": ["UP", "LOWER_UP"],
            "link_type": "ppp",
        },
    ],
    indent=1,
)
NFT_TEXT = """\
table inet clamp { # handle 1
	chain forward { # handle 1
		type filter hook forward priority mangle; policy accept;
		iifname "vlan30" tcp flags syn counter packets 4 bytes 240 tcp option maxseg size set rt mtu
	}
}
"""


def case(name: str) -> str:
    return (CASES / f"{name}.raw").read_text()


def answer(command_id: str, text: str, *, code: int = 0, status: str = "complete") -> Answer:
    return Answer(
        command_id=command_id,
        line=BOOK.commands[command_id].run,
        text=text,
        exit_code=code,
        status=status,
        started_utc=TAKEN,
    )


def answers_of(**changed: Answer) -> list[Answer]:
    """A whole, healthy set of answers with some changed (underscores for hyphens)."""
    texts = {
        "os-release": case("os-release/debian-12"),
        "kernel": case("kernel/x86"),
        "nodename": case("nodename/plain"),
        "uptime": case("uptime/plain"),
        "machine-id": case("machine-id/plain"),
        "privilege": case("privilege/root"),
        "links": LINKS,
        "addresses": "[]",
        "routes-v4": case("ip-route/all-tables"),
        "routes-v6": case("ip-route/ipv6"),
        "route-cache-v4": case("ip-route/cache"),
        "tcp-sessions": case("ss/stalled"),
        "nft-json": "",
        "nft-text": NFT_TEXT,
        "iptables-save": "",
        "ip6tables-save": "",
        "xtables-legacy": "",
        "sysctls": case("sysctl/all"),
        "ip-counters": case("ip-counters/namespace"),
        "cloud-status": case("cloud-status/two-services"),
        "push-log": case("push-log/failed-push"),
        "radsec-log": case("radsec-log/failing"),
        "dnsmasq-config": case("dnsmasq-config/scoped"),
        "dhcp-leases": case("dhcp-leases/dhclient"),
        "clock": case("clock/plain"),
    }
    found = {name: answer(name, text) for name, text in texts.items()}
    # nft without JSON: the text alone is read.
    found["nft-json"] = answer("nft-json", "", code=1, status="rejected")
    return list((found | {name.replace("_", "-"): a for name, a in changed.items()}).values())


def facts(device: Device = GATEWAY, **changed: Answer):
    return facts_from_answers(answers_of(**changed), BOOK, ROOT, device)[0]


def value(fact):
    assert isinstance(fact, Known), fact
    return fact.value


def test_every_kind_of_fact_is_read():
    found = facts()

    identity = value(found.identity)
    assert (identity.hostname, identity.os_name, identity.os_version, identity.model) == (
        "store1-ap1",
        "Debian GNU/Linux",
        "12",
        "x86_64",
    )
    assert (identity.uptime_s, len(identity.serial)) == (4044, 32)
    assert value(found.privilege).sees_firewall
    vlan, wan = value(found.interfaces)
    assert (vlan.name, vlan.mtu_bytes, vlan.kind, vlan.parent, vlan.up) == (
        "vlan20",
        1500,
        "vlan",
        "eth0",
        True,
    )
    assert (wan.mtu_bytes, wan.kind, wan.up) == (1492, "ppp", True)
    assert value(found.icmp).sends_df is True
    assert value(found.clock_utc) == "2026-11-21T12:15:53Z"


def test_lines_commands_basis_and_time_are_carried_along():
    found = facts()

    _, wan = value(found.interfaces)
    assert LINKS.split("\n")[wan.line - 1 + 1].strip().startswith('"ifname": "wan0"')
    assert found.interfaces.source.basis == "real program"
    assert found.interfaces.source.command == "ip -d -j -p link show"
    assert found.interfaces.source.taken_utc == TAKEN
    (rule,) = value(found.clamps).chains[0].rules
    assert NFT_TEXT.split("\n")[rule.line - 1].strip().startswith(rule.text)
    assert (rule.action, rule.packets) == (ClampTo(value_bytes=None), 4)
    assert found.clamps.source.command == "nft -a list ruleset"
    (session,) = value(found.sessions)
    assert (session.line, session.backoff, session.unacked_segments) == (1, 3, 3)


def test_a_recorded_answer_says_so():
    found, _ = facts_from_answers(answers_of(), BOOK, ROOT, AP, basis="recorded output")

    assert found.identity.source.basis == "recorded output"
    assert facts(AP).identity.source.basis == "real device"


def test_routes_keep_lock_next_hops_and_learned_path_mtus():
    routes = value(facts().routes)

    by_destination = {}
    for route in routes:
        by_destination.setdefault((route.destination, route.cached), []).append(route)
    (locked,) = by_destination["198.51.100.0/24", False]
    assert (locked.mtu_bytes, locked.mtu_locked, locked.advmss_bytes) == (1400, True, 1300)
    assert [(r.interface, r.via) for r in by_destination["192.0.2.128/25", False]] == [
        ("va", "203.0.113.1"),
        ("vlan20", "10.20.0.9"),
    ]
    (learned,) = by_destination["203.0.113.10/32", True]
    assert (learned.mtu_bytes, learned.expires_s) == (1492, 597)
    assert {r.table for r in routes} == {"main", "100"}
    assert {r.family for r in by_destination["default", False]} == {"ipv4", "ipv6"}


def test_the_cloud_and_the_logs_are_read_on_an_ap_and_not_on_a_gateway():
    found = facts(AP)

    radsec, config = value(found.cloud)
    assert (radsec.connected, radsec.port, radsec.last_failure) == (True, 2083, "none")
    assert (config.connected, config.last_failure) == (False, "handshake-stall")
    assert {f.failure for f in value(found.push_log)} == {"handshake-stall"}
    assert isinstance(facts(GATEWAY).cloud, Unknown)


def test_option_26_counts_where_it_is_meant_for_the_vlan_of_the_ap():
    assert value(facts(AP).dhcp_mtu_bytes) == 1492
    assert value(facts(GATEWAY).dhcp_mtu_bytes) == 1492
    other = facts(replace(GATEWAY, ap_vlan="vlan99")).dhcp_mtu_bytes
    assert isinstance(other, Unknown)
    assert "tag:vlan20" in other.reason
    assert isinstance(facts(dnsmasq_config=answer("dnsmasq-config", "")).dhcp_mtu_bytes, Unknown)


@pytest.mark.parametrize("status", ["timeout", "eof", "output-limit", "desync", "rejected"])
def test_an_answer_that_did_not_end_is_never_a_fact(status):
    cut = answer("links", LINKS, status=status)
    found = facts(links=cut, links_text=answer("links-text", "", status=status))

    assert isinstance(found.interfaces, Unknown)
    assert status in found.interfaces.reason


def test_a_missing_program_is_unknown_and_not_an_empty_list():
    gone = answer("tcp-sessions", "", code=127, status="rejected")

    found = facts(tcp_sessions=gone)

    assert found.sessions == Unknown("'ss -tinH' is not installed on the device")


def test_a_command_that_was_not_asked_is_unknown():
    found, _ = facts_from_answers([], BOOK, ROOT, GATEWAY)

    for name in ("identity", "interfaces", "routes", "sessions", "clamps", "icmp", "clock_utc"):
        assert isinstance(getattr(found, name), Unknown), name


@pytest.mark.parametrize(
    "proof",
    [
        answer("privilege", case("privilege/nobody")),
        answer("privilege", case("privilege/root-without-net-admin")),
        answer("privilege", "uid 0\n"),
        answer("privilege", "", status="timeout"),
        answer("privilege", "uid 0\nCapEff:\tfffffffffffffffff\n"),
    ],
)
def test_without_proof_of_visibility_rules_are_unknown_even_if_some_were_shown(proof):
    found = facts(privilege=proof)

    assert isinstance(found.clamps, Unknown)
    assert "packet filter" in found.clamps.reason
    assert "root" in found.clamps.cheapest_test
    assert isinstance(found.interfaces, Known)


def test_an_empty_and_whole_packet_filter_is_a_known_absence():
    found = facts(nft_text=answer("nft-text", ""))

    assert value(found.clamps).chains == ()
    assert value(found.clamps).notes == ()


def test_a_line_that_is_not_understood_makes_its_fact_unknown_and_no_other():
    text = case("ss/stalled") + "what: is this\n"
    found, unplaced = facts_from_answers(
        answers_of(tcp_sessions=answer("tcp-sessions", text)), BOOK, ROOT, GATEWAY
    )

    assert isinstance(found.sessions, Unknown)
    assert "line 3 of 'ss -tinH' is not understood: what: is this" in found.sessions.reason
    assert isinstance(found.interfaces, Known)
    assert [(u.kind, u.line, u.strict) for u in unplaced] == [("sessions", 3, True)]


def test_elsewhere_such_a_line_is_kept_and_counted():
    text = case("os-release/debian-12") + "not a key\n"
    found, unplaced = facts_from_answers(
        answers_of(os_release=answer("os-release", text)), BOOK, ROOT, GATEWAY
    )

    assert isinstance(found.identity, Known)
    assert [(u.kind, u.text, u.strict) for u in unplaced] == [("identity", "not a key", False)]


def test_control_characters_of_a_device_are_shown_and_not_passed_on():
    found = facts(clock=answer("clock", "\x1b[2Jx\n"))

    assert isinstance(found.clock_utc, Unknown)
    assert "\x1b" not in found.clock_utc.reason
    assert "\\x1b[2Jx" in found.clock_utc.reason


@pytest.mark.parametrize(
    "text",
    ["-1", "0", "67", "65537", "99999999999", "1e3", "0x5dc", "\u0661\u0665\u0660\u0660", ""],
)
def test_an_mtu_that_is_no_plain_number_in_range_is_no_number(text):
    assert whole_number(text, *MTU_RANGE) is None
    links = json.dumps([{"ifname": "a", "mtu": text}])
    (interface,) = value(facts(links=answer("links", links)).interfaces)
    assert interface.mtu_bytes is None


def test_an_interface_that_is_listed_twice_makes_the_list_unknown():
    links = json.dumps([{"ifname": "a", "mtu": 1500}, {"ifname": "a", "mtu": 1400}])

    found = facts(links=answer("links", links))

    assert found.interfaces == Unknown("the interface a is listed twice")


def test_the_text_of_ip_is_read_where_there_is_no_json():
    broken = answer("links", 'Option "-j" is unknown', code=255, status="rejected")

    found = facts(links=broken, links_text=answer("links-text", case("ip-link/details")))

    by_name = {item.name: item for item in value(found.interfaces)}
    assert (by_name["tun0"].mtu_bytes, by_name["tun0"].kind) == (1446, "tunnel")
    assert (by_name["vlan20"].kind, by_name["vlan20"].parent) == ("macvlan", "va")
    assert by_name["va"].parent == ""


def test_the_same_answers_give_the_same_facts_in_any_order():
    once = facts_from_answers(answers_of(), BOOK, ROOT, AP)

    assert facts_from_answers(reversed(answers_of()), BOOK, ROOT, AP) == once


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(sorted(a.command_id for a in answers_of()))))
def test_taking_answers_away_never_turns_unknown_into_a_value(removed):
    whole, _ = facts_from_answers(answers_of(), BOOK, ROOT, AP)
    left = [a for a in answers_of() if a.command_id not in removed]
    less, _ = facts_from_answers(left, BOOK, ROOT, AP)

    for name in whole.__dataclass_fields__:
        if isinstance(getattr(whole, name), Unknown):
            assert isinstance(getattr(less, name), Unknown), name


class Recorded:
    """A session that plays answers from a dict and remembers what it was asked."""

    host = "s001-gw1"
    small_mss_login = False

    def __init__(self, answers):
        self.answers = {a.command_id: a for a in answers}
        self.asked: list[list[str]] = []
        self.risks: set[str] = set()
        self.fallback = {"code": 127, "status": "rejected"}

    def ask(self, commands):
        self.asked.append([command.command_id for command in commands])
        self.risks |= {command.risk for command in commands}
        return tuple(
            self.answers.get(c.command_id) or answer(c.command_id, "", **self.fallback)
            for c in commands
        )


class Stopped:
    def utc_now(self):
        return TAKEN

    def monotonic_s(self):
        return 1.0


def test_a_visit_asks_once_and_only_passive_commands_for_the_role():
    session = Recorded(answers_of())

    visit = read_device(session, BOOK, ROOT, GATEWAY, clock=Stopped())

    assert len(session.asked) == 1
    assert session.risks == {"passive"}
    assert "cloud-status" not in session.asked[0]
    assert len(set(session.asked[0])) == len(session.asked[0])
    assert [a.command_id for a in visit.answers] == session.asked[0]
    assert visit.facts == facts_from_answers(visit.answers, BOOK, ROOT, GATEWAY)[0]


def test_a_fallback_is_asked_only_after_the_first_choice_failed():
    broken = answer("links", "", code=255, status="rejected")
    session = Recorded(
        answers_of(links=broken, links_text=answer("links-text", case("ip-link/plain")))
    )

    visit = read_device(session, BOOK, ROOT, GATEWAY, clock=Stopped())

    assert session.asked[1:] == [["links-text"]]
    assert len(value(visit.facts.interfaces)) == 6


def test_rules_are_never_read_without_the_proof_of_visibility():
    session = Recorded(answers_of())

    visit = read_device(session, BOOK, ROOT, GATEWAY, clock=Stopped(), kinds=frozenset({"clamps"}))

    assert "privilege" in session.asked[0]
    assert "links" not in session.asked[0]
    assert isinstance(visit.facts.clamps, Known)
    assert isinstance(visit.facts.interfaces, Unknown)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("timeout", DeviceTimeoutError),
        ("output-limit", OutputLimitError),
        ("desync", SessionDesyncError),
        ("eof", DeviceUnreachableError),
        ("rejected", CommandRejectedError),
    ],
)
def test_a_device_that_answers_nothing_at_all_was_not_read(status, error):
    session = Recorded(
        replace(item, text="", exit_code=None, status=status, error="its own words")
        for item in answers_of()
    )
    session.fallback = {"code": None, "status": status}

    with pytest.raises(error, match="s001-gw1: no command was answered: its own words"):
        read_device(session, BOOK, ROOT, GATEWAY, clock=Stopped())


def test_a_connection_that_ends_on_the_way_is_said_with_how_far_it_came():
    session = Recorded(answers_of()[:1])
    session.fallback = {"code": None, "status": "eof"}

    with pytest.raises(
        DeviceUnreachableError, match=r"the connection ended after 1 of \d+ answers"
    ):
        read_device(session, BOOK, ROOT, GATEWAY, clock=Stopped())
