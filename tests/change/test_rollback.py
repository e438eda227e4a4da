"""A confirmed change is taken back by a plan of its own: virtual gateways, and the real kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.model.errors import PlanRefusedError
from mtughost.remedy.inverse import rollback_choice

KINDS = ["clamp-scope-nft", "clamp-add-nft", "clamp-missing-nft", "clamp-iptables", "host-mtu"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_leads_exactly_back(virtual, builder, world, kind):
    first = virtual(kind)
    (result,) = first.run()
    gateway = first.stations["s001-gw1"].gateway
    assert (result.outcome, first.side("s001-gw1")) == ("confirmed", "after")

    choice = rollback_choice(first.plan.devices[0])
    back = builder.plan([builder.device(choice, "s001-gw1", gateway=gateway)], reason="back")
    first.plan = back
    (undone,) = first.run("run-2")

    assert undone.outcome == "confirmed", undone
    assert first.side("s001-gw1") == "before"
    assert gateway.broken_promises == []
    assert gateway.papers == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_of_a_rollback_is_the_change_again(virtual, builder, kind):
    plan = virtual(kind).plan.devices[0]
    first = virtual(kind)
    first.run()
    gateway = first.stations["s001-gw1"].gateway

    back = builder.device(rollback_choice(plan), "s001-gw1", gateway=gateway)
    first.plan = builder.plan([back])
    first.run("run-2")
    again = builder.device(rollback_choice(back), "s001-gw1", gateway=gateway)
    first.plan = builder.plan([again])
    first.run("run-3")

    assert again.post.lines == plan.post.lines
    assert first.side("s001-gw1") == "after"


def test_a_rollback_does_not_ask_for_a_service_that_may_not_work(virtual):
    choice = rollback_choice(virtual().plan.devices[0])

    assert not choice.prove_service
    assert [row.covered for row in choice.after] == [False, False]


@pytest.mark.parametrize("fault", ["eof", "lost", "reboot", "late", "fail"])
def test_a_rollback_that_breaks_off_leaves_the_change_in_place(
    virtual, builder, world, choices, fault
):
    first = virtual()
    first.run()
    station = first.stations["s001-gw1"]
    back = builder.device(
        rollback_choice(first.plan.devices[0]), "s001-gw1", gateway=station.gateway
    )
    first.plan = builder.plan([back])
    changed = station.gateway.running.copy()
    station.faults = [world.Fault(station.lines + 29, fault)]

    (result,) = first.run("run-2")
    first.wait(300)

    assert result.outcome in {"reverted", "confirmed"}
    if result.outcome == "reverted":
        assert station.gateway.running.same_as(changed)


def test_what_was_changed_by_hand_since_is_not_taken_back(virtual, builder, as_kept):
    first = virtual()
    first.run()
    gateway = first.stations["s001-gw1"].gateway
    gateway.running.tables["inet clamp"].rules.pop()
    gateway.boots = gateway.running.copy()

    with pytest.raises(PlanRefusedError, match="Audit again") as caught:
        builder.device(rollback_choice(first.plan.devices[0]), "s001-gw1", gateway=gateway)
    as_kept(str(caught.value))


@pytest.mark.parametrize(
    "lines",
    [
        ("table inet clamp {", "chain forward {", "meta mark 7 accept", "}", "}"),
        ("table inet clamp {", "}"),
        ("table inet other {", "chain c {", "h", "meta mark 7 accept", "}", "}"),
    ],
)
def test_a_plan_whose_change_cannot_be_found_again_is_refused(virtual, lines, as_kept):
    planned = virtual().plan.devices[0]
    odd = replace(planned, post=replace(planned.post, lines=lines))

    with pytest.raises(PlanRefusedError, match="turned round") as caught:
        rollback_choice(odd)
    as_kept(str(caught.value))


def spoilt(planned, **lines):
    sides = {
        side: replace(getattr(planned, side), lines=change(getattr(planned, side).lines))
        for side, change in lines.items()
    }
    return replace(planned, **sides)


def mark(lines):
    """Put a rule that nobody here can write in the place of the last one."""
    rule = next(line for line in reversed(lines) if "TCPMSS" in line or "maxseg" in line)
    return tuple("-A FORWARD -j MARK" if line == rule else line for line in lines)


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        # Nothing was changed, so nothing can be turned round.
        ("clamp-scope-nft", {"post": lambda lines: lines[:0]}),
        ("clamp-iptables", {"post": mark}),
        ("clamp-missing-nft", {"post": mark}),
        ("clamp-missing-nft", {"post": lambda lines: ("table inet foreign {", *lines[1:])}),
        ("host-mtu", {"post": lambda lines: tuple(one.replace("vlan20", "x") for one in lines)}),
        ("clamp-scope-nft", {"pre": lambda lines: lines[:2], "post": lambda lines: lines[1:2]}),
    ],
)
def test_a_change_that_does_not_lead_exactly_back_is_refused(virtual, kind, lines, as_kept):
    planned = virtual(kind).plan.devices[0]

    with pytest.raises(PlanRefusedError, match="turned round") as caught:
        rollback_choice(spoilt(planned, **lines))
    as_kept(str(caught.value))


def test_a_plan_without_a_difference_says_how_to_take_it_back_by_hand(virtual, as_kept):
    planned = virtual().plan.devices[0]
    same = replace(planned, post=planned.pre)

    with pytest.raises(PlanRefusedError, match="cannot be turned round") as caught:
        rollback_choice(same)
    as_kept(str(caught.value))

    assert planned.undo_commands[0].line in caught.value.todo


@pytest.mark.lab
@pytest.mark.parametrize(
    "kind",
    [
        "clamp-iptables",
        pytest.param("clamp-scope-nft", marks=pytest.mark.nightly(basis="real program")),
        pytest.param("clamp-add-nft", marks=pytest.mark.nightly(basis="real program")),
        pytest.param("clamp-missing-nft", marks=pytest.mark.nightly(basis="real program")),
        pytest.param("host-mtu", marks=pytest.mark.nightly(basis="real program")),
    ],
)
def test_on_the_kernel_a_rollback_leads_exactly_back(rig, choices, kind):
    make, _ = choices[kind]
    load = "nft -f /etc/nftables.conf"
    if "iptables" in kind:
        load = (
            "iptables-restore /etc/iptables/rules.v4; ip6tables-restore /etc/iptables/rules.v6; "
            "echo 'flush ruleset' > /etc/nftables.conf"
        )
    rig.box.run(load)
    before = running(rig.box.snapshot())
    plan = rig.plan(make())
    assert rig.apply(plan).devices[0].outcome == "confirmed"
    assert running(rig.box.snapshot()) != before

    back = rig.plan(rollback_choice(plan.devices[0]))
    result = rig.apply(back, run_id="run-2").devices[0]

    assert result.outcome == "confirmed", result
    assert running(rig.box.snapshot()) == before
    assert back.devices[0].post.saved == plan.devices[0].pre.saved or kind == "host-mtu"


def running(snapshot):
    return {line: text for line, text in snapshot.items() if not line.startswith(("cat", "ls"))}
