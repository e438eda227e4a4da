"""The verdict of captures: for a terminal, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from mtughost.model.captures import CaptureReport
from mtughost.model.evidence import CaptureEvidence
from mtughost.model.findings import Finding, SiteVerdict
from mtughost.report.ink import VERDICT_STYLE
from mtughost.report.safe_text import inert
from mtughost.report.words import VERDICT_WORDS

SCHEMA = "mtughost/pcap/v1"

_MOST_CONNECTIONS = 20
_MOST_NOTES = 40
_MOST_CITES = 6
_WORST_FIRST: tuple[SiteVerdict, ...] = ("fault", "latent", "not-mtu", "unknown", "ok")


def report_to_dict(report: CaptureReport) -> dict[str, Any]:
    """Return the verdict with all evidence as JSON values."""
    return {"schema": SCHEMA, **asdict(report)}


def render_report(report: CaptureReport) -> RenderableType:
    """Return the verdict for a terminal: one sentence, findings with frames, connections, notes."""
    lines = [
        Text.assemble(
            (VERDICT_WORDS[report.verdict], VERDICT_STYLE[report.verdict]),
            ": ",
            inert(report.sentence),
        )
    ]
    for finding in report.findings:
        lines += _finding(finding)
    lines += [
        Text(inert(f"  ruled out: {ruled.id}: {ruled.because}")) for ruled in report.ruled_out[:10]
    ]
    if report.next_test is not None:
        lines.append(Text(inert(f"  next: {report.next_test.summary}")))
    lines += [Text(inert(f"{capture.host}: {_counted(capture)}")) for capture in report.captures]
    lines += _connections(report)
    lines += _cut([f"  note: {text}" for text in report.notes], _MOST_NOTES, "notes")
    return Group(*lines)


def _finding(finding: Finding) -> list[Text]:
    lines = [Text(inert(f"  {finding.id} ({finding.grade}, {finding.owner}): {finding.summary}"))]
    for cited in finding.evidence[:_MOST_CITES]:
        frame = f", frame {cited.frame}" if cited.frame else ""
        lines.append(Text(inert(f"    {cited.host}{frame}: {cited.value}"), style="dim"))
    return lines


def _counted(capture: CaptureEvidence) -> str:
    fragments = capture.fragments_up + capture.fragments_down
    parts = [f"{capture.packets} packets", f"{capture.connections} TCP connections"]
    if fragments:
        parts.append(f"{fragments} IP fragments")
    if capture.truncated:
        parts.append("cut off")
    return ", ".join(parts)


def _connections(report: CaptureReport) -> list[Text]:
    ordered = sorted(report.connections, key=lambda item: _WORST_FIRST.index(item.verdict))
    texts = [f"  {VERDICT_WORDS[item.verdict]}: {item.sentence}" for item in ordered]
    return _cut(texts, _MOST_CONNECTIONS, "connections")


def _cut(texts: list[str], most: int, what: str) -> list[Text]:
    lines = [Text(inert(text)) for text in texts[:most]]
    if len(texts) > most:
        lines.append(Text(f"  ... and {len(texts) - most} more {what}; --json has them all"))
    return lines
