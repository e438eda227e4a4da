"""Each change on the real kernel: before, apply, undo, before again; and what was predicted."""

from __future__ import annotations

import pytest

from mtughost.change.asking import must, read_state
from mtughost.model.errors import CommandRejectedError

pytestmark = pytest.mark.lab
TOKEN = "00112233445566aa"


@pytest.fixture(
    params=[
        "clamp-scope-nft",
        pytest.param("clamp-value-nft", marks=pytest.mark.nightly(basis="real program")),
        "clamp-add-nft",
        "clamp-missing-nft",
        "clamp-missing-nft-fixed",
        "clamp-iptables",
        "host-mtu",
    ]
)
def prepared(request, rig, choices):
    make, kind = choices[request.param]
    load = {
        "nft": "nft -f /etc/nftables.conf",
        "iptables": "iptables-restore /etc/iptables/rules.v4; "
        "ip6tables-restore /etc/iptables/rules.v6; echo 'flush ruleset' > /etc/nftables.conf",
    }[kind]
    rig.box.run(load)
    return rig, rig.plan(make()).devices[0]


def read(rig, planned):
    session = rig.open_session("s001-gw1")
    return read_state(
        session, planned.state, backend=planned.backend, target=planned.target, taken_utc=""
    )


def test_apply_gives_exactly_the_predicted_state_and_undo_the_one_before(prepared):
    rig, planned = prepared
    before = rig.box.snapshot()
    session = rig.open_session("s001-gw1")

    for line in (*planned.guard.arm, *planned.commands):
        must(session, line, TOKEN)
    after = read(rig, planned).digest
    for line in planned.undo_commands:
        must(session, line)

    assert after.lines == planned.post.lines
    assert (after.relevant, after.whole) == (planned.post.relevant, planned.post.whole)
    assert after.saved == planned.pre.saved
    assert rig.box.snapshot() == before


def test_the_guard_restores_exactly_the_state_before(prepared):
    rig, planned = prepared
    before = rig.box.snapshot()
    session = rig.open_session("s001-gw1")
    for line in planned.guard.arm:
        must(session, line, TOKEN)
    for line in planned.commands:
        must(session, line, TOKEN)
    assert rig.box.snapshot() != before

    must(session, planned.guard.revert[0], TOKEN)

    assert rig.box.snapshot() == before
    assert "token reverted" in must(session, planned.guard.read_back[0], TOKEN).text


def test_saving_gives_exactly_the_predicted_saved_state_and_unsaving_the_one_before(prepared):
    rig, planned = prepared
    before = rig.box.snapshot()
    session = rig.open_session("s001-gw1")
    for line in (*planned.guard.arm, *planned.commands, *planned.persist):
        must(session, line, TOKEN)

    saved = read(rig, planned).digest
    for line in (*planned.unsave, planned.guard.revert[0]):
        must(session, line, TOKEN)

    assert saved.saved == planned.post.saved
    assert rig.box.snapshot() == before


def test_what_is_saved_survives_a_boot(prepared):
    rig, planned = prepared
    session = rig.open_session("s001-gw1")
    for line in (*planned.guard.arm, *planned.commands, *planned.persist):
        must(session, line, TOKEN)
    after = read(rig, planned).digest

    if planned.backend == "nft":
        rig.box.run("nft flush ruleset; nft -f /etc/nftables.conf")
    elif planned.backend == "iptables":
        rig.box.run(
            "nft flush ruleset; iptables-restore /etc/iptables/rules.v4; "
            "ip6tables-restore /etc/iptables/rules.v6"
        )
    else:
        rig.box.run("grep -A1 '^iface vlan20' /etc/network/interfaces | grep -q 'mtu 1440'")

    assert read(rig, planned).digest.relevant == after.relevant


def test_iptables_still_owns_its_tables_after_the_guards_restore(rig, choices):
    rig.box.run("iptables-restore /etc/iptables/rules.v4; ip6tables-restore /etc/iptables/rules.v6")
    planned = rig.plan(choices["clamp-iptables"][0]()).devices[0]
    session = rig.open_session("s001-gw1")
    for line in (*planned.guard.arm, *planned.commands):
        must(session, line, TOKEN)

    must(session, planned.guard.revert[0], TOKEN)

    rig.box.run("iptables -t mangle -A FORWARD -p udp -j ACCEPT && iptables -t mangle -S FORWARD")


def test_the_guard_outlives_hang_up_and_leaves_no_file_when_cleaned(rig, choices):
    rig.box.run("nft -f /etc/nftables.conf")
    planned = rig.plan(choices["clamp-scope-nft"][0]()).devices[0]
    session = rig.open_session("s001-gw1")
    for line in planned.guard.arm:
        must(session, line, TOKEN)
    # It waits until the sleeper has written down who it is.
    must(session, planned.guard.read_back[0], TOKEN)

    pid = rig.box.run(f"cat /run/mtughost/{TOKEN}/pid").strip()
    rig.box.run(f"kill -HUP -- -{pid}; sleep 0.1")
    alive = must(session, planned.guard.read_back[0], TOKEN).text
    must(session, planned.guard.cancel[0], TOKEN)
    must(session, planned.guard.clean[0], TOKEN)

    assert "sleeper alive" in alive
    assert rig.box.run("ls /run/mtughost").split() == []
    assert f"{pid} S" not in rig.box.run("ps -e -o pid=,stat=")


def test_a_line_that_comes_after_the_undo_changes_nothing(prepared):
    rig, planned = prepared
    before = rig.box.snapshot()
    session = rig.open_session("s001-gw1")
    for line in planned.guard.arm:
        must(session, line, TOKEN)
    must(session, planned.guard.revert[0], TOKEN)

    for line in planned.commands:
        with pytest.raises(CommandRejectedError):
            must(session, line, TOKEN)

    assert rig.box.snapshot() == before


def test_an_armed_guard_is_not_cleaned_away(rig, choices):
    rig.box.run("nft -f /etc/nftables.conf")
    planned = rig.plan(choices["clamp-scope-nft"][0]()).devices[0]
    session = rig.open_session("s001-gw1")
    for line in planned.guard.arm:
        must(session, line, TOKEN)

    must(session, planned.guard.clean[0], TOKEN)

    assert "token armed" in must(session, planned.guard.read_back[0], TOKEN).text


def test_a_token_is_never_armed_twice(rig, choices):
    rig.box.run("nft -f /etc/nftables.conf")
    planned = rig.plan(choices["clamp-scope-nft"][0]()).devices[0]
    session = rig.open_session("s001-gw1")
    must(session, planned.guard.arm[0], TOKEN)

    with pytest.raises(CommandRejectedError, match="File exists"):
        must(session, planned.guard.arm[0], TOKEN)


def test_confirm_and_sleeper_race_for_one_token_and_one_wins(rig, choices):
    rig.box.run("nft -f /etc/nftables.conf")
    planned = rig.plan(choices["clamp-scope-nft"][0]()).devices[0]
    confirm = planned.guard.confirm[0].command(TOKEN).line
    sleeper = planned.guard.confirm[0].command(TOKEN).line.replace("/confirmed", "/reverting")

    wins = rig.box.run(
        f"mkdir -p /run/mtughost/{TOKEN}; cd /run/mtughost/{TOKEN}; n=0; both=0; c=0; r=0; "
        "while [ $n -lt 300 ]; do n=$((n+1)); rm -f confirmed reverting; : > armed; "
        f"( {confirm} 2>/dev/null ) & ( {sleeper} 2>/dev/null ) & wait; "
        "if [ -e confirmed ] && [ -e reverting ]; then both=$((both+1)); fi; "
        "if [ -e confirmed ]; then c=$((c+1)); fi; if [ -e reverting ]; then r=$((r+1)); fi; "
        "done; echo $both $c $r"
    )

    both, confirmed, reverted = map(int, wins.split())
    assert both == 0
    assert confirmed + reverted == 300
