"""The virtual FortiGate: its configuration levels, its save modes, its semantics."""

from __future__ import annotations

import pytest

from mtughost.lab.fleet import FleetSpec, Handshake
from tests.lab.fleet.conftest import account, typed

MSS = ("config system interface", "edit vlan20", "set tcp-mss 1400")


@pytest.fixture
def gate(make):
    (site,) = make(FleetSpec(sites=1, vendors=("fortinet",), with_aps=False))
    return site.gateway


def test_what_is_set_is_shown_only_after_next(gate):
    cli = gate.command_line(account("full"))
    for line in MSS:
        assert cli.run(line) == ""
    assert "tcp-mss 1400" not in typed(gate, "show system interface")

    cli.run("next")

    assert "        set tcp-mss 1400\n" in typed(gate, "show system interface")


def test_abort_keeps_nothing_and_end_keeps_an_open_entry(gate):
    typed(gate, *MSS, "abort")
    assert "tcp-mss 1400" not in typed(gate, "show system interface")

    typed(gate, *MSS, "end")
    assert "tcp-mss 1400" in typed(gate, "show system interface")


def test_the_prompt_says_where_one_is(gate):
    cli = gate.command_line(account("full"))
    prompts = []
    for line in (*MSS, "next", "end"):
        cli.run(line)
        prompts.append(cli.prompt.removeprefix(gate.identity.hostname))

    assert prompts == [" (interface) # ", " (vlan20) # ", " (vlan20) # ", " (interface) # ", " # "]


@pytest.mark.parametrize(
    "line", ["set tcp-mss 1452x", "set tcp-mss 99999", "set mtu 1492", "set carpet 1", "fly"]
)
def test_a_value_that_cannot_be_is_refused_and_changes_nothing(gate, line):
    before = gate.state()

    said = typed(gate, "config system interface", "edit vlan20", line)

    assert "Command fail. Return code" in said
    assert gate.state() == before


def test_an_mtu_needs_its_override_first(gate):
    typed(
        gate,
        "config system interface",
        "edit vlan20",
        "set mtu-override enable",
        "set mtu 1492",
        "end",
    )

    assert gate.mtu_of("vlan20") == 1492
    assert "mtu=1492" in typed(gate, "diagnose netlink interface list")


def test_a_vlan_follows_the_mtu_of_its_parent(gate):
    typed(
        gate,
        "config system interface",
        "edit internal",
        "set mtu-override enable",
        "set mtu 1400",
        "end",
    )

    assert gate.mtu_of("vlan20") == 1400


def test_commands_can_be_abbreviated(gate):
    assert typed(gate, "sh sys int") == typed(gate, "show system interface")


def test_defaults_are_shown_in_the_full_configuration_only(gate):
    line = "show {}system global | grep honor"

    assert typed(gate, line.format("")) == ""
    assert typed(gate, line.format("full-configuration ")) == "    set honor-df enable\n"


def test_automatic_saving_survives_a_reboot(gate, clock):
    typed(gate, *MSS, "end")
    gate.reboot()

    assert not gate.is_up
    clock.advance(61)
    assert gate.is_up
    assert "tcp-mss 1400" in typed(gate, "show system interface")


def revert_mode(gate, seconds=300):
    typed(
        gate,
        "config system global",
        "set cfg-save revert",
        f"set cfg-revert-timeout {seconds}",
        "end",
    )


def test_in_revert_mode_silence_reboots_to_the_saved_configuration(gate, clock):
    revert_mode(gate)
    before = gate.state()
    typed(gate, *MSS, "end")

    clock.advance(299)
    assert gate.reboots == 0
    clock.advance(1)

    assert gate.reboots == 1
    assert gate.state() == before


def test_in_revert_mode_typing_pushes_the_timer(gate, clock):
    revert_mode(gate)
    typed(gate, *MSS, "end")
    clock.advance(299)
    typed(gate, "get system status")
    clock.advance(299)

    assert gate.reboots == 0


def test_saving_ends_the_timer(gate, clock):
    revert_mode(gate)
    typed(gate, *MSS, "end")
    typed(gate, "execute cfg save")
    clock.advance(10_000)

    assert gate.reboots == 0
    gate.reboot()
    assert "tcp-mss 1400" in typed(gate, "show system interface")


def test_without_a_change_revert_mode_never_reboots(gate, clock):
    revert_mode(gate)
    clock.advance(10_000)

    assert gate.reboots == 0


def test_a_policy_clamps_by_direction_of_the_connection(gate):
    typed(
        gate,
        "config firewall policy",
        "edit 1",
        "set tcp-mss-sender 1300",
        "set tcp-mss-receiver 1200",
        "end",
    )

    def leaves(*, is_syn):
        ends = ("vlan20", "wan1") if is_syn else ("wan1", "vlan20")
        return gate.forward(
            Handshake(is_syn=is_syn, enters=ends[0], leaves=ends[1], family="ipv4", mss=1460)
        )

    assert (leaves(is_syn=True), leaves(is_syn=False)) == (1300, 1200)


@pytest.mark.parametrize("level", ["read", "partial"])
def test_who_may_not_change_cannot_enter_the_configuration(gate, level):
    assert "Return code -61" in typed(gate, "config system interface", level=level)


def test_who_sees_a_part_does_not_get_the_section(gate):
    assert "command parse error before 'firewall'" in typed(
        gate, "show firewall policy", level="partial"
    )
    assert "config system global" in typed(gate, "show", level="partial")
    assert "config firewall policy" not in typed(gate, "show", level="partial")
