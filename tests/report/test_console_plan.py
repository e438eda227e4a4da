import io
import typing
from dataclasses import fields, is_dataclass, replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from mtughost.model.plans import Plan, content_digest
from mtughost.report.console_plan import plan_summary_text, render_plan

DIFF = """\
--- site-a-gw1 now
+++ site-a-gw1 planned
@@ -3,1 +3,1 @@
-iifname "vlan30" oifname "wan0" tcp option maxseg size set rt mtu
+iifname { "vlan20", "vlan30" } oifname "wan0" tcp option maxseg size set rt mtu
"""


def filled(kind, text):
    """Return a value of any type of the plan, every text being ``text``."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{item.name: filled(hints[item.name], text) for item in fields(kind)})
    if origin is tuple:
        return (filled(args[0], text),)
    if origin is typing.Literal:
        return args[0]
    if origin is not None:
        return filled(args[0], text)
    return {str: text, int: 7, bool: False}[kind]


@pytest.fixture
def plan():
    base = filled(Plan, "word")
    device = base.devices[0]
    coverage = replace(
        device.coverage_before[0], mss_bytes=1460, covered=False, path_mtu_bytes=1492
    )
    return replace(
        base,
        reason="RADsec fails at site-a",
        devices=(
            replace(
                device,
                name="site-a-gw1",
                summary="Let the clamp match vlan20 too.",
                commands=(replace(device.commands[0], line="nft -f /run/mtughost/apply.nft"),),
                undo_commands=(replace(device.undo_commands[0], line="nft -f /run/undo.nft"),),
                diff_text=DIFF,
                coverage_before=(coverage,),
                coverage_after=(replace(coverage, mss_bytes=1452, covered=True),),
                autorevert=replace(device.autorevert, cost="reboot", window_s=180),
                touches_management=True,
            ),
        ),
    )


def printed(renderable, width=100, **kwargs):
    stream = io.StringIO()
    console = Console(file=stream, width=width, legacy_windows=False, **kwargs)
    console.print(renderable)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_plan_fits_the_terminal(plan, width):
    lines = printed(render_plan(plan), width).splitlines()

    assert max(cell_len(line) for line in lines) <= width


def test_the_approver_sees_every_line_the_diff_and_the_price(plan):
    told = " ".join(printed(render_plan(plan), 160).split())

    assert "nft -f /run/mtughost/apply.nft" in told
    assert "nft -f /run/undo.nft" in told
    assert '+iifname { "vlan20", "vlan30" } oifname "wan0"' in told
    assert "undo costs A REBOOT of the device" in told
    assert "can cut us off yes" in told
    assert "MSS 1460 (does not fit) to 1452 (fits), path MTU 1492" in told
    assert content_digest(plan) in told


def test_the_summary_is_the_same_at_every_width_and_names_every_line(plan):
    text = plan_summary_text(plan)

    assert "  run: nft -f /run/mtughost/apply.nft\n" in text
    assert "  undo: nft -f /run/undo.nft\n" in text
    assert f"  diff: {plan.devices[0].diff_text_digest}\n" in text
    assert f"digest: {content_digest(plan)}\n" in text


def test_flows_that_only_appear_after_the_change_are_told(plan):
    device = replace(plan.devices[0], coverage_before=())

    text = plan_summary_text(replace(plan, devices=(device,)))

    assert "MSS ? to 1452 (fits)" in text


def test_exceptions_from_the_rules_are_said_aloud(plan):
    text = plan_summary_text(replace(plan, accept_no_autorevert=True, allow_unrelated_drift=True))

    assert "NO UNDO TIMER: the device cannot undo this by itself" in text
    assert "drift: changes outside the touched section are accepted" in text


def test_hostile_text_in_every_field_stays_inert(hostile_text):
    encodable = hostile_text.encode("utf-8", "backslashreplace").decode()
    poisoned = filled(Plan, encodable)

    shown = printed(render_plan(poisoned), 80)
    summary = plan_summary_text(poisoned)

    assert all(char.isprintable() or char == "\n" for char in shown + summary)
    assert max(cell_len(line) for line in shown.splitlines()) <= 80


def test_a_forged_line_in_a_command_cannot_look_like_another_command(plan):
    device = plan.devices[0]
    line = replace(device.commands[0], line="true\nundone by   nft flush ruleset")

    text = printed(render_plan(replace(plan, devices=(replace(device, commands=(line,)),))), 120)

    assert "true\\nundone by   nft flush ruleset" in text
