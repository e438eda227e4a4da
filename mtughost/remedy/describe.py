"""What an approver is shown: the diff and the summary, as plain text with one digest each."""

from __future__ import annotations

from collections.abc import Sequence

from mtughost.model.documents import digest_bytes
from mtughost.model.plans import CoverageRow, Plan, PlannedDevice, PlannedLine


def plan_diff(plan: Plan) -> str:
    """Return the dry-run diff of all devices."""
    return "\n".join(device.diff_text for device in plan.devices)


def diff_digest(plan: Plan) -> str:
    """Return the digest of what :func:`plan_diff` shows."""
    return digest_bytes(plan_diff(plan).encode("utf-8"))


def summary_digest(plan: Plan) -> str:
    """Return the digest of what :func:`plan_summary` shows."""
    return digest_bytes(plan_summary(plan).encode("utf-8"))


def _lines(title: str, lines: Sequence[str]) -> list[str]:
    return [f"  {title}:", *(f"    {line}" for line in lines)] if lines else []


def _proof(title: str, rows: Sequence[CoverageRow]) -> list[str]:
    words = {True: "covered", False: "NOT covered", None: "unknown"}
    return _lines(
        title,
        [
            f"{row.service} {row.ap} {row.family} {row.direction} via {row.egress}: "
            f"{words[row.covered]}; {row.proof}"
            for row in rows
        ],
    )


def _window(device: PlannedDevice) -> list[str]:
    window = device.window
    if not window.start_utc:
        return []
    return [f"  only from {window.start_utc} to {window.end_utc} UTC ({window.tz})"]


def _device(device: PlannedDevice) -> list[str]:
    guard = device.autorevert
    steps = [
        f"{step.id} ({step.kind}, {step.timeout_s} s): {step.expect}" for step in device.verify
    ]
    return [
        f"{device.name} at {device.site}: {device.change} for {device.finding}",
        f"  {device.summary}",
        *_window(device),
        *_lines("lines sent", [line.line for line in device.commands]),
        *_lines("undo", [line.line for line in device.undo_commands]),
        *_lines("saved after confirm by", [line.line for line in device.persist]),
        f"  undone, if nobody confirms: {guard.in_words}; that costs: {guard.cost}",
        *_lines("around the change", [line.line for line in _around(device)]),
        *_lines("verified by", steps),
        *_proof("coverage before", device.coverage_before),
        *_proof("coverage after", device.coverage_after),
        *_lines("other flows touched", device.other_flows),
        f"  if it is wrong: {device.blast_radius}",
        f"  risk: {device.risk}",
        f"  touches the management path: {'yes' if device.touches_management else 'no'}",
    ]


def _around(device: PlannedDevice) -> Sequence[PlannedLine]:
    """Return the guard's own lines where they are vendors' commands; scripts stay in the plan."""
    if device.autorevert.method == "detached-restore":
        return ()
    return (*device.guard.arming, *device.guard.confirm)


def plan_summary(plan: Plan) -> str:
    """Return what the plan does, in words, line by line. Times and ids are not part of it.

    Being left out of the content digest, they must not change what an approval stands for.
    """
    window = plan.window
    when = f"{window.start_utc} to {window.end_utc} UTC {window.tz}".strip()
    lines = [
        f"reason: {plan.reason}",
        f"ticket: {plan.ticket or 'none'}",
        f"author: {plan.author.principal} {plan.author.key_fp}",
        f"window: {when if window.start_utc or window.end_utc else 'at any time'}",
        f"devices: {len(plan.devices)}; waves: {len(plan.waves)}",
        f"failure budget: {plan.fail_budget}",
        (
            f"drift outside the touched section: "
            f"{'accepted' if plan.allow_unrelated_drift else 'refused'}"
        ),
    ]
    lines += [
        f"wave {wave.n}{wave.pace and f', {wave.pace}'}: {', '.join(wave.devices)}"
        for wave in plan.waves
    ]
    for device in plan.devices:
        lines += _device(device)
    return "\n".join(lines) + "\n"
