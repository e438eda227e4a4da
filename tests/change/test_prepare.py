"""What is refused while planning, before a plan exists: no line of it was ever sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.change.prepare import Place, prepare_device
from mtughost.change.prepare_config import (
    config_state_lines,
    guard_window_s,
    revert_cost,
)
from mtughost.lab.fleet.shell_gateway import ShellGateway
from mtughost.model.errors import ContentError, PlanRefusedError
from mtughost.remedy.describe import plan_summary
from tests.change.conftest import choice_of, load_beside, plan_header

virtual_rigs = load_beside("virtual")


@pytest.fixture
def rig_of(people, tmp_path):
    def make(case):
        return virtual_rigs.VirtualRig(case, people, tmp_path, choice_of, plan_header)

    return make


def with_change(book, entry, **changes):
    """Return a book in which one change is written differently."""
    spec = book.change[entry].model_copy(update=changes)
    return book.model_copy(update={"change": {**book.change, entry: spec}})


def test_a_device_without_a_known_host_key_is_not_planned(rig_of, as_kept):
    rig = rig_of("cisco_xe-interface")
    session = rig.open_session("")
    device = replace(virtual_rigs_device(rig), name="s0001-gw1")

    with pytest.raises(PlanRefusedError, match="no known host key") as caught:
        prepare_device(
            rig.choice(),
            session=session,
            place=Place(device=device, book=rig.book, root=virtual_rigs.ROOT, host_key_fp=()),
            clock=rig.clock,
        )
    as_kept(str(caught.value))

    assert rig.device.heard == []


def virtual_rigs_device(rig):
    from mtughost.model.inventory import Credential, Device  # noqa: PLC0415

    return Device(
        name="s0001-gw1",
        address="192.0.2.1",
        site="s0001",
        role="gateway",
        platform=rig.platform,
        credential=Credential(realm="lab", username="operator"),
    )


def test_a_change_that_the_book_does_not_have_becomes_a_request(rig_of, as_kept):
    rig = rig_of("cisco_xe-interface")
    rig.book = rig.book.model_copy(
        update={"change": {k: v for k, v in rig.book.change.items() if k != "clamp-interface"}}
    )

    with pytest.raises(PlanRefusedError, match="has no change clamp-interface") as caught:
        rig.prepare()
    as_kept(str(caught.value))

    assert "change request" in caught.value.todo
    assert rig.device.state() == rig.original


@pytest.mark.parametrize("lost", ["guard", "persist", "unsave"])
def test_a_change_that_cannot_be_guarded_saved_and_unsaved_is_not_planned(rig_of, lost, as_kept):
    rig = rig_of("cisco_xe-interface")
    rig.book = with_change(rig.book, "clamp-interface", **{lost: None})

    with pytest.raises(PlanRefusedError, match="no guard or cannot be saved and unsaved") as caught:
        rig.prepare()
    as_kept(str(caught.value))


def test_where_a_change_saves_itself_no_lines_for_that_are_asked_for(rig_of):
    rig = rig_of("fortinet-policy")
    spec = rig.book.change["clamp-policy"]

    assert (spec.persist, spec.unsave) == (None, None)
    assert rig.prepare().persist == ()


def test_a_guard_that_the_change_does_not_offer_is_refused_with_those_it_does(rig_of, as_kept):
    rig = rig_of("fortinet-policy")
    rig.guard = "commit-confirmed"

    with pytest.raises(PlanRefusedError, match="has no guard commit-confirmed") as caught:
        rig.prepare()
    as_kept(str(caught.value))

    offered = caught.value.todo.removeprefix("It has ").split(", ")
    assert offered == sorted(offered)
    assert "cfg-save-revert" in offered


def test_without_consent_the_other_guards_and_their_price_are_named(rig_of, as_kept):
    rig = rig_of("fortinet-policy")

    with pytest.raises(PlanRefusedError, match="takes this change back") as caught:
        rig.prepare(accept=False)
    as_kept(str(caught.value))

    assert "--accept-no-autorevert" in caught.value.todo
    assert "--guard cfg-save-revert" in caught.value.todo


def test_a_book_that_does_not_say_how_to_read_a_state_is_an_error_of_the_book(rig_of, as_kept):
    rig = rig_of("cisco_xe-interface")

    with pytest.raises(ContentError, match="says nothing about state") as caught:
        config_state_lines(rig.book.model_copy(update={"state": None}), rig.choice())
    as_kept(str(caught.value))


def test_a_change_that_does_not_read_back_all_parts_is_an_error_of_the_book(
    builder, choices, content, as_kept
):
    kept = content.book.change["clamp-scope-nft"].read_back
    without = [name for name in kept if name != "state-boot"]
    book = with_change(content.book, "clamp-scope-nft", read_back=without)
    builder = type(builder)(type(content)(root=content.root, book=book))

    with pytest.raises(ContentError, match="lists no command state-boot") as caught:
        builder.device(choices["clamp-scope-nft"][0](), "s001-gw1")
    as_kept(str(caught.value))


@pytest.mark.parametrize(
    ("guard", "change", "peer", "cost"),
    [
        ("none", "none", "", "none"),
        ("none", "link-flap", "", "link-flap"),
        ("link-flap", "none", "gw2", "link-flap"),
        ("reboot", "none", "", "reboot"),
        ("none", "reboot", "gw2", "ha-pair-reboot"),
        ("ha-pair-reboot", "none", "", "ha-pair-reboot"),
    ],
)
def test_a_revert_costs_what_the_worse_of_guard_and_change_costs(
    content, guard, change, peer, cost
):
    one = content.book.guard["detached-nft"].model_copy(update={"cost": guard})
    other = content.book.change["clamp-scope-nft"].model_copy(update={"cost": change})

    assert revert_cost(one, other, ha_peer=peer) == cost


@pytest.mark.parametrize(
    ("unit_s", "asked_s", "window_s"), [(60, 180, 180), (60, 181, 240), (1, 181, 181), (60, 1, 60)]
)
def test_a_window_is_rounded_up_to_what_the_device_can_count(content, unit_s, asked_s, window_s):
    spec = content.book.guard["detached-nft"].model_copy(update={"unit_s": unit_s})

    assert guard_window_s(spec, asked_s) == window_s


# -- a host's MTU, which is saved in a file of its own -----------------------------------------


def test_an_interface_that_is_configured_elsewhere_is_refused(builder, choices, as_kept):
    gateway = ShellGateway("s001-gw1")
    gateway.interfaces = gateway.interfaces.replace("vlan20", "vlan21")

    with pytest.raises(PlanRefusedError, match="does not configure vlan20") as caught:
        builder.device(choices["host-mtu"][0](), "s001-gw1", gateway=gateway)
    as_kept(str(caught.value))

    assert "where the interface is configured" in caught.value.todo


@pytest.mark.parametrize(("saved", "good"), [(1500, True), (1400, False), (150, False)])
def test_a_saved_mtu_must_be_the_running_one(builder, choices, saved, good, as_kept):
    gateway = ShellGateway("s001-gw1")
    gateway.interfaces += f"    mtu {saved}\n"
    gateway.boots.mtus["vlan20"] = saved
    make = lambda: builder.device(choices["host-mtu"][0](), "s001-gw1", gateway=gateway)  # noqa: E731

    if good:
        assert "mtu 1440" in "\n".join(make().post.lines)
    else:
        with pytest.raises(PlanRefusedError, match=f"says mtu {saved} for vlan20") as caught:
            make()
        as_kept(str(caught.value))


def test_a_plan_of_nothing_is_refused(builder, as_kept):
    with pytest.raises(PlanRefusedError, match="no device") as caught:
        builder.plan([])
    as_kept(str(caught.value))


# -- what the approver reads -------------------------------------------------------------------


def test_the_summary_names_the_window_the_ticket_and_what_is_unknown(builder, choices):
    from mtughost.model.plans import PlanWindow  # noqa: PLC0415

    night = PlanWindow(
        start_utc="2026-03-02T01:00:00Z", end_utc="2026-03-02T04:00:00Z", tz="Europe/Berlin"
    )
    plan = builder.one("clamp-scope-nft", choices)
    device = plan.devices[0]
    unknown = replace(device.coverage_before[0], covered=None)
    device = replace(device, window=night, coverage_before=(unknown,))
    plain, told = (
        plan_summary(plan),
        plan_summary(
            replace(
                plan,
                devices=(device,),
                ticket="T-1",
                window=replace(night, tz=""),
                allow_unrelated_drift=True,
            )
        ),
    )

    assert "window: at any time\n" in plain
    assert "ticket: none\n" in plain
    assert "drift outside the touched section: refused\n" in plain
    assert "NOT covered; " in plain
    assert "  only from " not in plain
    assert "window: 2026-03-02T01:00:00Z to 2026-03-02T04:00:00Z UTC\n" in told
    assert "  only from 2026-03-02T01:00:00Z to 2026-03-02T04:00:00Z UTC (Europe/Berlin)\n" in told
    assert "ticket: T-1\n" in told
    assert "drift outside the touched section: accepted\n" in told
    assert ": unknown; " in told
