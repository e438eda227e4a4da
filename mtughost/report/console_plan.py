"""A plan on a terminal: everything that its approver must have seen, and the dry-run diff.

The same function prints it for the author and for the approver. :func:`plan_summary_text` gives
the words alone, so that an approval can carry the digest of what was shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from mtughost.model.plans import CoverageRow, Plan, PlannedDevice, content_digest
from mtughost.report import words
from mtughost.report.ink import Ink
from mtughost.report.safe_text import for_terminal

_COSTS: Final = {
    "none": "none",
    "link-flap": "the link goes down for a moment",
    "reboot": "A REBOOT of the device",
    "ha-pair-reboot": "A REBOOT OF BOTH MEMBERS of the HA pair",
}

_DIFF_STYLES: Final = (
    ("+++", "bold"),
    ("---", "bold"),
    ("@@", "cyan"),
    ("+", "green"),
    ("-", "red"),
)


def plan_facts(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Return the plan's own facts as label and words."""
    window = "at any time"
    if plan.window.start_utc:
        zone = f" (site time zone {plan.window.tz})" if plan.window.tz else ""
        window = f"{plan.window.start_utc} to {plan.window.end_utc or 'open end'}{zone}"
    facts = [
        ("plan", plan.plan_id),
        ("digest", content_digest(plan)),
        ("author", f"{plan.author.principal} ({plan.author.key_fp})"),
        ("reason", plan.reason + (f" [{plan.ticket}]" if plan.ticket else "")),
        ("made", f"{plan.created_utc}, valid until {plan.not_after_utc}"),
        ("window", window),
        ("stops after", words.count_of(plan.fail_budget + 1, "failed device")),
    ]
    if plan.allow_unrelated_drift:
        facts.append(("drift", "changes outside the touched section are accepted"))
    if plan.accept_no_autorevert:
        facts.append(("NO UNDO TIMER", "the device cannot undo this by itself"))
    return tuple(facts)


def device_facts(device: PlannedDevice) -> tuple[tuple[str, str], ...]:
    """Return what the approver must know about one device, as label and words."""
    revert = device.autorevert
    facts = [
        ("what", device.summary),
        ("repairs", f"{device.finding} by {device.change}"),
        ("device", f"{device.platform} {device.version} at {device.address} port {device.port}"),
        ("host key", ", ".join(device.host_key_fp) or "none recorded"),
        ("undo", revert.in_words),
        ("undo costs", _COSTS[revert.cost]),
        ("can cut us off", "yes" if device.touches_management else "no"),
        ("risk", device.risk),
        ("if wrong", device.blast_radius),
        ("also affects", "; ".join(device.other_flows) or "nothing else"),
    ]
    if device.ha_peer:
        facts.append(("HA peer", device.ha_peer))
    facts.extend(
        ("verify", f"{step.expect} ({step.kind}, {step.timeout_s} s)") for step in device.verify
    )
    return tuple(facts)


def _coverage_lines(device: PlannedDevice) -> Iterator[str]:
    after = {_row_key(row): row for row in device.coverage_after}
    for row in device.coverage_before:
        then = after.pop(_row_key(row), None)
        yield _coverage_line(row, then)
    for then in after.values():
        yield _coverage_line(None, then)


def _row_key(row: CoverageRow) -> tuple[str, str, str, str, str]:
    return row.service, row.ap, row.egress, row.family, row.direction


def _coverage_line(before: CoverageRow | None, after: CoverageRow | None) -> str:
    row = before or after
    if row is None:  # pragma: no cover - callers pass at least one
        return ""
    return (
        f"{row.service} {row.ap} {words.FAMILY_WORDS[row.family]} {row.egress}, "
        f"{words.DIRECTION_WORDS[row.direction]}: MSS {_mss(before)} to {_mss(after)}, "
        f"path MTU {words.figure(row.path_mtu_bytes)}"
    )


def _mss(row: CoverageRow | None) -> str:
    if row is None:
        return words.UNKNOWN
    fits = {True: "fits", False: "does not fit", None: "not proven"}[row.covered]
    return f"{words.figure(row.mss_bytes)} ({fits})"


def plan_summary_text(plan: Plan) -> str:
    """Return the plan in words, one fact a line, without colour or width: what was shown."""
    lines = [f"{label}: {for_terminal(value)}" for label, value in plan_facts(plan)]
    for wave in plan.waves:
        names = ", ".join(for_terminal(name) for name in wave.devices)
        lines.append(f"wave {wave.n}: {names}")
    for device in plan.devices:
        lines.append(f"device: {for_terminal(device.name)}")
        lines.extend(f"  {label}: {for_terminal(value)}" for label, value in device_facts(device))
        lines.extend(f"  coverage: {for_terminal(line)}" for line in _coverage_lines(device))
        lines.extend(f"  run: {for_terminal(line.line)}" for line in device.commands)
        lines.extend(f"  undo: {for_terminal(line.line)}" for line in device.undo_commands)
        lines.extend(f"  save: {for_terminal(line.line)}" for line in device.persist)
        lines.append(f"  diff: {for_terminal(device.diff_text_digest)}")
    return "\n".join(lines) + "\n"


class PlanView:
    """The whole plan with each device's diff."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Print facts, waves, then each device with its lines and its diff."""
        ink = Ink.of(options)
        plan = self.plan
        yield ink.text(f"Plan for {words.count_of(len(plan.devices), 'device')}", "bold")
        for label, value in plan_facts(plan):
            yield ink.labelled(label, ink.text(value))
        for wave in plan.waves:
            told = "; ".join(part for part in (", ".join(wave.devices), wave.pace) if part)
            yield ink.labelled(f"wave {wave.n}", ink.text(told))
        for device in plan.devices:
            yield from _device(ink, device)


def _device(ink: Ink, device: PlannedDevice) -> Iterator[RenderableType]:
    yield Text("")
    yield ink.text(f"{device.name} (site {device.site})", "bold")
    for label, value in device_facts(device):
        yield ink.labelled(label, ink.text(value))
    for line in _coverage_lines(device):
        yield ink.labelled("coverage", ink.text(line))
    is_long = device.autorevert.method == "detached-restore"
    for label, lines in (
        ("runs", device.commands),
        ("undone by", device.undo_commands),
        # Those of a shell are scripts; the plan itself holds them.
        ("armed by", () if is_long else device.guard.arming),
        ("confirmed by", () if is_long else device.guard.confirm),
        ("saved by", device.persist),
    ):
        if lines:
            yield ink.labelled(
                label, ink.text("\n".join(for_terminal(x.line) for x in lines), lines=True)
            )
    yield ink.text("difference", "dim")
    yield render_diff_text(ink, device.diff_text)


def render_diff_text(ink: Ink, diff_text: str) -> RenderableType:
    """Return a unified diff, coloured by its first characters, every line inert."""
    shown = Text(overflow="fold")
    # Not splitlines(): it would swallow a carriage return and the other separators unseen.
    for number, line in enumerate(diff_text.removesuffix("\n").split("\n")):
        style = next((style for mark, style in _DIFF_STYLES if line.startswith(mark)), "")
        shown.append("\n" if number else "")
        shown.append_text(ink.text(line.expandtabs(4), style))
    if not diff_text:
        shown = Text("(no difference)")
    return ink.indented(shown)


def render_plan(plan: Plan) -> RenderableType:
    """Return the plan as a renderable."""
    return PlanView(plan)
