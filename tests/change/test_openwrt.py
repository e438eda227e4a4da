"""Guarded change on OpenWrt: real shells run every line; ``uci`` and the services are stand-ins.

The stand-in of ``uci`` keeps its files in the words of ``uci show``; a reload copies the file, so
that what runs and what is saved are two things. The oracle is these files, byte by byte.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtughost.content.load import load_book
from mtughost.content.render import render_change
from mtughost.lab.fleet.openwrt_flash import RC_COMMON, SERVICE, UCI
from mtughost.model.config import ConfigEdit, Setting
from mtughost.model.errors import PlanRefusedError
from mtughost.model.plans import TOKEN_MARK
from tests.change.conftest import GOOD_SERVICE, Rig, at_record, choice_of, killed

pytestmark = pytest.mark.lab

FIREWALL = """\
firewall.@defaults[0]=defaults
firewall.@zone[0]=zone
firewall.@zone[0].name='ap'
firewall.@zone[1]=zone
firewall.@zone[1].name='wan'
firewall.@zone[1].masq='1'
"""
BOARD = """\
{
\t"hostname": "s001-gw1",
\t"board_name": "example,ex-4p",
\t"release": {
\t\t"version": "24.10.1"
\t}
}
"""
FILES = {
    "/etc/config/firewall": FIREWALL,
    "/etc/rc.common": RC_COMMON,
    "/etc/init.d/firewall": SERVICE,
    "/usr/local/bin/uci": UCI,
    "/usr/local/bin/ubus": "#!/bin/sh\ncat /run/board\n",
    "/run/board": BOARD,
}
TOKEN = "0123456789abcdef"
KEPT = f"/etc/mtughost/{TOKEN}"
STATE = (
    "cat /etc/config/firewall",
    "cat /run/loaded",
    "ls -A /etc /etc/config /etc/init.d /etc/rc.d",
)


class Content:
    def __init__(self, root) -> None:
        self.root, self.book = root, load_book(root, "openwrt")


@pytest.fixture
def router(box):
    box.run("mount -t tmpfs tmpfs /usr/local/bin; mkdir -p /etc/config /etc/init.d /etc/rc.d")
    for path, text in FILES.items():
        box.write(path, text)
    box.run("chmod 755 /etc/init.d/* /usr/local/bin/*; /etc/init.d/firewall reload")
    return box


def state(box):
    return {line: box.run(line) for line in STATE}


@pytest.fixture
def rig(router, content, people, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    made = Rig(router, Content(content.root), people, tmp_path)
    made.original = state(router)
    return made


def choice(zone=1):
    edit = ConfigEdit(
        entry="clamp-zone",
        values={"token": TOKEN_MARK, "zone": zone, "had": 0, "before": 0},
        settings=(
            Setting(section=f"firewall.@zone[{zone}]", key="mtu_fix", before=None, after="'1'"),
        ),
    )
    found = choice_of([edit], "clamp-missing", "config", "uci firewall")
    return replace(found, device="s001-gw1")


def test_a_change_is_confirmed_and_leaves_the_setting_and_nothing_else(rig, router):
    (result,) = rig.apply(rig.plan(choice())).devices

    assert result.outcome == "confirmed", result
    after = state(router)
    assert after[STATE[0]] == after[STATE[1]] == FIREWALL + "firewall.@zone[1].mtu_fix='1'\n"
    assert after[STATE[2]] == rig.original[STATE[2]]


def test_a_change_that_does_not_help_is_undone_byte_by_byte(rig, router):
    rig.service = lambda _: replace(GOOD_SERVICE, full_size_reply=False, summary="lost")

    (result,) = rig.apply(rig.plan(choice())).devices

    assert result.outcome == "reverted", result
    assert state(router) == rig.original


def changed(rig, router, window_s):
    """Arm the undo and change the device, line by line as a plan holds them; nobody comes back."""
    planned = rig.plan(choice(), window_s=window_s).devices[0]
    for line in (*planned.guard.arm, *planned.guard.read_back, *planned.commands):
        router.run(line.line.replace(TOKEN_MARK, TOKEN))
    assert "mtu_fix" in router.run("cat /run/loaded")
    return [line.line.replace(TOKEN_MARK, TOKEN) for line in planned.guard.clean]


def test_a_lost_path_is_undone_by_the_sleeper(rig, router):
    clean = changed(rig, router, 5)

    router.run(f"n=0; until [ -e {KEPT}/reverted ] || [ $n = 200 ]; do sleep 0.1; n=$((n+1)); done")

    undone = state(router)
    assert [undone[line] for line in STATE[:2]] == [rig.original[line] for line in STATE[:2]]
    for line in clean:
        router.run(line)
    assert state(router) == rig.original


def test_a_reboot_while_the_undo_is_armed_goes_back_before_the_network_starts(rig, router):
    clean = changed(rig, router, 600)

    # The sleeper dies with the kernel; a boot runs the hooks and only then loads the firewall.
    router.run(f"kill $(cat {KEPT}/pid)")
    router.run("for hook in /etc/rc.d/S*; do $hook boot; done; /etc/init.d/firewall start")

    assert router.run("cat /etc/config/firewall") == router.run("cat /run/loaded") == FIREWALL
    assert router.run(f"ls {KEPT}/reverted")
    for line in clean:
        router.run(line)
    assert state(router) == rig.original


def test_a_reboot_after_confirm_keeps_the_change(rig, router):
    changed(rig, router, 600)
    router.run(f"mv {KEPT}/armed {KEPT}/confirmed; kill $(cat {KEPT}/pid)")

    router.run("for hook in /etc/rc.d/S*; do $hook boot; done; /etc/init.d/firewall start")

    assert "mtu_fix" in router.run("cat /run/loaded")


def test_the_undo_lines_alone_close_the_circle(rig, router):
    values = {**choice().edits[0].values, "token": "0" * 16}
    undo = render_change(rig.content.root, rig.content.book, "clamp-zone", values).undo
    for line in undo:
        router.run(line.line)
    assert state(router) == rig.original

    router.run("uci set 'firewall.@zone[1].mtu_fix=1'; uci commit firewall")
    for _ in range(2):
        for line in undo:
            router.run(line.line)
        assert state(router) == rig.original


def test_staged_changes_of_somebody_else_stop_the_planning(rig, router):
    router.run("uci set network.lan.ipaddr=10.0.0.1")

    with pytest.raises(PlanRefusedError, match="staged"):
        rig.plan(choice())


@pytest.mark.nightly(basis="real shells; uci and its services are stand-ins")
@pytest.mark.timeout(1800)
def test_killed_at_any_record_a_router_ends_exactly_before_or_after(
    rig, router, people, tmp_path, monkeypatch
):
    outcomes = []
    for number in range(1, 60):
        directory = tmp_path / str(number)
        directory.mkdir()
        one = Rig(router, rig.content, people, directory)
        plan = one.plan(choice())
        if not killed(monkeypatch, lambda one=one, plan=plan: one.apply(plan), at_record(number)):
            break
        result = one.resume()
        outcomes.append(result.outcome if result else "ended before")
        after = state(router)
        if outcomes[-1] == "confirmed" or "persisted" in one.recorded():
            assert "mtu_fix" in after[STATE[0]]
            assert after[STATE[0]] == after[STATE[1]]
            assert after[STATE[2]] == rig.original[STATE[2]]
            router.write("/etc/config/firewall", FIREWALL)
            router.run("/etc/init.d/firewall reload")
        else:
            assert outcomes[-1] in {"ended before", "reverted", "refused"}, result
            assert after == rig.original

    assert len(outcomes) > 15
    assert {"ended before", "reverted", "confirmed"} <= set(outcomes)
