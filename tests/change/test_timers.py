"""Vendors' own words about a pending rollback, after their documents; silence is never "none"."""

from __future__ import annotations

import pytest

from mtughost.change.asking import DeviceState, has_rebooted
from mtughost.change.guard import GuardReading, parse_timer, why_not_armed
from mtughost.content.load import load_book
from mtughost.content.root import packaged_content
from mtughost.model.errors import SessionDesyncError
from mtughost.model.plans import GuardLines
from tests.change.conftest import choice_of, load_beside, plan_header

virtual = load_beside("virtual")
ROOT = packaged_content()
IOS = """Time configured(or reconfigured): 22:50:48 UTC Sat Feb 21 2009
Timer type: absolute timer
Timer value: 2 min
User: console
"""
PENDING = """0   2026-11-21 10:05:00 UTC by root via cli commit confirmed, rollback in 3mins
    rollback pending
1   2026-11-20 09:00:00 UTC by root via cli
"""
LONG_AGO = """0   2026-11-21 10:09:00 UTC by root via other
1   2026-11-21 10:05:00 UTC by root via cli commit confirmed, rollback in 3mins
"""
SAVING = "    set cfg-revert-timeout 300\n    set cfg-save revert\n"


def lines_of(platform, guard):
    spec = load_book(ROOT, platform).guard[guard]
    return GuardLines(pending=spec.pending, idle=spec.idle)


@pytest.mark.parametrize(
    ("platform", "guard", "text", "token", "window_s"),
    [
        ("cisco_xe", "revert-timer", IOS, "armed", 120),
        ("cisco_xe", "revert-timer", "%No Rollback Confirmed Change pending\n", "idle", None),
        ("juniper_junos", "commit-confirmed", PENDING, "armed", 180),
        ("juniper_junos", "commit-confirmed", LONG_AGO, "idle", None),
        ("fortinet", "cfg-save-revert", SAVING, "armed", 300),
        ("fortinet", "cfg-save-revert", "    set cfg-save automatic\n", "idle", None),
    ],
)
def test_a_timer_is_read_in_the_vendors_own_words(platform, guard, text, token, window_s):
    found = parse_timer("gw1", lines_of(platform, guard), text)

    assert (found.token, found.window_s) == (token, window_s)


@pytest.mark.parametrize("text", ["", "% Invalid input detected at '^' marker.\n", "rollback?\n"])
@pytest.mark.parametrize(
    ("platform", "guard"),
    [
        ("cisco_xe", "revert-timer"),
        ("juniper_junos", "commit-confirmed"),
        ("fortinet", "cfg-save-revert"),
    ],
)
def test_an_answer_that_says_neither_is_an_error(platform, guard, text, as_kept):
    with pytest.raises(SessionDesyncError, match="does not say") as caught:
        parse_timer("gw1", lines_of(platform, guard), text)
    as_kept(str(caught.value))


def state(boot_id="", uptime_s=None):
    return DeviceState(
        read=None, digest=None, texts={}, identity=("a", "b", "c"), boot_id=boot_id,
        uptime_s=uptime_s,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "now", "elapsed_s", "rebooted"),
    [
        (state("10:00"), state("10:00"), 9999, False),
        (state("10:00"), state("11:00"), 60, True),
        (state(uptime_s=7200), state(uptime_s=7260), 60, False),
        (state(uptime_s=7200), state(uptime_s=7200), 59, False),
        (state(uptime_s=7200), state(uptime_s=60), 120, True),
        (state(), state(uptime_s=60), 120, True),
    ],
)
def test_a_reboot_is_told_from_boot_or_uptime_and_never_assumed_away(
    before, now, elapsed_s, rebooted
):
    assert has_rebooted(before, now, elapsed_s) is rebooted


@pytest.mark.parametrize("platform", ROOT.platforms())
def test_every_pattern_of_modes_state_and_guards_takes_linear_time(platform):
    re2 = pytest.importorskip("re2", reason="google-re2 is not installed")
    book = load_book(ROOT, platform)
    patterns = [mode.prompt.replace("{stem}", "stem") for mode in book.modes.values()]
    patterns += [mode.above for mode in book.modes.values()]
    for guard in book.guard.values():
        patterns += [guard.pending, guard.idle, *(c.pattern for c in guard.conditions)]
    if book.state is not None:
        who, boot = book.state.identity, book.state.boot
        patterns += [book.state.complete, *book.state.hide, boot.mark or boot.uptime]
        patterns += [who.hostname, who.version, who.serial]

    for pattern in patterns:
        re2.compile(pattern)


@pytest.mark.parametrize(
    ("case", "found", "words"),
    [
        ("cisco_xe-interface", {"token": "idle"}, "shows no pending rollback"),
        ("cisco_xe-interface", {"token": "armed", "window_s": 120}, "120 s instead of 180 s"),
        ("cisco_xe-interface", {"token": "armed", "window_s": 180}, ""),
        ("cisco_xe-interface", {"token": "armed"}, ""),
        ("juniper_junos-device", {"token": "idle"}, "shows no pending rollback"),
        ("juniper_junos-device", {"token": "armed", "window_s": 600}, "600 s instead of 180 s"),
        ("fortinet-policy", {"token": "unguarded"}, ""),
    ],
)
def test_a_timer_counts_only_if_it_runs_and_for_as_long_as_planned(
    people, tmp_path, case, found, words
):
    rig = virtual.VirtualRig(case, people, tmp_path, choice_of, plan_header)
    planned = rig.plan().devices[0]

    doubt = why_not_armed(GuardReading(**found), planned, boot_id="")

    assert words in doubt
    assert bool(doubt) is bool(words)
