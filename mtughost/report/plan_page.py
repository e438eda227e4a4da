"""A plan as one self-contained page for its approver: diffs, proofs, waves, the line to sign."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mtughost.model.plans import CoverageRow, Plan, PlannedDevice
from mtughost.report import words
from mtughost.report.console_plan import device_facts, plan_facts
from mtughost.report.pages import render_page

#: Files of ``templates/report`` that the page is made from.
PLAN_TEMPLATES: Final = ("plan.html.j2", "plan.css.j2", "audit.css.j2")

_TONES: Final = {True: "does", False: "doesnt", None: ""}
_WORDS: Final = {True: "fits", False: "does not fit", None: "not proven"}
_MARKS: Final = (("+++", "at"), ("---", "at"), ("@@", "at"), ("+", "add"), ("-", "del"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSide:
    """One flow before or after.

    Attributes:
        tone: Class of its word.
        word: Whether full-size segments fit, with the MSS.
        proof: Why, in one sentence.
    """

    tone: str = ""
    word: str = words.UNKNOWN
    proof: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRow:
    """One flow and direction, before and after."""

    flow: str
    path_mtu: str
    before: ProofSide
    after: ProofSide


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePart:
    """What the page shows of one device."""

    device: PlannedDevice
    facts: tuple[tuple[str, str], ...]
    diff: tuple[tuple[str, str], ...]
    proof: tuple[ProofRow, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]


def render_plan_page(plan: Plan, path: str, templates: Mapping[str, str]) -> str:
    """Return the whole page.

    Args:
        plan: What waits for a decision; its author's signature was checked.
        path: Where it lies, for the command to copy.
        templates: Text of each file in :data:`PLAN_TEMPLATES`, by name.

    Raises:
        ContentError: a template is missing or wrong; names the file and line.
    """
    count = words.count_of(len(plan.devices), "device")
    sites = words.count_of(len({device.site for device in plan.devices}), "site")
    costs = sorted({device.autorevert.cost for device in plan.devices} - {"none"})
    command = f"mtughost approve {shlex.quote(path)} --key YOUR_KEY"
    return render_page(
        "plan.html.j2",
        css="plan.css.j2",
        templates=templates,
        names=PLAN_TEMPLATES,
        plan=plan,
        headline=f"{count} at {sites}: {plan.reason}",
        facts=plan_facts(plan),
        approve=command,
        reject=f"{command} --reject",
        prices=", ".join(costs),
        devices=[_part(device) for device in plan.devices],
    )


def _part(device: PlannedDevice) -> DevicePart:
    titles = (
        ("Lines sent while the undo is armed", device.commands),
        ("The inverse, for people", device.undo_commands),
        ("Saved after confirm by", device.persist),
    )
    return DevicePart(
        device=device,
        facts=device_facts(device),
        diff=tuple(_marked(device.diff_text)),
        proof=tuple(_rows(device)),
        lines=tuple((title, tuple(x.line for x in lines)) for title, lines in titles if lines),
    )


def _marked(diff_text: str) -> Iterator[tuple[str, str]]:
    # Not splitlines(): it would swallow a carriage return and the other separators unseen.
    for line in diff_text.removesuffix("\n").split("\n"):
        yield next((name for mark, name in _MARKS if line.startswith(mark)), ""), line


def _rows(device: PlannedDevice) -> Iterator[ProofRow]:
    after = {_key(row): row for row in device.coverage_after}
    before = {_key(row): row for row in device.coverage_before}
    for key, row in (before | after).items():
        direction = words.DIRECTION_WORDS[row.direction]
        flow = f"{row.service} {row.ap} {words.FAMILY_WORDS[row.family]} {row.egress}, {direction}"
        yield ProofRow(
            flow=flow,
            path_mtu=words.figure(row.path_mtu_bytes),
            before=_side(before.get(key)),
            after=_side(after.get(key)),
        )


def _key(row: CoverageRow) -> tuple[str, ...]:
    return row.service, row.ap, row.egress, row.family, row.direction


def _side(row: CoverageRow | None) -> ProofSide:
    if row is None:
        return ProofSide()
    return ProofSide(
        tone=_TONES[row.covered],
        word=f"MSS {words.figure(row.mss_bytes)}: {_WORDS[row.covered]}",
        proof=row.proof,
    )
