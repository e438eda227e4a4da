"""Hold the tool against what was measured: every scenario, truth beside verdict.

The truth comes from a real client, captures and controls (:mod:`mtughost.lab.measure`), which share
no code with the tool's own readers; the verdict comes from an ordinary audit over SSH.
"""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mtughost import lab
from mtughost.app.lab_access import Access, narrowed_project
from mtughost.app.labs import bring_up, lab_environment, own_command
from mtughost.lab import SCENARIOS, Lab
from mtughost.lab.measure import Truth, truths
from mtughost.model.errors import LabError, UsageError

#: Exit codes of an audit that ended by itself, whatever it found.
_AUDIT_ENDED = frozenset({0, 4, 10, 11})
SURE = frozenset({"confirmed", "likely"})
SCHEMA = "mtughost/lab-run/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One scenario with one TLS version.

    Attributes:
        truth: As measured.
        verdict: The audit's.
        findings: Ids with a grade of likely or confirmed.
        synack_seen_bytes: MSS of the SYN-ACK at the device, as the audit saw it.
        grades: The best grade of each finding that is told.
        asks: What the audit would have to know, and of whom, where it does not decide.
    """

    scenario: str
    tls: str
    truth: Truth
    verdict: str
    findings: tuple[str, ...]
    synack_seen_bytes: int | None
    grades: Mapping[str, str] = field(default_factory=dict)
    asks: str = ""

    @property
    def abstains(self) -> bool:
        """Whether the audit says that it does not know, and what would settle it."""
        return self.verdict == "unknown" and not self.findings and bool(self.asks)

    @property
    def agrees(self) -> bool:
        """Whether the verdict is the measured one, and a healthy site got no finding."""
        if self.truth.verdict != self.verdict:
            return False
        if self.truth.verdict == "ok" and self.findings:
            return False
        measured = self.truth.at_device.syn_ack_mss_bytes
        return None in {measured, self.synack_seen_bytes} or measured == self.synack_seen_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """All comparisons."""

    rows: tuple[Comparison, ...]

    @property
    def all_agree(self) -> bool:
        """Whether every row agrees."""
        return bool(self.rows) and all(row.agrees for row in self.rows)

    @property
    def none_wrong(self) -> bool:
        """Whether every row agrees or abstains: all that is asked of who may not log in."""
        return bool(self.rows) and all(row.agrees or row.abstains for row in self.rows)

    @property
    def document(self) -> dict[str, Any]:
        """The rows as JSON values."""
        rows = [
            {**asdict(row), "agrees": row.agrees, "abstains": row.abstains} for row in self.rows
        ]
        return {
            "schema": SCHEMA,
            "basis": "real program",
            "all_agree": self.all_agree,
            "none_wrong": self.none_wrong,
            "rows": rows,
        }

    @property
    def table(self) -> str:
        """A Markdown table."""
        head = (
            "| scenario | TLS | truth | SYN / SYN-ACK MSS at the AP | the AP's frames | verdict "
            "| findings | agrees |\n|--|--|--|--|--|--|--|--|"
        )
        return "\n".join((head, *(_row(row) for row in self.rows)))


def _row(row: Comparison) -> str:
    truth = row.truth
    mss = f"{_figure(truth.at_device.syn_mss_bytes)} / {_figure(truth.at_device.syn_ack_mss_bytes)}"
    frames = "+".join(str(size) for size in truth.upload_frames[:6]) or "none"
    findings = ", ".join(row.findings) or "none"
    agrees = "yes" if row.agrees else "abstains" if row.abstains else "**NO**"
    return (
        f"| {row.scenario} | {row.tls} | {truth.verdict} | {mss} | {frames} | {row.verdict} "
        f"| {findings} | {agrees} |"
    )


def _figure(value: int | None) -> str:
    return "none" if value is None else str(value)


def run_scenarios(
    scenarios: Sequence[str],
    *,
    tls: str = "both",
    style: str = "nft",
    renumber: int | None = None,
    access: Access = "all",
    say: Callable[[str], None] = lambda _text: None,
) -> RunTable:
    """Measure and diagnose each scenario; the labs come and go.

    Args:
        scenarios: Labels, in this order; all that have a service when empty.
        tls: ``1.2``, ``1.3`` or ``both``.
        style: The gateways' packet filter, ``nft`` or ``iptables``.
        renumber: Seed for other addresses and names.
        access: Which devices the audit may log in to.
        say: Is told what happens.

    Raises:
        UsageError: an unknown TLS version.
        LabError: the lab cannot run here, or the audit did not end by itself.
    """
    versions = {"both": ("1.2", "1.3"), "1.2": ("1.2",), "1.3": ("1.3",)}.get(tls)
    if versions is None:
        raise UsageError(f"--tls is 1.2, 1.3 or both, not {tls}")
    chosen = list(scenarios) or [s.name for s in SCENARIOS.values() if s.topology != "plain"]
    rows: list[Comparison] = []
    for version in versions:
        name = f"run-{secrets.token_hex(3)}"
        made = bring_up(chosen, name=name, tls=version, style=style, renumber=renumber, say=say)
        try:
            rows += _compare(made, access, say)
        finally:
            lab.down(name)
    return RunTable(rows=tuple(rows))


def _compare(made: Lab, access: Access, say: Callable[[str], None]) -> list[Comparison]:
    say(f"measuring {len(made.sites)} sites with real clients")
    measured = truths(made)
    say("auditing them")
    sites = {site["site"]: site for site in audit_lab(made, access)["sites"]}
    return [
        Comparison(
            scenario=site.scenario,
            tls=site.tls,
            truth=measured[site.label],
            verdict=sites[site.label]["verdict"],
            findings=tuple(f["id"] for f in sites[site.label]["findings"] if f["grade"] in SURE),
            synack_seen_bytes=_synack_seen(sites[site.label]),
            grades={f["id"]: f["grade"] for f in reversed(sites[site.label]["findings"])},
            asks=(sites[site.label].get("next_test") or {}).get("summary", ""),
        )
        for site in made.sites
    ]


def audit_lab(made: Lab, access: Access) -> dict[str, Any]:
    """Audit a running lab over SSH as an operator would, with probes and captures.

    Returns:
        The audit's JSON document.

    Raises:
        LabError: the audit did not end by itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "audit.json"
        copy = Path(folder) / "project"
        copy.mkdir()
        project = narrowed_project(made.project, copy, access)
        words = [*own_command(), "--quiet", "audit", "--probe", "service", "--capture", "12"]
        done = made.exec(
            [*words, "--json", str(target)], env=lab_environment(project), timeout_s=300
        )
        if done.returncode not in _AUDIT_ENDED:
            raise LabError(f"the audit ended with {done.returncode}: {done.stderr[-500:]}")
        document: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
        return document


def _synack_seen(site: dict[str, Any]) -> int | None:
    for flow in site["flows"]:
        observed = flow["mss"].get("observed") or {}
        if flow["direction"] == "up" and observed.get("ap") is not None:
            seen: int = observed["ap"]
            return seen
    return None
