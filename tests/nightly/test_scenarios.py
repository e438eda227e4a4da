"""Every scenario with both TLS versions: the measured truth beside the verdict.

The measurement shares no code with the tool. Names, addresses, order and the packet filter's
dialect must not matter, so each pass has others, and every pass must find the same truths.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from mtughost.app.lab_run import RunTable, run_scenarios
from mtughost.lab import SCENARIOS

pytestmark = [pytest.mark.lab, pytest.mark.nightly(basis="real program"), pytest.mark.timeout(3000)]

FULL = os.environ.get("MTUGHOST_NIGHTLY") == "full"
#: Name of each pass, and the gateways' packet filter; a sample draws the latter.
PASSES = {"first": "nft", "second": "nft", "third": "iptables"} if FULL else {"sampled": ""}
#: In a sample: scenarios of each TLS version.
SAMPLE_SIZE = 4
VERDICTS = ("fault", "latent", "not-mtu", "ok", "unknown")
WITH_SERVICE = tuple(s.name for s in SCENARIOS.values() if s.topology != "plain")


@pytest.fixture
def measured(chance, note):
    """Measure and audit scenarios in an order, with names and addresses drawn by chance."""

    def run(name) -> RunTable:
        rows = []
        for tls in ("1.2", "1.3"):
            style = PASSES[name] or chance.choice(("nft", "iptables"))
            order = chance.sample(WITH_SERVICE, len(WITH_SERVICE) if FULL else SAMPLE_SIZE)
            renumber = chance.randrange(1, 1_000_000)
            note(f"{name} pass, TLS {tls}", f"{len(order)} sites, {style}, renumber {renumber}")
            rows += run_scenarios(order, tls=tls, style=style, renumber=renumber).rows
        table = RunTable(rows=tuple(rows))
        note(f"{name} pass, right", f"{sum(row.agrees for row in rows)} of {len(rows)}")
        note(f"Scenarios, {name} pass: truth (rows) and verdict (columns)", confusion(rows))
        note(f"Scenarios, {name} pass, in the order in which they stood", table.table)
        return table

    return run


def test_the_verdict_is_the_measured_truth_whatever_the_names_the_order_and_the_dialect(
    measured, note
):

    tables = {name: measured(name) for name in PASSES}

    rows = [row for table in tables.values() for row in table.rows]
    truths = {}
    for row in rows:
        truths.setdefault((row.scenario, row.tls), set()).add(row.truth.verdict)
    assert [row for row in rows if row.truth.verdict == "ok" and row.findings] == []
    assert [name for name, table in tables.items() if not table.all_agree] == []
    assert {case: found for case, found in truths.items() if len(found) > 1} == {}
    if FULL:
        assert set.union(*truths.values()) == set(VERDICTS) - {"unknown"}


def confusion(rows):
    counted = Counter((row.truth.verdict, row.verdict) for row in rows)
    lines = [f"| truth | {' | '.join(VERDICTS)} |", "|--" * (len(VERDICTS) + 1) + "|"]
    for truth in VERDICTS[:-1]:
        cells = " | ".join(str(counted[truth, verdict]) for verdict in VERDICTS)
        lines.append(f"| {truth} | {cells} |")
    return "\n".join(lines)
