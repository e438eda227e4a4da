"""Before and after a repair, side by side: only what was read or seen, figure by figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mtughost.model.basis import Known
from mtughost.model.device import DeviceFacts
from mtughost.model.evidence import CaptureEvidence
from mtughost.model.findings import FlowReport, SiteReport
from mtughost.report.summary import headline_of, paths_of, seen_mss
from mtughost.report.words import (
    DIRECTION_WORDS,
    FAMILY_WORDS,
    LIMITED_BY,
    UNKNOWN,
    VERDICT_MEANING,
    VERDICT_WORDS,
    figure,
)

_COVERED = {True: "proven to fit", False: "does not fit", None: "not settled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was known of a site at one time."""

    read_utc: str
    run_id: str
    report: SiteReport
    facts: tuple[DeviceFacts, ...]
    captures: tuple[CaptureEvidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedChange:
    """A change that this tool made and confirmed between the two looks.

    Attributes:
        when_utc: When it was confirmed, by the tool's clock.
        diff: As in the plan.
    """

    when_utc: str
    device: str
    summary: str
    diff: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two looks at the same site.

    Attributes:
        rows: What, before, after.
        finding: Id of what was wrong, ``""`` where nobody knew.
    """

    before_utc: str
    before_run: str
    after_utc: str
    finding: str
    rows: tuple[tuple[str, str, str], ...]
    changes: tuple[ConfirmedChange, ...]


def compare(before: Look, after: Look, changes: Iterable[ConfirmedChange] = ()) -> Comparison:
    """Put two looks at one site side by side."""
    top = headline_of(before.report)
    return Comparison(
        before_utc=before.read_utc,
        before_run=before.run_id,
        after_utc=after.read_utc,
        finding=top.id if top else "",
        rows=tuple(_rows(before, after)),
        changes=tuple(changes),
    )


def _rows(before: Look, after: Look) -> Iterable[tuple[str, str, str]]:
    yield "verdict", _verdict(before.report), _verdict(after.report)
    yield "findings", _findings(before.report), _findings(after.report)
    earlier = {_name(flow): flow for flow in _flows(before.report)}
    for flow in _flows(after.report):
        name = _name(flow)
        was = earlier.get(name)
        packet = LIMITED_BY[flow.key.direction]
        if was is not None:
            yield f"{name}: MSS in the {packet}", figure(seen_mss(was)), figure(seen_mss(flow))
            yield f"{name}: coverage", _COVERED[was.covered], _COVERED[flow.covered]
    said_before, said_after = _said(before.facts), _said(after.facts)
    for name in said_before.keys() & said_after.keys():
        yield name, said_before[name], said_after[name]
    if before.captures and after.captures:
        yield (
            "largest packet that was acknowledged",
            _largest(before.captures),
            _largest(after.captures),
        )


def _verdict(report: SiteReport) -> str:
    return f"{VERDICT_WORDS[report.verdict]}: {VERDICT_MEANING[report.verdict]}"


def _findings(report: SiteReport) -> str:
    told = [f"{item.id} ({item.grade})" for item in report.findings if item.grade != "ruled-out"]
    return ", ".join(told) or "none"


def _flows(report: SiteReport) -> Sequence[FlowReport]:
    return [flow for view in paths_of(report) for flow in (view.up, view.down) if flow is not None]


def _name(flow: FlowReport) -> str:
    key = flow.key
    return f"{key.service}, {DIRECTION_WORDS[key.direction]}, {FAMILY_WORDS[key.family]}"


def _said(facts: Iterable[DeviceFacts]) -> dict[str, str]:
    """Return what devices say about their cloud connection."""
    words = {True: "connected", False: "not connected", None: UNKNOWN}
    return {
        f"{item.host} says of {state.service}": words[state.connected]
        for item in facts
        if isinstance(item.cloud, Known)
        for state in item.cloud.value
    }


def _largest(captures: Iterable[CaptureEvidence]) -> str:
    sizes = [flow.largest_acked_up_bytes or 0 for item in captures for flow in item.flows]
    return f"{max(sizes)} bytes" if any(sizes) else UNKNOWN
