"""Every report as an engineer reads it: each sentence, each citation with its command and line.

The texts in ``reports/`` are the tool's own, and no proof that it is right: what a verdict must be
is held by the other tests here and by the labs. They keep what was said from changing unread.
``MTUGHOST_WRITE_REPORTS=1`` writes them anew; read the difference before you keep it.
"""

from __future__ import annotations

import os
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from mtughost.diagnose import diagnose_site, wanted_tests
from tests.diagnose.cases import cases
from tests.diagnose.cases_edges import edges
from tests.diagnose.cases_walks import walks

KEPT = Path(__file__).parent / "reports"


@cache
def every():
    """Return the evidence of every case."""
    return {name.replace(" ", "-"): case for name, case in (cases() | edges() | walks()).items()}


def test_every_kept_report_has_its_case_and_every_case_its_report():
    assert {path.stem for path in KEPT.glob("*.txt")} == set(every())


@pytest.mark.parametrize("case", sorted(every()))
def test_the_whole_report_reads_as_it_was_kept(case):
    kept = KEPT / f"{case}.txt"
    read = as_read(every()[case])
    if os.environ.get("MTUGHOST_WRITE_REPORTS"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(read, encoding="utf-8")

    assert read == kept.read_text(encoding="utf-8")


def as_read(evidence):
    """Return everything that a report says, one thing a line; each citation stands there once."""
    site = diagnose_site(evidence)
    cited = list(dict.fromkeys(one for finding in site.findings for one in finding.evidence))
    lines = [f"{site.site} {site.isp}: {site.verdict}"]
    for row in site.flows:
        lines += ["", f"{flow(row.key)}: {COVERED[row.covered]}: {row.proof}"]
        lines += [f"  mtu {said(row.mtu)}; path {row.path_mtu}"]
        lines += [f"  mss {row.mss.configured}, needed {row.mss.needed}, {said(row.mss.observed)}"]
        lines += [f"  {said(rule)}" for rule in row.mss.installed]
    for finding in site.findings:
        numbers = " ".join(str(cited.index(one) + 1) for one in finding.evidence)
        lines += ["", f"{finding.id}: {finding.grade}, {finding.owner}: {finding.summary}"]
        lines += [f"  {flow(finding.flow)}; see {numbers}"]
        lines += [f"  fix: {said(finding.fix)}"] if finding.fix is not None else []
    lines += ["", *(f"{number}. {said(one)}" for number, one in enumerate(cited, start=1))]
    lines += ["", *(f"not {out.id}: {out.because}" for out in site.ruled_out)]
    lines += [f"note: {note}" for note in site.notes]
    asked = wanted_tests(evidence)
    lines += [f"ask: {said(test)}" for test in asked]
    lines += [] if asked[:1] == ((site.next_test,) if site.next_test else ()) else ["NOT FIRST"]
    return "\n".join(lines) + "\n"


COVERED = {True: "covered", False: "not covered", None: "unknown"}


def flow(key):
    if key is None:
        return "no flow"
    return f"{key.service} {key.ap} {key.gateway} {key.egress} {key.family} {key.direction}"


def said(value):
    """Return the fields of a value that say something; figures with their names."""
    named = ((field.name, getattr(value, field.name)) for field in fields(value))
    return "; ".join(
        found if isinstance(found, str) else f"{name} {found}"
        for name, found in named
        if found not in {None, ""}
    )
