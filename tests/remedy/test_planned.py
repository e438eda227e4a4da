"""One device of a plan, its summary and its way back: every field and every line, by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.model.documents import digest_bytes
from mtughost.model.errors import PlanRefusedError
from mtughost.remedy.describe import diff_digest, plan_diff, plan_summary, summary_digest
from mtughost.remedy.edits import AddRule, NewTable, ReplaceRule, SetMtu, TakeAway
from mtughost.remedy.inverse import inverse_edits, rollback_choice
from mtughost.remedy.state import drift
from mtughost.remedy.waves import check_waves
from tests.change.conftest import (
    CHECKOUT,
    CHOICES,
    choice_of,
    load_beside,
    plan_header,
    worlds,
)

virtual = load_beside("virtual")

ARMED = "test -e /run/mtughost/@MTUGHOST-TOKEN@/armed && "
OUT = 'iifname "{}" oifname "{}" tcp flags syn counter tcp option maxseg size set rt mtu'


@pytest.fixture(scope="module")
def planned():
    """Return makers of plans for one virtual Linux gateway."""
    root = ContentRoot(CHECKOUT)
    content = SimpleNamespace(root=root, book=load_book(root, "linux"))
    builder = worlds.Builder(content)

    def make(kind):
        return builder.one(kind, CHOICES)

    make.content = content
    return make


@pytest.fixture
def people():
    """An author by name: nobody signs here."""
    return SimpleNamespace(author=worlds.AMY)


def test_a_planned_device_says_whom_what_and_from_where_to_where(planned):
    device = planned("host-mtu").devices[0]

    assert (device.name, device.site, device.ha_peer, device.platform) == (
        "s001-gw1",
        "s001",
        "",
        "linux",
    )
    assert (device.hostname, device.version, device.serial) == (
        "s001-gw1",
        "6.1.0",
        "s001-gw1-machine",
    )
    assert (device.address, device.port, device.host_key_fp) == ("192.0.2.1", 22, (worlds.KEY,))
    assert (device.change, device.backend, device.target, device.finding) == (
        "host-mtu",
        "link-mtu",
        "vlan20",
        "clamp-scope",
    )
    assert (device.summary, device.risk, device.blast_radius) == (
        "let the clamp match vlan20 too",
        "small",
        "new TCP connections of vlan20",
    )
    assert (device.other_flows, device.touches_management, device.edits) == (
        ("every host in vlan20",),
        False,
        (),
    )
    assert device.pre.lines == ("interface vlan20 mtu 1500",)
    assert device.post.lines == ("interface vlan20 mtu 1440",)
    assert [line.line for line in device.commands] == [f"{ARMED}ip link set dev vlan20 mtu 1440"]
    assert [line.line for line in device.undo_commands] == ["ip link set dev vlan20 mtu 1500"]
    assert [line.line for line in device.preview] == ["ip -d -o link show dev vlan20"]
    assert [line.id for line in device.persist] == ["host-mtu.persist.1", "host-mtu.persist.2"]
    assert [line.id for line in device.unsave] == ["host-mtu.unsave"]
    assert device.diff_text == (
        "--- s001-gw1: vlan20 (running)\n+++ s001-gw1: vlan20 (planned)\n@@ -1 +1 @@\n"
        "-interface vlan20 mtu 1500\n+interface vlan20 mtu 1440\n"
    )
    assert device.diff_text_digest == digest_bytes(device.diff_text.encode())


def test_a_planned_device_says_how_it_is_undone_verified_and_kept(planned):
    device = planned("clamp-scope-nft").devices[0]
    guard = device.autorevert

    assert (guard.method, guard.window_s, guard.survives_reboot, guard.cost) == (
        "detached-restore",
        180,
        False,
        "none",
    )
    assert guard.survives == (
        "outlives tool-death, session-loss, hang-up; a reboot restores by itself"
    )
    assert [(step.id, step.kind, step.timeout_s) for step in device.verify] == [
        ("state", "read-back", 30),
        ("service", "service", 90),
    ]
    assert device.verify[0].expect == (
        "over a new login, the touched section has the planned digest and nothing else has changed"
    )
    assert device.verify[1].expect == (
        "radsec: a full handshake and a round trip after the change, and a full-size probe answered"
    )
    assert (device.backup.method, device.backup.required) == (
        "state read twice, kept with its digest",
        True,
    )
    for rows, covered, mss in (
        (device.coverage_before, False, 1460),
        (device.coverage_after, True, 1452),
    ):
        assert [
            (r.service, r.ap, r.egress, r.family, r.direction, r.path_mtu_bytes, r.mss_bytes)
            for r in rows
        ] == [("radsec", "s001-ap1", "wan0", "ipv4", way, 1492, mss) for way in ("up", "down")]
        assert {r.covered for r in rows} == {covered}
    assert device.coverage_after[0].proof == "the clamp matches"


def test_a_counter_that_moves_all_the_time_is_no_part_of_a_plan():
    from mtughost.remedy.plan import coverage_rows  # noqa: PLC0415
    from tests.change.conftest import flow_report  # noqa: PLC0415

    report = flow_report("up", covered=True)
    told = [
        coverage_rows([replace(report, proof=f"rule 3{counts} matches")])[0].proof
        for counts in ("", " (1 packet)", " (123 packets)", " (7 hits)", " (no counter)")
    ]

    assert set(told) == {"rule 3 matches"}
    assert coverage_rows([replace(report, proof="MTU (1492)")])[0].proof == "MTU (1492)"


def test_the_summary_is_read_line_by_line(planned):
    text = plan_summary(planned("host-mtu"))

    assert [line for line in text.splitlines() if "saved.interfaces" not in line][:13] == [
        "reason: RADsec fails",
        "ticket: none",
        f"author: amy@example.net {worlds.AMY.key_fp}",
        "window: at any time",
        "devices: 1; waves: 1",
        "failure budget: 0",
        "drift outside the touched section: refused",
        "wave 1: s001-gw1",
        "s001-gw1 at s001: host-mtu for clamp-scope",
        "  let the clamp match vlan20 too",
        "  lines sent:",
        f"    {ARMED}ip link set dev vlan20 mtu 1440",
        "  undo:",
    ]
    assert text.endswith(
        "  undone, if nobody confirms: detached-restore: by itself 180 s after arming; outlives "
        "tool-death, session-loss, hang-up; a reboot restores by itself; that costs: none\n"
        "  verified by:\n"
        "    state (read-back, 30 s): over a new login, the touched section has the planned digest "
        "and nothing else has changed\n"
        "    service (service, 90 s): radsec: a full handshake and a round trip after the change, "
        "and a full-size probe answered\n"
        "  coverage before:\n"
        "    radsec s001-ap1 ipv4 up via wan0: NOT covered; the clamp matches vlan30 only\n"
        "    radsec s001-ap1 ipv4 down via wan0: NOT covered; the clamp matches vlan30 only\n"
        "  coverage after:\n"
        "    radsec s001-ap1 ipv4 up via wan0: covered; the clamp matches\n"
        "    radsec s001-ap1 ipv4 down via wan0: covered; the clamp matches\n"
        "  other flows touched:\n"
        "    every host in vlan20\n"
        "  if it is wrong: new TCP connections of vlan20\n"
        "  risk: small\n"
        "  touches the management path: no\n"
    )


def test_a_change_of_the_management_path_and_a_ticket_are_said(planned):
    plan = planned("host-mtu")
    device = replace(plan.devices[0], touches_management=True)

    text = plan_summary(replace(plan, devices=(device,), ticket="T-1"))

    assert text.endswith("  touches the management path: yes\n")
    assert "ticket: T-1\n" in text


def test_what_is_signed_is_what_was_shown(planned):
    plan = planned("host-mtu")

    assert plan_diff(plan) == plan.devices[0].diff_text
    assert diff_digest(plan) == digest_bytes(plan_diff(plan).encode())
    assert summary_digest(plan) == digest_bytes(plan_summary(plan).encode())


def test_an_empty_wave_is_refused(planned):
    plan = planned("host-mtu")
    empty = replace(plan.waves[0], n=2, devices=())

    with pytest.raises(PlanRefusedError, match="wave 2 holds 0 of 1 devices"):
        check_waves(replace(plan, waves=(*plan.waves, empty)))


# -- the way back ------------------------------------------------------------------------------


def test_two_replaced_rules_are_turned_round_in_the_opposite_order(planned):
    edits = inverse_edits(planned("clamp-scope-nft").devices[0])

    assert all(isinstance(edit, ReplaceRule) for edit in edits)
    assert [(edit.table, edit.chain) for edit in edits] == [("inet clamp", "forward")] * 2
    both = '{ "vlan20", "vlan30" }'
    wide = [
        OUT.format("wan0", "X").replace('"X"', both),
        OUT.format("X", "wan0").replace('"X"', both),
    ]
    assert [edit.before.text() for edit in edits] == wide
    assert [edit.after.text() for edit in edits] == [
        OUT.format("wan0", "vlan30"),
        OUT.format("vlan30", "wan0"),
    ]


def test_an_added_rule_is_taken_away_and_knows_where_it_stood(planned):
    (edit,) = inverse_edits(planned("clamp-add-nft").devices[0])

    assert isinstance(edit, TakeAway)
    assert isinstance(edit.added, AddRule)
    assert (edit.added.table, edit.added.chain) == ("inet clamp", "forward")
    assert edit.added.behind == OUT.format("vlan30", "wan0")
    assert edit.added.rule.in_interfaces == ("vlan20",)
    assert edit.added.rule.comment == "mtughost-0123abcd"


def test_a_table_of_our_own_is_taken_away_as_a_whole(planned):
    (edit,) = inverse_edits(planned("clamp-missing-nft-fixed").devices[0])

    assert isinstance(edit, TakeAway)
    assert isinstance(edit.added, NewTable)
    assert [(r.nfproto, r.mss_bytes) for r in edit.added.rules] == [
        (4, 1452),
        (4, 1452),
        (6, 1432),
        (6, 1432),
    ]


def test_rules_of_iptables_are_found_in_the_table_of_their_family(planned):
    edits = inverse_edits(planned("clamp-iptables").devices[0])

    found = [(e.added.table, e.added.chain, e.added.rule.nfproto) for e in edits]
    assert found == [
        ("ip6 mangle", "FORWARD", 6),
        ("ip mangle", "FORWARD", 4),
        ("ip mangle", "FORWARD", 4),
    ]
    assert [edit.added.behind.partition(" -p ")[0] for edit in edits] == [
        "",
        "",
        "-A FORWARD -i vlan30 -o wan0",
    ]


def test_an_mtu_is_set_back(planned):
    assert inverse_edits(planned("host-mtu").devices[0]) == (
        SetMtu(interface="vlan20", before_bytes=1440, after_bytes=1500),
    )


def test_the_way_back_says_what_it_takes_back_and_for_whom(planned):
    device = replace(planned("host-mtu").devices[0], summary="on s001-gw1, lower the MTU")

    choice = rollback_choice(device)

    assert (choice.device, choice.change, choice.finding) == (
        "s001-gw1",
        "rollback",
        "clamp-scope",
    )
    assert (choice.backend, choice.target) == ("link-mtu", "vlan20")
    assert choice.summary == "on s001-gw1, take back: lower the MTU"
    assert choice.risk == ("what host-mtu repaired (clamp-scope) will be as it was before")
    assert (choice.blast_radius, choice.other_flows) == (
        device.blast_radius,
        device.other_flows,
    )
    assert (choice.touches_management, choice.prove_service) == (False, False)
    before, after = choice.before[0], choice.after[1]
    assert (before.key.direction, before.covered, before.mss.configured) == ("up", True, 1452)
    assert (after.key.direction, after.covered, after.path_mtu) == ("down", False, 1492)
    assert (after.key.service, after.key.ap, after.key.egress, after.key.family) == (
        "radsec",
        "s001-ap1",
        "wan0",
        "ipv4",
    )
    assert after.proof == "the clamp matches vlan30 only"


# -- what is predicted is what the devices say -------------------------------------------------


# The lowered value is the till's: it repairs nothing for the access points of this gateway.
@pytest.mark.parametrize("kind", sorted(set(CHOICES) - {"clamp-value-nft"}))
def test_the_planned_lines_lead_exactly_to_the_planned_state_and_those_of_the_way_back_back(
    planned, kind, tmp_path
):
    fleet = worlds.world_of(tmp_path, planned(kind))
    gateway = fleet.stations["s001-gw1"].gateway

    (result,) = fleet.run()

    assert (result.outcome, fleet.side("s001-gw1")) == ("confirmed", "after")
    assert gateway.broken_promises == []
    first = fleet.plan.devices[0]
    builder = worlds.Builder(planned.content)
    back = builder.device(rollback_choice(first), "s001-gw1", gateway=gateway)
    assert (back.pre.lines, back.post.lines) == (first.post.lines, first.pre.lines)
    fleet.plan = builder.plan([back])
    (undone,) = fleet.run("run-2")
    assert (undone.outcome, fleet.side("s001-gw1")) == ("confirmed", "before")


@pytest.mark.parametrize(
    "case",
    [
        "cisco_xe-interface",
        "edgeos-had-another-type",
        "fortinet-mtu",
        "juniper_junos-policy",
        "mikrotik_routeros-both-families",
        "vyos-had-one",
    ],
)
def test_a_configurations_lines_lead_exactly_to_the_planned_state(case, tmp_path, people):
    rig = virtual.VirtualRig(case, people, tmp_path, choice_of, plan_header)
    plan = rig.plan()

    result = rig.run(plan)

    assert result.outcome == "confirmed", result
    again = rig.prepare(choice=replace(rollback_choice(plan.devices[0]), device=virtual.NAME))
    assert again.pre.lines == plan.devices[0].post.lines
    assert again.post.lines == plan.devices[0].pre.lines


def test_what_changed_beside_the_touched_section_is_named_by_its_section(tmp_path, people):
    rig = virtual.VirtualRig("cisco_xe-interface", people, tmp_path, choice_of, plan_header)
    before = rig.prepare().pre
    cli = rig.device.login("operator")
    for line in ("configure terminal", "interface GigabitEthernet0/0/1", "ip mtu 1400", "end"):
        cli.type(line)
    cli.type("write memory")

    after = rig.prepare().pre

    assert after.relevant == before.relevant
    assert after.whole != before.whole
    assert "section interface GigabitEthernet0/0/1 changed" in drift(before, after)
